"""Batches that fill a device: how large they become, and what a machine and a run remember."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from nint_cli import checkpoint, filling, machine
from nint_cli.build import build_trainer
from nint_cli.clock import Clock
from nint_cli.config import RunConfig, parse_yaml, preset_layer, resolve
from nint_cli.errors import InputError
from nint_cli.fields import Wire
from nint_cli.inspection import examine
from tests.conftest import generator, tiny_field, tiny_signal
from tests.test_cli import nint

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)
FILL = ["--device", "cpu", "--set", "engine.threads=1", "--set", "batch.size=16"]
FILL += ["--set", "batch.fill=always"]


@pytest.fixture
def memory(cache) -> Path:
    return cache / "batches.json"


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


@pytest.fixture
def timed(monkeypatch):
    """Let steps take what a function of their rows says, and memory hold so many rows."""
    monkeypatch.setattr(filling, "_BUDGET_S", 0.0)
    passed, now, rows = filling.pullback, [0.0], []

    def begin(seconds, room=10**9, error="CUDA out of memory. Tried to allocate 20 GiB"):
        def pullback(network, blocks, cotangent):
            blocks = list(blocks)
            rows.append(sum(len(coords) for _, coords, _ in blocks))
            if rows[-1] > room:
                raise RuntimeError(error)
            now[0] += seconds(rows[-1])
            return passed(network, blocks, cotangent)

        monkeypatch.setattr(filling, "pullback", pullback)
        for module in (filling, machine):
            monkeypatch.setattr(module.time, "perf_counter", lambda: now[0])
        return rows

    return begin


@pytest.mark.parametrize("products", [None, torch.bfloat16])
@pytest.mark.parametrize(
    "network",
    [
        tiny_field(width=64, dtype=torch.float32),
        Wire(2, 3, hidden_features=4, hidden_layers=2, generator=generator()),
    ],
    ids=["siren", "wire"],
)
def test_steps_of_up_to_sixteen_times_the_size_are_measured(timed, network, products):
    rows = timed(lambda _: 1.0)
    assert filling._measure(network, 512, products) == 8192
    sizes = [512, 1024, 2048, 4096, 8192]
    assert rows == [size for size in sizes for _ in range(2)] + sizes * 3


@pytest.mark.parametrize(
    ("seconds", "chosen"),
    [
        (lambda _: 1.0, 64),
        (lambda rows: 1.0 + 0.005 * rows, 16),  # 1.06 of the usual; at 32 it is 1.14
        (lambda rows: 1.0 + 0.05 * rows, 4),
        (float, 4),
        (lambda rows: rows**2.0, 4),
    ],
)
def test_a_device_that_waits_is_filled_and_a_busy_one_is_not(timed, seconds, chosen):
    timed(seconds)
    assert filling._measure(tiny_field(dtype=torch.float32), 4, None) == chosen


def test_nothing_is_lost_on_sizes_that_are_far_too_slow(timed):
    rows = timed(lambda rows: 1.0 if rows < 32 else 10.0)
    assert filling._measure(tiny_field(dtype=torch.float32), 4, None) == 16
    assert max(rows) == 32
    assert rows.count(32) == 2


def test_sizes_that_memory_has_no_room_for_are_left_out(timed):
    for error in ("CUDA out of memory. Tried", "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when"):
        timed(lambda _: 1.0, room=32, error=error)
        assert filling._measure(tiny_field(dtype=torch.float32), 8, None) == 32
    timed(lambda _: 1.0, room=0, error="something else")
    with pytest.raises(RuntimeError, match="something else"):
        filling._measure(tiny_field(dtype=torch.float32), 8, None)


@pytest.mark.parametrize(
    ("population", "size"),
    [(10**9, 4096), (32768, 4096), (32767, 2048), (16384, 2048), (8192, 1024), (100, 1024)],
)
def test_a_larger_batch_has_an_eighth_of_the_signal_at_most(memory, measured, population, size):
    assert (
        filling.filled(tiny_field(dtype=torch.float32), 1024, population, None, lambda _: None)
        == size
    )


def test_a_machine_remembers_and_tells_sizes_and_networks_apart(memory, measured):
    def asked(network, size, products=None):
        notes = []
        return filling.filled(network, size, 10**6, products, notes.append), notes

    first, notes = asked(tiny_field(dtype=torch.float32), 64)
    assert first == 256
    words = "measured batches that fill this device, 256 coordinates; remembered in"
    assert notes == [f"{words} '{memory}'"]
    assert asked(tiny_field(dtype=torch.float32), 64) == (256, [])
    assert asked(tiny_field(dtype=torch.float32), 32)[0] == 128
    assert asked(tiny_field(width=9, dtype=torch.float32), 64)[0] == 256
    assert asked(tiny_field(dtype=torch.float32), 64, torch.bfloat16)[0] == 256
    assert measured == [64, 32, 64, 64]
    assert len(json.loads(memory.read_bytes())) == 4


def test_a_memory_that_makes_no_sense_is_begun_anew(memory, measured):
    memory.parent.mkdir(parents=True)
    for content in ("{", '{"x": 0}', '{"x": "many"}'):
        memory.write_text(content)
        notes = []
        assert (
            filling.filled(tiny_field(dtype=torch.float32), 64, 10**6, None, notes.append) == 256
        )
        assert notes[0] == f"'{memory}' is no memory of batches that fill this device; begun anew"


def config_of(**settings) -> RunConfig:
    batch = {"size": 64, "fill": "auto", **settings.pop("batch", {})}
    return RunConfig.model_validate({"batch": batch, **settings})


def test_auto_is_for_devices_that_wait():
    assert filling.fills(config_of(), GPU)
    assert not filling.fills(config_of(), CPU)
    assert not filling.fills(config_of(engine={"graphs": True}), GPU)
    assert not filling.fills(config_of(engine={"compile": "always"}), GPU)
    assert filling.fills(config_of(engine={"compile": "auto"}), GPU)
    for device in (CPU, GPU):
        assert filling.fills(config_of(batch={"fill": "always"}), device)
        assert not filling.fills(config_of(batch={"fill": "never"}), device)
        assert not filling.fills(config_of(batch={"fill": "always", "size": None}), device)
        for sampler in ("full", "soft_mining", "expansive"):
            always = {"fill": "always"}
            assert not filling.fills(config_of(batch=always, sampler=sampler), device)


def test_a_size_or_a_fraction_that_is_set_stays():
    preset = preset_layer("default")
    assert resolve([preset]).config.batch.fill == "auto"
    for given in (
        "batch: {size: 64}",
        "batch: {fraction: 0.1}",
        "batch: {least_steps: 9}",
        "batch: {full_steps: 9}",
    ):
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


def test_a_run_keeps_to_the_batch_it_began_with(capsys, smoke, memory, measured, monkeypatch):
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
    memory.unlink()  # and what it would measure now is another size
    monkeypatch.setattr(filling, "_measure", lambda *_: 32)
    code, _, err = nint(capsys, "resume", "a")
    assert code == 0, err
    assert not memory.exists()
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
    code, _, err = nint(capsys, *smoke, *FILL, *more, "--steps", "2", "-o", "a")
    assert code == 0, err
    assert not measured
    assert not memory.exists()
    said = "batch.fill has no effect with sampler full" in err
    assert said == ("full" in more)
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


def test_a_fraction_does_not_grow_and_a_run_says_so(capsys, smoke, memory, measured):
    words = [*smoke, "--set", "batch.fill=always", "--steps", "2", "-o", "a"]
    code, _, err = nint(capsys, *words)
    assert code == 0
    assert "batch.fill has no effect with a batch.fraction" in err
    assert not measured


def test_a_machine_without_a_cache_measures_and_says_so(tmp_path, monkeypatch, measured):
    blocked = tmp_path / "a file"
    blocked.write_text("where the folder should be")
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    notes = []
    assert filling.filled(tiny_field(dtype=torch.float32), 64, 10**6, None, notes.append) == 256
    assert f"cannot remember them in '{blocked / 'nint' / 'batches.json'}'" in notes[0]
    assert measured == [64]


def test_a_user_without_a_home_has_it_measured_each_time(monkeypatch, measured):
    def homeless():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    for _ in range(2):
        notes = []
        assert (
            filling.filled(tiny_field(dtype=torch.float32), 64, 10**6, None, notes.append) == 256
        )
        assert notes[0].endswith("in ~/.cache: Could not determine home directory.")
    assert measured == [64, 64]


def test_a_memory_that_may_only_be_read_is_read(memory, measured, monkeypatch):
    assert filling.filled(tiny_field(dtype=torch.float32), 64, 10**6, None, lambda _: None) == 256

    def locked(*_, **__):
        raise PermissionError("read-only file system")

    monkeypatch.setattr(machine, "FileLock", locked)
    assert filling.filled(tiny_field(dtype=torch.float32), 64, 10**6, None, lambda _: None) == 256
    assert measured == [64]


def test_a_run_without_memory_for_the_measurement_keeps_its_batch(
    capsys, smoke, memory, monkeypatch
):
    def starved(*_):
        raise RuntimeError("CUDA out of memory. Tried to allocate 20 GiB")

    monkeypatch.setattr(filling, "_measure", starved)
    assert nint(capsys, *smoke, *FILL, "--steps", "2", "-o", "a")[0] == 0
    assert checkpoint.read(next(Path("a/checkpoints").glob("*"))).batch_size is None


def test_a_filled_run_that_needs_too_much_memory_says_what_to_do(
    capsys, smoke, memory, measured, monkeypatch
):
    def starved(*_, **__):
        raise RuntimeError("CUDA out of memory. Tried to allocate 20 GiB")

    monkeypatch.setattr("nint_cli.trainer.batch_gradient", starved)
    code, _, err = nint(capsys, *smoke, *FILL, "--steps", "2", "-o", "a")
    assert code == 6
    assert "--set batch.fill=never" in err


def test_an_inspection_trains_on_with_the_batches_of_the_run(
    capsys, smoke, memory, measured, monkeypatch
):
    words = [*smoke, *FILL, "--set", "nint.alpha=2", "--set", "checkpoint.keep=null"]
    assert nint(capsys, *words, "--set", "checkpoint.every=2", "-o", "a")[0] == 0
    built, original = [], examine.build_trainer

    def watched(*arguments, **options):
        built.append(original(*arguments, **options))
        return built[-1]

    monkeypatch.setattr(examine, "build_trainer", watched)
    assert nint(capsys, "inspect", "a")[0] == 0
    assert [len(each.selections["last"].indices) for each in built] == [64]


def test_finished_runs_of_other_batches_are_two_methods(capsys, smoke, memory, measured):
    words = [*smoke, *FILL, "--sampler", "uniform", "--steps", "2"]
    assert nint(capsys, *words, "-o", "a")[0] == 0
    assert nint(capsys, *words, "--set", "batch.fill=never", "-o", "b")[0] == 0
    assert nint(capsys, "compare", "runs", "a", "b", "-o", "c")[0] == 0
    variants = json.loads(Path("c/compare.json").read_text())["variants"]
    assert [each["settings"]["batch.size"] for each in variants] == [64, 16]


@pytest.mark.usefixtures("fits_within")
@pytest.mark.parametrize(("asked", "fill"), [([], "never"), (["--set", FILL[-1]], "always")])
def test_a_comparison_fills_nothing_unless_asked(capsys, picture, memory, measured, asked, fill):
    words = ["compare", "image", picture, "--preset", "smoke", "--steps", "2", *asked]
    words += ["--sampler", "nint", "--sampler", "uniform", "-o", "c"]
    assert nint(capsys, *words)[0] == 0
    (one, other) = Path("c/runs").rglob("config.yaml")
    assert f"fill: {fill}" in one.read_text()
    assert f"fill: {fill}" in other.read_text()


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_is_measured_once_and_a_run_on_it_goes_on_as_it_began(capsys, memory):
    words = ["fit", "image", "sample:astronaut", "--device", "cuda", "--steps", "20"]
    words += ["--set", "checkpoint.every=10"]
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
    last = sorted(Path("a/checkpoints").glob("*"))[-1]
    saved = checkpoint.read(last)
    last.unlink()
    Path("a/metrics.json").unlink()
    memory.unlink()
    assert nint(capsys, "resume", "a")[0] == 0
    again = checkpoint.read(sorted(Path("a/checkpoints").glob("*"))[-1])
    assert again.batch_size == saved.batch_size
    for name, tensor in saved.state.tensors.items():
        assert torch.equal(tensor, again.state.tensors[name]), name
