"""FFN, a ReLU network on random Fourier features."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from pydantic import Field as Setting
from torch import Tensor, nn

from nint_cli.fields.base import ChainField, Encoding, depth, width
from nint_cli.fields.mlp import Relu, torch_default_
from nint_cli.fields.recipe import BY_ERROR, GUIDED, Recipes, published, tuned
from nint_cli.settings import Section


class FourierFeatures(nn.Module, Encoding):
    """gamma(x) = [sin(2 pi x F), cos(2 pi x F)] with a fixed matrix F (D, m), in cycles per unit.

    Args:
        coord_dim: D.
        count: m.
    """

    frequencies: Tensor

    def __init__(self, coord_dim: int, count: int) -> None:
        super().__init__()
        self.feature_dim = 2 * count
        self.register_buffer("frequencies", torch.empty(coord_dim, count))

    def features(self, coords: Tensor) -> Tensor:
        """Give gamma; see `Encoding.features`."""
        angles = 2 * math.pi * (coords @ self.frequencies.to(coords.dtype))
        return torch.cat([angles.sin(), angles.cos()], dim=1)


class FfnSettings(Section):
    """ReLU network on random Fourier features (Tancik et al., 2020, arXiv 2006.10739)."""

    frequencies: int = Setting(128, ge=1, le=16_384, description="number of random frequencies")
    sigma: float | None = Setting(
        None,
        gt=0,
        le=1e9,
        description="standard deviation of the frequencies, in cycles per unit of coords in "
        "[-1, 1]; null: 10 for up to 512 points along the longest axis, and in proportion beyond",
    )
    hidden_features: int = width(256)
    hidden_layers: int = depth(3)


class Ffn(ChainField):
    """ReLU network behind random Fourier features of Gaussian frequencies.

    Source: Tancik, Srinivasan, Mildenhall, Fridovich-Keil, Raghavan, Singhal, Ramamoorthi, Barron,
    Ng, "Fourier Features Let Networks Learn High Frequency Functions in Low Dimensional Domains",
    NeurIPS 2020, arXiv 2006.10739, section 6.

    F has m columns of N(0, sigma^2), drawn once and never trained; it is saved with the run. INT
    takes m = 128 and sigma = 10 for pictures in [-1, 1]; longer signals get more
    (`bandwidth_for`).

    Initialisation: PyTorch's default, weights and biases U(1 / sqrt(fan_in)).

    Differs: INT has two ReLU layers behind the features and the authors three with m = 256 and a
    sigmoid at the end; here are three with m = 128 and no sigmoid, so that the size is that of
    the other networks.

    Args:
        coord_dim: D.
        value_dim: C.
        frequencies: m, the number of random frequencies; each makes two features.
        sigma: Standard deviation of the frequencies, in cycles per unit of coords in [-1, 1].
        hidden_features: Width of the ReLU layers.
        hidden_layers: Number of ReLU layers.
        generator: Source of frequencies and initial parameters; None leaves them uninitialised.

    Example:
        >>> Ffn(2, 3).parameter_count()
        198147
    """

    Settings = FfnSettings
    bf16_floor_db: ClassVar[float | None] = 68.0
    recipes: ClassVar[Recipes] = {
        "image": {
            "published": published(1e-3, "INT's release"),
            "tuned": tuned(6e-3, 1024, 3600, BY_ERROR, warmup=0.2, by_root=True),
        },
        "audio": {
            "published": published(1e-4, "INT's release"),
            "tuned": tuned(3e-3, 1024, 5000, {**GUIDED, **BY_ERROR}),
        },
        "sdf": {
            "published": published(1e-4, "INT's release"),
            "tuned": tuned(3e-3, 8192, 500, {"ffn.sigma": 1.0}),
        },
    }

    activation = Relu()

    @classmethod
    def from_shape(cls, shape: Sequence[int], bandwidth: float | None) -> Mapping[str, Any]:
        """Return what the signal decides; see `Field.from_shape`."""
        return {"sigma": bandwidth_for(max(shape))}

    def __init__(
        self,
        coord_dim: int,
        value_dim: int,
        *,
        frequencies: int = 128,
        sigma: float = 10.0,
        hidden_features: int = 256,
        hidden_layers: int = 3,
        generator: torch.Generator | None = None,
    ) -> None:
        features = FourierFeatures(coord_dim, frequencies)
        super().__init__(coord_dim, value_dim, hidden_features, hidden_layers, encoding=features)
        self._features = features.frequencies.numel()
        if generator is not None:
            features.frequencies.normal_(0, sigma, generator=generator)
            torch_default_(self.weights, self.biases, generator)

    def multiply_adds(self) -> int:
        """Count the features' product too; see `Field.multiply_adds`."""
        return super().multiply_adds() + self._features


def bandwidth_for(samples: int) -> float:
    """Choose sigma for a grid.

    Args:
        samples: Points along its longest axis.

    Returns:
        10 cycles per unit for up to 512 points over [-1, 1], and in proportion beyond.

    Example:
        >>> bandwidth_for(128), bandwidth_for(5120)
        (10.0, 100.0)
    """
    return max(10.0, 10 * samples / 512)
