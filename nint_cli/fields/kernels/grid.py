"""A hash grid's tables by compiled loops.

Legend: B points, D axes, L levels, F features per level.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from nint_cli.fields.kernels import grid_loops
from nint_cli.fields.kernels.threads import run


@dataclass(frozen=True)
class Levels:
    """The grids of all levels.

    Attributes:
        starts: (L, 1) int32, first row of each level's table.
        cells: (L, D, 1) int32, cells along each axis.
        factors: (L, D, 1) int32, what a vertex counts along each axis: strides of a dense level,
            primes of a hashed one.
        dense: Levels that are not hashed, the first ones.
        entries: Rows of a hashed level, a power of two.
        half_range: The grids span [-half_range, half_range].
    """

    starts: Tensor
    cells: Tensor
    factors: Tensor
    dense: int
    entries: int
    half_range: float

    def read(self, coords: Tensor, table: Tensor) -> Tensor:
        """Interpolate.

        Args:
            coords: (B, D), float32 or float64, without gaps; clamped to the grids.
            table: (rows, F) float32.

        Returns:
            (B, L F) float32.
        """
        features = table.shape[1]
        found = torch.empty((len(coords), len(self.starts) * features), dtype=table.dtype)
        self._run("read", coords, table, features, found)
        return found

    def add_gradient(self, coords: Tensor, gradient: Tensor, total: Tensor) -> None:
        """Add the gradient by the features (B, L F) to that by the table (rows, F)."""
        self._run("add_gradient", coords, total, total.shape[1], gradient)

    def leverage(self, coords: Tensor, gradient: Tensor) -> Tensor:
        """Compute each point's squared norm (B,) of what `add_gradient` would add for it alone."""
        norms = torch.empty(len(coords), dtype=gradient.dtype)
        features = gradient.shape[1] // len(self.starts)
        self._run("leverage", coords, norms, features, gradient)
        return norms

    def _run(self, name: str, coords: Tensor, one: Tensor, features: int, other: Tensor) -> None:
        points = coords.detach().numpy()
        arguments = (
            points,
            (0,) * coords.shape[1],
            (0,) * features,
            one.detach().numpy(),
            (*self._numbers, points.dtype.type(self.half_range)),
            other.numpy(),
        )
        run(getattr(grid_loops, name), getattr(grid_loops, f"{name}_all"), arguments)

    @cached_property
    def _numbers(self) -> tuple[object, ...]:
        """What all loops read: starts, cells, factors, dense and mask."""
        arrays = (each[..., 0].numpy() for each in (self.starts, self.cells, self.factors))
        return (*arrays, self.dense, np.int32(self.entries - 1))
