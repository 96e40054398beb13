"""What every field is."""

from abc import ABC, abstractmethod
from collections.abc import Mapping

import torch
from torch import Tensor, nn


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
