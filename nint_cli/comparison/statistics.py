"""Statistics over runs: spreads, figures at equal time, and paired intervals."""

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from statistics import fmean, stdev

from nint_cli.comparison.record import Cost, Curve, Interval, Spread

_LEVEL = 0.95

Pairs = Sequence[tuple[float, float]]


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


def mean_difference(groups: Sequence[Pairs]) -> Interval | None:
    """Compute how far a method is ahead of the baseline.

    Args:
        groups: Pairs (the method's figure, the baseline's) of one input and seed each. Pairs of
            one group are averaged first, for only groups are independent of each other.

    Returns:
        The mean difference and its 95 % interval; None without pairs.
    """
    return _interval(groups, lambda ours, theirs: ours - theirs)


def speed_up(groups: Sequence[Pairs]) -> Interval | None:
    """Compute how many times less a method costs than the baseline.

    Args:
        groups: As for `mean_difference`, of costs in any one unit. Pairs without two positive
            costs are left out.

    Returns:
        The geometric mean of baseline / method and its 95 % interval; None without pairs.
    """
    positive = [[pair for pair in group if min(pair) > 0] for group in groups]
    found = _interval(positive, lambda ours, theirs: math.log(theirs / ours))
    if found is None:
        return None
    low, high = (None if end is None else math.exp(end) for end in (found.low, found.high))
    return found.model_copy(update={"value": math.exp(found.value), "low": low, "high": high})


def _interval(
    groups: Sequence[Pairs], difference: Callable[[float, float], float]
) -> Interval | None:
    """Compute the mean over groups and Student's t interval of it."""
    means = [fmean(difference(*pair) for pair in group) for group in groups if group]
    if not means:
        return None
    mean, low, high = fmean(means), None, None
    if len(means) > 1:
        from scipy import stats  # slow to load, and most commands have no use for it

        quantile = float(stats.t.ppf((1 + _LEVEL) / 2, len(means) - 1))
        half = quantile * stdev(means) / math.sqrt(len(means))
        low, high = mean - half, mean + half
    pairs = sum(map(len, groups))
    return Interval(value=mean, low=low, high=high, pairs=pairs, groups=len(means))
