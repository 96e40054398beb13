"""Signals at scattered points."""

import pytest
import torch

from nint_cli.signals.points import PointSignal
from tests.conftest import generator


def points(count=50, dims=3, channels=1, seed=1):
    coords = 2 * torch.rand(count, dims, generator=generator(seed)) - 1
    return coords, torch.randn(count, channels, generator=generator(seed + 1))


@pytest.mark.parametrize("half_range", [1.0, 0.5, 3.0])
def test_coords_and_values_are_in_the_units_of_the_field(half_range):
    coords, values = points()
    signal = PointSignal(coords, values, half_range=half_range)
    torch.testing.assert_close(signal.coords, coords * half_range)
    torch.testing.assert_close(signal.values, values * half_range)
    assert (signal.half_range, signal.coord_dim, signal.value_dim) == (half_range, 3, 1)
    assert len(signal) == 50
    assert not signal.on_grid
    assert signal.device == torch.device("cpu")


@pytest.mark.parametrize(("dims", "channels"), [(1, 1), (2, 3), (3, 1)])
def test_all_ways_to_look_up_agree(dims, channels):
    coords, values = points(50, dims, channels)
    signal = PointSignal(coords, values)
    assert signal.coord_dim == dims
    chosen = torch.tensor([3, 49, 0, 3])
    for found, expected in zip(signal.at(chosen), (coords[chosen], values[chosen]), strict=True):
        assert torch.equal(found, expected)
    for found, expected in zip(signal.slice(7, 12), signal.at(torch.arange(7, 12)), strict=True):
        assert torch.equal(found, expected)
    blocks = list(signal.blocks(17))
    assert [start for start, _, _ in blocks] == [0, 17, 34]
    assert torch.equal(torch.cat([block for _, block, _ in blocks]), coords)
    assert torch.equal(torch.cat([block for _, _, block in blocks]), values)


@pytest.mark.parametrize(("count", "dims", "side"), [(1, 3, 2), (64, 3, 4), (64, 2, 8), (7, 1, 7)])
def test_its_shape_is_that_of_a_grid_with_as_many_points(count, dims, side):
    assert PointSignal(*points(count, dims)).shape == (side,) * dims


def test_other_points_take_the_place_of_the_first():
    draws = {number: points(50, seed=10 + number) for number in range(3)}
    signal = PointSignal(
        *draws[0], half_range=0.5, draw=lambda number: draws[number], redraw_every=4
    )
    assert signal.redraw_every == 4
    for number in (1, 2, 0, 1):
        signal.redraw(number)
        assert torch.equal(signal.at(torch.arange(50))[0], draws[number][0] * 0.5)
        assert torch.equal(signal.at(torch.arange(50))[1], draws[number][1] * 0.5)
        assert len(signal) == 50


def test_points_that_are_all_there_is_stay():
    signal = PointSignal(*points())
    assert signal.redraw_every is None
    with pytest.raises(TypeError, match="a PointSignal has no draw 1 of other points"):
        signal.redraw(1)
