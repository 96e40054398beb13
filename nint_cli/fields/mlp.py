"""The plain multilayer perceptron, the baseline that cannot see high frequencies."""

import math
from itertools import chain as joined
from typing import ClassVar

import torch
from torch import Tensor, nn

from nint_cli.fields.base import ChainField, depth, uniform_, width
from nint_cli.fields.recipe import UNGUIDED, Recipes, published, tuned
from nint_cli.settings import Section


class Relu:
    """act(z) = max(z, 0)."""

    takes_rounded = True

    def __call__(self, z: Tensor) -> Tensor:
        """Give max(z, 0)."""
        return torch.relu(z)

    def value(self, z: Tensor) -> Tensor:
        """Give max(z, 0), in place."""
        return z.relu_()

    def value_and_slope(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Give max(z, 0) in place, and 1 where z > 0, else 0."""
        value = z.relu_()
        return value, value.sign()


def torch_default_(
    weights: nn.ParameterList, biases: nn.ParameterList, generator: torch.Generator
) -> None:
    """Initialise layers as PyTorch does by default: weight and bias U(1 / sqrt(fan_in)).

    Args:
        weights: (fan_out, fan_in) of each layer.
        biases: (fan_out,) of each layer.
        generator: Source of randomness.
    """
    pairs = zip(weights, biases, strict=True)
    for parameter, weight in joined.from_iterable(((w, w), (b, w)) for w, b in pairs):
        uniform_(parameter, 1 / math.sqrt(weight.shape[1]), generator)


class MlpSettings(Section):
    """ReLU network."""

    hidden_features: int = width(256)
    hidden_layers: int = depth(4)


class Mlp(ChainField):
    """ReLU network: h' = max(W h + b, 0) per hidden layer, then a linear layer.

    Source: Rahaman, Baratin, Arpit, Draxler, Lin, Hamprecht, Bengio, Courville, "On the Spectral
    Bias of Neural Networks", ICML 2019, arXiv 1806.08734, for what it learns late or never.

    Initialisation: PyTorch's default, weights and biases U(1 / sqrt(fan_in)), as in the released
    code of INT (Zhang et al., 2024, arXiv 2405.10531).

    Args:
        coord_dim: D.
        value_dim: C.
        hidden_features: Width of the ReLU layers.
        hidden_layers: Number of ReLU layers.
        generator: Source of the initial parameters; None leaves them uninitialised, for a
            checkpoint to fill.

    Example:
        >>> Mlp(2, 3).parameter_count()
        198915
    """

    Settings = MlpSettings
    bf16_floor_db: ClassVar[float | None] = 43.0
    recipes: ClassVar[Recipes] = {
        "image": {
            "published": published(1e-3, "INT's release"),
            "tuned": tuned(5e-3, 1024, 3600, by_root=True),
        },
        "audio": {
            "published": published(1e-4, "INT's release"),
            "tuned": tuned(1e-3, 8192, 800, UNGUIDED),
        },
        "sdf": {
            "published": published(1e-4, "INT's release"),
            "tuned": tuned(1e-3, 8192, 500),
        },
    }

    activation = Relu()

    def __init__(
        self,
        coord_dim: int,
        value_dim: int,
        *,
        hidden_features: int = 256,
        hidden_layers: int = 4,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(coord_dim, value_dim, hidden_features, hidden_layers)
        if generator is not None:
            torch_default_(self.weights, self.biases, generator)
