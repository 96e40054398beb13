"""Where the points are at which a shape's distance is known, and how they are kept."""

import json
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import save

from nint_cli.modalities.sdf.distance import DistanceField
from nint_cli.modalities.sdf.files import read_shape
from nint_cli.modalities.sdf.pool import (
    Pool,
    PoolPlan,
    _reflected,
    decode_pool,
    draw_pool,
    encode_pool,
    pool_key,
)
from nint_cli.modalities.sdf.shape import sample_surface

PLAN = PoolPlan(4000, 0.45, 0.35, 0.01, 0.1, "normal", 7)
FIELD = DistanceField(read_shape("sample:torus"))


def off_surface(count, scale, noise, share=1.0):
    plan = PoolPlan(count, share, 0.0, scale, 0.1, noise, 1)
    return np.abs(draw_pool(plan, FIELD).distances)


def test_counts_add_up():
    assert PLAN.counts() == (1800, 1400, 800)
    assert replace(PLAN, points=65, fine_share=0.5, coarse_share=0.5).counts() == (32, 33, 0)
    assert replace(PLAN, points=99, fine_share=0.5, coarse_share=0.5).counts() == (
        50,
        49,
        0,
    )  # 49.5 is rounded to even
    assert replace(PLAN, fine_share=0.0, coarse_share=0.0).counts() == (0, 0, 4000)
    for points in range(64, 200):
        counts = replace(PLAN, points=points, fine_share=1 / 3, coarse_share=2 / 3).counts()
        assert sum(counts) == points
        assert min(counts) >= 0


@pytest.mark.parametrize(("noise", "mean"), [("normal", np.sqrt(2 / np.pi)), ("laplace", 0.75)])
@pytest.mark.parametrize("scale", [1e-3, 1e-2])
def test_points_are_strewn_at_their_scale(noise, mean, scale):
    """Off a plane the distance is the noise along its normal, which for Laplace's depends on it.

    Its mean is 1 along an axis and, over all directions, less.
    """
    far = off_surface(8000, scale, noise)
    if noise == "normal":
        assert far.mean() == pytest.approx(mean * scale, rel=0.05)
        assert np.median(far) == pytest.approx(0.6745 * scale, rel=0.05)
    else:
        drawn = np.random.default_rng(0).laplace(size=(20_000, 3))
        normals = sample_surface(
            FIELD.shape.vertices, FIELD.shape.faces, 20_000, np.random.default_rng(1)
        )[1]
        expected = np.abs((drawn * normals).sum(axis=1)).mean()
        assert 1 < expected < 1.2
        assert far.mean() == pytest.approx(expected * scale, rel=0.05)


def test_shares_are_kept_and_mixed():
    plan = replace(PLAN, points=20_000, fine_scale=1e-5, coarse_scale=1e-3)
    far = np.abs(draw_pool(plan, FIELD).distances)
    fine, coarse = far < 6e-5, (far >= 6e-5) & (far < 6e-3)
    assert fine.mean() == pytest.approx(0.45 + 0.35 * 0.045, abs=0.01)
    assert coarse.mean() == pytest.approx(0.35 * 0.955, abs=0.02)
    for part in np.array_split(fine, 4):
        assert part.mean() == pytest.approx(0.466, abs=0.03)


def test_the_rest_is_uniform_in_the_box():
    coords = draw_pool(replace(PLAN, fine_share=0.0, coarse_share=0.0), FIELD).coords
    for axis in range(3):
        counts, _ = np.histogram(coords[:, axis], bins=10, range=(-1, 1))
        assert counts.sum() == 4000
        assert np.abs(counts - 400).max() < 90
    assert np.abs(np.corrcoef(coords.T) - np.eye(3)).max() < 0.06


@pytest.mark.parametrize("noise", ["normal", "laplace"])
def test_nothing_leaves_the_box_however_far_it_is_thrown(noise):
    coords = draw_pool(replace(PLAN, coarse_scale=2.0, noise=noise), FIELD).coords
    assert np.abs(coords).max() <= 1
    assert np.abs(coords).max() > 0.99


@pytest.mark.parametrize(
    ("there", "here"),
    [
        (0.5, 0.5),
        (1, 1),
        (-1, -1),
        (1.25, 0.75),
        (-1.25, -0.75),
        (3.5, -0.5),
        (-3.5, 0.5),
        (5.25, 0.75),
    ],
)
def test_what_leaves_is_reflected(there, here):
    assert _reflected(np.array([[float(there)]]))[0, 0] == here


def test_a_seed_and_a_number_make_a_draw():
    first = draw_pool(PLAN, FIELD)
    assert draw_pool(PLAN, FIELD, 0).sha256 == first.sha256
    second = draw_pool(PLAN, FIELD, 1)
    assert draw_pool(PLAN, FIELD, 1).sha256 == second.sha256
    others = {draw_pool(replace(PLAN, seed=8), FIELD).sha256, second.sha256, first.sha256}
    assert len(others) == 3
    assert not np.isin(first.coords[:, 0], second.coords[:, 0]).any()


def test_distances_are_those_of_the_points_as_they_are_rounded():
    pool = draw_pool(replace(PLAN, fine_scale=1e-6), FIELD)
    assert pool.coords.dtype == pool.distances.dtype == np.float32
    exact = FIELD.signed(pool.coords.astype(np.float64))
    np.testing.assert_array_equal(pool.distances, exact.astype(np.float32))


def test_a_pool_comes_back_where_it_belongs():
    pool = draw_pool(PLAN, FIELD)
    data = encode_pool(pool, PLAN, "mesh")
    back = decode_pool(data, PLAN, "mesh")
    np.testing.assert_array_equal(back.coords, pool.coords)
    np.testing.assert_array_equal(back.distances, pool.distances)
    assert back.sha256 == pool.sha256
    assert encode_pool(pool, PLAN, "mesh") == data
    assert decode_pool(data, PLAN, "another mesh") is None
    for change in (
        {"points": 4001},
        {"fine_share": 0.46},
        {"coarse_share": 0.36},
        {"fine_scale": 0.011},
        {"coarse_scale": 0.11},
        {"noise": "laplace"},
        {"seed": 8},
    ):
        assert decode_pool(data, replace(PLAN, **change), "mesh") is None
    assert pool_key(PLAN, "mesh") != pool_key(PLAN, "another mesh")


def damaged():
    pool = draw_pool(PLAN, FIELD)
    data = encode_pool(pool, PLAN, "mesh")
    flipped = bytearray(data)
    flipped[-100] ^= 1
    yield "a bit", bytes(flipped)
    yield "its end", data[:-8]
    yield "all", b""
    yield "few", data[:5]
    yield "zeros", bytes(len(data))
    yield "text", b"hello " * 100
    yield "no metadata", save({"coords": pool.coords, "distances": pool.distances})
    key = json.dumps({"key": pool_key(PLAN, "mesh"), "sha256": pool.sha256})
    yield "a tensor", save({"coords": pool.coords}, metadata={"pool": key})
    for text in ("null", "[]", "{", "1"):
        tensors = {"coords": pool.coords, "distances": pool.distances}
        yield text, save(tensors, metadata={"pool": text})
    yield "a list", (14).to_bytes(8, "little") + b"[1,2,3]       "
    moved = Pool(pool.coords + np.float32(1), pool.distances)
    yield (
        "other points",
        save({"coords": moved.coords, "distances": moved.distances}, metadata={"pool": key}),
    )


@pytest.mark.parametrize(("what", "data"), list(damaged()), ids=lambda value: str(value)[:12])
def test_a_damaged_pool_is_none(what, data):
    assert decode_pool(data, PLAN, "mesh") is None, what


# Points on a surface


def test_points_on_a_surface_are_on_it_and_uniform_by_area():
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 5], [3, 0, 5], [0, 3, 5.0]])
    faces = np.array([[0, 1, 2], [3, 4, 5], [0, 0, 1]])
    points, normals = sample_surface(vertices, faces, 20_000, np.random.default_rng(0))
    np.testing.assert_array_equal(normals, np.tile([0, 0, 1.0], (20_000, 1)))
    upper = np.abs(points[:, 2] - 5) < 1e-12
    assert (points[~upper, 2] == 0).all()
    assert upper.mean() == pytest.approx(0.9, abs=0.01)
    inside = points[upper, :2]
    assert inside.min() >= 0
    assert inside.sum(axis=1).max() <= 3
    np.testing.assert_allclose(inside.mean(axis=0), 1, atol=0.03)
    np.testing.assert_allclose((inside**2).mean(axis=0), 1.5, atol=0.06)


def test_a_surface_without_area_has_no_points():
    with pytest.raises(ValueError, match="no area"):
        sample_surface(np.zeros((3, 3)), np.array([[0, 1, 2]]), 5, np.random.default_rng(0))
    with pytest.raises(ValueError, match="no area"):
        sample_surface(np.zeros((3, 3)), np.zeros((0, 3), int), 5, np.random.default_rng(0))
