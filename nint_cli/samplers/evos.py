"""EVOS: the fittest survive, mutants join."""

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from pydantic import Field as Setting
from torch import Tensor

from nint_cli.derivatives.probe import Probe
from nint_cli.random import Draws
from nint_cli.samplers.base import EVERY, UNIFORM, Observation, Sampler, Selection, Setup, Slot
from nint_cli.samplers.drawing import draw_distinct
from nint_cli.samplers.priors import grey_weights
from nint_cli.schedules import laws
from nint_cli.schedules.batch_size import BatchPlan
from nint_cli.settings import WHOLE, Circumstances, Section, Share

_ORDER, _STALE = "order", "stale"
# The published weight 1e-5 is for squared errors of values in [-1, 1] and of a Laplacian of grey
# levels up to 255; this is the same balance for values in [0, 1].
LAPLACIAN_WEIGHT = 1e-5 * 255**2 / 4


class CrossFrequencyLoss:
    """The mean squared error plus that of the picture's Laplacian.

    mean e^2 + weight mean_i (D g)_i^2, the means over the batch, where g is the residual's grey,
    predictions clipped to [0, 1], and D the Laplacian with zeros around. D needs the neighbours
    of a point; those that are not in the batch are as old as `stale`, and constant. Where a part
    of the picture trains, the rest is as what is around it: without error.

    Args:
        indices: (B,) the batch.
        stale: (N,) grey residual of all points when it was last known.
        shape: (H, W).
        weight: Of the second term.
        among: (N,) int64: the pixels that these points are, as `Signal.among`; None for all.
    """

    def __init__(
        self,
        indices: Tensor,
        stale: Tensor,
        shape: tuple[int, int],
        weight: float,
        among: Tensor | None = None,
    ) -> None:
        self.indices = indices
        self.stale = stale
        self.shape = shape
        self.weight = weight
        self.among = among

    def __call__(self, prediction: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Give the loss and its gradient; see `BatchLoss`."""
        error = prediction - values
        count = len(error)
        picture = self.stale.to(error.dtype, copy=True)
        picture[self.indices] = grey_residual(prediction, values)
        high = flat_laplacian(picture, self.shape, self.among)[self.indices]
        loss = error.square().mean() + self.weight * high.square().mean()
        # D is symmetric, so the gradient with respect to g is 2 weight / B times D of what of D g
        # is in the batch; there g depends on a prediction unless that is clipped.
        picture.zero_()[self.indices] = high
        back = flat_laplacian(picture, self.shape, self.among)[self.indices]
        passes = (prediction > 0) & (prediction < 1)
        channel = back[:, None] * prediction.new_tensor(grey_weights(error.shape[1])) * passes
        return loss, 2 / error.numel() * error + 2 * self.weight / count * channel


class EvosSettings(Section):
    """EVOS' evolution (arXiv 2412.10153)."""

    alpha: Share = Setting(0.5, description="share of the first batch that is drawn at random")
    alpha_end: Share = Setting(0.5, description="that share at the end, unless it is constant")
    mutation: Literal["constant", "linear", "geometric"] = Setting(
        "constant", description="how that share goes from alpha to alpha_end"
    )
    crossover: Literal["select", "add", "none"] = Setting(
        "select", description="how errors of values and of the Laplacian are joined in a ranking"
    )
    crossover_weight: float = Setting(
        1e-5 * 255**2 / 4, ge=0, le=1e6, description="weight of the Laplacian in the ranking"
    )
    supervision_weight: float = Setting(
        1e-5 * 255**2 / 4,
        ge=0,
        le=1e6,
        description="weight of the Laplacian in the loss; 0 leaves it out",
    )
    supervised: Share = Setting(
        0.3, description="share of the steps with the Laplacian in the loss; later, fitness steps"
    )
    first_interval: int = Setting(
        100, ge=2, le=1_000_000, description="steps between fitness evaluations at the start"
    )
    last_interval: int = Setting(
        50, ge=2, le=1_000_000, description="steps between fitness evaluations at the end"
    )

    def unused(self, around: Circumstances) -> Mapping[str, str]:
        """Return what has nothing to mutate, to join or to supervise; see `Section.unused`."""
        found: dict[str, str] = {}
        if self.mutation == "constant":
            found["alpha_end"] = "evos.mutation is constant; linear and geometric read it"
        elif self.alpha == self.alpha_end:
            found["mutation"] = "evos.alpha_end is as evos.alpha; set another"
        if self.crossover == "none":
            found["crossover_weight"] = "evos.crossover is none; select and add read it"
        if self.supervision_weight == 0:
            found["supervised"] = "evos.supervision_weight is 0; raise it"
        laplacian = ("crossover", "crossover_weight", "supervision_weight", "supervised")
        if around.modality != "image":
            found |= dict.fromkeys(laplacian, "only a picture has a Laplacian; leave it out")
        if around.whole:
            mixing = ("alpha", "alpha_end", "mutation", "crossover", "crossover_weight")
            found |= dict.fromkeys(mixing, WHOLE)
        return found


class Evos(Sampler):
    """EVOS, an evolutionary selector: survivors of a rare ranking, and random mutants.

    *Sparse fitness evaluation.* At the steps of `schedules.evaluates_fitness` (72 of 5000, 14 of
    1000, 5 of 250) the batch is all N points. That step trains as any other, and its predictions
    rank the points.

    *Crossover*, with the fitness E_i = mean_c e_ic^2 and, for pictures, L_i = lambda (D g)_i^2
    (`CrossFrequencyLoss`). Under ``select``, s = N - floor((1 - r_t + alpha r_0) N) points are
    offspring: those among the s largest both by E and by L; then, of the q that are missing, the
    floor(q p) largest by E and the others by L, each of what is among the s largest by that alone,
    p = mean(E) / (mean(E) + mean(L)). The rest follow by E. ``add`` ranks by E + L, ``none`` by E.

    *Augmented unbiased mutation.* Any other step trains on the floor((r_t - m_t) N) fittest and
    fills its batch with points drawn uniformly from all others, m_t = r_0 times
    `schedules.mutation_share`; under the defaults half of the batch.

    *Cross-frequency supervision*: `CrossFrequencyLoss` at fitness steps, and at all steps within
    the first `supervised` part of the run.

    Passes: none, but 72 of 5000 steps train on all points.

    Source: Zhang, Xie, Ren, Xie, Tang, Ge, Wang, Wang, "EVOS: Efficient Implicit Neural Training
    via EVOlutionary Selector", CVPR 2025, arXiv 2412.10153.

    Differs: follows github.com/zwx-open/EVOS-INR at 3261484. As there the moving modulus makes
    fitness steps irregular, steps count from 1 in every law, so that the fraction of
    ``batch.schedule=step`` rises first at t = T / 10 and is 1 at the last step alone, and mutants
    are alpha r_0 N, where the paper's formula has r_t. The weights are for values in [0, 1].
    Supervision ends after 0.3 of the steps, which is the code's 1500 of 5000. Where the code's
    slices [-0:] take everything, nothing is taken here; the batch is exactly floor(r_t N), which
    rounding may miss by one there. Of the ranking no more is kept than later steps read. Signals
    that are no pictures have no L and no supervision, as in the authors' earlier class for several
    kinds of signals (at 4b25cc1).

    Args:
        batch: How many points.
        shape: (H, W) of a picture with values in [0, 1]; None for other signals.
        alpha: Share of the first batch that mutates, in [0, 1].
        alpha_end: That share at the end of the run, which ``constant`` ignores.
        mutation: How it goes there; see `schedules.mutation_share`.
        crossover: ``select``, ``add`` or ``none``.
        crossover_weight: lambda of the crossover.
        supervision_weight: Of the Laplacian in the loss; 0 leaves it out.
        supervised: Share of the steps in which all steps have it.
        first_interval: Of fitness evaluations, in steps.
        last_interval: The same, at the end of the run.
    """

    Settings = EvosSettings
    ranked_by = "|error| of all points, now and then"
    slots: ClassVar[Mapping[str, Slot]] = {
        "survivor": Slot("survivors of a ranking", (213, 94, 0)),
        "mutant": UNIFORM,
        "full": EVERY,
    }

    observes: ClassVar[bool] = True
    index_entries: ClassVar[frozenset[str]] = frozenset({_ORDER})

    def __init__(
        self,
        batch: BatchPlan,
        *,
        shape: tuple[int, int] | None,
        alpha: float = 0.5,
        alpha_end: float = 0.5,
        mutation: str = "constant",
        crossover: str = "select",
        crossover_weight: float = LAPLACIAN_WEIGHT,
        supervision_weight: float = LAPLACIAN_WEIGHT,
        supervised: float = 0.3,
        first_interval: int = 100,
        last_interval: int = 50,
        among: Tensor | None = None,
    ) -> None:
        self.batch = batch
        self.shape = shape
        self.among = among
        self.alpha = alpha
        self.alpha_end = alpha_end
        self.mutation = mutation
        self.crossover = crossover
        self.crossover_weight = crossover_weight
        self.supervision_weight = supervision_weight
        self.supervised = supervised
        self.first_interval = first_interval
        self.last_interval = last_interval
        self._state: dict[str, Tensor] = {}

    @property
    def needs_fixed_points(self) -> bool:
        """True: its ranking is used for many steps."""
        return True

    @classmethod
    def from_settings(cls, settings: EvosSettings, setup: Setup) -> "Evos":
        """Build it; pictures have a Laplacian; see `Sampler.from_settings`."""
        shape = setup.signal.shape
        picture = (shape[0], shape[1]) if len(shape) == 2 else None
        among = setup.signal.among
        return cls(setup.batch, shape=picture, among=among, **settings.model_dump())

    @classmethod
    def depends_on_steps(cls, settings: EvosSettings) -> Mapping[str, object]:
        """Return the sampler, whose intervals follow the run; see the base class."""
        return {"sampler": "evos"}

    def select(self, step: int, probe: Probe, draws: Draws) -> Selection:
        """Take all points, or survivors and mutants; see `Sampler.select`."""
        population = len(probe)
        count = self.batch.count(step + 1, population)
        if self._ranks(step) or count == population:
            indices = torch.arange(population, device=probe.device)
            return Selection(
                indices, slots=(("full", population),), loss=self._loss(step, indices)
            )
        survivors = self._state[_ORDER][: self._survivors(step, population)]
        mutants = draw_distinct(
            population,
            count - len(survivors),
            draws.stream("mutants"),
            probe.device,
            exclude=survivors,
        )
        indices = torch.cat([survivors, mutants])
        return Selection(
            indices,
            slots=(("survivor", len(survivors)), ("mutant", len(mutants))),
            loss=self._loss(step, indices),
        )

    def observe(self, step: int, observation: Observation) -> None:
        """Rank all points after a fitness step; see `Sampler.observe`."""
        if not self._ranks(step):
            return
        prediction, values = observation.prediction, observation.values
        grey = None if self.shape is None else grey_residual(prediction, values)
        fitness = (prediction - values).square().mean(dim=1)
        self._state = {_ORDER: self._order(step, fitness, grey)}
        if grey is not None and self._supervises(step + 1):
            self._state[_STALE] = grey

    def _ranks(self, step: int) -> bool:
        return laws.evaluates_fitness(
            step, self.batch.total_steps, first=self.first_interval, last=self.last_interval
        )

    def _supervises(self, step: int) -> bool:
        return self.supervision_weight > 0 and step < self.supervised * self.batch.total_steps

    def _survivors(self, step: int, population: int) -> int:
        """Give the number of points that the ranking puts into a batch."""
        share = self.batch.share(step + 1, population) - self._mutating(step, population)
        return min(max(0, int(share * population)), self.batch.count(step + 1, population))

    def _mutating(self, step: int, population: int) -> float:
        alpha = laws.mutation_share(
            self.mutation, self.alpha, self.alpha_end, step + 1, self.batch.total_steps
        )
        return alpha * self.batch.share(0, population)

    def _order(self, step: int, fitness: Tensor, grey: Tensor | None) -> Tensor:
        """Rank the points, the fittest first, as many as are needed until the next ranking."""
        population = len(fitness)
        kept, later = 0, step + 1
        while later < self.batch.total_steps and not self._ranks(later):
            kept = max(kept, self._survivors(later, population))
            later += 1
        if grey is None or self.crossover == "none":
            return fitness.topk(kept).indices
        assert self.shape is not None
        high = flat_laplacian(grey, self.shape, self.among).square() * self.crossover_weight
        if self.crossover == "add":
            return (fitness + high).topk(kept).indices
        mixed = self.alpha * self.batch.share(0, population)
        share = 1 - self.batch.share(step + 1, population) + mixed
        size = min(population, population - int(share * population))
        offspring = crossover(fitness, high, size)
        if kept > size:
            others = fitness.index_fill(0, offspring, -1.0).topk(kept - size).indices
            offspring = torch.cat([offspring, others])
        return offspring[:kept]

    def _loss(self, step: int, indices: Tensor) -> CrossFrequencyLoss | None:
        ranks = self._ranks(step)
        if self.shape is None or not self.supervision_weight:
            return None
        if not ranks and not self._supervises(step):
            return None
        stale = self._state.get(_STALE)
        if stale is None:
            count = self.shape[0] * self.shape[1] if self.among is None else len(self.among)
            stale = torch.zeros(count, device=indices.device)
        weight = self.supervision_weight
        return CrossFrequencyLoss(indices, stale, self.shape, weight, self.among)

    def state_dict(self) -> dict[str, Tensor]:
        """Give the ranking and the old grey residual; see `Sampler.state_dict`."""
        return dict(self._state)

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore the ranking; see `Sampler.load_state_dict`."""
        for name, tensor in state.items():
            kinds = {_ORDER: tensor.dtype == torch.int64, _STALE: tensor.is_floating_point()}
            if tensor.ndim != 1 or not kinds.get(name, False):
                raise ValueError(
                    f"unexpected sampler state {name} {tuple(tensor.shape)} {tensor.dtype}"
                )
        self._state = dict(state)


def crossover(low: Tensor, high: Tensor, size: int) -> Tensor:
    """Choose offspring by two fitnesses at once.

    Args:
        low: (N,) fitness by the values, E.
        high: (N,) fitness by the Laplacian, L.
        size: s.

    Returns:
        (s,) distinct indices: first those among the s largest by both, then by E, then by L, each
        group in falling order of its fitness, the first one's being E.
    """
    by_low, by_high = low.topk(size).indices, high.topk(size).indices
    parent = torch.zeros_like(low, dtype=torch.bool)
    parent[by_high] = True
    shared = parent[by_low]
    both, only_low = by_low[shared], by_low[~shared]
    parent.zero_()[by_low] = True
    only_high = by_high[~parent[by_high]]
    missing = size - len(both)
    total = float(low.mean() + high.mean())
    from_low = int(missing * float(low.mean()) / total) if total > 0 else missing
    return torch.cat([both, only_low[:from_low], only_high[: missing - from_low]])


def grey_residual(prediction: Tensor, values: Tensor) -> Tensor:
    """Give the grey of prediction - values, (B), the prediction clipped to [0, 1]."""
    weights = prediction.new_tensor(grey_weights(prediction.shape[1]))
    return (prediction.clamp(0, 1) - values) @ weights


def flat_laplacian(values: Tensor, shape: tuple[int, int], among: Tensor | None) -> Tensor:
    """Compute the Laplacian of a picture's pixels, or of some with zeros in place of the others.

    Args:
        values: (N,).
        shape: (H, W).
        among: (N,) int64: the pixels that they are, as `Signal.among`; None for all of them.

    Returns:
        (N,).
    """
    if among is None:
        return laplacian(values.view(shape)).view(-1)
    picture = values.new_zeros(shape[0] * shape[1])
    picture[among] = values
    return laplacian(picture.view(shape)).view(-1)[among]


def laplacian(picture: Tensor) -> Tensor:
    """Give the sum of the four neighbours less four times each pixel, (H, W), zeros around."""
    result = -4 * picture
    result[1:] += picture[:-1]
    result[:-1] += picture[1:]
    result[:, 1:] += picture[:, :-1]
    result[:, :-1] += picture[:, 1:]
    return result
