"""Opening a run: its folder, and the newest of its checkpoints that is sound and its own."""

from collections.abc import Callable
from pathlib import Path

from nint_cli.errors import InputError, OutputError
from nint_cli.modalities.table import modality
from nint_cli.runs import checkpoint
from nint_cli.runs.checkpoint import Checkpoint
from nint_cli.runs.folder import RunFolder
from nint_cli.runs.inputs import KEPT
from nint_cli.runs.manifest import MANIFEST


def open_run(
    path: Path, *, lock: bool = False, note: Callable[[str], None] = lambda _: None
) -> RunFolder:
    """Open the folder of a run; a manifest that is missing or damaged is rebuilt.

    Args:
        path: The folder.
        lock: Whether to write in it.
        note: Told that the manifest was rebuilt, or why it could not be.

    Returns:
        The folder.

    Raises:
        InputError: If there is no run in it.
        OutputError: If it cannot be written, and is to be.
    """
    folder = RunFolder.found(path)
    if folder.has_manifest:
        return RunFolder.open(path, lock=lock)
    try:
        saved, _ = newest(folder)
    except InputError as error:
        raise InputError(
            f"'{path}' holds no run: there is no sound {MANIFEST} in it, nor a checkpoint to "
            "rebuild that from; fit into another folder with -o"
        ) from error
    signal, step = saved.signal, saved.state.numbers["step"]
    try:
        folder.rebuild_manifest(
            signal.source,
            [*modality(signal.kind).files.values(), KEPT],
            saved.run_id,
            signal.sha256,
        )
    except OutputError as error:
        if lock:
            raise
        note(f"'{path}' has no sound {MANIFEST}: {error}")
        return folder
    note(f"'{path}' had no sound {MANIFEST}; rebuilt from the checkpoint of step {step}")
    return RunFolder.open(path, lock=lock)


def newest(folder: RunFolder) -> tuple[Checkpoint, list[str]]:
    """Read the newest sound checkpoint of a run.

    Args:
        folder: The run's.

    Returns:
        The checkpoint, and why each newer one was passed over.

    Raises:
        InputError: If there is none, none is sound, or it is another run's.
    """
    faults: list[str] = []
    for path in folder.checkpoints():
        try:
            saved = checkpoint.read(path)
        except InputError as error:
            faults.append(str(error))
            continue
        _refuse_foreign(folder, path, saved.run_id, saved.signal.sha256)
        return saved, faults
    if faults:
        raise InputError(f"no sound checkpoint in '{folder.path}': {faults[0]}")
    raise InputError(f"no checkpoint in '{folder.path}'")


def refuse_foreign_checkpoints(folder: RunFolder) -> None:
    """See that the checkpoints of a run are its own, as far as they can be read.

    Args:
        folder: The run's; an InputError is raised if one of them is another run's.
    """
    for path in folder.checkpoints():
        try:
            whose = checkpoint.identity(path)
        except InputError:
            continue  # which is for those to say who need it
        _refuse_foreign(folder, path, *whose)


def _refuse_foreign(folder: RunFolder, path: Path, run_id: str | None, input_sha256: str) -> None:
    why = folder.why_foreign(run_id, input_sha256)
    if why is not None:
        raise InputError(
            f"'{path}' is {why}; remove it, or put back the checkpoint that was there"
        )
