"""Files read with a limit, so that none that has no end takes all memory."""

import re
from pathlib import Path

from nint_cli.signals.elsewhere import file_name, is_elsewhere, plain

SAMPLE_PREFIX = "sample:"
"""What the name of a built-in input begins with."""


def read_up_to(path: Path, most: int) -> bytes:
    """Read a file, or of a longer one a little more than so many bytes.

    Args:
        path: The file.
        most: Bytes beyond which nobody needs the rest.

    Returns:
        Its content; longer than `most` where it goes on.
    """
    pieces, size = [], 0
    with path.open("rb") as file:
        while size <= most and (piece := file.read(1 << 22)):
            pieces.append(piece)
            size += len(piece)
    return b"".join(pieces)


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
        The absolute path; a sample, standard input and addresses as they are.
    """
    source = plain(source)
    named = source.startswith(SAMPLE_PREFIX) or is_elsewhere(source)
    return source if named else str(Path(source).absolute())
