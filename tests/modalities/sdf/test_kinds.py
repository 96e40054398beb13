"""What a file is, whatever its name says; what is not read, and the way out."""

import gzip
import io
import os
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest

from nint_cli.modalities.sdf.files import read_shape
from nint_cli.modalities.sdf.formats.reading import Reading
from tests.modalities.sdf.test_files import ball, refusal, said, saved
from tests.modalities.sdf.test_scenes import boxed
from tests.modalities.sdf.test_texts import box_obj, is_box, stl_bytes, stl_text, written

MEMBER = "a.obj"


@pytest.mark.parametrize("name", ["m.obj", "m.ply", "m.stl", "m.off", "m.glb", "m.3mf"])
def test_gzip_is_unpacked(name):
    path = Path(saved(ball(), name))
    plain = read_shape(str(path))
    data = path.read_bytes()
    half = len(data) // 2
    packed = gzip.compress(data[:half]) + gzip.compress(data[half:]) + bytes(512)
    shape = read_shape(written(packed, f"{name}.gz"))
    assert shape.sha256 == plain.sha256
    assert said(shape) == "unpacked by gzip"
    shape = read_shape(written(packed, name))  # as downloads are named that a server packed
    assert (shape.sha256, said(shape)) == (plain.sha256, "unpacked by gzip")
    assert "the gzip file is cut short" in refusal(
        written(packed[: len(packed) // 3], f"{name}.gz")
    )
    assert "Error" in refusal(written(packed[:40] + bytes(99) + packed[80:], f"{name}.gz"))


def test_gzip_that_unpacks_to_too_much_is_refused_before_it_does(monkeypatch):
    packed = written(gzip.compress(b"v 0 0 0\n" * 5_000_000), "m.obj.gz")
    assert "unpack to more than" in refusal(packed)
    monkeypatch.setattr("nint_cli.modalities.sdf.formats.reading._MOST_BYTES_BESIDE", 4000)
    assert "more than 8,800 bytes" in refusal(packed, max_faces=12)


@pytest.mark.parametrize(
    ("content", "note"),
    [
        (lambda: box_obj().encode(), "read as OBJ"),
        (lambda: stl_text().encode(), "read as STL"),
        (lambda: stl_bytes(), "read as STL"),
        (lambda: Path(boxed().glb()).read_bytes(), "read as GLB"),
    ],
)
def test_content_is_known_without_a_name(content, note):
    assert is_box(written(content(), "m"), note)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        (
            "m.dae",
            b"<?xml version='1.0'?>\n<COLLADA>",
            "a COLLADA file; convert it, as by 'assimp",
        ),
        ("m.xml", b"<?xml version='1.0'?>\n<COLLADA>", "assimp export IN.dae OUT.ply"),
        (
            "m.fbx",
            b"Kaydara FBX Binary  \0\x1a\0",
            "an FBX file; convert it, as by 'assimp export",
        ),
        ("m.fbx", b"; FBX 7.3.0 project file\n", "assimp export IN.fbx OUT.ply"),
        ("m.obj", b"Kaydara FBX Binary  \0\x1a\0", "an FBX file"),
        (
            "m.step",
            b"ISO-10303-21;\nHEADER;",
            "a STEP file; convert it to triangles, as by 'gmsh -2",
        ),
        ("m.stp", b"ISO-10303-21;\nHEADER;", "gmsh -2 IN.stp -o OUT.stl"),
        ("m.iges", b" " * 72 + b"S      1\n", "an IGES file"),
        ("m.usda", b"#usda 1.0\n", "a USD file; convert it, as by: blender -b"),
        ("m.usdc", b"PXR-USDC" + bytes(8), "usd_import(filepath='IN.usdc')"),
        ("m.blend", b"BLENDER-v405", "a Blender file; export it"),
        ("m.3ds", b"MM" + bytes(9), "a 3DS file"),
        ("m.wrl", b"#VRML V2.0 utf8\n", "a VRML file"),
        ("m.x3d", b"<?xml version='1.0'?><X3D>", "an X3D file"),
        ("m.drc", b"DRACO\2\2", "draco_decoder -i IN.drc -o OUT.ply"),
        ("m.vtk", b"# vtk DataFile Version 3.0\n", "a VTK file"),
        ("m.7z", b"7z\xbc\xaf\x27\x1c", "a 7z archive; unpack it"),
        ("m.tar", bytes(257) + b"ustar", "a tar archive; unpack it"),
    ],
)
def test_what_is_not_read_names_the_way_out(name, content, words):
    message = refusal(written(content, name))
    assert words in message
    assert "pip install" not in message


def archive(name, *members):
    with zipfile.ZipFile(name, "w") as file:
        for member in members:
            file.writestr(member, box_obj())
    return name


def test_zip_archives_name_what_is_in_them():
    assert "a zip archive; unpack it, and name the mesh, 'b/a.obj' perhaps" in refusal(
        archive("m.zip", "b/", "b/a.obj")
    )
    assert "a zip archive; unpack it" in refusal(archive("m.obj", MEMBER))
    assert "a zip archive; unpack it, and name the mesh" in refusal(archive("m.zip"))
    for path in (archive("m.usdz", "a.usdc"), archive("m.zip", "a.usda"), archive("n.usdz", "x")):
        message = refusal(path)
        assert "a USDZ file" in message
        assert "usd_import(filepath='IN.usdz')" in message
    packed = io.BytesIO(Path(archive("m.zip", MEMBER)).read_bytes()).getvalue()
    refusal(written(packed[:-30], "m.zip"))


def test_a_pipe_is_read_to_its_end_and_one_without_end_is_refused(monkeypatch):
    os.mkfifo("pipe.obj")

    def fed(content):
        def feed():
            try:
                Path("pipe.obj").write_bytes(content)
            except BrokenPipeError:
                pass

        thread = threading.Thread(target=feed)
        thread.start()
        return thread

    thread = fed(box_obj().encode())
    assert is_box("pipe.obj")
    thread.join()
    monkeypatch.setattr("nint_cli.modalities.sdf.files.MOST_STREAMED", 1000)
    thread = fed(bytes(1 << 24))
    assert "a stream of more than 1,000 bytes; save it as a file first" in refusal("pipe.obj")
    thread.join()


def test_the_bound_on_bytes_grows_with_the_faces():
    assert Reading(10).most_bytes - Reading(0).most_bytes == 4000
    assert np.isclose(Reading(0).most_bytes, 2**28)
