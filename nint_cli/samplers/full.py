"""Every point at every step."""

import torch

from nint_cli.derivatives.probe import Probe
from nint_cli.samplers.base import Sampler, Selection


class Full(Sampler):
    """Full batch: plain gradient descent on all N points, "Standard" in the papers.

    It asks for no extra pass; a step costs a forward and a backward over N.
    """

    def select(self, step: int, probe: Probe, generator: torch.Generator) -> Selection:
        """Choose all points; see `Sampler.select`."""
        indices = torch.arange(len(probe), device=probe.device)
        return Selection(indices, slots=(("full", len(indices)),))
