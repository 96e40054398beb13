"""What runs to a target say together: medians, how many got there, and how much faster one is.

A run that never got there counts as slower than every run that did, so that a median is there only
where more than half of the runs got there, and none is left out.
"""

import math
import statistics
from collections.abc import Iterable, Sequence
from typing import Any

import tables

BASELINES = ("paper-full", "paper-nint_released")
FIRST_FIELD = "siren"
"""The paper's own: what another field reaches is compared with its runs, too."""

Run = dict[str, Any]


def cost(run: Run, target: str, key: str = "train_s") -> float | None:
    """Return what a run took to a target; None where it did not get there."""
    found = run["to_db"][target]
    return None if found is None else float(found[key])


def median(values: Iterable[float | None]) -> float | None:
    """Return the median where None is more than any number; None where that is the median."""
    numbers = [math.inf if value is None else value for value in values]
    found = statistics.median(numbers) if numbers else math.inf
    return found if math.isfinite(found) else None


def speedup(runs: Sequence[Run], baseline: Sequence[Run], target: str) -> dict[str, Any] | None:
    """Compare the training time to a target with that of a baseline.

    Returns:
        ``paired``: the median (the lower one of two) over pictures and seeds of the baseline's
        time by the method's, 0 for a run that did not get there. ``at_least``: whether the
        time that a baseline was given stands for one that did not. ``of_medians``: the quotient of
        the medians. None where nothing can be paired.
    """
    others = {(run["picture"], run["seed"]): run for run in baseline}
    ratios, at_least = [], False
    for run in runs:
        other = others.get((run["picture"], run["seed"]))
        if other is None:
            continue
        own, theirs = cost(run, target), cost(other, target)
        at_least |= theirs is None and own is not None
        ratios.append((theirs or other["train_s"]) / own if own else 0.0)
    if not ratios:
        return None
    own, theirs = (median(cost(run, target) for run in group) for group in (runs, baseline))
    return {
        "paired": statistics.median_low(ratios) or None,
        "at_least": at_least,
        "of_medians": theirs / own if own and theirs else None,
    }


def target_summary(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Sum up runs, as `targets.record` returns them, by target, field and method.

    A median of what it took is null where half of the runs did not get there. The speed-up is that
    over both baselines, on the same field and on SIREN.
    """
    groups: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        groups.setdefault((run["field"], run["method"]), []).append(run)
    summary = []
    for target in runs[0]["to_db"]:
        for (field, method), group in groups.items():
            summary.append({
                "target_db": float(target),
                "field": field,
                "method": method,
                "runs": len(group),
                "reached": sum(cost(run, target) is not None for run in group),
                "diverged": sum(run["status"] == "diverged" for run in group),
                **{
                    f"median_{key}": median(cost(run, target, key) for run in group)
                    for key in ("train_s", "passes", "step")
                },
                "median_train_s_given": median(run["train_s"] for run in group),
                "median_peak_rss_bytes": median(run["peak_rss_bytes"] for run in group),
                "speedup": {
                    f"{other} {baseline}": speedup(
                        group, groups.get((other, baseline), []), target
                    )
                    for other in dict.fromkeys((field, FIRST_FIELD))
                    for baseline in BASELINES
                },
            })
    return summary


def _faster(found: dict[str, Any] | None) -> str:
    if not found or found["paired"] is None:
        return "-"
    least = "≥ " if found["at_least"] else ""
    return f"{least}{found['paired']:.1f} ({tables.shown(found['of_medians'], 1)})"


def _row(row: dict[str, Any]) -> list[str]:
    field, speedups = row["field"], row["speedup"]
    seconds = tables.shown(row["median_train_s"], 1)
    if row["median_train_s"] is None:
        seconds = f"not reached in {row['median_train_s_given']:.0f} s"
    memory = row["median_peak_rss_bytes"]
    cells = [field, row["method"], f"{row['reached']} of {row['runs']}", seconds]
    cells += [tables.shown(row["median_step"], 0), tables.shown(row["median_passes"], 0)]
    for other in (field, FIRST_FIELD):
        cells += [_faster(speedups[f"{other} {baseline}"]) for baseline in BASELINES]
    return [*cells, tables.shown(None if memory is None else memory / 1e6, 0)]


def targets_table(found: dict[str, Any]) -> str:
    """Write a table for each target, and one of every picture for itself."""
    others = "".join(f" ({method}: {cap:g} s)" for method, cap in found["caps_s"].items())
    text = (
        f"{len(found['pictures'])} pictures, longest side {found['size']}, {found['seeds']} "
        f"seeds; {found['jobs']} at once with "
        f"{' or '.join(map(str, found['threads_of_each']))} threads each, "
        f"evaluated every {found['evaluation_every']['paper']} (paper) or "
        f"{found['evaluation_every']['default']} steps (default) and given {found['cap_s']:g} s"
        f"{others} of training each. Medians. 'Faster than' is the median over pictures and "
        "seeds, behind it the quotient of the medians; ≥ where the slower one did not get "
        "there.\n\n"
    )
    header = ["field", "method", "reached", "s", "steps", "passes"]
    header += [f"faster than {baseline}" for baseline in BASELINES]
    header += [f"faster than {baseline} on {FIRST_FIELD}" for baseline in BASELINES]
    header.append("peak MB")
    for target in found["targets"]:
        rows = [_row(row) for row in found["summary"] if row["target_db"] == target]
        text += f"To {target:g} dB:\n\n{tables.markdown(header, rows)}\n"
    return text + _by_picture(found)


def _by_picture(found: dict[str, Any]) -> str:
    """Write the median seconds over the seeds of each picture."""
    groups: dict[tuple[str, str], dict[str, list[Run]]] = {}
    for run in found["runs"]:
        of_method = groups.setdefault((run["field"], run["method"]), {})
        of_method.setdefault(run["picture"], []).append(run)
    targets = [f"{target:g}" for target in found["targets"]]
    rows = []
    for key, by_picture in groups.items():
        rows.append([*key])
        for runs in by_picture.values():
            seconds = (median(cost(run, target) for run in runs) for target in targets)
            rows[-1].append(" / ".join(tables.shown(each, 1) for each in seconds))
    pictures = list(next(iter(groups.values())))
    table = tables.markdown(["field", "method", *pictures], rows)
    return f"Seconds to {' / '.join(targets)} dB, medians over seeds:\n\n{table}"
