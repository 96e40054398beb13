"""What a sampler may ask of the field, with every pass counted.

Each method is one pass, or the passes that its docstring names, and returns together what they
yield together: nothing is remembered from one call to the next.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from nint_cli.derivatives.engine import EXACT, Engine
from nint_cli.derivatives.ntk import last_layer_residual_product, sketched_products
from nint_cli.derivatives.sweep import (
    Passes,
    predict,
    pullback,
    pushed_blocks,
    residual_blocks,
    self_leverage,
)
from nint_cli.fields.base import Field
from nint_cli.signals.base import Signal

_BLOCK = 1 << 18  # points of what is there already and is only compared

ScoredBlocks = Iterator[tuple[int, Tensor, Tensor]]
"""(index of a block's first point, scores of its points (rows, C), their residual (rows, C))."""


class Probe:
    """A view of the field at one step, before that step's update.

    The residual R is prediction - values. K is the neural tangent kernel; row i of K R is, up to a
    factor, the first-order change of the prediction at point i in one full-batch step of gradient
    descent on the squared error.

    Args:
        field: The network.
        signal: What it is fitted to.
        passes: Where the network passes are counted.
        moment: Returns Adam's first moment, one tensor per parameter; None before the first step.
        engine: How the field is computed.

    Attributes:
        device: Where indices are expected.
    """

    def __init__(
        self,
        field: Field,
        signal: Signal,
        passes: Passes,
        moment: Callable[[], Sequence[Tensor] | None] = lambda: None,
        engine: Engine = EXACT,
    ) -> None:
        self._field = field
        self._signal = signal
        self._passes = passes
        self._moment = moment
        self._engine = engine
        self.device = next(field.parameters()).device

    def __len__(self) -> int:
        return len(self._signal)

    def prediction_and_residual(self) -> tuple[Tensor, Tensor]:
        """Return the prediction and R at all points, (N, C) each, by one forward sweep."""
        prediction = predict(self._field, self._signal, engine=self._engine)
        self._passes.forward += 1
        residual = torch.empty_like(prediction)
        for start, _, values in self._signal.blocks(_BLOCK):
            rows = slice(start, start + len(values))
            torch.sub(prediction[rows], values, out=residual[rows])
        return prediction, residual

    def residual_blocks(self) -> Iterator[tuple[int, Tensor]]:
        """Compute R block by block, by one forward sweep, in memory that does not grow with N.

        Yields:
            The index of the block's first point, and its rows of R, (rows, C).
        """
        self._passes.forward += 1
        yield from residual_blocks(self._field, self._signal, engine=self._engine)

    def product_blocks(self, *, by_moment: bool = False) -> ScoredBlocks:
        """Compute K R block by block, by a VJP and a JVP sweep, in memory that does not grow.

        Args:
            by_moment: Whether Adam's first moment m stands in for J^T R, which saves the VJP
                sweep. m is a running mean of batch gradients, each of which is on average J^T R
                up to a factor. Before the first step there is no m, and J^T R is computed.

        Yields:
            A block's first point, its rows of K R, or of J m, and of R.
        """
        tangent = self._moment() if by_moment else None
        if tangent is None:
            self._passes.vjp += 1
            blocks = self._signal.blocks(self._engine.block_size(self._field))
            tangent = pullback(
                self._field,
                blocks,
                lambda _, prediction, values: prediction - values,
                engine=self._engine,
            )
        self._passes.jvp += 1
        yield from pushed_blocks(self._field, self._signal, tangent, engine=self._engine)

    def residual_score_blocks(self) -> ScoredBlocks:
        """Compute R by one forward sweep, and give it as score and residual.

        Yields:
            A block's first point, and its rows of R, twice.
        """
        for start, residual in self.residual_blocks():
            yield start, residual, residual

    def self_leverage_blocks(self) -> ScoredBlocks:
        """Compute K(x_i, x_i) R_i by channel, the kernel's diagonal times R.

        It takes the passes of the diagonal, C backward passes of activations alone, and one
        forward sweep.

        Yields:
            A block's first point, its rows of the product and of R.
        """
        channels = self._signal.value_dim
        if self._field.chain() is None:
            self._passes.vjp += channels
        else:  # a backward of activations alone is half of one with parameters
            self._passes.forward += 1
            self._passes.backward += channels / 2
        leverage = self_leverage(self._field, self._signal, engine=self._engine)
        for start, residual in self.residual_blocks():
            yield start, leverage[start : start + len(residual)] * residual, residual

    def last_layer_blocks(self) -> ScoredBlocks:
        """Compute K R with the kernel of the last layer alone, for the cost of two forwards.

        Yields:
            A block's first point, its rows of the product and of R.
        """
        product, residual = last_layer_residual_product(
            self._field, self._signal, engine=self._engine
        )
        self._passes.forward += 2
        yield from _in_blocks(product, residual)

    def sketched_blocks(self, stream: np.random.Generator, sketches: int) -> ScoredBlocks:
        """Estimate K R from random projections of the Jacobian; see `ntk.sketched_products`.

        It takes a forward sweep, and a JVP sweep for each projection.

        Args:
            stream: Source of the projections.
            sketches: How many.

        Yields:
            A block's first point, its rows of the mean over the projections and of R.
        """
        _, residual = self.prediction_and_residual()
        product = torch.zeros_like(residual)
        for part in sketched_products(
            self._field, self._signal, residual, stream, sketches, engine=self._engine
        ):
            product += part / sketches
        self._passes.jvp += sketches
        yield from _in_blocks(product, residual)


def _in_blocks(scores: Tensor, residual: Tensor) -> ScoredBlocks:
    for start in range(0, len(residual), _BLOCK):
        yield start, scores[start : start + _BLOCK], residual[start : start + _BLOCK]
