"""A fitted field with all that it takes to use it, opened from a run or from a file."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from nint_cli.config.schema import RunConfig
from nint_cli.errors import InputError
from nint_cli.fields.base import Field
from nint_cli.fitted import safetensors_file
from nint_cli.fitted.compression import container
from nint_cli.runs import checkpoint
from nint_cli.runs.checkpoint import Checkpoint
from nint_cli.runs.opening import newest, open_run
from nint_cli.signals.record import SignalRecord


@dataclass(frozen=True)
class Fitted:
    """A fitted field.

    Attributes:
        path: The run folder or the file that it is from.
        config: The settings of its run; of a file, those that it keeps, the rest built in.
        signal: What it was fitted to: how coordinates and values are meant.
        field: The field on the CPU, float32, with averaged parameters where the run averages.
        step: The step it is of; None where a file does not say.
    """

    path: Path
    config: RunConfig
    signal: SignalRecord
    field: Field
    step: int | None


def open_fitted(
    path: Path, step: int | None = None, note: Callable[[str], None] = lambda _: None
) -> Fitted:
    """Open a fitted field.

    Args:
        path: A run folder, one of its checkpoints, or a file that `nint export` or
            `nint compress` wrote.
        step: The step of a kept checkpoint of a run; None takes the newest sound one.
        note: Told of damaged checkpoints that are passed over.

    Returns:
        The field.

    Raises:
        InputError: If there is none, it is damaged, or there is no checkpoint of that step.
    """
    if path.is_dir():
        saved = _of_run(path, step, note)
    elif not path.is_file():
        raise InputError(f"cannot open '{path}': no such run folder or file")
    elif step is not None:
        raise InputError(f"'{path}' is a file and holds one step; leave out --step")
    elif safetensors_file.is_one(path):
        return Fitted(path, *safetensors_file.read(path))
    elif container.is_one(path):
        return Fitted(path, *container.read(path))
    else:
        saved = _of_checkpoint(path)
    found = checkpoint.rebuild_field(saved)
    return Fitted(path, saved.config, saved.signal, found, saved.state.numbers["step"])


def _of_checkpoint(path: Path) -> Checkpoint:
    try:
        return checkpoint.read(path)
    except InputError as error:
        raise InputError(
            f"{error}; what opens is a run folder, its checkpoints, and what nint compress and "
            "nint export --format safetensors write"
        ) from error


def _of_run(path: Path, step: int | None, note: Callable[[str], None]) -> Checkpoint:
    with open_run(path, note=note) as folder:
        if step is None:
            saved, faults = newest(folder)
            for fault in faults:
                note(f"{fault}; taking the checkpoint before it")
            return saved
        kept = {int(each.stem.removeprefix("step-")): each for each in folder.checkpoints()}
        if step not in kept:
            steps = ", ".join(str(each) for each in sorted(kept)) or "none"
            raise InputError(
                f"'{path}' keeps no checkpoint of step {step}; it has {steps} "
                "(more are kept by --set checkpoint.keep=null)"
            )
        return checkpoint.read(kept[step])
