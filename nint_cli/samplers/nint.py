"""NINT: points whose training moves the whole function."""

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from nint_cli import schedules
from nint_cli.probe import Probe
from nint_cli.samplers.base import BatchPlan, Sampler, Selection, load_indices
from nint_cli.samplers.draw import draw_distinct
from nint_cli.samplers.int import residual_score

_NTK, _RESIDUAL = "ntk", "residual"


class Nint(Sampler):
    """NTK-Guided Implicit Neural Teaching, as the paper defines it.

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

    A scoring step asks for one VJP and one JVP sweep over N, which yield the residual too; a
    step that refreshes only the residual, for one forward sweep.

    Source: Zhang, Zuo, Cheng, Wang, Kou, Wu, Wong, "NTK-Guided Implicit Neural Teaching", CVPR
    2026, arXiv 2511.15487.

    Differs: the released code ranks by another score and starts from a smaller share; that is
    `NintReleased`. `start` and `residual_every` are ours; at 0 and 1 they change nothing.

    Args:
        batch: How many points.
        xi: Share of the batch drawn uniformly, in [0, 1].
        alpha: Refresh interval of the NTK scores in steps, and time constant of their share.
        lambda_: Decay of the NTK share per alpha steps.
        share_law: See `schedules.ntk_share`.
        min_share: NTK share below which its slot is empty.
        residual_every: Steps between sweeps that refresh the ranking by residual.
        start: First step with guidance; t counts from here, and earlier batches are uniform.
    """

    index_entries: ClassVar[frozenset[str]] = frozenset({_NTK, _RESIDUAL})

    def __init__(
        self,
        batch: BatchPlan,
        *,
        xi: float = 0.7,
        alpha: int = 10,
        lambda_: float = 1.0,
        share_law: str = "exponential",
        min_share: float = 1e-3,
        residual_every: int = 1,
        start: int = 0,
    ) -> None:
        self.batch = batch
        self.xi = xi
        self.alpha = alpha
        self.lambda_ = lambda_
        self.share_law = share_law
        self.min_share = min_share
        self.residual_every = residual_every
        self.start = start
        self._ranked: dict[str, Tensor] = {}

    def select(self, step: int, probe: Probe, generator: torch.Generator) -> Selection:
        """Fill the three slots; see `Sampler.select`."""
        population = len(probe)
        count = self.batch.count(step, population)
        if step < self.start or count == population:
            indices = draw_distinct(population, count, generator)
            return Selection(indices, slots=(("uniform", count),))
        self._refresh(step, probe)
        ntk_count, residual_count = self._slots(step, population)
        empty = torch.empty(0, dtype=torch.int64, device=probe.device)
        ntk = self._ranked.get(_NTK, empty)[:ntk_count]
        hard = self._ranked.get(_RESIDUAL, empty)
        residual = hard[torch.isin(hard, ntk, invert=True)][:residual_count]
        guided = torch.cat([ntk, residual])
        rest = draw_distinct(population, count - len(guided), generator, exclude=guided)
        return Selection(
            torch.cat([guided, rest]),
            slots=(("ntk", len(ntk)), ("residual", len(residual)), ("uniform", len(rest))),
        )

    def _share(self, step: int) -> float:
        share = schedules.ntk_share(
            self.share_law, step - self.start, xi=self.xi, alpha=self.alpha, lambda_=self.lambda_
        )
        return share if share >= self.min_share else 0.0

    def _slots(self, step: int, population: int) -> tuple[int, int]:
        """Give the number of points chosen by NTK score and by residual."""
        count = self.batch.count(step, population)
        share = self._share(step)
        return int(count * share), int(count * (1 - self.xi - share) + 1e-9)

    def _refresh(self, step: int, probe: Probe) -> None:
        """Recompute the rankings that are due, each as long as any step until its next needs."""
        population = len(probe)
        age = step - self.start
        if age % self.alpha == 0:
            wanted = self._most(_NTK, step, self.alpha, population)
            if wanted:
                score = torch.linalg.vector_norm(probe.ntk_product(), dim=1)
                self._ranked[_NTK] = score.topk(wanted).indices
            else:
                self._ranked.pop(_NTK, None)
        if age % self.residual_every == 0:
            # Points that the NTK slot takes first must not leave the residual slot short.
            wanted = self._most(_RESIDUAL, step, self.residual_every, population)
            if wanted:
                spare = len(self._ranked.get(_NTK, ()))
                score = residual_score(probe.residual())
                self._ranked[_RESIDUAL] = score.topk(min(population, wanted + spare)).indices
            else:
                self._ranked.pop(_RESIDUAL, None)

    def _most(self, slot: str, step: int, interval: int, population: int) -> int:
        """Give the largest size of a slot over an interval that starts at a step."""
        part = 0 if slot == _NTK else 1
        return max(self._slots(later, population)[part] for later in range(step, step + interval))

    def state_dict(self) -> dict[str, Tensor]:
        """Give the rankings in use; see `Sampler.state_dict`."""
        return dict(self._ranked)

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore the rankings; see `Sampler.load_state_dict`."""
        self._ranked = load_indices(state, self.index_entries)
