"""How close a picture's reconstruction is.

All of them take values in [0, 1] and clip the prediction to that range; nothing is rounded to 8
bits. These are the conventions of the released code of NINT and INT, with which figures can be
compared; EVOS's differ (its own peak, and an 11x11 Gaussian SSIM with stride 3).
"""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

SSIM_WINDOW = 7


class SquaredError:
    """The mean squared error of a clipped prediction, in float64, from parts in any order."""

    def __init__(self) -> None:
        self._total = 0.0
        self._count = 0

    def add(self, prediction: Tensor, values: Tensor) -> None:
        """Take in a part.

        Args:
            prediction: (n, C); clipped to [0, 1].
            values: (n, C) in [0, 1].
        """
        difference = prediction.double().clamp(0, 1) - values.double()
        self._total += float(difference.square().sum())
        self._count += prediction.numel()

    def mean(self) -> float:
        """Give the mean over points and channels of all parts."""
        return self._total / self._count

    @property
    def count(self) -> int:
        """Numbers seen, points times channels."""
        return self._count


class PartedError:
    """The same error for each part of the points, from parts of the whole in order.

    Args:
        roles: (N,) uint8, the number of the part that each point belongs to, up to 2.
    """

    def __init__(self, roles: Tensor) -> None:
        self._roles = roles
        self._seen = 0
        self.of = tuple(SquaredError() for _ in range(3))

    def add(self, prediction: Tensor, values: Tensor) -> None:
        """Take in the next points; see `SquaredError.add`."""
        roles = self._roles[self._seen : self._seen + len(values)]
        self._seen += len(values)
        for role, error in enumerate(self.of):
            chosen = roles == role
            error.add(prediction[chosen], values[chosen])


def mean_squared_error(prediction: Tensor, blocks: Iterable[tuple[int, Tensor, Tensor]]) -> float:
    """Compute the mean squared error of a clipped prediction, in float64.

    Args:
        prediction: (N, C); clipped to [0, 1].
        blocks: (first row, coords, values) over all N points, values in [0, 1].

    Returns:
        Mean over points and channels.
    """
    error = SquaredError()
    for start, _, values in blocks:
        error.add(prediction[start : start + len(values)], values)
    return error.mean()


def psnr_db(mse: float) -> float:
    """Compute the peak signal-to-noise ratio for values in [0, 1].

    Args:
        mse: Mean squared error.

    Returns:
        10 log10(1 / mse), in dB; infinity where the error is 0.

    Example:
        >>> psnr_db(0.01)
        20.0
    """
    return math.inf if mse == 0 else -10 * math.log10(mse)


class Ssim:
    """The structural similarity index by scikit-image, from strips of rows in order.

    A 7x7 uniform window, sample covariance, K1 = 0.01, K2 = 0.03, data range 1, the mean over
    channels. Every window lies in one strip or across the edge of two, for which the last six
    rows are kept, so that the result is that of the whole picture. Source: Wang, Bovik, Sheikh,
    Simoncelli, "Image Quality Assessment: From Error Visibility to Structural Similarity", IEEE
    TIP 2004.

    Args:
        width: Pixels per row.
        channels: C.
    """

    def __init__(self, width: int, channels: int) -> None:
        self._row = (-1, width, channels)
        self._kept: list[NDArray[np.floating[Any]]] = []
        self._total = 0.0
        self._windows = 0

    def add(self, prediction: Tensor, values: Tensor) -> None:
        """Take in the next rows.

        Args:
            prediction: (rows * width, C); clipped to [0, 1].
            values: (rows * width, C) in [0, 1].
        """
        from skimage.metrics import structural_similarity

        parts = [part.cpu().numpy().reshape(self._row) for part in (prediction, values)]
        if self._kept:
            parts = [np.concatenate(pair) for pair in zip(self._kept, parts, strict=True)]
        rows, width, channels = parts[0].shape
        self._kept = [part[max(0, rows - SSIM_WINDOW + 1) :].copy() for part in parts]
        if min(rows, width) < SSIM_WINDOW:
            return
        windows = (rows - SSIM_WINDOW + 1) * (width - SSIM_WINDOW + 1)
        for channel in range(channels):
            found, true = (part[..., channel].astype(np.float64) for part in parts)
            found.clip(0, 1, out=found)
            mean = structural_similarity(found, true, win_size=SSIM_WINDOW, data_range=1.0)
            self._total += float(mean) * windows
        self._windows += windows * channels

    def mean(self) -> float | None:
        """Give the mean over all windows and channels; None where no window fits."""
        return self._total / self._windows if self._windows else None
