"""Pictures too large to hold their prediction, by small ones and low limits."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.metrics import structural_similarity

from nint_cli import load_run
from nint_cli.config.schema import RunConfig
from nint_cli.derivatives.engine import EXACT, Engine
from nint_cli.derivatives.sweep import predict, predicted_blocks
from nint_cli.modalities.image import strips
from nint_cli.modalities.image import subject as image_subject
from nint_cli.modalities.image.files import read_picture
from nint_cli.modalities.image.perceptual_models import PerceptualModels
from nint_cli.modalities.image.subject import ImageSubject
from nint_cli.runs.inputs import read_input
from nint_cli.signals.stratified import spread_indices
from tests.cli.test_cli import nint, strict
from tests.conftest import smooth_pixels, tiny_field, tiny_points, tiny_signal

BENCH = Path(__file__).parents[3] / "scripts" / "bench.py"


@pytest.fixture
def low_limits(monkeypatch):
    """Let a picture of 24x32 be a large one, of strips of 5 rows."""
    monkeypatch.setattr(image_subject, "LARGE_PIXELS", 700)
    monkeypatch.setattr(strips, "STRIP_PIXELS", 5 * 32 + 31)


def rows_of(run):
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def words(source, run, *more):
    return ["fit", "image", source, "--preset", "smoke", "--steps", 30, "-o", run, *more]


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "picture.png"
    Image.fromarray(smooth_pixels()).save(path)
    return path


# Prediction by parts


@pytest.mark.parametrize("signal", [tiny_signal(), tiny_points()])
@pytest.mark.parametrize(("size", "block"), [(1, None), (7, 3), (7, None), (12, 4), (1000, 1000)])
def test_predicted_parts_are_the_prediction(signal, size, block):
    field = tiny_field(signal.value_dim, dims=signal.coord_dim)
    parts = list(predicted_blocks(field, signal, size, engine=Engine(block=block)))
    assert [start for start, _, _ in parts] == list(range(0, len(signal), size))
    prediction, values = (torch.cat([part[at] for part in parts]) for at in (1, 2))
    torch.testing.assert_close(prediction, predict(field, signal), rtol=0, atol=1e-12)
    assert torch.equal(values, signal.slice(0, len(signal))[1])
    assert not prediction.requires_grad


def test_parts_are_predicted_in_blocks(monkeypatch):
    signal, field, seen = tiny_signal((40, 50)), tiny_field(), []
    find = signal.slice
    monkeypatch.setattr(signal, "slice", lambda a, b: seen.append(b - a) or find(a, b))
    monkeypatch.setattr(
        "nint_cli.derivatives.engine._FORWARD_NUMBERS", dict.fromkeys(("cpu", "cuda"), 7 * 300)
    )
    for _ in predicted_blocks(field, signal, 1000):
        pass
    assert EXACT.block_size(field, forward_only=True) == 300
    assert seen == [300, 300, 300, 100] * 2


# Points that stand for all


@pytest.mark.parametrize(("population", "count"), [(1, 1), (10, 3), (10, 10), (4097, 100)])
def test_spread_points_are_one_of_each_stretch(population, count):
    chosen = spread_indices(population, count, 3)
    assert len(chosen) == count
    for index, point in enumerate(chosen.tolist()):
        assert index * population // count <= point < (index + 1) * population // count
    assert torch.equal(chosen, spread_indices(population, count, 3))
    if population > 2 * count:
        assert not torch.equal(chosen, spread_indices(population, count, 4))


def test_spread_points_of_a_huge_grid_do_not_overflow():
    population, count = 1 << 40, 1 << 16
    chosen = spread_indices(population, count, 0)
    assert bool((chosen // (population // count) == torch.arange(count)).all())


def test_spread_points_are_anywhere_in_their_stretch():
    within = torch.stack([spread_indices(400, 100, seed) % 4 for seed in range(50)])
    shares = within.flatten().bincount(minlength=4) / within.numel()
    assert bool((shares - 0.25).abs().max() < 0.02)


# Runs


def test_a_large_run_gives_what_a_small_one_does(
    capsys, source, tmp_path, low_limits, monkeypatch
):
    large, small = tmp_path / "large", tmp_path / "small"
    off = ("--set", "image.size=null", "--set", "metrics.flip=false")
    code, _, err = nint(capsys, *words(source, large, *off))
    assert code == 0, err
    assert "reconstructed values" in err
    monkeypatch.undo()
    assert nint(capsys, *words(source, small, *off))[0] == 0
    names = {path.name for path in large.iterdir()}
    assert (names - {path.name for path in small.iterdir()}) == {"reconstruction.tif"}
    found, expected = strict(large / "metrics.json"), strict(small / "metrics.json")
    assert found["psnr_db"] == pytest.approx(expected["psnr_db"], abs=1e-9)
    assert found["ssim"] == pytest.approx(expected["ssim"], abs=1e-12)
    pixels = read_picture(str(large / "reconstruction.tif")).pixels
    np.testing.assert_array_equal(pixels, read_picture(str(small / "reconstruction.png")).pixels)
    np.testing.assert_array_equal(pixels, load_run(large).reconstruction())
    code, out, _ = nint(capsys, "eval", large, "--json")
    assert json.loads(out)["ssim"] == pytest.approx(expected["ssim"], abs=1e-12)
    manifest = json.loads((large / "manifest.json").read_text())
    assert "reconstruction.tif" in manifest["files"]


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_ssim_and_pixels_in_strips(tmp_path, low_limits, channels):
    """Against the whole prediction at once, by scikit-image."""
    pixels = smooth_pixels(27, 32, channels)
    path = tmp_path / "a.png"
    Image.fromarray(pixels.squeeze()).save(path)
    config = RunConfig.model_validate({"metrics": {"flip": False}})
    subject = read_input("image", str(path), config, torch.device("cpu"))
    field = tiny_field(channels, torch.float32)
    written = {}

    def keep(name, writer):
        with (tmp_path / name).open("x+b") as file:
            writer(file)
        written[name] = read_picture(str(tmp_path / name)).pixels

    found = subject.evaluate_fully(field, keep)
    prediction = predict(field, subject.signal).numpy().reshape(27, 32, channels).clip(0, 1)
    expected = structural_similarity(
        prediction.astype(np.float64),
        (pixels / np.float32(255)).astype(np.float64),
        channel_axis=2,
        data_range=1.0,
    )
    assert subject.quality(field, found).ssim == pytest.approx(expected, abs=1e-12)
    assert subject.reconstruct(field, found) == {}
    np.testing.assert_array_equal(
        written["reconstruction.tif"], (prediction * np.float32(255)).round()
    )
    assert subject.evaluate_fully(field).figures == found.figures


def test_evaluations_see_some_pixels_and_the_last_all(capsys, source, tmp_path):
    run = tmp_path / "run"
    more = ("--set", "image.size=null", "--set", "evaluation.points=100")
    code, _, err = nint(capsys, *words(source, run, *more, "--set", "evaluation.ssim=true"))
    assert code == 0, err
    assert "no SSIM in the log: the picture has more than evaluation.points = 100 pixels" in err
    rows, metrics = rows_of(run), strict(run / "metrics.json")
    assert [row["evaluated_points"] for row in rows] == [100] * (len(rows) - 1) + [768]
    assert len(rows) > 2
    assert [row["ssim"] for row in rows] == [None] * (len(rows) - 1) + [metrics["ssim"]]
    assert rows[-1]["psnr_db"] == metrics["psnr_db"]
    whole = tmp_path / "whole"
    code, _, _ = nint(capsys, *words(source, whole, *more[:3], "evaluation.points=null"))
    assert code == 0
    for some, all_of_them in zip(rows, rows_of(whole), strict=True):
        assert "evaluated_points" not in all_of_them
        assert some["psnr_db"] == pytest.approx(all_of_them["psnr_db"], abs=1.0)
        assert some["loss"] == all_of_them["loss"]
    assert rows[-1]["mse"] == rows_of(whole)[-1]["mse"]


def test_a_target_must_be_reached_at_all_pixels(capsys, source, tmp_path, monkeypatch):
    """Only a part of the picture is learnt, and only that part is looked at."""
    seen = torch.arange(100)
    monkeypatch.setattr(image_subject, "spread_indices", lambda *_: seen)
    more = ("--set", "image.size=null", "--set", "evaluation.points=100", "--target-psnr")
    run = tmp_path / "run"
    code, _, err = nint(capsys, *words(source, run, *more, 5))
    assert (code, strict(run / "metrics.json")["stop_reason"]) == (0, "target"), err
    monkeypatch.setattr(ImageSubject, "confirmed", lambda *_: {"psnr_db": 4.9, "mse": 0.3})
    code, _, _ = nint(capsys, *words(source, run, *more, 5, "--overwrite"))
    assert (code, strict(run / "metrics.json")["stop_reason"]) == (0, "steps")


def test_confirming_measures_all_pixels(source, monkeypatch):
    config = RunConfig.model_validate({"evaluation": {"points": 100}})
    subject = read_input("image", str(source), config, torch.device("cpu"))
    field = tiny_field(dtype=torch.float32)
    some, everything = subject.evaluate(field), subject.evaluate_fully(field)
    assert some.points == 100
    assert some.figures != everything.figures
    assert subject.confirmed(field, some) == everything.figures
    config = RunConfig.model_validate({"evaluation": {"points": 768}})
    subject = read_input("image", str(source), config, torch.device("cpu"))
    found = subject.evaluate(field)
    assert found.points is None
    assert subject.confirmed(field, found) is found.figures


def test_models_of_vision_see_no_picture_beyond_their_limit(capsys, source, tmp_path):
    run = tmp_path / "run"
    code, _, err = nint(
        capsys, *words(source, run, "--set", "image.size=null", "--set", "metrics.max_pixels=767")
    )
    assert code == 0, err
    metrics = strict(run / "metrics.json")
    assert (metrics["flip"], metrics["lpips"]) == (None, None)
    assert metrics["flip_reason"] == "more than metrics.max_pixels = 767 pixels"
    assert metrics["lpips_reason"] == "metrics.lpips_weights names no file of weights"


def test_reasons_for_no_lpips_and_no_flip():
    both = PerceptualModels(lpips_reason=None, flip_reason=None, max_pixels=2000)
    assert both.reasons(40, 50) == (None, None)
    large = "more than metrics.max_pixels = 2,000 pixels"
    assert both.reasons(40, 51) == (large, large)
    assert both.reasons(30, 50) == ("a side is shorter than 31 pixels", None)
    assert PerceptualModels().reasons(400, 500) == ("not asked for", "not asked for")


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_picture_of_268_million_pixels_fits_beside_its_pixels(tmp_path):
    """Pixels, and 1 GB beside them, from the file to metrics.json."""
    done = subprocess.run(
        [sys.executable, BENCH, "--only", "size", "--repeats", "1", "--format", "json"],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    runs = json.loads(done.stdout)["size"]["runs"]
    assert len(runs) == 3
    for run in runs.values():
        assert run["beyond_the_pixels_bytes"] < 1e9
        assert run["ssim"] is not None
