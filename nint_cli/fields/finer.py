"""FINER, a sine network whose frequency grows with its phase."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from pydantic import Field as Setting
from torch import Tensor

from nint_cli.fields.base import ChainField, Kernel, depth, first_frequency, uniform_, width
from nint_cli.fields.mlp import torch_default_
from nint_cli.fields.recipe import GUIDED, LARGE, Recipes, published, tuned
from nint_cli.settings import Section


class VariablePeriodicSine:
    """act(z) = sin(omega_0 (|z| + 1) z), the factor |z| + 1 held fixed in every derivative.

    Args:
        omega_0: Frequency factor.
    """

    takes_rounded = False

    def __init__(self, omega_0: float) -> None:
        self.omega_0 = omega_0
        self.kernel = Kernel("finer", omega_0)

    def __call__(self, z: Tensor) -> Tensor:
        """Give the sine; the factor is detached, which stops both modes of differentiation."""
        return torch.sin(self.omega_0 * (z.detach().abs() + 1) * z)

    def value(self, z: Tensor) -> Tensor:
        """Give the sine, in place."""
        factor = z.abs().add_(1).mul_(self.omega_0)
        return z.mul_(factor).sin_()

    def value_and_slope(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Give the sine, and omega_0 (|z| + 1) cos(omega_0 (|z| + 1) z)."""
        factor = z.abs().add_(1).mul_(self.omega_0)
        phase = z.mul_(factor)
        return phase.sin(), factor.mul_(phase.cos_())


class FinerSettings(Section):
    """FINER (Liu et al., 2024, arXiv 2312.02434)."""

    hidden_features: int = width(256)
    hidden_layers: int = depth(4)
    omega_0: float = Setting(
        30.0, gt=0, le=1e6, description="frequency factor of every sine layer"
    )
    first_frequency: float | None = first_frequency()
    first_bias: float | None = Setting(
        None, gt=0, le=1e6, description="bound of the first layer's bias; null: as the others'"
    )


class Finer(ChainField):
    """Sine network with variable period: h' = sin(omega_0 (|z| + 1) z), z = W h + b.

    Source: Liu, Zhu, Zhang, Fu, Deng, Ma, Guo, Cao, "FINER: Flexible Spectral-bias Tuning in
    Implicit NEural Representation by Variable-periodic Activation Functions", CVPR 2024, arXiv
    2312.02434.

    The factor |z| + 1 is a constant to every derivative, as in the released code; so the slope is
    omega_0 (|z| + 1) cos(.) where that of the function itself would be omega_0 (2 |z| + 1) cos(.).
    That holds for both sides of a score J (J^T R), the pull and the push: both take these slopes,
    so the score is that of the gradient that trains, and K = J J^T is symmetric. But J is not the
    Jacobian of the function, and K R is no longer its first-order change in a step: by finite
    differences the function moves with the slopes that are left out, too.

    Initialisation: weights as SIREN, the first layer's U(1 / fan_in) and every other
    U(sqrt(6 / fan_in) / omega_0); biases at PyTorch's default U(1 / sqrt(fan_in)), but for the
    first layer's where `first_bias` is given, which widens the frequencies a field starts with.

    Args:
        coord_dim: D.
        value_dim: C.
        hidden_features: Width of the sine layers.
        hidden_layers: Number of sine layers.
        omega_0: Frequency factor of every sine layer.
        first_frequency: Largest angular frequency that the first layer starts with, per unit of
            coords: its weight is U(w / fan_in) and its bias U(w), with omega_0 (2 w + 1) w the
            frequency of the sine at z = w. None means w = 1, and PyTorch's default bias.
        first_bias: Bound k of the first layer's bias U(k); None leaves it at that.
        generator: Source of the initial parameters; None leaves them uninitialised.

    Example:
        >>> Finer(2, 3).parameter_count()
        198915
    """

    Settings = FinerSettings
    bf16_floor_db: ClassVar[float | None] = 58.0
    recipes: ClassVar[Recipes] = {
        "image": {
            "published": published(5e-4, "FINER's release"),
            "tuned": tuned(6e-4, 4096, 2000, LARGE, least_steps=560, by_root=True),
        },
        "audio": {
            "published": published(1e-4, "INT's release"),
            "tuned": tuned(3e-4, 4096, 1200, GUIDED),
        },
        "sdf": {
            "published": published(1e-4, "FINER's release"),
            "tuned": tuned(3e-4, 8192, 400),
        },
    }

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
        hidden_layers: int = 4,
        omega_0: float = 30.0,
        first_frequency: float | None = None,
        first_bias: float | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(coord_dim, value_dim, hidden_features, hidden_layers)
        self.activation = VariablePeriodicSine(omega_0)
        widest = 1.0
        if first_frequency is not None:
            widest = (math.sqrt(1 + 8 * first_frequency / omega_0) - 1) / 4
        if generator is not None:
            torch_default_(self.weights, self.biases, generator)
            for index, weight in enumerate(self.weights):
                fan_in = weight.shape[1]
                bound = 1 / fan_in if index == 0 else math.sqrt(6 / fan_in) / omega_0
                uniform_(weight, widest * bound if index == 0 else bound, generator)
            if first_bias is None and first_frequency is not None:
                first_bias = widest
            if first_bias is not None:
                uniform_(self.biases[0], first_bias, generator)
