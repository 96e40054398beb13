import io

import numpy as np
import pytest
import torch
from PIL import Image

from nint_cli.modalities.sdf.pictures import _plane, selection_picture, shape_picture
from nint_cli.modalities.sdf.sphere_tracing import Camera, view
from nint_cli.samplers.base import Selection
from nint_cli.samplers.table import all_slots
from tests.modalities.sdf.test_surface import Counted, box, cube, sphere, torus, wobbly


def decoded(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def alike(shade, colour):
    shade, colour = np.array(shade, float), np.array(colour, float)
    return shade @ colour > 0.999 * np.linalg.norm(shade) * np.linalg.norm(colour)


def first_met(distance, camera, size):
    """March every ray in small equal steps."""
    starts, towards = camera.starts(size), camera.axes()[2]
    along = np.linspace(1.8, -1.8, 1801, dtype=np.float32)
    points = starts[:, None] + along[:, None] * towards
    inside = (
        distance(torch.from_numpy(points.reshape(-1, 3))).numpy().reshape(len(starts), -1) <= 0
    )
    inside &= (np.abs(points) <= 1).all(axis=-1)
    return inside.any(axis=1), points[np.arange(len(starts)), inside.argmax(axis=1)]


@pytest.mark.parametrize("distance", [sphere, torus, box, wobbly, cube])
def test_what_is_seen_is_what_small_steps_meet_first(distance):
    camera, size = Camera(), 40
    seen = view(distance, camera, size)
    hit, points = first_met(distance, camera, size)
    hit = hit.reshape(size, size)
    assert (seen.hit != hit).mean() < 0.005
    both = seen.hit & hit
    ours = np.full((size, size, 3), np.nan)
    ours[seen.hit] = seen.points
    apart = np.linalg.norm(ours - points.reshape(size, size, 3), axis=-1)[both]
    assert (apart < 0.02).mean() > 0.98  # rays that graze stop a little early
    assert np.median(apart) < 0.003


def test_normals_point_outwards():
    seen = view(sphere, Camera(), 50)
    assert np.abs(seen.normals - seen.points / 0.7).max() < 0.01
    assert (seen.normals @ Camera().axes()[2] > -0.02).all()


def test_a_shape_that_fills_the_box_is_seen_where_it_is_cut():
    seen = view(lambda p: p.norm(dim=1) - 1.2, Camera(), 60)
    assert seen.hit[30, 30]
    assert np.abs(seen.points).max() <= 1.0001
    cut = np.abs(seen.points).max(axis=1) > 0.9999
    assert 0.2 < cut.mean() < 1


def test_the_camera_looks_from_above_with_y_upwards():
    axes = Camera(azimuth=0, elevation=0).axes()
    assert np.allclose(axes, np.eye(3), atol=1e-7)
    axes = Camera().axes()
    assert np.allclose(axes @ axes.T, np.eye(3), atol=1e-6)
    assert np.linalg.det(axes) == pytest.approx(1)
    assert axes[1, 1] > 0.8
    pixels = Camera().pixels(np.array([[0, 0, 0], [0, 0.5, 0]], np.float32), 100)
    assert np.allclose(pixels[0], [50, 50, 0])
    assert pixels[1, 1] < 45
    starts = Camera().starts(100).reshape(100, 100, 3)
    column, row, near = Camera().pixels(starts[20, 70][None], 100)[0]
    assert (column, row, near) == pytest.approx((70.5, 20.5, 0), abs=1e-3)


def test_few_points_are_evaluated():
    field, true = Counted(wobbly), Counted(torus)
    drawn = decoded(shape_picture(field, true, size=240))
    assert max(field.count, true.count) < 500_000
    assert drawn.shape == (240 + 60, 3 * 240 + 48, 3)
    panels = [drawn[30:270, left : left + 240] for left in (12, 264)]
    for panel in panels:
        assert tuple(panel[3, 3]) == (242, 242, 242)
        assert 0.05 < (panel != 242).any(axis=-1).mean() < 0.9
    assert (panels[0] != panels[1]).any()


@pytest.mark.parametrize("value", [0.3, -0.3, float("nan")])
def test_a_field_without_a_surface_is_drawn_all_the_same(value):
    def flat(p):
        return torch.full((len(p),), value)

    drawn = decoded(shape_picture(flat, torus, size=120))
    panel = drawn[30:150, 12:132]
    assert ((panel == 242).all() and value != -0.3) or (panel != 242).any(axis=-1).mean() > 0.3


def test_chosen_points_shine_in_the_colour_of_their_slot():
    coords = np.array([[0, 0.8, 0], [0, -0.8, 0], [0.2, 0, 0], [-0.9, 0, 0.3]], np.float32)
    selection = Selection(torch.tensor([1, 0]), slots=(("ntk", 1), ("uniform", 1)))
    drawn = decoded(
        selection_picture(
            coords,
            {"first": selection, "last": selection},
            {"first": 1, "last": 40},
            near_surface=np.array([False, False, True, False]),
            size=300,
        )
    )
    assert drawn.shape == (316, 612, 3)
    body = drawn[16:, 312:]
    assert np.array_equal(drawn[16:, :300], body)
    found = {}
    for row, column in np.argwhere((body != 20).any(axis=-1)):
        found.setdefault(tuple(body[row, column]), []).append((row, column))
    assert len(found) == 3
    camera = Camera().pixels(coords, 300)
    for colour, point in (("ntk", 1), ("uniform", 0)):
        [where] = [
            places for shade, places in found.items() if alike(shade, all_slots()[colour].colour)
        ]
        assert len(where) == 4
        assert np.allclose(np.mean(where, axis=0), camera[point, 1::-1], atol=1.1)


def test_of_many_points_some_are_drawn():
    coords = np.random.default_rng(0).uniform(-1, 1, (30_000, 3)).astype(np.float32)
    selection = Selection(torch.arange(20_000), slots=(("full", 20_000),))
    drawn = decoded(selection_picture(coords, {"only": selection}, {"only": 3}, size=200))
    assert drawn.shape == (216, 200, 3)
    assert (drawn[:16, 100:] > 100).any()


@pytest.mark.parametrize(("thin", "across", "up"), [(0, 2, 1), (1, 0, 2), (2, 0, 1)])
def test_the_cut_is_across_the_thin_side_with_y_upwards(thin, across, up):
    plane = _plane(thin, 5).reshape(5, 5, 3)
    assert (plane[..., thin] == 0).all()
    assert np.array_equal(plane[2, :, across], np.linspace(-1, 1, 5, dtype=np.float32))
    assert np.array_equal(plane[:, 2, up], np.linspace(-1, 1, 5, dtype=np.float32))
