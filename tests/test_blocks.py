"""Block sizes: which are chosen by their times, and what a machine and a run remember of them."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from nint_cli import blocks, checkpoint, machine, sweep
from nint_cli.cache import cache_folder
from nint_cli.checkpoint import rebuild_field
from nint_cli.errors import InputError, OutputError
from nint_cli.fields import Blocks, Wire
from nint_cli.sweep import block_size, predict
from tests.conftest import generator, tiny_field, tiny_signal
from tests.test_cli import nint

MEASURED = ["--set", "engine.blocks=measured", "--device", "cpu", "--set", "engine.threads=1"]


@pytest.fixture
def memory(cache) -> Path:
    return cache / "blocks.json"


@pytest.fixture
def quick(monkeypatch) -> list[int]:
    """Measure without taking time, a size of its own each time."""
    found = []

    def measure(*_):
        found.append(len(found))
        return Blocks(7 + len(found), 11 + len(found))

    monkeypatch.setattr(blocks, "_measure", measure)
    return found


def asked(network, products=None) -> tuple[Blocks, list[str]]:
    notes: list[str] = []
    return blocks.measured_blocks(network, products, notes.append), notes


@pytest.mark.parametrize(
    ("seconds", "chosen"),
    [
        ({50: [1.0], 100: [1.0], 200: [1.0]}, 100),
        ({50: [0.96], 100: [1.0], 200: [0.97]}, 100),  # noise
        ({50: [0.94], 100: [1.0], 200: [0.97]}, 50),
        ({50: [0.9], 100: [1.0], 200: [0.8]}, 200),
        ({50: [0.1, 2.0, 2.0], 100: [1.0, 1.0, 1.0], 200: [2.0, 0.1, 2.0]}, 100),  # medians
    ],
)
def test_the_usual_size_stays_unless_another_is_clearly_faster(seconds, chosen):
    assert blocks.choose(seconds, 100) == chosen


@pytest.mark.parametrize(
    "network",
    [
        tiny_field(dtype=torch.float32),
        Wire(2, 3, hidden_features=4, hidden_layers=2, generator=generator()),
    ],
    ids=["siren", "wire"],
)
def test_measuring_tries_sizes_about_the_usual_one(monkeypatch, network):
    monkeypatch.setattr(blocks, "_BUDGET_S", 0.0)
    monkeypatch.setitem(sweep._BLOCK_NUMBERS, "cpu", 1 << 12)
    monkeypatch.setitem(sweep._FORWARD_NUMBERS, "cpu", 1 << 13)
    tried = {}

    def first(seconds, usual):
        assert all(len(times) == 3 for times in seconds.values())
        tried[usual] = sorted(seconds)
        return min(seconds)

    monkeypatch.setattr(blocks, "choose", first)
    before = [parameter.clone() for parameter in network.parameters()]
    found = blocks._measure(network, None)
    usual, forward = block_size(network), block_size(network, forward_only=True)
    assert tried == {
        usual: [usual // 4, usual // 2, usual, 2 * usual, 4 * usual],
        forward: [forward // 4, forward // 2, forward, 2 * forward, 4 * forward],
    }
    assert found == Blocks(usual // 4, forward // 4)
    assert all(map(torch.equal, before, network.parameters()))


def test_a_size_that_is_slowed_down_is_not_chosen(monkeypatch):
    """The sizes' own times decide: make all but one of them wait."""
    import time

    monkeypatch.setattr(blocks, "_BUDGET_S", 0.0)
    found = blocks._fastest(lambda size: time.sleep(0.02 * (size != 200)), 100, lambda: None)
    assert found == 200


def test_a_machine_remembers_and_tells_networks_apart(memory, quick):
    first, notes = asked(tiny_field(dtype=torch.float32))
    assert (first, len(quick)) == (Blocks(8, 12), 1)
    sizes = "8 coordinates in a step and 12 in a sweep"
    assert notes == [f"measured block sizes, {sizes}; remembered in '{memory}'"]
    assert asked(tiny_field(dtype=torch.float32)) == (first, [])
    assert asked(tiny_field(width=9, dtype=torch.float32))[0] == Blocks(9, 13)
    assert asked(tiny_field(dtype=torch.float32), torch.bfloat16)[0] == Blocks(10, 14)
    torch.set_num_threads(2)
    assert asked(tiny_field(dtype=torch.float32))[0] == Blocks(11, 15)
    assert len(json.loads(memory.read_bytes())) == 4
    torch.set_num_threads(1)
    assert asked(tiny_field(dtype=torch.float32)) == (first, [])


@pytest.mark.parametrize("content", ["{", "[]", '{"x": {"step": 0, "sweep": 4}}', '{"x": 3}', ""])
def test_a_memory_that_makes_no_sense_is_begun_anew(memory, quick, content):
    memory.parent.mkdir(parents=True)
    memory.write_text(content)
    found, notes = asked(tiny_field(dtype=torch.float32))
    assert notes[0] == f"'{memory}' is no memory of block sizes; begun anew"
    assert asked(tiny_field(dtype=torch.float32)) == (found, [])


def test_a_memory_that_cannot_be_kept_is_told(memory, quick):
    memory.parent.parent.write_text("a file where the folder should be")
    found, notes = asked(tiny_field(dtype=torch.float32))
    assert found == Blocks(8, 12)
    assert len(notes) == 1
    assert f"cannot remember them in '{memory}'" in notes[0]


def test_a_memory_that_cannot_be_written_costs_no_second_measurement(memory, quick, monkeypatch):
    def full(*_):
        raise OutputError("no space left")

    monkeypatch.setattr(machine, "write_whole", full)
    found, notes = asked(tiny_field(dtype=torch.float32))
    assert (found, len(quick)) == (Blocks(8, 12), 1)
    assert notes[0].endswith("no space left")


def test_a_relative_or_empty_cache_folder_is_ignored(monkeypatch, tmp_path):
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    for given in ("", "here"):
        monkeypatch.setenv("XDG_CACHE_HOME", given)
        assert cache_folder() == tmp_path / ".cache" / "nint"


def test_no_size_is_below_one():
    for sizes in ((0, 1), (1, 0), (-1, 5)):
        with pytest.raises(ValueError, match="at least one"):
            Blocks(*sizes)


def test_a_field_is_swept_by_its_own_sizes():
    network, signal = tiny_field(dtype=torch.float32), tiny_signal(dtype=torch.float32)
    expected = predict(network, signal)
    network.blocks = Blocks(3, 4)
    assert (block_size(network), block_size(network, forward_only=True)) == (3, 4)
    sizes = []
    original = type(signal).slice

    def watched(self, start, stop):
        sizes.append(stop - start)
        return original(self, start, stop)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(signal), "slice", watched)
        found = predict(network, signal)
    assert set(sizes) == {4, 2}  # 30 points
    torch.testing.assert_close(found, expected)


def test_a_run_keeps_to_the_sizes_it_began_with(capsys, smoke, memory, quick):
    words = [*smoke, *MEASURED, "--set", "checkpoint.every=2", "--steps", "4"]
    code, _, err = nint(capsys, *words, "-o", "a")
    assert code == 0
    assert "measured block sizes, 8 coordinates in a step" in err
    saved = checkpoint.read(sorted(Path("a/checkpoints").glob("*"))[-1])
    assert saved.blocks == rebuild_field(saved).blocks == Blocks(8, 12)
    environment = json.loads(Path("a/metrics.json").read_bytes())["environment"]
    assert (environment["step_block"], environment["sweep_block"]) == (8, 12)
    assert len(quick) == 1

    sorted(Path("a/checkpoints").glob("*"))[-1].unlink()
    Path("a/metrics.json").unlink()
    memory.unlink()  # this machine now knows nothing, or would choose others
    code, _, err = nint(capsys, "resume", "a")
    assert code == 0
    assert len(quick) == 1
    again = checkpoint.read(sorted(Path("a/checkpoints").glob("*"))[-1])
    assert again.blocks == Blocks(8, 12)
    for name, tensor in saved.state.tensors.items():
        assert torch.equal(tensor, again.state.tensors[name]), name


def test_nothing_is_measured_unless_asked_for(capsys, smoke, memory, quick):
    assert nint(capsys, *smoke, "--steps", "2", "-o", "a")[0] == 0
    assert not quick
    assert not memory.parent.exists()
    saved = checkpoint.read(next(Path("a/checkpoints").glob("*")))
    assert saved.blocks is None


def test_a_checkpoint_with_nonsense_for_sizes_is_refused(capsys, smoke, monkeypatch):
    assert nint(capsys, *smoke, "--steps", "2", "-o", "a")[0] == 0
    saved = checkpoint.read(next(Path("a/checkpoints").glob("*")))
    path = Path("a.safetensors")
    path.write_bytes(checkpoint.encode(replace(saved, blocks=Blocks(5, 6))))
    assert checkpoint.read(path).blocks == Blocks(5, 6)
    for nonsense in ({"step": 0, "sweep": 6}, {"step": 5}, [5, 6], {"step": "five", "sweep": 6}):
        monkeypatch.setattr(checkpoint, "asdict", lambda _, nonsense=nonsense: nonsense)
        path.write_bytes(checkpoint.encode(replace(saved, blocks=Blocks(5, 6))))
        with pytest.raises(InputError, match=r"no sound checkpoint"):
            checkpoint.read(path)
