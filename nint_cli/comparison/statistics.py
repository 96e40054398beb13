"""What is said of figures over runs: spreads, figures at equal time, and paired intervals."""

import math
from bisect import bisect_left
from collections.abc import Sequence

import numpy as np

from nint_cli.comparison.record import Cost, Curve, Interval, Spread

_RESAMPLES = 10_000


def spread(values: Sequence[float | None]) -> Spread:
    """Give mean and range of what there is.

    Args:
        values: One per run; None and what is not finite count as missing.

    Returns:
        The spread; all null where nothing is there.
    """
    found = [value for value in values if value is not None and math.isfinite(value)]
    missing = len(values) - len(found)
    if not found:
        return Spread(mean=None, low=None, high=None, count=0, missing=missing)
    return Spread(
        mean=math.fsum(found) / len(found),
        low=min(found),
        high=max(found),
        count=len(found),
        missing=missing,
    )


def at_time(curve: Curve, seconds: float) -> float | None:
    """Give the headline after some training time, between two evaluations by a straight line.

    Args:
        curve: Of a run.
        seconds: Of training.

    Returns:
        The value; None where the run ended earlier, or had no evaluation by then.
    """
    after = bisect_left(curve.train_s, seconds)
    if after == len(curve.train_s):
        return None
    right = curve.value[after]
    if curve.train_s[after] == seconds:
        return right
    left = curve.value[after - 1] if after else None
    if left is None or right is None:
        return None
    before = curve.train_s[after - 1]
    share = (seconds - before) / (curve.train_s[after] - before)
    return left + share * (right - left)


def cost_to(curve: Curve, target: float) -> Cost | None:
    """Give what a run had spent at its first evaluation at a target.

    Args:
        curve: Of the run.
        target: A value of the headline.

    Returns:
        The cost; None where no evaluation was there.
    """
    for index, value in enumerate(curve.value):
        if value is not None and value >= target:
            return Cost(
                step=curve.step[index], train_s=curve.train_s[index], passes=curve.passes[index]
            )
    return None


def mean_difference(pairs: Sequence[tuple[float, float]]) -> Interval | None:
    """Give how far a method is ahead of the baseline.

    Args:
        pairs: (the method's figure, the baseline's) of one input and seed each.

    Returns:
        The mean difference and its 95 % interval; None without pairs.
    """
    return _bootstrap([ours - theirs for ours, theirs in pairs])


def speed_up(pairs: Sequence[tuple[float, float]]) -> Interval | None:
    """Give how many times less a method costs than the baseline.

    Args:
        pairs: (the method's cost, the baseline's) of one input and seed each, in any one unit.

    Returns:
        The geometric mean of baseline / method and its 95 % interval; None without pairs of
        positive costs.
    """
    logarithms = [math.log(theirs / ours) for ours, theirs in pairs if ours > 0 and theirs > 0]
    found = _bootstrap(logarithms)
    if found is None:
        return None
    low, high = (None if end is None else math.exp(end) for end in (found.low, found.high))
    return Interval(value=math.exp(found.value), low=low, high=high, pairs=found.pairs)


def _bootstrap(values: Sequence[float]) -> Interval | None:
    """Give the mean and its percentile interval (Efron, 1979), the same at every call."""
    if not values:
        return None
    sample = np.asarray(values, np.float64)
    low = high = None
    if len(sample) > 1:
        drawn = np.random.default_rng(0).integers(len(sample), size=(_RESAMPLES, len(sample)))
        low, high = map(float, np.percentile(sample[drawn].mean(axis=1), [2.5, 97.5]))
    return Interval(value=float(sample.mean()), low=low, high=high, pairs=len(sample))
