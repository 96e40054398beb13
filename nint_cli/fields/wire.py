"""WIRE, a network of complex Gabor wavelets."""

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, ClassVar

import torch
from pydantic import Field as Setting
from torch import Tensor, nn
from torch.nn.functional import linear

from nint_cli.fields.base import (
    Field,
    LinearMap,
    depth,
    first_frequency,
    is_finer,
    uniform_,
    width,
)
from nint_cli.fields.recipe import GUIDED, Recipes, published, tuned
from nint_cli.settings import Circumstances, Section


class WireSettings(Section):
    """WIRE (Saragadam et al., 2023, arXiv 2301.05187)."""

    hidden_features: int = width(181)
    hidden_layers: int = depth(4)
    omega_0: float = Setting(20.0, gt=0, le=1e6, description="frequency factor of the wavelets")
    scale: float = Setting(10.0, gt=0, le=1e6, description="inverse width of the wavelets")
    first_frequency: float | None = first_frequency()
    first_scale: float | None = Setting(
        None,
        ge=0,
        le=1e6,
        description="inverse width of the first layer's wavelets, 0 for waves; null: scale, "
        "and for a sound 200 divided by its samples",
    )

    def unused(self, around: Circumstances) -> Mapping[str, str]:
        """Return the scale where the only layer has its own; see `Section.unused`."""
        own = self.first_scale is not None or around.modality == "audio"
        if self.hidden_layers > 1 or not own:
            return {}
        return {"scale": "wire.hidden_layers is 1, and the first has wire.first_scale; add layers"}


class Wire(Field):
    """Complex Gabor network: h' = exp(i omega_0 z - |scale z|^2), z = W h + b, h' complex.

    The last layer is linear and complex, and its real part is the prediction.

    Source: Saragadam, LeJeune, Tan, Balakrishnan, Veeraraghavan, Baraniuk, "WIRE: Wavelet Implicit
    Neural Representations", CVPR 2023, arXiv 2301.05187.

    W and b of the first layer are real, all others complex. A complex parameter is stored as its
    real and imaginary part, (..., 2): so the kernel is that over all real numbers, the optimiser
    sees what it would see of a complex tensor, and nothing else needs to know.

    Initialisation: PyTorch's default U(1 / sqrt(fan_in)), real and imaginary parts alike. The
    width int(256 / sqrt(2)) = 181 gives the size of a real network of 256, and omega_0 = 20 and
    scale = 10 are those of the released code of FINER; EVOS has 30 and 30, the authors recommend
    20 and 30 for pictures.

    Args:
        coord_dim: D.
        value_dim: C.
        hidden_features: Width of the wavelet layers, in complex numbers.
        hidden_layers: Number of wavelet layers.
        omega_0: Frequency factor.
        scale: Inverse width of the wavelets.
        first_frequency: Largest angular frequency that the first layer starts with, per unit of
            coords: its weight is U(first_frequency / (omega_0 sqrt(fan_in))). None means omega_0.
            Its bias stays as it is: fits of sounds were worse by 5 dB and more where it did not.
        first_scale: Inverse width of the wavelets of the first layer, 0 for waves without end,
            exp(i omega_0 z). None means that of the others. A sound has another
            (`first_scale_for`).
        generator: Source of the initial parameters; None leaves them uninitialised.

    Example:
        >>> Wire(2, 3).parameter_count()
        199287
    """

    Settings = WireSettings
    recipes: ClassVar[Recipes] = {
        "image": {
            "published": published(5e-3, "FINER's release"),
            "tuned": tuned(
                2e-3,
                2048,
                400,
                {"wire.omega_0": 5.0, "wire.scale": 10.0, "wire.first_frequency": 5.0},
                by_root=True,
            ),
        },
        "audio": {
            "published": published(1e-4, "INT's release"),
            "tuned": tuned(3e-3, 1024, 600, {"wire.omega_0": 3.0, "wire.scale": 5.0, **GUIDED}),
        },
        "sdf": {
            "published": published(1e-4, "FINER's release"),
            "tuned": tuned(2e-3, 2048, 300, {"wire.omega_0": 5.0, "wire.scale": 5.0}),
        },
    }

    @classmethod
    def from_shape(cls, shape: Sequence[int], bandwidth: float | None) -> Mapping[str, Any]:
        """Return what the signal decides; see `Field.from_shape`."""
        first_scale = first_scale_for(shape[0]) if len(shape) == 1 else None
        return {"first_frequency": bandwidth, "first_scale": first_scale}

    def __init__(
        self,
        coord_dim: int,
        value_dim: int,
        *,
        hidden_features: int = 181,
        hidden_layers: int = 4,
        omega_0: float = 20.0,
        scale: float = 10.0,
        first_frequency: float | None = None,
        first_scale: float | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.coord_dim = coord_dim
        self.value_dim = value_dim
        self.width = 2 * hidden_features
        self.omega_0 = omega_0
        self.scale = scale
        self.first_scale = scale if first_scale is None else first_scale
        inner = [*[hidden_features] * hidden_layers, value_dim]
        self.first_weight = nn.Parameter(torch.empty(hidden_features, coord_dim))
        self.first_bias = nn.Parameter(torch.empty(hidden_features))
        self.weights = nn.ParameterList(
            torch.empty(fan_out, fan_in, 2) for fan_in, fan_out in pairwise(inner)
        )
        self.biases = nn.ParameterList(torch.empty(fan_out, 2) for fan_out in inner[1:])
        if generator is not None:
            for index, (weight, bias) in enumerate(self._pairs()):
                bound = 1 / math.sqrt(weight.shape[1])
                spread = (first_frequency or omega_0) / omega_0 if index == 0 else 1.0
                uniform_(weight, spread * bound, generator)
                uniform_(bias, bound, generator)

    def _pairs(self) -> list[tuple[Tensor, Tensor]]:
        inner = zip(self.weights, self.biases, strict=True)
        return [(self.first_weight, self.first_bias), *inner]

    def forward(self, coords: Tensor) -> Tensor:
        """Predict values; see `Field.forward`."""
        for last in self._maps(coords):  # one layer at a time, so that others can be freed
            z = last.output
        return z.real

    def linear_maps(self, coords: Tensor) -> tuple[Tensor, list[LinearMap]]:
        """Predict, and return the layers' maps; see `Field.linear_maps`."""
        maps = list(self._maps(coords))
        return maps[-1].output.real, maps

    def _maps(self, coords: Tensor) -> Iterator[LinearMap]:
        """Compute layer after layer."""
        # Autocast knows no complex products.
        with torch.autocast(coords.device.type, enabled=False):
            (weight, bias), *rest = self._pairs()
            # As in `ChainField`, the first layer is computed in float64 where coords are in it.
            x = coords if is_finer(coords, weight.dtype) else coords.to(weight.dtype)
            z = linear(x, weight.to(x.dtype), bias.to(x.dtype))
            yield LinearMap(x, z)
            h = torch.exp(torch.complex(-(self.first_scale**2) * z.square(), self.omega_0 * z))
            h = torch.view_as_complex(torch.view_as_real(h).to(weight.dtype))
            for index, layer in enumerate(rest):
                if index:
                    h = self._wavelet(z)
                z = _complex_linear(h, *layer)
                yield LinearMap(h, z)

    def _wavelet(self, z: Tensor) -> Tensor:
        square = z.real.square() + z.imag.square()
        # exp(i omega_0 z - scale^2 |z|^2), put together from real parts.
        return torch.exp(
            torch.complex(-self.omega_0 * z.imag - self.scale**2 * square, self.omega_0 * z.real)
        )

    def last_layer(self) -> list[Tensor]:
        """Give the linear layer's parameters; see `Field.last_layer`."""
        return [self.weights[-1], self.biases[-1]]

    def multiply_adds(self) -> int:
        """Count four per complex product; see `Field.multiply_adds`."""
        inner: int = sum(2 * weight.numel() for weight in self.weights)  # (..., 2) holds one
        return self.first_weight.numel() + inner


def _complex_linear(h: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return linear(h, torch.view_as_complex(weight), torch.view_as_complex(bias))


def first_scale_for(samples: int) -> float:
    """Choose how narrow the first wavelets of a sound are.

    Its first weights are thousands of times those of a picture, and the wavelets as many times
    narrower, all of them near 0: most coords would be left without any.

    Args:
        samples: The sound's length.

    Returns:
        What makes the narrowest a tenth of the sound, give or take half, from 1 kHz at usual
        sample rates and the omega_0 of the tuned recipe.

    Example:
        >>> first_scale_for(100_000)
        0.002
    """
    return 200 / samples
