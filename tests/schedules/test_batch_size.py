"""Batches that are smaller where there is little time, and the rate that goes with them."""

import math
from contextlib import contextmanager

import pytest
import torch

from nint_cli.config.layers import Layer, Setting, resolve
from nint_cli.config.presets import preset_layer
from nint_cli.config.schema import SAMPLER_NAMES, RunConfig
from nint_cli.config.yaml_text import parse_yaml
from nint_cli.runs.build import build_trainer
from nint_cli.runs.folder import RunFolder
from nint_cli.runs.log import sound_rows
from nint_cli.runs.opening import newest
from nint_cli.schedules.batch_size import AdaptiveBatchSize
from nint_cli.schedules.clock import Clock
from tests.cli.test_cli import nint
from tests.conftest import tiny_signal
from tests.training.test_trainer import Until, assert_same, state_of

SIGNAL = tiny_signal((50, 60), dtype=torch.float32)


class Costing(Clock):
    """A clock on which a step takes time as its points do, and more the first time."""

    trainer = None
    per_point_s = 0.001
    choosing_s = 0.0
    first_s = 5.0
    disturbed = 0  # steps that take three times as long

    @contextmanager
    def measure(self, kind):
        yield
        if self.trainer is None:
            return
        if kind == "sampler_s":
            self.sampler_s += self.choosing_s
        if kind == "update_s":
            count = len(SIGNAL)
            if hasattr(self.trainer.sampler, "batch"):
                count = self.trainer.sampler.batch.count(self.trainer.step, len(SIGNAL))
            duration = 3 if self.trainer.step < self.disturbed else 1
            self.update_s += duration * count * self.per_point_s
            self.update_s += self.first_s * (self.trainer.step == 0)


def trainer_of(
    sampler="uniform",
    budget=100.0,
    *,
    clock=None,
    size=2048,
    least_steps=100,
    full_steps=None,
    seed=0,
    **costs,
):
    config = RunConfig.model_validate({
        "sampler": sampler,
        "seed": seed,
        "optimiser": {"lr": 1e-3},
        "batch": {"size": size, "least_steps": least_steps, "full_steps": full_steps},
        "siren": {"hidden_features": 8, "hidden_layers": 1},
        "stop": {"time_budget_s": budget, "at_steps": False},
    })
    clock = clock or Costing()
    for name, value in costs.items():
        setattr(clock, name, value)
    clock.trainer = trainer = build_trainer(config, SIGNAL, clock)
    return trainer


class Sizes(Until):
    """Notes batches and rates."""

    def __init__(self, trainer, stop=math.inf):
        super().__init__(stop)
        self.sizes, self.rates = [], []
        do_step = trainer.optimiser.step

        def note(gradient, rate, betas):
            self.rates.append(rate)
            do_step(gradient, rate, betas)

        trainer.optimiser.step = note

    def after_step(self, trainer, step):
        self.sizes.append(len(trainer.selections["last"].indices))
        return super().after_step(trainer, step)


@pytest.mark.parametrize(
    ("budget", "settled"),
    [
        (1000.0, 2048),  # time for 488 full batches
        (204.9, 2048),
        (150.0, 1536),  # 73 full ones, or 98 of three quarters
        (102.4, 1024),
        (60.0, 640),
        (20.0, 512),  # an eighth would be 256
    ],
)
def test_a_batch_is_as_large_as_leaves_time_for_enough_steps(budget, settled):
    trainer = trainer_of(budget=budget)
    seen = Sizes(trainer)
    trainer.fit(seen)
    assert seen.sizes[0] == 2048
    assert set(seen.sizes[4:]) == {settled}
    assert seen.rates[-1] == pytest.approx(1e-3 * (settled / 2048) ** 0.25)
    assert len(seen.sizes) >= min(100, (budget - 12) / (settled * 0.001))


@pytest.mark.parametrize(
    ("budget", "least_steps", "settled"),
    [
        (3000.0, 10, 2048),
        (2048.0, 10, 2048),  # time for 1000 full batches
        (1152.0, 10, 1536),  # 562 full ones, nine sixteenths; 750 of three quarters
        (512.0, 10, 1024),
        (128.0, 10, 512),
        (512.0, 700, 768),  # 700 steps leave time for no more
    ],
)
def test_time_for_a_share_of_a_run_is_halved_between_steps_and_batches(
    budget, least_steps, settled
):
    trainer = trainer_of(budget=budget, least_steps=least_steps, full_steps=1000, first_s=0.0)
    seen = Sizes(trainer)
    trainer.fit(seen)
    assert set(seen.sizes[4:]) == {settled}
    share = budget / 2.048 / 1000
    if share <= 1 and least_steps == 10:
        assert settled == 2048 * share**0.5
        assert len(seen.sizes) == pytest.approx(1000 * share**0.5, abs=4)  # larger ones first


class Lagging:
    """A device that comes by nothing until it is waited for; it and the host keep one time."""

    def __init__(self):
        self.now = self.done = 0.0

    def stamp(self):
        return Moment(self, self.now)

    def wait(self):
        self.done = self.now


class Moment:
    def __init__(self, device, time):
        self.device, self.time = device, time

    def query(self):
        return self.time <= self.device.done

    def elapsed_time(self, end):
        return 1000 * (end.time - self.time)


@pytest.mark.parametrize("step_s", [0.01, 0.02, 0.3])
@pytest.mark.parametrize("first_s", [0.3, 2.0])
def test_a_device_that_lags_behind_gets_the_batches_of_one_that_does_not(step_s, first_s):
    sizes = []
    for lags in (False, True):
        device = Lagging()
        clock = Clock(synchronise=device.wait, stamp=device.stamp)
        adaptive_batch_size = AdaptiveBatchSize(4096, 20.0, clock, 400)
        for step in range(200):
            adaptive_batch_size.begin(step)
            with clock.measure("sampler_s"):
                device.now += 0.001
            with clock.measure("update_s"):
                device.now += step_s * adaptive_batch_size.size / 4096 + first_s * (step == 0)
            if not lags:
                device.wait()
        assert adaptive_batch_size.settled
        sizes.append(adaptive_batch_size.size)
    assert sizes[0] == sizes[1]
    assert step_s > 0.01 or sizes[0] == 4096


def test_steps_that_end_a_run_before_its_time_make_batches_no_smaller():
    """In time for 250 full batches, 100 steps have full ones, and 300 larger ones than 500."""
    for steps, settled in ((100, 2048), (300, 1664), (5000, 1024)):
        adaptive_batch_size = AdaptiveBatchSize(2048, 512.0, Clock(), 1, 1000, steps)
        assert adaptive_batch_size._fitting(0.0, 2.048) == settled


def test_either_of_the_two_is_enough():
    trainer = trainer_of(budget=512.0, least_steps=None, full_steps=1000, first_s=0.0)
    trainer.fit(seen := Sizes(trainer, 8))
    assert seen.sizes[-1] == 1024
    assert trainer_of(least_steps=None).adaptive_batch_size is None


def test_a_first_step_that_takes_longer_does_not_make_batches_small_for_good():
    trainer = trainer_of(budget=250.0, first_s=50.0)
    seen = Sizes(trainer, 8)
    trainer.fit(seen)
    assert seen.sizes == [2048, 512, 2048, 2048, 2048, 2048, 2048, 2048]


def test_other_work_beside_the_first_steps_does_not_make_batches_small_for_good():
    quiet = trainer_of(budget=1024.0, least_steps=1000)
    quiet.fit(Sizes(quiet, 20))
    seen = Sizes(trainer := trainer_of(budget=1024.0, least_steps=1000, disturbed=9), 80)
    trainer.fit(seen)
    assert seen.sizes[:11] == [2048, *[512] * 9, 1024]
    assert set(seen.sizes[10:]) == {quiet.adaptive_batch_size.size} == {1024}
    assert trainer.adaptive_batch_size.settled


def test_what_comes_after_a_twentieth_of_the_budget_changes_no_batch():
    trainer = trainer_of(budget=1024.0, least_steps=1000, disturbed=40)
    seen = Sizes(trainer, 60)
    trainer.fit(seen)
    assert trainer.clock.train_s > 51.2
    assert set(seen.sizes[1:]) == {512}


@pytest.mark.parametrize(
    ("choosing", "settled"), [(0.1, 896), (0.5, 512), (0.8, 768), (4.0, 2048)]
)
def test_training_is_made_no_cheaper_than_choosing(choosing, settled):
    """Sweeps cost what they cost, and beside them a few more points are cheap."""
    seen = Sizes(trainer := trainer_of(budget=100.0, choosing_s=choosing), 8)
    trainer.fit(seen)
    assert seen.sizes[-1] == settled


def test_a_signal_of_fewer_points_is_a_full_batch():
    trainer = trainer_of(size=4096, budget=1e6)
    assert trainer.adaptive_batch_size.full_size == len(SIGNAL) == 3000
    seen = Sizes(trainer, 6)
    trainer.fit(seen)
    assert set(seen.sizes) == {3000}
    assert trainer.adaptive_batch_size.rate_factor == 1


def test_a_small_batch_never_grows():
    trainer = trainer_of(size=100, budget=1.0)
    seen = Sizes(trainer, 6)
    trainer.fit(seen)
    assert set(seen.sizes) == {100}


@pytest.mark.parametrize("sampler", SAMPLER_NAMES)
def test_every_sampler_takes_it_or_goes_without(sampler):
    trainer = trainer_of(sampler, budget=60.0)
    seen = Sizes(trainer, 7)
    trainer.fit(seen)
    if sampler in {"full", "soft_mining", "expansive"}:
        assert trainer.adaptive_batch_size is None
        assert len(set(seen.sizes)) == 1
        assert set(seen.rates) == {1e-3}
    else:
        assert seen.sizes[-1] == 640


@pytest.mark.parametrize("stop", [1, 2, 3, 4, 5, 9, 10])
@pytest.mark.parametrize("sampler", ["uniform", "nint"])
def test_going_on_equals_never_having_stopped(sampler, stop):
    costs = {"budget": 1024.0, "least_steps": 1000, "disturbed": 9}
    through = trainer_of(sampler, **costs)
    through.fit(seen := Sizes(through, 14))
    assert seen.sizes[-1] == 1024
    before = trainer_of(sampler, **costs)
    before.fit(Until(stop))
    clock = Costing(update_s=before.clock.update_s)
    after = trainer_of(sampler, clock=clock, **costs)
    after.load_state_dict(state_of(before))
    after.fit(Until(14))
    assert_same(through.state_dict(), after.state_dict())


def test_a_first_step_that_compiles_is_not_all_of_the_trial():
    clock = Clock()
    adaptive_batch_size = AdaptiveBatchSize(4096, 20.0, clock, 400)
    for step in range(60):
        adaptive_batch_size.begin(step)
        clock.update_s += (
            (5.0 if step == 0 else 0.5 if step < 5 else 0.1) * adaptive_batch_size.size / 4096
        )
    assert (adaptive_batch_size.settled, adaptive_batch_size.size) == (True, 2048)


def test_what_a_clock_said_is_not_kept_once_the_size_is_settled():
    trainer = trainer_of(budget=60.0)
    trainer.fit(Until(20))
    assert trainer.state_dict().numbers["adaptive_batch_size"] == {
        "size": 640,
        "settled": True,
        "fastest": None,
        "last": None,
        "first_s": None,
    }


def test_steps_that_end_a_run_have_full_batches():
    config = {"batch": {"size": 64, "least_steps": 100}, "siren": {"hidden_features": 8}}
    assert (
        build_trainer(RunConfig.model_validate(config), SIGNAL, Clock()).adaptive_batch_size
        is None
    )


def test_a_size_or_a_fraction_that_is_set_stays():
    preset = preset_layer("default")
    assert resolve([preset]).config.batch.least_steps == 560
    assert resolve([preset]).config.batch.full_steps == 2000
    for given in ("batch: {size: 64}", "batch: {fraction: 0.1}"):
        batch = resolve([preset, parse_yaml(given, "c")]).config.batch
        assert (batch.least_steps, batch.full_steps) == (None, None)
    both = Layer({
        "batch.size": Setting(64, "x"),
        "batch.least_steps": Setting(9, "x"),
    })
    assert resolve([preset, both]).config.batch.least_steps == 9


def test_a_hasty_run_says_so_and_goes_on_with_its_batches(picture, tmp_path, capsys):
    run = tmp_path / "run"
    words = ["fit", "image", picture, "--time-budget", "0.2s", "-o", run]
    words += ["--set", "batch.size=700", "--set", "batch.least_steps=100000"]
    words += ["--set", "checkpoint.every=5", "--set", "siren.hidden_features=16"]
    code, _, err = nint(capsys, *words)
    assert code == 0, err
    assert "batches of 512 instead of 700 coordinates, and the learning rate times 0.92" in err
    assert err.count("the time budget is short") == 1
    told = [row for row in sound_rows(run / "log.jsonl") if row.get("event") == "batch_size"]
    assert [row["batch_size"] for row in told] == [512]
    saved, _ = newest(RunFolder(run))
    assert saved.state.numbers["adaptive_batch_size"]["size"] == 512
    code, _, err = nint(capsys, "resume", run, "--time-budget", "0.3s")
    assert code == 0, err
    # Resuming keeps the row.
    assert told == [r for r in sound_rows(run / "log.jsonl") if r.get("event") == "batch_size"]
    assert "the time budget is short" not in err


def test_numbers_come_back():
    adaptive_batch_size = AdaptiveBatchSize(4096, 10.0, Clock(), 400)
    adaptive_batch_size.load_state_dict({
        "size": 1024,
        "settled": True,
        "fastest": None,
        "last": None,
    })
    assert (adaptive_batch_size.size, adaptive_batch_size.settled) == (1024, True)
    assert adaptive_batch_size.rate_factor == pytest.approx(0.25**0.25)
    adaptive_batch_size.begin(0)
    assert adaptive_batch_size.size == 1024
