"""Activations by a compiled pass over what a matrix product left.

Legend: B rows, F features.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nint_cli.fields.kernels import passes
from nint_cli.fields.kernels.threads import run

KINDS = ("sine", "finer", "gaussian")
"""Activations that have a compiled pass; PyTorch takes a ReLU as fast."""


@dataclass(frozen=True)
class Activate:
    """The compiled pass of an activation.

    Args:
        kind: Its name, one of `KINDS`.
        constant: FINER's omega.
    """

    kind: str
    constant: float = 0.0

    def value(self, z: Tensor, bias: Tensor) -> Tensor:
        """Compute act(z + bias) in place.

        Args:
            z: (B, F), float32 or bfloat16; see `loading.usable`.
            bias: (F,), float32.

        Returns:
            z, which now holds the value, computed in float32.
        """
        self._run(z, bias, torch.empty((0, 0), dtype=z.dtype))
        return z

    def value_and_slope(self, z: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """Compute act(z + bias) in place, and act'(z + bias); see `value`."""
        slope = torch.empty_like(z)
        self._run(z, bias, slope)
        return z, slope

    def _run(self, z: Tensor, bias: Tensor, slope: Tensor) -> None:
        constant = np.float32(self.constant)
        arguments = (KINDS.index(self.kind), constant, _array(z), bias.numpy(), _array(slope))
        run(passes.activate, passes.activate_all, arguments)


def _array(tensor: Tensor) -> NDArray[np.float32] | NDArray[np.int16]:
    """Return a tensor's memory as an array; NumPy knows no bfloat16."""
    if tensor.dtype == torch.bfloat16:
        tensor = tensor.view(torch.int16)
    found: NDArray[np.float32] | NDArray[np.int16] = tensor.numpy()
    return found
