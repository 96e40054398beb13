"""How far a run has come, by steps or by time, whichever ends it."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any

from pydantic import Field as Setting

from nint_cli.schedules.state import State


def _no_time() -> float:
    return 0.0


class DurationState(State):
    """What a checkpoint holds of a `Duration`.

    Attributes:
        first_s: What the first step took; None before it is known.
    """

    first_s: Annotated[float, Setting(ge=0)] | None


class Duration:
    """The length of a run that ends after some steps, some training time, or either.

    Schedules are functions of t / T. Without a budget T is the number of steps. With one it is
    estimated anew at each step: those that are done, and those that there is time left for, each
    as long as they have been on average. The first one is left out of that, for it takes ten times
    as long as others while libraries load, by which all of a warm-up would seem to be over. A run
    that is resumed has its time from the log, and so its place.

    Args:
        steps: Of the run; only a first guess where `steps_end_it` is not set.
        budget_s: Training time after which it ends; None: there is no such limit.
        spent_s: Gives the training time so far; of a device that lags behind, what is known of it.
        all_spent_s: Gives it after waiting for the device; None: as `spent_s`.
        steps_end_it: Whether the run ends after its steps. Without a budget it does.
    """

    def __init__(
        self,
        steps: int,
        budget_s: float | None = None,
        spent_s: Callable[[], float] = _no_time,
        *,
        all_spent_s: Callable[[], float] | None = None,
        steps_end_it: bool = True,
    ) -> None:
        self._steps = steps
        self._budget = budget_s
        self._spent = spent_s
        self._all_spent = all_spent_s or spent_s
        self._first: float | None = None
        self._steps_end_it = steps_end_it or budget_s is None
        self._total = steps

    @property
    def timed(self) -> bool:
        """Whether there is a budget of time."""
        return self._budget is not None

    @property
    def total(self) -> int:
        """Steps that the run will have, as far as is known at this step: T."""
        return self._total

    def begin(self, step: int) -> None:
        """Estimate T, for all that asks during a step.

        Args:
            step: The step, from 0.
        """
        if self._budget is None or step == 0:
            return
        if step == 1:
            self._first = self._all_spent()
            return
        spent = self._spent()
        steps, taken = (step, spent) if self._first is None else (step - 1, spent - self._first)
        if taken <= 0:  # nothing is known yet of what the device does
            return
        total = step + round((self._budget - spent) * steps / taken)
        self._total = max(step + 1, min(self._steps, total) if self._steps_end_it else total)

    def state_dict(self) -> dict[str, Any]:
        """Return the fields of `DurationState` as JSON data."""
        return DurationState(first_s=self._first).model_dump(mode="json")

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` returned."""
        self._first = DurationState.model_validate(state).first_s

    def progress(self, step: int) -> float:
        """Give the share of the run that is over, which is 1 at its end.

        Args:
            step: Steps done.
        """
        by_steps = step / self._steps if self._steps_end_it else 0.0
        by_time = 0.0 if self._budget is None else self._spent() / self._budget
        return max(by_steps, by_time)

    def end(self, step: int) -> str | None:
        """Say why the run is over.

        Args:
            step: Steps done.

        Returns:
            ``steps``, ``time_budget``, or None where it goes on.
        """
        if self._steps_end_it and step >= self._steps:
            return "steps"
        if self._budget is not None and self._spent() >= self._budget:
            return "time_budget"
        return None
