"""The table of a comparison, as text."""

from collections.abc import Sequence

from nint_cli.comparison.reading import target_key
from nint_cli.comparison.record import Comparison, Interval, Spread, Summary
from nint_cli.metrics.text import shown
from nint_cli.modalities.table import label


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
    unit = ", dB" * figure.endswith("_db")
    header = ["", label(figure) + unit, f"over {comparison.baseline}", "equal time", "time, s"]
    if target is not None:
        header += [f"to {shown(figure, target)}, s", "speed-up"]
    rows = []
    for summary in overall(comparison):
        row = [
            summary.variant,
            _bare(figure, summary.value),
            difference(figure, summary.gain),
            _bare(figure, summary.at_equal_time),
            _seconds(summary.train_s.mean),
        ]
        if target is not None:
            cost = summary.to_target[target_key(target)]
            some = f" ({cost.reached} of {cost.of})" * (cost.reached < cost.of)
            bound = "at most " * (cost.at_most > 0)
            speed_up = cost.speedup_train_s
            row += [
                bound + _seconds(cost.train_s.mean) + some,
                "-" if speed_up is None else f"{speed_up.value:.2f}x",
            ]
        rows.append(row)
    runs = max((each.value.count + each.value.missing for each in overall(comparison)), default=0)
    inputs = ", ".join(entry.name for entry in comparison.inputs)
    said = intervals(overall(comparison))
    title = f"{inputs}: {runs} run{'s' * (runs != 1)} each"
    return f"{title}; {said}" if said else title, header, rows


def intervals(summaries: Sequence[Summary]) -> str:
    """Return what the mean differences are over, and why some have no interval.

    Args:
        summaries: Of all variants on one input, or on all.

    Returns:
        A few words; empty where there is no difference.
    """
    found = {each.variant: said(each.gain) for each in summaries if each.gain is not None}
    if len(set(found.values())) == 1:
        return f"differences are {next(iter(found.values()))}"
    return "differences are " * bool(found) + ", ".join(
        f"{text} for {variant}" for variant, text in found.items()
    )


def said(gain: Interval) -> str:
    """Return what a mean difference is over, and whether it has an interval."""
    return f"over {gain.over}, with " + (gain.reason or "95 % intervals")


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


def _bare(figure: str, spread: Spread) -> str:
    text = "-" if spread.mean is None else shown(figure, spread.mean).removesuffix(" dB")
    return text + f" ({spread.missing} missing)" * (spread.missing > 0)


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
