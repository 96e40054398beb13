"""What becomes of triangles: parts turned, cracks closed, bodies united."""

import sys
from pathlib import Path

import numpy as np
import pytest
import trimesh

from nint_cli.errors import ConfigError
from nint_cli.modalities.sdf.distance import DistanceField
from nint_cli.modalities.sdf.files import read_shape
from nint_cli.modalities.sdf.mesh_edges import Edges
from nint_cli.modalities.sdf.solid import NoSolid, solid
from tests import oracles
from tests.modalities.sdf.test_distance import box_distance
from tests.modalities.sdf.test_files import ball, refusal, said


def shape_of(*meshes, **options):
    """The shape that bodies become."""
    whole = trimesh.util.concatenate(meshes)
    return solid(np.array(whole.vertices), np.array(whole.faces, np.int64), [], **options)


def inverted(mesh):
    turned = mesh.copy()
    turned.invert()
    return turned


def soup(mesh):
    """As STL has it."""
    corners = mesh.vertices[mesh.faces].reshape(-1, 3)
    return trimesh.Trimesh(corners, np.arange(len(corners)).reshape(-1, 3), process=False)


def box(low, high):
    mesh = trimesh.creation.box(np.subtract(high, low))
    mesh.apply_translation(np.add(low, high) / 2)
    return mesh


def without(mesh, gone):
    """A mesh without some of its faces."""
    return trimesh.Trimesh(mesh.vertices, np.array(mesh.faces)[~gone], process=False)


def distance(shape, points):
    """Signed distances in the file's units."""
    field = DistanceField(shape)
    return field.signed(shape.to_box(np.array(points, float))) * shape.scale


def volume(shape):
    vertices = shape.from_box(shape.vertices)
    return trimesh.Trimesh(vertices, shape.faces, process=False).volume


def raw(lines):
    """An OBJ file of vertices and faces, as it stands."""
    Path("m.obj").write_text("\n".join(lines))
    return "m.obj"


# Which side of each part is out


def cap_is_off(mesh, height):
    return without(mesh, mesh.triangles_center[:, 2] > height)


def test_a_hole_in_one_part_does_not_turn_another():
    opened = ball(subdivisions=3)
    gone = np.argsort(opened.triangles_center.sum(axis=1))[-40:]
    opened = without(opened, np.isin(np.arange(1280), gone))
    shape = shape_of(opened, inverted(ball(0.8, (4, 0, 0), 3)))
    points = [[0, 0, 0], [4, 0, 0], [4, 0, 0.7], [2, 0, 0], [4, 0, 0.9]]
    assert (np.sign(distance(shape, points)) == [-1, -1, -1, 1, 1]).all()
    assert "1 of 2 parts turned inside out" in said(shape)
    assert (shape.watertight, len(shape.faces)) == (False, 1240 + 1280)
    np.testing.assert_allclose(shape.bounds, [[-1, -1, -1], [4.8, 1, 1]], atol=1e-12)


@pytest.mark.parametrize("signs", [(1, 1), (1, -1), (-1, 1), (-1, -1)])
@pytest.mark.parametrize("height", [2, 0.8])
def test_each_part_in_the_open_has_its_outside_out(signs, height):
    """Whole balls, and balls without a cap."""
    balls = [cap_is_off(ball(subdivisions=3), height) for _ in signs]
    balls[1].apply_translation([3, 0, 0])
    shape = shape_of(*(b if s > 0 else inverted(b) for b, s in zip(balls, signs, strict=True)))
    points = [[0, 0, -0.5], [3, 0, -0.5], [1.5, 0, -0.5]]
    assert (np.sign(distance(shape, points)) == [-1, -1, 1]).all()


CENTRES = [[0, 0, 0], [0.45, 0, 0], [0.75, 0, 0], [1.2, 0, 0]]


@pytest.mark.parametrize(
    ("facings", "signs"),
    [
        ((1, -1), [1, 1, -1, 1]),  # a hollow ball
        ((-1, 1), [1, 1, -1, 1]),  # the same inside out: turned as a whole
        ((1, 1), [-1, -1, -1, 1]),  # a body within a body
        ((-1, -1), [-1, -1, -1, 1]),
        ((1, -1, 1), [-1, 1, -1, 1]),  # a body within a hollow
        ((1, -1, -1), [-1, 1, -1, 1]),
        ((-1, 1, -1), [-1, 1, -1, 1]),
    ],
)
def test_shells_within_each_other_are_hollows_where_they_face_each_other(facings, signs):
    shells = [ball(radius) for radius in (1, 0.6, 0.3)]
    shape = shape_of(*(s if f > 0 else inverted(s) for s, f in zip(shells, facings, strict=False)))
    assert (np.sign(distance(shape, CENTRES)) == signs).all()
    assert shape.watertight
    # The walls of hollows count, those within bodies do not.
    reached = abs(distance(shape, CENTRES)[1])
    assert reached == pytest.approx(0.55 if signs[1] < 0 else 0.15, abs=0.04)


def test_a_ball_inside_out_that_only_overlaps_another_is_no_hollow():
    shape = shape_of(ball(1), inverted(ball(0.5, (1, 0, 0))))
    assert (distance(shape, [[0, 0, 0], [0.7, 0, 0], [1.3, 0, 0]]) < 0).all()


def test_the_wall_of_an_open_bowl_faces_its_hollow():
    shells = [cap_is_off(ball(radius, subdivisions=3), 0.3) for radius in (1, 0.7)]
    for turn in (False, True):
        pair = [shells[0], inverted(shells[1])]
        shape = shape_of(*(map(inverted, pair) if turn else pair))
        assert (np.sign(distance(shape, [[0, 0, -0.85], [0, 0, -0.4]])) == [-1, 1]).all()


def test_sides_that_are_stored_one_by_one_are_turned_together():
    """Quadrilaterals with gaps between them: none has an inside of its own."""
    mesh = box([0, 0, 0], [2, 1, 1])
    sides = []
    for normal in np.unique(np.array(mesh.face_normals).round(6), axis=0):
        side = without(mesh, (np.array(mesh.face_normals) @ normal) < 0.5)
        side.apply_translation(1e-3 * normal)
        sides.append(side)
    for chosen in (sides, list(map(inverted, sides))):
        shape = shape_of(*chosen)
        assert (np.sign(distance(shape, [[1, 0.5, 0.5], [2.1, 0.5, 0.5]])) == [-1, 1]).all()


@pytest.mark.parametrize("turn", [False, True])
def test_panels_that_are_dented_do_not_tell_an_inside_of_their_own(turn):
    """Sides of a cube with gaps between them, each with its middle a little inside."""
    panel = trimesh.Trimesh(
        [[-0.5, -0.5, 0], [0.5, -0.5, 0], [0.5, 0.5, 0], [-0.5, 0.5, 0], [0, 0, -0.04]],
        [[0, 1, 4], [1, 2, 4], [2, 3, 4], [3, 0, 4]],
    )
    panel.apply_translation([0, 0, 0.501])
    panels = []
    for angle, axis in zip(
        np.arange(6) * np.pi / 2, [[1, 0, 0]] * 4 + [[0, 1, 0]] * 2, strict=True
    ):
        side = panel.copy()
        angle = angle if axis[0] else angle + np.pi / 2  # the fifth and the sixth face sideways
        side.apply_transform(trimesh.transformations.rotation_matrix(angle, axis))
        panels.append(inverted(side) if turn else side)
    shape = shape_of(*panels)
    assert (
        np.sign(distance(shape, [[0, 0, 0], [0.4, 0.3, 0.2], [0, 0, 0.6]])) == [-1, -1, 1]
    ).all()


def test_what_has_no_volume_is_refused():
    """A bar whose section is a bow tie, of which one half is inside out."""
    section = np.array([[-1, -1], [1, 1], [1, -1], [-1, 1]])
    vertices = np.array([[x, y, z] for z in (0, 3) for x, y in section], float)
    sides = [[i, (i + 1) % 4, i + 4] for i in range(4)]
    sides += [[(i + 1) % 4, (i + 1) % 4 + 4, i + 4] for i in range(4)]
    caps = [[0, 2, 1], [0, 3, 2], [4, 5, 6], [4, 6, 7]]
    with pytest.raises(NoSolid, match="its volume is zero"):
        solid(vertices, np.array(sides + caps), [])
    vertices[[1, 5]] *= [2, 2, 1]
    assert solid(vertices, np.array(sides + caps), []).watertight


# Slivers and cracks

BOX = [
    *("v 0 0 0", "v 0 0 1", "v 0 1 0", "v 0 1 1", "v 2 0 0", "v 2 0 1", "v 2 1 0", "v 2 1 1"),
    *("f 1 2 4", "f 1 4 3", "f 5 7 8", "f 5 8 6", "f 1 5 6", "f 1 6 2"),
    *("f 3 4 8", "f 3 8 7", "f 2 6 8", "f 2 8 4"),
]
BOTTOM = ["f 1 3 7", "f 1 7 5"]


@pytest.mark.parametrize(
    ("more", "faces"),
    [
        ([*BOTTOM, "v 1 0 0", "f 1 9 5"], 12),  # beside a closed box
        (["f 1 3 7", "v 1 0 0", "f 1 7 9", "f 9 7 5", "f 1 9 5"], 14),  # closing it
        (["f 1 3 7", "v 1 0 0", "f 1 7 9", "f 9 7 5"], 14),  # a vertex on an edge, and no sliver
        (["f 1 3 7", "v .5 0 0", "v 1.5 0 0", "f 1 7 9", "f 9 7 10", "f 10 7 5"], 16),
        (["f 1 3 7", "v 1.00000011 -1e-8 2e-8", "f 1 7 9", "f 9 7 5"], 14),  # in 32 bits
        # A fan around the middle, with vertices on all four edges of the bottom.
        (
            [
                *(
                    "v 1 0 0",
                    "v 0 .5 0",
                    "v 1 1 0",
                    "v 2 .5 0",
                    "v 1 .5 0",
                    "f 13 9 1",
                    "f 13 1 10",
                ),
                *("f 13 10 3", "f 13 3 11", "f 13 11 7", "f 13 7 12", "f 13 12 5", "f 13 5 9"),
            ],
            22,
        ),
    ],
)
def test_slivers_and_vertices_on_edges_leave_no_crack(more, faces):
    shape = read_shape(raw([*BOX, *more]), require_watertight=True)
    assert (len(shape.faces), shape.holes) == (faces, 0)
    assert volume(shape) == pytest.approx(2, rel=1e-6)
    np.testing.assert_allclose(shape.bounds, [[0, 0, 0], [2, 1, 1]], atol=1e-6)
    np.testing.assert_allclose(distance(shape, [[1, 0.5, 0.5], [2.1, 0.5, 0.5]]), [-0.5, 0.1])
    edges = Edges.of(shape.faces)
    assert (edges.count == 2).all()
    assert set(shape.faces.reshape(-1)) == set(range(len(shape.vertices)))


@pytest.mark.parametrize("number", ["%.9g", "%.6f"])
def test_slivers_of_some_height_are_dropped_where_that_closes_a_mesh(number):
    turned = trimesh.transformations.euler_matrix(0.4, 0.7, 0.1)[:3, :3]
    mesh = box([0, 0, 0], [2, 1, 1])
    edges = mesh.vertices[mesh.edges_unique[:3]]
    vertices = np.concatenate([mesh.vertices, edges.mean(axis=1)]) @ turned.T
    faces = [
        *mesh.faces,
        *(np.append(edge, 8 + n) for n, edge in enumerate(mesh.edges_unique[:3])),
    ]
    lines = ["v " + " ".join(number % value for value in vertex) for vertex in vertices]
    lines += ["f " + " ".join(str(corner + 1) for corner in face) for face in faces]
    Path("m.obj").write_text("\n".join(lines))
    shape = read_shape("m.obj", require_watertight=True)
    assert (len(shape.vertices), len(shape.faces)) == (8, 12)
    assert "3 slivers dropped" in said(shape)
    assert volume(shape) == pytest.approx(2, abs=1e-5)


def test_slivers_that_close_nothing_stay():
    """As beside a real hole, whose rim they only move."""
    opened = without(ball(1, subdivisions=3), np.arange(1280) == 0)
    corners = opened.vertices[opened.faces[5]]
    thin = [*corners[:2], corners[:2].mean(axis=0) + 1e-6]
    shape = shape_of(opened, trimesh.Trimesh(np.array(thin) * 3, [[0, 1, 2]], process=False))
    assert len(shape.faces) == 1280
    assert "sliver" not in said(shape)


@pytest.mark.parametrize("whole", ["f 1 7 5", "f 7 5 1", "f 5 1 7"])
def test_an_edge_is_cut_in_the_order_in_which_its_face_passes_it(whole):
    finely = ["v .5 0 0", "v 1.5 0 0", "f 1 9 6", "f 9 10 6", "f 10 5 6"]
    others = [line for line in BOX if line != "f 1 5 6"]
    shape = read_shape(raw([*others, "f 1 3 7", whole, *finely]), require_watertight=True)
    assert volume(shape) == pytest.approx(2)
    a, b, c = shape.vertices[shape.faces].transpose(1, 0, 2)
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2 * shape.scale**2
    assert area == pytest.approx(10)


def test_a_face_with_vertices_of_others_on_all_its_edges_is_cut_at_each():
    mesh = trimesh.creation.icosphere(0)
    fine = mesh.subdivide()
    corners = np.array(mesh.triangles)[0]
    above = (np.array(fine.vertices) - corners[0]) @ np.array(mesh.face_normals)[0]
    replaced = (np.abs(above) < 1e-9)[np.array(fine.faces)].all(axis=1)
    assert replaced.sum() == 4
    shape = shape_of(without(fine, replaced), trimesh.Trimesh(corners, [[0, 1, 2]], process=False))
    assert shape.watertight
    assert "edges cut at 3 vertices" in said(shape)
    assert volume(shape) == pytest.approx(mesh.volume)


def test_a_hole_beside_a_crack_stays_a_hole():
    lines = [*BOX, "v 1 0 0", "f 1 7 9", "f 9 7 5"]  # one of the bottom's triangles is missing
    message = refusal(raw(lines), require_watertight=True)
    assert "not watertight (1 hole)" in message


def test_what_is_dropped_does_not_widen_the_box():
    plain = read_shape(raw([*BOX, *BOTTOM]))
    shape = read_shape(raw([*BOX, *BOTTOM, "v 900 0 0", "f 1 5 9", "f 9 9 9"]))
    assert "2 degenerate faces dropped" in said(shape)
    assert shape.scale == pytest.approx(plain.scale)
    np.testing.assert_allclose(shape.vertices, plain.vertices, atol=1e-12)


def cracked(scale, gap):
    """A ball whose triangles share no vertex, each corner a little elsewhere."""
    mesh = ball()
    corners = np.array(mesh.triangles).reshape(-1, 3)
    noise = np.random.default_rng(0).uniform(-1, 1, corners.shape)
    faces = np.arange(len(corners)).reshape(-1, 3)
    return trimesh.Trimesh((corners + gap / 4 * noise) * scale, faces, process=False)


@pytest.mark.parametrize("scale", [1, 1000])
def test_cracks_of_rounding_are_welded_within_a_tolerance_in_the_files_units(scale):
    mesh = cracked(scale, 1e-5)
    assert not shape_of(mesh).watertight
    assert not shape_of(mesh, weld=1e-8 * scale).watertight
    shape = shape_of(mesh, weld=1e-5 * scale)
    assert shape.watertight
    assert (len(shape.vertices), len(shape.faces)) == (162, 320)
    assert "798 vertices welded to others" in said(shape)
    assert volume(shape) == pytest.approx(ball().volume * scale**3, rel=1e-4)


def test_welding_everything_is_refused():
    mesh = ball()
    typical = float(np.median(mesh.edges_unique_length))
    assert shape_of(mesh, weld=0.9 * float(mesh.edges_unique_length.min())).watertight
    with pytest.raises(NoSolid, match=r"sdf.weld = 1 would weld half of its edges away"):
        shape_of(mesh, weld=1.0)
    with pytest.raises(NoSolid, match=f"up to {typical:.3g} long"):
        shape_of(mesh, weld=1.01 * typical)


# Walls within


@pytest.mark.parametrize(
    ("boxes", "whole", "removed"),
    [
        ([([0, 0, 0], [2, 1, 1]), ([1, 0, 0], [3, 1, 1])], ([0, 0, 0], [3, 1, 1]), 6 / 20),
        ([([0, 0, 0], [1, 1, 1]), ([1, 0, 0], [3, 1, 1])], ([0, 0, 0], [3, 1, 1]), 2 / 16),
        (
            [([0, 0, 0], [3, 1, 1]), ([1, 0.2, 0.2], [2, 0.8, 0.8])],
            ([0, 0, 0], [3, 1, 1]),
            3.12 / 17.12,
        ),
        (
            [([x, y, 0], [x + 1, y + 1, 1]) for x in range(3) for y in range(2)],
            ([0, 0, 0], [3, 2, 1]),
            14 / 36,
        ),
        (  # side by side, with vertices on the other's edges
            [([0, 0, 0], [1, 2, 1]), ([1, 0, 0], [3, 1, 1]), ([1, 1, 0], [3, 2, 1])],
            ([0, 0, 0], [3, 2, 1]),
            8 / 30,
        ),
    ],
)
def test_boxes_that_overlap_or_touch_are_one_box(boxes, whole, removed):
    shape = shape_of(*(box(*each) for each in boxes))
    low, high = np.array(whole, float)
    points = np.random.default_rng(0).uniform(low - 0.5, high + 0.5, (500, 3))
    expected = box_distance(points - (low + high) / 2, (high - low) / 2)
    np.testing.assert_allclose(distance(shape, points), expected, atol=1e-9)
    assert shape.watertight
    assert volume(shape) == pytest.approx((high - low).prod())
    assert shape.walls_removed == pytest.approx(removed)
    assert "bodies united" in said(shape) or "lay back to back" in said(shape)


def outer_distance(points, meshes):
    """Distances to what of each body's surface lies in no other body, by samples of it."""
    kept = []
    for mesh in meshes:
        samples = trimesh.sample.sample_surface(mesh, 2000, seed=0)[0]
        for other in meshes:
            if other is not mesh:
                around = oracles.winding_number(samples, other.vertices, other.faces)
                samples = samples[np.abs(around) < 0.5]
        kept.append(samples)
    kept = np.concatenate(kept)
    return np.array([np.linalg.norm(kept - point, axis=1).min() for point in points])


def test_distances_are_to_the_outer_surface_of_balls_that_overlap():
    places = [(1, (0, 0, 0)), (0.8, (0.9, 0.2, 0)), (0.6, (0.3, -0.8, 0.5)), (0.3, (0, 0, 0))]
    balls = [ball(*each, 1) for each in places]
    shape = shape_of(*balls)
    points = np.random.default_rng(1).uniform(-1.2, 1.5, (150, 3))
    inside = np.any(
        [np.abs(oracles.winding_number(points, b.vertices, b.faces)) > 0.5 for b in balls], axis=0
    )
    found = distance(shape, points)
    assert 20 < inside.sum() < 130
    assert (np.sign(found) == np.where(inside, -1, 1)).all()
    np.testing.assert_allclose(np.abs(found), outer_distance(points, balls), atol=0.07)
    assert 0.3 < shape.walls_removed < 0.6
    two = shape_of(ball(1, subdivisions=3), ball(1, (1, 0, 0), 3))
    assert distance(two, [[0.5, 0, 0]])[0] == pytest.approx(-np.sqrt(0.75), abs=0.01)
    assert np.isclose(volume(two), 7.07, rtol=0.01)
    np.testing.assert_allclose(two.bounds, [[-1, -1, -1], [2, 1, 1]], atol=1e-12)


def test_a_sheet_with_two_sides_within_a_body_is_dropped():
    corners = [[0.5, 0.2, 0.2], [1.5, 0.2, 0.2], [1.5, 0.8, 0.2], [0.5, 0.8, 0.2]]
    sheet = trimesh.Trimesh(corners, [[0, 1, 2], [0, 2, 3], [2, 1, 0], [3, 2, 0]])
    shape = shape_of(box([0, 0, 0], [2, 1, 1]), sheet)
    assert "4 faces dropped that lay back to back" in said(shape)
    assert (len(shape.vertices), len(shape.faces), shape.watertight) == (8, 12, True)
    assert shape.walls_removed == pytest.approx(1.2 / 11.2)
    assert distance(shape, [[1, 0.5, 0.3]])[0] == pytest.approx(-0.3)


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("second", [False, True])
def test_bodies_that_share_a_wall_are_united_whichever_is_inside_out(first, second):
    one, other = box([0, 0, 0], [2, 1, 1]), box([2, 0, 0], [4, 1, 1])
    bodies = inverted(one) if first else one, inverted(other) if second else other
    for shape in (shape_of(*bodies), shape_of(*map(soup, bodies))):
        assert shape.watertight
        assert volume(shape) == pytest.approx(4)
        np.testing.assert_allclose(distance(shape, [[2, 0.5, 0.5], [4.5, 0.5, 0.5]]), [-0.5, 0.5])


@pytest.mark.parametrize("turn", [lambda mesh: mesh, inverted])
def test_bodies_that_end_in_the_same_wall_are_united(turn):
    """So that triangles of one are those of the other, which both need."""
    opened = without(box([0, 5, 0], [2, 6, 1]), np.arange(12) == 0)
    for more, kept in (([], trimesh.Trimesh.copy), ([opened], trimesh.Trimesh.copy), ([], soup)):
        bodies = [box([0, 0, 0], [2, 1, 1]), box([0, 0, 0], [3, 1, 1]), *more]
        shape = shape_of(*(kept(turn(body)) for body in bodies))
        assert shape.watertight == (not more)
        found = distance(shape, [[1, 0.5, 0.5], [2.9, 0.5, 0.5], [3.2, 0.5, 0.5]])
        np.testing.assert_allclose(found, [-0.5, -0.1, 0.2], atol=1e-6)


@pytest.mark.parametrize("turn", [lambda mesh: mesh, inverted])
def test_a_body_that_is_there_twice_is_kept_once_beside_others(turn):
    body, other = box([0, 0, 0], [2, 1, 1]), box([5, 0, 0], [7, 1, 1])
    for twin in (body, inverted(body)):
        shape = shape_of(body, turn(other), twin)
        assert "12 faces dropped that were there twice" in said(shape)
        assert (len(shape.faces), shape.watertight) == (24, True)
        found = distance(shape, [[1, 0.5, 0.5], [6, 0.5, 0.5], [3, 0.5, 0.5]])
        np.testing.assert_allclose(found, [-0.5, -0.5, 1])


def test_a_hollow_stays_one_but_for_the_body_that_reaches_into_it():
    hollow = [box([0, 0, 0], [3, 3, 3]), inverted(box([1, 1, 1], [2, 2, 2]))]
    shape = shape_of(*hollow, box([-1, 1.2, 1.2], [1.5, 1.8, 1.8]))
    points = [[1.25, 1.5, 1.5], [1.75, 1.5, 1.5], [0.5, 1.5, 1.5], [-0.5, 1.5, 1.5]]
    assert (np.sign(distance(shape, points)) == [-1, 1, -1, -1]).all()
    assert distance(shape, points)[1] == pytest.approx(0.25)
    assert volume(shape) == pytest.approx(27 - 1 + 0.36 + 0.18)
    assert shape_of(*hollow).walls_removed == 0


def test_bodies_that_lie_apart_stay_as_they_are(monkeypatch):
    monkeypatch.setitem(sys.modules, "manifold3d", None)
    apart = [ball(1), ball(1, (2.1, 0, 0))]
    shape = shape_of(*apart)
    assert (len(shape.faces), shape.walls_removed, shape.conversions) == (640, 0.0, ())
    with pytest.raises(ConfigError, match=r"not installed \(manifold3d\); pip install 'nint"):
        shape_of(*apart, ball(1, (1, 0, 0)))


def test_boxes_within_reach_of_each_other_that_do_not_meet_keep_their_vertices():
    """Their bounds overlap, so that they are tried."""
    mesh = box([-0.1, -1, -0.1], [0.1, 1, 0.1])
    mesh.apply_transform(trimesh.transformations.rotation_matrix(np.pi / 4, [0, 0, 1]))
    other = mesh.copy()
    other.apply_translation([0.5, 0, 0])
    shape = shape_of(mesh, other)
    assert (len(shape.vertices), len(shape.faces), shape.walls_removed) == (16, 24, 0.0)
    assert shape.conversions == ()
    points = np.concatenate([mesh.vertices, other.vertices])
    expected = points[np.lexsort(points.T[::-1])]
    np.testing.assert_allclose(shape.from_box(shape.vertices), expected, atol=1e-12)


def test_what_is_open_stays_as_it_is_beside_what_is_united():
    opened = cap_is_off(ball(1, (5, 0, 0)), 0.9)
    shape = shape_of(ball(1), ball(1, (1, 0, 0)), opened)
    assert (shape.watertight, shape.holes) == (False, 1)
    assert distance(shape, [[0.5, 0, 0]])[0] == pytest.approx(-0.85, abs=0.05)
    assert shape.walls_removed > 0.1


def test_the_same_bodies_are_united_to_the_same_bits():
    bodies = [ball(1), ball(0.7, (0.8, 0.1, 0)), ball(0.5, (0, 0.9, 0))]
    first, again = shape_of(*bodies), shape_of(*bodies)
    np.testing.assert_array_equal(first.vertices, again.vertices)
    np.testing.assert_array_equal(first.faces, again.faces)
