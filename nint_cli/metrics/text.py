"""What is said of a run: the closing table, and the rows of what was measured."""

import math
from collections.abc import Mapping

from nint_cli.metrics.schema import (
    AudioQuality,
    ImageQuality,
    PerceptualQuality,
    Quality,
    RunMetrics,
    SdfQuality,
)

Row = tuple[str, str]
"""A name and a text; the text begins with a dash where there is no value, and says why."""

_LABELS = {"psnr_db": "PSNR", "si_snr_db": "SI-SNR", "iou": "IoU"}
_OPTIONAL = {"LPIPS", "FLIP"}  # nobody who did not ask for them need read why they are not there


def label(figure: str) -> str:
    """Give the name by which people know a figure, such as ``PSNR`` for ``psnr_db``."""
    return _LABELS[figure]


def shown(figure: str, value: float | None, *, fine: bool = False) -> str:
    """Write a figure with its unit.

    Args:
        figure: Its key; one that ends in ``_db`` is in dB.
        value: Its value.
        fine: Whether to give more digits.

    Returns:
        A text such as ``31.42 dB``.

    Example:
        >>> shown("psnr_db", 31.4159), shown("psnr_db", float("inf"))
        ('31.42 dB', 'exact')
    """
    if value is None:
        return "-"
    if math.isinf(value):
        return "exact" if value > 0 else "nothing"
    decibels = figure.endswith("_db")
    digits = (2 if decibels else 4) + 2 * fine
    small = 0 < abs(value) < 1e-3 and not decibels
    return f"{value:.{digits}{'g' if small else 'f'}}" + " dB" * decibels


def quality_rows(quality: Quality, *, fine: bool = False) -> list[Row]:
    """Give the rows of what was measured.

    Args:
        quality: Of any modality.
        fine: Whether to give more digits.

    Returns:
        The rows, the most telling first.

    Raises:
        TypeError: If there are no rows for its kind.
    """
    if isinstance(quality, ImageQuality):
        return _image_rows(quality, fine=fine)
    if isinstance(quality, AudioQuality):
        return _audio_rows(quality, fine=fine)
    if isinstance(quality, SdfQuality):
        return _sdf_rows(quality, fine=fine)
    raise TypeError(f"no rows for {type(quality).__name__}")


def _image_rows(quality: ImageQuality, *, fine: bool) -> list[Row]:
    psnr = shown("psnr_db", quality.figure("psnr_db"), fine=fine)
    ssim = shown("ssim", quality.ssim, fine=fine)
    if quality.ssim is None:
        ssim = f"- ({quality.ssim_reason})"
    return [("PSNR", psnr), ("SSIM", ssim), *perceptual_rows(quality, fine=fine)]


def _audio_rows(quality: AudioQuality, *, fine: bool) -> list[Row]:
    rows = [
        ("SI-SNR", "si_snr_db", quality.si_snr_reason),
        ("SNR", "snr_db", quality.snr_reason),
        ("PSNR", "psnr_db", quality.quality_reason),
        ("LSD", "lsd_db", quality.lsd_reason),
        ("STOI", "stoi", quality.stoi_reason),
        ("PESQ", "pesq", quality.pesq_reason),
    ]
    found = [(name, _or_reason(quality, key, reason, fine=fine)) for name, key, reason in rows]
    if quality.clipped_samples:
        cut = f"{quality.clipped_samples} samples beyond full scale, in the file only"
        found.append(("clipped", cut))
    return found


def _sdf_rows(quality: SdfQuality, *, fine: bool) -> list[Row]:
    at = f" at {quality.iou_resolution}^3" if quality.iou is not None else ""
    rows = [
        ("Chamfer L1", "chamfer_l1", quality.surface_reason),
        ("Chamfer squared", "chamfer_squared", quality.surface_reason),
        ("F-score", "f_score", quality.surface_reason),
        ("normals", "normal_consistency", quality.surface_reason),
        ("SDF error", "sdf_error", quality.sdf_error_reason),
    ]
    return [
        ("IoU", _or_reason(quality, "iou", quality.iou_reason, fine=fine) + at),
        *((name, _or_reason(quality, key, reason, fine=fine)) for name, key, reason in rows),
    ]


def _or_reason(quality: Quality, key: str, reason: str | None, *, fine: bool) -> str:
    value = quality.figure(key)
    return f"- ({reason})" if value is None else shown(key, value, fine=fine)


def perceptual_rows(quality: PerceptualQuality, *, fine: bool = False) -> list[Row]:
    """Give the rows of the perceptual metrics.

    Args:
        quality: What was measured.
        fine: Whether to give more digits.

    Returns:
        A row each.
    """
    done = "".join(f", {conversion}" for conversion in quality.perceptual_conversions)
    values = [
        ("LPIPS", quality.lpips, quality.lpips_reason),
        ("FLIP", quality.flip, quality.flip_reason),
    ]
    digits = 4 + 2 * fine
    return [
        (name, f"- ({reason})" if value is None else f"{value:.{digits}f} (0 is equal{done})")
        for name, value, reason in values
    ]


def summary(metrics: RunMetrics, files: Mapping[str, str]) -> list[Row]:
    """Give the closing table.

    Args:
        metrics: The outcome.
        files: Paths of what was written, by what they are.

    Returns:
        The rows; of the perceptual metrics only those that have a value.
    """
    rows = quality_rows(metrics)
    others = [
        f"{name} {getattr(metrics, name + '_s'):.1f}" for name in ("load", "evaluation", "save")
    ]
    return [
        *(row for row in rows if row[0] not in _OPTIONAL or not row[1].startswith("-")),
        ("steps", f"{metrics.steps} ({metrics.status})"),
        (
            "training",
            f"{metrics.train_s:.1f} s: sampler {metrics.sampler_s:.1f}, "
            f"updates {metrics.update_s:.1f}",
        ),
        ("besides", ", ".join(others) + " s"),
        ("cost", f"{metrics.passes.total:.1f} full forward passes"),
        *files.items(),
    ]


def missed(metrics: RunMetrics) -> str:
    """Say what a run reached of the targets that its configuration sets."""
    targets = [
        key.removeprefix("target_")
        for key, value in metrics.config["stop"].items()
        if key.startswith("target_") and value is not None
    ]
    return ", ".join(f"{label(key)} {shown(key, metrics.figure(key))}" for key in targets)


def divergence(metrics: RunMetrics) -> str:
    """Say how a run diverged.

    Args:
        metrics: Of one that did.

    Returns:
        The beginning of a sentence.
    """
    if metrics.rescues:
        return (
            f"the fit diverged after {metrics.steps} steps, and halving the learning rate did not "
            "help"
        )
    return f"the loss or its gradient was not finite after {metrics.steps} steps"
