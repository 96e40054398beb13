import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from nint_cli.modalities.image.signal import Picture, to_pixels
from nint_cli.signals.base import GridSignal
from tests.conftest import smooth_pixels, tiny_signal


def test_coordinates_are_the_full_grid_in_row_major_order():
    signal = tiny_signal((3, 5), dtype=torch.float32)
    rows, columns = torch.linspace(-1, 1, 3), torch.linspace(-1, 1, 5)
    expected = torch.stack(torch.meshgrid(rows, columns, indexing="ij"), dim=-1).reshape(-1, 2)
    coords, _ = signal.slice(0, 15)
    assert torch.equal(coords, expected)


@pytest.mark.parametrize("shape", [(1,), (7,), (1, 1), (1, 6), (4, 1), (3, 4), (2, 3, 4)])
def test_at_slice_and_blocks_agree(shape):
    signal = tiny_signal(shape)
    count = len(signal)
    coords, values = signal.slice(0, count)
    assert coords.shape == (count, len(shape))
    assert values.shape == (count, 3)
    assert coords.isfinite().all()
    assert coords.abs().max() <= 1
    order = torch.randperm(count)
    for a, b in zip(signal.at(order), (coords[order], values[order]), strict=True):
        assert torch.equal(a, b)
    blocks = list(signal.blocks(4))
    assert [start for start, _, _ in blocks] == list(range(0, count, 4))
    assert torch.equal(torch.cat([c for _, c, _ in blocks]), coords)
    assert torch.equal(torch.cat([v for _, _, v in blocks]), values)


def test_stored_values_keep_their_type_and_no_grid_is_stored():
    picture = Picture(smooth_pixels(40, 50), "")
    signal = picture.signal()
    assert signal.stored.dtype == torch.uint8
    held = sum(t.numel() * t.element_size() for t in (signal.stored, *vars(signal)["_axes"]))
    assert held == 40 * 50 * 3 + (40 + 50) * 4


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_a_picture_comes_back_bit_for_bit(bits, channels):
    pixels = smooth_pixels(9, 11, channels, bits)
    pixels.flat[0], pixels.flat[1] = 0, 2**bits - 1
    signal = Picture(pixels, "").signal()
    _, values = signal.slice(0, len(signal))
    assert values.min() >= 0
    assert values.max() == 1
    back = to_pixels(values, signal.shape, pixels.dtype)
    assert back.dtype == pixels.dtype
    np.testing.assert_array_equal(back, pixels)


class NoLookup(TorchDispatchMode):
    """Refuses to look up values of 16 unsigned bits, as CUDA does."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.overloadpacket in {torch.ops.aten.index, torch.ops.aten.index_select}:
            assert args[0].dtype != torch.uint16, '"index_cuda" not implemented for UInt16'
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("bits", [8, 16])
def test_points_of_any_depth_can_be_looked_up_on_a_gpu(bits):
    pixels = smooth_pixels(9, 11, 3, bits)
    pixels.flat[0], pixels.flat[1] = 0, 2**bits - 1
    signal = Picture(pixels, "").signal()
    order = torch.randperm(99)
    with NoLookup():
        _, values = signal.at(order)
    assert torch.equal(values, signal.slice(0, 99)[1][order])
    if bits == 16:
        with NoLookup(), pytest.raises(AssertionError, match="UInt16"):
            signal.stored[order]


def test_predictions_out_of_range_are_clipped():
    pixels = to_pixels(torch.tensor([[-3.0], [0.5], [7.0]]), (1, 3), np.dtype(np.uint8))
    assert pixels.ravel().tolist() == [0, 128, 255]


def test_values_have_an_offset_and_coords_a_range():
    stored = torch.tensor([[0, 4], [2, -4], [1, 0]], dtype=torch.int16)
    signal = GridSignal(stored, (3,), scale=4.0, offset=0.5, half_range=5.0)
    coords, values = signal.slice(0, 3)
    assert coords.flatten().tolist() == [-5, 0, 5]
    assert values.tolist() == [[0.5, 1.5], [1.0, -0.5], [0.75, 0.5]]
    moved = signal.to(dtype=torch.float64)
    assert (moved.offset, moved.half_range, moved.scale) == (0.5, 5.0, 4.0)
    for a, b in zip(moved.at(torch.tensor([2, 0])), signal.at(torch.tensor([2, 0])), strict=True):
        assert torch.equal(a, b.double())
    square = GridSignal(torch.zeros(6, 1), (2, 3), half_range=2.0)
    assert square.slice(0, 6)[0].tolist() == [[y, x] for y in (-2, 2) for x in (-2, 0, 2)]


def test_a_signal_moves_to_another_type():
    signal = tiny_signal(dtype=torch.float32).to(dtype=torch.float64)
    assert isinstance(signal, GridSignal)
    assert all(t.dtype == torch.float64 for t in signal.at(torch.tensor([0, 3])))
