"""Measure how often the intervals of `nint compare` hold the truth, by simulation.

Each row draws comparisons whose true mean difference is known, gives them to the function that
`nint compare` uses, and counts the 95 % intervals that hold it. Differences of pairs are normal,
skewed (log-normal) or heavy-tailed (Student's t with 3 degrees). Where an input has several seeds,
half of the variance is that of inputs.
"""

import argparse
import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from nint_cli.comparison.statistics import Independent, mean_difference

Draw = Callable[[np.random.Generator, tuple[int, ...]], NDArray[np.float64]]

LAWS: dict[str, Draw] = {
    "normal": lambda random, size: random.standard_normal(size),
    "skewed": lambda random, size: random.lognormal(0.0, 1.0, size) - math.exp(0.5),
    "heavy": lambda random, size: random.standard_t(3, size),
}
"""Laws of a difference, each of mean 0."""

ROWS: tuple[tuple[int, int], ...] = ((2, 1), (3, 1), (4, 1), (6, 1), (10, 1), (6, 10))
"""Inputs and seeds of each."""


def coverage(
    inputs: int, seeds: int, law: str, draws: int, independent: Independent = "input"
) -> float | None:
    """Return the share of intervals that hold the true mean difference.

    Args:
        inputs: Independent values of a comparison; seeds of one input where `independent` says so.
        seeds: Pairs of runs of each.
        law: Of differences, a key of `LAWS`.
        draws: Comparisons that are simulated.
        independent: What the independent values are.

    Returns:
        The share; None where there are no intervals.
    """
    random = np.random.default_rng(inputs * 1000 + seeds)
    truth, held = 3.0, 0
    of_pairs = LAWS[law](random, (draws, inputs, seeds))
    of_inputs = (
        LAWS[law](random, (draws, inputs, 1)) if seeds > 1 else np.zeros((draws, inputs, 1))
    )
    for each in (truth + of_inputs + of_pairs).tolist():
        groups = [[(difference, 0.0) for difference in group] for group in each]
        found = mean_difference(groups, independent)
        if found is None or found.low is None or found.high is None:
            return None
        held += found.low <= truth <= found.high
    return held / draws


def main() -> None:
    """Print a row for each size of comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=20_000)
    draws = parser.parse_args().draws
    print(f"| inputs x seeds | {' | '.join(LAWS)} |")
    print("| --- |" + " --- |" * len(LAWS))
    for inputs, seeds in ROWS:
        found = [coverage(inputs, seeds, law, draws) for law in LAWS]
        cells = ["none shown" if each is None else f"{each:.1%}" for each in found]
        print(f"| {inputs} x {seeds} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
