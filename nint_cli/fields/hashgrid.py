"""Multiresolution hash grid: tables of features, interpolated, and a small network."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import torch
from pydantic import Field as Setting
from pydantic import model_validator

from nint_cli.fields.base import ChainField, depth, uniform_, width
from nint_cli.fields.grid_encoding import GridEncoding
from nint_cli.fields.mlp import Relu, torch_default_
from nint_cli.fields.recipe import BY_ERROR, GRID_DECAYS, UNGUIDED, Recipes, published, tuned
from nint_cli.settings import Circumstances, Section

_INITIAL = 1e-4


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
    tables of the same size that are read half as often.

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
