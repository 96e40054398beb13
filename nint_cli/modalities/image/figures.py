"""Errors of a picture's field as figures, of all points and of the parts that do not train."""

from nint_cli.derivatives.sweep import predicted_blocks
from nint_cli.fields.base import Field
from nint_cli.modalities.base import Piece, unwatched
from nint_cli.modalities.image.metrics import PartedError, SquaredError, psnr_db
from nint_cli.modalities.image.strips import STRIP_PIXELS
from nint_cli.signals.base import Signal

Figures = dict[str, float | None]
"""By the keys that the log and metrics.json have."""


def figures_of(error: SquaredError) -> Figures:
    """Return PSNR and mean squared error.

    Args:
        error: At the points that train.
    """
    mse = error.mean()
    return {"psnr_db": psnr_db(mse), "mse": mse}


def parted_figures(errors: PartedError) -> Figures:
    """Return the figures of the points that train, and PSNR of each other part that has points.

    Args:
        errors: Of all pixels, by part.
    """
    training, *others = errors.of
    found = figures_of(training)
    for name, error in zip(("holdout", "outside"), others, strict=True):
        if error.count:
            found |= figure_of_part(name, error)
    return found


def figure_of_part(name: str, error: SquaredError) -> Figures:
    """Return the PSNR of a part.

    Args:
        name: ``holdout`` or ``outside``.
        error: At its points.
    """
    return {f"{name}_psnr_db": psnr_db(error.mean())}


def error_at(field: Field, points: Signal, piece: Piece = unwatched) -> SquaredError:
    """Measure a field at all points of a signal.

    Args:
        field: The field.
        points: The signal.
        piece: Told of the points that are evaluated.

    Returns:
        The error.
    """
    error = SquaredError()
    for _, prediction, values in predicted_blocks(field, points, STRIP_PIXELS):
        error.add(prediction, values)
        piece(len(values))
    return error
