"""The figures of a run as text: the closing table, and the rows of what was measured."""

import math
from collections.abc import Mapping

from nint_cli.metrics.schema import Quality, Row, RunMetrics

_OPTIONAL = {"LPIPS", "FLIP"}  # nobody who did not ask for them need read why they are not there
_SHOWN_S = 0.05  # less is shown as 0.0


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


def shown_or_reason(quality: Quality, key: str, reason: str | None, *, fine: bool = False) -> str:
    """Write a figure, or why there is none.

    Args:
        quality: What was measured.
        key: Of the figure.
        reason: Why it has no value.
        fine: Whether to give more digits.

    Returns:
        A text, which begins with a dash where there is no value.
    """
    value = quality.figure(key)
    return f"- ({reason})" if value is None else shown(key, value, fine=fine)


def summary(metrics: RunMetrics, files: Mapping[str, str]) -> list[Row]:
    """Give the closing table.

    Args:
        metrics: The outcome.
        files: Paths of what was written, by what they are.

    Returns:
        The rows; of the perceptual metrics only those that have a value.
    """
    rows = metrics.rows()
    others = [
        f"{name} {getattr(metrics, name + '_s'):.1f}"
        for name in ("load", "evaluation", "save", "other")
    ]
    prepared = f"preparing {metrics.prepare_s:.1f}, " if metrics.prepare_s >= _SHOWN_S else ""
    return [
        *(row for row in rows if row[0] not in _OPTIONAL or not row[1].startswith("-")),
        ("steps", f"{metrics.steps} ({metrics.status})"),
        (
            "training",
            f"{metrics.train_s:.1f} s: {prepared}sampler {metrics.sampler_s:.1f}, "
            f"updates {metrics.update_s:.1f}",
        ),
        ("besides", ", ".join(others) + " s"),
        ("cost", f"{metrics.passes.total:.1f} full forward passes"),
        *files.items(),
    ]


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
