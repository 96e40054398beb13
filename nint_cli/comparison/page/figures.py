"""The figures of a comparison: tables and plots."""

from collections.abc import Sequence

from nint_cli.comparison.page.markup import cell, escape, figure, table, tabs
from nint_cli.comparison.page.methods import key
from nint_cli.comparison.page.numbers import amount, difference, factor, measure, spread
from nint_cli.comparison.page.plots import AXES, quality_plot
from nint_cli.comparison.reading import target_key
from nint_cli.comparison.record import Comparison, Summary
from nint_cli.report import label


def summary_tables(comparison: Comparison) -> str:
    """Write a table of all inputs together, where there are several, and one of each."""
    names: list[str | None] = [entry.name for entry in comparison.inputs]
    if len(names) > 1:
        names.insert(0, None)
    return "".join(_summary_table(comparison, name) for name in names)


def _summary_table(comparison: Comparison, name: str | None) -> str:
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
    when = ""
    for index, summary in _summaries(comparison, name):
        path = f"/summaries/{index}"
        if summary.equal_time_s is not None:
            seconds = figure(
                f"{summary.equal_time_s:.1f}", summary.equal_time_s, f"{path}/equal_time_s"
            )
            when = f"; equal time: {seconds} s of training"
        rows.append((
            key(comparison, summary.variant),
            spread(headline, summary.value, f"{path}/value"),
            difference(headline, summary.gain, f"{path}/gain"),
            spread(headline, summary.at_equal_time, f"{path}/at_equal_time"),
            difference(headline, summary.gain_at_equal_time, f"{path}/gain_at_equal_time"),
            amount(summary.train_s.mean, f"{path}/train_s/mean", ".1f"),
            amount(summary.passes.mean, f"{path}/passes/mean", ".0f"),
        ))
    where = escape("all inputs" if name is None else name)
    caption = f"{where}: mean [least, greatest] over runs, and 95 % intervals of differences{when}"
    return table([escape(text) for text in header], rows, caption=caption, name=where)


def plots(comparison: Comparison) -> str:
    """Draw quality against time, steps and passes, for each input."""
    headline = comparison.headline
    unit = " (dB)" if headline.endswith("_db") else ""
    variants = [each.name for each in comparison.variants]
    found = []
    for number, entry in enumerate(comparison.inputs):
        runs = [run for run in comparison.runs if run.input == entry.name]
        panels = [
            (escape(f"against {title}"), f"<figure>{_labelled(svg, entry.name, title)}</figure>")
            for against, title in AXES.items()
            if (
                svg := quality_plot(
                    runs, variants, against, label(headline) + unit, f"plot{number}-{against}"
                )
            )
        ]
        if panels:
            found.append(
                f"<h3>{escape(entry.name)}</h3>"
                + tabs(f"plot{number}", panels, "What quality is drawn against")
            )
    return "".join(found) or '<p class="soft">No run was evaluated.</p>'


def _labelled(svg: str, name: str, against: str) -> str:
    text = escape(f"Quality on {name} against {against}; the tables have the figures.")
    return svg.replace("<svg ", f'<svg role="img" aria-label="{text}" ', 1)


def target_tables(comparison: Comparison) -> str:
    """Write what it takes to get to each target, for each input, target by target."""
    if not comparison.targets:
        return ""
    names: list[str | None] = [entry.name for entry in comparison.inputs]
    names = [None, *names] if len(names) > 1 else names
    tables = [_target_table(comparison, name) for name in names]
    return "<h2>Cost to a target</h2>" + "".join(tables)


def _target_table(comparison: Comparison, name: str | None) -> str:
    header = ["variant", "target", "reached", "training, s", "speed-up", "passes", "in passes"]
    rows = []
    for number, target in enumerate(comparison.targets):
        for index, summary in _summaries(comparison, name):
            written = target_key(target)
            cost = summary.to_target[written]
            path = f"/summaries/{index}/to_target/{written}"
            reached = figure(str(cost.reached), cost.reached, f"{path}/reached")
            of = figure(str(cost.of), cost.of, f"{path}/of")
            rows.append((
                key(comparison, summary.variant),
                measure(comparison.headline, target, f"/targets/{number}"),
                cell(f"{reached} of {of}"),
                amount(cost.train_s.mean, f"{path}/train_s/mean", ".1f"),
                factor(cost.speedup_train_s, f"{path}/speedup_train_s"),
                amount(cost.passes.mean, f"{path}/passes/mean", ".0f"),
                factor(cost.speedup_passes, f"{path}/speedup_passes"),
            ))
    where = escape("all inputs" if name is None else name)
    caption = (
        f"{where}: first evaluation at the target; speed-up over {escape(comparison.baseline)} "
        "with its 95 % interval, over pairs in which both got there"
    )
    return table(header, rows, caption=caption, name=where, groups=len(comparison.variants))


def _summaries(comparison: Comparison, name: str | None) -> Sequence[tuple[int, Summary]]:
    return [(i, each) for i, each in enumerate(comparison.summaries) if each.input == name]
