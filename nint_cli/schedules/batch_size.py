"""Batches of a run that has little time: smaller ones, so that it comes to enough steps.

A gradient over few points is about as good as one over many while the network knows little
(McCandlish, Kaplan, Amodei, 2018, arXiv 1812.06162), and it costs less. How small a batch had best
be depends on the number of steps that the budget allows, and so on the machine.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field as Setting

from nint_cli.schedules import laws
from nint_cli.schedules.clock import Clock
from nint_cli.schedules.duration import Duration
from nint_cli.schedules.state import State
from nint_cli.settings import Circumstances, Section

# The size is found from this many steps and all that train in this share of the budget, whichever
# is more: the first takes longer than all others, and any may have had other work beside it.
_TRIAL = 4
_TRIAL_SHARE = 0.05
_SMALLEST_SHARE = 1 / 8
_SMALLEST = 512
# Sizes are multiples of this many points, for products of other lengths are slower.
_LANES = 128
# Smaller batches are noisier, and want a lower rate. Between none and a square root, as measured.
_POWER = 0.25


class AdaptiveBatchSizeState(State):
    """What a checkpoint holds of a `AdaptiveBatchSize`.

    Attributes:
        size: Points of the batches from here on.
        settled: Whether that stays.
        fastest: Seconds of the fastest steps so far, of choosing a batch and of training on a full
            one; None before they are known, and once the size is settled, as of all below.
        last: What the clock billed for each before the last step.
        first_s: What the first step took.
    """

    size: int = Setting(ge=1)
    settled: bool
    fastest: Annotated[tuple[float, Annotated[float, Setting(gt=0)]], Setting(strict=False)] | None
    last: Annotated[tuple[float, float], Setting(strict=False)] | None
    first_s: Annotated[float, Setting(ge=0)] | None = None


class AdaptiveBatchSize:
    """Finds the size of a run's batches from how long its first steps take.

    Args:
        size: Points of a batch where there is time enough, as far as the signal has so many.
        budget_s: Training time of the run.
        clock: Bills what is chosen and what is trained; the one does not shrink with the batch.
        least_steps: Steps that the run should reach. Batches become smaller for that, down to
            an eighth or 512 points, whichever is more.
        full_steps: Steps of full batches that make a whole run. Where there is time for a share
            of them only, a batch has at most the root of that share of its points, and the run
            so many of its steps; or None.
        most_steps: Steps that end the run before its time does, for which smaller batches are of
            no use; or None.

    Attributes:
        size: Points of the batches from here on.
        settled: Whether that stays. It does once a twentieth of the budget is spent, and sooner
            where there is time for full batches.
    """

    def __init__(
        self,
        size: int,
        budget_s: float,
        clock: Clock,
        least_steps: int,
        full_steps: int | None = None,
        most_steps: int | None = None,
    ) -> None:
        self._full = size
        self._budget = self._budget_left = budget_s
        self._clock = clock
        self._least_steps = least_steps
        self._full_steps = full_steps
        self._most_steps = math.inf if most_steps is None else most_steps
        # Seconds of the fastest steps so far, of choosing a batch and of training on a full one;
        # and what the clock billed for each before the last step. None once the size is settled.
        self._fastest: tuple[float, float] | None = None
        self._last: tuple[float, float] | None = None
        # What the first step took; where it compiled something, much of a short budget.
        self._first_s: float | None = None
        self.size = size
        self.settled = False

    @property
    def full_size(self) -> int:
        """Points of a batch where there is time enough."""
        return self._full

    @property
    def rate_factor(self) -> float:
        """What the learning rate is multiplied by."""
        return float((self.size / self._full) ** _POWER)

    def begin(self, step: int) -> None:
        """Look at the clock, for all that asks during a step.

        Args:
            step: The step, from 0.
        """
        if self.settled:
            return
        # All of it: of a device that lags behind, what is known is of batches of other sizes.
        seconds = self._clock.seconds()
        self._budget_left = max(0.0, self._budget - seconds["prepare_s"])
        now = seconds["sampler_s"], seconds["update_s"]
        if self._last is not None and now[1] > self._last[1]:
            if self._first_s is None:
                self._first_s = sum(now) - sum(self._last)
            choosing = now[0] - self._last[0]
            training = (now[1] - self._last[1]) * self._full / self.size
            if self._fastest is not None:
                choosing, training = (
                    min(choosing, self._fastest[0]),
                    min(training, self._fastest[1]),
                )
            self._fastest = choosing, training
            self.size = self._fitting(choosing, training)
        self._last = now
        self.settled = step >= _TRIAL and (
            self.size == self._full
            or sum(now) - (self._first_s or 0.0) >= _TRIAL_SHARE * self._budget_left
        )
        if self.settled:
            self._fastest = self._last = self._first_s = None

    def _fitting(self, choosing: float, training: float) -> int:
        """Give the size that makes the budget good for enough steps.

        Training is not made cheaper than choosing, for then the best would be thrown away: that a
        step of a method which sweeps all points costs little more with more of them.
        """
        wanted = float(self._least_steps)
        if self._full_steps is not None:
            affordable = self._budget_left / (choosing + training)
            wanted = max(wanted, math.sqrt(self._full_steps * affordable))
        left = self._budget_left / min(wanted, self._most_steps) - choosing
        share = max(left, choosing) / training
        if share >= 1:
            return self._full
        size = round(max(share, _SMALLEST_SHARE) * self._full / _LANES) * _LANES
        return min(self._full, max(size, _SMALLEST))

    def state_dict(self) -> dict[str, Any]:
        """Return the fields of `AdaptiveBatchSizeState` as JSON data."""
        state = AdaptiveBatchSizeState(
            size=self.size,
            settled=self.settled,
            fastest=self._fastest,
            last=self._last,
            first_s=self._first_s,
        )
        return state.model_dump(mode="json")

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` returned."""
        saved = AdaptiveBatchSizeState.model_validate(state)
        self.size, self.settled = min(saved.size, self._full), saved.settled
        self._fastest, self._last, self._first_s = saved.fastest, saved.last, saved.first_s


class BatchSettings(Section):
    """How many coordinates a step trains on."""

    fraction: float = Setting(0.2, gt=0, le=1, description="share of all coordinates per step")
    schedule: Literal["constant", "linear", "step", "cosine"] = Setting(
        "constant", description="how the fraction grows towards 1 over the run"
    )
    size: int | None = Setting(
        None,
        ge=1,
        description="coordinates per step, whatever the size of the signal; replaces the "
        "fraction, and setting one later than the other undoes the other",
    )
    least_steps: int | None = Setting(
        None,
        ge=1,
        le=1_000_000,
        description="steps that a run with a time budget should reach: batches become smaller "
        "for that, down to an eighth of the size and no further than 512, and the learning rate "
        "by the fourth root of it; null: never. Setting the size or the fraction later undoes it; "
        "full, soft_mining and expansive go without",
    )
    full_steps: int | None = Setting(
        None,
        ge=1,
        le=1_000_000_000,
        description="steps of full batches that make a whole run: with time for a share of them "
        "only, batches and steps each become fewer by the root of it, in the bounds of "
        "least_steps; null: nothing beyond least_steps",
    )
    reshuffle: bool = Setting(
        False,
        description="whether the random points of uniform and nint come once each, in random "
        "order, before any comes again; otherwise every step draws afresh",
    )

    def unused(self, around: Circumstances) -> Mapping[str, str]:
        """Return what the size, the sampler and the time leave without effect; see `Section`."""
        found: dict[str, str] = {}
        if not around.reshuffles:
            found["reshuffle"] = (
                f"sampler {around.sampler} has no random points by epochs; --sampler uniform has"
            )
        if around.sampler == "full":
            why = "sampler full trains on all points at every step; choose another sampler"
            return found | dict.fromkeys(type(self).model_fields, why)
        if self.size is not None:
            why = f"batch.size is {self.size} and decides; set batch.size to null"
            found |= {"fraction": why, "schedule": why}
        elif self.fraction == 1:
            found["schedule"] = "batch.fraction is 1 from the start; lower it"
        fixed = self._fixed(around)
        return found | (dict.fromkeys(("least_steps", "full_steps"), fixed) if fixed else {})

    def _fixed(self, around: Circumstances) -> str | None:
        """Return why batches do not shrink where there is little time; None if they do."""
        if not around.shrinks:
            return f"sampler {around.sampler} has no smaller batches; choose another sampler"
        if not around.timed:
            return "the run has no time budget; give --time-budget"
        return None if self.size is not None else "batch.size is null; set it"


@dataclass(frozen=True)
class BatchPlan:
    """How many points a step selects.

    Attributes:
        fraction: Share of all points at step 0.
        schedule: How that share grows; see `schedules.batch_fraction`.
        size: A number of points instead, as far as there are so many; or None.
        steps: Steps of the run.
        reshuffle: Whether uniform points come once each before any comes again.
        duration: Knows better how many they will be, where time ends the run; or None.
        adaptive_batch_size: Makes `size` smaller where there is little time; or None.
    """

    fraction: float
    schedule: str
    size: int | None
    steps: int
    reshuffle: bool = False
    duration: Duration | None = None
    adaptive_batch_size: AdaptiveBatchSize | None = None

    @property
    def total_steps(self) -> int:
        """Steps that the run will have, as far as is known."""
        return self.steps if self.duration is None else self.duration.total

    @property
    def timed(self) -> bool:
        """Whether that number changes while the run goes on."""
        return self.duration is not None and self.duration.timed

    def count(self, step: int, population: int) -> int:
        """Give B.

        Args:
            step: The step, from 0.
            population: N.

        Returns:
            B = floor(fraction N), or the size; at least 1 and at most N.
        """
        if self.size is not None:
            return min(self._size(self.size), population)
        return max(1, min(population, int(self.share(step, population) * population)))

    def share(self, step: int, population: int) -> float:
        """Give the batch fraction.

        Args:
            step: The step, from 0.
            population: N.

        Returns:
            r, of which `count` is the floor of r N.
        """
        if self.size is not None:
            return min(1.0, self._size(self.size) / population)
        return laws.batch_fraction(self.schedule, self.fraction, step, self.total_steps)

    def _size(self, size: int) -> int:
        return size if self.adaptive_batch_size is None else self.adaptive_batch_size.size
