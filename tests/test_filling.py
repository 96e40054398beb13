"""Batches that fill a device: how large they become, and what a machine and a run remember."""

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from nint_cli import checkpoint, filling, machine
from nint_cli.build import build_trainer
from nint_cli.clock import Clock
from nint_cli.config import BatchConfig, RunConfig, parse_yaml, preset_layer, resolve
from nint_cli.errors import InputError
from nint_cli.fields import Siren, Wire
from tests.conftest import generator, tiny_signal
from tests.test_cli import nint

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)
FILL = ["--device", "cpu", "--set", "engine.threads=1", "--set", "batch.size=16"]
FILL += ["--set", "batch.fill=always"]


def field(width: int = 8) -> Siren:
    return Siren(2, 3, hidden_features=width, hidden_layers=2, generator=generator())


@pytest.fixture
def memory(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "nint" / "batches.json"


@pytest.fixture
def measured(monkeypatch) -> list[int]:
    """Measure without taking time: four times the usual size."""
    asked = []

    def measure(_, size, __):
        asked.append(size)
        return 4 * size

    monkeypatch.setattr(filling, "_measure", measure)
    return asked


@pytest.mark.parametrize(
    ("seconds", "chosen"),
    [
        ({8: [1.0]}, 8),
        ({8: [1.0], 16: [1.05], 32: [1.09], 64: [1.11]}, 32),
        ({8: [1.0], 16: [2.0], 32: [4.0]}, 8),  # a device that is full
        ({8: [1.0], 16: [1.3], 32: [1.0]}, 8),  # not beyond the first that is slower
        ({8: [1.0, 1.0, 9.0], 16: [1.05, 1.05, 9.0], 32: [0.1, 2.0, 2.0]}, 16),  # medians
        ({8: [1.0], 16: [0.5], 32: [0.9]}, 32),
    ],
)
def test_a_batch_grows_while_its_step_takes_hardly_longer(seconds, chosen):
    assert filling.choose(seconds, 8) == chosen


@pytest.mark.parametrize("products", [None, torch.bfloat16])
@pytest.mark.parametrize(
    "network",
    [field(64), Wire(2, 3, hidden_features=4, hidden_layers=2, generator=generator())],
    ids=["siren", "wire"],
)
def test_steps_of_up_to_sixteen_times_the_size_are_measured(monkeypatch, network, products):
    monkeypatch.setattr(filling, "_BUDGET_S", 0.0)
    rows, tried = [], {}
    linearised = filling.pullback

    def watched(network, blocks, cotangent):
        blocks = list(blocks)
        rows.append(sum(len(coords) for _, coords, _ in blocks))
        return linearised(network, blocks, cotangent)

    def choose(seconds, usual):
        tried.update(seconds)
        return usual

    monkeypatch.setattr(filling, "pullback", watched)
    monkeypatch.setattr(filling, "choose", choose)
    assert filling._measure(network, 512, products) == 512
    sizes = [512, 1024, 2048, 4096, 8192]
    assert rows == sizes * 4  # once to allocate, and three rounds
    assert {size: len(times) for size, times in tried.items()} == dict.fromkeys(sizes, 3)


def test_a_device_that_waits_is_filled_and_a_busy_one_is_not(monkeypatch):
    """The steps' own times decide: one that takes as long whatever it does, one that does not."""
    monkeypatch.setattr(filling, "_BUDGET_S", 0.0)
    for per_row, chosen in ((0.0, 64), (0.0025, 4)):

        def step(_, blocks, __, per_row=per_row):
            time.sleep(0.01 + per_row * sum(len(coords) for _, coords, _ in blocks))

        monkeypatch.setattr(filling, "pullback", step)
        monkeypatch.setattr(filling.Adam, "follow", lambda *_: None)
        assert filling._measure(field(), 4, None) == chosen


def test_sizes_that_memory_has_no_room_for_are_left_out(monkeypatch):
    monkeypatch.setattr(filling, "_BUDGET_S", 0.0)
    passed = filling.pullback

    def small(network, blocks, cotangent):
        blocks = list(blocks)
        if sum(len(coords) for _, coords, _ in blocks) > 32:
            raise RuntimeError("CUDA out of memory. Tried to allocate 20 GiB")
        return passed(network, blocks, cotangent)

    monkeypatch.setattr(filling, "pullback", small)
    monkeypatch.setattr(filling, "choose", lambda seconds, _: max(seconds))
    assert filling._measure(field(), 8, None) == 32

    def broken(*_):
        raise RuntimeError("something else")

    monkeypatch.setattr(filling, "pullback", broken)
    with pytest.raises(RuntimeError, match="something else"):
        filling._measure(field(), 8, None)


@pytest.mark.parametrize(
    ("population", "size"),
    [(10**9, 4096), (32768, 4096), (32767, 2048), (16384, 2048), (8192, 1024), (100, 1024)],
)
def test_a_larger_batch_has_an_eighth_of_the_signal_at_most(memory, measured, population, size):
    assert filling.filled(field(), 1024, population, None, lambda _: None) == size


def test_a_machine_remembers_and_tells_sizes_and_networks_apart(memory, measured):
    def asked(network, size, products=None):
        notes = []
        return filling.filled(network, size, 10**6, products, notes.append), notes

    first, notes = asked(field(), 64)
    assert first == 256
    words = "measured batches that fill this device, 256 coordinates; remembered in"
    assert notes == [f"{words} '{memory}'"]
    assert asked(field(), 64) == (256, [])
    assert asked(field(), 32)[0] == 128
    assert asked(field(9), 64)[0] == 256
    assert asked(field(), 64, torch.bfloat16)[0] == 256
    assert measured == [64, 32, 64, 64]
    assert len(json.loads(memory.read_bytes())) == 4


def test_a_memory_that_makes_no_sense_is_begun_anew(memory, measured):
    memory.parent.mkdir(parents=True)
    for content in ("{", '{"x": 0}', '{"x": "many"}'):
        memory.write_text(content)
        notes = []
        assert filling.filled(field(), 64, 10**6, None, notes.append) == 256
        assert notes[0] == f"'{memory}' is no memory of batches that fill this device; begun anew"


def test_auto_is_for_devices_that_wait():
    sized = BatchConfig(size=64, fill="auto")
    assert filling.fills(sized, GPU)
    assert not filling.fills(sized, CPU)
    assert filling.fills(BatchConfig(size=64, fill="always"), CPU)
    assert not filling.fills(BatchConfig(size=64), GPU)


def test_a_size_or_a_fraction_that_is_set_stays():
    preset = preset_layer("default")
    assert resolve([preset]).config.batch.fill == "auto"
    for given in ("batch: {size: 64}", "batch: {fraction: 0.1}"):
        assert resolve([preset, parse_yaml(given, "c")]).config.batch.fill == "never"
    assert resolve([preset_layer("paper")]).config.batch.fill == "never"


def test_a_filled_batch_does_not_shrink_for_want_of_time():
    config = RunConfig.model_validate({
        "batch": {"size": 64, "least_steps": 100, "full_steps": 1000},
        "stop": {"time_budget_s": 1.0},
        "siren": {"hidden_features": 8},
    })
    signal = tiny_signal((20, 20), dtype=torch.float32)
    assert build_trainer(config, signal, Clock()).brevity is not None
    trainer = build_trainer(config, signal, Clock(), batch_size=128)
    assert trainer.brevity is None
    assert trainer.sampler.batch.count(0, len(signal)) == 128


def test_a_run_keeps_to_the_batch_it_began_with(capsys, smoke, memory, measured):
    words = [*smoke, *FILL, "--set", "checkpoint.every=2", "--steps", "4"]
    code, _, err = nint(capsys, *words, "-o", "a")
    assert code == 0, err
    assert "batches of 64 instead of 16 coordinates" in err
    saved = checkpoint.read(sorted(Path("a/checkpoints").glob("*"))[-1])
    assert saved.batch_size == 64
    assert saved.state.tensors["selection.last"].shape == (64,)
    metrics = json.loads(Path("a/metrics.json").read_bytes())
    assert metrics["environment"]["filled_batch"] == 64
    assert metrics["config"]["batch"]["size"] == 16

    sorted(Path("a/checkpoints").glob("*"))[-1].unlink()
    Path("a/metrics.json").unlink()
    memory.unlink()  # this machine now knows nothing, or would choose others
    code, _, err = nint(capsys, "resume", "a")
    assert code == 0, err
    assert measured == [16]
    again = checkpoint.read(sorted(Path("a/checkpoints").glob("*"))[-1])
    assert again.batch_size == 64
    for name, tensor in saved.state.tensors.items():
        assert torch.equal(tensor, again.state.tensors[name]), name


def test_a_run_with_a_filled_batch_is_that_with_its_size(capsys, smoke, memory, measured):
    assert nint(capsys, *smoke, *FILL, "--steps", "3", "-o", "a")[0] == 0
    plain = [*smoke, "--device", "cpu", "--set", "engine.threads=1", "--set", "batch.size=64"]
    assert nint(capsys, *plain, "--steps", "3", "-o", "b")[0] == 0
    found = [
        checkpoint.read(next(Path(run, "checkpoints").glob("*"))).state.tensors for run in "ab"
    ]
    assert found[0].keys() == found[1].keys()
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])


@pytest.mark.parametrize("more", [["--sampler", "full"], ["--set", "batch.fill=auto"]])
def test_nothing_is_measured_unless_it_is_of_use(capsys, smoke, memory, measured, more):
    assert nint(capsys, *smoke, *FILL, *more, "--steps", "2", "-o", "a")[0] == 0
    assert not measured
    assert not memory.exists()
    saved = checkpoint.read(next(Path("a/checkpoints").glob("*")))
    assert saved.batch_size is None
    assert json.loads(Path("a/metrics.json").read_bytes())["environment"]["filled_batch"] is None


def test_a_device_that_is_full_changes_nothing(capsys, smoke, memory, monkeypatch):
    monkeypatch.setattr(filling, "_measure", lambda _, size, __: size)
    code, _, err = nint(capsys, *smoke, *FILL, "--steps", "2", "-o", "a")
    assert code == 0
    assert "instead of" not in err
    assert checkpoint.read(next(Path("a/checkpoints").glob("*"))).batch_size is None


def test_a_checkpoint_with_nonsense_for_its_batch_is_refused(capsys, smoke):
    assert nint(capsys, *smoke, "--steps", "2", "-o", "a")[0] == 0
    saved = checkpoint.read(next(Path("a/checkpoints").glob("*")))
    path = Path("a.safetensors")
    path.write_bytes(checkpoint.encode(replace(saved, batch_size=7)))
    assert checkpoint.read(path).batch_size == 7
    for nonsense in (0, -3, "many", 2.5, True):
        path.write_bytes(checkpoint.encode(replace(saved, batch_size=nonsense)))
        with pytest.raises(InputError, match=r"no sound checkpoint"):
            checkpoint.read(path)


def test_a_machine_without_a_cache_measures_and_says_so(tmp_path, monkeypatch, measured):
    blocked = tmp_path / "a file"
    blocked.write_text("where the folder should be")
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    notes = []
    assert filling.filled(field(), 64, 10**6, None, notes.append) == 256
    assert "cannot remember them in" in notes[0]
    assert measured == [64]
    assert machine.cache_folder() == blocked / "nint"


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_is_measured_once_and_a_run_on_it_goes_on_as_it_began(capsys, memory):
    words = ["fit", "image", "sample:astronaut", "--device", "cuda", "--steps", "20"]
    code, _, err = nint(capsys, *words, "-o", "a")
    assert code == 0, err
    assert "measured batches that fill this device" in err
    found = json.loads(memory.read_bytes())
    (size,) = found.values()
    assert size in {4096 << doubled for doubled in range(5)}
    batch = json.loads(Path("a/metrics.json").read_bytes())["environment"]["filled_batch"]
    assert batch == (None if size == 4096 else min(size, 32768))  # of 262,144
    code, _, err = nint(capsys, *words, "--seed", "1", "-o", "b")
    assert code == 0, err
    assert "measured" not in err
    assert json.loads(memory.read_bytes()) == found
