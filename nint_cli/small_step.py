"""J v from predictions alone: a small step along v, instead of a tangent beside every activation.

J v = (f(theta + l v) - f(theta)) / l + O(l), for a forward pass where the tangent takes the
matrix products of three, or for two where f(theta) is not known yet.

Legend: N coordinates, D coordinate dimensions, C channels.
"""

import copy
import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from nint_cli.derivatives import derivatives_of
from nint_cli.fields import Field
from nint_cli.signals import Signal
from nint_cli.sweep import block_size

# Rounding disturbs the difference by eps / s, curvature by a multiple of s, where s is the step's
# share of the prediction; sqrt(eps) balances the two, and this many are best on trained fields.
_ROOTS = 1.5

# Points at which a step is compared with the exact tangent.
_COMPARED = 256


class SmallStep:
    """A field, and a copy of it a small step further.

    Args:
        field: The network, with Jacobian J at its current parameters.
        direction: v, one tensor per parameter, in their order.
        length: What v is multiplied by.
    """

    def __init__(self, field: Field, direction: Sequence[Tensor], length: float) -> None:
        moved = copy.deepcopy(field)
        with torch.no_grad():
            for parameter, part in zip(moved.parameters(), direction, strict=True):
                parameter.add_(part, alpha=length)
        self._field = field
        self._there = derivatives_of(moved)
        self._here = derivatives_of(field)
        self._length = length

    def change(self, coords: Tensor, prediction: Tensor) -> Tensor:
        """Estimate J v of a block.

        Args:
            coords: (B, D).
            prediction: (B, C) of the field there.

        Returns:
            (B, C).
        """
        return self._there.predict(coords).sub_(prediction).div_(self._length)

    def blocks(
        self, signal: Signal, *, residual: Tensor | None = None, block: int | None = None
    ) -> Iterator[tuple[int, Tensor, Tensor]]:
        """Estimate J v block by block, and give the residual beside it.

        Args:
            signal: The targets.
            residual: Prediction - values (N, C), where it is known; spares one of two passes.
            block: Coordinates at once; None chooses.

        Yields:
            The index of the block's first point, and its rows of J v and of R, (rows, C) each.
        """
        for start, coords, values in signal.blocks(
            block or block_size(self._field, forward_only=True)
        ):
            if residual is None:
                prediction = self._here.predict(coords)
                error = prediction - values
            else:
                error = residual[start : start + len(values)]
                prediction = error + values
            yield start, self.change(coords, prediction), error


def small_step(
    field: Field, signal: Signal, direction: Sequence[Tensor], *, tolerance: float = 0.02
) -> SmallStep | None:
    """Choose how far to step along a direction, and make sure that it is far and short enough.

    Args:
        field: The network, with Jacobian J at its current parameters.
        signal: Where J v is wanted; its values are not used.
        direction: v, one tensor per parameter, in their order.
        tolerance: How far it may be off, as a share of the root mean square of J v.

    Returns:
        The step; None where J v vanishes or differs by more than `tolerance` from the exact
        tangent on 256 points: where products are rounded to bfloat16, where phases are so large
        that float32 keeps few digits of them, as in a sound's first layer, or where a field's
        gradient is not that of its values, as FINER's.
    """
    count = min(len(signal), _COMPARED)
    device = next(field.parameters()).device
    coords, _ = signal.at(torch.arange(count, device=device) * len(signal) // count)
    prediction, exact = derivatives_of(field).pusher(direction)(coords)
    size, speed = _root_mean_square(prediction), _root_mean_square(exact)
    length = _ROOTS * math.sqrt(torch.finfo(prediction.dtype).eps) * size / speed if speed else 0.0
    if not 0 < length < math.inf:
        return None
    step = SmallStep(field, direction, length)
    off = _root_mean_square(step.change(coords, prediction) - exact)
    return step if off <= tolerance * speed else None


def _root_mean_square(tensor: Tensor) -> float:
    return float(tensor.square().mean().sqrt())
