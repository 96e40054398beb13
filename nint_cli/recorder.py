"""What happens between the steps of a run: evaluations, log, checkpoints, an early end."""

import math
from collections.abc import Callable
from dataclasses import asdict

from nint_cli import results, traces
from nint_cli.clock import Clock
from nint_cli.config import RunConfig
from nint_cli.control import Control
from nint_cli.guard import Rescue
from nint_cli.judge import Judge
from nint_cli.modalities import Evaluation
from nint_cli.runfolder import RunFolder
from nint_cli.trainer import Step, Trainer


class Recorder:
    """Evaluates, logs, saves, shows and stops a run while it goes on; an observer of its trainer.

    Args:
        judge: Evaluates it.
        config: Says when.
        clock: Where its time goes.
        folder: Where it is kept.
        control: Watches and steers it.
        save: Writes a checkpoint.
        logged_step: The step of the log's last row; None while there is none.

    Attributes:
        logged_step: The step of the log's last row; None while there is none.
        signal: The number of the signal that ended the run; None if none did.
    """

    def __init__(
        self,
        judge: Judge,
        config: RunConfig,
        clock: Clock,
        folder: RunFolder,
        control: Control,
        save: Callable[[], None],
        logged_step: int | None = None,
    ) -> None:
        self._judge = judge
        self._trainer = judge.trainer
        self._clock = clock
        self._folder = folder
        self._control = control
        self._save = save
        self._evaluations = config.evaluation.count
        self._evaluate_every = config.evaluation.every
        if self._evaluate_every is None and not self._trainer.pace.timed:
            self._evaluate_every = max(1, config.steps // self._evaluations)
        self._keeps_selections = config.evaluation.selections
        self._save_every = config.checkpoint.every
        self._parts = self._parts_done()
        self._loss: float | None = None
        brevity = self._trainer.brevity
        self._told_of_brevity = brevity is not None and brevity.settled
        self.logged_step = logged_step
        self.signal: int | None = None

    def after_step(self, trainer: Trainer, step: Step) -> str | None:
        """Do what is due after a step; give a reason to stop, if there is one."""
        self._loss = step.loss if math.isfinite(step.loss) else self._loss
        self._control.progress.step(step.number, step.loss, trainer.pace.total)
        if trainer.pace.end(step.number):  # the end of the run evaluates and saves anyway
            return None
        self._tell_of_brevity()
        save = self._save_every is not None and step.number % self._save_every == 0
        due = self._is_due(step.number) or save
        save = self._control.save_now() or save
        reached = False
        if (save or due) and not trainer.settle(self):
            return "diverged"
        if save or due:
            evaluation = self._judge.evaluate()
            reached = self._judge.is_there(evaluation)
            if due:
                self._judge.consider_best(evaluation)
            self.log(evaluation)  # so every checkpoint has its row in the log
        if save:
            self._save()
        if reached:  # going on after a signal would lead beyond it
            return "target"
        self.signal = self._control.stop_signal()
        return "signal" if self.signal else None

    def _tell_of_brevity(self) -> None:
        """Say once that batches are smaller than the settings have them."""
        brevity = self._trainer.brevity
        if brevity is None or brevity.settled == self._told_of_brevity:
            return
        self._told_of_brevity = True
        if brevity.size < brevity.full_size:
            self._folder.append_log({"event": "brevity", "batch_size": brevity.size})
            self._control.note(
                f"for want of time, batches of {brevity.size} instead of {brevity.full_size} "
                f"coordinates, and the learning rate times {brevity.rate_factor:.2g}"
            )

    def was_there(self) -> bool:
        """Tell whether a run that goes on was killed as it ended, its targets reached."""
        judge, step = self._judge, self._trainer.step
        intervals = [every for every in (self._evaluate_every, self._save_every) if every]
        if not (judge.targets and step and any(step % every == 0 for every in intervals)):
            return False
        return not self._trainer.pace.end(step) and judge.is_there(judge.evaluate())

    def after_rescue(self, trainer: Trainer, rescue: Rescue) -> None:
        """Log that the run diverged and went back."""
        self._folder.append_log({"event": "diverged", **asdict(rescue)})
        steps = rescue.warmup_steps
        after = f", after a warm-up of {steps} steps" if steps else ""
        self._control.note(
            f"diverged at step {rescue.step}: back to the state of step {rescue.restored_step}, "
            f"and on with the learning rate times {rescue.rate_factor:g}{after}"
        )

    def log(self, evaluation: Evaluation) -> None:
        """Write a row of the log, and the last batch's points where they are wanted."""
        trainer = self._trainer
        self.logged_step = trainer.step
        if self._keeps_selections and "last" in trainer.selections:
            with self._clock.measure("save_s"):
                chosen = traces.encode(trainer.selections["last"])
                self._folder.write_selection(trainer.step, chosen)
        headline = self._judge.subject.headline
        self._control.progress.evaluated(headline, evaluation.figures[headline])
        self._folder.append_log({
            "step": trainer.step,
            "train_s": self._clock.train_s,
            "passes": trainer.passes.total,
            "loss": self._loss,
            **{name: results.finite(figure) for name, figure in evaluation.figures.items()},
            **({} if evaluation.points is None else {"evaluated_points": evaluation.points}),
            "clock": {kind: getattr(self._clock, kind) for kind in Clock.KINDS},
        })

    def _is_due(self, step: int) -> bool:
        """Whether the settings ask for an evaluation after a step."""
        if self._evaluate_every is not None:
            return step % self._evaluate_every == 0
        before, self._parts = self._parts, self._parts_done(step)
        return self._parts > before

    def _parts_done(self, step: int | None = None) -> int:
        """Count the evaluations that the run's pace has come past."""
        at = self._trainer.step if step is None else step
        return int(self._evaluations * self._trainer.pace.progress(at))
