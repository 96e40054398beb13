"""Weights as integers with one scale for each run of them: symmetric uniform quantisation.

A scale has the 8 significant bits of a bfloat16 and an integer at most 15, so that their product
is exact in float32: what a file decodes to does not depend on the machine.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nint_cli.fields.base import Field

LEAST_BITS, MOST_BITS = 4, 16
_EXTRA_BITS = 4  # of few numbers that move all values: 3 dB at 6 bits, for 1 % of the bytes
_ON_COORDS = ("encoding.frequencies", "first_weight")
_SHORT_ROW = 16  # below, a scale for each row would cost more than it saves
_TABLE_RUN = 512  # numbers of a hash grid's table, whose levels lie one after another


@dataclass(frozen=True)
class Quantised:
    """A tensor as integers.

    Attributes:
        name: In the field's `state_dict`.
        shape: Of the tensor.
        bits: Of each integer, with its sign.
        run: How many numbers, in row-major order, share a scale; the last run may be shorter.
        scales: uint16, one for each run: the upper half of a float32.
        integers: int16, in row-major order.
    """

    name: str
    shape: tuple[int, ...]
    bits: int
    run: int
    scales: NDArray[np.uint16]
    integers: NDArray[np.int16]

    def values(self) -> Tensor:
        """Return the tensor that the integers stand for, in float32."""
        scales = np.repeat(scales_of(self.scales), self.run)[: len(self.integers)]
        return torch.from_numpy(self.integers * scales).view(self.shape)


def scales_of(halves: NDArray[np.uint16]) -> NDArray[np.float32]:
    """Return the float32 numbers whose upper halves are given.

    Args:
        halves: Sign, exponent and 7 bits of the fraction.
    """
    return (halves.astype(np.uint32) << 16).view(np.float32)


def quantise(field: Field, bits: int) -> tuple[Quantised, ...]:
    """Quantise all parameters and buffers of a field.

    Args:
        field: The field.
        bits: Of the weights, from `LEAST_BITS` to `MOST_BITS`; see `bits_of` for the others.

    Returns:
        In the order of its `state_dict`. Each value is at most half a scale from the field's. A
        ValueError is raised where one is not finite.
    """
    return tuple(
        _quantised(name, each.detach().cpu(), bits_of(name, each, bits))
        for name, each in field.state_dict().items()
    )


def bits_of(name: str, tensor: Tensor, bits: int) -> int:
    """Return the bits of a tensor of a field.

    Args:
        name: In its `state_dict`.
        tensor: The tensor.
        bits: Of the weights.

    Returns:
        More for biases, frequencies, and a first layer that takes coords.
    """
    of_coords = name == "weights.0" and _row(tensor) < _SHORT_ROW
    small = of_coords or "bias" in name or name in _ON_COORDS
    return min(MOST_BITS, bits + _EXTRA_BITS) if small else bits


def run_of(name: str, tensor: Tensor) -> int:
    """Return how many numbers of a tensor share a scale.

    Args:
        name: In the `state_dict`.
        tensor: The tensor.

    Returns:
        Those of a row of a weight matrix, which is an output channel; all of biases and of
        matrices with short rows; a fixed number of a hash grid's table.
    """
    count, row = tensor.numel(), _row(tensor)
    if name == "encoding.table":
        return min(count, _TABLE_RUN)
    return count if "bias" in name or row < _SHORT_ROW else row


def _row(tensor: Tensor) -> int:
    """Return how many numbers an output channel has."""
    return tensor.numel() // tensor.shape[0]


def _quantised(name: str, tensor: Tensor, bits: int) -> Quantised:
    if not bool(torch.isfinite(tensor).all()):
        raise ValueError(f"{name} holds NaN or infinity")
    run, shape = run_of(name, tensor), tuple(tensor.shape)
    weights = tensor.numpy().astype(np.float64).reshape(-1)
    starts = np.arange(0, len(weights), run)
    largest = np.maximum.reduceat(np.abs(weights), starts)
    halves = _halves_at_least(largest / (2 ** (bits - 1) - 1))
    scales = np.repeat(scales_of(halves).astype(np.float64), run)[: len(weights)]
    ratios = np.divide(weights, scales, out=np.zeros_like(weights), where=scales > 0)
    return Quantised(name, shape, bits, run, halves, np.rint(ratios).astype(np.int16))


def _halves_at_least(scales: NDArray[np.float64]) -> NDArray[np.uint16]:
    """Round up to the upper half of a float32, so that no integer has to be clipped."""
    singles = scales.astype(np.float32)
    singles = np.where(singles < scales, np.nextafter(singles, np.float32(np.inf)), singles)
    found = singles.astype(np.float32).view(np.uint32)
    return ((found + 0xFFFF) >> 16).astype(np.uint16)
