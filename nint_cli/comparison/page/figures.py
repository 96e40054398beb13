"""The figures of a comparison: tables and plots."""

from collections.abc import Sequence

from nint_cli.comparison.page.markup import cell, escape, table, tabs
from nint_cli.comparison.page.plots import AXES, quality_plot, style
from nint_cli.comparison.record import Comparison, Interval, Spread, Summary
from nint_cli.comparison.table import difference
from nint_cli.report import label, shown

NOTHING = '<td class="soft">-</td>'


def summary_tables(comparison: Comparison) -> str:
    """Write a table of all inputs together, where there are several, and one of each."""
    names: list[str | None] = [entry.name for entry in comparison.inputs]
    if len(names) > 1:
        names.insert(0, None)
    return "".join(_summary_table(comparison, name) for name in names)


def _summary_table(comparison: Comparison, name: str | None) -> str:
    figure = comparison.headline
    header = [
        "variant",
        label(figure),
        f"over {comparison.baseline}",
        "at equal time",
        "over it",
        "training, s",
        "passes",
    ]
    rows = []
    equal = None
    for index, summary in _summaries(comparison, name):
        path = f"/summaries/{index}"
        equal = summary.equal_time_s
        rows.append((
            key(comparison, summary.variant),
            _spread(figure, summary.value, f"{path}/value"),
            _interval(figure, summary.gain, f"{path}/gain"),
            _spread(figure, summary.at_equal_time, f"{path}/at_equal_time"),
            _interval(figure, summary.gain_at_equal_time, f"{path}/gain_at_equal_time"),
            _amount(summary.train_s, f"{path}/train_s", ".1f"),
            _amount(summary.passes, f"{path}/passes", ".0f"),
        ))
    header = [escape(text) for text in header]
    where = "all inputs" if name is None else name
    when = "" if equal is None else f"; equal time: {equal:.1f} s of training"
    caption = f"{where}: mean [least, greatest] over runs, and 95 % intervals of differences{when}"
    return table(header, rows, caption=escape(caption))


def plots(comparison: Comparison) -> str:
    """Draw quality against time, steps and passes, for each input."""
    figure = comparison.headline
    unit = " (dB)" if figure.endswith("_db") else ""
    variants = [each.name for each in comparison.variants]
    found = []
    for number, entry in enumerate(comparison.inputs):
        runs = [run for run in comparison.runs if run.input == entry.name]
        panels = [
            (escape(f"against {title}"), f"<figure>{_labelled(svg, entry.name, title)}</figure>")
            for against, title in AXES.items()
            if (svg := quality_plot(runs, variants, against, label(figure) + unit))
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
    """Write what it takes to get to each target, for each input."""
    if not comparison.targets:
        return ""
    figure = comparison.headline
    found = ["<h2>Cost to a target</h2>"]
    names: list[str | None] = [entry.name for entry in comparison.inputs]
    names = [None, *names] if len(names) > 1 else names
    for name in names:
        header = ["variant", "target", "reached", "training, s", "speed-up", "passes", "speed-up"]
        rows = []
        for index, summary in _summaries(comparison, name):
            for target, cost in summary.to_target.items():
                path = f"/summaries/{index}/to_target/{target}"
                rows.append((
                    key(comparison, summary.variant),
                    f"<td>{escape(shown(figure, float(target)))}</td>",
                    cell(f"{cost.reached} of {cost.of}", cost.reached, f"{path}/reached"),
                    _amount(cost.train_s, f"{path}/train_s", ".1f"),
                    _factor(cost.speedup_train_s, f"{path}/speedup_train_s"),
                    _amount(cost.passes, f"{path}/passes", ".0f"),
                    _factor(cost.speedup_passes, f"{path}/speedup_passes"),
                ))
        caption = (
            f"{name or 'all inputs'}: first evaluation at the target; speed-up over "
            f"{comparison.baseline} with its 95 % interval, over pairs in which both got there"
        )
        found.append(table(header, rows, caption=escape(caption)))
    return "".join(found)


def tuning(comparison: Comparison) -> str:
    """Write which learning rates were tried, where each variant chose its own."""
    if not comparison.tuned:
        return ""
    figure = comparison.headline
    rows = []
    for number, variant in enumerate(comparison.variants):
        for index, trial in enumerate(variant.tuning):
            path = f"/variants/{number}/tuning/{index}"
            rows.append((
                key(comparison, variant.name),
                cell(f"{trial.lr:g}", trial.lr, f"{path}/lr"),
                NOTHING
                if trial.value is None
                else cell(escape(shown(figure, trial.value)), trial.value, f"{path}/value"),
                f"<td>{escape(trial.status)}</td>",
                f"<td>{'chosen' if trial.lr == variant.lr else ''}</td>",
            ))
    caption = "One run each on the first input, with a seed that is not among those compared"
    header = ["variant", "learning rate", label(figure), "status", ""]
    return "<h2>Learning rates</h2>" + table(header, rows, caption=caption)


def key(comparison: Comparison, variant: str) -> str:
    """Write a variant's name with the line that it has in plots."""
    index = [each.name for each in comparison.variants].index(variant)
    colour, dashes = style(index)
    kind = "solid" if not dashes else "dotted" if dashes[0] < 2 else "dashed"
    return f'<span class="key" style="border-top:3px {kind} {colour}"></span>{escape(variant)}'


def _summaries(comparison: Comparison, name: str | None) -> Sequence[tuple[int, Summary]]:
    return [(i, each) for i, each in enumerate(comparison.summaries) if each.input == name]


def _spread(figure: str, spread: Spread, path: str) -> str:
    if spread.mean is None:
        return NOTHING
    text = escape(shown(figure, spread.mean))
    if spread.count > 1:
        ends = (shown(figure, end).removesuffix(" dB") for end in (spread.low, spread.high))
        text += f' <span class="range">[{escape(", ".join(ends))}]</span>'
    if spread.missing:
        text += f' <span class="range">{spread.missing} missing</span>'
    return cell(text, spread.mean, f"{path}/mean")


def _interval(figure: str, gain: Interval | None, path: str) -> str:
    if gain is None:
        return NOTHING
    number, _, interval = difference(figure, gain).partition(" ")
    clear = gain.low is not None and gain.high is not None and not gain.low <= 0 <= gain.high
    kind = (' class="good"' if gain.value > 0 else ' class="bad"') if clear else ""
    text = f"<span{kind}>{number}</span>"
    if interval:
        text += f' <span class="range">{interval}</span>'
    return cell(text, gain.value, f"{path}/value")


def _factor(ratio: Interval | None, path: str) -> str:
    if ratio is None:
        return NOTHING
    text = f"{ratio.value:.2f}x"
    if ratio.low is not None and ratio.high is not None:
        text += f' <span class="range">[{ratio.low:.2f}, {ratio.high:.2f}]</span>'
    return cell(text, ratio.value, f"{path}/value")


def _amount(spread: Spread, path: str, form: str) -> str:
    if spread.mean is None:
        return NOTHING
    return cell(f"{spread.mean:{form}}", spread.mean, f"{path}/mean")
