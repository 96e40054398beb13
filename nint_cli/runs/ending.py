"""The end of a run: what may be measured and drawn then, how that is shown, and what stops it."""

from nint_cli.config.schema import RunConfig
from nint_cli.metrics.schema import FinalRecord
from nint_cli.modalities.base import Evaluation, Subject
from nint_cli.runs.control import Control
from nint_cli.training.trainer import Trainer

SMALL_UNITS = 1 << 19
"""What the end may always take, a few seconds."""

HASTY_UNITS = 1 << 18
"""What it may take after a signal."""

# A step of a GPU takes as long as a forward pass of so many points, however small its batch is.
_GPU_STEP_UNITS = 1 << 18
# Beyond the clock's total a process starts and ends, for which a budget of time leaves so much.
_AROUND_S = 2.0
_IN_ALL = 1.5  # budgets that a run takes with its evaluations and its end


class CutOff(Exception):
    """A signal came while the end was measured or drawn.

    Args:
        number: Of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(f"signal {number}")
        self.number = number


class Meter:
    """Shows how far the end measurement has come, and stops it where a signal asks for that.

    Args:
        control: Shows it, and is asked for a signal after every piece.
        units: What it will take, see `Subject.cost_within`.
        unit_s: Seconds that a unit takes, as training took them; None where nothing is known.
        stoppable: Whether signals stop it; after one that ended the training, what little is
            measured is not given up.
    """

    def __init__(
        self,
        control: Control,
        units: int,
        unit_s: float | None = None,
        *,
        stoppable: bool = True,
    ) -> None:
        self._control = control
        self._units = max(1, units)
        self._done = 0
        self._stoppable = stoppable
        control.progress.begin_end(None if unit_s is None else units * unit_s)

    def __call__(self, units: int) -> None:
        """See a piece; a `Piece`.

        Raises:
            CutOff: If a signal came.
        """
        self._done += units
        self._control.progress.end(min(1.0, self._done / self._units))
        number = self._control.stop_signal() if self._stoppable else None
        if number is not None:
            raise CutOff(number)


def units_spent(trainer: Trainer) -> float:
    """Count what a run's training has cost, in the units of `Subject.cost_within`."""
    spent = trainer.passes.total * len(trainer.signal)
    if trainer.signal.device.type == "cuda":
        spent = max(spent, float(trainer.step * _GPU_STEP_UNITS))
    return spent


def unit_seconds(trainer: Trainer) -> float:
    """Give the seconds that a unit took in training; 0 before the first step."""
    spent = units_spent(trainer)
    return trainer.clock.train_s / spent if spent else 0.0


def units_allowed(trainer: Trainer, config: RunConfig, essential: int) -> int:
    """Tell what the end may take under ``evaluation.final: auto``.

    Without a budget of time that is what training took, by its passes and not by the clock, so
    that equal runs have equal figures. With one the run should be over after one and a half times
    its budget, but for what people look at first, which may take as long as training did.

    Args:
        trainer: At the end of its training.
        config: The run's settings.
        essential: Units of that; see `Subject.essential`.

    Returns:
        Units, see `Subject.cost_within`.
    """
    spent, budget = units_spent(trainer), config.stop.time_budget_s
    if budget is not None and trainer.clock.train_s > 0:
        left = _IN_ALL * budget - trainer.clock.total_s - _AROUND_S
        in_time = spent * min(1.0, max(0.0, left / trainer.clock.train_s))
        spent = essential if in_time < essential <= spent else in_time
    return max(SMALL_UNITS, int(spent))


def evaluations_share(trainer: Trainer, config: RunConfig, essential: int) -> float | None:
    """Tell which share of its training a run may evaluate for while it goes on.

    Under a budget of time that leaves room for what its end cannot do without.

    Args:
        trainer: Of the run.
        config: The run's settings.
        essential: Units of that; see `Subject.essential`.

    Returns:
        At most ``evaluation.share``; None without a bound.
    """
    share, budget = config.evaluation.share, config.stop.time_budget_s
    if share is None or budget is None or config.evaluation.final != "auto":
        return share
    room = (_IN_ALL - 1) * budget - _AROUND_S - essential * unit_seconds(trainer)
    return min(share, max(0.0, room / budget))


def units_of(config: RunConfig, allowed: int) -> int | None:
    """Give the units of `Subject.evaluate_fully` for what the settings want of the end.

    Args:
        config: The run's settings.
        allowed: What the end may take under ``auto``.
    """
    match config.evaluation.final:
        case "full":
            return None
        case "sample":
            return 0
        case _:
            return allowed


def final_record(subject: Subject, evaluation: Evaluation, units: int | None) -> FinalRecord:
    """Say how the end was measured.

    Args:
        subject: What was fitted.
        evaluation: Its evaluation at the end.
        units: What that might take.
    """
    if not (evaluation.sampled or evaluation.left_out):
        return FinalRecord(measured="full", points=evaluation.points)
    why = (
        "evaluation.final is sample"
        if units == 0
        else "all of it would take longer than evaluation.final = auto allows"
    )
    written = any(name in subject.files for name in evaluation.left_out)
    how = "nint eval --reconstruct" if written else "nint eval"
    return FinalRecord(
        measured="sample" if evaluation.sampled else "full",
        points=evaluation.points,
        left_out=list(evaluation.left_out),
        reason=f"{why}; `{how}` does the rest",
    )
