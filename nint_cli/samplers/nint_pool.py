"""NINT on what training leaves behind: no sweep, and no step that grows with the signal."""

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from nint_cli.derivatives.probe import Probe
from nint_cli.samplers.base import (
    UNIFORM,
    Observation,
    Sampler,
    Selection,
    Slot,
    load_indices,
)
from nint_cli.samplers.drawing import UniformDraws, draw_distinct
from nint_cli.samplers.slots import PAPER, Mixture
from nint_cli.schedules.batch_size import BatchPlan

_NTK, _RESIDUAL, _BEGAN = "ntk", "residual", "began"
_ERRORS, _TRAINED = "errors", "trained"

MOST_REMEMBERED = 1 << 24
"""Points of a signal beyond which nothing is remembered, and batches are uniform."""


class NintPool(Sampler):
    """NINT's mixture without its sweeps, in the time of the batch.

    The slots and their sizes are those of `Nint`: floor(B s(t)) points by NTK score, floor(B (1 -
    xi - s(t))) by residual, the rest uniform, t from the first step with guidance. What differs is
    what they are ranked by, and among which points:

    - a slot of k points takes the highest of `pool` k candidates, anew at every step: uniformly
      drawn, or where uniform points come by epochs every s-th point of that random order, see
      `UniformDraws.others`. So the uniform points are drawn first, and the host waits for no
      device;
    - the residual slot ranks by a point's squared error when it last trained times the steps
      since then: what it has been owed for so long weighs more, and what has just trained waits.
      That costs no pass. A point that has not trained yet ranks last;
    - the NTK score is ||J_i m||_2, with m Adam's first moment, a running mean of batch gradients
      and so, up to a factor and the batches' noise, of J^T R. It costs one JVP of the candidates
      every `alpha` steps; they keep their slot in between.

    A signal of more than `MOST_REMEMBERED` points gets uniform batches, for a memory of all their
    errors would outgrow the signal's own.

    Source: the mixture is that of Zhang et al., "NTK-Guided Implicit Neural Teaching", CVPR 2026,
    arXiv 2511.15487; all that is said above is ours.

    Args:
        batch: How many points.
        mixture: How many points each rule chooses, and what they weigh.
        pool: Candidates per point of a slot, at least 1.
        reshuffle: Whether uniform points come once each before any comes again; see
            `UniformDraws`.
    """

    slots: ClassVar[Mapping[str, Slot]] = {
        "ntk": Slot("chosen by NTK score", (213, 94, 0)),
        "residual": Slot("by residual", (86, 180, 233)),
        "uniform": UNIFORM,
    }

    observes: ClassVar[bool] = True
    index_entries: ClassVar[frozenset[str]] = frozenset({_NTK})
    host_entries: ClassVar[frozenset[str]] = UniformDraws.host_entries | {_BEGAN}
    lasting_entries: ClassVar[frozenset[str]] = UniformDraws.host_entries | {_ERRORS, _TRAINED}

    def __init__(
        self,
        batch: BatchPlan,
        mixture: Mixture = PAPER,
        *,
        pool: int = 4,
        reshuffle: bool = False,
    ) -> None:
        self.batch = batch
        self.mixture = mixture
        self.pool = pool
        self._draws = UniformDraws(reshuffle)
        # By point: the squared error when it last trained, -1 before, and the step of that.
        self._errors: Tensor | None = None
        self._trained: Tensor | None = None
        self._known: dict[str, Tensor] = {}
        self._began: int | None = None  # the first step with guidance
        self._population = 0

    def forget(self) -> None:
        """Remember no error and no ranking of the points that were; see `Sampler.forget`."""
        self._errors = self._trained = None
        self._known.pop(_NTK, None)
        self._draws.forget()

    def undo(self, step: int) -> None:
        """Forget the errors of the steps that are undone; see `Sampler.undo`."""
        if self._errors is not None and self._trained is not None:
            self._errors[self._trained >= step] = -1.0

    def select(self, step: int, probe: Probe, generator: torch.Generator) -> Selection:
        """Fill the three slots; see `Sampler.select`."""
        self._population = population = len(probe)
        count = self.batch.count(step, population)
        if self._began is None and step >= self.mixture.start * self.batch.total_steps:
            self._began = step
        blind = population > MOST_REMEMBERED or count == population
        if blind or self._errors is None or self._began is None:
            indices = self._draws.draw(population, count, generator)
            return Selection(indices, slots=(("uniform", count),))
        age = step - self._began
        ntk_count, residual_count = self.mixture.slots(age, count, population)
        if age % self.mixture.alpha == 0 or _NTK not in self._known:
            self._known[_NTK] = self._score(ntk_count, probe, generator)
        ntk = self._known[_NTK][:ntk_count]
        ntk_count = len(ntk)  # of a batch that has grown since there are fewer
        rest = self._draws.draw(
            population,
            count - ntk_count - residual_count,
            generator,
            exclude=ntk if ntk_count else None,
        )
        taken = torch.cat([ntk, rest]) if ntk_count else rest
        residual = self._hardest(step, residual_count, taken, generator)
        sizes = {_NTK: ntk_count, _RESIDUAL: residual_count, "uniform": len(rest)}
        weights = self.mixture.weights(ntk_count + residual_count, count, probe.device)
        return Selection(torch.cat([ntk, residual, rest]), weights, slots=tuple(sizes.items()))

    def _score(self, count: int, probe: Probe, generator: torch.Generator) -> Tensor:
        """Give the candidates with the highest NTK score."""
        if not count:
            return torch.empty(0, dtype=torch.int64, device=probe.device)
        candidates = draw_distinct(
            self._population, min(self._population, self.pool * count), generator
        )
        score = torch.linalg.vector_norm(probe.products_at(candidates), dim=1)
        return candidates[score.topk(count).indices]

    def _hardest(self, step: int, count: int, taken: Tensor, generator: torch.Generator) -> Tensor:
        """Give the candidates that have been owed most for longest."""
        assert self._errors is not None
        assert self._trained is not None
        left = self._population - len(taken)
        candidates = self._draws.others(
            self._population, min(left, self.pool * count), step, generator, taken
        )
        owed = self._errors[candidates] * (step - self._trained[candidates])
        return candidates[owed.topk(count).indices]

    def observe(self, step: int, observation: Observation) -> None:
        """Remember the errors of a batch; see `Sampler.observe`."""
        if self._population > MOST_REMEMBERED:
            return
        indices = observation.selection.indices
        if self._errors is None:
            self._errors = torch.full(
                (self._population,), -1.0, dtype=observation.values.dtype, device=indices.device
            )
        if self._trained is None:
            self._trained = torch.zeros(self._population, dtype=torch.int32, device=indices.device)
        self._errors[indices] = (observation.prediction - observation.values).square().sum(1)
        self._trained[indices] = step

    def state_dict(self) -> dict[str, Tensor]:
        """Give the errors and the ranking in use; see `Sampler.state_dict`."""
        began = None if self._began is None else torch.tensor([self._began])
        remembered = {_ERRORS: self._errors, _TRAINED: self._trained, _BEGAN: began}
        found = {name: each for name, each in remembered.items() if each is not None}
        return self._known | found | self._draws.state_dict()

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore what is remembered; see `Sampler.load_state_dict`."""
        rest = dict(state)
        errors, trained = rest.pop(_ERRORS, None), rest.pop(_TRAINED, None)
        if (errors is None) != (trained is None):
            raise ValueError(f"unexpected sampler state, {_ERRORS} or {_TRAINED} alone")
        if errors is not None and trained is not None:
            known = errors.is_floating_point() and trained.dtype == torch.int32
            if not known or errors.ndim != 1 or errors.shape != trained.shape:
                raise ValueError(f"unexpected sampler state {_ERRORS} {tuple(errors.shape)}")
        self._errors, self._trained = errors, trained
        draws = {name: rest.pop(name) for name in UniformDraws.host_entries if name in rest}
        self._draws.load_state_dict(draws)
        began = rest.pop(_BEGAN, None)
        if began is not None and (began.shape != (1,) or began.dtype != torch.int64):
            raise ValueError(f"unexpected sampler state {_BEGAN} {tuple(began.shape)}")
        self._began = None if began is None else int(began)
        self._known = load_indices(rest, self.index_entries)
