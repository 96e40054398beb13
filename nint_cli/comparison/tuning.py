"""The search for each method's own learning rate, so that none wins by its rival's bad default."""

import math
from collections.abc import Callable, Mapping, Sequence, Set
from itertools import product
from pathlib import Path
from statistics import fmean

from nint_cli.comparison.plan import Entry, Variant
from nint_cli.comparison.reading import read_run
from nint_cli.comparison.record import InputEntry, Trial

SEEDS = (1000, 1001)
"""Of all trials. No comparison goes up to them, so that a rate is not chosen by what is compared,
and more seeds leave the chosen rates as they are. Two, for one may be luck."""

_GRID = (0.25, 0.5, 1.0, 2.0, 4.0)
_EXTENSIONS = 2


def tune(
    kind: str,
    source: str,
    about: InputEntry,
    variants: Sequence[Variant],
    root: Path,
    make: Callable[[Sequence[Entry]], bool],
) -> tuple[list[Variant], dict[str, list[Trial]]]:
    """Give every variant its best learning rate; all take turns.

    Args:
        kind: The modality.
        source: The input that is tuned on.
        about: What is known of it.
        variants: The methods, at their presets' rates.
        root: The folder of the trials, beside those of the runs.
        make: Brings runs to their ends; False where it was told to stop.

    Returns:
        The methods, each at its best rate, or at its preset's where no trial has a figure; and by
        name what was tried.
    """
    trials: dict[str, list[Trial]] = {each.name: [] for each in variants}
    while True:
        planned = []
        for variant in variants:
            tried, rescued = outcomes(trials[variant.name])
            rates = rates_to_try(variant.resolved.config.optimiser.lr, tried, rescued)
            for turn, (rate, seed) in enumerate(product(rates, SEEDS)):
                folder = root / about.name / variant.name / f"lr-{rate:g}" / str(seed)
                entry = Entry(*(
                    kind,
                    source,
                    about.name,
                    about.sha256,
                    variant.at_rate(rate),
                    seed,
                    folder,
                ))
                planned.append((turn, rate, entry))
        planned.sort(key=lambda each: each[0])
        if not planned or not make([entry for _, _, entry in planned]):
            break
        for _, rate, entry in planned:
            trials[entry.variant.name].append(_trial(entry, rate, root.parent))
    found = []
    for variant in variants:
        best = best_rate(*outcomes(trials[variant.name]))
        found.append(variant if best is None else variant.at_rate(best))
    return found, trials


def _trial(entry: Entry, rate: float, beside: Path) -> Trial:
    run = read_run(entry.folder, name=entry.input, variant="", root=beside)
    return Trial(
        lr=rate,
        input=entry.input,
        seed=entry.seed,
        folder=run.folder,
        status=run.status,
        value=run.value if run.status == "complete" else None,
        rescues=run.rescues,
    )


def outcomes(trials: Sequence[Trial]) -> tuple[dict[float, float | None], set[float]]:
    """Return the mean value by rate, and the rates of runs that had to be rescued.

    A rate has no value where one of its runs has none: it would fail as often where it is used.
    """
    by_rate: dict[float, list[float | None]] = {}
    for each in trials:
        by_rate.setdefault(each.lr, []).append(each.value)
    means = {}
    for rate, values in by_rate.items():
        found = [value for value in values if value is not None]
        means[rate] = fmean(found) if len(found) == len(values) else None
    return means, {each.lr for each in trials if each.rescues}


def rates_to_try(
    base: float, tried: Mapping[float, float | None], rescued: Set[float] = frozenset()
) -> list[float]:
    """Give the learning rates to try next.

    At first a logarithmic grid around the method's own preset rate; then, as long as the best one
    lies at an end, the next one beyond it, twice at most.

    Args:
        base: The rate of the method's preset.
        tried: What came of those that were tried; None where a run has no figure, as one that
            diverged may have.
        rescued: Those of runs that diverged and went on with half of it.

    Returns:
        Rates, rising; none where the search is over.
    """
    grid = [_rounded(factor * base) for factor in _GRID]
    left = [rate for rate in grid if rate not in tried]
    if left:
        return left
    if len(tried) >= len(grid) + _EXTENSIONS:
        return []
    best = best_rate(tried, rescued)
    if best == min(tried):
        return [_rounded(best / 2)]
    if best == max(tried):
        return [_rounded(best * 2)]
    return []


def best_rate(
    tried: Mapping[float, float | None], rescued: Set[float] = frozenset()
) -> float | None:
    """Choose the best rate.

    A figure of a run that was rescued is one of the halved rate, and luck: the same rate may not
    learn anything on the next input. So it counts only where there is no other.

    Args:
        tried: What came of each.
        rescued: Those of runs that diverged and went on with half of it.

    Returns:
        The one with the largest figure, the smallest among equals; None where none has one.
    """
    found = {r: v for r, v in tried.items() if v is not None and math.isfinite(v)}
    steady = found.keys() - rescued
    return min(steady or found, key=lambda rate: (-found[rate], rate), default=None)


def _rounded(rate: float) -> float:
    """Keep five digits, so that a rate reads as it is."""
    return float(f"{rate:.5g}")
