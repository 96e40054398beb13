"""What `fit` and `resume` share: signals, progress, and how an outcome is told."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from nint_cli.cli import console
from nint_cli.cli.interrupts import interrupts
from nint_cli.errors import ConfigError
from nint_cli.modalities.table import label
from nint_cli.runs.control import Control

if TYPE_CHECKING:
    from nint_cli.metrics.schema import RunMetrics
    from nint_cli.runs.fit import Outcome

_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


def seconds(text: str | None, flag: str) -> float | None:
    """Read a duration.

    Args:
        text: A number with ``s``, ``m`` or ``h`` behind it, such as ``90s``; or None.
        flag: Where it was given, for messages.

    Returns:
        Seconds, or None.

    Raises:
        ConfigError: If it is no duration.

    Example:
        >>> seconds("1.5m", "--time-budget")
        90.0
    """
    if text is None:
        return None
    match = re.fullmatch(r"(\d+(?:\.\d*)?|\.\d+)\s*([a-z]*)", text.strip())
    if match is None or match[2] not in _UNITS:
        raise ConfigError(f"{flag} {text}: expected a duration such as 90s, 5m or 1h")
    return float(match[1]) * _UNITS[match[2]]


@contextmanager
def steered(progress: str, demands: Mapping[str, bool] | None = None) -> Iterator[Control]:
    """Watch a run and let signals steer it, as `interrupts` has them.

    Args:
        progress: As `--progress` gives it.
        demands: Attributes of `Control` that say what is an error, such as `require_target`.

    Yields:
        What a fit takes.
    """
    from nint_cli.cli.progress import choose

    with interrupts.in_order(wanted=False):
        yield Control(
            progress=choose(progress),
            note=console.note,
            stop_signal=lambda: interrupts.stopped_by,
            save_now=interrupts.wants_save,
            in_order=interrupts.in_order,
            **(demands or {}),
        )


def tell(outcome: "Outcome", title: str) -> int:
    """Tell how a fit ended, on stderr.

    Args:
        outcome: The outcome.
        title: Above the table.

    Returns:
        The exit code.
    """
    from nint_cli.metrics.text import divergence, summary
    from nint_cli.runs.folder import METRICS

    metrics, path = outcome.metrics, outcome.path
    if outcome.target_missed:
        console.error(f"the target was missed by the run in '{path}'; nint resume can go on")
        return 7
    if metrics is None or outcome.kept:
        return 0
    if metrics.status == "diverged":
        console.error(
            f"{divergence(metrics)}; what is in '{path}' is the last good state; "
            "try a smaller --lr"
        )
    elif metrics.status == "interrupted":
        console.note(
            f"interrupted after {metrics.steps} steps; go on with `nint resume` and '{path}'"
        )
    names = {**outcome.files, "metrics": METRICS}
    files = {name: str(path / file) for name, file in names.items() if (path / file).exists()}
    console.table(title, summary(metrics, files))
    if metrics.exit_code == 5 and metrics.status != "diverged":
        console.error(f"no surface, so no mesh was written; see '{path / METRICS}'")
    if metrics.exit_code == 7:
        console.error(f"the target was missed: {_missed(metrics)} after {metrics.steps} steps")
    return metrics.exit_code


def _missed(metrics: "RunMetrics") -> str:
    """Say what a run reached of the targets that its configuration sets."""
    from nint_cli.metrics.text import shown as written

    targets = [
        key.removeprefix("target_")
        for key, value in metrics.config["stop"].items()
        if key.startswith("target_") and value is not None
    ]
    return ", ".join(f"{label(key)} {written(key, metrics.figure(key))}" for key in targets)


def shown(path: Path) -> str:
    """Give a path as one harmless line for stdout."""
    return console.printable(str(path))
