"""The table of a comparison, as text."""

from nint_cli.comparison.reading import target_key
from nint_cli.comparison.record import Comparison, Interval, Spread, Summary
from nint_cli.report import label, shown


def overall(comparison: Comparison) -> list[Summary]:
    """Give the summaries that say most: those of all inputs together, or of the only one.

    Args:
        comparison: The comparison.

    Returns:
        One per variant, in their order.
    """
    several = len(comparison.inputs) > 1
    return [each for each in comparison.summaries if (each.input is None) == several]


def table(comparison: Comparison) -> tuple[str, list[str], list[list[str]]]:
    """Write the figures that people ask for first.

    Args:
        comparison: The comparison.

    Returns:
        A title, a header, and a row per variant.
    """
    figure = comparison.headline
    target = comparison.targets[-1] if comparison.targets else None
    header = ["", label(figure), f"over {comparison.baseline}", "at equal time", "time", "passes"]
    if target is not None:
        header += [f"to {shown(figure, target)}", "speed-up"]
    rows = []
    for summary in overall(comparison):
        row = [
            summary.variant,
            figures_of(figure, summary.value),
            difference(figure, summary.gain),
            figures_of(figure, summary.at_equal_time),
            _seconds(summary.train_s.mean),
            "-" if summary.passes.mean is None else f"{summary.passes.mean:.0f}",
        ]
        if target is not None:
            cost = summary.to_target[target_key(target)]
            row += [
                f"{_seconds(cost.train_s.mean)} ({cost.reached} of {cost.of})",
                factor(cost.speedup_train_s),
            ]
        rows.append(row)
    runs = max((each.value.count + each.value.missing for each in overall(comparison)), default=0)
    inputs = ", ".join(entry.name for entry in comparison.inputs)
    return f"{inputs}: {runs} run{'s' * (runs != 1)} each", header, rows


def figures_of(figure: str, spread: Spread) -> str:
    """Write mean and range of a figure.

    Args:
        figure: Its key.
        spread: Its values.
    """
    if spread.mean is None or spread.low is None or spread.high is None:
        return "-"
    text = shown(figure, spread.mean)
    if spread.count > 1:
        low, high = (shown(figure, end).removesuffix(" dB") for end in (spread.low, spread.high))
        text += f" [{low}, {high}]"
    return text + (f", {spread.missing} missing" if spread.missing else "")


def difference(figure: str, gain: Interval | None) -> str:
    """Write a difference from the baseline with its interval.

    Args:
        figure: Its key.
        gain: The difference; None for the baseline itself.
    """
    if gain is None:
        return "-"
    digits = 2 if figure.endswith("_db") else 4
    text = f"{gain.value:+.{digits}f}"
    if gain.low is not None and gain.high is not None:
        text += f" [{gain.low:+.{digits}f}, {gain.high:+.{digits}f}]"
    return text


def factor(ratio: Interval | None) -> str:
    """Write a speed-up with its interval.

    Args:
        ratio: The speed-up; None where there is none.
    """
    if ratio is None:
        return "-"
    text = f"{ratio.value:.2f}x"
    if ratio.low is not None and ratio.high is not None:
        text += f" [{ratio.low:.2f}, {ratio.high:.2f}]"
    return text


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} s"
