"""Where a command's one output, a file or a folder of a few files, goes."""

import os
import secrets
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path

from nint_cli.atomic import Writer, write_by, write_whole
from nint_cli.errors import OutputError


def refuse_existing(path: Path, *, overwrite: bool) -> None:
    """See, before anything is computed, that an output can be written.

    Args:
        path: The file that is to be written.
        overwrite: Whether it may replace another one.

    Raises:
        OutputError: If it exists and may not be replaced, is a folder, or its folder is missing.
    """
    if path.is_dir():
        raise OutputError(f"cannot write '{path}': it is a folder; name a file")
    if path.exists() and not overwrite:
        raise OutputError(f"'{path}' exists; choose another name or give --overwrite")
    _refuse_missing_parent(path)


def _refuse_missing_parent(path: Path) -> None:
    if not path.absolute().parent.is_dir():
        raise OutputError(f"cannot write '{path}': there is no folder '{path.absolute().parent}'")


def write_output(path: Path, writer: Writer, *, overwrite: bool) -> None:
    """Write a file whole or not at all.

    Args:
        path: The file.
        writer: Writes its content into a file that is open for writing, seeking and reading.
        overwrite: Whether it may replace another one; see `refuse_existing`.
    """
    refuse_existing(path, overwrite=overwrite)
    write_by(path, writer)


def refuse_other_folder(path: Path, names: Collection[str], *, overwrite: bool) -> None:
    """See, before anything is computed, that a folder can be written.

    Args:
        path: The folder that is to be made.
        names: The files that will be in it.
        overwrite: Whether it may replace a folder that holds such files and no others.

    Raises:
        OutputError: If it exists and may not be replaced, is a file or a link, or its folder is
            missing.
    """
    if os.path.lexists(path):
        if path.is_symlink() or not path.is_dir():
            raise OutputError(f"cannot make the folder '{path}': it is a file; name a folder")
        if not overwrite:
            raise OutputError(f"'{path}' exists; choose another name or give --overwrite")
        others = sorted({each.name for each in path.iterdir()} - {*names})
        if others:
            raise OutputError(
                f"'{path}' holds other files, such as '{others[0]}', which --overwrite would "
                "remove; choose another name"
            )
    _refuse_missing_parent(path)


def write_folder(path: Path, files: Mapping[str, bytes], *, overwrite: bool) -> None:
    """Write a folder whole or not at all.

    Args:
        path: The folder.
        files: Contents by name.
        overwrite: Whether it may replace another one; see `refuse_other_folder`.

    Raises:
        OutputError: If it cannot be written; what was there is untouched.
    """
    refuse_other_folder(path, files, overwrite=overwrite)
    mark = f"{os.getpid()}-{secrets.token_hex(4)}.tmp"
    fresh, old = (path.with_name(f".{path.name}.{kind}-{mark}") for kind in ("new", "old"))
    try:
        fresh.mkdir()
        for name, content in files.items():
            write_whole(fresh / name, content)
        _put_in_place(fresh, path, old)
    except OSError as error:
        raise OutputError(f"cannot write '{path}': {error.strerror or error}") from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def _put_in_place(fresh: Path, path: Path, old: Path) -> None:
    if path.is_dir():
        path.replace(old)
    try:
        fresh.replace(path)
    finally:
        if old.exists() and not path.exists():
            old.replace(path)
