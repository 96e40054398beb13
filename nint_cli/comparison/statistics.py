"""Statistics over runs: spreads, figures at equal time, and paired intervals."""

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from functools import cache
from statistics import fmean, stdev
from typing import Literal

from nint_cli.comparison.record import Cost, Curve, Interval, Spread

_LEVEL = 0.95
LEAST_GROUPS = 4
"""Independent pairs without which there is no interval: with three, t is 4.3 and s a guess."""

Pairs = Sequence[tuple[float, float]]
Independent = Literal["input", "seed"]
"""What the groups of pairs are: inputs, or seeds of one input."""


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
    return _between(left, right, share)


def cost_to(curve: Curve, target: float) -> Cost | None:
    """Compute what a run had spent when it first got to a target, as `at_time` has it.

    Args:
        curve: Of the run.
        target: A value of the headline.

    Returns:
        The cost, where the line between two evaluations crosses the target; where there is no
        value before it, that of the first evaluation there, as an upper bound. None where no
        evaluation was there.
    """
    for index, value in enumerate(curve.value):
        if value is not None and value >= target:
            return _crossing(curve, index, value, target)
    return None


def _crossing(curve: Curve, index: int, value: float, target: float) -> Cost:
    """Compute the cost of the point at which the line to an evaluation crosses a target."""
    left = curve.value[index - 1] if index else None
    before = index if left is None else index - 1
    share = 1.0 if left is None else (target - left) / (value - left)
    return Cost(
        step=math.ceil(_between(curve.step[before], curve.step[index], share)),
        train_s=_between(curve.train_s[before], curve.train_s[index], share),
        passes=_between(curve.passes[before], curve.passes[index], share),
        at_most=left is None,
    )


def _between(left: float, right: float, share: float) -> float:
    """Compute the point of a line at a share of the way from its left end to its right one."""
    return right if share == 1 else left + share * (right - left)


def mean_difference(groups: Sequence[Pairs], independent: Independent) -> Interval | None:
    """Compute how far a method is ahead of the baseline.

    Args:
        groups: Pairs (the method's figure, the baseline's) of one input and seed each. Pairs of
            one group are averaged first, for only groups are independent of each other.
        independent: What the groups are.

    Returns:
        The mean difference and its 95 % interval, which fewer than `LEAST_GROUPS` do not have;
        None without pairs.
    """
    return _interval(groups, independent, lambda ours, theirs: ours - theirs)


def speed_up(groups: Sequence[Pairs], independent: Independent) -> Interval | None:
    """Compute how many times less a method costs than the baseline.

    Args:
        groups: As for `mean_difference`, of costs in any one unit. Pairs without two positive
            costs are left out.
        independent: What the groups are.

    Returns:
        The geometric mean of baseline / method and its 95 % interval; None without pairs.
    """
    positive = [[pair for pair in group if min(pair) > 0] for group in groups]
    found = _interval(positive, independent, lambda ours, theirs: math.log(theirs / ours))
    if found is None:
        return None
    low, high = (None if end is None else math.exp(end) for end in (found.low, found.high))
    return found.model_copy(update={"value": math.exp(found.value), "low": low, "high": high})


def _interval(
    groups: Sequence[Pairs],
    independent: Independent,
    difference: Callable[[float, float], float],
) -> Interval | None:
    """Compute the mean over groups and Student's t interval of it."""
    means = [fmean(difference(*pair) for pair in group) for group in groups if group]
    if not means:
        return None
    mean, low, high, reason = fmean(means), None, None, None
    pairs = sum(map(len, groups))
    over = f"{len(means)} {independent}{'s' * (len(means) > 1)}"
    if independent == "seed":
        over += " of one input"
    elif pairs > len(means):
        over += ", seeds averaged"
    if len(means) < LEAST_GROUPS:
        what = "inputs" if independent == "input" else "seeds of one input"
        reason = f"no interval below {LEAST_GROUPS} {what}"
    else:
        half = _quantile(len(means) - 1) * stdev(means) / math.sqrt(len(means))
        low, high = mean - half, mean + half
    return Interval(
        value=mean, low=low, high=high, reason=reason, over=over, pairs=pairs, groups=len(means)
    )


@cache
def _quantile(degrees: int) -> float:
    """Compute the point that Student's t with some degrees of freedom exceeds in 2.5 %."""
    from scipy import stats  # slow to load, and most commands have no use for it

    return float(stats.t.ppf((1 + _LEVEL) / 2, degrees))
