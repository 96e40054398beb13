"""What every signal is, and signals on a regular grid.

Legend: N coordinates, B of them in a batch, D coordinate dimensions, C channels.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Self

import torch
from torch import Tensor

MOST_IN_FLOAT32 = 1 << 17
"""Points along an axis that coords in float32 place to 0.002 of the distance between two."""


class Signal(ABC):
    """What is fitted: N coordinates with a value each.

    Values come out as floating-point numbers in the range that the field is trained on; how
    they are stored is the signal's own affair.

    Attributes:
        shape: Points along each of the D axes; for points without a grid, what a grid as fine
            as they are would have.
        value_dim: C.
        half_range: Coords lie in [-half_range, half_range].
        bandwidth: The largest angular frequency, in radians per unit of the coords, that a field
            of sines should start with; None leaves that to the field.
        on_grid: Whether the points are those of a grid of that shape, in row-major order: all of
            them, or those of `among`.
        among: (N,) int64, ascending: which points of the grid these are; None: all of them.
        redraw_every: Steps after which other points take the place of these; None: never.
    """

    shape: tuple[int, ...]
    value_dim: int
    half_range: float = 1.0
    bandwidth: float | None = None
    on_grid: bool = False
    among: Tensor | None = None
    redraw_every: int | None = None

    @abstractmethod
    def __len__(self) -> int:
        """Give N."""

    @property
    def coord_dim(self) -> int:
        """D."""
        return len(self.shape)

    @property
    @abstractmethod
    def device(self) -> torch.device:
        """Where indices are expected, and coords and values come out."""

    @abstractmethod
    def at(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Look up points.

        Args:
            indices: (B,) int64 in [0, N), on the signal's device.

        Returns:
            Coords (B, D) and values (B, C). Coords are in float64 where their axes have too many
            points for float32.
        """

    @abstractmethod
    def slice(self, start: int, stop: int) -> tuple[Tensor, Tensor]:
        """Look up neighbouring points.

        Args:
            start: First index.
            stop: One past the last index.

        Returns:
            Coords (stop - start, D) and values (stop - start, C).
        """

    def redraw(self, number: int) -> None:
        """Replace all points, where `redraw_every` is set.

        Args:
            number: Of the draw, from 0; the same number gives the same points.

        Raises:
            TypeError: If the signal has no other points.
        """
        raise TypeError(f"a {type(self).__name__} has no draw {number} of other points")

    def blocks(self, size: int) -> Iterator[tuple[int, Tensor, Tensor]]:
        """Go through all points in order.

        Args:
            size: Points per block; the last one may be shorter.

        Yields:
            The index of the block's first point, its coords and its values.
        """
        for start in range(0, len(self), size):
            yield (start, *self.slice(start, min(start + size, len(self))))


class GridSignal(Signal):
    """Values on a regular grid, whose coordinates are computed and never stored.

    Where an axis has more than `MOST_IN_FLOAT32` points coords are in float64.

    Every axis runs from -1 to 1, both ends included, in the order of the array's axes: (row,
    column) for a picture. This is the convention of NINT and INT; a picture that is not square
    is stretched.

    Args:
        stored: (N, C) values, in row-major order of the grid; kept in their own dtype.
        shape: Size of the grid along each axis.
        scale: What a stored value is divided by to give the field's value.
        offset: What is added to that.
        half_range: What the axes run to instead of 1.
        dtype: Floating-point type of values, and of coords where it can tell them apart.
    """

    on_grid = True

    def __init__(
        self,
        stored: Tensor,
        shape: tuple[int, ...],
        *,
        scale: float = 1.0,
        offset: float = 0.0,
        half_range: float = 1.0,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.stored = stored
        self.shape = shape
        self.scale = scale
        self.offset = offset
        self.half_range = half_range
        self.dtype = dtype
        self.value_dim = stored.shape[1]
        fine = torch.float64 if max(shape) > MOST_IN_FLOAT32 else dtype
        # A long axis is not held, for that would take more memory than the signal.
        self._axes = [
            None
            if size > MOST_IN_FLOAT32
            else torch.linspace(-half_range, half_range, size, dtype=fine, device=stored.device)
            for size in shape
        ]

    def __len__(self) -> int:
        return self.stored.shape[0]

    def to(self, device: torch.device | None = None, dtype: torch.dtype | None = None) -> Self:
        """Move the values to a device, or compute in another floating-point type."""
        return type(self)(
            self.stored.to(device),
            self.shape,
            scale=self.scale,
            offset=self.offset,
            half_range=self.half_range,
            dtype=dtype or self.dtype,
        )

    @property
    def device(self) -> torch.device:
        """Where the values are stored."""
        return self.stored.device

    def at(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Look up points; see `Signal.at`."""
        stored = self.stored
        if stored.dtype == torch.uint16:  # of which CUDA has no lookup, but of as many bits
            found = stored.view(torch.int16)[indices].view(torch.uint16)
        else:
            found = stored[indices]
        return self._coords(indices), self._values(found)

    def slice(self, start: int, stop: int) -> tuple[Tensor, Tensor]:
        """Look up neighbouring points; see `Signal.slice`."""
        indices = torch.arange(start, stop, device=self.stored.device)
        return self._coords(indices), self._values(self.stored[start:stop])

    def _coords(self, indices: Tensor) -> Tensor:
        columns = []
        for size, axis in zip(reversed(self.shape), reversed(self._axes), strict=True):
            places = indices % size
            if axis is None:  # from the integer, so that neighbours of any index differ
                steps = (2 * places - (size - 1)).double()
                columns.append(steps * (self.half_range / (size - 1)))
            else:
                columns.append(axis[places])
            indices = indices // size
        return torch.stack(columns[::-1], dim=1)

    def _values(self, stored: Tensor) -> Tensor:
        return stored.to(self.dtype) / self.scale + self.offset


class CoordinateGrid(GridSignal):
    """A grid without values, to evaluate a field at: all combinations of coords along each axis.

    Args:
        axes: The coords along each axis, in the order of the array's axes.
    """

    def __init__(self, *axes: Tensor) -> None:
        shape = tuple(len(axis) for axis in axes)
        super().__init__(torch.empty(math.prod(shape), 0), shape)
        self._axes = [*axes]
