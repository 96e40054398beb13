"""How close a picture's reconstruction is.

All of them take values in [0, 1] and clip the prediction to that range; nothing is rounded to 8
bits. These are the conventions of the released code of NINT and INT, with which figures can be
compared; EVOS's differ (its own peak, and an 11x11 Gaussian SSIM with stride 3).
"""

import math
from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

SSIM_WINDOW = 7


def mean_squared_error(prediction: Tensor, blocks: Iterable[tuple[int, Tensor, Tensor]]) -> float:
    """Compute the mean squared error of a clipped prediction, in float64.

    Args:
        prediction: (N, C); clipped to [0, 1].
        blocks: (first row, coords, values) over all N points, values in [0, 1].

    Returns:
        Mean over points and channels.
    """
    total = torch.zeros((), dtype=torch.float64, device=prediction.device)
    for start, _, values in blocks:
        rows = prediction[start : start + len(values)].double().clamp(0, 1)
        total += (rows - values.double()).square().sum()
    return float(total) / prediction.numel()


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


def ssim(prediction: NDArray[np.floating], values: NDArray[np.floating]) -> float:
    """Compute the structural similarity index by scikit-image.

    A 7x7 uniform window, sample covariance, K1 = 0.01, K2 = 0.03, data range 1, the mean over
    channels. Source: Wang, Bovik, Sheikh, Simoncelli, "Image Quality Assessment: From Error
    Visibility to Structural Similarity", IEEE TIP 2004.

    Args:
        prediction: (H, W, C); clipped to [0, 1].
        values: (H, W, C) in [0, 1].

    Returns:
        A number up to 1.

    Raises:
        ValueError: If a side is shorter than the window.
    """
    from skimage.metrics import structural_similarity

    if min(values.shape[:2]) < SSIM_WINDOW:
        raise ValueError(f"SSIM needs at least {SSIM_WINDOW}x{SSIM_WINDOW} pixels")
    clipped = prediction.clip(0, 1)
    per_channel = [
        structural_similarity(
            clipped[..., channel].astype(np.float64),
            values[..., channel].astype(np.float64),
            win_size=SSIM_WINDOW,
            data_range=1.0,
        )
        for channel in range(values.shape[2])
    ]
    return float(np.mean(per_channel))
