"""Sweeps: one pass of a field over many coordinates, in blocks.

A sweep's memory is that of its outputs plus
one block's activations, whatever N is.

Legend: N coordinates, D coordinate dimensions, C channels, P parameters.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nint_cli.derivatives.base import Block, Derivatives
from nint_cli.derivatives.engine import EXACT, Engine
from nint_cli.derivatives.point_norms import PointNorms
from nint_cli.fields.base import Field
from nint_cli.signals.base import Signal

Cotangent = Callable[[int, Tensor, Tensor], Tensor]
"""(first row, prediction, values) of a block -> what is pulled back through it, (rows, C)."""

# A batch whose loss couples its points keeps the activations of all its blocks, up to this many
# numbers per layer; a larger one is predicted twice instead.
_KEPT_NUMBERS = {"cpu": 1 << 24, "cuda": 1 << 28}


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

    def __add__(self, other: "Passes") -> "Passes":
        """Return the sum, kind by kind."""
        return Passes(
            self.forward + other.forward,
            self.backward + other.backward,
            self.vjp + other.vjp,
            self.jvp + other.jvp,
        )

    @property
    def total(self) -> float:
        """All passes in units of one full forward, by matrix products.

        A backward costs two products per layer where a forward costs one, and so does a tangent
        beside its primal: 2 for a backward, 3 for a VJP and for a JVP.
        """
        return self.forward + 2 * self.backward + 3 * self.vjp + 3 * self.jvp


def predict(field: Field, signal: Signal, *, engine: Engine = EXACT) -> Tensor:
    """Predict all values.

    Args:
        field: The network.
        signal: Where to predict; its values are not used.
        engine: How the field is computed.

    Returns:
        (N, C), without a graph.
    """
    derivatives, prediction = engine.derivatives(field), _empty(field, signal)
    for start, coords, _ in signal.blocks(engine.block_size(field, forward_only=True)):
        prediction[start : start + len(coords)] = derivatives.predict(coords)
    return prediction


def pullback(
    field: Field,
    blocks: Iterable[tuple[int, Tensor, Tensor]],
    cotangent: Cotangent,
    *,
    engine: Engine = EXACT,
    derivatives: Derivatives | None = None,
    norms: PointNorms | None = None,
) -> list[Tensor]:
    """Accumulate J^T R, block by block.

    Args:
        field: The network, with Jacobian J ((N C) x P) at its current parameters.
        blocks: (first row, coords, values) of each block; at least one.
        cotangent: Gives the rows of R for a block, from its prediction.
        engine: How the field is computed.
        derivatives: What differentiates it, such as with respect to its last layer alone; None
            takes all parameters.
        norms: Of all these points, added to; None skips them.

    Returns:
        J^T R, one tensor per parameter, in their order.
    """
    through = derivatives or engine.derivatives(field)
    for start, coords, values in blocks:
        block = through.linearise(coords)
        rows = None if norms is None else norms.rows(start, start + len(coords))
        block.pull(cotangent(start, block.prediction, values), rows)
    return through.pulled()


def pull_coupled(
    field: Field,
    coords: Sequence[Tensor],
    loss_gradient: Callable[[Tensor], Tensor],
    *,
    by_coords: bool = False,
    engine: Engine = EXACT,
) -> tuple[list[Tensor], Tensor | None]:
    """Compute the gradient of a loss that couples the points of a batch.

    All blocks are predicted before the first is pulled back. Their activations are kept in
    between, which costs no extra pass, unless the batch is so large that predicting it a second
    time is the lesser evil.

    Args:
        field: The network.
        coords: (rows, D) of each block of the batch.
        loss_gradient: From the batch's prediction (B, C) to the loss's gradient (B, C) by it.
        by_coords: Whether the gradient by the coords is wanted too.
        engine: How the field is computed.

    Returns:
        The gradient, one tensor per parameter, and the gradient by the coords (B, D) or None.
    """
    derivatives = engine.derivatives(field)
    device = next(field.parameters()).device.type
    kept = _KEPT_NUMBERS.get(device, _KEPT_NUMBERS["cuda"]) // field.width
    blocks: list[Block] | None = None
    if sum(map(len, coords)) <= kept:
        blocks = [derivatives.linearise(part) for part in coords]
        prediction = torch.cat([block.prediction for block in blocks])
    else:
        prediction = torch.cat([derivatives.predict(part) for part in coords])
    cotangents = loss_gradient(prediction).split([len(part) for part in coords])
    along_coords = []
    for index, cotangent in enumerate(cotangents):
        block = blocks[index] if blocks else derivatives.linearise(coords[index])
        block.pull(cotangent)
        if by_coords:
            along_coords.append(block.coord_gradient())
    return derivatives.pulled(), torch.cat(along_coords) if by_coords else None


def pull_residual(
    field: Field,
    signal: Signal,
    *,
    engine: Engine = EXACT,
    derivatives: Derivatives | None = None,
) -> tuple[list[Tensor], Tensor]:
    """Compute J^T R for the residual R = prediction - values, and R itself, in one sweep.

    Args:
        field: The network.
        signal: The targets.
        engine: How the field is computed.
        derivatives: As for `pullback`.

    Returns:
        J^T R as `pullback` gives it, and R (N, C).
    """
    residual = _empty(field, signal)

    def remember(start: int, prediction: Tensor, values: Tensor) -> Tensor:
        rows = residual[start : start + len(values)]
        return torch.sub(prediction, values, out=rows)

    blocks = signal.blocks(engine.block_size(field))
    return pullback(field, blocks, remember, engine=engine, derivatives=derivatives), residual


def pushforward(
    field: Field,
    signal: Signal,
    tangent: Sequence[Tensor],
    *,
    engine: Engine = EXACT,
    derivatives: Derivatives | None = None,
) -> Tensor:
    """Compute J v, the change of all predictions along a direction in parameter space.

    Args:
        field: The network, with Jacobian J at its current parameters.
        signal: Where to predict; its values are not used.
        tangent: v, one tensor per parameter, in their order.
        engine: How the field is computed.
        derivatives: As for `pullback`.

    Returns:
        J v (N, C), without a graph.
    """
    product = _empty(field, signal)
    push = (derivatives or engine.derivatives(field)).pusher(tangent)
    for start, coords, _ in signal.blocks(engine.block_size(field)):
        product[start : start + len(coords)] = push(coords)[1]
    return product


def push_residual(
    field: Field, signal: Signal, tangent: Sequence[Tensor], *, engine: Engine = EXACT
) -> tuple[Tensor, Tensor]:
    """Compute J v and the residual R = prediction - values, in one sweep.

    Args:
        field: The network, with Jacobian J at its current parameters.
        signal: The targets.
        tangent: v, one tensor per parameter, in their order.
        engine: How the field is computed.

    Returns:
        J v (N, C) and R (N, C).
    """
    product, residual = _empty(field, signal), _empty(field, signal)
    for start, pushed, error in pushed_blocks(field, signal, tangent, engine=engine):
        product[start : start + len(pushed)] = pushed
        residual[start : start + len(pushed)] = error
    return product, residual


def pushed_blocks(
    field: Field, signal: Signal, tangent: Sequence[Tensor], *, engine: Engine = EXACT
) -> Iterator[tuple[int, Tensor, Tensor]]:
    """Compute J v and the residual block by block, where all of them at once would be too many.

    Args:
        field: The network, with Jacobian J at its current parameters.
        signal: The targets.
        tangent: v, one tensor per parameter, in their order.
        engine: How the field is computed.

    Yields:
        The index of the block's first point, and its rows of J v and of R, (rows, C) each.
    """
    push = engine.derivatives(field).pusher(tangent)
    for start, coords, values in signal.blocks(engine.block_size(field)):
        prediction, product = push(coords)
        yield start, product, prediction - values


def residual_blocks(
    field: Field, signal: Signal, *, engine: Engine = EXACT
) -> Iterator[tuple[int, Tensor]]:
    """Compute the residual block by block, where all of it at once would be too much.

    Args:
        field: The network.
        signal: The targets.
        engine: How the field is computed.

    Yields:
        The index of the block's first point, and prediction - values (rows, C).
    """
    derivatives = engine.derivatives(field)
    for start, coords, values in signal.blocks(engine.block_size(field, forward_only=True)):
        yield start, derivatives.predict(coords) - values


def self_leverage(field: Field, signal: Signal, *, engine: Engine = EXACT) -> Tensor:
    """Compute ||row (i, c) of J||^2 for all points: the diagonal of J J^T.

    Args:
        field: The network.
        signal: Where; its values are not used.
        engine: How the field is computed.

    Returns:
        (N, C).
    """
    leverage, derivatives = _empty(field, signal), engine.derivatives(field)
    for start, coords, _ in signal.blocks(engine.block_size(field)):
        leverage[start : start + len(coords)] = derivatives.self_leverage(coords)
    return leverage


def _empty(field: Field, signal: Signal) -> Tensor:
    """Allocate (N, C) on the field's device, in the type of its output."""
    like = next(field.parameters())
    return torch.empty(len(signal), field.value_dim, dtype=like.dtype, device=like.device)


def predicted_blocks(
    field: Field, signal: Signal, size: int, *, engine: Engine = EXACT
) -> Iterator[tuple[int, Tensor, Tensor]]:
    """Predict all values part by part, where all of them at once would be too many.

    Args:
        field: The network.
        signal: Where to predict.
        size: Coordinates per part; the last one may be shorter.
        engine: How the field is computed.

    Yields:
        The index of the part's first point, its prediction (size, C), without a graph, and its
        values (size, C).
    """
    derivatives = engine.derivatives(field)
    block = engine.block_size(field, forward_only=True)
    for start in range(0, len(signal), size):
        stop = min(start + size, len(signal))
        predictions, values = [], []
        for at in range(start, stop, block):
            coords, true = signal.slice(at, min(at + block, stop))
            predictions.append(derivatives.predict(coords))
            values.append(true)
        yield start, torch.cat(predictions), torch.cat(values)
