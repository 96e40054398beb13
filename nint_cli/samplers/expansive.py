"""Expansive Supervision: always the edges, and a few others for the rest."""

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from pydantic import Field as Setting
from torch import Tensor

from nint_cli.derivatives.probe import Probe
from nint_cli.random import Draws
from nint_cli.samplers import priors
from nint_cli.samplers.base import UNIFORM, Sampler, Selection, Setup, Slot
from nint_cli.samplers.drawing import draw_distinct
from nint_cli.schedules import laws
from nint_cli.schedules.batch_size import BatchPlan
from nint_cli.settings import Circumstances, Section, Share


class ExpansiveSettings(Section):
    """Expansive Supervision (arXiv 2409.08056)."""

    anchor_share: Share = Setting(
        0.5,
        description="share of the first batch that is the same edges at every step",
    )
    loss: Literal["plain", "expanded"] = Setting(
        "plain", description="mean squared error, or with the paper's factor on all but anchors"
    )
    released: bool = Setting(
        False, description="search edges and fill batches as the released code does"
    )

    def unused(self, around: Circumstances) -> Mapping[str, str]:
        """Return the loss where it has no anchors to part; see `Section.unused`."""
        if self.anchor_share > 0:
            return {}
        return {"loss": "expansive.anchor_share is 0, so that there are no anchors; raise it"}


class Expansive(Sampler):
    """Expansive Supervision: a fixed set of edge points at every step, and random others.

    A batch of B = floor(r_t N) points holds all anchors A (`priors.anchors`), chosen once, and B -
    |A| source points, drawn anew from the others, uniformly and without replacement. A covers
    a = anchor_share r_0 of all points, by the fraction r_0 of the first batch, so its part of a
    growing batch shrinks.

    ``loss`` is ``plain``, the mean squared error of the batch, as in the port that published
    comparisons on pictures used; or ``expanded``, the paper's for radiance fields, MSE(A) + c_t
    MSE(source) with `schedules.expansion`'s c_t, which stands for all that was left out at first.

    Passes: none; choosing the anchors takes some calls of Canny's detector before training starts.

    Source: Zhang, Yao, Xie, Ge, Tang, Wang, "Expansive Supervision for Neural Radiance Fields",
    ICME 2025, arXiv 2409.08056.

    Differs: the port in github.com/zwx-open/EVOS-INR at 3261484 searches Canny's threshold by a
    rule that need not converge, and where edges are scarce its batch stays smaller than the
    budget. Here the threshold is bisected and the batch is filled with source points. `released`
    restores both. The original for radiance fields draws both parts with replacement. Anchors of
    signals that are no pictures are a surrogate of ours, see `priors`.

    Args:
        batch: How many points.
        anchors: (A,) int64, ascending.
        population: N.
        planned: Share a of the points that the anchors were to cover.
        loss: ``plain`` or ``expanded``.
        released: Whether scarce anchors leave the batch short.
    """

    Settings = ExpansiveSettings
    ranked_by = "edges of the signal, once"
    slots: ClassVar[Mapping[str, Slot]] = {
        "anchor": Slot("anchors", (0, 158, 115)),
        "uniform": UNIFORM,
    }
    sized: ClassVar[bool] = False

    def __init__(
        self,
        batch: BatchPlan,
        anchors: Tensor,
        population: int,
        *,
        planned: float,
        loss: str = "plain",
        released: bool = False,
    ) -> None:
        self.batch = batch
        self.anchors = anchors
        self.planned = planned
        self.loss = loss
        self.released = released
        others = torch.ones(population, dtype=torch.bool, device=anchors.device)
        others[anchors] = False
        self.others = others.nonzero().flatten()

    def unranked(self, population: int) -> str | None:
        """Return why no point is ranked; see `Sampler.unranked`."""
        if self.planned == 0:
            return "expansive.anchor_share is 0"
        return super().unranked(population)

    @property
    def needs_fixed_points(self) -> bool:
        """True: its anchors are points."""
        return True

    @classmethod
    def from_settings(cls, settings: ExpansiveSettings, setup: Setup) -> "Expansive":
        """Build it with the signal's anchors; see `Sampler.from_settings`."""
        signal, batch = setup.signal, setup.batch
        planned = settings.anchor_share * batch.share(0, len(signal))
        if signal.on_grid:
            stream = Draws(setup.seed).stream("anchors")
            anchors = priors.anchors(
                priors.grey_of(signal),
                planned,
                stream,
                released=settings.released,
                among=signal.among,
            )
        else:
            anchors = priors.nearest(signal.blocks(1 << 18), len(signal), planned)
        return cls(
            batch,
            anchors.to(signal.device),
            len(signal),
            planned=planned,
            loss=settings.loss,
            released=settings.released,
        )

    @classmethod
    def depends_on_steps(cls, settings: ExpansiveSettings) -> Mapping[str, object]:
        """Return the loss if its factor follows the run; see the base class."""
        return {"expansive.loss": settings.loss} if settings.loss == "expanded" else {}

    def select(self, step: int, probe: Probe, draws: Draws) -> Selection:
        """Join the anchors with random others; see `Sampler.select`."""
        population = len(probe)
        if self.released:
            share = self.batch.share(step, population) - self.planned
            least = 1 - len(self.anchors)  # for a batch of nothing trains nothing
            wanted = min(max(int(share * population), least), len(self.others))
        else:
            wanted = self.batch.count(step, population) - len(self.anchors)
        places = draw_distinct(len(self.others), wanted, draws.stream("source"), probe.device)
        source = self.others[places]
        weights = self._weights(step, len(source)) if self.loss == "expanded" else None
        return Selection(
            torch.cat([self.anchors, source]),
            weights,
            slots=(("anchor", len(self.anchors)), ("uniform", len(source))),
        )

    def _weights(self, step: int, source: int) -> Tensor | None:
        """Turn the mean over the batch into MSE(A) + c_t MSE(source)."""
        anchors = len(self.anchors)
        if not anchors or not source:
            return None
        area = anchors / (anchors + len(self.others))
        factor = laws.expansion(area, step, self.batch.total_steps)
        count = anchors + source
        weights = self.anchors.new_ones(count, dtype=torch.get_default_dtype())
        weights[:anchors] = count / anchors
        weights[anchors:] = factor * count / source
        return weights
