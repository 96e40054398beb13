"""Whether what was exported gives the values of the field.

Legend: N points, D coordinate dimensions, C channels.
"""

import math
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nint_cli.derivatives.engine import EXACT
from nint_cli.errors import OutputError
from nint_cli.fitted.fitted import Fitted
from nint_cli.signals.base import MOST_IN_FLOAT32, GridSignal
from nint_cli.signals.record import SignalRecord
from nint_cli.signals.stratified import spread_indices

MOST_DIFFERENT = 1e-4
"""How far an exported field's values may be from the field's, in its own units; of values beyond
1, that share of them."""

_ON_GRID = 4096
_ELSEWHERE = 1000
_REACH = 1.1  # half ranges, how far out other points lie

Values = Callable[[NDArray[np.floating]], NDArray[np.floating]]
"""Coords (N, D) -> values (N, C), as the exported field gives them."""


def coords_type(signal: SignalRecord) -> torch.dtype:
    """Return the type of coords that a field is exported for.

    Args:
        signal: What it was fitted to.

    Returns:
        float64 where an axis has too many points for float32, as in training.
    """
    return torch.float64 if max(signal.grid) > MOST_IN_FLOAT32 else torch.float32


def refuse_different(name: str, found: Values, fitted: Fitted) -> None:
    """Compare an exported field with the field itself, before anything is written.

    Both are evaluated at points of the signal's grid and at others, some of them a little outside.

    Args:
        name: What is compared, for the message.
        found: The exported field.
        fitted: The field.

    Raises:
        OutputError: If they differ by more than `MOST_DIFFERENT`.
    """
    signal = fitted.signal
    coords = _points(signal)
    true = EXACT.derivatives(fitted.field).predict(coords).double().numpy()
    # In two parts, of which one is a single point, for the number of points is free.
    arrays = np.split(coords.numpy(), [len(coords) - 1])
    difference = np.abs(np.concatenate([found(part) for part in arrays]) - true)
    worst = float((difference / np.maximum(1, np.abs(true))).max())
    if not worst <= MOST_DIFFERENT:
        raise OutputError(
            f"nothing was written: values of the {name} differ from the field's by up to "
            f"{worst:.2g}, where {MOST_DIFFERENT} is allowed; export it as safetensors"
        )


def _points(signal: SignalRecord) -> Tensor:
    """Return coords of points of the grid and of others."""
    grid = GridSignal(
        torch.empty(math.prod(signal.grid), 0), signal.grid, half_range=signal.half_range
    )
    chosen = spread_indices(len(grid), min(_ON_GRID, len(grid)), 0)
    on_grid, _ = grid.at(chosen)
    generator = torch.Generator().manual_seed(0)
    shares = torch.rand(_ELSEWHERE, len(signal.grid), generator=generator, dtype=on_grid.dtype)
    return torch.cat([on_grid, (2 * shares - 1) * _REACH * signal.half_range])
