"""What files of meshes, sound and broken ones, become."""

import json
import socket
import struct
from pathlib import Path

import numpy as np
import pytest
import trimesh

from nint_cli.errors import InputError
from nint_cli.modalities.sdf.distance import DistanceField
from nint_cli.modalities.sdf.files import read_shape

HALF = np.array([0.5, 0.25, 0.75])
CENTRE = np.array([10.0, -20.0, 30.0])


def brick():
    mesh = trimesh.creation.box(2 * HALF)
    mesh.apply_translation(CENTRE)
    return mesh


def ball(radius=1.0, centre=(0, 0, 0), subdivisions=2):
    mesh = trimesh.creation.icosphere(subdivisions, radius)
    mesh.apply_translation(centre)
    return mesh


def saved(mesh, name="mesh.ply", **options):
    path = Path(name)
    written = mesh.export(file_type=path.suffix[1:], **options)
    path.write_bytes(written if isinstance(written, bytes) else written.encode())
    return str(path)


def bare(vertices, faces):
    return trimesh.Trimesh(vertices, faces, process=False)


def textured(mesh, name):
    """Write what modelling programs do: a texture point and a normal for each corner."""
    lines = [f"v {x:.17g} {y:.17g} {z:.17g}" for x, y, z in mesh.vertices]
    for number, (face, normal) in enumerate(zip(mesh.faces, mesh.face_normals, strict=True)):
        lines += [f"vt {corner / 2} {number / len(mesh.faces)}" for corner in range(3)]
        lines += ["vn {} {} {}".format(*normal)]
        corners = (f"{v + 1}/{3 * number + k + 1}/{number + 1}" for k, v in enumerate(face))
        lines += [f"f {' '.join(corners)}"]
    Path(name).write_text("\n".join(lines))
    return name


def said(shape):
    return "; ".join(shape.conversions)


def refusal(source, **options):
    with pytest.raises(InputError) as caught:
        read_shape(str(source), **options)
    message = str(caught.value)
    assert "\n" not in message
    assert str(source) in message
    return message


# Formats


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("m.obj", {}),
        ("m.ply", {"encoding": "ascii"}),
        ("m.ply", {"encoding": "binary"}),
        ("m.stl", {}),
        ("m.stl_ascii", {}),
        ("m.off", {}),
        ("m.glb", {}),
        ("m.3mf", {}),
    ],
)
def test_every_format_is_read_back(name, options):
    path = saved(brick(), name, **options)
    if name.endswith("_ascii"):
        path = str(Path(path).rename("m.stl"))
        assert Path(path).read_bytes().startswith(b"solid")
    shape = read_shape(path)
    assert (len(shape.vertices), len(shape.faces)) == (8, 12)
    assert shape.watertight
    assert shape.holes == 0
    assert shape.conversions == ()
    np.testing.assert_allclose(shape.centre, CENTRE, rtol=1e-6)
    assert shape.scale == pytest.approx(0.75 / 0.9, rel=1e-6)
    corners = np.abs(shape.from_box(shape.vertices) - CENTRE)
    np.testing.assert_allclose(corners, np.tile(HALF, (8, 1)), rtol=1e-5)
    np.testing.assert_allclose(np.abs(shape.vertices).max(), 0.9)
    assert DistanceField(shape).signed(np.zeros((1, 3)))[0] == pytest.approx(-0.3, abs=1e-5)


def test_content_decides_and_not_the_name():
    path = saved(brick(), "m.ply")
    Path(path).rename("m.txt")
    shape = read_shape("m.txt")
    assert len(shape.faces) == 12
    assert said(shape) == "read as PLY, whatever its name says"
    Path("SHOUTED.PLY").write_bytes(Path("m.txt").read_bytes())
    assert read_shape("SHOUTED.PLY").conversions == ()
    for kind, name in (("obj", "m.stl"), ("stl", "m.obj"), ("stl_ascii", "m.off")):
        written = brick().export(file_type=kind)
        Path(name).write_bytes(written if isinstance(written, bytes) else written.encode())
        assert said(read_shape(name)) == f"read as {kind[:3].upper()}, whatever its name says"


def test_the_same_content_has_the_same_hash_and_other_content_another():
    first = read_shape(saved(brick(), "a.ply"))
    again = read_shape(saved(brick(), "b.ply"))
    other = read_shape(saved(ball(), "c.ply"))
    assert first.sha256 == again.sha256 != other.sha256
    assert read_shape("sample:torus").sha256 == read_shape("sample:torus").sha256


def test_corners_of_their_own_texture_and_normal_do_not_tear_a_surface():
    mesh = ball()
    path = textured(mesh, "m.obj")
    shape = read_shape(path)
    assert (len(shape.vertices), len(shape.faces)) == (len(mesh.vertices), len(mesh.faces))
    assert shape.watertight
    np.testing.assert_allclose(np.ptp(shape.vertices, axis=0).max(), 1.8, rtol=1e-12)


# B3.28 and B3.29


def test_holes_are_counted_and_can_be_refused():
    mesh = ball()
    faces = np.array(mesh.faces)
    middle = mesh.triangles_center
    gone = np.zeros(len(faces), bool)
    for axis in range(3):
        gone[np.argmax(middle[:, axis])] = True
    path = saved(bare(mesh.vertices, faces[~gone]))
    shape = read_shape(path)
    assert (shape.holes, shape.watertight) == (3, False)
    assert "not watertight (3 holes)" in said(shape)
    field = DistanceField(shape)
    assert field.signed(np.zeros((1, 3)))[0] < 0 < field.signed(np.ones((1, 3)))[0]
    message = refusal(path, require_watertight=True)
    assert "not watertight (3 holes); close it, or drop sdf.require_watertight" in message
    gone[:] = False
    gone[0] = True
    path = saved(bare(mesh.vertices, faces[~gone]))
    assert "(1 hole)" in refusal(path, require_watertight=True)
    assert read_shape(saved(mesh), require_watertight=True).watertight


def test_a_mesh_inside_out_is_turned():
    mesh = ball()
    straight = read_shape(saved(mesh, "a.ply"))
    mesh.invert()
    turned = read_shape(saved(mesh, "b.ply"))
    assert "turned inside out" in said(turned)
    points = np.random.default_rng(0).uniform(-1, 1, (200, 3))
    np.testing.assert_allclose(
        DistanceField(turned).signed(points), DistanceField(straight).signed(points), atol=1e-12
    )
    assert DistanceField(turned).winding_number(np.zeros((1, 3)))[0] == pytest.approx(1, abs=0.01)


def test_faces_that_look_the_other_way_are_turned_to_match():
    mesh = ball()
    faces = np.array(mesh.faces)
    faces[:5] = faces[:5, ::-1]
    shape = read_shape(saved(bare(mesh.vertices, faces)))
    assert "5 faces turned over to match their neighbours" in said(shape)
    assert shape.watertight
    assert DistanceField(shape).signed(np.zeros((1, 3)))[0] < -0.8


def test_an_open_mesh_inside_out_is_turned():
    mesh = ball()
    mesh.invert()
    shape = read_shape(saved(bare(mesh.vertices, np.array(mesh.faces)[:-1])))
    assert "turned inside out" in said(shape)
    assert DistanceField(shape).signed(np.zeros((1, 3)))[0] < 0


# B3.30


def test_bodies_that_overlap_are_united():
    left, right = ball(1, (-0.5, 0, 0)), ball(1, (0.5, 0, 0))
    shape = read_shape(saved(trimesh.util.concatenate([left, right])))
    assert shape.watertight
    points = shape.to_box(np.array([[0, 0, 0], [-1.2, 0, 0], [1.2, 0, 0], [0, 0.95, 0]]))
    assert (np.sign(DistanceField(shape).signed(points)) == [-1, -1, -1, 1]).all()


def test_a_body_within_a_body_is_filled_and_a_wall_that_faces_in_is_a_hollow():
    points = np.array([[0, 0, 0], [0.8, 0, 0], [1.5, 0, 0]])
    for turned, signs in ((False, [-1, -1, 1]), (True, [1, -1, 1])):
        inner = ball(0.5)
        if turned:
            inner.invert()
        shape = read_shape(saved(trimesh.util.concatenate([ball(), inner])))
        assert (np.sign(DistanceField(shape).signed(shape.to_box(points))) == signs).all()
        assert ("bodies united" in said(shape)) != turned


def test_a_surface_that_crosses_itself_is_read():
    """A figure of eight, whose halves look opposite ways: both are inside."""
    mesh = ball()
    vertices = np.array(mesh.vertices)
    vertices[:, 1:] *= vertices[:, :1] * 2 + 0.8
    shape = read_shape(saved(bare(vertices, mesh.faces)))
    assert shape.watertight
    points = shape.to_box(np.array([[0.5, 0, 0], [-0.8, 0, 0]]))
    assert (DistanceField(shape).signed(points) < 0).all()


# B3.31 and B3.37


def test_degenerate_and_repeated_faces_are_dropped_and_counted():
    mesh = brick()
    vertices, faces = np.array(mesh.vertices), np.array(mesh.faces)
    line = [len(vertices), *faces[0, :2]]
    vertices = np.concatenate([vertices, vertices[faces[0, :2]].mean(axis=0)[None]])
    more = [[0, 0, 1], [2, 2, 2], line, faces[7], np.roll(faces[9], 1)]
    shape = read_shape(saved(bare(vertices, np.concatenate([faces, more]))))
    assert len(shape.faces) == len(faces)
    assert "3 degenerate faces dropped" in said(shape)
    assert "2 faces dropped that were there twice" in said(shape)


def test_a_surface_stored_with_both_sides_is_read_once():
    mesh = ball()
    faces = np.concatenate([mesh.faces, np.array(mesh.faces)[:, ::-1]])
    shape = read_shape(saved(bare(mesh.vertices, faces)))
    assert len(shape.faces) == len(mesh.faces)
    assert DistanceField(shape).signed(np.zeros((1, 3)))[0] < 0


@pytest.mark.parametrize(
    ("vertices", "faces", "reason"),
    [
        (np.eye(3), [[0, 0, 1], [2, 2, 2]], "all its faces are degenerate"),
        ([[0, 0, 0], [1, 1, 1], [2, 2, 2]], [[0, 1, 2]], "all its faces are degenerate"),
        (np.ones((3, 3)), [[0, 1, 2]], "all vertices are one point"),
        ([[0, 0, 5], [1, 0, 5], [1, 1, 5], [0, 1, 5]], [[0, 1, 2], [0, 2, 3]], "it is flat"),
        (
            [[0, 0, 0], [1, 0, 1], [1, 1, 2], [0, 1, 1]],
            [[0, 1, 2], [0, 2, 3], [2, 1, 0], [3, 2, 0]],
            "it is flat",
        ),
    ],
)
def test_what_has_no_inside_is_refused(vertices, faces, reason):
    assert reason in refusal(saved(bare(np.array(vertices, float), faces)))


# B3.32


PLY_POINTS = """ply
format ascii 1.0
element vertex 3
property float x
property float y
property float z
end_header
0 0 0
1 0 0
0 1 0
"""


def glb(document, binary=b""):
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<I4s", len(text), b"JSON") + text
    if binary:
        chunks += struct.pack("<I4s", len(binary), b"BIN\0") + binary
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks


CAMERA = {
    "asset": {"version": "2.0"},
    "scene": 0,
    "scenes": [{"nodes": [0]}],
    "nodes": [{"camera": 0}],
    "cameras": [{"type": "perspective", "perspective": {"yfov": 1.0, "znear": 0.1}}],
}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("points.ply", PLY_POINTS.encode()),
        ("lines.obj", b"v 0 0 0\nv 1 0 0\nv 0 1 0\nl 1 2 3\n"),
        ("points.obj", b"v 0 0 0\nv 1 0 0\nv 0 1 0\n"),
        ("camera.glb", glb(CAMERA)),
        ("none.off", b"OFF\n3 0 0\n0 0 0\n1 0 0\n0 1 0\n"),
        ("none.stl", bytes(84)),
        (
            "none.ply",
            PLY_POINTS.replace(
                "end_header", "element face 0\nproperty list uchar int vertex_indices\nend_header"
            ).encode(),
        ),
    ],
)
def test_no_triangles(name, content):
    Path(name).write_bytes(content)
    assert "no triangles" in refusal(name)


# B3.33


def test_a_scene_is_flattened_with_everything_in_its_place():
    scene = trimesh.Scene()
    scene.add_geometry(brick(), "a", geom_name="brick", transform=np.diag([2.0, 2, 2, 1]))
    mirrored = np.diag([-1.0, 1, 1, 1])
    mirrored[:3, 3] = [5, 6, 7]
    scene.add_geometry(ball(2.0, (1, 1, 1)), "b", geom_name="ball", transform=mirrored)
    scene.graph.update("c", transform=np.diag([1.0, 1, 1, 1]), geometry="ball")
    Path("scene.glb").write_bytes(scene.export(file_type="glb"))
    shape = read_shape("scene.glb")
    assert said(shape) == "3 parts joined, each in its place"
    assert len(shape.faces) == 12 + 2 * 320
    assert shape.watertight
    vertices = shape.from_box(shape.vertices)
    np.testing.assert_allclose(vertices.max(axis=0)[2], 61.5, rtol=1e-6)
    np.testing.assert_allclose(vertices.min(axis=0)[1], -40.5, rtol=1e-6)
    inside = np.array([2 * CENTRE, [4, 7, 8], [1, 1, 1]])
    assert (DistanceField(shape).signed(shape.to_box(inside)) < 0).all()
    assert DistanceField(shape).signed(shape.to_box(np.array([[6.5, 7, 8]])))[0] > 0
    # A mirrored body keeps its outside out.
    assert (DistanceField(shape).winding_number(shape.to_box(inside)) > 0.9).all()


# B3.34


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_a_vertex_that_is_not_finite_is_refused(value):
    text = Path(saved(brick(), "m.off")).read_text().split("\n")
    text[3] = f"0 {value} 0"
    Path("m.off").write_text("\n".join(text))
    assert "1 vertices are not finite, first vertex 1" in refusal("m.off")


@pytest.mark.parametrize("wrong", [8, 2_000_000_000, -1])
def test_a_face_that_names_no_vertex_is_refused(wrong):
    data = bytearray(Path(saved(brick(), "m.ply", vertex_normal=False)).read_bytes())
    data[-4:] = struct.pack("<i", wrong)
    Path("m.ply").write_bytes(data)
    assert f"a face names vertex {wrong} of 8" in refusal("m.ply")


OBJ = "v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\n"


def test_obj_may_count_vertices_backwards_and_not_from_zero():
    Path("m.obj").write_text(OBJ + "f 1 3 2\nf 1 2 4\nf 2 3 4\nf 1 4 3\n")
    absolute = read_shape("m.obj")
    Path("m.obj").write_text(OBJ + "f -4 -2 -3\nf -4 -3 -1\nf -3 -2 -1\nf -4 -1 -2\n")
    relative = read_shape("m.obj")
    np.testing.assert_array_equal(relative.vertices, absolute.vertices)
    assert relative.watertight
    Path("m.obj").write_text(OBJ + "f 0 2 1\nf 0 1 3\nf 1 2 3\nf 0 3 2\n")
    assert "a face names vertex 0, but OBJ counts from 1" in refusal("m.obj")
    Path("m.obj").write_text(OBJ[:16] + "f -1 -2 -3\n" + OBJ[16:])
    refusal("m.obj")
    Path("m.obj").write_text(OBJ + "f 1 3 9\n")
    refusal("m.obj")


# B3.35


@pytest.mark.parametrize("factor", [1e12, 1e-12, 1e150, 1e-150])
@pytest.mark.parametrize("offset", [0.0, 3.0])
def test_huge_and_tiny_coordinates_come_back(factor, offset):
    mesh = ball()
    vertices = (np.array(mesh.vertices) + offset) * factor
    lines = [f"v {x!r} {y!r} {z!r}" for x, y, z in vertices.tolist()]
    lines += [f"f {a} {b} {c}" for a, b, c in (np.array(mesh.faces) + 1).tolist()]
    Path("m.obj").write_text("\n".join(lines))
    shape = read_shape("m.obj")
    assert np.abs(shape.vertices).max() == pytest.approx(0.9)
    back = shape.from_box(shape.vertices)
    expected = vertices[np.lexsort(vertices.T[::-1])]
    np.testing.assert_allclose(back, expected, rtol=0, atol=1e-12 * np.abs(expected).max())
    assert shape.watertight
    assert DistanceField(shape).signed(np.zeros((1, 3)))[0] < -0.8


def test_a_size_beyond_float64_is_refused():
    Path("m.obj").write_text(OBJ.replace("1", "1e300") + "f 1 3 2\nf 1 2 4\nf 2 3 4\nf 1 4 3\n")
    assert "beyond what float64 can scale" in refusal("m.obj")


# B3.36


def test_headers_that_promise_too_much_are_refused_before_decoding(monkeypatch):
    def decoder(*_args, **_kwargs):
        raise AssertionError("it was decoded")

    monkeypatch.setattr(trimesh, "load_scene", decoder)
    many = 50_000_000
    header = PLY_POINTS.replace(
        "end_header", f"element face {many}\nproperty list uchar int vertex_indices\nend_header"
    )
    Path("m.ply").write_text(header)
    Path("cut.stl").write_bytes(bytes(80) + struct.pack("<I", many) + bytes(100))
    Path("m.off").write_text(f"OFF\n3 {many} 0\n")
    document = CAMERA | {
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}}]}],
        "accessors": [{"count": 3 * many, "componentType": 5126, "type": "VEC3"}],
    }
    Path("m.glb").write_bytes(glb(document))
    for name in ("m.ply", "m.off", "m.glb"):
        message = refusal(name)
        assert "50,000,000 triangles are more than sdf.max_faces = 5,000,000" in message
    assert "50,000,000 faces promised, 2 found" in refusal("cut.stl")
    Path("m.stl").write_bytes(bytes(80) + struct.pack("<I", 30) + bytes(1500))
    assert "30 triangles are more than sdf.max_faces = 20" in refusal("m.stl", max_faces=20)
    Path("m.obj").write_text(OBJ + "f 1 2 3\n" * 30)
    assert "30 triangles are more than sdf.max_faces = 20" in refusal("m.obj", max_faces=20)


def test_more_triangles_than_allowed_are_refused_and_as_many_are_not():
    path = saved(brick())
    assert "12 triangles are more than sdf.max_faces = 11" in refusal(path, max_faces=11)
    assert len(read_shape(path, max_faces=12).faces) == 12


def test_polygons_count_as_triangles():
    Path("m.off").write_text("OFF\n4 1 0\n0 0 0\n1 0 0\n1 1 0\n0 1 0\n4 0 1 2 3\n")
    assert "2 triangles are more than sdf.max_faces = 1" in refusal("m.off", max_faces=1)


def test_a_file_that_is_too_long_is_not_read_to_its_end(monkeypatch):
    monkeypatch.setattr("nint_cli.modalities.sdf.formats.reading._MOST_BYTES_BESIDE", 100)
    Path("m.ply").write_bytes(b"ply\n" + bytes(1000))
    assert "more than 500 bytes" in refusal("m.ply", max_faces=1)


# What is no mesh


def test_missing_files_folders_and_empty_files():
    assert "No such file" in refusal("missing.ply")
    Path("folder.ply").mkdir()
    assert "it is a folder" in refusal("folder.ply")
    Path("empty.ply").write_bytes(b"")
    assert "the file is empty" in refusal("empty.ply")
    with pytest.raises(InputError):
        read_shape("sample:teapot")
    with pytest.raises(InputError):
        read_shape("null\0byte.ply")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("text.obj", b"hello, this is no mesh\n"),
        ("text.ply", b"hello, this is no mesh\n"),
        ("text.stl", b"hello, this is no mesh\n"),
        ("text.off", b"hello, this is no mesh\n"),
        ("text.glb", b"hello, this is no mesh\n"),
        ("text.3mf", b"hello, this is no mesh\n"),
        ("picture.png", b"\x89PNG\r\n\x1a\n" + bytes(50)),
        ("noise.obj", bytes(range(256)) * 3),
        ("noise.stl", bytes(range(255, 0, -1)) * 3),
        ("broken.glb", b"glTF" + bytes(range(40))),
        ("broken.3mf", b"PK\x03\x04" + bytes(range(40))),
        ("header.ply", b"ply\nformat ascii 1.0\n"),
    ],
)
def test_what_is_no_mesh_is_refused(name, content):
    Path(name).write_bytes(content)
    refusal(name)


@pytest.mark.parametrize("name", ["m.stl", "m.ply", "m.glb", "m.off", "m.3mf"])
@pytest.mark.parametrize("share", [0.3, 0.7, 0.97])
def test_a_file_that_was_cut_off_is_refused(name, share):
    path = Path(saved(ball(), name))
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    refusal(name)


@pytest.mark.parametrize(
    "source", ["http://127.0.0.1/a.obj", "https://example.org/a.glb", "file:///a.ply"]
)
def test_an_address_is_a_name_of_a_file_that_is_not_there(monkeypatch, source):
    def opened(*_args, **_kwargs):
        raise AssertionError("it opened a connection")

    monkeypatch.setattr(socket, "socket", opened)
    assert "No such file" in refusal(source)


def test_no_other_file_is_opened_for_a_mesh(monkeypatch):
    """Materials of an OBJ and buffers of a glTF are not looked for."""
    Path("m.mtl").write_text("newmtl a\nmap_Kd picture.png\n")
    Path("m.obj").write_text(
        "mtllib m.mtl\n" + OBJ + "usemtl a\nf 1 3 2\nf 1 2 4\nf 2 3 4\nf 1 4 3\n"
    )
    opened = []
    true_open = Path.open

    def watched(self, *args, **kwargs):
        opened.append(self.name)
        return true_open(self, *args, **kwargs)

    monkeypatch.setattr(Path, "open", watched)
    monkeypatch.setattr("builtins.open", lambda name, *a, **k: opened.append(str(name)))
    assert len(read_shape("m.obj").faces) == 4
    assert opened == ["m.obj"]


# Built-in shapes, and the frame of a run


@pytest.mark.parametrize("name", ["gear", "knot", "torus"])
def test_built_in_shapes_are_closed_and_whole(name):
    shape = read_shape(f"sample:{name}", require_watertight=True)
    assert shape.conversions == ()
    assert np.abs(shape.vertices).max() == pytest.approx(0.9)


def test_a_shape_can_be_put_into_the_box_of_another():
    shape = read_shape(saved(brick()))
    assert shape.framed(shape.centre.copy(), shape.scale) is shape
    moved = shape.framed(CENTRE + np.eye(3)[0], 2.0)
    np.testing.assert_allclose(moved.from_box(moved.vertices), shape.from_box(shape.vertices))
    np.testing.assert_allclose(moved.vertices.mean(axis=0), [-0.5, 0, 0], atol=1e-12)
    np.testing.assert_allclose(np.ptp(moved.vertices, axis=0), HALF)
