"""Where a command's one output file goes."""

from pathlib import Path

from nint_cli.atomic import Writer, write_by
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
