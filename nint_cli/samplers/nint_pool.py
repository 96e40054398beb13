"""NINT on what training leaves behind: no sweep, and no step that grows with the signal."""

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from nint_cli import schedules
from nint_cli.probe import Probe
from nint_cli.samplers.base import BatchPlan, Observation, Sampler, Selection, load_indices
from nint_cli.samplers.draw import draw_distinct
from nint_cli.samplers.int import residual_score

_NTK, _RESIDUAL, _BEGAN, _ERRORS = "ntk", "residual", "began", "errors"

MOST_REMEMBERED = 1 << 24
"""Points of a signal beyond which nothing is remembered, and batches are uniform."""


class NintPool(Sampler):
    """NINT's mixture without its sweeps, in the time of the batch.

    The slots and their sizes are those of `Nint`: floor(B s(t)) points by NTK score, floor(B (1 -
    xi - s(t))) by residual, the rest uniform, t from the first step with guidance. What differs is
    what they are ranked by, and among which points:

    - a slot of k points takes the highest of `pool` k candidates, drawn anew and uniformly;
    - the residual of a point is the one that it had when it last trained, its L1 norm over
      channels; it costs no pass, and is N / B steps old on average. A point that has not trained
      yet ranks last;
    - the NTK score is ||J_i m||_2, with m Adam's first moment, a running mean of batch gradients
      and so, up to a factor and the batches' noise, of J^T R. It costs one JVP of the candidates
      every `alpha` steps; they keep their slot in between.

    A signal of more than `MOST_REMEMBERED` points gets uniform batches, for a memory of all their
    errors would outgrow the signal's own.

    Source: the mixture is that of Zhang et al., "NTK-Guided Implicit Neural Teaching", CVPR 2026,
    arXiv 2511.15487; all that is said above is ours.

    Args:
        batch: How many points.
        xi: Share of the batch drawn uniformly, in [0, 1].
        alpha: Steps between NTK scorings, and time constant of the NTK share.
        lambda_: Decay of the NTK share per alpha steps.
        share_law: See `schedules.ntk_share`.
        min_share: NTK share below which its slot is empty.
        start: Share of the run before guidance; until then batches are uniform.
        pool: Candidates per point of a slot, at least 1.
    """

    observes: ClassVar[bool] = True
    index_entries: ClassVar[frozenset[str]] = frozenset({_NTK})
    host_entries: ClassVar[frozenset[str]] = frozenset({_BEGAN})

    def __init__(
        self,
        batch: BatchPlan,
        *,
        xi: float = 0.7,
        alpha: int = 10,
        lambda_: float = 1.0,
        share_law: str = "exponential",
        min_share: float = 1e-3,
        start: float = 0.0,
        pool: int = 4,
    ) -> None:
        self.batch = batch
        self.xi = xi
        self.alpha = alpha
        self.lambda_ = lambda_
        self.share_law = share_law
        self.min_share = min_share
        self.start = start
        self.pool = pool
        self._errors: Tensor | None = None
        self._known: dict[str, Tensor] = {}
        self._population = 0

    def forget(self) -> None:
        """Remember no error and no ranking of the points that were; see `Sampler.forget`."""
        self._errors = None
        self._known.pop(_NTK, None)

    def select(self, step: int, probe: Probe, generator: torch.Generator) -> Selection:
        """Fill the three slots; see `Sampler.select`."""
        self._population = population = len(probe)
        count = self.batch.count(step, population)
        if _BEGAN not in self._known and step >= self.start * self.batch.total_steps:
            self._known[_BEGAN] = torch.tensor([step])
        blind = population > MOST_REMEMBERED or count == population
        if blind or self._errors is None or _BEGAN not in self._known:
            indices = draw_distinct(population, count, generator)
            return Selection(indices, slots=(("uniform", count),))
        age = step - int(self._known[_BEGAN])
        share = self._share(age)
        ntk_count = int(count * share)
        residual_count = int(count * (1 - self.xi - share) + 1e-9)
        if age % self.alpha == 0 or _NTK not in self._known:
            self._known[_NTK] = self._score(ntk_count, probe, generator)
        ntk = self._known[_NTK][:ntk_count]
        residual = self._hardest(residual_count, ntk, generator)
        guided = torch.cat([ntk, residual])
        rest = draw_distinct(population, count - len(guided), generator, exclude=guided)
        sizes = {_NTK: len(ntk), _RESIDUAL: len(residual), "uniform": len(rest)}
        return Selection(torch.cat([guided, rest]), slots=tuple(sizes.items()))

    def _share(self, age: int) -> float:
        share = schedules.ntk_share(
            self.share_law, age, xi=self.xi, alpha=self.alpha, lambda_=self.lambda_
        )
        return share if share >= self.min_share else 0.0

    def _score(self, count: int, probe: Probe, generator: torch.Generator) -> Tensor:
        """Give the candidates with the highest NTK score."""
        if not count:
            return torch.empty(0, dtype=torch.int64, device=probe.device)
        candidates = draw_distinct(
            self._population, min(self._population, self.pool * count), generator
        )
        score = torch.linalg.vector_norm(probe.estimated_product(candidates), dim=1)
        return candidates[score.topk(count).indices]

    def _hardest(self, count: int, taken: Tensor, generator: torch.Generator) -> Tensor:
        """Give the candidates with the largest error that is remembered."""
        assert self._errors is not None
        left = self._population - len(taken)
        candidates = draw_distinct(
            self._population, min(left, self.pool * count), generator, exclude=taken
        )
        return candidates[self._errors[candidates].topk(count).indices]

    def observe(self, step: int, observation: Observation) -> None:
        """Remember the errors of a batch; see `Sampler.observe`."""
        if self._population > MOST_REMEMBERED:
            return
        indices = observation.selection.indices
        if self._errors is None:
            self._errors = torch.full(
                (self._population,), -1.0, dtype=observation.values.dtype, device=indices.device
            )
        self._errors[indices] = residual_score(observation.prediction - observation.values)

    def state_dict(self) -> dict[str, Tensor]:
        """Give the errors and the ranking in use; see `Sampler.state_dict`."""
        errors = {} if self._errors is None else {_ERRORS: self._errors}
        return self._known | errors

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore what is remembered; see `Sampler.load_state_dict`."""
        rest = dict(state)
        errors = rest.pop(_ERRORS, None)
        if errors is not None and (not errors.is_floating_point() or errors.ndim != 1):
            raise ValueError(f"unexpected sampler state {_ERRORS} {tuple(errors.shape)}")
        self._errors = errors
        self._known = load_indices(rest, self.index_entries | self.host_entries)
