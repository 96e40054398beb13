"""The learning rate of each step, and which part of it the average of parameters follows."""

from collections.abc import Callable, Sequence

from nint_cli.schedules import laws
from nint_cli.schedules.duration import Duration
from nint_cli.training.optimiser import OptimiserSettings


def _no_factor(_step: int) -> float:
    return 1.0


class LearningRate:
    """The learning rate and Adam's decays over a run.

    The *scheduled* rate rises in a warm-up to a peak, which is lower on large pictures, and
    then stays or falls by half a cosine wave. The *applied* rate,
    which the optimiser takes, is that times two factors: of smaller batches, and of rescues from
    divergence. The average of parameters follows the scheduled rate: its window belongs to a place
    in the run, and a rescue or a smaller batch does not move it.

    Args:
        settings: Of the optimiser.
        shape: Points of the signal along each axis.
        duration: How long the run is.
        batch_factor: Returns the factor of the batch size at a step.
        rescue_factor: Returns the factor of rescues at a step.

    Attributes:
        peak: The highest scheduled rate.
    """

    def __init__(
        self,
        settings: OptimiserSettings,
        shape: Sequence[int],
        duration: Duration,
        *,
        batch_factor: Callable[[int], float] = _no_factor,
        rescue_factor: Callable[[int], float] = _no_factor,
    ) -> None:
        self._settings = settings
        self._duration = duration
        self._batch_factor = batch_factor
        self._rescue_factor = rescue_factor
        self.peak = settings.peak_rate(shape)

    def scheduled(self, step: int) -> float:
        """Return the rate of a step by the schedule alone.

        Args:
            step: The step, from 0.
        """
        return laws.learning_rate(
            self._settings.schedule,
            self.peak,
            step,
            self._duration.total,
            warmup=self._settings.warmup,
            final=self._settings.final,
        )

    def applied(self, step: int) -> float:
        """Return the rate that the optimiser takes at a step.

        Args:
            step: The step, from 0.
        """
        return self.scheduled(step) * (self._rescue_factor(step) * self._batch_factor(step))

    def betas(self, step: int) -> tuple[float, float]:
        """Return Adam's decays at a step.

        The first one's memory is longer in long runs, and the second one's shrinks with the
        scheduled rate after the warm-up, where the settings say so.

        Args:
            step: The step, from 0.
        """
        settings = self._settings
        warming = step < settings.warmup * self._duration.total
        share = 1.0 if warming else self.scheduled(step) / self.peak
        last = settings.beta2 if settings.beta2_end is None else settings.beta2_end
        first = settings.first_decay(self._duration.total)
        return first, laws.adam_decay(settings.beta2, last, share)
