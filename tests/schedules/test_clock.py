"""Where a run's time goes: every second is billed once, and what a method needs is training."""

import json
import time

import pytest
import torch

from nint_cli.config.layers import Layer, Setting, resolve
from nint_cli.config.schema import RunConfig
from nint_cli.fields.siren import SirenSettings
from nint_cli.runs.build import build_trainer
from nint_cli.runs.control import Control
from nint_cli.runs.request import fit_input
from nint_cli.runs.resume import resume
from nint_cli.samplers import priors
from nint_cli.schedules.batch_size import AdaptiveBatchSize
from nint_cli.schedules.clock import Clock
from nint_cli.signals.points import PointSignal
from tests.conftest import generator
from tests.training.test_trainer import Until, state_of, trainer_of


@pytest.fixture
def now(monkeypatch):
    """A time that goes on only where a test says so."""
    found = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: found[0])
    return found


def test_every_second_is_of_one_kind(now):
    clock = Clock()
    for number, kind in enumerate(Clock.KINDS):
        with clock.measure(kind):
            now[0] += 2.0**number
    now[0] += 100
    found = clock.seconds()
    assert [found[kind] for kind in Clock.KINDS] == [1, 2, 4, 8, 16, 32]
    assert found["train_s"] == clock.train_s == 2 + 4 + 8
    assert (found["other_s"], found["total_s"]) == (100, 163)
    assert set(found) == {*Clock.KINDS, "train_s", "other_s", "total_s"}


def test_a_block_within_a_block_is_billed_to_its_own_kind_alone(now):
    clock = Clock()
    with clock.measure("load_s"):
        now[0] += 1
        for _ in range(2):
            with clock.measure("prepare_s"):
                now[0] += 10
                with clock.measure("save_s"):
                    now[0] += 100
        now[0] += 3
    with clock.measure("load_s"):
        now[0] += 5
    assert (clock.load_s, clock.prepare_s, clock.save_s) == (9, 20, 200)
    assert clock.seconds()["other_s"] == 0


def test_a_continuation_reads_again_and_prepares_once(now):
    before = {"load_s": 1.0, "prepare_s": 2.0, "update_s": 30.0, "save_s": -1.0, "total_s": 40.0}
    clock = Clock()
    with clock.measure("load_s"):
        now[0] += 5
        with clock.measure("prepare_s"):
            now[0] += 3
    clock.resume(before)
    now[0] += 1
    found = clock.seconds()
    assert (found["load_s"], found["prepare_s"], found["train_s"]) == (9, 2, 32)
    assert (found["total_s"], found["other_s"]) == (49, 8)


def test_a_log_of_a_time_without_such_kinds_still_counts(now):
    clock = Clock()
    with clock.measure("prepare_s"):
        now[0] += 3
    clock.resume({"load_s": 1.0, "update_s": 30.0})
    found = clock.seconds()
    assert (found["load_s"], found["prepare_s"], found["train_s"]) == (1, 3, 33)
    assert (found["total_s"], found["other_s"]) == (34, 0)


@pytest.fixture
def slow_anchors(now, monkeypatch):
    """Anchors that take 7 seconds to find."""
    found = priors.anchors

    def anchors(*args, **options):
        now[0] += 7
        return found(*args, **options)

    monkeypatch.setattr(priors, "anchors", anchors)


def settings_of(**more):
    words = {
        "image.size": 16,
        "sampler": "expansive",
        "siren.hidden_features": 8,
        "siren.hidden_layers": 1,
        **more,
    }
    given = Layer({key: Setting(value, "test") for key, value in words.items()})
    return resolve([given])


def test_what_a_sampler_knows_beforehand_is_training(slow_anchors, now):
    trainer = trainer_of("expansive", steps=3)
    assert (trainer.clock.prepare_s, trainer.clock.train_s, trainer.clock.load_s) == (7, 7, 0)


def test_a_run_bills_all_of_its_time_and_prepares_once_over_its_parts(slow_anchors, tmp_path):
    first = fit_input("image", "sample:astronaut", settings_of(steps=4), tmp_path / "run").metrics
    assert (first.prepare_s, first.train_s, first.load_s, first.other_s) == (7, 7, 0, 0)
    assert first.total_s == 7
    again = resume(tmp_path / "run", steps=8).metrics
    assert (again.steps, again.prepare_s, again.train_s, again.load_s) == (8, 7, 7, 7)
    assert (again.total_s, again.other_s) == (14, 0)
    row = json.loads((tmp_path / "run" / "log.jsonl").read_text().splitlines()[-1])
    assert row["train_s"] == row["clock"]["prepare_s"] == 7


def test_a_budget_that_preparing_uses_up_leaves_no_step_and_says_so(slow_anchors, tmp_path):
    notes = []
    control = Control()
    control.note = notes.append
    resolved = settings_of(**{"stop.time_budget_s": 5.0, "stop.at_steps": False})
    path = tmp_path / "run"
    found = fit_input("image", "sample:astronaut", resolved, path, control=control).metrics
    assert (found.steps, found.stop_reason, found.status) == (0, "time_budget", "complete")
    assert found.psnr_db is not None
    assert notes[-1] == (
        "the time budget of 5 s was spent before the first step: sampler expansive prepared for "
        "7 s; give more time, or choose another sampler"
    )


def test_the_times_of_a_real_run_add_up(tmp_path):
    found = fit_input("image", "sample:astronaut", settings_of(steps=20), tmp_path / "r").metrics
    kinds = sum(getattr(found, kind) for kind in Clock.KINDS)
    assert kinds + found.other_s == pytest.approx(found.total_s)


def test_points_that_are_drawn_anew_are_training_once(now):
    def draw(number):
        now[0] += 5
        coords = torch.rand(60, 3, generator=generator(number))
        return coords, coords[:, :1]

    def trainer():
        signal = PointSignal(*draw(0), half_range=0.5, draw=draw, redraw_every=4)
        config = RunConfig(sampler="uniform", steps=14, siren=SirenSettings(hidden_features=8))
        return build_trainer(config, signal, Clock())

    through = trainer()
    through.fit(Until())
    assert (through.clock.prepare_s, through.clock.load_s) == (15, 0)
    for stop in (6, 8):  # amid the points of a draw, and where the next ones are due
        first, second = trainer(), trainer()
        first.fit(Until(stop))
        second.load_state_dict(state_of(first))
        second.fit(Until())
        assert first.clock.prepare_s + second.clock.prepare_s == 15


def test_batches_are_found_from_what_preparing_leaves():
    """Steps of 0.1 s: 400 of them take 40 s, which a budget of 60 s has but for preparing."""
    sizes = []
    for prepared in (0.0, 40.0):
        clock = Clock(prepare_s=prepared)
        batch = AdaptiveBatchSize(4096, 60.0, clock, 400)
        for step in range(40):
            batch.begin(step)
            clock.update_s += 0.1 * batch.size / 4096
        sizes.append(batch.size)
    assert sizes == [4096, 2048]
