"""What happens between the steps of a run: evaluations, log, checkpoints, an early end."""

import math
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Self

from nint_cli.config.schema import RunConfig
from nint_cli.errors import ConfigError
from nint_cli.metrics.schema import StartRecord, finite
from nint_cli.modalities.base import Evaluation, Subject
from nint_cli.runs import checkpoint, selections
from nint_cli.runs.checkpoint import Checkpoint, Ended, Origin
from nint_cli.runs.control import Control
from nint_cli.runs.ending import (
    SMALL_UNITS,
    evaluations_share,
    unit_seconds,
    units_allowed,
    units_of,
    units_spent,
)
from nint_cli.runs.environment import came_near
from nint_cli.runs.folder import OVER, RunFolder
from nint_cli.schedules.clock import Clock
from nint_cli.training.divergence import Rescue
from nint_cli.training.trainer import Step, Trainer


@dataclass(frozen=True)
class Targets:
    """The figures that end a run.

    Attributes:
        wanted: What each has to reach, by key; empty if there are none.
    """

    wanted: Mapping[str, float]

    @classmethod
    def of(cls, config: RunConfig, subject: type[Subject]) -> Self:
        """Return the targets of a run.

        Args:
            config: Its settings.
            subject: What is fitted.

        Raises:
            ConfigError: If one is set that the modality does not have.
        """
        found = config.stop.targets()
        for name in found:
            if name not in subject.modality.targets:
                known = " and ".join(f"stop.target_{each}" for each in subject.modality.targets)
                raise ConfigError(
                    f"stop.target_{name}: nint fit {subject.modality.name} has no such figure; "
                    f"there is {known}"
                )
        return cls(found)

    def __bool__(self) -> bool:
        return bool(self.wanted)

    def reached(self, figures: Mapping[str, float | None]) -> bool:
        """Return whether figures reach every target; False where there is none."""
        return bool(self.wanted) and all(
            (figure := figures.get(name)) is not None and figure >= target
            for name, target in self.wanted.items()
        )


class RunObserver:
    """Evaluates, logs, saves, shows and stops a run while it goes on.

    The trainer that it observes is an argument of every call.

    Args:
        subject: What is fitted.
        config: Says when.
        targets: Which figures end the run.
        clock: Where its time goes.
        folder: Where it is kept.
        control: Watches and steers it.
        origin: What the run began under.
        best: The highest headline of earlier evaluations that were due, and its step.
        logged_step: The step of the log's last row; None while there is none.
        loss: The last finite loss before; None where none is known.
        over: Whether the log ends with an event in place of the last evaluation.
        start: Whose weights the run began with; None: random ones.

    Attributes:
        best: The highest headline of the evaluations that were due, and its step; None before.
        logged_step: The step of the log's last row; None while there is none.
        loss: The last finite loss.
        signal: The number of the signal that ended the run; None if none did.
    """

    def __init__(
        self,
        subject: Subject,
        config: RunConfig,
        targets: Targets,
        clock: Clock,
        folder: RunFolder,
        control: Control,
        origin: Origin,
        *,
        best: tuple[float, int] | None = None,
        logged_step: int | None = None,
        loss: float | None = None,
        over: bool = False,
        start: StartRecord | None = None,
    ) -> None:
        self._subject = subject
        self._config = config
        self._targets = targets
        self._clock = clock
        self._folder = folder
        self._control = control
        self._origin = origin
        self._start = start
        self._evaluate_every = config.evaluation.every
        self._save_every = config.checkpoint.every
        self._parts = 0
        self.loss = loss
        self._over = over
        self._told_of_batches = False
        self._told_of_precision = False
        self._began = time.monotonic()
        self._began_step = self._evaluations = 0
        self._evaluations_s = 0.0
        self.best = best
        self.logged_step = logged_step
        self.signal: int | None = None

    def begin(self, trainer: Trainer) -> bool:
        """Prepare for the first step of a run, or of its continuation.

        Args:
            trainer: Fits the field.

        Returns:
            Whether there is nothing to do: the run was killed as it ended, its targets reached.
        """
        if self._evaluate_every is None and not trainer.duration.timed:
            self._evaluate_every = max(1, self._config.steps // self._config.evaluation.count)
        self._parts = self._parts_done(trainer, trainer.step)
        self._told_of_batches = (
            trainer.adaptive_batch_size is not None and trainer.adaptive_batch_size.settled
        )
        self._told_of_precision = _has_left_rounding(trainer)
        self._began, self._began_step = time.monotonic(), trainer.step
        step = trainer.step
        intervals = [every for every in (self._evaluate_every, self._save_every) if every]
        if not (self._targets and step and any(step % every == 0 for every in intervals)):
            return False
        return not trainer.duration.end(step) and self._reaches_targets(
            trainer, self.evaluate(trainer)
        )

    def after_step(self, trainer: Trainer, step: Step) -> str | None:
        """Do what is due after a step; return a reason to stop, if there is one."""
        self.loss = step.loss if math.isfinite(step.loss) else self.loss
        total = trainer.duration.total
        self._control.progress.step(step.number, step.loss, total, self._left_s(trainer))
        self._tell_of_precision(trainer)
        if trainer.duration.end(step.number):  # the end of the run evaluates and saves anyway
            return None
        self._tell_of_batches(trainer)
        save = self._save_every is not None and step.number % self._save_every == 0
        due = self._is_due(trainer, step.number) or save
        save = self._control.save_now() or save
        reached = False
        if (save or due) and not trainer.check_losses(self):
            return "diverged"
        if save or due:
            evaluation = self.evaluate(trainer)
            reached = self._reaches_targets(trainer, evaluation)
            if due:
                self.consider_best(trainer, evaluation)
            self.log(trainer, evaluation)  # so every checkpoint has its row in the log
        if save:
            self.save(trainer)
        if reached:  # going on after a signal would lead beyond it
            return "target"
        self.signal = self._control.stop_signal()
        return "signal" if self.signal else None

    def after_rescue(self, trainer: Trainer, rescue: Rescue) -> None:
        """Log that the run diverged and went back."""
        self._folder.append_log({"event": "diverged", **asdict(rescue)})
        steps = rescue.warmup_steps
        after = f", after a warm-up of {steps} steps" if steps else ""
        self._control.note(
            f"diverged at step {rescue.step}: back to the state of step {rescue.restored_step}, "
            f"and on with the learning rate times {rescue.rate_factor:g}{after}"
        )

    def evaluate(self, trainer: Trainer) -> Evaluation:
        """Evaluate the field as it is, off the training clock."""
        began = time.monotonic()
        with self._clock.measure("evaluation_s"), trainer.measured():
            evaluation = self._subject.evaluate(trainer.field, self._units(trainer))
        self._evaluations += 1
        self._evaluations_s += time.monotonic() - began
        return evaluation

    def _units(self, trainer: Trainer) -> int | None:
        """Give what an evaluation may cost, so that all of them keep to their share of the run.

        It depends on what the run has done, and never on the clock where steps end it.
        """
        share = evaluations_share(trainer, self._config, self._subject.essential)
        if share is None:
            return None
        return int(share * units_spent(trainer) / max(1.0, self._due(trainer, trainer.step)))

    def _due(self, trainer: Trainer, step: int) -> float:
        """Count the evaluations that are due up to a step."""
        saves = step / self._save_every if self._save_every else 0.0
        if self._evaluate_every is not None:
            return step / self._evaluate_every + saves
        return self._config.evaluation.count * trainer.duration.progress(step) + saves

    def _left_s(self, trainer: Trainer) -> float | None:
        """Estimate the seconds until the training ends, evaluations included."""
        step, total = trainer.step, trainer.duration.total
        done = step - self._began_step
        if not done:
            return None
        stepping = time.monotonic() - self._began - self._evaluations_s
        left = max(0, total - step) * stepping / done
        if self._evaluate_every is not None:
            to_come = int(self._due(trainer, total - 1)) - int(self._due(trainer, step))
        else:  # the last of them is the end's
            to_come = self._config.evaluation.count - self._parts - 1
        if self._evaluations:
            each = self._evaluations_s / self._evaluations
        else:
            each = unit_seconds(trainer) * (self._units(trainer) or 0)
        return left + max(0, to_come) * each

    def consider_best(self, trainer: Trainer, evaluation: Evaluation) -> None:
        """Remember the highest headline of the evaluations that are due by the settings."""
        figure = evaluation.figures[self._subject.modality.headline]
        if figure is not None and math.isfinite(figure):
            if self.best is None or figure > self.best[0]:
                self.best = (figure, trainer.step)

    def log(self, trainer: Trainer, evaluation: Evaluation) -> None:
        """Write a row of the log, and the last batch's points where they are wanted."""
        self.logged_step = trainer.step
        if self._config.evaluation.selections and "last" in trainer.selections:
            with self._clock.measure("save_s"):
                chosen = selections.encode(trainer.selections["last"])
                self._folder.write_selection(trainer.step, chosen)
        headline = self._subject.modality.headline
        self._control.progress.evaluated(headline, evaluation.figures[headline])
        write = self._folder.end_log if self._over else self._folder.append_log
        self._over = False
        with self._clock.measure("save_s"):
            write({
                "step": trainer.step,
                "train_s": self._clock.train_s,
                "passes": trainer.passes.total,
                "loss": self.loss,
                **{name: finite(figure) for name, figure in evaluation.figures.items()},
                **({} if evaluation.points is None else {"evaluated_points": evaluation.points}),
                "clock": self._clock.known(),
            })

    def end(self, trainer: Trainer, reason: str) -> Ended | None:
        """Save what training has come to, before that is measured.

        The log gets what only the process knows, the times and the last loss, until it has the
        last evaluation: from them the run ends as it would have ended if this process ends here.

        Args:
            trainer: At its last step.
            reason: Why it is that.

        Returns:
            What `save` takes; None after a signal, after which training goes on.
        """
        ended = None
        if reason != "signal":
            allowed = units_allowed(trainer, self._config, self._subject.essential)
            ended = Ended.model_validate({"reason": reason, "units": allowed})
        if self.logged_step != trainer.step:
            self._over = True
            self._folder.append_log({
                "event": OVER,
                "step": trainer.step,
                "reason": reason,
                "loss": self.loss,
                "clock": self._clock.known(),
            })
        self.save(trainer, ended)
        return ended

    def save(self, trainer: Trainer, ended: Ended | None = None) -> None:
        """Write a checkpoint; `ended` says that it is the last one."""
        with self._clock.measure("save_s"):
            saved = Checkpoint(
                self._config,
                self._subject.record(),
                trainer.state_dict(),
                best=self.best,
                origin=self._origin,
                run_id=self._folder.run_id,
                ended=ended,
                start=self._start,
            )
            keep = self._config.checkpoint.keep
            self._folder.write_checkpoint(trainer.step, checkpoint.encode(saved), keep)

    def _reaches_targets(self, trainer: Trainer, evaluation: Evaluation) -> bool:
        """Return whether the run may end because its targets are reached, in full measure too."""
        if not self._targets.reached(evaluation.figures):
            return False
        allowed = units_of(self._config, max(SMALL_UNITS, int(units_spent(trainer))))
        with self._clock.measure("evaluation_s"), trainer.measured():
            figures = self._subject.confirmed(trainer.field, evaluation, allowed)
        return self._targets.reached(figures)

    def _tell_of_batches(self, trainer: Trainer) -> None:
        """Say once that batches are smaller than the settings have them."""
        adaptive_batch_size = trainer.adaptive_batch_size
        if adaptive_batch_size is None or adaptive_batch_size.settled == self._told_of_batches:
            return
        self._told_of_batches = True
        if adaptive_batch_size.size < adaptive_batch_size.full_size:
            self._folder.append_log({
                "event": "batch_size",
                "step": trainer.step,
                "batch_size": adaptive_batch_size.size,
            })
            self._control.note(
                f"the time budget is short: batches of {adaptive_batch_size.size} instead of "
                f"{adaptive_batch_size.full_size} coordinates, and the learning rate times "
                f"{adaptive_batch_size.rate_factor:.2g}"
            )

    def _tell_of_precision(self, trainer: Trainer) -> None:
        """Note once, and log, that steps are no longer rounded to bfloat16."""
        if self._told_of_precision or not _has_left_rounding(trainer):
            return
        self._told_of_precision = True
        switch = trainer.precision
        assert switch is not None
        steps, why = switch.left_after, came_near(switch.floor_db)
        self._folder.append_log({"event": "precision", "step": steps, "products": "float32"})
        self._control.note(f"float32 instead of bfloat16 after {steps} steps; {why}")

    def _is_due(self, trainer: Trainer, step: int) -> bool:
        """Return whether the settings ask for an evaluation after a step."""
        if self._evaluate_every is not None:
            return step % self._evaluate_every == 0
        before, self._parts = self._parts, self._parts_done(trainer, step)
        return self._parts > before

    def _parts_done(self, trainer: Trainer, step: int) -> int:
        """Count the evaluations that the run's progress has passed."""
        return int(self._config.evaluation.count * trainer.duration.progress(step))


def _has_left_rounding(trainer: Trainer) -> bool:
    """Return whether a fit that began in bfloat16 is computed in float32 by now."""
    return trainer.precision is not None and trainer.precision.left_after is not None
