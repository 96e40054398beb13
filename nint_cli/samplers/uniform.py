"""Points at random."""

import torch

from nint_cli.probe import Probe
from nint_cli.samplers.base import BatchPlan, Sampler, Selection
from nint_cli.samplers.draw import draw_distinct


class Uniform(Sampler):
    """Uniform sampling without replacement, fresh at every step.

    The mean squared error of the batch is an unbiased estimate of the full one. It asks for no
    extra pass.

    Args:
        batch: How many points.
    """

    def __init__(self, batch: BatchPlan) -> None:
        self.batch = batch

    def select(self, step: int, probe: Probe, generator: torch.Generator) -> Selection:
        """Choose points at random; see `Sampler.select`."""
        count = self.batch.count(step, len(probe))
        indices = draw_distinct(len(probe), count, generator)
        return Selection(indices, slots=(("uniform", count),))
