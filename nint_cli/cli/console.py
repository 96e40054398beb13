"""What goes to the screen: results to stdout, everything else to stderr, nothing unescaped."""

import os
import sys
import unicodedata
from collections.abc import Sequence

# Control, format (such as text direction), surrogate and line-separating characters.
_UNSAFE = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def printable(text: str) -> str:
    r"""Escape what could move the cursor, change colours, reorder or break a line.

    Args:
        text: Anything, such as a message with a file's name in it.

    Returns:
        One harmless line.

    Example:
        >>> print(printable("red\x1b[31m and\nnew"))
        red\x1b[31m and\nnew
    """
    return "".join(
        character.encode("unicode_escape").decode()
        if unicodedata.category(character) in _UNSAFE
        else character
        for character in text
    )


_quiet = False
_verbose = False


def set_loudness(*, quiet: bool, verbose: bool) -> None:
    """Choose what is shown: errors only, or tracebacks too."""
    global _quiet, _verbose
    _quiet, _verbose = quiet, verbose


def error(message: str) -> None:
    """Say what went wrong, in one line on stderr."""
    _write(f"nint: error: {printable(message)}\n")


def note(message: str) -> None:
    """Say something worth knowing, in one line on stderr."""
    if not _quiet:
        _write(f"nint: {printable(message)}\n")


def pass_on(line: str) -> None:
    """Show a line of another nint on stderr."""
    _write(f"{printable(line)}\n")


def result(text: str) -> None:
    """Give a result on stdout, for people and programs alike."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def table(title: str, rows: Sequence[tuple[str, str]]) -> None:
    """Show names and texts on stderr.

    Args:
        title: Above the table.
        rows: Cells; they may hold anything.
    """
    if _quiet:
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    grid = Table(title=Text(printable(title)), title_justify="left", show_header=False)
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for name, text in rows:
        grid.add_row(Text(printable(name)), Text(printable(text)))
    Console(stderr=True).print(grid)


def debugging() -> bool:
    """Tell whether the user wants tracebacks."""
    return _verbose or os.environ.get("NINT_DEBUG", "") not in {"", "0"}


def is_terminal() -> bool:
    """Tell whether stderr is a screen that can redraw a line."""
    return (
        sys.stderr.isatty()
        and os.environ.get("TERM", "") != "dumb"
        and not os.environ.get("CI", "")
    )


def _write(text: str) -> None:
    encoding = sys.stderr.encoding or "ascii"
    sys.stderr.write(text.encode(encoding, "backslashreplace").decode(encoding))
    sys.stderr.flush()
