"""Figures of compare.json as cells of a table: each number shown has its full value beside it."""

from collections.abc import Sequence
from dataclasses import dataclass

from nint_cli.comparison.record import Interval, Spread
from nint_cli.metrics.text import shown


@dataclass(frozen=True)
class Figure:
    """A number together with its full value, so that a test can hold one to the other.

    Attributes:
        text: What is shown, rounded.
        value: The number itself, as compare.json has it.
        path: Where compare.json has it, a JSON pointer such as ``/summaries/0/value/mean``.
    """

    text: str
    value: float
    path: str


@dataclass(frozen=True)
class Cell:
    """A cell of a table.

    Attributes:
        content: A number or a text.
        kind: Its class: empty for numbers, ``text`` for words, ``soft`` for what is not there.
        tone: The class of the number, ``good`` or ``bad``; empty for neither.
        of: The count that the number is a part of.
        span: The ends of its range.
        remark: A text beside it.
        missing: How many runs have no number.
    """

    content: Figure | str
    kind: str = ""
    tone: str = ""
    of: Figure | None = None
    span: tuple[Figure, Figure] | None = None
    remark: str = ""
    missing: Figure | None = None


NOTHING = Cell("-", kind="soft")


@dataclass(frozen=True)
class Key:
    """A variant's name with the line that it has in plots.

    Attributes:
        name: Of the variant.
        colour: Of its line.
        line: Its style in CSS.
    """

    name: str
    colour: str
    line: str


@dataclass(frozen=True)
class Table:
    """A table with a row for each variant, or for each of its runs.

    Attributes:
        header: A title per column, that of the variants included.
        rows: The variant, and the other cells.
        caption: What the table says.
        name: What the box around it is called.
        groups: After how many rows a line is drawn; 0 for never.
        equal_time: The time that the caption ends with.
    """

    header: Sequence[str]
    rows: Sequence[tuple[Key, Sequence[Cell]]]
    caption: str
    name: str
    groups: int = 0
    equal_time: Figure | None = None

    @property
    def worded(self) -> set[int]:
        """Columns of words, which are set to the left with their titles."""
        return {
            column
            for _, cells in self.rows
            for column, cell in enumerate(cells, start=1)
            if cell.kind.startswith("text")
        }


def words(text: str, kind: str = "text") -> Cell:
    """Write a text.

    Args:
        text: The text.
        kind: Its classes, of which ``text`` is the first.
    """
    return Cell(text, kind=kind)


def count(value: int, path: str) -> Figure:
    """Write a whole number.

    Args:
        value: The number.
        path: Where compare.json has it.
    """
    return Figure(str(value), value, path)


def amount(value: float | None, path: str, form: str) -> Cell:
    """Write a number in a format of its own.

    Args:
        value: The number.
        path: Where compare.json has it.
        form: As in ``format(value, form)``.
    """
    return NOTHING if value is None else Cell(Figure(f"{value:{form}}", value, path))


def measure(key: str, value: float | None, path: str) -> Cell:
    """Write a measure with its unit; see `amount`.

    Args:
        key: Of the measure, such as ``psnr_db``.
        value: The number.
        path: Where compare.json has it.
    """
    return NOTHING if value is None else Cell(Figure(shown(key, value), value, path))


def spread(key: str, found: Spread, path: str) -> Cell:
    """Write a mean, with the ends of its range where there are several runs.

    Args:
        key: Of the measure.
        found: The spread.
        path: Where compare.json has it.
    """
    missing = count(found.missing, f"{path}/missing") if found.missing else None
    if found.mean is None:
        return Cell("-", kind="soft", missing=missing)
    span = None
    if found.count > 1 and found.low is not None and found.high is not None:
        span = (
            Figure(_bare(key, found.low), found.low, f"{path}/low"),
            Figure(_bare(key, found.high), found.high, f"{path}/high"),
        )
    mean = Figure(shown(key, found.mean), found.mean, f"{path}/mean")
    return Cell(mean, span=span, missing=missing)


def difference(key: str, gain: Interval | None, path: str) -> Cell:
    """Write a difference from the baseline with its interval, coloured where that leaves out 0.

    Args:
        key: Of the measure.
        gain: The difference; None for the baseline itself.
        path: Where compare.json has it.
    """
    return _interval(gain, path, "+.2f" if key.endswith("_db") else "+.4f", "", 0.0)


def factor(ratio: Interval | None, path: str) -> Cell:
    """Write a speed-up with its interval, coloured where that leaves out 1.

    Args:
        ratio: The speed-up; None where there is none.
        path: Where compare.json has it.
    """
    return _interval(ratio, path, ".2f", "x", 1.0)


def _interval(found: Interval | None, path: str, form: str, unit: str, nothing: float) -> Cell:
    if found is None:
        return NOTHING
    value = Figure(f"{found.value:{form}}{unit}", found.value, f"{path}/value")
    if found.low is None or found.high is None:
        return Cell(value, remark="no interval")
    tone = ""
    if not found.low <= nothing <= found.high:
        tone = "good" if found.value > nothing else "bad"
    low = Figure(f"{found.low:{form}}", found.low, f"{path}/low")
    high = Figure(f"{found.high:{form}}", found.high, f"{path}/high")
    return Cell(value, tone=tone, span=(low, high))


def _bare(key: str, value: float) -> str:
    return shown(key, value).removesuffix(" dB")
