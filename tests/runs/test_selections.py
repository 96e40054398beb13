"""Selections that a run leaves, and checkpoints that it keeps."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from nint_cli import cli
from nint_cli.errors import InputError
from nint_cli.runs import selections
from nint_cli.runs.folder import RunFolder
from nint_cli.samplers.base import Selection
from tests.conftest import smooth_pixels

SMALL = ["--preset", "smoke", "--set", "image.size=16", "--progress", "never"]


def fit(*words: str) -> int:
    Image.fromarray(smooth_pixels()).save("photo.png")
    return cli.run(["fit", "image", "photo.png", "-o", "run", *SMALL, *words])


def steps(name: str) -> list[int]:
    return sorted(int(path.stem[5:]) for path in (Path("run") / name).glob("step-*"))


def test_a_selection_comes_back_as_it_was(tmp_path):
    selection = Selection(torch.tensor([5, 3, 5]), slots=(("ntk", 2), ("random", 1)))
    path = tmp_path / "step-0000000012.safetensors"
    path.write_bytes(selections.encode(selection))
    step, found = selections.read(path)
    assert step == 12
    assert found.indices.tolist() == [5, 3, 5]
    assert found.slots == selection.slots


def test_a_damaged_selection_is_an_input_error(tmp_path):
    path = tmp_path / "step-0000000012.safetensors"
    path.write_bytes(selections.encode(Selection(torch.arange(9)))[:-3])
    with pytest.raises(InputError, match="is damaged"):
        selections.read(path)


def test_every_evaluation_leaves_its_selection(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    every = ["--set", "evaluation.every=4", "--set", "evaluation.selections=true"]
    assert fit("--steps", "10", *every) == 0
    assert steps("selections") == [4, 8, 10]
    batch = len(selections.read(RunFolder.open(tmp_path / "run").selections()[0])[1].indices)
    assert batch > 0
    lines = (tmp_path / "run" / "log.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert [row["step"] for row in rows] == [4, 8, 10]
    # Replacing the run removes them with the rest.
    assert fit("--steps", "2", "--overwrite") == 0
    assert steps("selections") == []


def test_a_run_that_goes_back_forgets_later_selections(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    every = ["--set", "evaluation.every=2", "--set", "evaluation.selections=true"]
    assert fit("--steps", "10", "--set", "checkpoint.every=4", *every) == 0
    (tmp_path / "run" / "metrics.json").unlink()
    newest = RunFolder.open(tmp_path / "run").checkpoints()[0]
    newest.write_bytes(b"torn")
    before = (tmp_path / "run" / "selections" / "step-0000000010.safetensors").read_bytes()
    assert cli.run(["resume", "run", "--progress", "never"]) == 0
    assert steps("selections") == [2, 4, 6, 8, 10]
    after = (tmp_path / "run" / "selections" / "step-0000000010.safetensors").read_bytes()
    assert after == before


@pytest.mark.parametrize(
    ("keep", "left"), [("1", [10]), ("3", [6, 8, 10]), ("null", [2, 4, 6, 8, 10])]
)
def test_as_many_checkpoints_stay_as_are_asked_for(tmp_path, monkeypatch, keep, left):
    monkeypatch.chdir(tmp_path)
    kept = ["--set", "checkpoint.every=2", "--set", f"checkpoint.keep={keep}"]
    assert fit("--steps", "10", *kept) == 0
    assert steps("checkpoints") == left
