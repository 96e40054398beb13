"""What each point alone contributes to a gradient: row norms that a backward pass holds anyway.

Source: Goodfellow, "Efficient per-example gradient computations", 2015, arXiv 1510.01799.

Legend: B points, C channels, F inputs of the last layer.
"""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor


@dataclass(frozen=True)
class PointNorms:
    """Squared norms of J_i^T R_i, for each point i, filled by `Block.pull`.

    Attributes:
        inner: (B,), by the parameters of all layers but the last.
        last: (B,), by those of the last layer, (||h_i||^2 + 1) ||R_i||^2.
    """

    inner: Tensor
    last: Tensor

    @classmethod
    def zeros(cls, count: int, like: Tensor) -> Self:
        """Return norms of a number of points that nothing has been added to.

        Args:
            count: B.
            like: A tensor of the type and device wanted.
        """
        return cls(like.new_zeros(count), like.new_zeros(count))

    def rows(self, start: int, stop: int) -> Self:
        """Return the part of some points, in the same memory."""
        return type(self)(self.inner[start:stop], self.last[start:stop])

    def add(self, h: Tensor, delta: Tensor, *, last: bool, scale: float = 1.0) -> None:
        """Add the share of one layer z = scale (W h + b), scale^2 (||h||^2 + 1) ||delta||^2.

        Args:
            h: The layer's input (B, fan_in), real or complex.
            delta: The gradient by z (B, fan_out).
            last: Whether it is the last layer.
            scale: Its fixed factor.
        """
        total = self.last if last else self.inner
        reach = _squared(h, total.dtype).add_(1)
        total.addcmul_(reach, _squared(delta, total.dtype), value=scale**2)

    def total(self) -> Tensor:
        """Return ||J_i^T R_i||^2 = R_i^T K(x_i, x_i) R_i, (B,)."""
        return self.inner + self.last

    def leveraged(self, residual: Tensor, last_weight: Tensor) -> Tensor:
        """Compute squared error times self-leverage, ||R_i||^2 k_i with k_i = tr K(x_i, x_i) / C.

        The norms hold the kernel along one direction of the channels, that of R_i. Across them it
        differs by the last layer W above all: what reaches the layers below is W^T R_i. So their
        share is divided by ||W^T R_i||^2 and multiplied by that of a channel on average. With one
        channel k_i is exact.

        Args:
            residual: R (B, C), with which the norms were filled.
            last_weight: W (C, F), or (C, F, 2) of complex numbers.

        Returns:
            (B,); 0 where there is no error.
        """
        rows = last_weight.flatten(1)
        gram = rows @ rows.T
        reaching = (residual @ gram).mul_(residual).sum(1)
        average = residual.square().sum(1).mul_(gram.diagonal().mean())
        tiny = torch.finfo(residual.dtype).tiny
        return self.last + self.inner * (average / reaching.clamp(min=tiny))


def _squared(rows: Tensor, dtype: torch.dtype) -> Tensor:
    """Compute the squared norms of rows (B,); a norm of bfloat16 is rounded to it once."""
    parts = torch.view_as_real(rows).flatten(1) if rows.is_complex() else rows
    norms: Tensor = torch.linalg.vector_norm(parts, dim=1)
    return norms.to(dtype).square()
