"""Figures of a field's neural tangent kernel at some points.

Legend: N points, M of them that are looked at, C channels; K is the kernel, R = prediction -
values.
"""

import math

import torch
from torch import Tensor

from nint_cli.derivatives.engine import EXACT
from nint_cli.derivatives.ntk import dense_ntk
from nint_cli.derivatives.sweep import pullback, push_residual, self_leverage
from nint_cli.fields.base import Field
from nint_cli.inspection.record import Correlation, Coupling, Leverage
from nint_cli.signals.base import Signal

_BINS = 40
TOP = 0.2
"""Share of the points that a batch of the paper's size would hold."""


def leverage(field: Field, signal: Signal) -> Tensor:
    """Give the kernel's diagonal, K[i, c, i, c], (M, C)."""
    return self_leverage(field, signal)


def summary(diagonal: Tensor) -> Leverage:
    """Sum up self-leverages.

    Args:
        diagonal: (M, C).
    """
    trace = diagonal.double().sum(dim=1)
    counts, edges = torch.histogram(trace.cpu(), bins=_BINS)
    mean = float(trace.mean())
    return Leverage(
        mean=mean,
        least=float(trace.min()),
        greatest=float(trace.max()),
        variation=float(trace.std(correction=0)) / mean if mean > 0 else 0.0,
        histogram=[int(count) for count in counts],
        edges=edges.tolist(),
    )


def scores(field: Field, signal: Signal, points: Signal) -> tuple[Tensor, Tensor]:
    """Give rows of K R and of R, as training has them.

    A fit leaves a residual that all points together all but cancel, and some of them do not: sums
    over these alone would rank them otherwise.

    Args:
        field: The network.
        signal: All points; the sums of K R go over them.
        points: M of them.

    Returns:
        K R and R at these, (M, C) each, in float64, which holds the squares of what they are.
    """
    blocks = signal.blocks(EXACT.block_size(field))
    gradient = pullback(field, blocks, lambda _, prediction, values: prediction - values)
    product, residual = push_residual(field, points, gradient)
    return product.double(), residual.double()


def finite(*figures: Tensor) -> bool:
    """Tell whether nothing of them is NaN or infinite."""
    return all(bool(torch.isfinite(each).all()) for each in figures)


def coupling(product: Tensor, residual: Tensor, diagonal: Tensor) -> Coupling:
    """Tell what of the scores comes from other points, and from other channels.

    Args:
        product: K R, (M, C).
        residual: R, (M, C).
        diagonal: K[i, c, i, c], (M, C).
    """
    own = diagonal * residual
    by_itself = torch.linalg.vector_norm(own, dim=1)
    rest = torch.linalg.vector_norm(product - own, dim=1)
    total = by_itself + rest
    share = torch.where(total > 0, rest / total.clamp(min=torch.finfo(total.dtype).tiny), 0)
    score = torch.linalg.vector_norm(product, dim=1)
    return Coupling(
        share=float(share.mean()),
        spearman=spearman(score, by_itself),
        overlap=overlap(score, by_itself),
    )


def block(field: Field, coords: Tensor) -> Tensor:
    """Give the kernel of a few points, traced over channels, (M, M), in float64.

    Args:
        field: The network.
        coords: (M, D); a NintError is raised where there are too many.
    """
    kernel = dense_ntk(field, coords)
    return torch.einsum("icjc->ij", kernel).double()


def off_diagonal(kernel: Tensor) -> float:
    """Compare a kernel's entries off its diagonal with those on it.

    Args:
        kernel: (M, M), symmetric.

    Returns:
        Mean of the absolute values off it over the mean on it.
    """
    count = len(kernel)
    on = float(kernel.diagonal().mean())
    if count < 2 or on <= 0:
        return 0.0
    off = float((kernel.abs().sum() - kernel.diagonal().abs().sum()) / (count * (count - 1)))
    return off / on


def effective_rank(kernel: Tensor) -> float:
    """Give the exponential of the entropy of the eigenvalues' shares (Roy and Vetterli, 2007).

    Args:
        kernel: (M, M), symmetric and positive semidefinite.

    Returns:
        1 for a kernel of rank 1, M for a multiple of the identity.
    """
    values = torch.linalg.eigvalsh(kernel.double()).clamp(min=0)
    shares = values / values.sum()
    shares = shares[shares > 0]
    return math.exp(float(-(shares * shares.log()).sum())) if len(shares) else 0.0


def correlation(a: Tensor, b: Tensor) -> Correlation:
    """Correlate two figures of the points, (M,) each."""
    return Correlation(pearson=pearson(a, b), spearman=spearman(a, b))


def pearson(a: Tensor, b: Tensor) -> float | None:
    """Give the correlation; None where one of them does not vary."""
    if any(bool(each.min() == each.max()) for each in (a, b)):
        return None
    x, y = (each.double() - each.double().mean() for each in (a, b))
    size = float(x.norm() * y.norm())
    return float(x @ y) / size if size > 0 else None


def spearman(a: Tensor, b: Tensor) -> float | None:
    """Give the correlation of the ranks, equals sharing theirs."""
    return pearson(_ranks(a), _ranks(b))


def _ranks(a: Tensor) -> Tensor:
    _, inverse, counts = torch.unique(a, return_inverse=True, return_counts=True)
    last = counts.cumsum(0).double()
    ranks: Tensor = (last - (counts.double() - 1) / 2)[inverse]
    return ranks


def overlap(a: Tensor, b: Tensor, share: float = TOP) -> float:
    """Give how much the points with the highest figures have in common.

    Args:
        a: (M,).
        b: (M,).
        share: Of the points that count as highest.

    Returns:
        In [0, 1].
    """
    count = max(1, int(share * len(a)))
    tops = [each.topk(count).indices for each in (a, b)]
    return float(torch.isin(tops[0], tops[1]).float().mean())
