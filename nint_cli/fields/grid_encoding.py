"""Interpolation in one grid per level, whose finer ones share rows of a table by a hash."""

import math
from collections.abc import Sequence
from functools import cached_property
from itertools import combinations
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding_bag

from nint_cli.fields.base import Encoding
from nint_cli.fields.kernels.loading import usable

if TYPE_CHECKING:
    from nint_cli.fields.kernels.grid import Levels

# The authors' factors of the spatial hash, one per axis. Only the low bits of a product count, so
# 32-bit integers that wrap around give the same rows.
_PRIMES = (1, 2_654_435_761 - 2**32, 805_459_861)


class Corners(NamedTuple):
    """The table rows that the features of some coords are read from, level by level.

    Attributes:
        rows: (levels, B) int32 of each of the 2^D corners.
        weights: (levels, B) likewise, which sum to 1 over the corners.
    """

    rows: Sequence[Tensor]
    weights: Sequence[Tensor]


class GridEncoding(nn.Module, Encoding):
    """Linear interpolation in one grid per level; see `HashGrid`.

    On a CPU compiled loops read the tables and add up their gradient, and find the corners of a
    point's cell each time anew, which is quicker than to remember them.

    Args:
        resolutions: Vertices per axis (levels, D), rising from level to level.
        entries: T, the most rows that a level's table has; a power of two.
        features: Features per level.
        half_range: The grids span [-half_range, half_range].
    """

    starts: Tensor
    cells: Tensor
    factors: Tensor

    def __init__(
        self,
        resolutions: Sequence[Sequence[int]],
        *,
        entries: int,
        features: int,
        half_range: float = 1.0,
    ) -> None:
        super().__init__()
        self.half_range = half_range
        sizes = [math.prod(level) for level in resolutions]
        self.dense = sum(size <= entries for size in sizes)  # larger levels are hashed
        self.entries = entries
        self.feature_dim = features * len(resolutions)
        lengths = [min(size, entries) for size in sizes]
        self.table = nn.Parameter(torch.empty(sum(lengths), features))
        factors = [
            [math.prod(level[axis + 1 :]) for axis in range(len(level))]
            if size <= entries
            else _PRIMES[: len(level)]
            for level, size in zip(resolutions, sizes, strict=True)
        ]
        for name, content in (
            ("starts", [sum(lengths[:level]) for level in range(len(lengths))]),
            ("cells", [[size - 1 for size in level] for level in resolutions]),
            ("factors", factors),
        ):
            # A column per level, to be broadcast over points; nothing that a file need keep.
            column = torch.tensor(content, dtype=torch.int32)[..., None]
            self.register_buffer(name, column, persistent=False)

    @property
    def trained(self) -> tuple[Tensor]:
        """The table; see `Encoding.trained`."""
        return (self.table,)

    def features(self, coords: Tensor) -> Tensor:
        """Return the interpolated features; see `Encoding.features`."""
        corners = zip(*self._corners(coords), strict=True)
        found = sum(self.table[row] * weight[..., None] for row, weight in corners)
        assert isinstance(found, Tensor)
        return found.transpose(0, 1).flatten(1)

    def locate(self, coords: Tensor) -> Corners | Tensor:
        """Return the coords where compiled loops read the tables, and else the corners."""
        if usable(self.table) and coords.is_contiguous():
            return coords
        return self._corners(coords)

    @cached_property
    def _levels(self) -> "Levels":
        from nint_cli.fields.kernels.grid import Levels

        return Levels(
            self.starts, self.cells, self.factors, self.dense, self.entries, self.half_range
        )

    def _corners(self, coords: Tensor) -> Corners:
        """Find the corners of the cell of each point on each level; points outside are clamped."""
        rows: list[Tensor] = []
        weights: list[Tensor] = []
        reach = self.half_range
        for axis, along in enumerate(coords.clamp(-reach, reach).unbind(1)):
            cells = self.cells[:, axis].to(coords.dtype)
            position = (along + reach) * (cells / (2 * reach))
            corner = torch.minimum(position.detach().floor(), cells - 1)
            inside = (position - corner).to(self.table.dtype)
            low = corner.int() * self.factors[:, axis]
            ends = (low, low + self.factors[:, axis])
            rows = [self._joined(row, end) for row in rows for end in ends] or list(ends)
            shares = (1 - inside, inside)
            weights = [weight * share for weight in weights for share in shares] or list(shares)
        if self.dense < len(self.starts):
            rows = [
                torch.cat([r[: self.dense], r[self.dense :] & (self.entries - 1)]) for r in rows
            ]
        return Corners([row + self.starts for row in rows], weights)

    def _joined(self, row: Tensor, end: Tensor) -> Tensor:
        """Combine the part of a row's number that comes from one more axis with the rest."""
        if self.dense == len(self.starts):
            return row + end
        parts = row[: self.dense] + end[: self.dense], row[self.dense :] ^ end[self.dense :]
        return torch.cat(parts)

    def read(self, place: Corners | Tensor) -> Tensor:
        """Return the features without a graph; see `Encoding.read`."""
        return self._read(place, self.table)

    def _read(self, place: Corners | Tensor, table: Tensor) -> Tensor:
        if isinstance(place, Tensor):
            return self._levels.read(place, table.contiguous())
        levels, points = place.rows[0].shape
        found = embedding_bag(  # reads and adds up in one go, where indexing makes 2^D copies
            torch.stack(list(place.rows), dim=2).view(levels * points, -1),
            table,
            per_sample_weights=torch.stack(list(place.weights), dim=2).view(levels * points, -1),
            mode="sum",
        )
        return found.view(levels, points, -1).transpose(0, 1).flatten(1)

    def add_gradient(
        self, place: Corners | Tensor, gradient: Tensor, totals: Sequence[Tensor]
    ) -> None:
        """Scatter the gradient over the table; see `Encoding.add_gradient`."""
        if isinstance(place, Tensor):
            self._levels.add_gradient(place, gradient, totals[0])
            return
        parts = self._by_feature(gradient).contiguous()
        for row, weight in zip(*place, strict=True):
            rows = row.flatten()
            for feature, part in enumerate(parts):
                # One column at a time: adding to rows of several numbers is far slower.
                totals[0][:, feature].index_add_(0, rows, (part * weight).flatten())

    def _by_feature(self, gradient: Tensor) -> Tensor:
        """Sort a gradient by the features (B, levels F) as (F, levels, B)."""
        return gradient.view(len(gradient), len(self.starts), -1).permute(2, 1, 0)

    def read_change(self, place: Corners | Tensor, direction: Sequence[Tensor]) -> Tensor:
        """Interpolate in the direction instead of the table; see `Encoding.read_change`."""
        return self._read(place, direction[0])

    def leverage(self, place: Corners | Tensor, gradient: Tensor) -> Tensor:
        """Compute the squared norms; corners that share a row count as one; see the base.

        Only corners of a hashed level that differ along two axes can: the factors of the hash are
        odd, so that a step along one axis changes the lowest bit of a row's number.
        """
        if isinstance(place, Tensor):
            return self._levels.leverage(place, gradient)
        reach = torch.zeros_like(place.weights[0])
        for weight in place.weights:
            reach.addcmul_(weight, weight)
        if self.dense < len(self.starts):
            hashed = slice(self.dense, None)
            for one, other in combinations(range(len(place.rows)), 2):
                if (one ^ other).bit_count() == 2:
                    same = place.rows[one][hashed] == place.rows[other][hashed]
                    share = place.weights[one][hashed] * place.weights[other][hashed]
                    reach[hashed].add_(share.mul_(same), alpha=2)
        return (reach * self._by_feature(gradient).square().sum(0)).sum(0)
