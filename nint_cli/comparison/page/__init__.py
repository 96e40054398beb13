"""report.html."""

from pathlib import Path

from nint_cli.comparison.record import Comparison


def render(comparison: Comparison, root: Path) -> str:
    """Write the page."""
    return f"<!doctype html><title>nint</title>{comparison.baseline}{root}"
