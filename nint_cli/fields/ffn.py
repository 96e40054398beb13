"""FFN, a ReLU network on random Fourier features."""

import math

import torch
from torch import Tensor, nn

from nint_cli.fields.base import ChainField, Encoding
from nint_cli.fields.mlp import Relu, torch_default_


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
        angles = 2 * math.pi * (coords @ self.frequencies)
        return torch.cat([angles.sin(), angles.cos()], dim=1)


class Ffn(ChainField):
    """ReLU network behind random Fourier features of Gaussian frequencies.

    Source: Tancik, Srinivasan, Mildenhall, Fridovich-Keil, Raghavan, Singhal, Ramamoorthi, Barron,
    Ng, "Fourier Features Let Networks Learn High Frequency Functions in Low Dimensional Domains",
    NeurIPS 2020, arXiv 2006.10739, section 6.

    F has m columns of N(0, sigma^2), drawn once and never trained; it is saved with the run. INT
    takes m = 128 and sigma = 10 for pictures in [-1, 1]; other lengths get the same share of what
    their grid can hold (`bandwidth_for`).

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

    activation = Relu()

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
        10 cycles per unit for 512 points over [-1, 1], and in proportion; at least 1.

    Example:
        >>> bandwidth_for(512), bandwidth_for(32)
        (10.0, 1.0)
    """
    return max(1.0, 10 * samples / 512)
