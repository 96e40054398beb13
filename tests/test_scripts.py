"""The scripts run, are listed, and have the options that the documents call them with."""

import copy
import json
import shlex
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import spearmanr

from nint_cli.config.layers import resolve
from nint_cli.config.presets import preset_layer
from nint_cli.config.yaml_text import set_layer
from nint_cli.runs.build import build_trainer
from nint_cli.runs.inputs import read_input
from nint_cli.schedules.clock import Clock
from tests import oracles
from tests.conftest import smooth_pixels

ROOT = Path(__file__).parents[1]

SCRIPTS = {
    "bench.py": [
        *("--rows", "1024", "--repeats", "1", "--gemm-seconds", "0.001"),
        *("--only", "gemm", "step", "sweep", "scoring", "--json", "bench.json"),
    ],
    "presets.py": [
        *("image", "photo.png", "--fields", "hashgrid", "mlp", "--set", "image.size=16"),
        *("--seconds", "0.05"),
    ],
    "kills.py": ["--kills", "5", "--signals", "5", "--processes", "1"],
    "reproduce.py": [
        *("--images", ".", "--output", "tables", "--methods", "uniform,nint"),
        *("--size", "16", "--steps", "4", "--every", "2", "--jobs", "1"),
    ],
}
QUICK_SCRIPTS = ("bench.py",)


def slow_beside(quick: tuple[str, ...], names: Iterable[str]) -> list[object]:
    """All names; those that take longer are of the slow tests."""
    return [pytest.param(name, marks=[] if name in quick else pytest.mark.slow) for name in names]


@pytest.mark.parametrize("name", slow_beside(QUICK_SCRIPTS, SCRIPTS))
def test_a_script_runs(name):
    Image.fromarray(smooth_pixels(16, 16)).save("photo.png")
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / name, *SCRIPTS[name]], capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout
    if name == "bench.py":
        found = json.loads(Path("bench.json").read_text())
        assert {"gemm", "step", "sweep", "scoring"} < set(found)
    if name == "reproduce.py":
        quality, speed = Path("tables/results.md").read_text().split("\n\n")[2:]
        assert Path("tables/report.html").exists()
        for table in (quality, speed):
            methods = [line.split(" | ")[0] for line in table.splitlines()[2:]]
            assert methods == ["| uniform", "| nint"]
        rows = [line.strip("| ").split(" | ") for line in quality.splitlines()]
        assert rows[0][1:3] == ["PSNR at 4", "SSIM at 4"]
        metrics = json.loads(Path("tables/runs/photo/nint/0/metrics.json").read_text())
        assert rows[-1][1:3] == [f"{metrics['psnr_db']:.2f}", f"{metrics['ssim']:.4f}"]


def test_every_script_is_listed():
    others = {"same_bits.py", "reference.py", "tables.py", "interpolation.py"}
    # What bench.py is made of.
    others |= {"costs.py", "processes.py", "rates.py", "size.py", "timing.py"}
    others |= {"floors.py", "reading.py", "targets.py", "target_tables.py"}
    others |= {"intervals.py"}  # of statistics, not of fits
    assert {path.name for path in (ROOT / "scripts").glob("*.py")} == {*SCRIPTS, *others}


def test_two_records_are_compared_tensor_by_tensor(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "scripts")
    from same_bits import differences

    before = {"full": {"w": "1", "b": "2", "rescues": "0"}, "nint": {"w": "3"}, "gone": {"w": "4"}}
    assert differences(before, before) == []
    after = {"full": {"w": "1", "b": "5", "m": "6", "rescues": "0"}, "nint": {"w": "3"}}
    assert differences(before, after) == [
        "full: 2 differ, first b",
        "gone: 1 differ, first w",
    ]
    assert len(differences(after, before)) == 2


def test_two_files_of_records_are_compared(tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(ROOT / "scripts")
    import same_bits

    for name, bits in (("a", "1"), ("b", "1"), ("c", "2")):
        (tmp_path / name).write_text(json.dumps({"full": {"w": bits}}))
    for other, code, said in (("b", 0, "the same bits in every run"), ("c", 1, "full: 1 differ")):
        words = ["same_bits.py", "compare", str(tmp_path / "a"), str(tmp_path / other)]
        monkeypatch.setattr(sys, "argv", words)
        with pytest.raises(SystemExit) as ended:
            same_bits.main()
        assert ended.value.code == code
        assert said in capsys.readouterr().out


EXPERIMENTS = (
    "nint_vs_uniform",
    "xi_sweep",
    "siren_vs_mlp",
    "ntk_cost",
    "frequencies",
    "cheap_scores",
    "kernel_in_training",
)
QUICK_EXPERIMENTS = ("ntk_cost",)


@pytest.mark.parametrize("name", slow_beside(QUICK_EXPERIMENTS, EXPERIMENTS))
def test_an_experiment_ends_with_a_verdict(name):
    Image.fromarray(smooth_pixels(16, 16)).save("photo.png")
    words = ["photo.png", "--size", "16", "--steps", "10"]
    words = {"ntk_cost": ["--sides", "8", "--repeats", "1"], "frequencies": words[1:]}.get(
        name, words
    )
    script = ROOT / "scripts" / "experiments" / f"{name}.py"
    done = subprocess.run(
        [sys.executable, script, *words, "-o", name], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Claim: ")
    assert "here.**" in done.stdout
    assert Path(name, "section.md").read_text() == done.stdout
    assert json.loads(Path(name, "verdict.json").read_text())["held"] in {True, False}


class Unwatched:
    def after_step(self, trainer, step):
        return None

    def after_rescue(self, trainer, rescue):
        return None


def looked_at(field, signal):
    """Each point's diagonal, score, own part of it and residual; and the share of others."""
    field = copy.deepcopy(field).double()
    coords, values = (each.double() for each in oracles.all_points(signal))
    ntk = oracles.dense_ntk(field, coords)
    error = field(coords).detach() - values
    diagonal = torch.einsum("icic->ic", ntk)
    product = torch.einsum("icjd,jd->ic", ntk, error)
    own = diagonal * error
    others = (product - own).norm(dim=1)
    share = float((others / (others + own.norm(dim=1))).mean())
    figures = (diagonal.sum(1), product.norm(dim=1), own.norm(dim=1), error.norm(dim=1))
    return *figures, share


def test_the_kernel_along_a_run_is_that_of_a_dense_one(monkeypatch):
    """Trains again, as long as scores are to last, and ranks by a kernel of float64."""
    monkeypatch.syspath_prepend(ROOT / "scripts" / "experiments")
    import kernel_in_training as script

    Image.fromarray(smooth_pixels(9, 8)).save("photo.png")
    given = ["steps=10", "siren.hidden_features=8", "siren.hidden_layers=2", "optimiser.lr=1e-3"]
    found = script.along_a_run("photo.png", *given)
    assert list(found) == [0]

    config = resolve([preset_layer("paper"), set_layer(given)]).config
    signal = read_input("image", "photo.png", config, torch.device("cpu")).signal
    trainer = build_trainer(config, signal, Clock())
    diagonal, score, own, error, share = looked_at(trainer.field, signal)
    trainer.fit(Unwatched())
    _, score_later, _, error_later, _ = looked_at(trainer.field, signal)
    values = oracles.all_points(signal)[1].double().numpy().reshape(9, 8, 3)
    steps = [np.gradient(values, axis=axis) for axis in (0, 1)]
    steepness = np.sqrt(sum(np.square(each).sum(axis=-1) for each in steps)).reshape(-1)
    tops = [set(each.argsort().tolist()[-14:]) for each in (score, score_later)]  # of 72
    expected = [
        spearmanr(diagonal, steepness)[0],
        share,
        spearmanr(score, own)[0],
        spearmanr(score, error)[0],
        spearmanr(score, score_later)[0],
        len(tops[0] & tops[1]) / 14,
        spearmanr(error, error_later)[0],
    ]
    assert found[0] == pytest.approx(expected, abs=1e-3)
    assert abs(expected[4]) < 0.999  # the scores did change


def test_every_experiment_is_listed():
    found = {path.stem for path in (ROOT / "scripts" / "experiments").glob("*.py")}
    # guidance.py measures and has no verdict.
    assert found == {*EXPERIMENTS, "experiment", "guidance"}
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert f"EXPERIMENTS := {' '.join(EXPERIMENTS)}\n" in makefile


# In one process, since each of its own would load PyTorch again.
HELPS = """
import contextlib, pathlib, runpy, sys
scripts = sys.argv[1:]
for number, script in enumerate(scripts):
    print(end="\\0" if number else "")
    sys.argv = [script, "--help"]
    sys.path.insert(0, str(pathlib.Path(script).parent))
    with contextlib.suppress(SystemExit):
        runpy.run_path(script, run_name="__main__")
"""


def test_the_commands_behind_the_results_exist():
    """They take too long to run here; that the scripts run at all is tested above."""
    lines = []
    for page in ("results", "performance", "default-and-paper"):
        text = (ROOT / "docs" / "lab" / f"{page}.md").read_text(encoding="utf-8")
        found = [line for line in text.splitlines() if line.startswith("python scripts/")]
        assert len(found) >= 3
        lines += found
    split = [shlex.split(line)[1:] for line in lines]
    names = sorted({script for script, *_ in split})
    command = [sys.executable, "-c", HELPS, *(str(ROOT / name) for name in names)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    helps = dict(zip(names, done.stdout.split("\0"), strict=True))
    for script, *words in split:
        for word in words:
            assert not word.startswith("--") or word in helps[script], (script, word)
