"""The search for each method's own learning rate, so that none wins by its rival's bad default."""

import math
from collections.abc import Mapping

_GRID = (0.25, 0.5, 1.0, 2.0, 4.0)
_EXTENSIONS = 2


def rates_to_try(base: float, tried: Mapping[float, float | None]) -> list[float]:
    """Give the learning rates to try next.

    At first a logarithmic grid around the method's own preset rate; then, as long as the best one
    lies at an end, the next one beyond it, twice at most.

    Args:
        base: The rate of the method's preset.
        tried: What came of those that were tried; None where a run has no figure, as one that
            diverged may have.

    Returns:
        Rates, rising; none where the search is over.
    """
    grid = [_rounded(factor * base) for factor in _GRID]
    left = [rate for rate in grid if rate not in tried]
    if left:
        return left
    if len(tried) >= len(grid) + _EXTENSIONS:
        return []
    best = best_rate(tried)
    if best == min(tried):
        return [_rounded(best / 2)]
    if best == max(tried):
        return [_rounded(best * 2)]
    return []


def best_rate(tried: Mapping[float, float | None]) -> float | None:
    """Choose the best rate.

    Args:
        tried: What came of each.

    Returns:
        The one with the largest figure, the smallest among equals; None where none has one.
    """
    found = {r: v for r, v in tried.items() if v is not None and math.isfinite(v)}
    return min(found, key=lambda rate: (-found[rate], rate)) if found else None


def _rounded(rate: float) -> float:
    """Keep five digits, so that a rate reads as it is."""
    return float(f"{rate:.5g}")
