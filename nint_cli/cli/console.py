"""What goes to the screen: results to stdout, everything else to stderr, nothing unescaped."""

import errno
import io
import os
import pathlib
import stat
import sys
import traceback
import unicodedata
from collections.abc import Sequence

from nint_cli.errors import OutOfMemoryError, OutputError, is_out_of_memory

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
    """Give a result on stdout, for people and programs alike.

    Args:
        text: The result. Whoever was to read it may have gone, such as `head` or a terminal that
            was closed; there is nobody to tell, and what was done stands.

    Raises:
        OutputError: If stdout cannot take it for another reason, such as a full disk.
    """
    try:
        sys.stdout.write(_encodable(text + "\n", sys.stdout.encoding))
        sys.stdout.flush()
    except OSError as error:
        terminal = stat.S_ISCHR(os.fstat(sys.stdout.fileno()).st_mode)
        _discard(sys.stdout.fileno())
        if error.errno != errno.EPIPE and not (terminal and error.errno == errno.EIO):
            raise OutputError(f"cannot write to stdout: {error.strerror}") from error


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
    screen = Console(stderr=True)
    with screen.capture() as captured:
        screen.print(grid)
    _write(captured.get())


def grid(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Show a table with a header on stderr, its first column to the left, the others to the right.

    Args:
        title: Above the table.
        header: A name per column.
        rows: Cells; they may hold anything.
    """
    if _quiet:
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    found = Table(title=Text(printable(title)), title_justify="left", box=box.SIMPLE_HEAD)
    for index, name in enumerate(header):
        found.add_column(Text(printable(name)), justify="right" if index else "left")
    for row in rows:
        found.add_row(*(Text(printable(cell)) for cell in row))
    screen = Console(stderr=True)
    with screen.capture() as captured:
        screen.print(found)
    _write(captured.get())


class Stderr(io.TextIOBase):
    """stderr, for what draws itself; it takes everything, whether or not somebody listens."""

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """The encoding of stderr."""
        return sys.stderr.encoding or "ascii"

    def write(self, text: str) -> int:
        """Write."""
        _write(text)
        return len(text)

    def flush(self) -> None:
        """Do nothing; writing flushes."""

    def fileno(self) -> int:
        """Give the descriptor, by which a terminal is asked for its width."""
        return sys.stderr.fileno()


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


def open_standard_streams() -> None:
    """Give a process that was started without stdin, stdout or stderr a void in their place.

    Otherwise the first files that it opens would take their numbers.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, pathlib.Path(os.devnull).open(mode, encoding="utf-8"))


def _write(text: str) -> None:
    """Write to stderr; a fit goes on where nobody listens any more."""
    try:
        sys.stderr.write(_encodable(text, sys.stderr.encoding))
        sys.stderr.flush()
    except OSError:
        _discard(sys.stderr.fileno())


def _encodable(text: str, encoding: str | None) -> str:
    """Escape what a stream cannot show."""
    return text.encode(encoding or "ascii", "backslashreplace").decode(encoding or "ascii")


def _discard(descriptor: int) -> None:
    """Let all that is still written to a stream vanish."""
    void = os.open(os.devnull, os.O_WRONLY)
    os.dup2(void, descriptor)
    os.close(void)


def unexpected(fault: Exception) -> int:
    """Report what no one foresaw; memory that ran out is not a bug.

    Args:
        fault: What was raised.

    Returns:
        The exit code.
    """
    if debugging():
        traceback.print_exception(fault)
    text = str(fault).strip().partition("\n")[0]
    if is_out_of_memory(fault):
        error(f"out of memory ({text}); use a smaller picture, --set image.size=512")
        return OutOfMemoryError.exit_code
    error(
        f"internal error: {type(fault).__name__}: {text}. This is a bug in nint; please report "
        "it with what NINT_DEBUG=1 prints"
    )
    return 1
