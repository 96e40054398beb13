"""INT: the points with the largest residual."""

import torch
from torch import Tensor

from nint_cli.probe import Probe
from nint_cli.samplers.base import BatchPlan, Sampler, Selection


class Int(Sampler):
    """Implicit Neural Teaching with dense refresh: the top residuals, chosen at every step.

    score_i = sum_c |prediction_ic - values_ic|; the B largest train.

    Source: Zhang, Luo, Li, Wu, Wong, "Nonparametric Teaching of Implicit Neural
    Representations", ICML 2024, arXiv 2405.10531.

    As in its released code the norm over channels is L1; the paper's formula has L2, which ranks
    alike for one channel. It asks for one forward pass over N per step.

    Args:
        batch: How many points.
    """

    def __init__(self, batch: BatchPlan) -> None:
        self.batch = batch

    def select(self, step: int, probe: Probe, generator: torch.Generator) -> Selection:
        """Choose the points with the largest residual; see `Sampler.select`."""
        count = self.batch.count(step, len(probe))
        indices = residual_score(probe.residual()).topk(count, sorted=False).indices
        return Selection(indices, slots=(("residual", count),))


def residual_score(residual: Tensor) -> Tensor:
    """Rank points by their residual.

    Args:
        residual: (N, C).

    Returns:
        sum_c |residual_ic|, (N,).
    """
    return residual.abs().sum(dim=1)
