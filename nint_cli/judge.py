"""How good a run is while it goes on: evaluations, the best of them, and its targets."""

import math
from collections.abc import Mapping

from nint_cli.clock import Clock
from nint_cli.config import RunConfig
from nint_cli.errors import ConfigError
from nint_cli.modalities import Evaluation, Subject
from nint_cli.trainer import Trainer


def targets(config: RunConfig, subject: type[Subject]) -> dict[str, float]:
    """Give the figures that end a run, by key.

    Args:
        config: Its settings.
        subject: What is fitted.

    Returns:
        What each has to reach; empty if there are none.

    Raises:
        ConfigError: If one is set that the modality does not have.
    """
    found = config.stop.targets()
    for name in found:
        if name not in subject.targets:
            raise ConfigError(
                f"stop.target_{name}: nint fit {subject.kind} has no such figure; there is "
                + " and ".join(f"stop.target_{each}" for each in subject.targets)
            )
    return found


class Judge:
    """Evaluates the field of a trainer as it is.

    Args:
        subject: What is fitted.
        trainer: Fits it.
        clock: Where the time of evaluations is counted.
        targets: What each figure has to reach.

    Attributes:
        subject: What is fitted.
        trainer: Fits it.
        targets: What each figure has to reach.
        best: The highest headline of the evaluations that were due, and its step; None before.
    """

    def __init__(
        self, subject: Subject, trainer: Trainer, clock: Clock, targets: Mapping[str, float]
    ) -> None:
        self.subject = subject
        self.trainer = trainer
        self.targets = targets
        self.best: tuple[float, int] | None = None
        self._clock = clock

    def evaluate(self) -> Evaluation:
        """Look at the field afresh."""
        with self._clock.measure("evaluation_s"), self.trainer.measured():
            return self.subject.evaluate(self.trainer.field)

    def consider_best(self, evaluation: Evaluation) -> None:
        """Remember the highest headline of the evaluations that are due by the settings."""
        figure = evaluation.figures[self.subject.headline]
        if figure is not None and math.isfinite(figure):
            if self.best is None or figure > self.best[0]:
                self.best = (figure, self.trainer.step)

    def reaches(self, figures: Mapping[str, float | None]) -> bool:
        """Tell whether figures reach every target that is set; False where there is none."""
        return bool(self.targets) and all(
            (figure := figures.get(name)) is not None and figure >= target
            for name, target in self.targets.items()
        )

    def is_there(self, evaluation: Evaluation) -> bool:
        """Tell whether the run may end because its targets are reached, in full measure too."""
        if not self.reaches(evaluation.figures):
            return False
        with self._clock.measure("evaluation_s"), self.trainer.measured():
            return self.reaches(self.subject.confirmed(self.trainer.field, evaluation))
