"""The worked examples of CONTRIBUTING, followed to the letter in a copy of the package."""

import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "CONTRIBUTING.md").read_text()
_BLOCK = r"\n *```python\n(.*?)\n *```"
FILES = re.findall(r"<!-- file: (\S+) -->" + _BLOCK, TEXT, re.DOTALL)
LINES = re.findall(r'<!-- line: (\S+) after "(\w+)" -->' + _BLOCK, TEXT, re.DOTALL)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory) -> Path:
    """A copy in which the steps have been followed."""
    copy = tmp_path_factory.mktemp("checkout")
    for name in ("nint_cli", "configs"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name, code in FILES:
        assert not (copy / name).exists()
        (copy / name).write_text(textwrap.dedent(code) + "\n")
    for name, before, line in LINES:
        lines = (copy / name).read_text().splitlines()
        [at] = [i for i, each in enumerate(lines) if each.startswith(f'    "{before}":')]
        lines.insert(at + 1, f"    {line.strip()}")
        (copy / name).write_text("\n".join(lines) + "\n")
    return copy


def nint(checkout: Path, *words: str) -> str:
    command = [sys.executable, "-m", "nint_cli", *words]
    environment = {**os.environ, "PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, cwd=checkout, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_each_takes_one_file_and_one_line():
    assert [name for name, _ in FILES] == [
        "nint_cli/samplers/first_half.py",
        "nint_cli/fields/tanh.py",
    ]
    assert [(name, line.count("\n")) for name, _, line in LINES] == [
        ("nint_cli/samplers/table.py", 0),
        ("nint_cli/fields/table.py", 0),
    ]


def test_they_are_listed_and_documented(checkout):
    assert "first_half" in nint(checkout, "list", "samplers")
    assert "4,547 parameters" in nint(checkout, "list", "fields")
    flags = nint(checkout, "fit", "image", "--help")
    assert re.search(r"nint_released\s+or\s+first_half", flags)
    assert re.search(r"hashgrid\s+or\s+tanh", flags)
    schema = json.loads(nint(checkout, "config", "schema"))
    assert schema["$defs"]["FirstHalfSettings"]["properties"]["reach"]["maximum"] == 1
    assert {"first_half", "tanh"} <= schema["properties"].keys()


def test_they_fit(checkout):
    words = ["fit", "image", "sample:camera", "--set", "image.size=24", "--steps", "30"]
    words += ["--set", "first_half.reach=0.6", "--progress", "never", "--output", "runs/toy"]
    nint(checkout, *words, "--sampler", "first_half", "--field", "tanh")
    metrics = json.loads((checkout / "runs/toy/metrics.json").read_text())
    assert metrics["status"] == "complete"
    assert metrics["field"]["name"] == "tanh"
    assert metrics["config"]["first_half"] == {"reach": 0.6}
    assert metrics["config"]["optimiser"]["lr"] == 1e-3
    assert nint(checkout, "eval", "runs/toy")


def test_they_are_compared(checkout):
    words = ["compare", "image", "sample:camera", "--preset", "smoke", "--set", "image.size=24"]
    words += ["--field", "tanh", "--sampler", "first_half", "--sampler", "uniform", "--json"]
    found = json.loads(nint(checkout, *words, "--output", "runs/compare"))
    assert {each["name"] for each in found["variants"]} == {"first_half", "uniform"}
    assert {run["status"] for run in found["runs"]} == {"complete"}
