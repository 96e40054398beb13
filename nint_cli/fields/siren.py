"""SIREN, the sine network that NINT is published with."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from pydantic import Field as Setting
from torch import Tensor

from nint_cli.fields.base import ChainField, Kernel, depth, first_frequency, uniform_, width
from nint_cli.fields.recipe import GUIDED, LARGE, Recipes, published, tuned
from nint_cli.settings import Section


class Sine:
    """act(z) = sin(z)."""

    takes_rounded = True
    kernel = Kernel("sine")

    def __call__(self, z: Tensor) -> Tensor:
        """Give sin(z)."""
        return torch.sin(z)

    def value(self, z: Tensor) -> Tensor:
        """Give sin(z), in place."""
        return z.sin_()

    def value_and_slope(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Give sin(z) and cos(z), the latter in place."""
        return z.sin(), z.cos_()


class SirenSettings(Section):
    """SIREN (Sitzmann et al., 2020, arXiv 2006.09661)."""

    hidden_features: int = width(256)
    hidden_layers: int = depth(5)
    omega_0: float = Setting(
        30.0, gt=0, le=1e6, description="frequency factor of every sine layer"
    )
    first_frequency: float | None = first_frequency()


class Siren(ChainField):
    """Sine network: h' = sin(omega_0 (W h + b)) per hidden layer, then a linear layer.

    Source: Sitzmann, Martel, Bergman, Lindell, Wetzstein, "Implicit Neural Representations with
    Periodic Activation Functions", NeurIPS 2020, arXiv 2006.09661.

    The paper of NINT calls `hidden_layers=5`, `hidden_features=256` "5x256": five sine layers and
    one linear layer, which for pictures in colour makes 264,707 parameters.

    Initialisation, with U(a) uniform on [-a, a]: the first layer's weight is U(1 / fan_in), every
    other weight, the output's included, U(sqrt(6 / fan_in) / omega_0). **A bias has the bound of
    its layer's weight**, as in the released code of NINT, INT and COIN.

    Differs: the authors of SIREN, and EVOS, FINER and WIRE after them, leave the biases at
    PyTorch's default U(1 / sqrt(fan_in)), which spreads the hidden phases omega_0 b over
    ±1.9 rad instead of ±0.15 rad at width 256: another function to start from.

    Args:
        coord_dim: D.
        value_dim: C.
        hidden_features: Width of the sine layers.
        hidden_layers: Number of sine layers.
        omega_0: Frequency factor of every sine layer.
        first_frequency: Largest angular frequency that the first layer starts with, per unit of
            coords: its weight is U(first_frequency / (omega_0 fan_in)). None means omega_0. A
            sound needs far more than a picture; taken into the weight it leaves the first layer's
            pace under Adam as it is, which a wider range of coords would multiply.
        generator: Source of the initial parameters; None leaves them uninitialised, for a
            checkpoint to fill.

    Example:
        >>> Siren(2, 3).parameter_count()
        264707
    """

    Settings = SirenSettings
    bf16_floor_db: ClassVar[float | None] = 63.0
    recipes: ClassVar[Recipes] = {
        "image": {
            "published": published(1e-4, "NINT's release"),
            "tuned": tuned(6e-4, 4096, 2000, LARGE, least_steps=560, by_root=True),
        },
        "audio": {
            "published": published(1e-4, "INT's release"),
            "tuned": tuned(4e-4, 4096, 1200, GUIDED),
        },
        "sdf": {
            "published": published(1e-4, "INT's release"),
            "tuned": tuned(3e-4, 8192, 500),
        },
    }

    activation = Sine()

    @classmethod
    def from_shape(cls, shape: Sequence[int], bandwidth: float | None) -> Mapping[str, Any]:
        """Return what the signal decides; see `Field.from_shape`."""
        return {"first_frequency": bandwidth}

    def __init__(
        self,
        coord_dim: int,
        value_dim: int,
        *,
        hidden_features: int = 256,
        hidden_layers: int = 5,
        omega_0: float = 30.0,
        first_frequency: float | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(coord_dim, value_dim, hidden_features, hidden_layers)
        self.scale = omega_0
        if generator is not None:
            for index, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
                fan_in = weight.shape[1]
                bound = 1 / fan_in if index == 0 else math.sqrt(6 / fan_in) / omega_0
                spread = (first_frequency or omega_0) / omega_0 if index == 0 else 1.0
                uniform_(weight, spread * bound, generator)
                uniform_(bias, bound, generator)
