"""PEMLP, a ReLU network on sines and cosines of the coordinates."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from pydantic import Field as Setting
from torch import Tensor

from nint_cli.fields.base import ChainField, Encoding, depth, width
from nint_cli.fields.mlp import Relu, torch_default_
from nint_cli.fields.recipe import GUIDED, Recipes, published, tuned
from nint_cli.settings import Section


class PositionalEncoding(Encoding):
    """gamma(x) = [x, sin(x), cos(x), sin(2 x), cos(2 x), ..., cos(2^(L-1) x)] per coordinate.

    Args:
        coord_dim: D.
        frequencies: L.
    """

    def __init__(self, coord_dim: int, frequencies: int) -> None:
        self.frequencies = frequencies
        self.feature_dim = coord_dim * (1 + 2 * frequencies)

    def features(self, coords: Tensor) -> Tensor:
        """Give gamma; see `Encoding.features`."""
        octaves = 2.0 ** torch.arange(self.frequencies, dtype=coords.dtype, device=coords.device)
        angles = (coords[:, None, :] * octaves[:, None]).flatten(1)
        return torch.cat([coords, angles.sin(), angles.cos()], dim=1)


class PemlpSettings(Section):
    """ReLU network behind a positional encoding (Mildenhall et al., 2020, arXiv 2003.08934)."""

    frequencies: int | None = Setting(
        None,
        ge=1,
        le=30,
        description="octaves of the encoding; null: up to half of what the signal's grid can hold",
    )
    hidden_features: int = width(256)
    hidden_layers: int = depth(4)


class Pemlp(ChainField):
    """ReLU network behind a positional encoding of octaves, without a factor pi.

    Source: Mildenhall, Srinivasan, Tancik, Barron, Ramamoorthi, Ng, "NeRF: Representing Scenes as
    Neural Radiance Fields for View Synthesis", ECCV 2020, arXiv 2003.08934, equation 4.

    The highest frequency is 2^(L-1) rad per unit of coords in [-1, 1]. FINER and EVOS take L = 10
    for pictures of 512 pixels, which is half of what their grid can hold; other sizes are given
    the same share of theirs (`octaves_for`).

    Initialisation: PyTorch's default, weights and biases U(1 / sqrt(fan_in)).

    Differs: features are sorted by kind, all sines before all cosines, which only renames columns
    of the first weight.

    Args:
        coord_dim: D.
        value_dim: C.
        frequencies: L.
        hidden_features: Width of the ReLU layers.
        hidden_layers: Number of ReLU layers.
        generator: Source of the initial parameters; None leaves them uninitialised.

    Example:
        >>> Pemlp(2, 3).parameter_count()
        209155
    """

    Settings = PemlpSettings
    bf16_floor_db: ClassVar[float | None] = 64.0
    recipes: ClassVar[Recipes] = {
        "image": {
            "published": published(1e-3, "FINER's release"),
            # Where the rate rises faster, short runs end at the mean colour, or near it.
            "tuned": tuned(6e-3, 1024, 3600, warmup=0.2, by_root=True),
        },
        "audio": {
            "published": published(1e-4, "INT's release"),
            "tuned": tuned(3e-3, 1024, 5000, GUIDED),
        },
        "sdf": {
            "published": published(5e-4, "FINER's release"),
            "tuned": tuned(1e-3, 8192, 500),
        },
    }

    activation = Relu()

    @classmethod
    def from_shape(cls, shape: Sequence[int], bandwidth: float | None) -> Mapping[str, Any]:
        """Return what the signal decides; see `Field.from_shape`."""
        return {"frequencies": octaves_for(max(shape))}

    def __init__(
        self,
        coord_dim: int,
        value_dim: int,
        *,
        frequencies: int = 10,
        hidden_features: int = 256,
        hidden_layers: int = 4,
        generator: torch.Generator | None = None,
    ) -> None:
        encoding = PositionalEncoding(coord_dim, frequencies)
        super().__init__(coord_dim, value_dim, hidden_features, hidden_layers, encoding=encoding)
        if generator is not None:
            torch_default_(self.weights, self.biases, generator)


def octaves_for(samples: int) -> int:
    """Choose L for a grid.

    Args:
        samples: Points along its longest axis.

    Returns:
        L such that 2^(L-1) rad is nearest, by octaves, to half the highest frequency of a grid
        of that many points over [-1, 1], pi samples / 2; at least 1.

    Example:
        >>> octaves_for(512), octaves_for(135_360)
        (10, 18)
    """
    return max(1, round(math.log2(math.pi * samples / 4)) + 1)
