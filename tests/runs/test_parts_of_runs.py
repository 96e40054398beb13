"""Runs inside a mask and without points held out: figures, resuming, and bad masks."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image
from safetensors.torch import load_file

from nint_cli.api import load_run
from nint_cli.config.schema import SAMPLER_NAMES
from nint_cli.fitted import safetensors_file
from nint_cli.fitted.fitted import open_fitted
from nint_cli.random import Draws
from tests.cli.test_cli import nint, strict
from tests.runs.test_resume import stopping_at

HEIGHT, WIDTH = 24, 32  # of the fixture `picture`


def save_mask(name="mask.png", inside=None):
    if inside is None:
        inside = np.zeros((HEIGHT, WIDTH), bool)
        inside[4:20, 6:23] = True
    Image.fromarray(np.where(inside, 255, 0).astype(np.uint8)).save(name)
    return inside


def figures(run):
    return strict(Path(run) / "metrics.json")


def tensors(path):
    return load_file(max(Path(path).glob("checkpoints/*.safetensors")))


def equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def psnr(found, true, where):
    """By the definition, in float64."""
    error = np.clip(found[where], 0, 1) - true[where] / 255
    return -10 * np.log10(np.mean(error**2))


@pytest.mark.parametrize("final", ["full", "sample"])
@pytest.mark.parametrize("masked", [True, False])
def test_figures_are_those_of_each_part(capsys, smoke, picture, masked, final):
    inside = save_mask() if masked else np.ones((HEIGHT, WIDTH), bool)
    words = ["--holdout", "0.1", "--seed", "3", "--final", final]
    words += ["--mask", "mask.png"] if masked else []
    code, _, said = nint(capsys, *smoke, *words, "-o", "run")
    assert code == 0, said
    held = np.zeros(int(inside.sum()), bool)
    stream = Draws(3).stream("holdout")
    held[stream.choice(len(held), round(0.1 * len(held)), replace=False, shuffle=False)] = True
    roles = np.full((HEIGHT, WIDTH), 2)
    roles[inside] = held
    grid = np.meshgrid(np.linspace(-1, 1, HEIGHT), np.linspace(-1, 1, WIDTH), indexing="ij")
    coords = torch.tensor(np.stack(grid, -1).reshape(-1, 2), dtype=torch.float32)
    with torch.no_grad():
        found = load_run("run").field(coords).double().numpy().reshape(HEIGHT, WIDTH, 3)
    true = np.asarray(Image.open(picture)).astype(float)
    metrics = figures("run")
    assert metrics["psnr_db"] == pytest.approx(psnr(found, true, roles == 0), abs=1e-4)
    assert metrics["holdout_psnr_db"] == pytest.approx(psnr(found, true, roles == 1), abs=1e-4)
    assert (metrics["holdout_points"], metrics["holdout_reason"]) == (int(held.sum()), None)
    assert "points that did not train" in said
    if masked:
        assert metrics["outside_psnr_db"] == pytest.approx(psnr(found, true, roles == 2), abs=1e-4)
        assert metrics["outside_points"] == int((~inside).sum())
        assert metrics["input"]["mask_pixels"] == int(inside.sum())
        assert metrics["ssim"] is None
        assert "inside the mask" in said
    else:
        assert (metrics["outside_psnr_db"], metrics["outside_points"]) == (None, None)
        assert "image.mask" in metrics["outside_reason"]
    rows = [json.loads(row) for row in Path("run/log.jsonl").read_text().splitlines()]
    assert all("holdout_psnr_db" in row for row in rows if "psnr_db" in row)
    if final == "full":
        code, out, _ = nint(capsys, "eval", "run", "--json")
        again = json.loads(out)
        for key in ("psnr_db", "holdout_psnr_db", "outside_psnr_db"):
            assert again[key] == pytest.approx(metrics[key]), key
        shutil.copy(picture, "other.png")
        code, out, _ = nint(capsys, "eval", "run", "--json", "--against", "other.png")
        assert json.loads(out)["psnr_db"] == pytest.approx(metrics["psnr_db"])


def test_of_a_sound_the_samples_held_out_are_measured_apart(capsys):
    wave = 0.5 * np.sin(np.linspace(0, 60, 800))
    soundfile.write("a.wav", wave, 8000, subtype="FLOAT")
    words = ["fit", "audio", "a.wav", "--preset", "smoke", "--holdout", "0.25", "--final", "full"]
    code, _, said = nint(capsys, *words, "--progress", "never", "-o", "run")
    assert code == 0, said
    held = np.zeros(800, bool)
    held[Draws(0).stream("holdout").choice(800, 200, replace=False, shuffle=False)] = True
    true = soundfile.read("a.wav", always_2d=True)[0]
    found = load_run("run").reconstruction()
    metrics = figures("run")
    for key, where in (("psnr_db", ~held), ("holdout_psnr_db", held)):
        error = np.clip(found[where], -1, 1) - np.clip(true[where], -1, 1)
        slow = 10 * np.log10(4 / np.mean(error**2))
        assert metrics[key] == pytest.approx(slow, abs=1e-6)
    snr = 10 * np.log10(np.sum(true[~held] ** 2) / np.sum((found - true)[~held] ** 2))
    assert metrics["snr_db"] == pytest.approx(snr, abs=1e-6)
    assert metrics["holdout_points"] == 200


@pytest.mark.parametrize("sampler", SAMPLER_NAMES)
def test_a_run_that_was_stopped_goes_on_bit_for_bit(capsys, smoke, monkeypatch, sampler):
    save_mask()
    words = [*smoke, "--sampler", sampler, "--steps", "30", "--mask", "mask.png"]
    words += ["--holdout", "0.1", "--set", "evaluation.selections=true"]
    assert nint(capsys, *words, "-o", "whole")[0] == 0
    with monkeypatch.context() as patch:
        stopping_at(patch, 13)
        assert nint(capsys, *words, "-o", "parted")[0] == 143
    Path("mask.png").unlink()  # the run has its own
    assert nint(capsys, "resume", "parted")[0] == 0
    assert equal(tensors("parted"), tensors("whole"))
    for key in ("psnr_db", "holdout_psnr_db", "outside_psnr_db"):
        assert figures("parted")[key] == figures("whole")[key]


def test_a_white_mask_gives_the_bits_of_none(capsys, smoke):
    save_mask(inside=np.ones((HEIGHT, WIDTH), bool))
    assert nint(capsys, *smoke, "-o", "plain")[0] == 0
    code, _, said = nint(capsys, *smoke, "--mask", "mask.png", "-o", "white")
    assert (code, "white everywhere" in said) == (0, True)
    assert equal(tensors("plain"), tensors("white"))
    plain, white = figures("plain"), figures("white")
    assert (white["psnr_db"], white["ssim"]) == (plain["psnr_db"], plain["ssim"])
    assert "white everywhere" in white["outside_reason"]


def test_another_mask_makes_another_run(capsys, smoke):
    save_mask()
    words = [*smoke, "--mask", "mask.png"]
    assert nint(capsys, *words, "-o", "run")[0] == 0
    shutil.copy("mask.png", "elsewhere.png")
    code, _, said = nint(capsys, *smoke, "--mask", "elsewhere.png", "--continue", "-o", "run")
    assert (code, "complete; kept" in said) == (0, True)  # by its content, wherever it lies
    code, _, said = nint(capsys, *smoke, "--continue", "-o", "run")
    assert (code, "another mask" in said) == (4, True)
    inside = save_mask()
    inside[0, 0] = True
    save_mask(inside=inside)
    for flag in ("--continue", "--skip-existing"):
        code, _, said = nint(capsys, *words, flag, "-o", "run")
        assert (code, "another mask" in said) == (4, True)
    code, _, said = nint(capsys, *words, "--holdout", "0.2", "--continue", "-o", "run")
    assert (code, "holdout 0.0, not 0.2" in said) == (4, True)


def test_a_run_whose_own_mask_is_damaged_takes_the_file_again(capsys, smoke):
    inside = save_mask()
    assert nint(capsys, *smoke, "--mask", "mask.png", "-o", "run")[0] == 0
    for damage in (b"", b"\x89PNG\r\n\x1a\n rest", Path("run/mask.png").read_bytes()[:40]):
        Path("run/mask.png").write_bytes(damage)
        assert nint(capsys, "eval", "run")[0] == 0
    save_mask(inside=~inside)
    code, _, said = nint(capsys, "eval", "run")
    assert (code, "changed since the run" in said) == (3, True)
    Path("mask.png").unlink()
    code, _, said = nint(capsys, "eval", "run")
    assert (code, "gone or damaged" in said) == (3, True)


def test_a_field_that_is_described_names_no_mask(capsys, smoke):
    save_mask()
    assert nint(capsys, *smoke, "--mask", "mask.png", "-o", "run")[0] == 0
    found = open_fitted(Path("run"))
    content = safetensors_file.encode(found.config, found.signal, found.field, found.step)
    assert str(Path.cwd()).encode() not in content
    Path("f.safetensors").write_bytes(content)
    assert open_fitted(Path("f.safetensors")).config.section("image").mask is None


def greys(pixels):
    Image.fromarray(np.asarray(pixels, np.uint8)).save("mask.png")


def test_greys_above_one_half_are_white_and_it_says_so(capsys, smoke):
    ramp = np.tile(np.linspace(0, 255, WIDTH).astype(np.uint8), (HEIGHT, 1))
    greys(ramp)
    code, _, said = nint(capsys, *smoke, "--mask", "mask.png", "-o", "run")
    assert (code, "greys above one half count as white" in said) == (0, True)
    count = int((ramp > 127.5).sum())
    assert figures("run")["input"]["mask_pixels"] == count
    greys(np.repeat(np.where(ramp > 127, 255, 0)[..., None], 3, 2))  # grey, as RGB
    assert nint(capsys, *smoke, "--mask", "mask.png", "-o", "rgb")[0] == 0
    assert figures("rgb")["input"]["mask_pixels"] == count


BLANK = np.zeros((HEIGHT, WIDTH))
BAD = {
    "black": (lambda: greys(BLANK), "no white pixel"),
    "size": (lambda: greys(BLANK[:, 1:] + 255), "has 31x24 pixels, and the picture .* 32x24"),
    "turned": (lambda: greys(BLANK.T + 255), "has 24x32 pixels"),
    "one pixel": (lambda: greys([[255]]), "has 1x1 pixels"),
    "colour": (lambda: greys(np.stack([BLANK + 255, BLANK, BLANK], -1)), "in colour"),
    "alpha": (lambda: greys(np.stack([BLANK + 255, BLANK + 9], -1)), "transparent in places"),
    "text": (lambda: Path("mask.png").write_text("no picture"), "the mask: cannot read"),
    "missing": (lambda: None, "the mask: cannot read .* No such file"),
    "folder": (lambda: Path("mask.png").mkdir(), "the mask: cannot read .* folder"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_masks_are_refused_in_a_line(capsys, smoke, name):
    make, fault = BAD[name]
    make()
    code, out, said = nint(capsys, *smoke, "--mask", "mask.png", "-o", "run")
    assert (code, out, said.count("\n")) == (3, "", 1)
    assert re.search(fault, said), said
    assert not Path("run").exists()


@pytest.mark.parametrize("share", ["1", "-0.1", "nan", "1e-6", "0.9999"])
def test_bad_shares_are_refused_in_a_line(capsys, smoke, share):
    code, _, said = nint(capsys, *smoke, "--holdout", share, "-o", "run")
    assert (code, said.count("\n"), "holdout" in said) == (2, 1, True)
    assert not Path("run").exists()


def test_nothing_of_a_shape_is_held_out(capsys):
    code, _, said = nint(capsys, "fit", "sdf", "sample:torus", "--holdout", 0.1)
    assert (code, "holdout=0.1: a shape" in said) == (2, True)
    code, _, said = nint(capsys, "fit", "audio", "sample:chord", "--mask", "m.png")
    assert (code, "--mask" in said) == (2, True)
