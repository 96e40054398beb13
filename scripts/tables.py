"""What the scripts share: comparisons by `nint compare`, and tables in Markdown."""

import math
import statistics
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from nint_cli.comparison.record import Comparison


def compare(modality: str, sources: Sequence[str], output: Path, *words: str) -> Comparison:
    """Run `nint compare`, or go on with it; end the script where a run fails.

    Args:
        modality: What the inputs are.
        sources: The inputs.
        output: Folder of the report and its runs.
        words: The other options.

    Returns:
        The content of compare.json.
    """
    nint = [sys.executable, "-m", "nint_cli", "compare", modality, *sources]
    command = [*nint, "-o", str(output), *words]
    done = subprocess.run(command, stdout=subprocess.DEVNULL, check=False)
    if done.returncode:
        sys.exit(done.returncode)
    return Comparison.model_validate_json((output / "compare.json").read_bytes())


def mean(values: Iterable[float | None]) -> float | None:
    """Average the values; return None if any is missing, which no average should hide."""
    found = list(values)
    if not found or any(value is None or not math.isfinite(value) for value in found):
        return None
    return statistics.mean(value for value in found if value is not None)


def shown(value: float | None, digits: int = 2) -> str:
    """Write a figure for a table."""
    return "-" if value is None else f"{value:.{digits}f}"


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]], others: str = "---:") -> str:
    """Write a table in Markdown, the first column to the left and the others to the right.

    Args:
        header: A title per column.
        rows: The cells.
        others: How the columns after the first lie; ``---`` puts text to the left.
    """
    lines = [" | ".join(header), " | ".join(["---", *[others] * (len(header) - 1)])]
    lines += [" | ".join(row) for row in rows]
    return "".join(f"| {line} |\n" for line in lines)
