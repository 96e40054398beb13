"""The folder that an inspection is written to; inspect.json says which files in it are its own."""

import contextlib
import os
from pathlib import Path

from nint_cli.atomic import write_whole
from nint_cli.errors import OutputError
from nint_cli.inspection.examine import PICTURES, Inspected
from nint_cli.inspection.record import Inspection
from nint_cli.runs.manifest import leads_out, read_document, read_manifest

JSON = "inspect.json"


def refuse_what_is_in_the_way(folder: Path) -> None:
    """See that nothing but an earlier inspection would be overwritten.

    Args:
        folder: The folder; it need not exist.

    Raises:
        OutputError: If a file that nint inspect did not write has a name that it needs, or the
            folder is a link in a run folder that leads out of it.
    """
    run = folder.parent
    if leads_out(folder, run) and read_manifest(run):
        raise OutputError(
            f"'{folder}' is a link that leads out of the run folder, which nint does not follow; "
            "choose another folder with -o"
        )
    own = _earlier(folder)
    for name in (JSON, *PICTURES):
        if name not in own and os.path.lexists(folder / name):
            raise OutputError(
                f"'{folder}' holds a '{name}' that nint inspect did not write; choose another "
                "folder with -o"
            )


def write(folder: Path, found: Inspected) -> str:
    """Write an inspection in the place of an earlier one.

    Args:
        folder: The folder; it is made if it is not there.
        found: What to write.

    Returns:
        The content of inspect.json.

    Raises:
        OutputError: If the folder cannot be made, or a file not be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise OutputError(
            f"cannot make the folder '{folder}': a file of that name is there; choose another "
            "with -o"
        ) from None
    except OSError as error:
        raise OutputError(
            f"cannot make the folder '{folder}': {error.strerror}; choose another with -o"
        ) from error
    old = _earlier(folder) & set(PICTURES) - set(found.pictures)
    document = found.evidence.model_dump_json(indent=2)
    # First, so that pictures are never there without it.
    write_whole(folder / JSON, document.encode() + b"\n")
    for name in old:
        with contextlib.suppress(OSError):
            (folder / name).unlink()
    for name, content in found.pictures.items():
        write_whole(folder / name, content)
    return document


def _earlier(folder: Path) -> set[str]:
    """Give the names of an earlier inspection's files; none where there is none."""
    try:
        found = Inspection.model_validate(read_document(folder / JSON, folder))
    except ValueError:
        return set()
    return {JSON, *found.files}
