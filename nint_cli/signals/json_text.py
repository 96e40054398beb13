"""JSON that others may have written or damaged: every fault of it is a ValueError."""

import json
import math
from typing import Any

_MOST_DEEP = 100
_MOST_DIGITS = 20  # of an integer of 64 bits


def parsed(text: str | bytes) -> Any:  # noqa: ANN401 (whatever it holds)
    """Read a JSON document.

    Args:
        text: The document.

    Returns:
        Plain data, nested at most a hundred deep, whose numbers are finite and not beyond 64 bits.

    Raises:
        ValueError: If it is no JSON, or holds what nint never writes.
    """
    try:
        found = json.loads(
            text, parse_int=_integer, parse_float=_number, parse_constant=_not_finite
        )
    except RecursionError:
        raise ValueError("nested too deep") from None
    level = [found]
    for _ in range(_MOST_DEEP):
        level = [
            part
            for each in level
            if isinstance(each, dict | list)
            for part in (each.values() if isinstance(each, dict) else each)
        ]
        if not level:
            return found
    raise ValueError("nested too deep")


def _integer(digits: str) -> int:
    if len(digits) > _MOST_DIGITS:
        raise ValueError("an integer beyond 64 bits")
    return int(digits)


def _number(digits: str) -> float:
    found = float(digits)
    if not math.isfinite(found):
        _not_finite(digits)
    return found


def _not_finite(name: str) -> float:
    raise ValueError(f"{name[:20]} is not finite")
