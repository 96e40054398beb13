"""Signed distances against closed forms and against all triangles, one by one."""

import sys

import numpy as np
import pytest
import trimesh
from scipy.spatial import ConvexHull, HalfspaceIntersection

from nint_cli import cli
from nint_cli.errors import ConfigError
from nint_cli.modalities.sdf import distance
from nint_cli.modalities.sdf.distance import DistanceField, along_curve
from nint_cli.modalities.sdf.files import read_shape
from nint_cli.modalities.sdf.shape import Shape
from tests import oracles


def shape_of(mesh, watertight=True):
    """A mesh as it is: in the box's units, and no vertex moved."""
    return Shape(
        np.array(mesh.vertices, np.float64),
        np.array(mesh.faces, np.int64),
        np.zeros(3),
        1.0,
        "",
        watertight,
        0,
    )


def grid(count, reach=1.0):
    axis = np.linspace(-reach, reach, count)
    return np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)


def box_distance(points, half):
    past = np.abs(points) - half
    return np.linalg.norm(past.clip(min=0), axis=1) + past.max(axis=1).clip(max=0)


def test_a_box_on_grid_points_is_its_closed_form():
    """Most of these are on the planes, edges and diagonals of its faces, where signs flip."""
    half = np.array([0.5, 0.25, 0.75])
    mesh = trimesh.creation.box(2 * half)
    points = grid(33)
    expected = box_distance(points, half)
    found = DistanceField(shape_of(mesh)).signed(points)
    assert (expected == 0).sum() > 1000
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-15)
    assert (np.sign(found) == np.sign(expected)).all()


@pytest.mark.parametrize("subdivisions", [2, 4, 5])
def test_a_sphere_of_facets_is_the_sphere_within_their_depth(subdivisions):
    mesh = trimesh.creation.icosphere(subdivisions, 1.0)
    vertices, faces = np.array(mesh.vertices), np.array(mesh.faces)
    normals = np.cross(
        vertices[faces[:, 1]] - vertices[faces[:, 0]],
        vertices[faces[:, 2]] - vertices[faces[:, 0]],
    )
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    depth = 1 - np.einsum("ij,ij->i", normals, vertices[faces[:, 0]]).min()
    points = grid(17, 1.5)
    excess = DistanceField(shape_of(mesh)).signed(points) - (np.linalg.norm(points, axis=1) - 1)
    # The polyhedron is inside the ball and holds the ball of radius 1 - depth.
    assert excess.min() > -1e-12
    assert excess.max() < depth + 1e-12
    assert depth < 4.0 ** (-subdivisions) / 2


def hull(points):
    """A convex polyhedron from its corners, with its outside out."""
    found = ConvexHull(points)
    faces = found.simplices.astype(np.int64)
    a, b, c = (points[corner] for corner in faces.T)
    inward = np.einsum("ij,ij->i", np.cross(b - a, c - a), found.equations[:, :3]) < 0
    faces[inward] = faces[inward, ::-1]
    return trimesh.Trimesh(points, faces, process=False)


def test_the_unit_sphere_on_grid_points_is_its_closed_form():
    """By two polyhedra, which have the sphere's own distance at all these points.

    From outside, the nearest point of the ball is a corner of the one with corners there; from
    inside, it is where a face of the other one touches the ball.
    """
    points = grid(11, 1.5)
    radius = np.linalg.norm(points, axis=1)
    directions = points[radius > 0] / radius[radius > 0, None]
    directions = directions[np.unique(directions.round(9), axis=0, return_index=True)[1]]
    planes = np.column_stack([directions, -np.ones(len(directions))])
    around = HalfspaceIntersection(planes, np.zeros(3)).intersections
    around = around[np.unique(around.round(9), axis=0, return_index=True)[1]]
    inner, outer = hull(directions), hull(around)
    assert inner.is_watertight
    assert inner.volume < 4 / 3 * np.pi < outer.volume
    outside = radius >= 1
    for mesh, where in ((inner, outside), (outer, ~outside)):
        found = DistanceField(shape_of(mesh)).signed(points[where])
        np.testing.assert_allclose(found, radius[where] - 1, rtol=0, atol=1e-9)
    assert outside.sum() > 100
    assert (~outside).sum() > 100


@pytest.mark.slow
def test_a_sphere_on_grid_points_is_its_closed_form_to_a_millionth():
    """Of 5.2 million facets 1.1e-6 deep, with corners half of that above the sphere."""
    mesh = trimesh.creation.icosphere(9, 1 + 5.6e-7)
    points = grid(25, 1.5)
    expected = np.linalg.norm(points, axis=1) - 1
    found = DistanceField(shape_of(mesh)).signed(points)
    assert np.abs(found - expected).max() < 1e-6
    off = np.abs(expected) > 1e-6
    assert (np.sign(found[off]) == np.sign(expected[off])).all()


def random_mesh(kind, rng):
    if kind == "closed":
        mesh = trimesh.creation.torus(0.6, 0.25, major_sections=9, minor_sections=7)
        return np.array(mesh.vertices), np.array(mesh.faces), True
    if kind == "open":
        mesh = trimesh.creation.icosphere(1, 0.8)
        return np.array(mesh.vertices), np.array(mesh.faces)[:-9], False
    if kind == "soup":
        return rng.uniform(-1, 1, (60, 3)), np.arange(60).reshape(20, 3), False
    if kind == "needles":  # which the tree of dipoles can make nothing of
        mesh = trimesh.creation.cylinder(0.3, 1.8, sections=200)
        assert distance.crowding(shape_of(mesh)) > 40
        return np.array(mesh.vertices), np.array(mesh.faces), True
    balls = [trimesh.creation.icosphere(1, 0.5, face_colors=None) for _ in range(2)]
    balls[1].apply_translation([0.4, 0.1, 0])
    mesh = trimesh.util.concatenate(balls)
    return np.array(mesh.vertices), np.array(mesh.faces), True


@pytest.mark.parametrize("kind", ["closed", "open", "soup", "overlapping", "needles"])
def test_distances_and_winding_numbers_are_those_from_all_triangles(kind):
    rng = np.random.default_rng(3)
    vertices, faces, watertight = random_mesh(kind, rng)
    field = DistanceField(shape_of(trimesh.Trimesh(vertices, faces, process=False), watertight))
    on = vertices[faces].mean(axis=1)
    beside = on[rng.integers(0, len(on), 300)] + rng.normal(0, 1e-3, (300, 3))
    points = np.concatenate([rng.uniform(-1, 1, (1500, 3)), beside])
    far = oracles.mesh_distance(points, vertices, faces)
    winding = oracles.winding_number(points, vertices, faces)
    np.testing.assert_allclose(field.unsigned(points), far, rtol=0, atol=1e-12)
    np.testing.assert_allclose(field.winding_number(points), winding, rtol=0, atol=5e-3)
    inside = (np.abs(winding) if watertight else winding) > 0.5
    clear = np.abs(np.abs(winding) - 0.5) > 5e-3
    found = field.signed(points)
    np.testing.assert_allclose(
        found[clear], np.where(inside, -far, far)[clear], rtol=0, atol=1e-12
    )
    assert 0 < inside.sum() < len(points)
    assert clear.mean() > 0.95
    if watertight:
        assert np.abs(winding - winding.round()).max() < 1e-9
        assert clear.all()


def test_signs_are_right_on_the_planes_of_faces_and_the_lines_of_edges():
    rng = np.random.default_rng(5)
    mesh = trimesh.creation.icosphere(1, 0.8)
    corners = np.array(mesh.vertices)[np.array(mesh.faces)]
    weights = rng.uniform(-6, 6, (len(corners), 20, 2))
    edges = corners[:, :1] + weights[..., :1] * (corners[:, 1:2] - corners[:, :1])
    planes = edges + weights[..., 1:] * (corners[:, 2:] - corners[:, :1])
    points = np.concatenate([edges, planes]).reshape(-1, 3)
    normals = np.array(mesh.face_normals)
    heights = points @ normals.T - (normals * corners[:, 0]).sum(axis=1)
    farthest = heights.max(axis=1)  # of a convex body: positive outside
    found = DistanceField(shape_of(mesh)).signed(points)
    clear = np.abs(farthest) > 1e-12
    assert clear.mean() > 0.5
    assert (np.sign(found[clear]) == np.sign(farthest[clear])).all()


@pytest.mark.parametrize("height", [1e-7, 1e-9, 1e-12])
def test_the_sign_holds_where_the_tree_of_dipoles_has_no_digits_left(height):
    mesh = trimesh.creation.icosphere(3, 0.8)
    centres, normals = np.array(mesh.triangles_center), np.array(mesh.face_normals)
    field = DistanceField(shape_of(mesh))
    for side in (1, -1):
        found = field.signed(centres + side * height * normals)
        np.testing.assert_allclose(found, side * height, rtol=0, atol=1e-15)


def test_only_the_sign_close_to_the_surface_is_lost_without_exactness(monkeypatch):
    mesh = trimesh.creation.icosphere(3, 0.8)
    field = DistanceField(shape_of(mesh))
    rng = np.random.default_rng(0)
    points = np.concatenate([rng.uniform(-1, 1, (2000, 3)), mesh.triangles_center])
    exact = field.signed(points)
    monkeypatch.setattr(field, "_careful", None)
    fast = field.signed(points, exact=False)
    np.testing.assert_allclose(np.abs(fast), np.abs(exact), atol=1e-14)
    assert np.array_equal(fast[:2000], exact[:2000])


def test_bodies_are_united_and_hollows_are_outside():
    big, small = trimesh.creation.icosphere(2, 0.8), trimesh.creation.icosphere(2, 0.3)
    centre = np.zeros((1, 3))
    hollow = small.copy()
    hollow.invert()
    for inner, sign in ((small, -1), (hollow, 1)):
        both = trimesh.util.concatenate([big, inner])
        field = DistanceField(shape_of(both))
        assert np.sign(field.signed(centre)[0]) == sign
        assert field.signed(np.array([[0.55, 0, 0]]))[0] < 0
        assert field.signed(np.array([[0.95, 0, 0]]))[0] > 0
    inverted = big.copy()
    inverted.invert()
    assert DistanceField(shape_of(inverted)).signed(centre)[0] < 0


def test_the_order_and_number_of_points_do_not_matter(monkeypatch):
    field = DistanceField(read_shape("sample:torus"))
    points = np.random.default_rng(0).uniform(-1.2, 1.2, (1000, 3))
    whole = field.signed(points)
    monkeypatch.setattr(distance, "_AT_ONCE", 64)
    monkeypatch.setattr(distance, "_FEW", 0)
    np.testing.assert_array_equal(field.signed(points), whole)
    np.testing.assert_array_equal(field.signed(points[::-1]), whole[::-1])
    assert field.signed(np.zeros((0, 3))).shape == (0,)


def test_neighbours_on_the_curve_are_close():
    points = grid(16)
    order = along_curve(points)
    assert sorted(order) == list(range(len(points)))
    jumps = np.linalg.norm(np.diff(points[order], axis=0), axis=1)
    assert np.median(jumps) <= 2 / 15 + 1e-12
    assert sorted(along_curve(np.array([[5.0, 0, 0], [-5, 0, 0]]))) == [0, 1]


def test_a_missing_library_is_named_with_what_installs_it(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "igl", None)
    shape = read_shape("sample:torus")
    with pytest.raises(ConfigError, match=r"not installed \(igl\); pip install 'nint\[sdf\]'"):
        DistanceField(shape)
    code = cli.run(["fit", "sdf", "sample:torus", "--preset", "smoke", "-o", "run"])
    assert code == 2
    assert "pip install 'nint[sdf]'" in capsys.readouterr().err
