"""The figures of a comparison: tables and plots."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from nint_cli.comparison.page.methods import key
from nint_cli.comparison.page.numbers import (
    Cell,
    Figure,
    Table,
    amount,
    count,
    difference,
    factor,
    measure,
    spread,
)
from nint_cli.comparison.page.plots import AXES, quality_plot
from nint_cli.comparison.reading import target_key
from nint_cli.comparison.record import Comparison, Summary, TargetSummary
from nint_cli.comparison.table import intervals
from nint_cli.modalities.table import label


@dataclass(frozen=True)
class Plots:
    """The plots of one input.

    Attributes:
        name: Of the input.
        number: Of the input, from 0.
        panels: Titles, and ``<svg>`` elements as text.
    """

    name: str
    number: int
    panels: Sequence[tuple[str, str]]


def summary_tables(comparison: Comparison) -> list[Table]:
    """Sum up all inputs together, where there are several, and each."""
    return [_summary_table(comparison, name) for name in _names(comparison)]


def _summary_table(comparison: Comparison, name: str | None) -> Table:
    headline = comparison.headline
    header = [
        "variant",
        label(headline),
        f"over {comparison.baseline}",
        "at equal time",
        f"over {comparison.baseline}",
        "training, s",
        "passes",
    ]
    rows = []
    equal_time = None
    for index, summary in _summaries(comparison, name):
        path = f"/summaries/{index}"
        seconds = summary.equal_time_s
        if seconds is not None:
            equal_time = Figure(f"{seconds:.1f}", seconds, f"{path}/equal_time_s")
        cells = [
            spread(headline, summary.value, f"{path}/value"),
            difference(headline, summary.gain, f"{path}/gain"),
            spread(headline, summary.at_equal_time, f"{path}/at_equal_time"),
            difference(headline, summary.gain_at_equal_time, f"{path}/gain_at_equal_time"),
            amount(summary.train_s.mean, f"{path}/train_s/mean", ".1f"),
            amount(summary.passes.mean, f"{path}/passes/mean", ".0f"),
        ]
        rows.append((key(comparison, summary.variant), cells))
    where = name or "all inputs"
    caption = f"{where}: mean [least, greatest] over runs"
    over = intervals([each for _, each in _summaries(comparison, name)])
    caption += f"; {over}" if over else ""
    return Table(header, rows, caption=caption, name=where, equal_time=equal_time)


def plots(comparison: Comparison) -> list[Plots]:
    """Draw quality against time, steps and passes, for each input that was evaluated."""
    headline = comparison.headline
    unit = " (dB)" if headline.endswith("_db") else ""
    variants = [each.name for each in comparison.variants]
    found = []
    for number, entry in enumerate(comparison.inputs):
        runs = [r for r in comparison.runs if r.input == entry.name and r.left_out is None]
        panels = [
            (f"against {title}", svg)
            for against, title in AXES.items()
            if (
                svg := quality_plot(
                    runs, variants, against, label(headline) + unit, f"plot{number}-{against}"
                )
            )
        ]
        if panels:
            found.append(Plots(entry.name, number, panels))
    return found


def target_tables(comparison: Comparison) -> list[Table]:
    """Say what it takes to get to each target, for each input, target by target."""
    if not comparison.targets:
        return []
    return [_target_table(comparison, name) for name in _names(comparison)]


def _target_table(comparison: Comparison, name: str | None) -> Table:
    header = ["variant", "target", "reached", "training, s", "speed-up", "passes", "in passes"]
    rows = []
    for number, target in enumerate(comparison.targets):
        for index, summary in _summaries(comparison, name):
            written = target_key(target)
            cost = summary.to_target[written]
            path = f"/summaries/{index}/to_target/{written}"
            cells = [
                measure(comparison.headline, target, f"/targets/{number}"),
                Cell(count(cost.reached, f"{path}/reached"), of=count(cost.of, f"{path}/of")),
                _cost(cost.train_s.mean, f"{path}/train_s/mean", ".1f", cost),
                factor(cost.speedup_train_s, f"{path}/speedup_train_s"),
                _cost(cost.passes.mean, f"{path}/passes/mean", ".0f", cost),
                factor(cost.speedup_passes, f"{path}/speedup_passes"),
            ]
            rows.append((key(comparison, summary.variant), cells))
    where = name or "all inputs"
    caption = (
        f"{where}: where the line between evaluations reaches the target, or at most "
        f"what the first evaluation had cost; speed-up over {comparison.baseline} over pairs in "
        "which both got there later, with its 95 % interval where there are four or more"
    )
    return Table(header, rows, caption=caption, name=where, groups=len(comparison.variants))


def _cost(value: float | None, path: str, form: str, cost: TargetSummary) -> Cell:
    """Write a cost, and whether some of it is an upper bound."""
    return replace(amount(value, path, form), remark="at most" if cost.at_most else "")


def _names(comparison: Comparison) -> list[str | None]:
    """List what has a table: all inputs together, where there are several, and each."""
    names = [entry.name for entry in comparison.inputs]
    return [None, *names] if len(names) > 1 else [*names]


def _summaries(comparison: Comparison, name: str | None) -> Sequence[tuple[int, Summary]]:
    return [(i, each) for i, each in enumerate(comparison.summaries) if each.input == name]
