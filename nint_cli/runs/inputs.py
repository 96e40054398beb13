"""From a configuration and the name of an input to what a run fits."""

import shutil
import tempfile
import weakref
from pathlib import Path

import torch

from nint_cli.config.schema import RunConfig
from nint_cli.errors import InputError
from nint_cli.modalities.base import ReadSaved, Setup, Subject, nothing_saved
from nint_cli.modalities.table import modality
from nint_cli.signals.elsewhere import STDIN, fetch, file_name, is_elsewhere, plain
from nint_cli.signals.record import SignalRecord

KEPT = "input"
"""Name of the file that keeps in a run's folder what came from standard input."""

_MOST_KEPT = 1 << 26


def read_input(
    kind: str,
    source: str,
    config: RunConfig,
    device: torch.device,
    like: SignalRecord | None = None,
    saved_files: ReadSaved = nothing_saved,
    *,
    own: bool = True,
) -> Subject:
    """Read an input as a configuration says.

    Args:
        kind: The modality.
        source: A file, an address, ``-`` for standard input, or ``sample:NAME``.
        config: How to read and to judge it.
        device: Where the signal is kept.
        like: See `Subject.read`.
        saved_files: See `Subject.read`; where there are some, there is a run, which keeps what
            came from standard input.
        own: Whether the input is that of this run.

    Returns:
        The input, ready to be fitted.

    Raises:
        InputError: If it cannot be read.
    """
    setup = Setup(
        device=device,
        evaluation=config.evaluation,
        metrics=config.metrics,
        seed=config.seed,
        tuned=config.recipe == "tuned",
        holdout=config.holdout,
    )
    read, settings = modality(kind).read, config.section(kind)
    source = plain(source)
    if not is_elsewhere(source):
        return read(source, settings, setup, like, saved_files)
    folder = tempfile.mkdtemp(prefix="nint-")
    path = Path(folder, KEPT + Path(file_name(source)).suffix)
    try:
        if source == STDIN and own and saved_files is not nothing_saved:
            path.write_bytes(_kept(saved_files))
        else:
            fetch(source, path)
        subject = read(str(path), settings, setup, like, saved_files)
        if source == STDIN and saved_files is nothing_saved:
            _keep(subject, path)
    except BaseException as error:
        shutil.rmtree(folder, ignore_errors=True)
        if isinstance(error, InputError):
            raise InputError(str(error).replace(str(path), source)) from error
        raise
    subject.source = source
    # As long as the subject, which may read on in a large file.
    weakref.finalize(subject, shutil.rmtree, folder, ignore_errors=True)
    return subject


def _keep(subject: Subject, path: Path) -> None:
    """Let a run keep what came from standard input, for nobody can read it a second time."""
    size = path.stat().st_size
    if size <= _MOST_KEPT:
        subject.kept = {KEPT: path.read_bytes()}
        return
    subject.notes = (
        *subject.notes,
        f"{size:,} bytes from standard input are too many to be kept beside the run; to go on "
        "with it after a stop, nint resume RUN --input FILE",
    )


def _kept(saved_files: ReadSaved) -> bytes:
    """Give what came from standard input when a run began.

    Raises:
        InputError: If it was not kept.
    """
    content = saved_files(KEPT)
    if content is None:
        raise InputError(
            "the input came from standard input and was not kept; save it to a file, and name it: "
            "nint resume RUN --input FILE, nint eval RUN --against FILE"
        )
    return content
