"""LPIPS and FLIP: the figures, what they need, and what becomes of a run without it.

The weights are random but for LPIPS's own heads, and where the installed torchvision does not fit
PyTorch, its AlexNet is stood in for; all else is the real code, on a machine without a network.
"""

import hashlib
import json
import shlex
import socket
import sys
import types
import urllib.request
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save, save_file
from torch import nn

from nint_cli.config.layers import resolve
from nint_cli.config.schema import RunConfig
from nint_cli.config.yaml_text import file_layer, set_layer
from nint_cli.modalities.image import perceptual
from nint_cli.modalities.image.perceptual_models import prepare
from nint_cli.modalities.image.png import encode_picture
from nint_cli.modalities.table import MODALITIES
from nint_cli.runs import environment
from nint_cli.runs.fit import config_digest
from tests import oracles
from tests.cli.test_cli import nint, strict
from tests.conftest import smooth_pixels
from tests.test_docs import blocks


class AlexNet(nn.Module):
    """The part of torchvision's that LPIPS uses (Krizhevsky, 2014, arXiv 1404.5997)."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 64, 11, stride=4, padding=2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=2),
            nn.Conv2d(64, 192, 5, padding=2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=2),
            nn.Conv2d(192, 384, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(384, 256, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(256, 256, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=2),
        )


def real_torchvision() -> bool:
    try:
        import torchvision.models  # noqa: F401
    except (ImportError, RuntimeError):
        return False
    return True


def forget(*packages):
    for name in [name for name in sys.modules if name.partition(".")[0] in packages]:
        del sys.modules[name]


@pytest.fixture
def lpips_package():
    real = real_torchvision()
    forget("lpips", *(() if real else ("torchvision",)))
    if not real:
        models = types.ModuleType("torchvision.models")
        models.alexnet = lambda pretrained: AlexNet()
        torchvision = types.ModuleType("torchvision")
        torchvision.models = models
        sys.modules |= {"torchvision": torchvision, "torchvision.models": models}
    import lpips

    yield lpips
    forget("lpips", *(() if real else ("torchvision",)))


def built(package):
    """LPIPS with its own heads over random features, as its users build it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torchvision's, on how the package calls it
        return package.LPIPS(net="alex", pnet_rand=True, verbose=False)


@pytest.fixture
def weights(lpips_package):
    network = built(lpips_package)
    return {k: v for k, v in network.state_dict().items() if not k.startswith("lins.")}


@pytest.fixture
def weights_file(weights, tmp_path, monkeypatch):
    """A file of them, after which the network, downloads and pickles are out of reach."""
    path = tmp_path / "weights" / "alex.safetensors"
    path.parent.mkdir()
    save_file(weights, path)

    def refuse(*_args, **_kwargs):
        raise AssertionError("out of reach")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", refuse)
    monkeypatch.setattr(torch, "load", refuse)
    return path


def pictures(height=40, width=48):
    values = smooth_pixels(height, width) / np.float32(255)
    noise = np.random.default_rng(0).standard_normal(values.shape)
    return values + 0.1 * noise.astype(np.float32), values


def wide_picture(folder: Path, channels=3, bits=8, side=40) -> Path:
    path = folder / "wide.png"
    path.write_bytes(encode_picture(smooth_pixels(side, side + 8, channels, bits)))
    return path


def fit_words(source: Path, run: Path, *more: object) -> list[object]:
    return ["fit", "image", source, "--preset", "smoke", "-o", run, "--steps", 5, *more]


# FLIP


def test_flip_is_zero_for_equal_pictures_symmetric_and_at_most_one():
    prediction, values = pictures()
    assert perceptual.flip(values, values) == 0
    there, back = perceptual.flip(prediction, values), perceptual.flip(values, prediction)
    assert 0 < there == pytest.approx(back, abs=0.01)
    assert perceptual.flip(prediction.clip(0, 1), values) == there
    black = np.zeros_like(values)
    assert 0.9 < perceptual.flip(black, black + 1) <= 1


def test_flip_is_the_packages_at_its_own_defaults():
    from flip_evaluator import evaluate

    prediction, values = pictures()
    prediction = prediction.clip(0, 1)
    error_map, mean, used = evaluate(values, prediction, "LDR", applyMagma=False)
    assert perceptual.flip(prediction, values) == pytest.approx(mean, abs=1e-6)
    assert error_map.shape == (40, 48, 1)
    assert used["ppd"] == pytest.approx(perceptual.PIXELS_PER_DEGREE, abs=1e-4)


def test_flip_grows_with_the_error():
    _, values = pictures()
    steps = [perceptual.flip(values + shift, values) for shift in (0.01, 0.05, 0.2)]
    assert steps == sorted(steps)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (3, 5)])
def test_flip_has_no_smallest_picture(shape):
    values = np.full((*shape, 3), 0.5, np.float32)
    assert perceptual.flip(values, values) == 0


# LPIPS


def test_lpips_agrees_with_its_definition(weights):
    network = perceptual.lpips_network(weights)
    prediction, values = pictures()
    expected = oracles.lpips(weights, torch.from_numpy(prediction), torch.from_numpy(values))
    assert expected > 1e-4
    assert perceptual.lpips(network, prediction, values) == pytest.approx(expected, rel=1e-4)
    exact = perceptual.lpips(network.double(), prediction, values)
    assert exact == pytest.approx(expected, rel=1e-9)
    assert perceptual.lpips(network, values, values) == 0


def test_lpips_is_the_packages_own(weights, lpips_package):
    theirs = built(lpips_package)
    theirs.load_state_dict(weights, strict=False)
    prediction, values = pictures()
    pair = [torch.from_numpy(p.clip(0, 1)).permute(2, 0, 1)[None] for p in (prediction, values)]
    with torch.no_grad():
        expected = float(theirs(*pair, normalize=True))
    network = perceptual.lpips_network(weights)
    assert perceptual.lpips(network, prediction, values) == pytest.approx(expected, rel=1e-5)


def test_lpips_sees_contrast(weights):
    """Which a version that stretches each picture by its own extremes would call equal."""
    _, values = pictures()
    assert perceptual.lpips(perceptual.lpips_network(weights), values / 2 + 0.25, values) > 0


def test_building_lpips_touches_no_random_state(weights):
    before = torch.get_rng_state()
    perceptual.lpips_network(weights)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(("side", "fits"), [(30, False), (31, True)])
def test_lpips_has_a_smallest_picture(weights, side, fits):
    network = perceptual.lpips_network(weights)
    values = np.full((side, 64, 3), 0.5, np.float32)
    if fits:
        assert perceptual.lpips(network, values, values) == 0
        return
    with pytest.raises(ValueError, match="at least 31 pixels"):
        perceptual.lpips(network, values, values)
    with pytest.raises(RuntimeError):  # so the limit is the network's, not ours
        network(*[torch.zeros(1, 3, side, 64)] * 2)


def test_the_stand_in_is_torchvisions_alexnet():
    if not real_torchvision():
        pytest.skip("the installed torchvision does not fit PyTorch")
    import torchvision

    assert repr(torchvision.models.alexnet(weights=None).features) == repr(AlexNet().features)


def test_the_documented_line_makes_the_file(lpips_package, monkeypatch):
    monkeypatch.setattr(
        lpips_package.pretrained_networks.tv, "alexnet", lambda pretrained: AlexNet()
    )
    (line,) = [text for text in blocks("sh") if "lpips" in text]
    words = shlex.split(line)
    assert words[:2] == ["python", "-c"]
    exec(words[2], {})
    config = RunConfig.model_validate({"metrics": {"lpips_weights": "lpips-alex.safetensors"}})
    assert prepare(config.metrics).lpips_reason is None


# Files of weights


def damage(kind, weights):
    """Give the content of a file that is not what it should be."""
    if kind == "empty":
        return b""
    if kind == "text":
        return b"hello " * 100
    if kind == "pickle":
        return b"PK\x03\x04" + bytes(100)
    if kind == "cut":
        return save(weights)[:-100]
    if kind == "large":
        return bytes((1 << 26) + 1)
    if kind == "torchvision":
        return save({"features.0.weight": weights["net.slice1.0.weight"]})
    changed = dict(weights)
    if kind == "missing":
        del changed["net.slice5.10.bias"]
    elif kind == "foreign":
        changed["classifier.weight"] = torch.zeros(3)
    elif kind == "shape":
        changed["net.slice1.0.bias"] = torch.zeros(63)
    elif kind == "half":
        changed["net.slice1.0.bias"] = changed["net.slice1.0.bias"].half()
    elif kind == "nan":
        changed["net.slice1.0.bias"] = torch.full((64,), float("nan"))
    elif kind == "heads":
        changed["lin3.model.1.weight"] = changed["lin3.model.1.weight"] * 2
    return save(changed)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("empty", "header too small"),
        ("text", "header too large"),
        ("pickle", "a pickle file, which nint never opens"),
        ("cut", "not fully covered"),
        ("large", "larger than 67,108,864 bytes"),
        ("torchvision", "features.0.weight is no part of LPIPS"),
        ("missing", "net.slice5.10.bias is missing"),
        ("foreign", "classifier.weight is no part of LPIPS"),
        ("shape", "net.slice1.0.bias: torch.float32 of (63,) does not fit"),
        ("half", "net.slice1.0.bias: torch.float16 of (64,) does not fit"),
        ("nan", "net.slice1.0.bias holds NaN or infinity"),
        ("heads", "its linear heads are not those of LPIPS version 0.1"),
    ],
)
def test_a_file_that_is_no_lpips_is_refused_before_training(
    capsys, weights_file, weights, tmp_path, kind, said
):
    weights_file.write_bytes(damage(kind, weights))
    run = tmp_path / "run"
    words = fit_words(
        wide_picture(tmp_path), run, "--set", f"metrics.lpips_weights={weights_file}"
    )
    code, out, err = nint(capsys, *words)
    assert (code, out) == (3, "")
    assert len(err.splitlines()) == 1
    assert err.startswith(f"nint: error: LPIPS weights '{weights_file}': ")
    assert said in err
    assert "the README says how to make the file" in err
    assert not run.exists()


@pytest.mark.parametrize("name", ["nothing.safetensors", "."])
def test_a_file_that_cannot_be_read_is_an_error(capsys, tmp_path, name):
    words = fit_words(wide_picture(tmp_path), tmp_path / "run", "--set")
    code, _, err = nint(capsys, *words, f"metrics.lpips_weights={name}")
    assert code == 3
    assert err.startswith(f"nint: error: cannot read LPIPS weights '{tmp_path}")
    assert not (tmp_path / "run").exists()


def test_a_wrong_hash_is_refused_and_the_right_one_recorded(capsys, weights_file, tmp_path):
    run = tmp_path / "run"
    named = ["--set", f"metrics.lpips_weights={weights_file}", "--set"]
    words = fit_words(wide_picture(tmp_path), run, *named)
    code, _, err = nint(capsys, *words, f"metrics.lpips_sha256={'0' * 64}")
    sha256 = hashlib.sha256(weights_file.read_bytes()).hexdigest()
    assert code == 3
    assert f"their sha256 is {sha256}, not metrics.lpips_sha256 = 000" in err
    assert not run.exists()
    code, _, err = nint(capsys, *words, "metrics.lpips_sha256=abc")
    assert (code, "metrics.lpips_sha256: must be 64 hexadecimal digits" in err) == (2, True)
    code, _, err = nint(capsys, *words, f"metrics.lpips_sha256={sha256.upper()}")
    assert code == 0, err
    assert strict(run / "metrics.json")["lpips_sha256"] == sha256


# Runs


def test_fit_and_eval_give_both_figures_and_agree(capsys, weights_file, tmp_path):
    run = tmp_path / "run"
    words = fit_words(
        wide_picture(tmp_path), run, "--set", f"metrics.lpips_weights={weights_file}"
    )
    code, _, err = nint(capsys, *words)
    assert code == 0, err
    metrics = strict(run / "metrics.json")
    assert (metrics["lpips_reason"], metrics["flip_reason"]) == (None, None)
    assert metrics["perceptual_conversions"] == []
    assert f"{metrics['lpips']:.4f} (0 is equal)" in err
    assert f"{metrics['flip']:.4f} (0 is equal)" in err
    code, out, _ = nint(capsys, "eval", run, "--json")
    quality = json.loads(out)
    for key in ("lpips", "flip"):
        assert quality[key] > 0
        assert quality[key] == pytest.approx(metrics[key], rel=1e-4), key
    code, out, _ = nint(capsys, "eval", run)
    assert f"LPIPS {quality['lpips']:.6f}" in out
    assert f"FLIP {quality['flip']:.6f}" in out


def test_eval_chooses_for_itself(capsys, weights_file, tmp_path):
    run = tmp_path / "run"
    code, _, err = nint(capsys, *fit_words(wide_picture(tmp_path), run, "-q"))
    assert code == 0, err
    metrics = strict(run / "metrics.json")
    assert metrics["lpips"] is None
    assert metrics["lpips_reason"] == "metrics.lpips_weights names no file of weights"
    code, out, _ = nint(capsys, "eval", run, "--no-flip")
    assert "LPIPS - (metrics.lpips_weights names no file of weights)" in out
    assert "FLIP - (metrics.flip is off)" in out
    code, out, _ = nint(capsys, "eval", run, "--lpips-weights", weights_file, "--json")
    assert json.loads(out)["lpips"] > 0
    code, _, err = nint(
        capsys, "eval", run, "--lpips-weights", weights_file, "--lpips-sha256", "1" * 64
    )
    assert (code, "not metrics.lpips_sha256 = 111" in err) == (3, True)
    code, _, err = nint(capsys, "eval", run, "--lpips-weights", "gone")
    assert (code, "cannot read LPIPS weights" in err) == (3, True)


def test_weights_that_have_moved(capsys, weights_file, tmp_path):
    run = tmp_path / "run"
    words = fit_words(
        wide_picture(tmp_path), run, "--set", f"metrics.lpips_weights={weights_file}"
    )
    assert nint(capsys, *words)[0] == 0
    moved = weights_file.rename(tmp_path / "moved.safetensors")
    code, out, _ = nint(capsys, "eval", run)
    assert (code, "is gone; name it with --lpips-weights FILE" in out) == (0, True)
    code, _, err = nint(capsys, "resume", run, "--steps", 7)
    assert (code, "cannot read LPIPS weights" in err) == (3, True)
    config = run / "config.yaml"
    config.write_text(config.read_text().replace(str(weights_file), "../moved.safetensors"))
    code, _, err = nint(capsys, "resume", run, "--steps", 7)
    assert code == 0, err
    metrics = strict(run / "metrics.json")
    assert metrics["lpips"] > 0
    assert Path(metrics["config"]["metrics"]["lpips_weights"]).samefile(moved)


@pytest.mark.parametrize(
    ("channels", "bits", "done"),
    [
        (1, 8, ["grey repeated to RGB"]),
        (2, 8, ["alpha left out", "grey repeated to RGB"]),
        (4, 8, ["alpha left out"]),
        (1, 16, ["grey repeated to RGB"]),
        (3, 16, []),
    ],
)
def test_channels_and_depth(capsys, weights_file, tmp_path, channels, bits, done):
    run = tmp_path / "run"
    source = wide_picture(tmp_path, channels, bits)
    words = fit_words(source, run, "--set", f"metrics.lpips_weights={weights_file}")
    code, _, err = nint(capsys, *words)
    assert code == 0, err
    metrics = strict(run / "metrics.json")
    assert metrics["perceptual_conversions"] == done
    assert metrics["lpips"] > 0
    assert metrics["flip"] > 0
    for text in done:
        assert text in nint(capsys, "eval", run)[1]


def test_colours_of_known_pixels():
    grey, done = perceptual.colours(np.array([[[0.25, 1.0]]]), 1)
    assert (grey.tolist(), grey.dtype) == ([[[0.25, 0.25, 0.25]]], np.float32)
    assert done == ["alpha left out", "grey repeated to RGB"]
    rgb, done = perceptual.colours(np.array([[[0.25, 0.5, 0.75, 0.0]]]), 3)
    assert (rgb.tolist(), done) == ([[[0.25, 0.5, 0.75]]], ["alpha left out"])


def test_a_picture_too_small_for_lpips_has_flip(capsys, weights_file, tmp_path):
    run = tmp_path / "run"
    source = wide_picture(tmp_path, side=30)
    words = fit_words(source, run, "--set", f"metrics.lpips_weights={weights_file}")
    assert nint(capsys, *words)[0] == 0
    metrics = strict(run / "metrics.json")
    assert (metrics["lpips"], metrics["lpips_sha256"]) == (None, None)
    assert metrics["lpips_reason"] == "a side is shorter than 31 pixels"
    assert metrics["flip"] > 0


def test_weights_that_overflow_cost_no_run(capsys, weights_file, weights, tmp_path):
    huge = {k: v * 1e30 if k.startswith("net.") else v for k, v in weights.items()}
    save_file(huge, weights_file)
    words = fit_words(wide_picture(tmp_path), tmp_path / "run", "--set")
    assert nint(capsys, *words, f"metrics.lpips_weights={weights_file}")[0] == 0
    metrics = strict(tmp_path / "run" / "metrics.json")
    assert (metrics["lpips"], metrics["lpips_reason"]) == (None, "its weights overflow")


# Without the packages


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        ("lpips", "lpips is not installed; pip install 'nint[lpips]'"),
        ("torchvision", "lpips needs torchvision; pip install 'nint[lpips]'"),
    ],
)
def test_without_lpips_it_is_null_and_the_user_told(
    capsys, weights_file, tmp_path, monkeypatch, module, reason
):
    forget("lpips")
    monkeypatch.setitem(sys.modules, module, None)
    words = fit_words(wide_picture(tmp_path), tmp_path / "run", "--set")
    code, _, err = nint(capsys, *words, f"metrics.lpips_weights={weights_file}")
    assert code == 0, err
    assert f"nint: no LPIPS: {reason}" in err
    metrics = strict(tmp_path / "run" / "metrics.json")
    assert (metrics["lpips"], metrics["lpips_reason"]) == (None, reason)


def test_a_package_that_fails_to_import_is_a_reason(weights_file, monkeypatch):
    def broken(_name):
        raise RuntimeError("operator torchvision::nms does not exist\nand more")

    monkeypatch.setattr(
        "nint_cli.modalities.image.perceptual_models.importlib.import_module", broken
    )
    config = RunConfig.model_validate({"metrics": {"lpips_weights": str(weights_file)}})
    assert prepare(config.metrics).lpips_reason == (
        "lpips cannot be imported (operator torchvision::nms does not exist); install versions "
        "that fit each other"
    )


def test_without_flip_it_is_null(capsys, smoke, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "flip_evaluator", None)
    code, _, err = nint(capsys, *smoke, "-o", tmp_path / "run")
    assert code == 0
    assert "FLIP" not in err
    metrics = strict(tmp_path / "run" / "metrics.json")
    assert metrics["flip"] is None
    assert metrics["flip_reason"] == ("flip-evaluator is not installed; pip install 'nint[flip]'")


def test_doctor_says_which_extras_are_there(capsys, monkeypatch):
    extras = json.loads(nint(capsys, "doctor", "--json")[1])["extras"]
    assert extras["flip"].startswith("flip-evaluator ")
    assert extras["lpips"].startswith("lpips ")
    pictures = replace(MODALITIES["image"], extras={"flip": ("no-such-package",)})
    monkeypatch.setattr(environment, "MODALITIES", {"image": pictures})
    assert environment.extra_versions()["flip"] == "not installed (pip install 'nint[flip]')"


# Settings


def test_paths_are_relative_to_their_file_or_the_working_folder(tmp_path, monkeypatch):
    (tmp_path / "settings").mkdir()
    path = tmp_path / "settings" / "mine.yaml"
    path.write_text("metrics:\n  lpips_weights: weights/alex.safetensors\n  flip: false\n")
    config = resolve([file_layer(path)]).config.metrics
    assert config.lpips_weights == str(tmp_path / "settings" / "weights" / "alex.safetensors")
    assert not config.flip
    monkeypatch.chdir(tmp_path / "settings")
    assert resolve([file_layer(Path("mine.yaml"))]).config.metrics == config
    config = resolve([set_layer(["metrics.lpips_weights=alex.safetensors"])]).config.metrics
    assert config.lpips_weights == str(tmp_path / "settings" / "alex.safetensors")


def test_measures_change_no_fit():
    plain = RunConfig().model_dump(mode="json")
    other = RunConfig.model_validate({"metrics": {"lpips_weights": "x", "flip": False}})
    assert config_digest(other.model_dump(mode="json")) == config_digest(plain)


def test_a_path_survives_print_config(tmp_path, capsys):
    path = tmp_path / "a: b #1.safetensors"
    words = ["fit", "image", "x.png", "--print-config", "--set", f"metrics.lpips_weights='{path}'"]
    code, out, _ = nint(capsys, *words)
    assert code == 0
    (tmp_path / "shown.yaml").write_text(out)
    shown = resolve([file_layer(tmp_path / "shown.yaml")])
    assert shown.config.metrics.lpips_weights == str(path)
