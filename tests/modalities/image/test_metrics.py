import math

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from nint_cli.modalities.image.metrics import Ssim, mean_squared_error, psnr_db
from tests import oracles
from tests.conftest import generator, tiny_signal


def ssim(prediction, values, rows=1000):
    meter = Ssim(*values.shape[1:])
    for top in range(0, len(values), rows):
        parts = (torch.from_numpy(whole[top : top + rows]) for whole in (prediction, values))
        meter.add(*(part.reshape(-1, values.shape[2]) for part in parts))
    return meter.mean()


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


@pytest.mark.parametrize("rows", [1, 2, 5, 6, 7, 8, 23, 29, 30, 1000])
def test_ssim_is_scikit_images_over_channels_however_it_is_cut(rows):
    rng = np.random.default_rng(0)
    values = rng.random((30, 40, 3))
    prediction = values + 0.2 * rng.standard_normal(values.shape)
    expected = structural_similarity(prediction.clip(0, 1), values, channel_axis=2, data_range=1.0)
    assert ssim(prediction, values, rows) == pytest.approx(expected, abs=1e-12)
    assert ssim(values, values, rows) == pytest.approx(1, abs=1e-12)


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


@pytest.mark.parametrize("shape", [(6, 40, 1), (40, 6, 3), (1, 1, 1)])
def test_a_picture_smaller_than_its_window_has_no_ssim(shape):
    assert ssim(np.zeros(shape), np.zeros(shape)) is None
    assert ssim(np.zeros(shape), np.zeros(shape), rows=1) is None
