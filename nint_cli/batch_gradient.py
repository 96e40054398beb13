"""The gradient of a step's loss over the points of its batch.

Legend: B points of the batch, D coordinate dimensions, C channels.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from nint_cli.fields import Field
from nint_cli.guard import EvenError
from nint_cli.replay import Replay
from nint_cli.samplers import BatchLoss, Observation, Sampler, Selection
from nint_cli.signals import Signal
from nint_cli.sweep import block_size, pull_coupled, pullback

Blocks = Iterable[tuple[int, Tensor, Tensor]]
See = Callable[[int, Tensor, Tensor, Tensor], None]
"""(first row, prediction, values, their difference) of a block."""


class BatchGradient(NamedTuple):
    """What one batch has to say.

    Attributes:
        gradient: One tensor per parameter.
        loss: ().
        observation: For the sampler; None where it does not look.
    """

    gradient: list[Tensor]
    loss: Tensor
    observation: Observation | None


def batch_gradient(
    field: Field,
    signal: Signal,
    sampler: Sampler,
    selection: Selection,
    even: EvenError | None,
    replay: Replay | None = None,
) -> BatchGradient:
    """Take the gradient of the mean squared error, or of the selection's own loss.

    The mean is over points and channels, each point times its weight.

    Args:
        field: The network.
        signal: The targets.
        sampler: Which observations are for.
        selection: The batch.
        even: Adds up the errors of comparable points, or None.
        replay: Does the squared error's work in one launch where it can; None: as it comes.

    Returns:
        Gradient, loss and observation. Under `replay` the gradient is overwritten by the next one.
    """
    if selection.loss is not None:
        return _coupled(field, signal, sampler, selection, selection.loss, even)
    seen: list[tuple[Tensor, Tensor]] = []

    def see(start: int, prediction: Tensor, values: Tensor, residual: Tensor) -> None:
        if sampler.observes:
            seen.append((prediction, values))
        if even is not None:
            even.add(start, residual, values)

    found = None if replay is None else _replayed(field, signal, selection, see, replay)
    if found is None:
        blocks = _blocks(field, signal, selection.indices)
        count = len(selection.indices)
        found = _separable(field, blocks, count, selection.weights, see)
    observation = None
    if seen:
        prediction, values = (torch.cat(parts) for parts in zip(*seen, strict=True))
        observation = Observation(selection, prediction, values)
    return BatchGradient(*found, observation)


def _separable(
    field: Field, blocks: Blocks, count: int, weights: Tensor | None, see: See
) -> tuple[list[Tensor], Tensor]:
    """Take the gradient of the weighted mean squared error, block by block."""
    like = next(field.parameters())
    scale = 2 / (count * field.value_dim)
    squared_error = torch.zeros((), dtype=torch.float64, device=like.device)

    def loss_gradient(start: int, prediction: Tensor, values: Tensor) -> Tensor:
        residual = prediction - values
        see(start, prediction, values, residual)
        if weights is None:
            weighted = residual
        else:
            weighted = weights[start : start + len(values), None] * residual
        squared_error.add_((weighted * residual).sum())
        return scale * weighted

    gradient = pullback(field, blocks, loss_gradient)
    return gradient, squared_error * (scale / 2)


def _replayed(
    field: Field, signal: Signal, selection: Selection, see: See, replay: Replay
) -> tuple[list[Tensor], Tensor] | None:
    """Do what `_separable` does by a recording of it; None where there is none of this batch."""
    coords, values = signal.at(selection.indices)
    inputs = (coords, values) if selection.weights is None else (coords, values, selection.weights)

    def work(coords: Tensor, values: Tensor, weights: Tensor | None = None) -> tuple[Tensor, ...]:
        size, parts = block_size(field), []
        blocks = (
            (start, coords[start : start + size], values[start : start + size])
            for start in range(0, len(coords), size)
        )
        gradient, loss = _separable(
            field,
            blocks,
            len(coords),
            weights,
            lambda _, prediction, *__: parts.append(prediction),
        )
        return (torch.cat(parts), loss, *gradient)

    outputs = replay(work, inputs, list(field.parameters()))
    if outputs is None:
        return None
    prediction, loss, *gradient = outputs
    prediction = prediction.clone()  # which may be kept, and the next replay overwrites
    see(0, prediction, values, prediction - values)
    return gradient, loss


def _coupled(
    field: Field,
    signal: Signal,
    sampler: Sampler,
    selection: Selection,
    loss: BatchLoss,
    even: EvenError | None,
) -> BatchGradient:
    """Take the gradient of a loss that needs the whole batch's prediction at once."""
    blocks = list(_blocks(field, signal, selection.indices))
    values = torch.cat([part for _, _, part in blocks])
    found: list[Tensor] = []

    def loss_gradient(prediction: Tensor) -> Tensor:
        total, gradient = loss(prediction, values)
        if even is not None:
            even.add(0, prediction - values, values)
        found.extend([prediction, total])
        return gradient

    gradient, by_coords = pull_coupled(
        field,
        [coords for _, coords, _ in blocks],
        loss_gradient,
        by_coords=sampler.wants_coord_gradient,
    )
    prediction, total = found
    return BatchGradient(gradient, total, Observation(selection, prediction, values, by_coords))


def _blocks(field: Field, signal: Signal, indices: Tensor) -> Iterator[tuple[int, Tensor, Tensor]]:
    size = block_size(field)
    for start in range(0, len(indices), size):
        yield (start, *signal.at(indices[start : start + size]))
