"""log.jsonl: a row per evaluation or event, in which any row may be torn or odd."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from nint_cli.signals.json_text import parsed

_NUMBERS = ("train_s", "passes")
_PERHAPS = ("loss",)


def sound_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Read a log, and pass over what nint did not write so.

    Args:
        path: The file; there need be none.

    Yields:
        Rows that have a step, and unless they are of an event the times and passes until then.
    """
    try:
        lines = path.read_bytes().splitlines()
    except OSError:
        return
    for line in lines:
        try:
            row = parsed(line)
        except ValueError:
            continue
        if isinstance(row, dict) and _is_sound(row):
            yield row


def is_evaluation(row: Mapping[str, Any]) -> bool:
    """Tell a row of figures from one of an event."""
    return "event" not in row


def _is_sound(row: Mapping[str, Any]) -> bool:
    step = row.get("step")
    if not isinstance(step, int) or isinstance(step, bool) or step < 0:
        return False
    if not is_evaluation(row):
        return isinstance(row["event"], str)
    clock = row.get("clock", {})
    return (
        all(is_number(row.get(key)) for key in _NUMBERS)
        and all(row.get(key) is None or is_number(row[key]) for key in _PERHAPS)
        and isinstance(clock, dict)
        and all(is_number(seconds) for seconds in clock.values())
    )


def is_number(value: object) -> bool:
    """Tell a number of JSON from all else, true and false among it."""
    return isinstance(value, int | float) and not isinstance(value, bool)
