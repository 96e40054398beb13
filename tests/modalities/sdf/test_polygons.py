"""Faces of any number of corners, in every format that has them."""

import sys
from pathlib import Path

import numpy as np
import pytest

from nint_cli.modalities.sdf.distance import DistanceField
from nint_cli.modalities.sdf.files import read_shape
from nint_cli.modalities.sdf.formats import polygons
from nint_cli.modalities.sdf.formats.reading import Reading
from tests.modalities.sdf.test_files import refusal, said

BAR = np.array([(0, 0), (2, 0), (2, 0.4), (0.4, 0.4), (0.4, 2), (0, 2)])
"""An L, whose corner 3 is concave."""


def prism(outline, height=0.5):
    """Give vertices and faces of what stands on an outline, its outside out."""
    n = len(outline)
    flat = np.zeros((n, 1))
    vertices = np.concatenate([np.hstack([outline, flat]), np.hstack([outline, flat + height])])
    walls = [[i, (i + 1) % n, n + (i + 1) % n, n + i] for i in range(n)]
    return vertices, [list(range(n))[::-1], list(range(n, 2 * n)), *walls]


def as_obj(vertices, faces, path="m.obj"):
    lines = ["v {!r} {!r} {!r}".format(*row) for row in vertices.tolist()]
    lines += ["f " + " ".join(str(corner + 1) for corner in face) for face in faces]
    Path(path).write_text("\n".join(lines))
    return path


def as_off(vertices, faces, path="m.off"):
    lines = [f"OFF\n{len(vertices)} {len(faces)} 0"]
    lines += ["{!r} {!r} {!r}".format(*row) for row in vertices.tolist()]
    lines += [" ".join(map(str, [len(face), *face])) for face in faces]
    Path(path).write_text("\n".join(lines))
    return path


def ply_header(form, vertices, faces, kind="double"):
    return (
        f"ply\nformat {form} 1.0\nelement vertex {len(vertices)}\n"
        + "".join(f"property {kind} {axis}\n" for axis in "xyz")
        + f"element face {len(faces)}\nproperty list uchar int vertex_indices\nend_header\n"
    ).encode()


def as_ply(vertices, faces, path="m.ply"):
    data = ply_header("binary_big_endian", vertices, faces) + vertices.astype(">f8").tobytes()
    for face in faces:
        data += bytes([len(face)]) + np.array(face, ">i4").tobytes()
    Path(path).write_bytes(data)
    return path


def volume(shape):
    a, b, c = (shape.from_box(shape.vertices)[corner] for corner in shape.faces.T)
    return np.einsum("ij,ij->", a, np.cross(b, c)) / 6


def area(outline):
    x, y = outline.T
    return abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2


@pytest.mark.parametrize("write", [as_obj, as_off, as_ply])
@pytest.mark.parametrize("first", range(6))
@pytest.mark.parametrize("turned", [False, True])
def test_a_concave_polygon_is_filled_and_nothing_else(write, first, turned):
    outline = np.roll(BAR, first, axis=0)
    vertices, faces = prism(outline)
    if turned:
        faces = [face[::-1] for face in faces]
    shape = read_shape(write(vertices, faces))
    assert (len(shape.faces), shape.watertight) == (20, True)
    assert (["turned inside out" in line for line in shape.conversions]) == [True] * turned
    assert volume(shape) == pytest.approx(0.72)
    field = DistanceField(shape)
    points = np.array([[1.8, 0.2, 0.25], [0.2, 1.8, 0.25], [1, 1, 0.25], [1, 1, 0]])
    found = field.signed(shape.to_box(points)) * shape.scale
    np.testing.assert_allclose(found, [-0.2, -0.2, 0.6, 0.6], atol=1e-6)


def outlines():
    """Draw outlines that are seen whole from their middle, with corners on straight lines."""
    generator = np.random.default_rng(0)
    for count in (5, 6, 9, 40):
        angles = np.sort(generator.uniform(0, 2 * np.pi, count))
        outline = np.stack([np.cos(angles), np.sin(angles)], 1)
        outline *= generator.uniform(0.2, 1, (count, 1))
        yield outline
        yield np.stack([outline, (outline + np.roll(outline, -1, axis=0)) / 2], 1).reshape(-1, 2)
        yield np.round(outline * 8) / 8


@pytest.mark.parametrize("outline", list(outlines()))
@pytest.mark.parametrize("axes", [[0, 1, 2], [1, 2, 0], [2, 1, 0]])
def test_any_outline_keeps_its_area_and_its_edges(outline, axes):
    """The caps, in planes of all axes, and in one of none."""
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    for to_world in (np.eye(3)[axes], turn[axes]):
        vertices, faces = prism(outline)
        shape = read_shape(as_obj(vertices @ to_world.T, faces))
        assert shape.watertight
        assert volume(shape) == pytest.approx(0.5 * area(outline))


def test_corners_on_a_straight_edge_stay_and_no_triangle_is_a_line():
    square = np.array([(0, 0), (0.5, 0), (1, 0), (1, 0.3), (1, 1), (0.25, 1), (0, 1), (0, 0.7)])
    for first in range(8):
        vertices, faces = prism(np.roll(square, first, axis=0))
        shape = read_shape(as_obj(vertices, faces))
        assert (len(shape.vertices), len(shape.faces)) == (16, 2 * 6 + 2 * 8)
        assert shape.watertight
        assert shape.conversions == ()
        assert volume(shape) == pytest.approx(0.5)


def test_a_hole_that_a_slit_joins_to_the_rim_stays_open():
    outer = np.array([(0, 0), (4, 0), (4, 4), (0, 4.0)])
    inner = np.array([(1, 1), (3, 1), (3, 3), (1, 3.0)])
    corners = np.concatenate([outer, inner])
    bottom, top = (np.hstack([corners, np.full((8, 1), height)]) for height in (0.0, 1.0))
    ring = [0, 1, 2, 3, 0, 4, 7, 6, 5, 4]
    faces = [ring[::-1], [8 + corner for corner in ring]]
    for i in range(4):
        j = (i + 1) % 4
        faces += [[i, j, 8 + j, 8 + i], [4 + j, 4 + i, 12 + i, 12 + j]]
    shape = read_shape(as_obj(np.concatenate([bottom, top]), faces))
    assert shape.watertight
    assert volume(shape) == pytest.approx(16 - 4)
    points = shape.to_box(np.array([[2, 2, 0.5], [0.5, 2, 0.5]]))
    assert (np.sign(DistanceField(shape).signed(points)) == [1, -1]).all()


@pytest.mark.parametrize(
    "dart", [[(0, 0), (2, 0), (0.5, 0.5), (0, 2)], [(0, 0), (4, 1), (0, 2), (1, 1)]]
)
def test_a_concave_quadrilateral_is_cut_at_its_concave_corner(dart):
    for first in range(4):
        outline = np.roll(np.array(dart, float), first, axis=0)
        shape = read_shape(as_obj(*prism(outline)))
        assert shape.watertight
        assert shape.conversions == ()
        assert volume(shape) == pytest.approx(0.5 * area(outline))


def test_a_quadrilateral_that_is_not_flat_is_two_triangles():
    vertices, faces = prism(np.array([(0, 0), (1, 0), (1, 1), (0, 1.0)]))
    vertices[6, 2] = 0.9
    shape = read_shape(as_obj(vertices, faces))
    assert (len(shape.faces), shape.watertight, shape.conversions) == (12, True, ())
    assert 0.5 < volume(shape) < 0.5 + 0.4 / 2


def test_a_corner_that_is_named_twice_in_a_row_does_no_harm():
    vertices, faces = prism(BAR)
    faces[1] = [*faces[1][:3], faces[1][2], *faces[1][3:]]
    shape = read_shape(as_obj(vertices, faces))
    assert shape.watertight
    assert volume(shape) == pytest.approx(0.72)


def test_corners_that_ear_clipping_passes_by_are_put_back():
    """Of a comb, whose spine has a corner below every tooth's corners."""
    heights = [1, 3, 2, 3, 1, 2]
    spine = [(float(i), 0.0) for i in range(len(heights) + 1)]
    teeth = [(float(i + k), float(h)) for i, h in enumerate(heights) for k in (0, 1)]
    comb = np.array(spine + teeth[::-1])
    for first in range(len(comb)):
        vertices, faces = prism(np.roll(comb, first, axis=0))
        shape = read_shape(as_obj(vertices, faces))
        assert shape.watertight
        assert shape.conversions == ()
        assert len(shape.vertices) == 2 * len(comb)
        assert volume(shape) == pytest.approx(0.5 * sum(heights))


def test_a_spike_and_a_pinch_leave_the_surface_closed():
    spike = [(0, 0), (2, 0), (3, 0), (2, 0), (2, 2), (1, 1.5), (0, 2)]
    pinch = [(0, 0), (2, 0), (1, 1), (2, 2), (0, 2), (1, 1)]
    for outline, size in ((spike, 3.5), (pinch, 2)):
        shape = read_shape(as_obj(*prism(np.array(outline, float))))
        assert shape.watertight
        assert volume(shape) == pytest.approx(0.5 * size)


def test_a_polygon_that_crosses_itself_is_said_and_its_edges_stay():
    star = np.stack([np.cos(np.arange(5) * 0.8 * np.pi), np.sin(np.arange(5) * 0.8 * np.pi)], 1)
    shape = read_shape(as_obj(*prism(star)))
    assert "2 polygons cross or touch themselves, or have no area" in said(shape)
    assert shape.watertight


def test_a_missing_package_is_named_only_where_it_is_needed(monkeypatch):
    monkeypatch.setitem(sys.modules, "mapbox_earcut", None)
    message = refusal(as_obj(*prism(BAR)))
    assert (
        "need a package that is not installed (mapbox_earcut); pip install 'nint[sdf]'" in message
    )
    convex = np.array([(0, 0), (2, 0), (3, 1), (2, 2), (0, 2)])
    assert len(read_shape(as_obj(*prism(convex))).faces) == 2 * 3 + 2 * 5
    Path("m.stl").write_bytes(b"solid" + bytes(70))
    assert "install" not in refusal("m.stl")


@pytest.mark.parametrize("size", [1e-200, 1e200])
def test_polygons_of_any_size(size):
    vertices, faces = prism(BAR)
    shape = read_shape(as_obj(vertices * size, faces))
    assert shape.watertight
    field = DistanceField(shape)
    assert (
        field.signed(np.array([[0.3, 0.3, 0]]))[0]
        > 0
        > field.signed(np.array([[-0.72, -0.72, 0]]))[0]
    )


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_polygons_with_a_vertex_that_is_not_finite_are_refused(value):
    path = Path(as_obj(*prism(BAR)))
    path.write_text(path.read_text().replace("2.0", value, 1))
    assert "1 vertices are not finite" in refusal(path)


def test_faces_of_two_corners_are_left_out():
    vertices, faces = prism(BAR)
    shape = read_shape(as_obj(vertices, [*faces, [0, 1], [2]]))
    assert "2 faces of fewer than three corners left out" in said(shape)
    assert shape.watertight


def test_a_fan_is_made_where_all_of_it_is_seen_from_the_first_corner():
    vertices, faces = prism(BAR)
    ring = np.array(faces[1])
    for first, fans in ((0, True), (3, True), (4, False)):
        turned = np.roll(ring, -first)
        found = polygons.triangles(vertices, np.array([6]), turned, Reading(10))
        assert (np.array([found[:, 0] == turned[0]]).all()) == fans
        a, b, c = (vertices[found[:, corner], :2] for corner in range(3))
        twice = (b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]
        assert (twice > 0).all()
        assert twice.sum() / 2 == pytest.approx(area(BAR))
