"""Signals at scattered points."""

from collections.abc import Callable

import torch
from torch import Tensor

from nint_cli.signals.base import Signal

Draw = Callable[[int], tuple[Tensor, Tensor]]
"""Gives the points of a draw by its number: coords (N, D) in [-1, 1], and values (N, C)."""


class PointSignal(Signal):
    """Values at points that lie anywhere in [-1, 1]^D.

    Args:
        coords: (N, D).
        values: (N, C), in units of the coords.
        half_range: What the field takes 1 for: it sees coords and values times that.
        draw: Gives other points; None if these are all.
        redraw_every: Steps after which others take the place of these; None: never.
    """

    def __init__(
        self,
        coords: Tensor,
        values: Tensor,
        *,
        half_range: float = 1.0,
        draw: Draw | None = None,
        redraw_every: int | None = None,
    ) -> None:
        self._draw = draw
        self.half_range = half_range
        self.redraw_every = redraw_every
        self.value_dim = values.shape[1]
        side = max(2, round(len(coords) ** (1 / coords.shape[1])))
        self.shape = (side,) * coords.shape[1]
        self.coords = coords * half_range
        self.values = values * half_range

    def __len__(self) -> int:
        return len(self.coords)

    @property
    def device(self) -> torch.device:
        """Where the points are stored."""
        return self.coords.device

    def at(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Look up points; see `Signal.at`."""
        return self.coords[indices], self.values[indices]

    def slice(self, start: int, stop: int) -> tuple[Tensor, Tensor]:
        """Look up neighbours by index; see `Signal.slice`."""
        return self.coords[start:stop], self.values[start:stop]

    def redraw(self, number: int) -> None:
        """Replace all points by those of a draw; see `Signal.redraw`."""
        if self._draw is None:
            super().redraw(number)
            return
        coords, values = self._draw(number)
        self.coords = coords.to(self.coords) * self.half_range
        self.values = values.to(self.values) * self.half_range
