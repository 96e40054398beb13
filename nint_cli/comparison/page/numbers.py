"""Figures of compare.json as cells of a table: each number shown has its full value beside it."""

from nint_cli.comparison.page.markup import cell, escape, figure
from nint_cli.comparison.record import Interval, Spread
from nint_cli.report import shown

NOTHING = '<td class="soft">-</td>'


def amount(value: float | None, path: str, form: str) -> str:
    """Write a number in a format of its own.

    Args:
        value: The number.
        path: Where compare.json has it.
        form: As in ``format(value, form)``.
    """
    return NOTHING if value is None else cell(figure(f"{value:{form}}", value, path))


def measure(key: str, value: float | None, path: str) -> str:
    """Write a measure with its unit; see `amount`.

    Args:
        key: Of the measure, such as ``psnr_db``.
        value: The number.
        path: Where compare.json has it.
    """
    return NOTHING if value is None else cell(figure(shown(key, value), value, path))


def spread(key: str, found: Spread, path: str) -> str:
    """Write a mean, with the ends of its range where there are several runs.

    Args:
        key: Of the measure.
        found: The spread.
        path: Where compare.json has it.
    """
    missing = ""
    if found.missing:
        count = figure(str(found.missing), found.missing, f"{path}/missing")
        missing = f' <span class="range">{count} missing</span>'
    if found.mean is None:
        return f'<td class="soft">-{missing}</td>'
    text = figure(shown(key, found.mean), found.mean, f"{path}/mean")
    if found.count > 1 and found.low is not None and found.high is not None:
        low = figure(_bare(key, found.low), found.low, f"{path}/low")
        high = figure(_bare(key, found.high), found.high, f"{path}/high")
        text += f' <span class="range">[{low}, {high}]</span>'
    return cell(text + missing)


def difference(key: str, gain: Interval | None, path: str) -> str:
    """Write a difference from the baseline with its interval, coloured where that leaves out 0.

    Args:
        key: Of the measure.
        gain: The difference; None for the baseline itself.
        path: Where compare.json has it.
    """
    return _interval(gain, path, "+.2f" if key.endswith("_db") else "+.4f", "", 0.0)


def factor(ratio: Interval | None, path: str) -> str:
    """Write a speed-up with its interval, coloured where that leaves out 1.

    Args:
        ratio: The speed-up; None where there is none.
        path: Where compare.json has it.
    """
    return _interval(ratio, path, ".2f", "x", 1.0)


def _interval(found: Interval | None, path: str, form: str, unit: str, nothing: float) -> str:
    if found is None:
        return NOTHING
    text = figure(f"{found.value:{form}}{unit}", found.value, f"{path}/value")
    if found.low is None or found.high is None:
        return cell(f'{text} <span class="range">one pair</span>')
    if not found.low <= nothing <= found.high:
        text = f'<span class="{"good" if found.value > nothing else "bad"}">{text}</span>'
    low = figure(f"{found.low:{form}}", found.low, f"{path}/low")
    high = figure(f"{found.high:{form}}", found.high, f"{path}/high")
    return cell(f'{text} <span class="range">[{low}, {high}]</span>')


def _bare(key: str, value: float) -> str:
    return escape(shown(key, value).removesuffix(" dB"))
