"""The gradient of a step's loss over the points of its batch.

Legend: B points of the batch, D coordinate dimensions, C channels.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from nint_cli.derivatives.engine import EXACT, Engine
from nint_cli.derivatives.point_norms import PointNorms
from nint_cli.derivatives.sweep import pull_coupled, pullback
from nint_cli.fields.base import Field
from nint_cli.samplers.base import BatchLoss, Observation, Sampler, Selection
from nint_cli.signals.base import Signal
from nint_cli.training.divergence import UniformError

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
    even: UniformError | None,
    engine: Engine = EXACT,
) -> BatchGradient:
    """Take the gradient of the mean squared error, or of the selection's own loss.

    The mean is over points and channels, each point times its weight.

    Args:
        field: The network.
        signal: The targets.
        sampler: Which observations are for.
        selection: The batch.
        even: Adds up the errors of comparable points, or None.
        engine: How the field is computed.

    Returns:
        Gradient, loss and observation.
    """
    if selection.loss is not None:
        return _coupled(field, signal, sampler, selection, selection.loss, even, engine)
    seen: list[tuple[Tensor, Tensor]] = []

    def see(start: int, prediction: Tensor, values: Tensor, residual: Tensor) -> None:
        if sampler.observes:
            seen.append((prediction, values))
        if even is not None:
            even.add(start, residual, values)

    norms = None
    if sampler.wants_leveraged_errors:
        norms = PointNorms.zeros(len(selection.indices), next(field.parameters()))
    gradient, loss = _separable(field, signal, selection, see, engine, norms)
    observation = None
    if seen:
        prediction, values = (torch.cat(parts) for parts in zip(*seen, strict=True))
        leveraged = None
        if norms is not None:
            last_weight = field.last_layer()[0].detach()
            leveraged = norms.leveraged(prediction - values, last_weight)
        observation = Observation(selection, prediction, values, leveraged_errors=leveraged)
    return BatchGradient(gradient, loss, observation)


def _separable(
    field: Field,
    signal: Signal,
    selection: Selection,
    see: See,
    engine: Engine,
    norms: PointNorms | None,
) -> tuple[list[Tensor], Tensor]:
    """Compute the gradient of the weighted mean squared error, block by block, and the loss.

    `norms` is filled as if every point were alone: without weights and the mean's factor.
    """
    like, weights = next(field.parameters()), selection.weights
    scale = 2 / (len(selection.indices) * field.value_dim)
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

    blocks = _blocks(signal, selection.indices, engine.block_size(field))
    gradient = pullback(field, blocks, loss_gradient, engine=engine, norms=norms)
    if norms is not None:
        factors = scale if weights is None else scale * weights
        for part in (norms.inner, norms.last):
            part.div_(factors**2)
    return gradient, squared_error * (scale / 2)


def _coupled(
    field: Field,
    signal: Signal,
    sampler: Sampler,
    selection: Selection,
    loss: BatchLoss,
    even: UniformError | None,
    engine: Engine,
) -> BatchGradient:
    """Take the gradient of a loss that needs the whole batch's prediction at once."""
    blocks = list(_blocks(signal, selection.indices, engine.block_size(field)))
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
        engine=engine,
    )
    prediction, total = found
    return BatchGradient(gradient, total, Observation(selection, prediction, values, by_coords))


def _blocks(signal: Signal, indices: Tensor, size: int) -> Iterator[tuple[int, Tensor, Tensor]]:
    for start in range(0, len(indices), size):
        yield (start, *signal.at(indices[start : start + size]))
