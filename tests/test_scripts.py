"""The scripts run, are listed, and have the options that the documents call them with."""

import json
import shlex
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
from PIL import Image

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
    others = {"same_bits.py", "reference.py", "tables.py"}
    # What bench.py is made of.
    others |= {"costs.py", "processes.py", "rates.py", "size.py", "timing.py"}
    others |= {"targets.py", "target_tables.py"}
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


def test_every_experiment_is_listed():
    found = {path.stem for path in (ROOT / "scripts" / "experiments").glob("*.py")}
    assert found == {*EXPERIMENTS, "experiment"}
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
