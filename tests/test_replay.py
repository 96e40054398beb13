"""Recordings of a step's gradient. Only what a GPU does itself is left to those with one."""

import json

import pytest
import torch

from nint_cli import run
from nint_cli.config import FIELD_NAMES, SAMPLER_NAMES
from nint_cli.replay import Replay
from tests.conftest import smooth_pixels
from tests.test_cli import nint
from tests.test_trainer import Until, assert_same, state_of, trainer_of


class OnHost:
    """Records as a GPU does: from where the inputs were, and into where the outputs were."""

    def __init__(self):
        self.recordings = 0
        self.replays = 0

    def __call__(self, work, inputs):
        self.recordings += 1
        # A capture computes nothing: its outputs hold what was in their memory.
        outputs = tuple(torch.full_like(each, torch.nan) for each in work(*inputs))

        def replay():
            self.replays += 1
            for kept, new in zip(outputs, work(*inputs), strict=True):
                kept.copy_(new)

        return replay, outputs


def failing(work, inputs):
    raise RuntimeError("operation not permitted when stream is capturing\nand much more")


def doubled(x):
    return (2 * x,)


@pytest.mark.parametrize("sampler", SAMPLER_NAMES)
def test_replayed_fits_have_the_same_bits(sampler):
    plain, replayed = trainer_of(sampler), trainer_of(sampler)
    replayed.replay = Replay(host := OnHost())
    for trainer in (plain, replayed):
        trainer.fit(Until())
    assert_same(plain.state_dict(), replayed.state_dict())
    coupled = sampler == "soft_mining"  # whose loss wants the whole batch
    assert host.recordings == (0 if coupled else 1)
    assert host.replays >= (0 if coupled else 15)


@pytest.mark.parametrize("field", FIELD_NAMES)
def test_every_field_can_be_replayed(field):
    small = {"hidden_features": 16, "hidden_layers": 2}
    settings = {"field": field, "batch": {"size": 100}}
    if field != "hashgrid":
        settings[field] = small
    plain, replayed = (trainer_of("uniform", steps=6, **settings) for _ in range(2))
    replayed.replay = Replay(host := OnHost())
    for trainer in (plain, replayed):
        trainer.fit(Until())
    assert_same(plain.state_dict(), replayed.state_dict())
    assert host.replays == 5


def test_several_blocks_are_recorded_together(monkeypatch):
    monkeypatch.setattr("nint_cli.sweep._BLOCK_NUMBERS", {"cpu": 64 * 16, "cuda": 0})
    plain, replayed = (trainer_of("uniform", batch={"size": 150}) for _ in range(2))
    replayed.replay = Replay(host := OnHost())
    for trainer in (plain, replayed):
        trainer.fit(Until())
    assert host.recordings == 1
    for name, tensor in plain.state_dict().tensors.items():
        torch.testing.assert_close(replayed.state_dict().tensors[name], tensor)


def test_a_batch_that_grows_at_every_step_is_never_recorded():
    batch = {"fraction": 0.2, "schedule": "linear"}
    plain, replayed = (trainer_of("uniform", batch=batch) for _ in range(2))
    replayed.replay = Replay(host := OnHost())
    for trainer in (plain, replayed):
        trainer.fit(Until())
    assert host.recordings == 0
    assert_same(plain.state_dict(), replayed.state_dict())


def test_going_on_with_recordings_equals_never_having_stopped():
    through, before, after = (trainer_of(seed=seed) for seed in (0, 0, 9))
    for trainer in (through, before, after):
        trainer.replay = Replay(OnHost())
    through.fit(Until())
    before.fit(Until(9))
    after.load_state_dict(state_of(before))
    after.fit(Until())
    assert_same(through.state_dict(), after.state_dict())


def test_outputs_are_of_the_inputs_of_that_call_and_then_overwritten():
    replay = Replay(host := OnHost())
    assert replay(doubled, [torch.ones(3)]) is None
    (first,) = replay(doubled, [torch.full((3,), 4.0)])
    assert first.tolist() == [8, 8, 8]
    (second,) = replay(doubled, [torch.full((3,), 5.0)])
    assert second is first
    assert first.tolist() == [10, 10, 10]
    assert host.recordings == 1


@pytest.mark.parametrize(
    "other", [torch.ones(4), torch.ones(3, dtype=torch.float64)], ids=["shape", "type"]
)
def test_other_inputs_are_recorded_anew(other):
    replay = Replay(host := OnHost())
    for _ in range(2):
        replay(doubled, [torch.ones(3)])
    assert replay(doubled, [other]) is None
    (found,) = replay(doubled, [other])
    assert torch.equal(found, 2 * other)
    assert host.recordings == 2


def test_what_was_moved_is_recorded_anew():
    """A graph reads where the parameters were."""
    replay, held = Replay(host := OnHost()), torch.ones(3)
    for _ in range(2):
        replay(doubled, [torch.ones(3)], [held])
    moved = held.clone()
    assert replay(doubled, [torch.ones(3)], [moved]) is None
    assert replay(doubled, [torch.ones(3)], [moved]) is not None
    assert host.recordings == 2


def test_what_cannot_be_recorded_is_done_step_by_step():
    plain, replayed = trainer_of(), trainer_of()
    replayed.replay = Replay(failing)
    for trainer in (plain, replayed):
        trainer.fit(Until())
    assert_same(plain.state_dict(), replayed.state_dict())
    assert replayed.replay.failure == "operation not permitted when stream is capturing"


def picture(folder):
    import imageio.v3 as iio

    iio.imwrite(folder / "photo.png", smooth_pixels(16, 16))
    return folder / "photo.png"


def test_a_run_says_why_there_was_no_recording(tmp_path, capsys, monkeypatch):
    def without_luck(*arguments, **options):
        trainer = original(*arguments, **options)
        trainer.replay = Replay(failing)
        return trainer

    original = run.build_trainer
    monkeypatch.setattr(run, "build_trainer", without_luck)
    out = tmp_path / "run"
    code, _, err = nint(
        capsys, "fit", "image", picture(tmp_path), "--preset", "smoke", "--output", out
    )
    assert code == 0
    assert "no CUDA graph was recorded: operation not permitted when stream is capturing" in err


def test_on_a_cpu_graphs_have_no_effect(tmp_path, capsys):
    options = ["--preset", "smoke", "--device", "cpu", "--set", "engine.graphs=true"]
    code, _, err = nint(
        capsys, "fit", "image", picture(tmp_path), *options, "--output", tmp_path / "run"
    )
    assert code == 0
    assert "graphs has no effect on cpu" in err


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("field", FIELD_NAMES)
def test_a_graph_does_what_a_gpu_does_step_by_step(tmp_path, capsys, field):
    figures = []
    for graphs in ("true", "false"):
        options = ["--device", "cuda", "--field", field, "--steps", "30"]
        out = tmp_path / graphs
        code, _, err = nint(
            capsys,
            *("fit", "image", picture(tmp_path), *options),
            *("--set", f"engine.graphs={graphs}", "--output", out),
        )
        assert code == 0
        assert "no CUDA graph" not in err
        figures.append(json.loads((out / "metrics.json").read_text())["psnr_db"])
    assert figures[0] == pytest.approx(figures[1], abs=0.5)
