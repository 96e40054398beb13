"""GAUSS, a network of Gaussian bumps."""

from typing import ClassVar

import torch
from pydantic import Field as Setting
from torch import Tensor

from nint_cli.fields.base import ChainField, Kernel, depth, uniform_, width
from nint_cli.fields.mlp import torch_default_
from nint_cli.fields.recipe import GUIDED, Recipes, published, tuned
from nint_cli.settings import Section


class Gaussian:
    """act(z) = exp(-z^2)."""

    takes_rounded = True
    kernel = Kernel("gaussian")

    def __call__(self, z: Tensor) -> Tensor:
        """Give exp(-z^2)."""
        return torch.exp(-z.square())

    def value(self, z: Tensor) -> Tensor:
        """Give exp(-z^2), in place."""
        return z.square_().neg_().exp_()

    def value_and_slope(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Give exp(-z^2), and -2 z exp(-z^2) in place."""
        value = z.square().neg_().exp_()
        return value, z.mul_(-2).mul_(value)


class GaussSettings(Section):
    """GAUSS (Ramasinghe and Lucey, 2022, arXiv 2111.15135)."""

    hidden_features: int = width(256)
    hidden_layers: int = depth(4)
    scale: float = Setting(30.0, gt=0, le=1e6, description="inverse width of the bumps")
    first_scale: float | None = Setting(
        None,
        gt=0,
        le=1e6,
        description="inverse width of the first layer's narrowest bumps, which are then spread "
        "over all coords in [-1, 1]; null: as the others",
    )


class Gauss(ChainField):
    """Gaussian network: h' = exp(-(scale (W h + b))^2) per hidden layer, then a linear layer.

    Source: Ramasinghe, Lucey, "Beyond Periodicity: Towards a Unifying Framework for Activations in
    Coordinate-MLPs", ECCV 2022, arXiv 2111.15135.

    Initialisation: PyTorch's default, weights and biases U(1 / sqrt(fan_in)). The scale 30 is
    that of the released code of FINER; that of WIRE has 10. A first layer of narrower bumps is
    ours.

    Args:
        coord_dim: D.
        value_dim: C.
        hidden_features: Width of the Gaussian layers.
        hidden_layers: Number of Gaussian layers.
        scale: Inverse width of the bumps.
        first_scale: Inverse width of the narrowest bumps of the first layer, which then lie
            anywhere in [-1, 1]^D alike, where by PyTorch's biases half of them lie outside. It is
            put into the weights. None leaves the layer as the others are.
        generator: Source of the initial parameters; None leaves them uninitialised.

    Example:
        >>> Gauss(2, 3).parameter_count()
        198915
    """

    Settings = GaussSettings
    bf16_floor_db: ClassVar[float | None] = 43.0
    recipes: ClassVar[Recipes] = {
        "image": {
            "published": published(5e-3, "FINER's release"),
            "tuned": tuned(1e-3, 4096, 1000, {"gauss.scale": 10.0}, by_root=True),
        },
        "audio": {
            "published": published(1e-4, "INT's release"),
            "tuned": tuned(2e-4, 8192, 600, {"gauss.first_scale": 480.0, **GUIDED}),
        },
        "sdf": {
            "published": published(1e-4, "FINER's release"),
            "tuned": tuned(1e-3, 4096, 800, {"gauss.scale": 5.0}),
        },
    }

    activation = Gaussian()

    def __init__(
        self,
        coord_dim: int,
        value_dim: int,
        *,
        hidden_features: int = 256,
        hidden_layers: int = 4,
        scale: float = 30.0,
        first_scale: float | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(coord_dim, value_dim, hidden_features, hidden_layers)
        self.scale = scale
        if generator is not None:
            torch_default_(self.weights, self.biases, generator)
            if first_scale is not None:
                self._spread(first_scale, generator)

    @torch.no_grad()
    def _spread(self, first_scale: float, generator: torch.Generator) -> None:
        weight, bias = self.weights[0], self.biases[0]
        uniform_(weight, first_scale / self.scale, generator)
        centres = torch.empty_like(weight)
        uniform_(centres, 1.0, generator)
        bias.copy_(-(weight * centres).sum(1))
