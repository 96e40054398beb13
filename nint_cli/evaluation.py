"""How good a reconstruction is: during a run, and later from its checkpoint alone."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from nint_cli import checkpoint, results
from nint_cli.build import resolve_device
from nint_cli.config import Layer, MetricsConfig, resolve
from nint_cli.config.layers import Setting
from nint_cli.errors import ConfigError, InputError
from nint_cli.metrics.image import SSIM_WINDOW, mean_squared_error, psnr_db, ssim
from nint_cli.perception import Perception, prepare
from nint_cli.runfolder import RunFolder
from nint_cli.signals import Picture, read_picture
from nint_cli.sweep import predict

_NOT_ASKED_FOR = Perception()
_TOO_SMALL = f"a side is shorter than the {SSIM_WINDOW}x{SSIM_WINDOW} window"


def image_quality(
    prediction: Tensor, mse: float, picture: Picture, perception: Perception = _NOT_ASKED_FOR
) -> results.ImageQuality:
    """Measure a reconstruction of a picture.

    Args:
        prediction: (H * W, C).
        mse: Its mean squared error.
        picture: What it should be.
        perception: The perceptual metrics to compute; none if it is not given.

    Returns:
        The metrics; those that have no value are null, with the reason.
    """
    shape = picture.pixels.shape
    psnr = psnr_db(mse)
    similarity = None
    if min(shape[:2]) >= SSIM_WINDOW:
        target = picture.pixels / np.float32(picture.maximum)
        similarity = ssim(prediction.cpu().numpy().reshape(shape), target)
    return results.ImageQuality(
        **perception.measure(prediction, picture).model_dump(),
        mse=mse,
        psnr_db=psnr if math.isfinite(psnr) else None,
        psnr_infinite=mse == 0,
        ssim=similarity,
        ssim_reason=None if similarity is not None else _TOO_SMALL,
    )


def evaluate_run(
    path: Path,
    against: str | None = None,
    changes: Layer | None = None,
    *,
    note: Callable[[str], None] = lambda _: None,
) -> results.ImageQuality:
    """Rebuild a run's field from its newest checkpoint alone and measure it.

    Args:
        path: The run folder.
        against: The picture to compare with; None takes the run's own input.
        changes: Settings of the section `metrics` over the run's own.
        note: Told which checkpoints are damaged and passed over, a line each.

    Returns:
        The quality.

    Raises:
        InputError: If there is no sound checkpoint, the input is gone or has changed, the
            picture has another size or number of channels, or the LPIPS weights are unsound.
    """
    saved, faults = checkpoint.newest(RunFolder.open(path).checkpoints(), path)
    for fault in faults:
        note(f"{fault}; measuring the checkpoint before it")
    record, config = saved.signal, saved.config
    perception = _perception(config.metrics, changes or Layer())
    device = _device_of(config.device)
    source = against if against is not None else record.source
    try:
        picture = read_picture(source, size=config.image.size, max_pixels=config.image.max_pixels)
    except InputError as error:
        if against is not None:
            raise
        raise InputError(f"{error}; name the picture with --against FILE") from error
    if against is None and picture.sha256 != record.sha256:
        raise InputError(
            f"'{source}' has changed since the run; name the picture with --against FILE"
        )
    shape = (*record.shape, record.channels)
    if picture.pixels.shape != shape:
        raise InputError(
            f"'{source}' has height, width, channels {picture.pixels.shape} where the run has "
            f"{shape}"
        )
    signal = picture.signal(device)
    prediction = predict(checkpoint.rebuild_field(saved).to(device), signal)
    mse = mean_squared_error(prediction, signal.blocks(1 << 20))
    return image_quality(prediction, mse, picture, perception)


def _perception(settings: MetricsConfig, changes: Layer) -> Perception:
    """Prepare a run's perceptual metrics, on another machine perhaps than the run's."""
    own = {f"metrics.{k}": Setting(v, "the run") for k, v in settings.model_dump().items()}
    settings = resolve([Layer(own), changes]).config.metrics
    weights = settings.lpips_weights
    if weights is None or "metrics.lpips_weights" in changes.settings or Path(weights).exists():
        return prepare(settings)
    gone = f"'{weights}', which the run names, is gone; name it with --lpips-weights FILE"
    perception = prepare(settings.model_copy(update={"lpips_weights": None}))
    return replace(perception, lpips_reason=gone)


def _device_of(name: str) -> torch.device:
    """Give a run's device, or the CPU where this machine lacks it."""
    try:
        return resolve_device(name)
    except ConfigError:
        return torch.device("cpu")
