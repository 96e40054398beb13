"""Runs that start from the weights of others."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image
from safetensors.torch import load_file

import nint_cli.api as api
from nint_cli.config.layers import resolve
from nint_cli.errors import ConfigError
from nint_cli.fitted import safetensors_file
from nint_cli.fitted.fitted import open_fitted
from nint_cli.fitted.start import field_layer, open_start
from nint_cli.runs.fit import Fit
from tests.cli.test_cli import nint, strict
from tests.conftest import smooth_pixels
from tests.runs.test_resume import stopping_at

FEW = ("--steps", "12", "--set", "hashgrid.log2_entries=8")


def figures(run):
    return strict(Path(run) / "metrics.json")


@pytest.fixture
def first(capsys, smoke) -> str:
    code, _, said = nint(capsys, *smoke, "--set", "siren.hidden_layers=3", "-o", "first")
    assert code == 0, said
    return "first"


@pytest.fixture
def larger() -> str:
    Image.fromarray(smooth_pixels(30, 41)).save("larger.png")
    return "larger.png"


def again(smoke, source):
    """The words of a fit of another input."""
    return ["fit", "image", source, *smoke[3:], "--steps", "12"]


def test_a_run_begins_with_the_weights_of_another_and_says_so(capsys, smoke, first, larger):
    code, _, said = nint(capsys, *again(smoke, larger), "--from", first, "-o", "second")
    assert code == 0, said
    start = open_start(Path(first), "image")
    assert figures("second")["started_from"] == {
        "path": first,
        "step": open_fitted(Path(first)).step,
        "sha256": start.record.sha256,
        "fitted_to": "picture.png",
    }
    assert "starting from the weights of 'first', step " in said
    assert "fitted to 'picture.png'" in said
    assert "with the settings of its field siren" in said
    config = figures("second")["config"]
    assert config["siren"]["hidden_layers"] == 3
    assert figures("second")["origins"]["siren.hidden_layers"] == "--from"
    assert figures(first)["started_from"] is None


def fit_of(source, start):
    return Fit("image", source, resolve([field_layer(start, [])]), start=start)


@pytest.mark.parametrize("field", ["siren", "ffn", "pemlp", "wire", "hashgrid"])
def test_the_first_weights_are_those_and_the_function_is_the_same(capsys, smoke, larger, field):
    Image.fromarray(smooth_pixels(24, 32)).save("a.png")
    Image.fromarray(smooth_pixels(48, 64)).save("b.png")  # of the same proportions
    assert nint(capsys, *again(smoke, "a.png"), "--field", field, *FEW[2:], "-o", "run")[0] == 0
    start = open_start(Path("run"), "image")
    found = fit_of("b.png", start).trainer.field
    coords = torch.rand(50, 2) * 2 - 1
    with torch.no_grad():
        assert torch.equal(found(coords), start.field(coords))


def test_a_checkpoint_and_a_file_of_a_run_are_the_same_start(first):
    fitted = open_fitted(Path(first))
    path = Path("field.safetensors")
    content = safetensors_file.encode(fitted.config, fitted.signal, fitted.field, fitted.step)
    path.write_bytes(content)
    newest = max(Path(first).glob("checkpoints/*"))
    hashes = {open_start(each, "image").record.sha256 for each in (Path(first), newest, path)}
    assert len(hashes) == 1


def test_a_run_from_a_start_goes_on_without_it(capsys, smoke, first, larger, monkeypatch):
    words = [*again(smoke, larger), "--from", first]
    assert nint(capsys, *words, "-o", "whole")[0] == 0
    with monkeypatch.context() as patch:
        stopping_at(patch, 5)
        assert nint(capsys, *words, "-o", "parted")[0] == 143
    shutil.rmtree(first)
    assert nint(capsys, "resume", "parted")[0] == 0
    one, other = (load_file(max(Path(run).glob("checkpoints/*"))) for run in ("whole", "parted"))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert figures("parted")["started_from"] == figures("whole")["started_from"]


def test_another_start_makes_another_run(capsys, smoke, first, larger, monkeypatch):
    words = again(smoke, larger)
    three = ["--set", "siren.hidden_layers=3"]
    assert nint(capsys, *words, "--from", first, "-o", "run")[0] == 0
    with monkeypatch.context() as patch:
        stopping_at(patch, 5)
        assert nint(capsys, *words, "--from", first, "-o", "stopped")[0] == 143
    assert nint(capsys, *words, "--from", "run", "-o", "next")[0] == 0
    for run in ("stopped", "run"):
        for flag in ("--continue", "--skip-existing"):
            code, _, said = nint(capsys, *words, *three, flag, "-o", run)
            assert (code, "another start" in said) == (4, True), (run, flag)
            code, _, said = nint(capsys, *words, "--from", "next", flag, "-o", run)
            assert (code, "not 'next'" in said) == (4, True), (run, flag)
    code, _, said = nint(capsys, *words, "--from", first, "--continue", "-o", "run")
    assert (code, "complete; kept" in said) == (0, True)
    assert nint(capsys, *words, "--from", first, "--continue", "-o", "stopped")[0] == 0


def test_several_inputs_start_from_one(capsys, smoke, first, larger):
    words = ["fit", "image", smoke[2], larger, *smoke[3:], "--steps", "4", "--from", first]
    assert nint(capsys, *words, "-o", "all")[0] == 0
    assert {figures(f"all/{each}")["started_from"]["path"] for each in ("picture", "larger")} == {
        first
    }


def grey():
    Image.fromarray(smooth_pixels(24, 32)[..., 0]).save("grey.png")
    return "grey.png"


def test_what_contradicts_a_start_is_named(capsys, smoke, first):
    words = [*smoke, "--from", first, "-o", "new"]
    Path("own.yaml").write_text("siren:\n  omega_0: 12.5\n")
    for more, fault in (
        (("--field", "mlp"), "--field mlp contradicts --from 'first', whose field is siren"),
        (("--set", "siren.hidden_layers=2"), "whose siren.hidden_layers is 3"),
        (("--config", "own.yaml"), "own.yaml:2:3: siren.omega_0=12.5 contradicts"),
    ):
        code, _, said = nint(capsys, *words, *more)
        assert (code, said.count("\n")) == (2, 1), said
        assert fault in said
    code, _, said = nint(capsys, *words, "--set", "siren.hidden_layers=3")
    assert code == 0, said  # which it is anyway


def test_what_differs_in_shape_is_named(capsys, smoke, first):
    soundfile.write("a.wav", np.zeros(100), 8000)
    sound = ["fit", "audio", "a.wav", "--preset", "smoke", "--progress", "never"]
    cases = [
        (again(smoke, grey()), first, "it gives 3 channels, and the input has 1"),
        (sound, first, "it was fitted by nint fit image, and this is nint fit audio"),
    ]
    Image.fromarray(smooth_pixels(20, 40)).save("wide.png")
    Image.fromarray(smooth_pixels(24, 32)).save("a.png")
    grid = ["--field", "hashgrid", "-o", "grid"]
    assert nint(capsys, *again(smoke, "a.png"), *FEW, *grid)[0] == 0
    cases.append((again(smoke, "wide.png"), "grid", "(shape|proportions)"))
    assert nint(capsys, *sound, "--set", "audio.half_range=3", "-o", "s")[0] == 0
    cases.append((sound, "s", "set audio.half_range=3"))
    for words, start, fault in cases:
        code, _, said = nint(capsys, *words, "--from", start, "-o", "new")
        assert (code, said.count("\n")) == (2, 1), said
        assert re.search(fault, said), said
        assert not Path("new").exists()


def test_without_the_layer_other_settings_are_refused(first):
    start = open_start(Path(first), "image")
    with pytest.raises(ConfigError, match=r"its siren\.hidden_features is 32, and this one's 256"):
        Fit("image", "picture.png", resolve([]), start=start)


def test_what_cannot_be_opened_is_refused(capsys, smoke, first):
    newest = max(Path(first).glob("checkpoints/*"))
    content = newest.read_bytes()
    Path("damaged.safetensors").write_bytes(content[:-100])
    Path("text.safetensors").write_text("nothing")
    shutil.copytree(first, "bare")
    shutil.rmtree("bare/checkpoints")
    for start in ("damaged.safetensors", "text.safetensors", "bare", "gone", "."):
        code, out, said = nint(capsys, *smoke, "--from", start, "-o", "new")
        assert (code, out, said.count("\n")) == (3, "", 1), said
    assert not Path("new").exists()


def test_from_python(first, larger):
    settings = {"steps": 4, "device": "cpu"}
    one = api.fit(larger, preset="smoke", settings=settings, output="one", start_from=first)
    run = api.load_run(first)
    two = api.fit(larger, preset="smoke", settings=settings, output="two", start_from=run)
    assert one.metrics.started_from.sha256 == two.metrics.started_from.sha256
    assert one.metrics.psnr_db == two.metrics.psnr_db
