"""NINT on what training leaves behind: no sweep, and no step that grows with the signal."""

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from pydantic import Field as Setting
from torch import Tensor

from nint_cli.derivatives.probe import Probe
from nint_cli.random import Draws
from nint_cli.samplers.base import (
    UNIFORM,
    Observation,
    Sampler,
    Selection,
    SelfLeverage,
    Setup,
    Slot,
)
from nint_cli.samplers.drawing import UniformDraws
from nint_cli.samplers.slots import chosen_weights
from nint_cli.schedules.batch_size import BatchPlan
from nint_cli.settings import WHOLE, Circumstances, Section, Share

_SCORES, _TRAINED, _BEGAN = "scores", "trained", "began"
_RELATIVE, _LEVERAGE = "relative", "leverage"
_RANKED_BY = {
    "diagonal": "squared error x NTK diagonal of points as they train",
    "error": "squared error of points as they train, without the NTK",
}
# The name of the scores in checkpoints that were written when they were errors alone.
_OLD_SCORES = "errors"
_OLD_SLOT = "ntk"

# Steps between those that measure the diagonal: it changes slowly, and to read what a backward
# pass holds once more takes time, too (docs/lab/performance.md).
_MEASURED_EVERY = 4

MOST_REMEMBERED = 1 << 24
"""Points of a signal beyond which nothing is remembered, and batches are uniform."""


class NintDiagonalSettings(Section):
    """Remembered scores: squared error times the kernel's diagonal, without a sweep."""

    score: Literal["diagonal", "error"] = Setting(
        "diagonal",
        description="what is remembered of a point that has trained: its squared error times its "
        "self-leverage, the diagonal of the NTK, relative to its batch's mean; or the error alone",
    )
    xi: Share = Setting(0.5, description="share of a batch that is drawn uniformly")
    pool: int = Setting(8, ge=1, le=1024, description="candidates per chosen point")
    start: float = Setting(
        0.2, ge=0, lt=1, description="share of the run before guidance; until then uniform"
    )
    weight: float = Setting(
        0.8,
        gt=0,
        le=1,
        description="weight of a chosen point in the loss of its batch, where a uniform one has "
        "1; less than 1 takes back a part of what being chosen gives it, for steadier training",
    )
    max_chosen: float = Setting(
        0.05,
        gt=0,
        le=1,
        description="share of the signal that a batch may choose at most; the rest of it is "
        "uniform, even beyond xi",
    )

    def unused(self, around: Circumstances) -> Mapping[str, str]:
        """Return what nothing to choose leaves without effect; see `Section`."""
        if around.whole:
            return dict.fromkeys(type(self).model_fields, WHOLE)
        if self.xi == 1:
            why = "nint_diagonal.xi is 1, so that all points are uniform; lower it"
            return dict.fromkeys(("score", "pool", "start", "weight", "max_chosen"), why)
        if self.pool == 1:
            why = "nint_diagonal.pool is 1, so that there is no choice; raise it"
            return {"score": why}
        return {}


class NintDiagonal(Sampler):
    """NINT by the kernel's diagonal: squared error times self-leverage, as last seen, times age.

    In a batch of B points floor(B (1 - xi)) are chosen and the rest are uniform. A chosen point
    is among the best of `pool` candidates per place, drawn anew at every step: uniformly, or where
    uniform points come by epochs every s-th point of that random order (`UniformDraws.others`).

    Candidates are ranked by score_i (t - t_i): the score of point i when it last trained, at step
    t_i, times the steps since then. What it has been owed for so long weighs more, and what has
    just trained waits. A point that has not trained yet ranks last. The score is

    - ``diagonal``: ||r_i||^2 k_i / k, with r_i the residual, k_i the point's self-leverage, which
      is the mean over channels of the neural tangent kernel's diagonal, and k the batch's mean,
      weighted by the squared errors. k_i says how far a step on this point alone moves its own
      prediction. The backward pass of the training step holds it (`PointNorms`), so it takes no
      pass. Every fourth step measures it; in between k_i / k is what it was when it was last
      measured, and 1 before;
    - ``error``: r_i^T r_i, the ablation without a kernel.

    A signal of more than `MOST_REMEMBERED` points gets uniform batches, and the run says so. A
    memory of all their scores would outgrow the signal's own, and one of the last points that
    trained is worse than none: where a run comes to a tenth of the points, uniform batches end as
    high or higher (docs/lab/performance.md, Signals that a run sees little of).

    Passes: none.

    Source: Zhang, Zuo, Cheng, Wang, Kou, Wu, Wong, "NTK-Guided Implicit Neural Teaching", CVPR
    2026, arXiv 2511.15487, whose second mechanism is self-leverage.

    Differs: the diagonal alone, from the norms of Goodfellow, 2015, arXiv 1510.01799; memory, age
    and candidates are nint's own.

    Args:
        batch: How many points.
        score: ``diagonal`` or ``error``.
        xi: Share of the batch drawn uniformly, in [0, 1].
        pool: Candidates per chosen point, at least 1.
        start: Share of the run before guidance, in [0, 1); earlier batches are uniform.
        weight: Of a chosen point in the loss, in units of a drawn one's, in (0, 1].
        max_chosen: Share of the signal that a batch chooses at most, in (0, 1]. Where batches are
            large against the signal, uniform ones come to every point after a few steps, and what
            is chosen is taken from these visits.
        reshuffle: Whether uniform points come once each before any comes again; see
            `UniformDraws`.
    """

    Settings = NintDiagonalSettings
    slots: ClassVar[Mapping[str, Slot]] = {
        "diagonal": Slot("by error x NTK diagonal", (213, 94, 0)),
        "error": Slot("by remembered error", (86, 180, 233)),
        "uniform": UNIFORM,
    }

    observes: ClassVar[bool] = True
    host_entries: ClassVar[frozenset[str]] = UniformDraws.host_entries | {_BEGAN}
    lasting_entries: ClassVar[frozenset[str]] = UniformDraws.host_entries | {
        _SCORES,
        _TRAINED,
        _RELATIVE,
        _LEVERAGE,
    }

    def __init__(
        self,
        batch: BatchPlan,
        *,
        score: str = "diagonal",
        xi: float = 0.5,
        pool: int = 8,
        start: float = 0.2,
        weight: float = 0.8,
        max_chosen: float = 0.05,
        reshuffle: bool = False,
    ) -> None:
        self.batch = batch
        self.score = score
        self.wants_leveraged_errors = score == "diagonal"
        self.ranked_by = _RANKED_BY[score]
        self.xi = xi
        self.pool = pool
        self.start = start
        self.weight = weight
        self.max_chosen = max_chosen
        self._draws = UniformDraws(reshuffle)
        # By point: the score when it last trained, -1 before, and the step of that.
        self._scores: Tensor | None = None
        self._trained: Tensor | None = None
        self._relative: Tensor | None = None  # k_i / k when it was last measured
        self._began: int | None = None  # the first step with guidance
        self._population = 0
        # Of the last batch, (errors, leveraged errors); of a run that goes on its summary alone.
        self._seen: tuple[Tensor, Tensor] | None = None
        self._leverage: Tensor | None = None

    @classmethod
    def from_settings(cls, settings: NintDiagonalSettings, setup: Setup) -> Sampler:
        """Build it; see `Sampler.from_settings`."""
        return cls(setup.batch, reshuffle=setup.batch.reshuffle, **settings.model_dump())

    def unranked(self, population: int) -> str | None:
        """Return why no point is ranked; see `Sampler.unranked`."""
        if self.xi == 1:
            return "nint_diagonal.xi is 1"
        if population > MOST_REMEMBERED:
            most = f"the signal has more than {MOST_REMEMBERED:,} points"
            return f"{most}, and a run comes back to few of them"
        return super().unranked(population)

    @classmethod
    def depends_on_steps(cls, settings: NintDiagonalSettings) -> Mapping[str, object]:
        """Return the start of guidance; see the base class."""
        return {"nint_diagonal.start": settings.start} if settings.start else {}

    def forget(self) -> None:
        """Remember no score of the points that were; see `Sampler.forget`."""
        self._scores = self._trained = self._relative = None
        self._draws.forget()

    def undo(self, step: int) -> None:
        """Forget the scores of the steps that are undone; see `Sampler.undo`."""
        if self._scores is not None and self._trained is not None:
            self._scores[self._trained >= step] = -1.0

    def select(self, step: int, probe: Probe, draws: Draws) -> Selection:
        """Choose the points that are owed most, and draw the rest; see `Sampler.select`."""
        self._population = population = len(probe)
        self.wants_leveraged_errors = self.score == "diagonal" and step % _MEASURED_EVERY == 0
        count = self.batch.count(step, population)
        if self._began is None and step >= self.start * self.batch.total_steps:
            self._began = step
        blind = population > MOST_REMEMBERED or count == population
        if blind or self._scores is None or self._began is None:
            indices = self._draws.draw(population, count, draws, probe.device)
            return Selection(indices, slots=(("uniform", count),))
        xi = max(self.xi, 1 - self.max_chosen * population / count)
        chosen_count = int(count * (1 - xi) + 1e-9)
        # The uniform points are drawn first, so that the host waits for no device.
        rest = self._draws.draw(population, count - chosen_count, draws, probe.device)
        chosen = self._owed_most(chosen_count, rest, draws)
        slots = ((self.score, chosen_count), ("uniform", len(rest)))
        weights = chosen_weights(self.weight, chosen_count, count, probe.device)
        return Selection(torch.cat([chosen, rest]), weights, slots=slots)

    def _owed_most(self, count: int, taken: Tensor, draws: Draws) -> Tensor:
        """Return the candidates that have been owed most for longest, (count,)."""
        assert self._scores is not None
        assert self._trained is not None
        left = self._population - len(taken)
        wanted = min(left, self.pool * count)
        candidates = self._draws.others(self._population, wanted, draws, taken)
        owed = self._scores[candidates] * (draws.step - self._trained[candidates])
        return candidates[owed.topk(count).indices]

    def observe(self, step: int, observation: Observation) -> None:
        """Remember the scores of a batch; see `Sampler.observe`."""
        if self._population > MOST_REMEMBERED:
            return
        indices = observation.selection.indices
        if self._scores is None:
            self._scores = torch.full(
                (self._population,), -1.0, dtype=observation.values.dtype, device=indices.device
            )
        if self._trained is None:
            self._trained = torch.zeros(self._population, dtype=torch.int32, device=indices.device)
        self._scores[indices] = self._score(observation)
        self._trained[indices] = step

    def _score(self, observation: Observation) -> Tensor:
        """Return the scores of a batch (B,)."""
        errors = (observation.prediction - observation.values).square().sum(1)
        if self.score == "error":
            return errors
        if self._relative is None:
            self._relative = errors.new_ones(self._population)
        indices, leveraged = observation.selection.indices, observation.leveraged_errors
        if leveraged is None:
            return errors * self._relative[indices]
        self._seen = errors, leveraged
        # Where all of them are 0 there is no error, or nothing that moves.
        tiny = torch.finfo(leveraged.dtype).tiny
        scores = leveraged * (errors.sum() / leveraged.sum().clamp(min=tiny))
        self._relative[indices] = torch.where(errors > 0, scores / errors, 1.0)
        return scores

    def self_leverage(self) -> SelfLeverage | None:
        """Return what the last batch said of the diagonal; see `Sampler.self_leverage`."""
        found = self._summary()
        if found is None:
            return None
        mean, variation = found.tolist()
        return SelfLeverage(mean, variation) if mean > 0 else None

    def _summary(self) -> Tensor | None:
        """Compute `SelfLeverage` of the last batch, (2,), without waiting; zeros for no error."""
        if self._seen is None:
            return self._leverage
        errors, leveraged = (each.double() for each in self._seen)
        known = errors > 0
        count = known.sum()
        leverage = torch.where(known, leveraged / errors, 0.0)
        mean = leverage.sum() / count
        variance = torch.where(known, (leverage - mean).square(), 0.0).sum() / count
        found = torch.stack([leveraged.sum() / errors.sum(), variance.sqrt() / mean])
        return found.nan_to_num(0.0)

    def state_dict(self) -> dict[str, Tensor]:
        """Return what is remembered; see `Sampler.state_dict`."""
        began = None if self._began is None else torch.tensor([self._began])
        remembered = {
            _SCORES: self._scores,
            _TRAINED: self._trained,
            _RELATIVE: self._relative,
            _BEGAN: began,
            _LEVERAGE: self._summary(),
        }
        found = {name: each for name, each in remembered.items() if each is not None}
        return found | self._draws.state_dict()

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore what is remembered; see `Sampler.load_state_dict`."""
        rest = dict(state)
        scores, trained = rest.pop(_SCORES, rest.pop(_OLD_SCORES, None)), rest.pop(_TRAINED, None)
        if (scores is None) != (trained is None):
            raise ValueError(f"unexpected sampler state, {_SCORES} or {_TRAINED} alone")
        if scores is not None and trained is not None:
            known = scores.is_floating_point() and trained.dtype == torch.int32
            if not known or scores.ndim != 1 or scores.shape != trained.shape:
                raise ValueError(f"unexpected sampler state {_SCORES} {tuple(scores.shape)}")
        self._scores, self._trained = scores, trained
        self._relative = rest.pop(_RELATIVE, None)
        if self._relative is not None and (
            scores is None
            or self._relative.shape != scores.shape
            or not self._relative.is_floating_point()
        ):
            raise ValueError(f"unexpected sampler state {_RELATIVE}")
        self._seen, self._leverage = None, rest.pop(_LEVERAGE, None)
        if self._leverage is not None and self._leverage.shape != (2,):
            raise ValueError(f"unexpected sampler state {_LEVERAGE} {tuple(self._leverage.shape)}")
        draws = {name: rest.pop(name) for name in UniformDraws.host_entries if name in rest}
        self._draws.load_state_dict(draws)
        began = rest.pop(_BEGAN, None)
        if began is not None and (began.shape != (1,) or began.dtype != torch.int64):
            raise ValueError(f"unexpected sampler state {_BEGAN} {tuple(began.shape)}")
        self._began = None if began is None else int(began)
        # An earlier version wrote this slot even where it was empty.
        if len(rest.pop(_OLD_SLOT, ())):
            raise ValueError("the run had an NTK slot by Adam's first moment, which is gone")
        if rest:
            raise ValueError(f"unexpected sampler state {sorted(rest)}")
