"""Every point at every step."""

from collections.abc import Mapping
from typing import ClassVar

import torch

from nint_cli.derivatives.probe import Probe
from nint_cli.random import Draws
from nint_cli.samplers.base import EVERY, EVERY_POINT, Sampler, Selection, Setup, Slot
from nint_cli.settings import Section


class Full(Sampler):
    """Full batch: plain gradient descent on all N points, "Standard" in the papers.

    Passes: none besides the step's own, a forward and a backward over N.
    """

    ranked_by = None
    slots: ClassVar[Mapping[str, Slot]] = {"full": EVERY}
    sized: ClassVar[bool] = False

    def unranked(self, population: int) -> str:
        """Return that it has no choice; see `Sampler.unranked`."""
        return EVERY_POINT

    @classmethod
    def from_settings(cls, settings: Section, setup: Setup) -> "Full":
        """Build it; it has no settings and no size; see `Sampler.from_settings`."""
        return cls()

    def select(self, step: int, probe: Probe, draws: Draws) -> Selection:
        """Choose all points; see `Sampler.select`."""
        indices = torch.arange(len(probe), device=probe.device)
        return Selection(indices, slots=(("full", len(indices)),))
