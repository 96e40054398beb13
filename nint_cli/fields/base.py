"""What every field is."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn


class Activation(Protocol):
    """An elementwise function between the layers of a field; z may be overwritten."""

    def value(self, z: Tensor) -> Tensor:
        """Give h = act(z)."""

    def value_and_slope(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Give act(z) and its derivative act'(z), as backward and forward mode use it."""


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


class Field(nn.Module, ABC):
    """A differentiable map from coordinates to values.

    A subclass is pure: its output depends on its parameters and input alone, row by row, and it
    can be differentiated in forward and in reverse mode.

    Attributes:
        coord_dim: D, the number of coordinates.
        value_dim: C, the number of channels.
        width: The most numbers that one row needs in any layer; sweeps size their blocks by it.
    """

    coord_dim: int
    value_dim: int
    width: int

    @abstractmethod
    def forward(self, coords: Tensor) -> Tensor:
        """Predict values.

        Args:
            coords: (B, D).

        Returns:
            (B, C).
        """

    def layers(self) -> Sequence[Layer] | None:
        """Give the layers that make up the whole field, for `derivatives` to work by hand.

        Returns:
            Layers from coords to prediction, with every parameter in exactly one; or None where
            the field is no such chain.
        """
        return None

    def parameter_count(self) -> int:
        """Count the trainable numbers."""
        return sum(parameter.numel() for parameter in self.parameters())


def load_parameters(field: Field, saved: Mapping[str, Tensor]) -> None:
    """Fill a field with saved parameters.

    Args:
        field: A field of the same shape.
        saved: Parameters by name.

    Raises:
        ValueError: If names, shapes or types differ from the field's.
    """
    expected = {name: (tuple(p.shape), p.dtype) for name, p in field.named_parameters()}
    given = {name: (tuple(tensor.shape), tensor.dtype) for name, tensor in saved.items()}
    for name in sorted(expected.keys() | given.keys()):
        if expected.get(name) != given.get(name):
            raise ValueError(f"{name}: expected {expected.get(name)}, found {given.get(name)}")
    with torch.no_grad():
        for name, parameter in field.named_parameters():
            parameter.copy_(saved[name])
