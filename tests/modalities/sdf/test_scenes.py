"""glTF and 3MF: numbers packed in many ways, and meshes in many places."""

import base64
import io
import json
import struct
import urllib.parse
import zipfile
from pathlib import Path

import numpy as np
import pytest

from nint_cli.modalities.sdf.files import read_shape
from tests.modalities.sdf.test_files import CAMERA, glb, refusal, said
from tests.modalities.sdf.test_polygons import volume
from tests.modalities.sdf.test_texts import BOX, QUADS, is_box, written

TRIANGLES = np.array([t for q in QUADS for t in (q[:3], [q[0], *q[2:]])])
CODES = {"i1": 5120, "u1": 5121, "i2": 5122, "u2": 5123, "u4": 5125, "f4": 5126}
KINDS = {1: "SCALAR", 3: "VEC3", 4: "VEC4"}


class Document:
    """A glTF document of one mesh, built accessor by accessor."""

    def __init__(self, **node):
        self.binary = b""
        self.json = {
            "asset": {"version": "2.0"},
            "scene": 0,
            "scenes": [{"nodes": [0]}],
            "nodes": [{"mesh": 0, **node}],
            "meshes": [{"primitives": []}],
            "bufferViews": [],
            "accessors": [],
        }

    def view(self, data, stride=None):
        view = {"buffer": 0, "byteOffset": len(self.binary), "byteLength": len(data)}
        self.binary += data + bytes(-len(data) % 4)
        self.json["bufferViews"].append(view | ({"byteStride": stride} if stride else {}))
        return len(self.json["bufferViews"]) - 1

    def accessor(self, values, kind, *, pad=0, **more):
        values = np.atleast_2d(np.asarray(values, f"<{kind}").T).T
        data = b"".join(row.tobytes() + bytes(pad) for row in values)
        stride = values[0].nbytes + pad if pad else None
        self.json["accessors"].append({
            "bufferView": self.view(data, stride),
            "componentType": CODES[kind],
            "count": len(values),
            "type": KINDS[values.shape[1]],
            **more,
        })
        return len(self.json["accessors"]) - 1

    def part(self, vertices, indices=None, kind="f4", index="u2", mode=None, **more):
        primitive = {"attributes": {"POSITION": self.accessor(vertices, kind, **more)}}
        if indices is not None:
            primitive["indices"] = self.accessor(np.ravel(indices), index)
        if mode is not None:
            primitive["mode"] = mode
        self.json["meshes"][0]["primitives"].append(primitive)
        return primitive

    def glb(self, name="m.glb"):
        buffers = [{"byteLength": len(self.binary)}]
        data = glb(self.json | {"buffers": self.json.get("buffers", buffers)}, self.binary)
        return written(data, name)

    def gltf(self, uri, name="m.gltf"):
        document = self.json | {"buffers": [{"byteLength": len(self.binary), "uri": uri}]}
        return written(json.dumps(document), name)


def boxed(**node):
    document = Document(**node)
    document.part(BOX, TRIANGLES)
    return document


@pytest.mark.parametrize("index", ["u1", "u2", "u4"])
@pytest.mark.parametrize("pad", [0, 4, 20])
def test_glb_with_gaps_between_its_rows(index, pad):
    document = Document()
    document.part(BOX, TRIANGLES, index=index, pad=pad)
    assert is_box(document.glb())


@pytest.mark.parametrize("kind", ["i1", "u1", "i2", "u2"])
@pytest.mark.parametrize("normalized", [False, True])
def test_integers_of_quantized_meshes(kind, normalized):
    most = np.iinfo(kind).max
    scale = [2, 1, 1] if normalized else [2 / most, 1 / most, 1 / most]
    document = Document(scale=scale)
    document.json["extensionsRequired"] = ["KHR_mesh_quantization"]
    pad = 1 if kind in {"i1", "u1"} else 2
    document.part(BOX / [2, 1, 1] * most, TRIANGLES, kind, pad=pad, normalized=normalized)
    assert is_box(document.glb())


def test_the_smallest_normalized_integer_is_minus_one():
    document = Document(translation=[1, 0.5, 0.5], scale=[1, 0.5, 0.5])
    document.part(np.where(BOX > 0, 127, -128), TRIANGLES, "i1", pad=1, normalized=True)
    assert is_box(document.glb())


@pytest.mark.parametrize("whole", [True, False])
def test_sparse_accessors_replace_some_rows(whole):
    """Of a table that is there, or of zeros."""
    document = Document()
    moved = np.flatnonzero(BOX.any(axis=1))
    document.part(np.where(BOX[:, :1] > 0, 9, BOX) if whole else BOX, TRIANGLES)
    accessor = document.json["accessors"][0]
    if not whole:
        del accessor["bufferView"]
    accessor["sparse"] = {
        "count": len(moved),
        "indices": {
            "bufferView": document.view(moved.astype("<u2").tobytes()),
            "componentType": 5123,
        },
        "values": {"bufferView": document.view(BOX[moved].astype("<f4").tobytes())},
    }
    assert is_box(document.glb())


def test_triangles_without_indices_strips_and_fans():
    document = Document()
    document.part(BOX[TRIANGLES.reshape(-1)])
    assert is_box(document.glb())
    document = Document()
    document.part(BOX, [0, 1, 2, 3, 6, 7, 4, 5, 0, 1], mode=5)
    document.part(BOX, [0, 2, 6, 4], mode=6)
    document.part(BOX, [1, 5, 7, 3], mode=6)
    document.part(BOX, [0, 1], mode=1)
    document.part(BOX, [0, 1], mode=0)
    assert is_box(document.glb(), "3 parts joined")


def test_nodes_are_placed_by_matrix_or_by_parts():
    half = 0.5**0.5
    document = Document(children=[1], rotation=[0, 0, half, half], translation=[10, 0, 0])
    del document.json["nodes"][0]["mesh"]
    matrix = np.diag([2.0, 1, 1, 1])
    matrix[:3, 3] = [0, 3, 0]
    document.json["nodes"].append({"mesh": 0, "matrix": matrix.T.reshape(-1).tolist()})
    document.part(BOX / [2, 1, 1], TRIANGLES)
    shape = read_shape(document.glb())
    vertices = shape.from_box(shape.vertices)
    np.testing.assert_allclose(vertices.min(0), [6, 0, 0], atol=1e-6)
    np.testing.assert_allclose(vertices.max(0), [7, 2, 1], atol=1e-6)
    assert volume(shape) == pytest.approx(2)


def test_nodes_keep_places_that_float32_has_no_digits_for():
    shape = read_shape(boxed(translation=[500000, 5000000, 100]).glb())
    np.testing.assert_array_equal(shape.centre, [500001, 5000000.5, 100.5])
    assert volume(shape) == pytest.approx(2, rel=1e-6)


def test_a_mesh_that_is_used_twice_is_there_twice_and_one_without_a_scene_is_not():
    document = boxed()
    document.json["nodes"] += [
        {"mesh": 0, "translation": [5, 0, 0], "scale": [-1, 1, 1]},
        {"mesh": 0},
    ]
    document.json["scenes"] = [{"nodes": [0, 1]}, {"nodes": [2]}]
    shape = read_shape(document.glb())
    assert "one of its 2 scenes" in said(shape)
    assert "2 parts joined" in said(shape)
    assert (len(shape.faces), shape.watertight) == (24, True)
    assert volume(shape) == pytest.approx(4)
    del document.json["scenes"], document.json["scene"]
    document.json["nodes"].pop()
    assert len(read_shape(document.glb()).faces) == 24


def test_instances_are_copies():
    document = boxed()
    document.json["extensionsRequired"] = ["EXT_mesh_gpu_instancing"]
    half = 0.5**0.5
    attributes = {
        "TRANSLATION": document.accessor([[0, 0, 0], [9, 0, 0], [5, 5, 5]], "f4"),
        "ROTATION": document.accessor([[0, 0, 0, 1], [0, 0, half, half], [0, 0, 0, 1]], "f4"),
        "SCALE": document.accessor([[1, 1, 1], [1, 1, 1], [2, 1, 1]], "f4"),
    }
    document.json["nodes"][0]["extensions"] = {
        "EXT_mesh_gpu_instancing": {"attributes": attributes}
    }
    shape = read_shape(document.glb())
    assert "3 parts joined" in said(shape)
    assert volume(shape) == pytest.approx(2 + 2 + 4, rel=1e-6)
    np.testing.assert_allclose(shape.from_box(shape.vertices).max(0), [9, 6, 6], atol=1e-5)
    del attributes["ROTATION"], attributes["SCALE"]
    assert volume(read_shape(document.glb())) == pytest.approx(6)
    assert "36 triangles are more" in refusal(document.glb(), max_faces=35)


def test_targets_move_vertices_by_their_weights():
    document = Document(weights=[0.5, 0.0])
    primitive = document.part(np.zeros_like(BOX), TRIANGLES)
    primitive["targets"] = [
        {"POSITION": document.accessor(2 * BOX, "f4")},
        {"POSITION": document.accessor(7 * BOX, "f4")},
    ]
    assert is_box(document.glb())
    document.json["meshes"][0]["weights"] = document.json["nodes"][0].pop("weights")
    assert is_box(document.glb())


def test_a_skinned_mesh_is_read_as_it_is_stored():
    document = boxed(skin=0, translation=[7, 7, 7])
    assert is_box(document.glb(), "skinned mesh")


# Compression


@pytest.mark.parametrize(
    "name",
    ["KHR_draco_mesh_compression", "EXT_meshopt_compression", "KHR_meshopt_compression"],
)
def test_packed_meshes_are_refused_with_the_command_that_unpacks_them(name):
    document = boxed()
    document.json["extensionsRequired"] = ["KHR_texture_transform", name]
    message = refusal(document.glb())
    assert f"packed with {name}; unpack it with 'gltf-transform copy IN.glb OUT.glb'" in message


def test_a_part_that_is_packed_is_not_lost_where_nothing_says_that_it_is_required():
    document = boxed()
    primitive = document.part(BOX + np.array([10, 0, 0]), TRIANGLES)
    primitive["extensions"] = {"KHR_draco_mesh_compression": {"bufferView": 0, "attributes": {}}}
    assert len(read_shape(document.glb()).faces) == 24  # its numbers are there, too
    for number in (primitive["indices"], primitive["attributes"]["POSITION"]):
        del document.json["accessors"][number]["bufferView"]
        assert "packed with KHR_draco_mesh_compression; unpack it" in refusal(document.glb())


def test_views_that_are_packed_are_read_from_their_fallback_or_refused():
    document = boxed()
    document.json["bufferViews"][0]["extensions"] = {"EXT_meshopt_compression": {"buffer": 0}}
    assert is_box(document.glb())
    sizes = {"byteLength": len(document.binary)}
    document.json["buffers"] = [sizes, sizes | {"extensions": {"EXT_meshopt_compression": {}}}]
    document.json["bufferViews"][0]["buffer"] = 1
    assert "packed with EXT_meshopt_compression; unpack it" in refusal(document.glb())


def test_an_extension_that_is_required_and_not_known_is_named():
    document = boxed()
    document.json["extensionsRequired"] = ["ACME_dents"]
    assert "it needs ACME_dents" in refusal(document.glb())
    for name in ("KHR_materials_unlit", "KHR_texture_basisu", "EXT_texture_webp"):
        document.json["extensionsRequired"] = [name]
        assert is_box(document.glb())


# Damage


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda j: j["asset"].update(version="1.0"), "glTF of version 1.0"),
        (lambda j: j.pop("asset"), "is no glTF"),
        (lambda j: j["accessors"][1].update(count=10**9), "333,333,333 triangles are more"),
        (lambda j: j["bufferViews"][0].update(byteLength=10**6), "ends beyond its buffer"),
        (lambda j: j["bufferViews"][0].update(byteOffset=-4), "ends beyond its buffer"),
        (lambda j: j["accessors"][0].update(count=9), "damaged"),
        (lambda j: j["accessors"][0].update(componentType=1), "damaged"),
        (lambda j: j["nodes"][0].update(children=[0]), "node 0 is in two places"),
        (lambda j: j["nodes"][0].update(mesh=5), "damaged"),
        (lambda j: j.update(buffers=[{"byteLength": 10**6}]), "bytes"),
        (lambda j: j.update(buffers=[{"byteLength": 4}, {"byteLength": 4}])
         or j["bufferViews"][0].update(buffer=1), "buffer 1 is not in the file"),
        (lambda j: j.update(nodes="a"), "damaged"),
    ],
)  # fmt: skip
def test_gltf_that_is_damaged_says_why(change, reason):
    document = boxed()
    change(document.json)
    assert reason in refusal(document.glb())


def test_glb_that_is_damaged_says_why():
    data = bytearray(Path(boxed().glb()).read_bytes())
    assert "cut short" in refusal(written(bytes(data[:-1]), "m.glb"))
    assert is_box(written(bytes(data) + b"more", "m.glb"))
    old = bytes(data[:4]) + struct.pack("<I", 1) + bytes(data[8:])
    assert "glTF of version 1; export it as glTF 2.0" in refusal(written(old, "m.glb"))
    data[12:16] = struct.pack("<I", 10**6)
    assert "a chunk ends beyond the file" in refusal(written(bytes(data), "m.glb"))
    document = boxed()
    document.part(BOX, TRIANGLES + 1)
    assert "a face names vertex 8 of 8" in refusal(document.glb())
    assert "no triangles" in refusal(written(json.dumps(CAMERA), "m.gltf"))
    refusal(written("[" * 100_000, "m.gltf"))
    refusal(written('{"asset":' * 100_000, "m.gltf"))


# Buffers beside


def test_gltf_has_its_buffers_beside_it_or_within():
    document = boxed()
    Path("a folder/in").mkdir(parents=True)
    Path("a folder/in/b ü.bin").write_bytes(document.binary)
    for uri in ("in/b%20%C3%BC.bin", "./in/b ü.bin", "in/../in/b ü.bin"):
        assert is_box(document.gltf(uri, "a folder/m.gltf"))
    text = base64.b64encode(document.binary).decode()
    assert is_box(document.gltf(f"data:application/octet-stream;base64,{text}"))
    text = urllib.parse.quote(document.binary)
    assert is_box(document.gltf(f"data:application/gltf-buffer,{text}"))
    assert "damaged" in refusal(document.gltf("data:;base64,AAAA!AAA"))
    document.gltf(f"data:,{text}", "m.txt")
    assert is_box("m.txt", "read as glTF")


def test_gltf_opens_nothing_outside_its_folder(monkeypatch):
    document = boxed()
    Path("outside.bin").write_bytes(document.binary)
    Path("in").mkdir()
    Path("in/link.bin").symlink_to(Path("outside.bin").resolve())
    for uri in ("../outside.bin", "%2e%2e/outside.bin", str(Path("outside.bin").resolve()),
                "link.bin", "http://127.0.0.1/a.bin", "file:///etc/passwd"):  # fmt: skip
        message = refusal(document.gltf(uri, "in/m.gltf"))
        assert "is outside its folder; save it as GLB" in message
    for uri in ("none.bin", "."):
        assert "is not beside it; save it as GLB" in refusal(document.gltf(uri, "in/m.gltf"))
    Path("in/short.bin").write_bytes(document.binary[:-1])
    assert "buffer 0 has" in refusal(document.gltf("short.bin", "in/m.gltf"))
    monkeypatch.setattr("nint_cli.modalities.sdf.formats.reading._MOST_BYTES_BESIDE", 4000)
    Path("in/long.bin").write_bytes(document.binary + bytes(1 << 20))
    assert "more than 8,800 bytes" in refusal(document.gltf("long.bin", "in/m.gltf"), max_faces=12)


# 3MF

CORE = "http://schemas.microsoft.com/3dmanufacturing/core/2015/02"
RELATION = "http://schemas.microsoft.com/3dmanufacturing/2013/01/3dmodel"


def xml_mesh(vertices=BOX, faces=TRIANGLES):
    points = "".join('<vertex x="{}" y="{}" z="{}"/>'.format(*row) for row in vertices)
    corners = "".join('<triangle v1="{}" v2="{}" v3="{}"/>'.format(*face) for face in faces)
    return f"<mesh><vertices>{points}</vertices><triangles>{corners}</triangles></mesh>"


def model(objects, build='<item objectid="1"/>', head=""):
    return (
        f'<?xml version="1.0"?>{head}<model unit="inch" xmlns="{CORE}" xmlns:p="prod">'
        f"<resources>{objects}</resources><build>{build}</build></model>"
    )


def threemf(name="m.3mf", root="3D/3dmodel.model", **files):
    text = (
        f'<Relationships><Relationship Target="/{root}" Id="r" Type="{RELATION}"/></Relationships>'
    )
    with zipfile.ZipFile(name, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("_rels/.rels", text)
        for file, content in files.items():
            archive.writestr(file.replace("__", "/"), content)
    return name


def one(text, **more):
    return threemf(**{"3D/3dmodel.model": text}, **more)


def test_3mf_objects_are_built_from_components_in_their_places():
    parts = (
        f'<object id="1" type="model">{xml_mesh()}</object><object id="2"><components>'
        '<component objectid="1" transform="1 0 0 0 1 0 0 0 1 5 0 0"/>'
        '<component objectid="1" transform="-1 0 0 0 1 0 0 0 1 0 5 0"/></components></object>'
    )
    build = '<item objectid="2" transform="0 1 0 -1 0 0 0 0 2 0 0 0"/><item objectid="1"/>'
    shape = read_shape(one(model(parts, build)))
    assert "3 parts joined" in said(shape)
    assert volume(shape) == pytest.approx(4 + 4 + 2)
    vertices = shape.from_box(shape.vertices)
    np.testing.assert_allclose(vertices.min(0), [-6, -2, 0], atol=1e-12)
    np.testing.assert_allclose(vertices.max(0), [2, 7, 2], atol=1e-12)


def test_3mf_of_several_files_and_without_a_build():
    other = model(f'<object id="7">{xml_mesh()}</object>', "")
    parts = (
        '<object id="1"><components><component p:path="/3D/o/a.model" objectid="7"/>'
        "</components></object>"
    )
    path = one(model(parts), **{"3D/o/a.model": other})
    assert is_box(path)
    assert is_box(one(other))
    assert is_box(threemf(root="x/y.model", **{"x/y.model": other}))
    with zipfile.ZipFile("m.3mf", "w") as archive:
        archive.writestr("3D/3dmodel.model", other)
    assert is_box("m.3mf")
    prefixed = other.replace("<", "<c:").replace("<c:/", "</c:").replace("<c:?", "<?")
    assert is_box(one(prefixed.replace("xmlns=", "xmlns:c=")))


def test_3mf_says_what_is_no_triangle():
    lattice = xml_mesh().replace("</mesh>", "<beamlattice/></mesh>")
    assert is_box(one(model(f'<object id="1">{lattice}</object>')), "beamlattice")


def test_3mf_that_is_damaged_says_why(monkeypatch):
    monkeypatch.setattr("nint_cli.modalities.sdf.formats.threemf._MOST_PLACES", 1000)
    mesh = f'<object id="1">{xml_mesh()}</object>'
    itself = '<object id="1"><components><component objectid="1"/></components></object>'
    double = mesh + "".join(
        f'<object id="{n}"><components>{f"""<component objectid="{n - 1}"/>""" * 2}'
        "</components></object>"
        for n in range(2, 40)
    )
    empty = double.replace(mesh, '<object id="1"/>')
    for text, reason in (
        (model(mesh, '<item objectid="2"/>'), "object 2 is not there"),
        (model(itself), "object 1 is a part of itself"),
        (model(double, '<item objectid="39"/>'), "in more than 1,000 places"),
        (model(empty, '<item objectid="39"/>'), "in more than 1,000 places"),
        (model(mesh.replace('v1="0"', 'v1="8"')), "a face names vertex 8 of 8"),
        (model(mesh.replace('v1="0"', 'v1="-1"')), "a face names vertex -1 of 8"),
        (model(mesh, head="<!DOCTYPE a [<!ENTITY b 'c'>]>"), "a document type"),
        (model(mesh)[:-9], "damaged"),
        (model("", ""), "no triangles"),
    ):
        assert reason in refusal(one(text))
    assert "12 triangles are more than sdf.max_faces = 11" in refusal(
        one(model(mesh)), max_faces=11
    )


def test_archives_that_unpack_to_too_much_are_refused_before_they_do(monkeypatch):
    """Both in an archive that says so and in one that lies."""
    monkeypatch.setattr("nint_cli.modalities.sdf.formats.reading._INFLATED_UNASKED", 1 << 20)
    packed = one(model("<a/>" * 1_000_000))
    assert "unpack to more than" in refusal(packed)
    data = bytearray(Path(packed).read_bytes())
    at = data.rfind(b"PK\1\2")
    data[at + 24 : at + 28] = struct.pack("<I", 1000)
    assert "its archive is damaged" in refusal(written(bytes(data), "lies.3mf"))
    monkeypatch.setattr("nint_cli.modalities.sdf.formats.reading._MOST_BYTES_BESIDE", 4000)
    assert "more than 8,800 bytes" in refusal(packed, max_faces=12)
    unpacked = io.BytesIO()
    with zipfile.ZipFile(unpacked, "w") as archive:
        archive.writestr("3D/3dmodel.model", model(f'<object id="1">{xml_mesh()}</object>'))
    assert is_box(written(unpacked.getvalue(), "m.3mf"))
