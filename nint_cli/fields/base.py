"""What every field is, and fields that are a chain of layers.

Legend: B coordinates, D coordinate dimensions, F features of an encoding, C channels.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar, NamedTuple, Protocol, Self

import torch
from pydantic import Field as Setting
from torch import Tensor, nn
from torch.nn.functional import linear

from nint_cli.fields.recipe import Recipes
from nint_cli.settings import Section


class Kernel(NamedTuple):
    """The name of an activation's compiled pass, and the one number that it depends on."""

    kind: str
    constant: float = 0.0


class Activation(Protocol):
    """An elementwise function between the layers of a field.

    One that has a compiled pass names it by an attribute `kernel`, a `Kernel`.

    Attributes:
        takes_rounded: Whether it may be taken in the type that a matrix product is rounded to,
            since value and slope lose no more by it than z has lost already.
    """

    takes_rounded: bool

    def __call__(self, z: Tensor) -> Tensor:
        """Give h = act(z), for autograd and `torch.func` to differentiate."""

    def value(self, z: Tensor) -> Tensor:
        """Give act(z); z may be overwritten."""

    def value_and_slope(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Give act(z) and act'(z), as both modes are to use it; z may be overwritten."""


Place = Any
"""What an encoding found out about some coords; nobody else looks inside."""


class Encoding(ABC):
    """Features that stand before the first layer, (B, D) to (B, F).

    An encoding without parameters needs `features` alone. One with parameters is linear in them,
    as interpolation in a table is, and says how it moves with them. What it holds in tensors, it
    holds as an `nn.Module`.

    Attributes:
        feature_dim: F.
    """

    feature_dim: int

    @abstractmethod
    def features(self, coords: Tensor) -> Tensor:
        """Give the features (B, F), for autograd and `torch.func` to differentiate.

        They are computed in the type of the coords, and may come in it.
        """

    @property
    def trained(self) -> Sequence[Tensor]:
        """The parameters of the field that are the encoding's."""
        return ()

    def locate(self, coords: Tensor) -> Place:
        """Find what the features of some coords depend on, once for all that follows."""
        return coords

    def read(self, place: Place) -> Tensor:
        """Give the features (B, F) of what `locate` found, without a graph."""
        features: Tensor = self.features(place)
        return features

    def add_gradient(self, place: Place, gradient: Tensor, totals: Sequence[Tensor]) -> None:
        """Pull the gradient by the features (B, F) back and add it to one total per parameter."""
        assert not totals, "an encoding with parameters says how they are trained"

    def read_change(self, place: Place, direction: Sequence[Tensor]) -> Tensor | None:
        """Give the change of the features along a direction, or None without parameters."""
        return None

    def leverage(self, place: Place, gradient: Tensor) -> Tensor | float:
        """Give each point's squared norm (B,) of what `add_gradient` would add for it alone."""
        return 0.0


@dataclass(frozen=True)
class Layer:
    """One layer, h' = act(scale (W h + b)).

    Attributes:
        weight: W, a parameter of the field.
        bias: b, a parameter of the field.
        scale: A fixed factor.
        activation: act, or None for a linear layer.
    """

    weight: Tensor
    bias: Tensor
    scale: float = 1.0
    activation: Activation | None = None


@dataclass(frozen=True)
class Chain:
    """A field taken apart, for `derivatives` to work by hand.

    Attributes:
        layers: From the features to the prediction.
        encoding: From the coords to the features; None where the coords are the features.
    """

    layers: Sequence[Layer]
    encoding: Encoding | None = None


class LinearMap(NamedTuple):
    """An affine map z = W h + b inside a field, for a block of B points.

    Real or complex; a complex W is a parameter by its real and imaginary parts.

    Attributes:
        input: h (B, fan_in).
        output: z (B, fan_out), part of the graph.
    """

    input: Tensor
    output: Tensor


def width(default: int) -> int:
    """Return the setting of the width of the hidden layers, with a default."""
    field: int = Setting(default, ge=1, le=16_384, description="width of the hidden layers")
    return field


def depth(default: int) -> int:
    """Return the setting of the number of hidden layers, with a default."""
    field: int = Setting(default, ge=1, le=64, description="number of hidden layers")
    return field


def first_frequency() -> float | None:
    """Return the setting of the highest frequency of a first layer."""
    field: float | None = Setting(
        None,
        gt=0,
        le=1e9,
        description="largest angular frequency that the first layer starts with, in radians per "
        "unit of coords; null: omega_0, for a sound that of 1 kHz, and in the tuned recipe for a "
        "picture 10 times the root of its longest side, unless it has another, as WIRE's has",
    )
    return field


class Field(nn.Module, ABC):
    """A differentiable map from coordinates to values.

    A subclass is pure: its output depends on its parameters and input alone, row by row, and it
    can be differentiated in forward and in reverse mode. Its parameters are real; what else it
    needs is a buffer.

    Attributes:
        Settings: What it is built by: the section of a run's configuration that has its name.
        recipes: What it is trained with, by modality and recipe, where nobody says otherwise.
        coord_dim: D, the number of coordinates.
        value_dim: C, the number of channels.
        width: The most numbers that one row needs in any layer; sweeps size their blocks by it.
        bf16_floor_db: How close products in bfloat16 come, trained, to those in float32: -10 lg of
            the mean squared difference of predictions, in units of the values' range. Measured by
            ``python scripts/bench.py --only floors``. None: nobody has, and the field never takes
            them of its own accord.
    """

    Settings: ClassVar[type[Section]] = Section
    recipes: ClassVar[Recipes] = {}
    bf16_floor_db: ClassVar[float | None] = None
    coord_dim: int
    value_dim: int
    width: int

    @classmethod
    def from_settings(
        cls,
        settings: Any,  # noqa: ANN401 (of its own class)
        shape: Sequence[int],
        value_dim: int,
        *,
        half_range: float = 1.0,
        bandwidth: float | None = None,
        generator: torch.Generator | None = None,
    ) -> Self:
        """Build a field for a signal.

        Args:
            settings: Of its class `Settings`.
            shape: Points of the signal along each of its D axes.
            value_dim: C.
            half_range: The signal's coords lie in [-half_range, half_range].
            bandwidth: See `Signal.bandwidth`; it matters for initial parameters only.
            generator: Source of the initial parameters; None leaves them uninitialised.

        Returns:
            The field, on the CPU.
        """
        chosen = cls.from_shape(shape, bandwidth)
        values = {
            key: chosen.get(key) if value is None else value
            for key, value in settings.model_dump().items()
        }
        build: Any = cls
        field: Self = build(len(shape), value_dim, generator=generator, **values)
        return field

    @classmethod
    def from_shape(cls, shape: Sequence[int], bandwidth: float | None) -> Mapping[str, Any]:
        """Return what the signal decides where a setting is null.

        Args:
            shape: Points of the signal along each axis.
            bandwidth: See `Signal.bandwidth`.

        Returns:
            Values by the setting's name; what is not there stays None.
        """
        return {}

    @abstractmethod
    def forward(self, coords: Tensor) -> Tensor:
        """Predict values.

        Args:
            coords: (B, D), in the parameters' type or in float64.

        Returns:
            (B, C), in the parameters' type.
        """

    @abstractmethod
    def last_layer(self) -> Sequence[Tensor]:
        """Give the parameters of the last layer."""

    def chain(self) -> Chain | None:
        """Give the parts that make up the whole field.

        Returns:
            The parts, with every parameter in exactly one; or None where the field is no chain.
        """
        return None

    def linear_maps(self, coords: Tensor) -> tuple[Tensor, Sequence[LinearMap]] | None:
        """Predict, and return the affine maps that hold every parameter once, the last one last.

        They make the norm of a point's own gradient cheap where the field is no chain: the sum
        over the maps of ||dL/dz||^2 (||h||^2 + 1), see `derivatives.base.Block.pull`.

        Args:
            coords: (B, D).

        Returns:
            The prediction (B, C) and the maps, or None where the field is not made of such maps.
        """
        return None

    def parameter_count(self) -> int:
        """Count the trainable numbers."""
        return sum(parameter.numel() for parameter in self.parameters())

    def byte_count(self) -> int:
        """Count the bytes that it takes to keep the field, fixed numbers included."""
        return sum(t.numel() * t.element_size() for t in self.state_dict().values())

    def multiply_adds(self) -> int:
        """Count the multiplications that a prediction takes per point, activations aside."""
        return sum(p.numel() for p in self.parameters() if p.ndim > 1)


class ChainField(Field):
    """Layers h' = act(scale (W h + b)) behind an encoding, the last one linear.

    Coords may be in float64 where the parameters are not. Encodings and the first layer, its
    activation included, are then computed in float64, for a phase of many thousand radians needs
    its digits; what comes out of them has the parameters' type.

    Args:
        coord_dim: D.
        value_dim: C.
        hidden_features: Width of the activated layers.
        hidden_layers: Number of activated layers.
        encoding: What stands before them; None for the coords themselves.

    Attributes:
        activation: act of the hidden layers.
        scale: The factor of the hidden layers.
    """

    activation: Activation
    scale: float = 1.0

    def __init__(
        self,
        coord_dim: int,
        value_dim: int,
        hidden_features: int,
        hidden_layers: int,
        *,
        encoding: Encoding | None = None,
    ) -> None:
        super().__init__()
        self.coord_dim = coord_dim
        self.value_dim = value_dim
        self.encoding = encoding
        first = coord_dim if encoding is None else encoding.feature_dim
        self.width = max(hidden_features, first)
        sizes = [first, *[hidden_features] * hidden_layers, value_dim]
        self.weights = nn.ParameterList(
            torch.empty(fan_out, fan_in) for fan_in, fan_out in pairwise(sizes)
        )
        self.biases = nn.ParameterList(torch.empty(fan_out) for fan_out in sizes[1:])

    def forward(self, coords: Tensor) -> Tensor:
        """Predict values; see `Field.forward`."""
        *hidden, (output_weight, output_bias) = zip(self.weights, self.biases, strict=True)
        own = output_weight.dtype
        h = coords if self.encoding is None else self.encoding.features(coords).to(own)
        for weight, bias in hidden:
            if is_finer(h, own):
                weight, bias = weight.to(h.dtype), bias.to(h.dtype)
            # Scaling the parameters instead of the activations spares a pass over B x width
            # numbers, forward and backward.
            if self.scale != 1:
                weight, bias = self.scale * weight, self.scale * bias
            h = self.activation(linear(h, weight, bias)).to(own)
        return linear(h, output_weight, output_bias)

    def last_layer(self) -> list[Tensor]:
        """Give the linear layer's parameters; see `Field.last_layer`."""
        return [self.weights[-1], self.biases[-1]]

    def chain(self) -> Chain:
        """Give the activated layers and the linear one; see `Field.chain`."""
        *hidden, (output_weight, output_bias) = zip(self.weights, self.biases, strict=True)
        layers = [Layer(weight, bias, self.scale, self.activation) for weight, bias in hidden]
        return Chain([*layers, Layer(output_weight, output_bias)], self.encoding)


def is_finer(coords: Tensor, own: torch.dtype) -> bool:
    """Tell whether coords have more digits than the parameters of a field."""
    return coords.dtype.itemsize > own.itemsize


def uniform_(parameter: Tensor, bound: float, generator: torch.Generator) -> None:
    """Draw a parameter from U(bound), uniform on [-bound, bound].

    Args:
        parameter: To be filled.
        bound: The largest absolute value.
        generator: Source of randomness.
    """
    with torch.no_grad():
        parameter.uniform_(-bound, bound, generator=generator)


def load_parameters(field: Field, saved: Mapping[str, Tensor]) -> None:
    """Fill a field with saved parameters and buffers.

    Args:
        field: A field of the same shape.
        saved: Its `state_dict`, by name.

    Raises:
        ValueError: If names, shapes or types differ from the field's.
    """
    state = field.state_dict()
    expected = {name: (tuple(p.shape), p.dtype) for name, p in state.items()}
    given = {name: (tuple(tensor.shape), tensor.dtype) for name, tensor in saved.items()}
    for name in sorted(expected.keys() | given.keys()):
        if expected.get(name) != given.get(name):
            raise ValueError(f"{name}: expected {expected.get(name)}, found {given.get(name)}")
    with torch.no_grad():
        for name, own in state.items():
            own.copy_(saved[name])
