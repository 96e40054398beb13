"""Measuring a finished run again, from its checkpoint alone."""

from collections.abc import Callable
from pathlib import Path

import torch

from nint_cli.config.layers import Layer, Setting, resolve
from nint_cli.config.schema import RunConfig
from nint_cli.device.settings import resolve_device
from nint_cli.errors import ConfigError, InputError
from nint_cli.metrics.schema import Quality
from nint_cli.modalities.base import nothing_saved
from nint_cli.modalities.image.schema import PerceptualQuality
from nint_cli.runs import checkpoint
from nint_cli.runs.inputs import read_input
from nint_cli.runs.opening import newest, open_run


def evaluate_run(
    path: Path,
    against: str | None = None,
    changes: Layer | None = None,
    *,
    note: Callable[[str], None] = lambda _: None,
) -> Quality:
    """Rebuild a run's field from its newest checkpoint alone and measure it.

    Args:
        path: The run folder.
        against: The input to compare with; None takes the run's own.
        changes: Settings of the section `metrics` over the run's own.
        note: Told which checkpoints are damaged and passed over, a line each.

    Returns:
        The quality.

    Raises:
        InputError: If there is no sound checkpoint, the input is gone or has changed, what it is
            compared with has another size, or the LPIPS weights are unsound.
    """
    folder = open_run(path, note=note)
    saved, faults = newest(folder)
    for fault in faults:
        note(f"{fault}; measuring the checkpoint before it")
    record = saved.signal
    config, gone = _measured_as(saved.config, changes or Layer())
    device = _device_of(config.device)
    source = against if against is not None else record.source
    name_it = "name it with --against FILE"
    try:
        saved_files = folder.read_saved if against is None else nothing_saved
        subject = read_input(record.kind, source, config, device, record, saved_files)
    except InputError as error:
        if against is not None:
            raise
        raise InputError(f"{error}; {name_it}") from error
    if against is None and subject.sha256 != record.sha256:
        raise InputError(f"'{source}' has changed since the run; {name_it}")
    mismatch = subject.mismatch(record)
    if mismatch is not None:
        raise InputError(mismatch)
    field = checkpoint.rebuild_field(saved).to(device)
    quality = subject.quality(field, subject.evaluate_fully(field))
    if gone is not None and isinstance(quality, PerceptualQuality):
        return quality.model_copy(update={"lpips_reason": gone})
    return quality


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
