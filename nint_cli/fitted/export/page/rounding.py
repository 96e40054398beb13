"""To how many bits a field's numbers may be rounded, found by rounding them and looking."""

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nint_cli.fields.base import Field
from nint_cli.fitted.export.page.network import Floats, described
from nint_cli.fitted.export.page.packing import Block
from nint_cli.signals.base import GridSignal
from nint_cli.signals.record import SignalRecord
from nint_cli.signals.stratified import spread_indices

_LOOKED_AT = 1 << 14  # points, which stand for all
_AT_ONCE = 1 << 12


@dataclass(frozen=True)
class Packed:
    """A field as the page has it.

    Attributes:
        network: What network.js is given.
        half: Whether the larger tensors are rounded to 16 bits.
        cost: The largest change of a predicted value that rounding to 16 bits makes.
    """

    network: dict[str, Any]
    half: bool
    cost: float


def packed(field: Field, signal: SignalRecord, block: Block, tolerance: float) -> Packed:
    """Store a field in half precision, or in single precision where that would show.

    Args:
        field: The field.
        signal: What it was fitted to; the points of its grid are looked at.
        block: Takes the numbers.
        tolerance: The most that a predicted value may change.

    Returns:
        The field.
    """
    cost = _cost(field, signal)
    half = cost <= tolerance  # False for what is not a number

    def pack(array: Floats, may_round: bool) -> Any:  # noqa: ANN401 (of JSON)
        return block.add(array.astype(np.float16) if half and may_round else array)

    return Packed(described(field, pack), half, cost)


def _cost(field: Field, signal: SignalRecord) -> float:
    """Predict with rounded parameters, and give the largest difference."""
    grid = GridSignal(torch.empty(signal.population, 0), signal.grid, half_range=signal.half_range)
    chosen = spread_indices(len(grid), min(len(grid), _LOOKED_AT), 0)
    coords, _ = grid.at(chosen)
    rounded, largest = _rounded(field), 0.0
    with torch.no_grad():
        for part in coords.split(_AT_ONCE):
            change = (field(part) - rounded(part)).abs().max()
            largest = float(torch.maximum(change, torch.tensor(largest)))
            if not largest < np.inf:
                break
    return largest


def _rounded(field: Field) -> Field:
    """Return a field whose numbers are rounded where `described` allows it."""
    kept: list[Floats] = []

    def see(array: Floats, may_round: bool) -> dict[str, object]:
        if not may_round:
            kept.append(array)
        return {}

    described(field, see)

    def is_kept(parameter: Tensor) -> bool:
        array = parameter.detach().numpy()
        return any(np.shares_memory(array, each) for each in kept)

    found = copy.deepcopy(field)
    with torch.no_grad():
        for own, original in zip(found.parameters(), field.parameters(), strict=True):
            if not is_kept(original):
                own.copy_(own.half().float())
    return found
