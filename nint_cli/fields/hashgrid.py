"""Multiresolution hash grid: tables of features, interpolated, and a small network."""

import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any, ClassVar, NamedTuple, Self

import torch
from pydantic import Field as Setting
from pydantic import model_validator
from torch import Tensor, nn
from torch.nn.functional import embedding_bag

from nint_cli.fields.base import ChainField, Encoding, depth, uniform_, width
from nint_cli.fields.mlp import Relu, torch_default_
from nint_cli.fields.recipe import BY_ERROR, GRID_DECAYS, UNGUIDED, Recipes, published, tuned
from nint_cli.settings import Circumstances, Section

# The authors' factors of the spatial hash, one per axis. Only the low bits of a product count, so
# 32-bit integers that wrap around give the same rows.
_PRIMES = (1, 2_654_435_761 - 2**32, 805_459_861)
_INITIAL = 1e-4


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
        """Give the interpolated features; see `Encoding.features`."""
        corners = zip(*self.locate(coords), strict=True)
        found = sum(self.table[row] * weight[..., None] for row, weight in corners)
        assert isinstance(found, Tensor)
        return found.transpose(0, 1).flatten(1)

    def locate(self, coords: Tensor) -> Corners:
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

    def read(self, place: Corners) -> Tensor:
        """Give the features without a graph; see `Encoding.read`."""
        return self._read(place, self.table)

    def _read(self, place: Corners, table: Tensor) -> Tensor:
        levels, points = place.rows[0].shape
        found = embedding_bag(  # reads and adds up in one go, where indexing makes 2^D copies
            torch.stack(list(place.rows), dim=2).view(levels * points, -1),
            table,
            per_sample_weights=torch.stack(list(place.weights), dim=2).view(levels * points, -1),
            mode="sum",
        )
        return found.view(levels, points, -1).transpose(0, 1).flatten(1)

    def add_gradient(self, place: Corners, gradient: Tensor, totals: Sequence[Tensor]) -> None:
        """Scatter the gradient over the table; see `Encoding.add_gradient`."""
        parts = self._by_feature(gradient).contiguous()
        for row, weight in zip(*place, strict=True):
            rows = row.flatten()
            for feature, part in enumerate(parts):
                # One column at a time: adding to rows of several numbers is far slower.
                totals[0][:, feature].index_add_(0, rows, (part * weight).flatten())

    def _by_feature(self, gradient: Tensor) -> Tensor:
        """Sort a gradient by the features (B, levels F) as (F, levels, B)."""
        return gradient.view(len(gradient), len(self.starts), -1).permute(2, 1, 0)

    def read_change(self, place: Corners, direction: Sequence[Tensor]) -> Tensor:
        """Interpolate in the direction instead of the table; see `Encoding.read_change`."""
        return self._read(place, direction[0])

    def leverage(self, place: Corners, gradient: Tensor) -> Tensor:
        """Compute the squared norms; corners that share a row count as one; see the base.

        Only corners of a hashed level that differ along two axes can: the factors of the hash are
        odd, so that a step along one axis changes the lowest bit of a row's number.
        """
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


class HashGridSettings(Section):
    """Multiresolution hash grid (Müller et al., 2022, arXiv 2201.05989)."""

    levels: int = Setting(8, ge=1, le=64, description="number of grids")
    features: int = Setting(4, ge=1, le=64, description="features per level")
    coarsest: int = Setting(
        16, ge=2, le=65_536, description="vertices along the longest axis of the first level"
    )
    finest: int | None = Setting(
        None,
        ge=2,
        le=1 << 24,
        description="vertices along the longest axis of the last level; null: from the signal",
    )
    log2_entries: int | None = Setting(
        None,
        ge=4,
        le=28,
        description="log2 of the most table rows of a level; null: from the signal",
    )
    hidden_features: int = width(64)
    hidden_layers: int = depth(2)

    @model_validator(mode="after")
    def _levels_are_ordered(self) -> Self:
        if self.finest is not None and self.finest < self.coarsest:
            raise ValueError(
                f"hashgrid.coarsest {self.coarsest} is above hashgrid.finest {self.finest}; "
                "lower it"
            )
        return self

    def unused(self, around: Circumstances) -> Mapping[str, str]:
        """Return the finest level where there is but one; see `Section.unused`."""
        if self.levels > 1 or self.finest is None:
            return {}
        return {"finest": "hashgrid.levels is 1, and that is hashgrid.coarsest; raise levels"}


class HashGrid(ChainField):
    """Multiresolution hash grid, then a small ReLU network.

    Source: Müller, Evans, Schied, Keller, "Instant Neural Graphics Primitives with a
    Multiresolution Hash Encoding", ACM Transactions on Graphics 41(4), 2022, arXiv 2201.05989.

    Level l has a grid over the coords' range whose numbers of vertices grow geometrically from the
    coarsest to the finest, in proportion to the signal's own grid along each axis. A point reads
    the 2^D corners of its cell, with multilinear weights. A level with at most T vertices has a
    row of the table for each; a larger one shares T rows by the authors' hash, the exclusive or
    over the axes of vertex times prime.

    Initialisation: tables U(1e-4), network by PyTorch's default U(1 / sqrt(fan_in)).

    Differs: dense levels have exactly as many rows as vertices, vertices lie on both ends of every
    axis, and finest level and table follow the signal's size where they are not given
    (`grid_for`). There are 8 levels of 4 features where the authors have 16 of 2, which makes
    tables of the same size that are read half as often. Everything is PyTorch, on a CPU and on
    CUDA.

    Args:
        shape: Points of the signal along each axis.
        value_dim: C.
        levels: Number of levels.
        features: Features per level.
        coarsest: Vertices along the longest axis on the first level.
        finest: Vertices along the longest axis on the last level.
        log2_entries: log2 of T.
        half_range: Coords lie in [-half_range, half_range], which the grids span.
        hidden_features: Width of the ReLU layers.
        hidden_layers: Number of ReLU layers.
        generator: Source of the initial parameters; None leaves them uninitialised.
    """

    Settings = HashGridSettings
    bf16_floor_db: ClassVar[float | None] = 64.0
    recipes: ClassVar[Recipes] = {
        "image": {
            "published": published(1e-2, "Müller et al., 2022"),
            "tuned": tuned(2e-2, 4096, 8000, BY_ERROR, decays=GRID_DECAYS),
        },
        "audio": {
            "published": published(1e-2, "Müller et al., 2022"),
            "tuned": tuned(
                1e-2,
                4096,
                10_000,
                {"hashgrid.features": 2, "hashgrid.coarsest": 256, **UNGUIDED},
                decays=GRID_DECAYS,
            ),
        },
        "sdf": {
            "published": published(1e-2, "Müller et al., 2022"),
            "tuned": tuned(
                1e-2,
                8192,
                1200,
                {"hashgrid.finest": 128, "hashgrid.log2_entries": 15},
                decays=GRID_DECAYS,
            ),
        },
    }

    activation = Relu()

    @classmethod
    def from_settings(
        cls,
        settings: HashGridSettings,
        shape: Sequence[int],
        value_dim: int,
        *,
        half_range: float = 1.0,
        bandwidth: float | None = None,
        generator: torch.Generator | None = None,
    ) -> Self:
        """Build a grid for the signal's shape; see `Field.from_settings`."""
        chosen = cls.from_shape(shape, bandwidth)
        values: dict[str, Any] = {
            key: chosen.get(key) if value is None else value
            for key, value in settings.model_dump().items()
        }
        return cls(shape, value_dim, half_range=half_range, generator=generator, **values)

    @classmethod
    def from_shape(cls, shape: Sequence[int], bandwidth: float | None) -> Mapping[str, Any]:
        """Return what the signal decides; see `Field.from_shape`."""
        finest, log2_entries = grid_for(shape)
        return {"finest": finest, "log2_entries": log2_entries}

    def __init__(
        self,
        shape: Sequence[int],
        value_dim: int,
        *,
        levels: int = 8,
        features: int = 4,
        coarsest: int = 16,
        finest: int = 256,
        log2_entries: int = 14,
        half_range: float = 1.0,
        hidden_features: int = 64,
        hidden_layers: int = 2,
        generator: torch.Generator | None = None,
    ) -> None:
        encoding = GridEncoding(
            level_resolutions(shape, levels, coarsest, finest),
            entries=2**log2_entries,
            features=features,
            half_range=half_range,
        )
        super().__init__(len(shape), value_dim, hidden_features, hidden_layers, encoding=encoding)
        self.width = max(self.width, levels * 2 ** len(shape))
        self._reads: int = levels * features * 2 ** len(shape)
        if generator is not None:
            uniform_(encoding.table, _INITIAL, generator)
            torch_default_(self.weights, self.biases, generator)

    def multiply_adds(self) -> int:
        """Count what is read of the tables, not their size; see `Field.multiply_adds`."""
        inner: int = sum(weight.numel() for weight in self.weights)
        return inner + self._reads


def level_resolutions(
    shape: Sequence[int], levels: int, coarsest: int, finest: int
) -> list[list[int]]:
    """Give the vertices of every level along every axis.

    Args:
        shape: Points of the signal along each axis.
        levels: Number of levels.
        coarsest: Vertices along the longest axis on the first level, or `finest` if that is less.
        finest: Vertices along the longest axis on the last level.

    Returns:
        (levels, D) numbers of at least 2, geometric along the longest axis and in proportion
        along the others.

    Example:
        >>> level_resolutions((512, 256), 3, 16, 256)
        [[16, 8], [64, 32], [256, 128]]
    """
    longest, coarsest = max(shape), min(coarsest, finest)
    growth = (finest / coarsest) ** (1 / max(1, levels - 1))
    return [
        [max(2, round(coarsest * growth**level * size / longest)) for size in shape]
        for level in range(levels)
    ]


def grid_for(shape: Sequence[int]) -> tuple[int, int]:
    """Choose finest level and table for a signal.

    Args:
        shape: Points of the signal along each axis.

    Returns:
        Vertices along the longest axis of the finest level, one for each point; and log2 of the
        rows of a table, a quarter of the points, an eighth of those of a sound, from 2^8 to 2^19.

    Example:
        >>> grid_for((256, 256)), grid_for((2048, 2048)), grid_for((65536,))
        ((256, 14), (2048, 19), (65536, 13))
    """
    points = math.prod(shape)
    fewer = 3 if len(shape) == 1 else 2
    return max(2, *shape), min(19, max(8, round(math.log2(points)) - fewer))
