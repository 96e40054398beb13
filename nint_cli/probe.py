"""What a sampler may ask of the field: lazily, once per step, with every pass counted."""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from nint_cli.fields import Field
from nint_cli.ntk import (
    last_layer_residual_product,
    ntk_residual_product,
    sketched_products,
)
from nint_cli.signals import Signal
from nint_cli.sweep import (
    Passes,
    block_size,
    predict,
    pullback,
    push_residual,
    pushed_blocks,
    pushforward_at,
    residual_blocks,
    self_leverage,
)

_BLOCK = 1 << 18  # points of what is there already, or only compared


class Probe:
    """A view of the field at one step, before that step's update.

    Nothing is computed before it is asked for, and nothing twice. Asking for the NTK product
    first makes the residual free.

    Args:
        field: The network.
        signal: What it is fitted to.
        passes: Where the network passes are counted.
        moment: Gives Adam's first moment, one tensor per parameter; None before the first step.

    Attributes:
        device: Where indices are expected.
    """

    def __init__(
        self,
        field: Field,
        signal: Signal,
        passes: Passes,
        moment: Callable[[], Sequence[Tensor] | None] = lambda: None,
    ) -> None:
        self._field = field
        self._signal = signal
        self._passes = passes
        self._moment = moment
        self._residual: Tensor | None = None
        self._product: Tensor | None = None
        self._prediction: Tensor | None = None
        self.device = next(field.parameters()).device

    def __len__(self) -> int:
        return len(self._signal)

    def prediction(self) -> Tensor:
        """Predict all values, (N, C)."""
        if self._prediction is None:
            self._prediction = predict(self._field, self._signal)
            self._passes.forward += 1
        return self._prediction

    def residual(self) -> Tensor:
        """Give prediction - values at all points, (N, C)."""
        if self._residual is None:
            prediction = self.prediction()
            self._residual = torch.empty_like(prediction)
            for start, _, values in self._signal.blocks(_BLOCK):
                rows = slice(start, start + len(values))
                torch.sub(prediction[rows], values, out=self._residual[rows])
        return self._residual

    def residual_blocks(self) -> Iterator[tuple[int, Tensor]]:
        """Give the residual block by block, in memory that does not grow with N.

        Yields:
            The index of the block's first point, and its rows of `residual`, (rows, C).
        """
        if self._residual is not None:
            for start in range(0, len(self), _BLOCK):
                yield start, self._residual[start : start + _BLOCK]
            return
        self._passes.forward += 1
        yield from residual_blocks(self._field, self._signal)

    def product_blocks(self, *, by_moment: bool = False) -> Iterator[tuple[int, Tensor, Tensor]]:
        """Give K R block by block, in memory that does not grow with N, and R beside it.

        Args:
            by_moment: Whether to estimate it as `moment_product` does.

        Yields:
            The index of the block's first point, and its rows of K R and R, (rows, C) each.
        """
        tangent = self._moment() if by_moment else None
        if tangent is None:
            self._passes.vjp += 1
            blocks = self._signal.blocks(block_size(self._field))
            tangent = pullback(
                self._field, blocks, lambda _, prediction, values: prediction - values
            )
        self._passes.jvp += 1
        yield from pushed_blocks(self._field, self._signal, tangent)

    def ntk_product(self) -> Tensor:
        """Give K R, the NTK times the residual R = prediction - values, (N, C).

        Row i is, up to a factor, the first-order change of the prediction at point i in one
        full-batch step of gradient descent on the squared error.
        """
        if self._product is None:
            self._product, self._residual = ntk_residual_product(self._field, self._signal)
            self._passes.vjp += 1
            self._passes.jvp += 1
        return self._product

    def moment_product(self) -> Tensor:
        """Estimate K R up to a factor as J m, m being Adam's first moment, (N, C).

        m is a running mean of batch gradients, each of which is on average J^T R up to a factor.
        That spares the VJP sweep. Before the first step there is no m, and this is `ntk_product`.
        Asking for it first makes the residual free.
        """
        moment = self._moment()
        if moment is None:
            return self.ntk_product()
        product, self._residual = push_residual(self._field, self._signal, moment)
        self._passes.jvp += 1
        return product

    def estimated_product(self, indices: Tensor) -> Tensor:
        """Estimate rows of K R as `moment_product` does, at some points alone.

        Args:
            indices: (M,) int64 of the points.

        Returns:
            (M, C); zeros before the first step.
        """
        moment = self._moment()
        if moment is None:
            like = next(self._field.parameters())
            return like.new_zeros(len(indices), self._field.value_dim)
        self._passes.jvp += len(indices) / len(self._signal)
        return pushforward_at(self._field, self._signal, indices, moment)

    def last_layer_product(self) -> Tensor:
        """Give K R with the kernel of the last layer alone, (N, C), for the cost of two forwards.

        Asking for it first makes the residual free.
        """
        product, self._residual = last_layer_residual_product(self._field, self._signal)
        self._passes.forward += 2
        return product

    def sketched_product(self, generator: torch.Generator, sketches: int) -> Tensor:
        """Estimate K R from random projections of the Jacobian, (N, C).

        Args:
            generator: Source of the projections.
            sketches: How many, for a JVP sweep each.

        Returns:
            The mean over the projections; see `ntk.sketched_products`.
        """
        product = torch.zeros_like(self.residual())
        for part in sketched_products(
            self._field, self._signal, self.residual(), generator, sketches
        ):
            product += part / sketches
        self._passes.jvp += sketches
        return product

    def self_leverage(self) -> Tensor:
        """Give the kernel's diagonal, K[i, c, i, c], (N, C)."""
        channels = self._signal.value_dim
        if self._field.chain() is None:
            self._passes.vjp += channels
        else:  # a backward of activations alone is half of one with parameters
            self._passes.forward += 1
            self._passes.backward += channels / 2
        return self_leverage(self._field, self._signal)
