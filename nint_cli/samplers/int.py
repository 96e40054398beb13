"""INT: the points with the largest residual."""

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from pydantic import Field as Setting
from torch import Tensor

from nint_cli.derivatives.probe import Probe
from nint_cli.random import Draws
from nint_cli.samplers.base import Sampler, Selection, Slot, load_indices
from nint_cli.samplers.topk import TopK
from nint_cli.schedules import laws
from nint_cli.schedules.batch_size import BatchPlan
from nint_cli.settings import WHOLE, Circumstances, Section

_SELECTED = "selected"


class IntSettings(Section):
    """INT's refresh intervals (arXiv 2405.10531)."""

    interval: Literal["dense", "dense2", "incremental", "reverse_incremental", "decremental"] = (
        Setting("dense", description="which steps choose points anew; the others keep them")
    )
    every: int = Setting(2, ge=1, le=100_000, description="steps between refreshes under dense2")

    def unused(self, around: Circumstances) -> Mapping[str, str]:
        """Return the interval's length where nothing reads it; see `Section.unused`."""
        if around.whole:
            return {"interval": WHOLE, "every": WHOLE}
        if self.interval == "dense2":
            return {}
        return {"every": f"int.interval is {self.interval}; dense2 reads it"}


class Int(Sampler):
    """Implicit Neural Teaching: the points with the largest residual.

    score_i = sum_c |prediction_ic - values_ic|; the B largest train. They are chosen anew at the
    steps of ``interval`` (`schedules.refreshes`), and in between the same points train again, as
    many as there were: a growing batch grows at refreshes only.

    "INT (dense)" in the literature is ``dense``, the default here and what NINT's comparison most
    likely used; "INT (incre.)" is ``incremental``, which together with a batch fraction that
    grows by steps is the setting of INT's own results.

    Passes: one forward per refresh, which is every step under ``dense``.

    ``dense2`` makes that 1 / every per step, ``incremental`` 0.284 on average,
    ``reverse_incremental`` 0.128 and ``decremental`` 0.431.

    Source: Zhang, Luo, Li, Wu, Wong, "Nonparametric Teaching of Implicit Neural
    Representations", ICML 2024, arXiv 2405.10531.

    Differs: as in its released code (github.com/stevolopolis/nmt_inr at 6c311bc) the norm over
    channels is L1; the paper's formula has L2, which ranks alike for one channel. A batch of all
    points is not ranked first. Under redrawn points the released code trains on those of the last
    refresh; here the points are fixed.

    Args:
        batch: How many points.
        interval: Refresh strategy.
        every: Interval of ``dense2`` in steps.
    """

    Settings = IntSettings
    ranked_by = "|error| of all points"
    slots: ClassVar[Mapping[str, Slot]] = {"residual": Slot("by residual", (86, 180, 233))}

    index_entries: ClassVar[frozenset[str]] = frozenset({_SELECTED})

    def __init__(self, batch: BatchPlan, *, interval: str = "dense", every: int = 2) -> None:
        self.batch = batch
        self.interval = interval
        self.every = every
        self._kept: dict[str, Tensor] = {}

    @property
    def needs_fixed_points(self) -> bool:
        """Whether points are kept between refreshes."""
        return self.interval != "dense"

    @classmethod
    def depends_on_steps(cls, settings: IntSettings) -> Mapping[str, object]:
        """Return the interval if its phases are shares of the run; see the base class."""
        phased = settings.interval in laws.PHASED_INTERVALS
        return {"int.interval": settings.interval} if phased else {}

    def select(self, step: int, probe: Probe, draws: Draws) -> Selection:
        """Choose the points with the largest residual; see `Sampler.select`."""
        total = self.batch.total_steps
        if laws.refreshes(self.interval, step, total, every=self.every):
            indices = self._hardest(self.batch.count(step, len(probe)), probe)
            if self.interval != "dense":
                self._kept = {_SELECTED: indices.clone()}
        else:
            indices = self._kept[_SELECTED].clone()
        return Selection(indices, slots=(("residual", len(indices)),))

    def _hardest(self, count: int, probe: Probe) -> Tensor:
        if count == len(probe):
            return torch.arange(count, device=probe.device)
        hardest = TopK(count, probe.device)
        for start, residual in probe.residual_blocks():
            hardest.add(start, residual_score(residual))
        return hardest.indices()

    def state_dict(self) -> dict[str, Tensor]:
        """Give the points in use; see `Sampler.state_dict`."""
        return dict(self._kept)

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore the points; see `Sampler.load_state_dict`."""
        self._kept = load_indices(state, self.index_entries)


def residual_score(residual: Tensor) -> Tensor:
    """Rank points by their residual.

    Args:
        residual: (N, C).

    Returns:
        sum_c |residual_ic|, (N,).
    """
    return residual.abs().sum(dim=1)
