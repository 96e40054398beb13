"""What happens between the steps of a run: evaluations, log, checkpoints, an early end."""

import math
from dataclasses import asdict
from typing import TYPE_CHECKING

from nint_cli import results, traces
from nint_cli.clock import Clock
from nint_cli.control import Control
from nint_cli.guard import Rescue
from nint_cli.modalities import Evaluation
from nint_cli.runfolder import RunFolder
from nint_cli.trainer import Step, Trainer

if TYPE_CHECKING:
    from nint_cli.run import Fit


class Recorder:
    """Evaluates, logs, saves, shows and stops a run while it goes on; an observer of its trainer.

    Args:
        fit: The run.
        folder: Where it is kept.
        control: Watches and steers it.

    Attributes:
        signal: The number of the signal that ended the run; None if none did.
    """

    def __init__(self, fit: "Fit", folder: RunFolder, control: Control) -> None:
        config = fit.resolved.config
        self._fit = fit
        self._folder = folder
        self._control = control
        self._evaluate_every = config.evaluation.every
        if self._evaluate_every is None and not fit.trainer.pace.timed:
            self._evaluate_every = max(1, config.steps // config.evaluation.count)
        self._parts = self._parts_at(fit.trainer.step)
        self._save_every = config.checkpoint.every
        self._loss: float | None = None
        self.signal: int | None = None

    def after_step(self, trainer: Trainer, step: Step) -> str | None:
        """Do what is due after a step; give a reason to stop, if there is one."""
        self._loss = step.loss if math.isfinite(step.loss) else self._loss
        self._control.progress.step(step.number, step.loss, trainer.pace.total)
        if trainer.pace.end(step.number):  # the end of the run evaluates and saves anyway
            return None
        save = self._save_every is not None and step.number % self._save_every == 0
        due = self._is_due(step.number) or save
        save = self._control.save_now() or save
        reached = False
        if (save or due) and not trainer.settle(self):
            return "diverged"
        if save or due:
            evaluation = self._fit.evaluate()
            reached = self._fit.is_there(evaluation)
            if due:
                self._fit.consider_best(evaluation)
            self.log(evaluation)  # so every checkpoint has its row in the log
        if save:
            self._fit.save_checkpoint(self._folder)
        if reached:  # going on after a signal would lead beyond it
            return "target"
        self.signal = self._control.stop_signal()
        return "signal" if self.signal else None

    def was_there(self) -> bool:
        """Tell whether a run that goes on was killed as it ended, its targets reached."""
        fit, step = self._fit, self._fit.trainer.step
        intervals = [every for every in (self._evaluate_every, self._save_every) if every]
        if not (fit.targets and step and any(step % every == 0 for every in intervals)):
            return False
        return not fit.trainer.pace.end(step) and fit.is_there(fit.evaluate())

    def _is_due(self, step: int) -> bool:
        """Whether the settings ask for an evaluation after a step."""
        if self._evaluate_every is not None:
            return step % self._evaluate_every == 0
        before, self._parts = self._parts, self._parts_at(step)
        return self._parts > before

    def _parts_at(self, step: int) -> int:
        count = self._fit.resolved.config.evaluation.count
        return int(count * self._fit.trainer.pace.progress(step))

    def after_rescue(self, trainer: Trainer, rescue: Rescue) -> None:
        """Log that the run diverged and went back."""
        self._folder.append_log({"event": "diverged", **asdict(rescue)})
        self._control.note(
            f"diverged at step {rescue.step}: back to the state of step {rescue.restored_step}, "
            f"and on with the learning rate times {rescue.rate_factor:g}"
        )

    def log(self, evaluation: Evaluation) -> None:
        """Write a row of the log, and the last batch's points where they are wanted."""
        trainer = self._fit.trainer
        self._fit.logged_step = trainer.step
        if self._fit.resolved.config.evaluation.selections and "last" in trainer.selections:
            with self._fit.clock.measure("save_s"):
                chosen = traces.encode(trainer.selections["last"])
                self._folder.write_selection(trainer.step, chosen)
        headline = self._fit.subject.headline
        self._control.progress.evaluated(headline, evaluation.figures[headline])
        self._folder.append_log({
            "step": trainer.step,
            "train_s": self._fit.clock.train_s,
            "passes": trainer.passes.total,
            "loss": self._loss,
            **{name: results.finite(figure) for name, figure in evaluation.figures.items()},
            **({} if evaluation.points is None else {"evaluated_points": evaluation.points}),
            "clock": {kind: getattr(self._fit.clock, kind) for kind in Clock.KINDS},
        })
