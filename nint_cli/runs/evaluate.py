"""Measuring a finished run again, from its checkpoint alone."""

from pathlib import Path

import torch

from nint_cli.config.layers import Layer, Setting, resolve
from nint_cli.config.schema import RunConfig
from nint_cli.device.settings import resolve_device
from nint_cli.errors import ConfigError, InputError
from nint_cli.fields.base import Field
from nint_cli.metrics.schema import Quality
from nint_cli.modalities.base import ReadSaved, Subject, nothing_saved
from nint_cli.modalities.image.mask import MASK
from nint_cli.modalities.image.schema import PerceptualQuality
from nint_cli.runs import checkpoint
from nint_cli.runs.control import Control
from nint_cli.runs.ending import Meter
from nint_cli.runs.folder import RunFolder
from nint_cli.runs.inputs import read_input
from nint_cli.runs.opening import newest, open_run
from nint_cli.signals.record import SignalRecord


def evaluate_run(
    path: Path,
    against: str | None = None,
    changes: Layer | None = None,
    *,
    scale: float | None = None,
    reconstruct: bool = False,
    control: Control | None = None,
) -> Quality:
    """Rebuild a run's field from its newest checkpoint alone and measure it, all of it.

    Args:
        path: The run folder.
        against: The input to compare with; None takes the run's own.
        changes: Settings of the section `metrics` over the run's own.
        scale: How many times larger `against` is along each axis; None: as large as the run's.
        reconstruct: Whether to write the files that show the result into the folder, too.
        control: Shows how far it is, may stop it, and is told which checkpoints are damaged and
            passed over.

    Returns:
        The quality.

    A signal that comes raises `CutOff`, a checkpoint, input or weights that are unsound, gone, or
    of another size an `InputError`.
    """
    control = control or Control()
    with open_run(path, lock=reconstruct, note=control.note) as folder:
        saved, faults = newest(folder)
        for fault in faults:
            control.note(f"{fault}; measuring the checkpoint before it")
        saved_files = folder.read_saved if against is None else _mask_alone(folder)
        subject, gone = read_again(
            saved.config, saved.signal, against, changes, saved_files, scale
        )
        field = checkpoint.rebuild_field(saved).to(subject.signal.device)
        meter = Meter(control, subject.cost_within(None))
        try:
            evaluation = subject.evaluate_fully(
                field, folder.write_by if reconstruct else None, piece=meter
            )
            if reconstruct:
                for name, content in subject.reconstruct(field, evaluation, meter).items():
                    folder.write(name, content)
            quality = subject.quality(field, evaluation, meter)
        finally:
            control.progress.finish_end()
    return with_reason(quality, gone)


def measure(subject: Subject, field: Field, control: Control) -> Quality:
    """Measure a field in full.

    Args:
        subject: The input to measure it against.
        field: The field, on the device of the input.
        control: Shows how far it is, and may stop it.

    Returns:
        The quality. A signal that comes raises `CutOff`.
    """
    meter = Meter(control, subject.cost_within(None))
    try:
        return subject.quality(field, subject.evaluate_fully(field, piece=meter), meter)
    finally:
        control.progress.finish_end()


def with_reason(quality: Quality, gone: str | None) -> Quality:
    """Return a quality that says why it has no LPIPS, where `read_again` found the weights gone.

    Args:
        quality: The quality.
        gone: What `read_again` gave; None changes nothing.
    """
    if gone is not None and isinstance(quality, PerceptualQuality):
        return quality.model_copy(update={"lpips_reason": gone})
    return quality


def read_again(
    config: RunConfig,
    record: SignalRecord,
    against: str | None = None,
    changes: Layer | None = None,
    saved_files: ReadSaved = nothing_saved,
    scale: float | None = None,
) -> tuple[Subject, str | None]:
    """Read what a fitted field is compared with.

    Args:
        config: The settings of its run.
        record: What it was fitted to.
        against: The input to compare with; None takes what the record names, if it is unchanged.
        changes: Settings of the section `metrics` over the run's own.
        saved_files: See `Subject.read`.
        scale: See `evaluate_run`.

    Returns:
        The input, and why there is no LPIPS where the weights that the run names are gone.

    Raises:
        InputError: If it cannot be read, is another input, or of another size.
    """
    config, gone = _measured_as(config, changes or Layer())
    device = _device_of(config.device)
    source = against if against is not None else record.source
    name_it = "name it with --against FILE"
    try:
        subject = read_input(
            record.kind, source, config, device, record, saved_files, own=against is None
        )
    except InputError as error:
        if against is not None:
            raise
        raise InputError(f"{error}; {name_it}") from error
    if against is None and subject.sha256 != record.sha256:
        raise InputError(f"'{source}' has changed since the run; {name_it}")
    if scale is not None:
        record = _on_grid_of(subject, record, scale)
    mismatch = subject.mismatch(record)
    if mismatch is not None:
        raise InputError(mismatch)
    return subject, gone


def _on_grid_of(subject: Subject, record: SignalRecord, scale: float) -> SignalRecord:
    """Return a run's record on the grid of a larger input, where its size is right to a point."""
    grid = subject.signal.shape
    larger = record.on_larger_grid(grid)
    if larger is None:
        raise ConfigError("--scale: not for this kind of input; it measures pictures")
    if any(abs(side / scale - own) >= 1 for side, own in zip(grid, record.grid, strict=True)):
        sizes = ("x".join(str(side) for side in reversed(each)) for each in (grid, record.grid))
        raise InputError(
            f"'{subject.source}' has {{}} pixels, not {scale:g} times the run's {{}}".format(
                *sizes
            )
        )
    return larger


def _mask_alone(folder: RunFolder) -> ReadSaved:
    """Return what reads of a run's files none but its mask, which holds for other inputs, too."""
    return lambda name: folder.read_saved(name) if name == MASK else None


def _measured_as(config: RunConfig, changes: Layer) -> tuple[RunConfig, str | None]:
    """Lay changed metrics over a run's; say why there is no LPIPS where its weights are gone."""
    own = {f"metrics.{k}": Setting(v, "the run") for k, v in config.metrics.model_dump().items()}
    metrics = resolve([Layer(own), changes]).config.metrics
    gone, weights = None, metrics.lpips_weights
    # On another machine the file that the run names need not be; one that is named now must.
    if weights is not None and "metrics.lpips_weights" not in changes.settings:
        if not Path(weights).exists():
            gone = f"'{weights}', which the run names, is gone; name it with --lpips-weights FILE"
            metrics = metrics.model_copy(update={"lpips_weights": None})
    return config.model_copy(update={"metrics": metrics}), gone


def _device_of(name: str) -> torch.device:
    """Give a run's device, or the CPU where this machine lacks it."""
    try:
        return resolve_device(name)
    except ConfigError:
        return torch.device("cpu")
