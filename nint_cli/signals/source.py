"""Files read with a limit, so that none that has no end takes all memory."""

import io
import re
from pathlib import Path
from typing import BinaryIO, Self

from nint_cli.signals.elsewhere import file_name, is_elsewhere, plain

_BLOCK = 1 << 22

SAMPLE_PREFIX = "sample:"
"""What the name of a built-in input begins with."""


ARRAY_PREFIX = "array:"
"""What the name of an input begins with that was an array in Python, and no file."""

MOST_STREAMED = 1 << 28
"""Bytes that are taken from what has no size of its own: a pipe, a device, standard input."""


class Held(str):
    """The name of an input that is no file, and what it is.

    Attributes:
        content: The input itself.
    """

    __slots__ = ("content",)
    content: object

    def __new__(cls, name: str, content: object) -> Self:
        """Make a name that brings its content along."""
        held = super().__new__(cls, name)
        held.content = content
        return held


def read_up_to(source: Path | BinaryIO, most: int) -> bytes:
    """Read a file or a stream, or of a longer one a block more than so many bytes.

    The content is in memory once, and not a second time while it is put together.

    Args:
        source: The file, or a stream that is open for reading; that one is left open.
        most: Bytes beyond which nobody needs the rest.

    Returns:
        Its content; longer than `most`, by a block at most, where it goes on.
    """
    if isinstance(source, Path):
        with source.open("rb", buffering=0) as file:
            return read_up_to(file, most)
    content = io.BytesIO()
    while content.tell() <= most and (block := source.read(_BLOCK)):
        content.write(block)
    return content.getvalue()


def bare_name(source: str) -> str:
    """Return the name of an input without its folder or server, for files that are passed on.

    Args:
        source: A path, an address, ``-`` for standard input, or ``sample:NAME``.

    Returns:
        Its last part; ``sample:NAME`` as it is.

    Example:
        >>> bare_name("/home/me/a.png"), bare_name("sample:cat")
        ('a.png', 'sample:cat')
    """
    if source.startswith((SAMPLE_PREFIX, ARRAY_PREFIX)):
        return source
    return re.split(r"[/\\]", file_name(source))[-1]


def distinct_stem(source: str) -> str:
    """Make a name for a folder that no other input gets.

    Args:
        source: A path, an address, ``-``, or ``sample:NAME``.

    Returns:
        Its `source_stem`, extended by a hash of its absolute path.
    """
    import hashlib  # not at the top, for help loads this module and is to answer at once

    name = identity(source).encode("utf-8", "surrogateescape")
    return f"{source_stem(source)}-{hashlib.sha256(name).hexdigest()[:8]}"


def source_stem(source: str) -> str:
    """Make a harmless name for a folder from an input.

    Args:
        source: A path, an address, ``-``, or ``sample:NAME``.

    Returns:
        Letters, digits, dots, dashes and underscores; neither empty nor long.
    """
    stem = Path(file_name(plain(source.removeprefix(SAMPLE_PREFIX)))).stem
    return re.sub(r"[^\w.-]+", "_", stem).strip("._-")[:80] or "input"


def identity(source: str) -> str:
    """Name an input independently of the working folder.

    Args:
        source: A path, an address, ``-``, or ``sample:NAME``.

    Returns:
        The absolute path; a sample, an array that has no path, standard input and addresses as
        they are.
    """
    source = plain(source)
    named = source.startswith((SAMPLE_PREFIX, ARRAY_PREFIX)) or is_elsewhere(source)
    return source if named else str(Path(source).absolute())
