"""Sweeps: one pass of a field over many coordinates, in blocks.

This is the only module that knows block sizes. A sweep's memory is that of its outputs plus one
block's activations, whatever N is.

Legend: N coordinates, D coordinate dimensions, C channels, P parameters.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from nint_cli.derivatives import derivatives_of
from nint_cli.fields import Field
from nint_cli.signals import Signal

Cotangent = Callable[[int, Tensor, Tensor], Tensor]
"""(first row, prediction, values) of a block -> what is pulled back through it, (rows, C)."""

# A block's activations per layer, in numbers. On a CPU they should stay in the caches and below
# the size from which the allocator maps fresh pages for every tensor: 2^20 float32 (4 MiB) where
# one layer is held at a time, 2^18 where all are; larger blocks are up to 1.4 times slower. A GPU
# wants to be filled.
_BLOCK_NUMBERS = {"cpu": 1 << 18, "cuda": 1 << 26}
_FORWARD_NUMBERS = {"cpu": 1 << 20, "cuda": 1 << 26}


@dataclass
class Passes:
    """Network passes by kind, in units of one pass over all N coordinates.

    Attributes:
        forward: Plain predictions: sweeps, and the forward half of training steps.
        backward: Reverse halves of training steps.
        vjp: Sweeps that pull a cotangent back to the parameters, their forward half included.
        jvp: Sweeps that push a tangent forward, their primal half included.
    """

    forward: float = 0.0
    backward: float = 0.0
    vjp: float = 0.0
    jvp: float = 0.0

    @property
    def total(self) -> float:
        """All passes in units of one full forward, by matrix products.

        A backward costs two products per layer where a forward costs one, and so does a tangent
        beside its primal: 2 for a backward, 3 for a VJP and for a JVP.
        """
        return self.forward + 2 * self.backward + 3 * self.vjp + 3 * self.jvp


def block_size(field: Field, *, forward_only: bool = False) -> int:
    """Choose how many coordinates to process at once.

    Args:
        field: The network; its width and device decide.
        forward_only: Whether only predictions are wanted, and no derivatives.

    Returns:
        A number of coordinates.
    """
    numbers = _FORWARD_NUMBERS if forward_only else _BLOCK_NUMBERS
    device = next(field.parameters()).device.type
    return max(64, numbers.get(device, numbers["cuda"]) // field.width)


def predict(field: Field, signal: Signal, *, block: int | None = None) -> Tensor:
    """Predict all values.

    Args:
        field: The network.
        signal: Where to predict; its values are not used.
        block: Coordinates at once; None chooses.

    Returns:
        (N, C), without a graph.
    """
    derivatives, prediction = derivatives_of(field), _empty(field, signal)
    for start, coords, _ in signal.blocks(block or block_size(field, forward_only=True)):
        prediction[start : start + len(coords)] = derivatives.predict(coords)
    return prediction


def pullback(
    field: Field,
    blocks: Iterable[tuple[int, Tensor, Tensor]],
    cotangent: Cotangent,
) -> list[Tensor]:
    """Accumulate J^T R, block by block.

    Args:
        field: The network, with Jacobian J ((N C) x P) at its current parameters.
        blocks: (first row, coords, values) of each block; at least one.
        cotangent: Gives the rows of R for a block, from its prediction.

    Returns:
        J^T R, one tensor per parameter of the field, in their order.
    """
    derivatives = derivatives_of(field)
    for start, coords, values in blocks:
        derivatives.pull(coords, partial(_of_block, cotangent, start, values))
    return derivatives.pulled()


def pull_residual(
    field: Field, signal: Signal, *, block: int | None = None
) -> tuple[list[Tensor], Tensor]:
    """Compute J^T R for the residual R = prediction - values, and R itself, in one sweep.

    Args:
        field: The network.
        signal: The targets.
        block: Coordinates at once; None chooses.

    Returns:
        J^T R as `pullback` gives it, and R (N, C).
    """
    residual = _empty(field, signal)

    def remember(start: int, prediction: Tensor, values: Tensor) -> Tensor:
        rows = residual[start : start + len(values)]
        return torch.sub(prediction, values, out=rows)

    gradient = pullback(field, signal.blocks(block or block_size(field)), remember)
    return gradient, residual


def pushforward(
    field: Field, signal: Signal, tangent: Sequence[Tensor], *, block: int | None = None
) -> Tensor:
    """Compute J v, the change of all predictions along a direction in parameter space.

    Args:
        field: The network, with Jacobian J at its current parameters.
        signal: Where to predict; its values are not used.
        tangent: v, one tensor per parameter of the field, in their order.
        block: Coordinates at once; None chooses.

    Returns:
        J v (N, C), without a graph.
    """
    product = _empty(field, signal)
    push = derivatives_of(field).pusher(tangent)
    for start, coords, _ in signal.blocks(block or block_size(field)):
        product[start : start + len(coords)] = push(coords)
    return product


def _of_block(cotangent: Cotangent, start: int, values: Tensor, prediction: Tensor) -> Tensor:
    return cotangent(start, prediction, values)


def _empty(field: Field, signal: Signal) -> Tensor:
    """Allocate (N, C) on the field's device, in the type of its output."""
    like = next(field.parameters())
    dtype = like.real.dtype if like.is_complex() else like.dtype
    return torch.empty(len(signal), field.value_dim, dtype=dtype, device=like.device)
