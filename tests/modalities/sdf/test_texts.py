"""OBJ, OFF, PLY and STL as scanners, modelling programs and other converters write them."""

import struct
from pathlib import Path

import numpy as np
import pytest
import trimesh

from nint_cli.modalities.sdf.files import read_shape
from tests.modalities.sdf.test_files import ball, bare, refusal, said, saved
from tests.modalities.sdf.test_polygons import as_obj, as_off, ply_header, volume

BOX = np.array([(x, y, z) for x in (0.0, 2) for y in (0.0, 1) for z in (0.0, 1)])
QUADS = [[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]]
MIXED = [[0, 1, 3], [0, 3, 2], *QUADS[1:]]


def is_box(path, *notes):
    """Read the box 2 x 1 x 1, with just these things said."""
    shape = read_shape(str(path))
    assert shape.watertight
    assert (len(shape.vertices), len(shape.faces)) == (8, 12)
    vertices = shape.from_box(shape.vertices)
    np.testing.assert_allclose(
        [vertices.min(0), vertices.max(0)], [[0, 0, 0], [2, 1, 1]], atol=1e-12
    )
    assert volume(shape) == pytest.approx(2)
    assert len(shape.conversions) == len(notes), shape.conversions
    for note, line in zip(notes, shape.conversions, strict=True):
        assert note in line
    return True


def box_obj():
    return Path(as_obj(BOX, QUADS)).read_text() + "\n"


def written(text, name="m.obj"):
    Path(name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return name


# OBJ


@pytest.mark.parametrize(
    "changed",
    [
        lambda text: "\ufeff" + text,
        lambda text: "\n".join("  \t" + line for line in text.split("\n")),
        lambda text: text.replace(" ", "\t"),
        lambda text: text.replace(" ", "   ").replace("\n", "  \n\n"),
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("\n", "\r"),
        lambda text: text.strip(),
        lambda text: "# größer\nmtllib a.mtl\no box\n" + text.replace("\n", " # 1 2 3\n"),
        lambda text: text.replace("f 1 2 4 3", "f 1 \\\n2 \\\n  4 3"),
        lambda text: text.replace("f 1 2 4 3", "f 1 \\\r\n2 4\\\r\n 3"),
        lambda text: text.replace("\nf", " 0.5 0.25 1\nf", 1).replace("v 0.0", "v 0.0", 1),
        lambda text: text.replace("v 0.0 1.0 0.0", "v 0.0 1.0 0.0 1.0 0.5 0.5 0.5"),
        lambda text: text.replace("\n", " 1.0\n", 8),
        lambda text: "vt 0 0\nvn 1 0 0\nvp 3 3\n" + text + "l 1 2\np 1\n",
        lambda text: text[text.index("f") :] + text[: text.index("f")],
        lambda text: "f\n" + text,
        lambda text: text.replace("f ", "f\t", 1).replace("0.0", "0e0").replace("2.0", "+2"),
    ],
)
def test_obj_is_read_as_it_is_meant(changed):
    text = changed(box_obj())
    left_out = ["fewer than three corners"] if text.startswith("f\n") else []
    assert is_box(written(text), *left_out)


@pytest.mark.parametrize(
    "corner",
    ["{0}/{1}", "{0}//{1}", "{0}/{1}/{0}", "{0}/", "{0}//", "-{2}", "-{2}/-1/-{2}"],
)
def test_obj_has_vertices_before_slashes(corner):
    lines = ["v {} {} {}".format(*row) for row in BOX]
    for face in QUADS:
        lines.append("f " + " ".join(corner.format(v + 1, 7, 8 - v) for v in face))
    assert is_box(written("\n".join(lines)))


def test_obj_may_mix_all_kinds_of_corners():
    text = box_obj().replace("f 1 2 4 3", "f 1/5/6 2//1 4/2 3")
    assert is_box(written(text))
    assert is_box(written(text.replace("f 5 7 8 6", "f 5//1 7/2/2 8/1 -3/3/3/3")))


def test_obj_counts_backwards_from_the_line_where_a_face_is():
    lines = ["v {} {} {}".format(*BOX[v]) for v in range(4)] + ["f -4 -3 -1 -2"]
    lines += ["v {} {} {}".format(*BOX[v]) for v in range(4, 8)] + ["f -4 -2 -1 -3"]
    lines += ["f " + " ".join(str(v - 8) for v in face) for face in QUADS[2:]]
    assert is_box(written("\n".join(lines)))
    lines[0], lines[4] = lines[4], lines[0]
    assert "line 1: a face names vertex -4 of 8" in refusal(written("\n".join(lines)))


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("v 0.0 0.0 1.0", "v 0.0 0.0", "line 2: a vertex of 2 numbers, not three"),
        ("v 0.0 0.0 1.0", "v 7", "line 2: a vertex of 1 numbers, not three"),
        ("v 0.0 0.0 1.0", "v", "line 2: a vertex of 0 numbers, not three"),
        ("v 0.0 0.0 1.0", "v 0,0 0,0 1,0", "line 2: '0,0' is no number"),
        ("v 0.0 0.0 1.0", "v 0 0 1_0", "line 2: '1_0' is no number"),
        ("f 1 2 4 3", "f 1 2 4 9", "line 9: a face names vertex 9 of 8"),
        ("f 1 2 4 3", "f 1 2 4 -9", "line 9: a face names vertex -9 of 8"),
        ("f 1 2 4 3", "f 1 2 0 3", "line 9: a face names vertex 0, but OBJ counts from 1"),
        ("f 1 2 4 3", "f 1 2 4.5 3", "line 9: '4.5' is no number"),
        ("f 1 2 4 3", "f 1 2 x/4 3", "line 9: 'x' is no number"),
        ("f 5 7 8 6", "f 5 \\\n 7 8 \\\n 6\nf 1 2 99", "line 13: a face names vertex 99 of 8"),
    ],
)
def test_obj_that_is_wrong_names_its_line(old, new, reason):
    message = refusal(written(box_obj().replace(old, new)))
    assert reason in message
    assert "damaged" not in message


def test_obj_of_flat_or_bare_vertices_is_refused():
    for numbers in ("0 0", "0"):
        text = f"v {numbers}\n" * 3 + "f 1 2 3\n"
        assert f"a vertex of {len(numbers.split())} numbers" in refusal(written(text))


@pytest.mark.parametrize("coding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_wide_text_is_named(coding):
    for name in ("m.obj", "m.off", "m.stl", "m.txt"):
        assert "UTF-16 or UTF-32; save it as UTF-8" in refusal(
            written(box_obj().encode(coding), name)
        )
    assert "bytes of 0" in refusal(written(box_obj().encode() + b"#\0\n"))
    assert is_box(written(box_obj().encode() + bytes(99)))


# OFF


@pytest.mark.parametrize(
    "changed",
    [
        lambda text: text.replace("OFF\n", "OFF"),
        lambda text: text.replace("OFF\n", "OFF "),
        lambda text: text.replace("OFF\n", ""),
        lambda text: "\ufeff# a comment\n\n" + text.replace("\n", " # 1\n\n"),
        lambda text: text.replace("\n", "\r\n").replace(" ", "\t"),
        lambda text: text.replace("8 6 0", "8 6 12"),
        lambda text: text.replace("8 6 0", "8 6"),
        lambda text: (
            text
            .replace("OFF", "COFF", 1)
            .replace("0\n", "0 255 0 0 255\n")
            .replace("8 6 0 255 0 0 255", "8 6 0")
        ),
        lambda text: text.replace("OFF", "NOFF", 1).replace(".0\n", ".0 0 0 1\n"),
        lambda text: text.replace("OFF", "STCNOFF", 1).replace(".0\n", ".0 0 0 1 1 1 1 1 0 0\n"),
        lambda text: text.replace("4 0 1 3 2", "4 0 1 3 2 0.5 0.5 0.5"),
        lambda text: text.replace("4 0 1 3 2", "4 0 1 3 2 255"),
        lambda text: "  " + text.replace("\n", "\n  "),
        lambda text: text.replace("OFF", "off"),
        lambda text: text.replace("8 6 0", "8\n6\n0"),
        lambda text: text.replace("8 6 0", "8\n6"),
        lambda text: text.replace("\n", " "),
        lambda text: "# a comment\n" + text.replace(".0\n", ".0 "),
    ],
)
def test_off_is_read_as_it_is_meant(changed):
    text = Path(as_off(BOX, QUADS)).read_text() + "\n"
    assert is_box(written(changed(text), "m.off"))


def test_off_of_hexagons():
    angles = np.arange(6) * np.pi / 3
    ring = np.stack([np.cos(angles), np.sin(angles)], 1)
    vertices = np.concatenate([np.hstack([ring, np.full((6, 1), h)]) for h in (0.0, 1.0)])
    faces = [[*range(6)][::-1], [*range(6, 12)]]
    faces += [[i, (i + 1) % 6, 6 + (i + 1) % 6, 6 + i] for i in range(6)]
    shape = read_shape(as_off(vertices, faces))
    assert (len(shape.faces), shape.watertight) == (20, True)
    assert volume(shape) == pytest.approx(1.5 * 3**0.5)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("OFF", "4OFF", "other than three dimensions"),
        ("OFF", "nOFF", "other than three dimensions"),
        ("OFF", "OFF BINARY", "binary OFF"),
        ("8 6 0", "8 7 0", "7 faces promised, 6 found"),
        ("8 6 0", "80 6 0", "6 faces promised, 0 found"),
        ("4 0 1 3 2", "4 0 1 3", "line 11: a face of 4 corners, in a line of 4 numbers"),
        ("4 0 1 3 2", "-4 0 1 3", "line 11: a face of -4 corners"),
        ("4 0 1 3 2", "4 0 1 3 8", "a face names vertex 8 of 8"),
        ("4 0 1 3 2", "4 0 1 3 2.5", "a face counts or names 2.5, no whole number"),
        ("4 0 1 3 2", "4 0 1 nan 2", "a face counts or names nan, no whole number"),
        ("4 0 1 3 2", "1e300 0 1 3", "a face counts or names 1e+300, no whole number"),
        ("4 0 1 3 2", "4 0 1 3 x", "line 11: 'x' is no number"),
        ("0.0 0.0 1.0", "0.0 0.0", "line 4: a vertex of 2 numbers"),
    ],
)
def test_off_that_is_wrong_says_why(old, new, reason):
    text = Path(as_off(BOX, QUADS)).read_text() + "\n"
    assert reason in refusal(written(text.replace(old, new, 1), "m.off"))


def test_off_in_one_line_must_fit_to_the_last_number():
    words = Path(as_off(BOX, QUADS)).read_text().split()
    assert is_box(written(" ".join(words), "m.off"))
    for wrong, reason in (
        ([*words, "7"], "6 faces promised, 6 found, and 1 numbers beyond"),
        (words[:-1], "6 faces promised, 5 found, and 4 numbers beyond"),
        (words[:20], "6 faces promised, 0 found, and 0 numbers beyond"),
        ([*words[:-5], "-4"], "6 faces promised, 5 found, and 1 numbers beyond"),
        (["C" + words[0], *words[1:]], "6 faces promised, 0 found"),
    ):
        assert reason in refusal(written(" ".join(wrong), "m.off"))


def test_off_may_go_on_behind_its_last_face():
    text = Path(as_off(BOX, QUADS)).read_text() + "\n1 2 3\n"
    assert is_box(written(text, "m.off"), "what follows the last face is passed over")


def test_off_without_its_numbers_is_refused():
    for text in ("OFF\n", "OFF BIN\n8 6 0\n", "OFF 8\n6\n"):
        refusal(written(text, "m.off"))


# PLY

CODES = {"char": "b", "uchar": "B", "short": "h", "ushort": "H", "int": "i", "uint": "I",
         "float": "f", "double": "d"}  # fmt: skip


def ply(order, faces, *, kind="double", length="uchar", index="int", name="vertex_indices",
        before="", after="", extra=(), tail=b""):  # fmt: skip
    """Write a box with properties before and after the list of corners, of values in `extra`."""
    form = {"<": "binary_little_endian", ">": "binary_big_endian", "": "ascii"}[order]
    header = ply_header(form, BOX, faces, kind).decode()
    column = "property list uchar int vertex_indices\n"
    header = header.replace(column, before + f"property list {length} {index} {name}\n" + after)
    rows = [(CODES[kind] * 3, list(row)) for row in BOX]
    for face in faces:
        first, last = extra or ([], [])
        code = "".join(c for c, _ in first) + CODES[length] + CODES[index] * len(face)
        code += "".join(c for c, _ in last)
        rows.append((code, [*(v for _, v in first), len(face), *face, *(v for _, v in last)]))
    if not order:
        return (
            header.encode()
            + "\n".join(" ".join(f"{v:g}" for v in row) for _, row in rows).encode()
            + b"\n"
            + tail
        )
    body = b"".join(
        struct.pack(
            order + code, *(int(v) if c not in "fd" else v for c, v in zip(code, row, strict=True))
        )
        for code, row in rows
    )
    return header.encode() + body + tail


@pytest.mark.parametrize("order", ["", "<", ">"])
@pytest.mark.parametrize("faces", [QUADS, MIXED, MIXED[::-1]])
@pytest.mark.parametrize("kind", ["float", "double", "short"])
def test_ply_of_all_orders_and_kinds(order, faces, kind):
    assert is_box(written(ply(order, faces, kind=kind), "m.ply"))


@pytest.mark.parametrize("order", ["", "<", ">"])
@pytest.mark.parametrize("length", ["char", "uchar", "ushort", "int", "uint"])
@pytest.mark.parametrize("index", ["char", "uchar", "short", "ushort", "int", "uint"])
def test_ply_lists_have_any_type(order, length, index):
    data = ply(order, MIXED, length=length, index=index, name="vertex_index")
    assert is_box(written(data, "m.ply"))


@pytest.mark.parametrize("order", ["", "<", ">"])
@pytest.mark.parametrize("faces", [QUADS, MIXED])
def test_ply_faces_have_other_properties_beside_their_corners(order, faces):
    data = ply(
        order,
        faces,
        before="property uchar red\nproperty list uchar float texcoord\n",
        after="property double quality\nproperty list int short more\nproperty int flags\n",
        extra=(
            [("B", 7), ("B", 2), ("f", 0.5), ("f", 0.25)],
            [("d", 1.5), ("i", 1), ("h", -3), ("i", 9)],
        ),
    )
    assert is_box(written(data, "m.ply"))


def test_ply_elements_that_are_not_known_are_passed_over():
    text = ply("", MIXED).decode()
    text = text.replace("element vertex", "element camera 2\nproperty float f\nelement vertex", 1)
    text = text.replace(
        "end_header\n", "element material 1\nproperty int m\nend_header\n1.5\n2.5\n"
    )
    assert is_box(written(text + "3\n", "m.ply"))
    data = ply("<", MIXED)
    data = data.replace(
        b"element vertex",
        b"element odd 2\nproperty list uchar short a\nproperty float b\nelement vertex",
        1,
    )
    data = data.replace(
        b"end_header\n",
        b"end_header\n" + struct.pack("<Bhf", 1, 2, 3.0) + struct.pack("<Bhhf", 2, 2, 3, 3.0),
    )
    assert is_box(written(data, "m.ply"))


@pytest.mark.parametrize("order", ["", "<", ">"])
def test_ply_of_triangle_strips(order):
    """Two strips in one list with -1 between them, a third in a list of its own."""
    strips = [[0, 1, 2, 3, 6, 7, 4, 5, 0, 1, -1, 0, 2, 4, 6], [1, 5, 3, 7]]
    data = ply(order, strips, length="int")
    data = data.replace(b"element face", b"element tristrips")
    assert is_box(written(data, "m.ply"))


@pytest.mark.parametrize("order", ["", "<"])
def test_ply_may_go_on_behind_its_last_element(order):
    for tail in (b"7 8 9\n", b"the end\n"):
        data = ply(order, MIXED, tail=tail)
        assert is_box(written(data, "m.ply"), "what follows the last element is passed over")
    assert is_box(written(ply(order, MIXED, tail=b"\n \n"), "m.ply"))


@pytest.mark.parametrize("newline", [b"\r\n", b"\r"])
def test_ply_headers_end_their_lines_as_any_system_does(newline):
    head, mark, body = ply("<", QUADS).partition(b"end_header\n")
    head = (head + mark).replace(b"\n", newline).replace(b"double", b"float64")
    head = head.replace(
        b"element", b"comment of 3 words" + newline + b"obj_info" + newline + b"element", 1
    )
    assert is_box(written(head + body, "m.ply"))
    text = ply("", QUADS).replace(b"\n", newline)
    assert is_box(written(text, "m.ply"))


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("end_header", "end", "its header has no end"),
        ("format ascii 1.0\n", "", "its header names no format"),
        ("format ascii 1.0", "format ascci 1.0", "ascci"),
        ("property double x", "property quad x", "quad"),
        ("property double x", "property double", "its header says 'property double'"),
        ("property double x", "property double u", "its vertices have no x, y and z"),
        ("vertex_indices", "corners", "no list vertex_indices or vertex_index"),
        ("element face 7", "element face 8", "8 rows of face promised, 7 found"),
        ("element face 7", "element face -1", ""),
        ("3 0 1 3", "-3 0 1 3", "a list of -3 numbers in face 0"),
        ("3 0 1 3", "3 0 1 1e300", "a face counts or names 1e+300, no whole number"),
        ("3 0 1 3", "3 0 1 0.5", "a face counts or names 0.5, no whole number"),
        ("3 0 1 3", "3.5 0 1 3", "a list of 3.5 numbers in face 0"),
        ("3 0 1 3", "inf 0 1 3", "infinity"),
        ("3 0 1 3", "nan 0 1 3", "NaN"),
        ("3 0 1 3", "3 0 1 8", "a face names vertex 8 of 8"),
        ("3 0 1 3", "3 0 x 3", ""),
    ],
)
def test_ply_that_is_wrong_says_why(old, new, reason):
    text = ply("", MIXED).decode()
    assert old in text
    assert reason in refusal(written(text.replace(old, new, 1), "m.ply"))


def test_ply_keeps_double_precision():
    vertices = BOX + np.array([500000, 5000000, 100])
    data = ply_header("binary_little_endian", vertices, QUADS) + vertices.tobytes()
    data += b"".join(struct.pack("<B4i", 4, *face) for face in QUADS)
    shape = read_shape(written(data, "m.ply"))
    np.testing.assert_array_equal(shape.centre, [500001, 5000000.5, 100.5])
    assert volume(shape) == pytest.approx(2, rel=1e-6)


# STL


def stl_text(loops=None):
    lines = ["solid box"]
    for face in loops or [t for q in QUADS for t in (q[:3], [q[0], *q[2:]])]:
        lines += ["facet normal 0 0 0", "outer loop"]
        lines += ["vertex {} {} {}".format(*BOX[v]) for v in face]
        lines += ["endloop", "endfacet"]
    return "\n".join([*lines, "endsolid box", ""])


def stl_bytes():
    return trimesh.Trimesh(BOX, [t for q in QUADS for t in (q[:3], [q[0], *q[2:]])],
                           process=False).export(file_type="stl")  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "notes"),
    [
        (lambda text: text.replace("\n", "\r\n").replace("outer", "\t outer"), []),
        (lambda text: text.replace("\n", "\r"), []),
        (lambda text: "\n \t" + text.replace("vertex", "\t\tvertex  "), []),
        (lambda text: "\ufeff" + text, []),
        (lambda text: text.upper(), []),
        (lambda text: text.replace("\n", " "), []),
        (lambda text: text.replace("solid box", "solid"), []),
        (lambda text: text.replace("solid box", "solid vertex of a facet\n", 1), []),
        (lambda text: text.replace("2.0", "2.000000e+00").replace("1.0", "1.E0"), []),
        (lambda text: text.replace("endloop\nendfacet\nfacet",
                                   "endloop\nendfacet\nendsolid\nsolid b\nfacet", 3), []),
        (lambda text: text.replace(" normal 0 0 0", ""), []),
        (lambda text: text.removesuffix("endsolid box\n"), ["no 'endsolid'"]),
        (lambda text: text.removeprefix("solid box\n"), []),
    ],
)  # fmt: skip
def test_stl_texts_are_read_as_they_are_meant(changed, notes):
    assert is_box(written(changed(stl_text()), "m.stl"), *notes)


def test_stl_loops_may_have_more_corners():
    assert is_box(written(stl_text(QUADS), "m.stl"))


def test_stl_text_that_is_wrong_says_why():
    text = stl_text()
    assert "cut short" in refusal(written(text[: text.rindex("endloop")], "m.stl"))
    number = text.split("\n").index("vertex 0.0 1.0 1.0") + 1
    wrong = text.replace("vertex 0.0 1.0 1.0", "vertex 0.0 1.0", 1)
    assert f"line {number}: a vertex of 2 numbers" in refusal(written(wrong, "m.stl"))


def test_a_signalling_nan_is_refused_without_a_warning():
    data = bytearray(stl_bytes())
    data[96:100] = struct.pack("<I", 0x7FA00000)
    assert "vertices are not finite" in refusal(written(bytes(data), "m.stl"))


def test_stl_may_go_on_behind_its_last_triangle():
    for tail in (b"x", bytes(24), bytes(50), bytes(1000)):
        note = f"{len(tail):,} bytes after the last triangle passed over"
        assert is_box(written(stl_bytes() + tail, "m.stl"), note)
    solid = b"solid by a program".ljust(80) + stl_bytes()[80:]
    assert is_box(written(solid, "m.stl"))
    assert is_box(written(solid + bytes(3), "m.stl"), "3 bytes after")


@pytest.mark.parametrize("count", [0, 0xFFFFFFFF])
def test_stl_that_does_not_count_its_triangles_is_read_to_its_end(count):
    data = bytearray(stl_bytes())
    data[80:84] = struct.pack("<I", count)
    assert is_box(written(bytes(data), "m.stl"), "does not count its 12 triangles")


def test_stl_with_fewer_triangles_than_counted_is_refused():
    data = stl_bytes()
    for cut in (1, 50, 99):
        found = 11 if cut <= 50 else 10
        message = refusal(written(data[:-cut], "m.stl"))
        assert f"12 faces promised, {found} found; it is cut short" in message
        assert "install" not in message


# All


@pytest.mark.parametrize("name", ["m.ply", "m.stl", "m.off", "m.obj"])
def test_texts_and_bytes_of_a_ball_agree_with_another_reader(name):
    mesh = ball(1.3, (5, 6, 7))
    shape = read_shape(saved(bare(mesh.vertices, mesh.faces), name))
    other = trimesh.load_mesh(name)
    assert volume(shape) == pytest.approx(other.volume, rel=1e-6)
    assert said(shape) == ""
