"""Files that are written whole or not at all."""

import contextlib
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from nint_cli.errors import OutputError

Writer = Callable[[BinaryIO], object]
"""Writes a file's content into the open file."""


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that its name shows the old content or the new, never a part.

    A temporary file in the same folder is written, flushed to the disk, read back and renamed;
    then the folder itself is flushed.

    Args:
        path: The file.
        data: Its content; an OutputError is raised if it cannot be written, and the old file, if
            any, is untouched.
    """
    _replace(path, lambda file: file.write(data), lambda written: written.read_bytes() == data)


def write_by(path: Path, writer: Writer) -> None:
    """Write a file as `write_whole` does, where its content would fill the memory.

    It is not read back, for there is nothing to compare it with.

    Args:
        path: The file.
        writer: Writes the content into a file that is open for that; may seek and read. If it
            fails the old file, if any, is untouched, and an OSError becomes an OutputError.
    """
    _replace(path, writer, lambda _: True)


def _replace(path: Path, writer: Writer, is_sound: Callable[[Path], bool]) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("x+b") as file:
            writer(file)
            file.flush()
            os.fsync(file.fileno())
        if not is_sound(temporary):
            raise OutputError(f"cannot write '{path}': it reads back otherwise")
        temporary.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise OutputError(f"cannot write '{path}': {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
