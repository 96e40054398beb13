"""What of a surface bounds nothing, and what is thinner than a grid."""

import re

import numpy as np
import pytest
import trimesh

from nint_cli.modalities.sdf import walls
from nint_cli.modalities.sdf.distance import DistanceField
from nint_cli.modalities.sdf.subject import true_distance
from nint_cli.modalities.sdf.surface import extract
from nint_cli.modalities.sdf.walls import sample_boundary, share_within, thin_note
from tests import oracles
from tests.modalities.sdf.test_distance import shape_of
from tests.modalities.sdf.test_files import ball
from tests.modalities.sdf.test_solid import box, inverted


def field_of(*meshes, watertight=True):
    """Bodies as they are, with all their walls."""
    return DistanceField(shape_of(trimesh.util.concatenate(meshes), watertight))


BIG, SMALL = [[-0.9, -0.5, -0.5], [0.9, 0.5, 0.5]], [[-0.5, -0.2, -0.2], [0.5, 0.2, 0.2]]


@pytest.mark.parametrize(
    ("meshes", "watertight", "expected"),
    [
        ([ball(0.9)], True, 0),
        ([box(*BIG)], True, 0),
        ([box(*BIG), inverted(box(*SMALL))], True, 0),  # a hollow
        ([box(*BIG), box(*SMALL)], True, 1.92 / (9.2 + 1.92)),
        ([ball(0.6, (-0.3, 0, 0), 3), ball(0.6, (0.3, 0, 0), 3)], True, 0.25),
        ([trimesh.creation.cylinder(0.3, 1.8, sections=200)], True, 0),  # needles
        (
            [box(*BIG), trimesh.Trimesh([[0, 0, 0], [0, 0.5, 0], [0, 0, 0.5]], [[0, 1, 2]])],
            False,
            0.125 / 9.325,
        ),
    ],
)
def test_the_share_that_bounds_nothing(meshes, watertight, expected):
    found = share_within(field_of(*meshes, watertight=watertight))
    assert found == pytest.approx(expected, abs=4 * np.sqrt(expected / 1024))


def test_points_of_the_boundary_are_those_next_to_which_the_inside_ends():
    meshes = ball(0.6, (-0.3, 0, 0)), ball(0.6, (0.3, 0, 0))
    field = field_of(*meshes)
    points, normals = sample_boundary(field, 1500, np.random.default_rng(0))
    assert points.shape == normals.shape == (1500, 3)
    whole = trimesh.util.concatenate(meshes)
    sides = [
        np.abs(oracles.winding_number(points + by * normals, whole.vertices, whole.faces)) > 0.5
        for by in (1e-6, -1e-6)
    ]
    assert (~sides[0] & sides[1]).mean() > 0.999
    assert (points[:, 0] * np.sign(normals[:, 0])).min() > -0.35
    again = sample_boundary(field, 1500, np.random.default_rng(0))
    np.testing.assert_array_equal(points, again[0])


def test_a_surface_that_bounds_nothing_has_no_points_of_a_boundary(monkeypatch):
    field = field_of(ball(0.9))
    monkeypatch.setattr(field, "is_inside", lambda winding: np.zeros(len(winding), bool))
    assert share_within(field) == 1
    with pytest.raises(ValueError, match="no part of the input's surface has the inside on one"):
        sample_boundary(field, 10, np.random.default_rng(0))
    monkeypatch.setattr(walls, "_ROUNDS", 1)
    both = field_of(box(*BIG), box(*SMALL))
    assert 2000 < len(sample_boundary(both, 3000, np.random.default_rng(0))[0]) < 3000


def plate(thickness, tilt=0.0):
    mesh = box([-0.9, -0.45, -thickness / 2], [0.9, 0.45, thickness / 2])
    mesh.apply_transform(trimesh.transformations.rotation_matrix(tilt, [1, 2, 0]))
    return mesh


@pytest.mark.parametrize("tilt", [0.0, 0.3, 0.8])
def test_a_plate_is_thin_for_a_grid_and_drawn_by_the_one_that_is_named(tilt):
    field = field_of(plate(0.05, tilt))
    note = thin_note(field, 40, 1024)
    assert "bounds walls, 0.05 thick" in note
    assert f"step of the reconstruction's grid, {2 / 39:.3g}," in note
    needed = int(re.search(r"they need --mc-resolution (\d+)$", note)[1])
    assert thin_note(field, needed, 1024) is None
    drawn = extract(true_distance(field), needed)
    whole = trimesh.Trimesh(drawn.vertices, drawn.faces, process=False)
    assert whole.is_watertight
    assert len(whole.split(only_watertight=False)) == 1
    assert whole.volume == pytest.approx(1.8 * 0.9 * 0.05, rel=0.1)


def test_the_boundary_of_what_is_thin_is_a_step_of_the_grid():
    for thickness, thin in ((0.99, True), (1.01, False)):
        assert (thin_note(field_of(plate(thickness * 2 / 63)), 64, 1024) is not None) == thin


def test_a_plate_that_no_grid_draws_is_told_so():
    note = thin_note(field_of(plate(0.002)), 96, 1024)
    assert "they need 1734 points along each edge, and --mc-resolution 1024 is the most" in note


def test_the_thickness_is_in_the_files_units():
    shape = shape_of(plate(0.002))
    note = thin_note(DistanceField(shape.framed(np.zeros(3), 0.5)), 96, 1024)
    assert "0.002 thick" in note


@pytest.mark.parametrize(
    "mesh",
    [
        ball(0.9),
        trimesh.creation.cone(0.5, 1.5),
        trimesh.Trimesh(
            [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]],
            [[0, 2, 1], [0, 1, 3], [1, 2, 3], [2, 0, 3]],
        ),
        box(*BIG),
    ],
)
def test_sharp_edges_are_not_thin_walls(mesh):
    assert thin_note(field_of(mesh), 24, 1024) is None


def test_a_fin_on_a_thick_body_is_found():
    fin = box([0, 0, 0.3], [0.01, 0.3, 0.6])
    body = box([-0.5, -0.3, -0.3], [0.5, 0.3, 0.3])
    note = thin_note(field_of(body, fin), 64, 1024)
    assert "bounds walls, 0.01 thick" in note


def test_the_way_through_a_box_and_out_of_a_sheet():
    field = field_of(box(*BIG))
    ends = np.array([[0.9, 0.1, 0.2], [0.3, 0.5, -0.2]])
    np.testing.assert_allclose(field.through(ends, np.eye(3)[:2]), [1.8, 1.0])
    np.testing.assert_array_equal(field.through(ends[:1], -np.eye(3)[:1]), [np.inf])
