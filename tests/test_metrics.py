import math

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from nint_cli.metrics.image import mean_squared_error, psnr_db, ssim
from tests import oracles
from tests.conftest import generator, tiny_signal


@pytest.mark.parametrize("block", [1, 7, 1000])
def test_psnr_is_the_textbooks_and_clips(block):
    signal = tiny_signal()
    _, values = oracles.all_points(signal)
    prediction = values + 0.3 * torch.randn(
        values.shape, generator=generator(), dtype=values.dtype
    )
    mse = mean_squared_error(prediction, signal.blocks(block))
    assert psnr_db(mse) == pytest.approx(oracles.psnr_db(prediction, values), abs=1e-9)
    clipped = prediction.clamp(0, 1).numpy()
    expected = peak_signal_noise_ratio(values.numpy(), clipped, data_range=1)
    assert psnr_db(mse) == pytest.approx(expected, abs=1e-9)


def test_psnr_of_known_errors():
    assert psnr_db(1.0) == 0
    assert psnr_db(1e-4) == pytest.approx(40)
    assert psnr_db(0) == math.inf


def test_ssim_is_scikit_images_over_channels():
    rng = np.random.default_rng(0)
    values = rng.random((30, 40, 3))
    prediction = values + 0.2 * rng.standard_normal(values.shape)
    expected = structural_similarity(prediction.clip(0, 1), values, channel_axis=2, data_range=1.0)
    assert ssim(prediction, values) == pytest.approx(expected, abs=1e-12)
    assert ssim(values, values) == 1


def test_ssim_by_its_formula_at_one_window():
    """One 7x7 window: the whole picture, no border left but its centre."""
    rng = np.random.default_rng(1)
    x, y = rng.random((2, 7, 7, 1))
    mx, my = x.mean(), y.mean()
    vx, vy = x.var(ddof=1), y.var(ddof=1)
    covariance = ((x - mx) * (y - my)).sum() / 48
    c1, c2 = 0.01**2, 0.03**2
    expected = ((2 * mx * my + c1) * (2 * covariance + c2)) / (
        (mx**2 + my**2 + c1) * (vx + vy + c2)
    )
    assert ssim(x, y) == pytest.approx(expected, abs=1e-12)


def test_ssim_of_a_picture_smaller_than_its_window_is_refused():
    with pytest.raises(ValueError, match="at least 7x7"):
        ssim(np.zeros((6, 40, 1)), np.zeros((6, 40, 1)))
