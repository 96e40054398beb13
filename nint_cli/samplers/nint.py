"""NINT: points whose training moves the whole function."""

import math
from collections.abc import Mapping
from dataclasses import fields
from typing import ClassVar, Literal

import torch
from pydantic import Field as Setting
from torch import Tensor

from nint_cli.derivatives.probe import Probe, ScoredBlocks
from nint_cli.random import Draws
from nint_cli.samplers.base import UNIFORM, Sampler, Selection, Setup, Slot, load_indices
from nint_cli.samplers.drawing import UniformDraws
from nint_cli.samplers.int import residual_score
from nint_cli.samplers.slots import PAPER, Mixture, chosen_weights
from nint_cli.samplers.topk import TopK
from nint_cli.schedules import laws
from nint_cli.schedules.batch_size import BatchPlan
from nint_cli.settings import WHOLE, Circumstances, Section, Share

_NTK, _RESIDUAL = "ntk", "residual"
# A whole selection, kept where it serves several steps, and the sizes of its slots.
_SELECTED, _SIZES = "selected", "sizes"
# The step in which guidance began, where time decides.
_BEGAN = "began"
# There where the points have changed since the rankings were made.
_VOID = "void"
_NEVER = 1 << 62
_SCORED = {
    "product": "||K error||",
    "self_leverage": "||K(x, x) error||",
    "residual": "||error||",
    "last_layer": "||K error|| of the last layer",
    "sketch": "||K error|| by random projections",
}
_SLOTS = (_NTK, _RESIDUAL, "uniform")


class NintSettings(Section):
    """NINT's mixture (arXiv 2511.15487); also read by nint_released."""

    xi: Share = Setting(0.7, description="share of a batch that is drawn uniformly")
    alpha: int = Setting(
        10,
        ge=1,
        le=100_000,
        description="steps between NTK scorings, and time constant of the NTK share",
    )
    lambda_: float = Setting(
        1.0, ge=0, le=1e6, alias="lambda", description="decay of the NTK share per alpha steps"
    )
    share_law: Literal["exponential", "stepwise"] = Setting(
        "exponential", description="NTK share over time: the paper's, or the released code's"
    )
    min_share: Share = Setting(
        1e-3, description="below this NTK share no scoring pass runs and the slot is empty"
    )
    residual_every: int = Setting(
        1, ge=1, le=100_000, description="steps between sweeps that refresh the residual slot"
    )
    start: float = Setting(
        0.0, ge=0, lt=1, description="share of the steps before guidance; until then uniform"
    )
    weight: float = Setting(
        1.0,
        gt=0,
        le=1,
        description="weight of a chosen point in the loss of its batch, where a uniform one has "
        "1; less than 1 takes back a part of what being chosen gives it, for steadier training",
    )
    max_chosen: float = Setting(
        1.0,
        gt=0,
        le=1,
        description="share of the signal that a batch may choose at most; the rest of it is "
        "uniform, even beyond xi",
    )
    score: Literal["product", "self_leverage", "residual", "last_layer", "sketch"] = Setting(
        "product",
        description="what the NTK slot ranks by: the product with the residual, or of the kernel "
        "only its diagonal, nothing, its last layer, or random projections",
    )
    gradient: Literal["full", "moment"] = Setting(
        "full",
        description="what a score of the product takes for the loss gradient: a VJP sweep, or "
        "Adam's first moment, which saves it",
    )
    score_norm: Literal["l2", "l1"] = Setting("l2", description="norm of that over the channels")
    sketches: int = Setting(4, ge=1, le=4096, description="random projections of score sketch")
    interval: Literal["dense", "dense2", "incremental", "reverse_incremental", "decremental"] = (
        Setting("dense", description="which steps choose points anew; the others keep them")
    )
    every: int = Setting(5, ge=1, le=100_000, description="steps between refreshes under dense2")

    def unused(self, around: Circumstances) -> Mapping[str, str]:
        """Return what empty slots, the score and the interval do not read; see `Section`."""
        if around.whole:
            return dict.fromkeys(self.model_dump(), WHOLE)
        if around.sampler == "nint_released":  # whose other slot feels the share all the same
            uniform = "nint.xi is 1, so that all points are uniform; lower it"
            return dict.fromkeys(("alpha", "lambda", "min_share"), uniform) if self.xi == 1 else {}
        found = self._unread_scores()
        if self.interval != "dense2":
            found["every"] = f"nint.interval is {self.interval}; dense2 reads it"
        return found | self._empty_slots()

    def _unread_scores(self) -> dict[str, str]:
        """Return why settings of scores that are not in use have no effect."""
        found: dict[str, str] = {}
        if self.score != "product":
            found["gradient"] = f"nint.score is {self.score}; product reads it"
        if self.score != "sketch":
            found["sketches"] = f"nint.score is {self.score}; sketch reads it"
        return found

    def _empty_slots(self) -> dict[str, str]:
        """Return why settings of slots that are always empty have no effect."""
        scoring = ("alpha", "score", "gradient", "score_norm", "sketches")
        if self.xi == 1:
            why = "nint.xi is 1, so that all points are uniform; lower it"
            own = ("lambda", "share_law", "min_share", "residual_every", "weight", "max_chosen")
            start = ("start",) if self.interval == "dense" else ()
            return dict.fromkeys((*scoring, *own, *start), why)
        if 1 - self.xi < self.min_share:
            why = f"nint.min_share {self.min_share:g} leaves the NTK slot empty; lower it"
            return dict.fromkeys((*scoring, "lambda", "share_law"), why)
        first = 1 - self.xi
        if self.share_law == "stepwise":
            first *= math.exp(-self.lambda_)
        if first < self.min_share:
            why = f"the NTK slot starts at {first:.2g}, below nint.min_share; lower nint.lambda"
            return dict.fromkeys(scoring, why)
        if self.lambda_ == 0:
            return {
                "residual_every": "nint.lambda is 0, so that no point is chosen by residual; "
                "raise it",
                "share_law": "nint.lambda is 0, so that the share is constant; raise it",
            }
        return {}


class Nint(Sampler):
    """NINT as its paper defines it: random points, the largest NTK scores, the largest residuals.

    score_i = ||K(x_i, :) g||_2, the norm over channels of row i of J (J^T R), with R = prediction
    - values; g differs from R by a constant factor, which no ranking feels. A batch of B points
    holds, without repetition,

    - floor(B s(t)) points with the largest score, s(t) = (1 - xi) exp(-lambda t / alpha), chosen
      from scores that are recomputed every alpha steps and reused in between;
    - floor(B (1 - xi - s(t))) others with the largest residual, by its L1 norm over channels;
    - uniformly random others for the rest: a share of xi, and what rounding leaves.

    Once s(t) falls below `min_share` the first slot is empty and no scoring pass runs; with the
    paper's values the last one runs at t = 50. With an NTK share of 0 and xi = 0 this is `Int`,
    with xi = 1 it is `Uniform`.

    Passes: one forward per step; in place of it one VJP and one JVP every alpha steps, until the
    NTK share is spent.

    For ablations, ``score`` names what is ranked instead, per channel: ``product``, the above;
    ``self_leverage``, K(x_i, x_i) R_i alone, the kernel's diagonal; ``residual``, R_i, without a
    kernel; ``last_layer``, the product with the kernel of the last layer's parameters;
    ``sketch``, an unbiased estimate of the product from random projections of J.

    Under an ``interval`` other than ``dense``, most steps train again on the points of the last
    refresh (`schedules.refreshes`), random ones included, and ask for nothing. t counts steps
    since guidance began, whether they refresh or not, and scores are due at the first refresh
    after another alpha of them.

    Source: Zhang, Zuo, Cheng, Wang, Kou, Wu, Wong, "NTK-Guided Implicit Neural Teaching", CVPR
    2026, arXiv 2511.15487.

    Differs: the released code ranks by another score and starts from a smaller share; that is
    `NintReleased`. Its u counts refreshes, so that alpha stretches with the interval. `start` and
    `residual_every` are ours; at 0 and 1 they change nothing.

    Args:
        batch: How many points.
        mixture: How many points each rule chooses, and what they weigh.
        residual_every: Steps between sweeps that refresh the ranking by residual.
        score: What the first slot ranks by.
        score_norm: Its norm over channels, ``l2`` or ``l1``.
        sketches: Random projections of ``sketch``.
        gradient: What ``product`` takes for J^T R: ``full``, by a VJP sweep; or ``moment``, Adam's
            first moment, which costs nothing; ours.
        interval: Refresh strategy of the whole selection.
        every: Interval of its ``dense2`` in steps.
        reshuffle: Whether uniform points come once each before any comes again; see
            `UniformDraws`.
    """

    Settings = NintSettings
    slots: ClassVar[Mapping[str, Slot]] = {
        "ntk": Slot("chosen by NTK score", (213, 94, 0)),
        "residual": Slot("by residual", (86, 180, 233)),
        "uniform": UNIFORM,
    }

    index_entries: ClassVar[frozenset[str]] = frozenset({_NTK, _RESIDUAL, _SELECTED})
    host_entries: ClassVar[frozenset[str]] = UniformDraws.host_entries | {_SIZES, _BEGAN, _VOID}
    lasting_entries: ClassVar[frozenset[str]] = UniformDraws.host_entries

    def __init__(
        self,
        batch: BatchPlan,
        mixture: Mixture = PAPER,
        *,
        residual_every: int = 1,
        score: str = "product",
        score_norm: str = "l2",
        sketches: int = 4,
        gradient: str = "full",
        interval: str = "dense",
        every: int = 5,
        reshuffle: bool = False,
    ) -> None:
        self.batch = batch
        self.mixture = mixture
        self.residual_every = residual_every
        self.score = score
        self.score_norm = score_norm
        self.sketches = sketches
        self.gradient = gradient
        self.interval = interval
        self.every = every
        self.ranked_by = (
            f"{_SCORED.get(score, score)} and |error| of all points"
            if mixture.ntk_share(0)
            else "|error| of all points, without the NTK: nint.min_share leaves it no share"
        )
        self._draws = UniformDraws(reshuffle)
        self._ranked: dict[str, Tensor] = {}

    def unranked(self, population: int) -> str | None:
        """Return why no point is ranked; see `Sampler.unranked`."""
        return "nint.xi is 1" if self.mixture.xi == 1 else super().unranked(population)

    @property
    def needs_fixed_points(self) -> bool:
        """Whether a selection is kept between refreshes."""
        return self.interval != "dense"

    def forget(self) -> None:
        """Rank anew at the next step; see `Sampler.forget`."""
        self._ranked = {key: kept for key, kept in self._ranked.items() if key == _BEGAN}
        self._ranked[_VOID] = torch.tensor([1])
        self._draws.forget()

    @classmethod
    def from_settings(cls, settings: NintSettings, setup: Setup) -> Sampler:
        """Build it; see `Sampler.from_settings`."""
        mixture = Mixture(**{each.name: getattr(settings, each.name) for each in fields(Mixture)})
        own = {each.name for each in fields(Mixture)}
        rest = settings.model_dump(by_alias=False, exclude=own)
        return cls(setup.batch, mixture, reshuffle=setup.batch.reshuffle, **rest)

    @classmethod
    def depends_on_steps(cls, settings: NintSettings) -> Mapping[str, object]:
        """Return the start of guidance, and phases of the run; see the base class."""
        found: dict[str, object] = {"nint.start": settings.start} if settings.start else {}
        if settings.interval in laws.PHASED_INTERVALS:
            found["nint.interval"] = settings.interval
        return found

    def select(self, step: int, probe: Probe, draws: Draws) -> Selection:
        """Fill the three slots, or keep them as they are; see `Sampler.select`."""
        population = len(probe)
        count = self.batch.count(step, population)
        if _BEGAN not in self._ranked and step >= self._planned:
            began = step if self.batch.timed else self._planned
            self._ranked[_BEGAN] = torch.tensor([began])
        if step < self._begins or (count == population and self._refreshes(step)):
            indices = self._draws.draw(population, count, draws, probe.device)
            return self._remembered(Selection(indices, slots=(("uniform", count),)), step)
        if not self._refreshes(step):
            kept = tuple(zip(_SLOTS, self._ranked[_SIZES].tolist(), strict=True))
            return self._weighed(self._ranked[_SELECTED].clone(), kept)
        self._refresh(step, probe, draws)
        ntk_count, residual_count = self._slots(step, population)
        empty = torch.empty(0, dtype=torch.int64, device=probe.device)
        ntk = self._ranked.get(_NTK, empty)[:ntk_count]
        hard = self._ranked.get(_RESIDUAL, empty)
        residual = hard[torch.isin(hard, ntk, invert=True)][:residual_count]
        guided = torch.cat([ntk, residual])
        left = count - len(guided)
        rest = self._draws.draw(population, left, draws, probe.device, exclude=guided)
        sizes = (len(ntk), len(residual), len(rest))
        slots = tuple(zip(_SLOTS, sizes, strict=True))
        return self._remembered(self._weighed(torch.cat([guided, rest]), slots), step)

    def _weighed(self, indices: Tensor, slots: tuple[tuple[str, int], ...]) -> Selection:
        count, drawn = len(indices), slots[-1][1]
        weights = chosen_weights(self.mixture.weight, count - drawn, count, indices.device)
        return Selection(indices, weights, slots=slots)

    @property
    def _planned(self) -> float:
        """The first step with guidance, as it looks now."""
        planned = self.mixture.start * self.batch.total_steps
        return planned if self.batch.timed else round(planned)

    @property
    def _begins(self) -> int:
        """The first step with guidance; later than any where that is not yet over."""
        began = self._ranked.get(_BEGAN)
        return _NEVER if began is None else int(began)

    def _refreshes(self, step: int) -> bool:
        """Whether the selection is made anew at a step."""
        begins = self._begins
        return step < begins or laws.refreshes(
            self.interval, step - begins, self.batch.total_steps - begins, every=self.every
        )

    def _remembered(self, selection: Selection, step: int) -> Selection:
        if self.interval != "dense" and step >= self._begins:
            sizes = dict(selection.slots)
            self._ranked[_SELECTED] = selection.indices.clone()
            self._ranked[_SIZES] = torch.tensor([sizes.get(slot, 0) for slot in _SLOTS])
        return selection

    def _slots(self, step: int, population: int) -> tuple[int, int]:
        """Give the number of points chosen by NTK score and by residual."""
        count = self.batch.count(step, population)
        return self.mixture.slots(step - self._begins, count, population)

    def _refresh(self, step: int, probe: Probe, draws: Draws) -> None:
        """Recompute the rankings that are due, each as long as any step until its next needs."""
        population, void = len(probe), self._ranked.pop(_VOID, None) is not None
        wanted = {
            slot: self._most(slot, step, every, population)
            for slot, every in ((_NTK, self.mixture.alpha), (_RESIDUAL, self.residual_every))
            if void or self._due(step, every)
        }
        for slot in wanted:
            self._ranked.pop(slot, None)
        # Points that the NTK slot takes first must not leave the residual slot short.
        spare = wanted.get(_NTK, len(self._ranked.get(_NTK, ())))
        rankings = {
            slot: TopK(count + spare * (slot == _RESIDUAL), probe.device)
            for slot, count in wanted.items()
            if count
        }
        if not rankings:
            return
        if _NTK in rankings:
            for start, scores, residual in self._scored_blocks(probe, draws):
                rankings[_NTK].add(start, self._norm(scores))
                if _RESIDUAL in rankings:
                    rankings[_RESIDUAL].add(start, residual_score(residual))
        else:
            for start, residual in probe.residual_blocks():
                rankings[_RESIDUAL].add(start, residual_score(residual))
        self._ranked |= {slot: ranking.indices() for slot, ranking in rankings.items()}

    def _scored_blocks(self, probe: Probe, draws: Draws) -> ScoredBlocks:
        """Compute what the first slot ranks, by channel, and the residual."""
        match self.score:
            case "product":
                return probe.product_blocks(by_moment=self.gradient == "moment")
            case "self_leverage":
                return probe.self_leverage_blocks()
            case "residual":
                return probe.residual_score_blocks()
            case "last_layer":
                return probe.last_layer_blocks()
            case "sketch":
                return probe.sketched_blocks(draws.stream("sketches"), self.sketches)
        raise ValueError(f"unknown NTK score {self.score!r}")

    def _norm(self, scores: Tensor) -> Tensor:
        if self.score_norm == "l1":
            return scores.abs().sum(dim=1)
        norm: Tensor = torch.linalg.vector_norm(scores, dim=1)
        return norm

    def _due(self, step: int, every: int) -> bool:
        """Whether a step refreshes and another `every` steps have passed since the last refresh.

        Under ``dense`` this is every `every` steps.
        """
        if not self._refreshes(step):
            return False
        begins, last = self._begins, step - 1
        while last >= begins and not self._refreshes(last):
            last -= 1
        return last < begins or (step - begins) // every > (last - begins) // every

    def _most(self, slot: str, step: int, every: int, population: int) -> int:
        """Give the largest size of a slot from a step until the ranking is due again."""
        part = 0 if slot == _NTK else 1
        most, later = self._slots(step, population)[part], step + 1
        # Beyond the last step, too, for a run may be made longer; phases are shares of a run.
        phased = self.interval not in ("dense", "dense2")
        while not (phased and later >= self.batch.total_steps) and not self._due(later, every):
            most = max(most, self._slots(later, population)[part])
            later += 1
        return most

    def state_dict(self) -> dict[str, Tensor]:
        """Give the rankings and the selection in use; see `Sampler.state_dict`."""
        return self._ranked | self._draws.state_dict()

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore the rankings; see `Sampler.load_state_dict`."""
        draws = {key: each for key, each in state.items() if key in UniformDraws.host_entries}
        self._draws.load_state_dict(draws)
        ranked = {key: each for key, each in state.items() if key not in draws}
        self._ranked = load_indices(ranked, self.index_entries | self.host_entries)
