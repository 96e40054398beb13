"""Inputs that are no files here: standard input, and addresses."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote, urlsplit

from nint_cli.errors import InputError

STDIN = "-"
"""What names standard input."""

_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")  # one letter is a drive of Windows
_READ = {"http", "https", "s3"}
_MOST = 1 << 30
_AT_ONCE = 1 << 22


def is_elsewhere(source: str) -> bool:
    """Tell whether an input has to be fetched before it can be read."""
    return source == STDIN or _ADDRESS.match(source) is not None


def plain(source: str) -> str:
    """Name an input by its path where it is an address of a file here, ``file://``.

    Args:
        source: As a user gave it.

    Returns:
        The path; anything else as it is.

    Raises:
        InputError: If it holds a password, which would stand in the records of a run.

    Example:
        >>> plain("file:///tmp/a%20b.png")
        '/tmp/a b.png'
    """
    found = _ADDRESS.match(source)
    if found is None:
        return source
    parts = urlsplit(source)
    if "@" in parts.netloc:
        host = parts.netloc.rpartition("@")[2]
        raise InputError(
            f"cannot use an address at '{host}' with a name or password in it, which would stand "
            "in the records of the run; download it first"
        )
    if found[1].lower() == "file" and parts.netloc in {"", "localhost"}:
        return unquote(parts.path)
    return source


def file_name(source: str) -> str:
    """Give the name that a file of an input would have.

    Args:
        source: A path, an address, or `STDIN`.

    Returns:
        A path, or its last part.

    Example:
        >>> file_name("https://example.org/pictures/a.png?size=large")
        'a.png'
    """
    if source == STDIN:
        return "stdin"
    if _ADDRESS.match(source):
        return unquote(urlsplit(source).path).rstrip("/").rpartition("/")[2]
    return source


def fetch(source: str, target: Path) -> None:
    """Copy an input into a file.

    Args:
        source: An address, or `STDIN`.
        target: The file, which is made.

    Raises:
        InputError: If it cannot be read, or is larger than a gigabyte.
    """
    shown = "standard input" if source == STDIN else f"'{source}'"
    size = 0
    try:
        with _opened(source) as stream, target.open("wb") as file:
            while size <= _MOST and (piece := stream.read(_AT_ONCE)):
                size += file.write(piece)
    except InputError:
        raise
    except ImportError as error:
        raise InputError(
            f"cannot read {shown}: that needs a package that is not installed ({error}); "
            "pip install 'nint[remote]', or download it first"
        ) from error
    except Exception as error:  # each client of the network has its own
        raise InputError(f"cannot read {shown}: {_reason(error)}") from error
    if size > _MOST:
        raise InputError(
            f"cannot use {shown}: more than {_MOST:,} bytes come from there; save it to a file, "
            "and name that"
        )
    if not size:
        raise InputError(f"cannot read {shown}: it is empty")


def _reason(error: BaseException) -> str:
    """Say why nothing came; fsspec calls whatever HTTP has to say a file that is not found."""
    cause = error.__cause__ if isinstance(error, FileNotFoundError) else error
    status, name = getattr(cause, "status", None), type(cause).__name__
    if cause is None or status in {404, 410}:
        return "there is nothing"
    if isinstance(status, int) and status > 0:
        return f"the server answers with an error, {status}"
    if "Redirect" in name:
        return "it leads to an address of another kind, or in circles"
    if name == "ClientPayloadError":
        return "the connection ended before all of it had come"
    reason = getattr(cause, "strerror", None) or " ".join(str(cause).split())
    return reason or name


@contextmanager
def _opened(source: str) -> Iterator[BinaryIO]:
    if source == STDIN:
        if sys.stdin.isatty():
            raise InputError("'-' is standard input, which is a terminal here; add < FILE")
        yield sys.stdin.buffer
        return
    protocol = source.partition("://")[0].lower()
    if protocol == "file":
        raise InputError(
            f"cannot read '{source}': a file on this machine has three slashes, file:///PATH"
        )
    if protocol not in _READ:
        raise InputError(
            f"cannot read '{source}': addresses of {protocol}:// are not read; download it first"
        )
    import fsspec

    options = {} if protocol == "s3" else {"block_size": 0}  # as a stream: not all know ranges
    with fsspec.open(source, "rb", **options) as stream:
        yield stream
