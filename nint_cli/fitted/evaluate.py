"""Measuring a field that a file holds."""

from pathlib import Path

from nint_cli.config.layers import Layer
from nint_cli.errors import InputError
from nint_cli.fitted.fitted import Fitted, open_fitted
from nint_cli.metrics.schema import Quality
from nint_cli.modalities.base import Subject
from nint_cli.runs.control import Control
from nint_cli.runs.evaluate import measure, read_again, with_reason
from nint_cli.runs.opening import open_run
from nint_cli.signals.record import SignalRecord
from nint_cli.signals.source import ARRAY_PREFIX, SAMPLE_PREFIX


def evaluate_file(
    path: Path,
    against: str | None = None,
    changes: Layer | None = None,
    *,
    scale: float | None = None,
    control: Control | None = None,
) -> Quality:
    """Measure the field of a file as `nint_cli.runs.evaluate.evaluate_run` does that of a run.

    Args:
        path: A file that `open_fitted` opens.
        against: The input to compare with; None takes the one that the field was fitted to, where
            it lies beside the file and is unchanged.
        changes: Settings of the section `metrics`.
        scale: See `evaluate_run`.
        control: Shows how far it is, and may stop it.

    Returns:
        The quality: that of its run, to the last bit, on the same device.

    A signal that comes raises `CutOff`, a file or an input that is unsound, gone, or of another
    size an `InputError`.
    """
    control = control or Control()
    fitted = open_fitted(path, note=control.note)
    record = fitted.signal if against is not None else _where_it_lies(fitted)
    subject, gone = read_again(fitted.config, record, against, changes, scale=scale)
    quality = measure(subject, fitted.field.to(subject.signal.device), control)
    return with_reason(quality, gone)


def read_input_of(fitted: Fitted, changes: Layer | None = None) -> Subject:
    """Read the input that a field was fitted to, to measure the field and others like it.

    Args:
        fitted: The field, of a run or of a file.
        changes: Settings of the section `metrics`.

    Returns:
        The input. An InputError is raised where it is gone or has changed.
    """
    config, record = fitted.config, _where_it_lies(fitted)
    if not fitted.path.is_dir():
        return read_again(config, record, None, changes)[0]
    with open_run(fitted.path) as folder:
        return read_again(config, record, None, changes, folder.read_saved)[0]


def _where_it_lies(fitted: Fitted) -> SignalRecord:
    """Return the record of a field with the place where its input should be."""
    record = fitted.signal
    if fitted.path.is_dir():
        return record
    return record.model_copy(update={"source": _beside(fitted.path, record)})


def _beside(path: Path, record: SignalRecord) -> str:
    """Name the input of a file that gives its bare name."""
    source = record.source
    if source.startswith(SAMPLE_PREFIX):
        return source
    found = path.parent / source
    if source.startswith(ARRAY_PREFIX) or not found.is_file():
        raise InputError(
            f"'{source}', which '{path}' was fitted to, is not beside it; name it with "
            "--against FILE"
        )
    return str(found)
