"""Runs that end by steps or by time, and schedules that end with them."""

import json
from contextlib import contextmanager

import pytest

from nint_cli.config.layers import Layer, Setting, resolve
from nint_cli.config.presets import preset_layer
from nint_cli.config.schema import SAMPLER_NAMES, RunConfig
from nint_cli.runs.build import build_trainer
from nint_cli.schedules.clock import Clock
from nint_cli.schedules.duration import Duration
from tests.cli.test_cli import nint, strict
from tests.training.test_trainer import SIGNAL, Until, assert_same, state_of


class Ticking(Clock):
    """A clock on which an update takes a second, and nothing else takes any time."""

    @contextmanager
    def measure(self, kind):
        yield
        self.update_s += kind == "update_s"


def test_without_a_budget_only_steps_count():
    duration = Duration(40, steps_end_it=False)
    for step in (0, 7, 39):
        duration.begin(step)
        assert (duration.total, duration.progress(step), duration.end(step)) == (
            40,
            step / 40,
            None,
        )
    assert duration.end(40) == "steps"
    assert not duration.timed


def test_time_ends_a_run_whose_steps_do_not():
    spent = 0.0
    duration = Duration(10, 60.0, lambda: spent, steps_end_it=False)
    duration.begin(0)
    assert (duration.total, duration.progress(0), duration.end(10)) == (10, 0.0, None)
    for step, spent, total in ((4, 3.0, 80), (40, 30.0, 80), (79, 59.9, 80), (50, 3.0, 1000)):
        duration.begin(step)
        assert duration.total == total if step != 79 else duration.total == 80
        assert duration.progress(step) == spent / 60
        assert duration.end(step) is None
    spent = 60.0
    duration.begin(90)
    assert (duration.total, duration.end(90)) == (91, "time_budget")


def test_a_first_step_that_takes_long_is_no_measure_of_the_others():
    """Of 4 s it takes 0.4, the others 0.02 each: there will be 181 steps."""
    spent = 0.0
    duration = Duration(2000, 4.0, lambda: spent, steps_end_it=False)
    for step, spent, total in ((0, 0.0, 2000), (1, 0.4, 2000), (2, 0.42, 181), (91, 2.2, 181)):
        duration.begin(step)
        assert (duration.total, duration.progress(step)) == (total, spent / 4)
    resumed = Duration(2000, 4.0, lambda: spent, steps_end_it=False)
    resumed.load_state_dict(duration.state_dict())
    resumed.begin(91)
    assert resumed.total == 181


def test_a_device_that_lags_behind_is_waited_for_once():
    """Were the first step not read by then, it would count as one of the others."""
    known, done = 0.0, 0.4
    duration = Duration(2000, 4.0, lambda: known, all_spent_s=lambda: done, steps_end_it=False)
    duration.begin(1)
    known = 0.4
    duration.begin(2)  # nothing of the second step has come yet
    assert duration.total == 2000
    known = 0.42
    duration.begin(3)
    assert duration.total == pytest.approx(3 + 3.58 / 0.01)


def test_what_ends_first_sets_the_pace():
    spent = 1.0
    duration = Duration(10, 60.0, lambda: spent)
    duration.begin(4)
    assert (duration.total, duration.progress(4), duration.end(10)) == (10, 0.4, "steps")
    spent = 30.0
    duration.begin(4)
    assert (duration.total, duration.progress(4)) == (8, 0.5)


def trainer_of(sampler, steps, *, seed=0, clock=None, **stop):
    config = RunConfig.model_validate({
        "sampler": sampler,
        "steps": steps,
        "seed": seed,
        "optimiser": {"lr": 1e-3, "schedule": "cosine", "warmup": 0.2},
        "batch": {"fraction": 0.3, "schedule": "constant" if sampler == "soft_mining" else "step"},
        "siren": {"hidden_features": 8, "hidden_layers": 1},
        "nint": {"alpha": 5, "start": 0.3},
        "int": {"interval": "incremental"},
        "stop": stop,
    })
    return build_trainer(config, SIGNAL, clock or Ticking())


@pytest.mark.parametrize("sampler", SAMPLER_NAMES)
def test_a_budget_of_so_many_steps_gives_the_bits_of_those_steps(sampler):
    """The first step has no time to go by, so the guess that it takes must be right."""
    timed = trainer_of(sampler, 40, time_budget_s=40, at_steps=False)
    counted = trainer_of(sampler, 40)
    assert timed.fit(Until()) == "time_budget"
    assert counted.fit(Until()) == "steps"
    one, other = timed.state_dict(), counted.state_dict()
    for part in (one, other):
        for name in ("sampler.began", "kept.sampler.began"):  # what only a clock can tell
            part.tensors.pop(name, None)
        part.numbers.pop("duration", None)
    assert_same(one, other)


def test_a_longer_budget_is_a_longer_run_whose_rate_ends_with_it():
    for budget in (20, 80):
        trainer = trainer_of("uniform", 40, time_budget_s=budget, at_steps=False)
        rates, do_step = [], trainer.optimiser.step

        def note(gradient, rate, betas, rates=rates, do_step=do_step):
            rates.append(rate)
            do_step(gradient, rate, betas)

        trainer.optimiser.step = note
        assert trainer.fit(Until()) == "time_budget"
        assert len(rates) == budget
        assert rates.index(max(rates)) == pytest.approx(0.2 * budget, abs=1)
        assert rates[-1] < 0.01 * max(rates)


@pytest.mark.parametrize("sampler", SAMPLER_NAMES)
def test_going_on_with_a_budget_equals_never_having_stopped(sampler):
    budget = {"time_budget_s": 20, "at_steps": False}
    through = trainer_of(sampler, 500, **budget)
    through.fit(Until())
    for stop in (1, 5, 6, 7, 13, 19):
        before = trainer_of(sampler, 500, **budget)
        before.fit(Until(stop))
        clock = Ticking(update_s=before.clock.update_s)
        after = trainer_of(sampler, 500, clock=clock, **budget)
        after.load_state_dict(state_of(before))
        after.fit(Until())
        assert_same(through.state_dict(), after.state_dict())


def test_guidance_begins_at_its_share_of_the_time():
    trainer = trainer_of("nint", 1000, time_budget_s=50, at_steps=False)
    began = []

    class Watch(Until):
        def after_step(self, trainer, step):
            slots = dict(trainer.selections["last"].slots)
            began.append(set(slots) != {"uniform"})

    trainer.fit(Watch())
    assert began == [False] * 15 + [True] * 35


def test_a_budget_that_is_given_later_does_not_begin_guidance_anew():
    before = trainer_of("nint", 40)
    before.fit(Until(30))
    clock = Ticking(update_s=before.clock.update_s)
    after = trainer_of("nint", 40, clock=clock, time_budget_s=60, at_steps=False)
    after.load_state_dict(state_of(before))
    after.fit(Until(31))
    assert int(before.sampler.state_dict()["began"]) == 0.3 * 40
    assert int(after.sampler.state_dict()["began"]) == 0.3 * 40


def layer(**settings):
    return Layer({key.replace("__", "."): Setting(v, "--x") for key, v in settings.items()})


@pytest.mark.parametrize(
    ("layers", "ends"),
    [
        ([preset_layer("default")], None),
        ([preset_layer("default"), layer(stop__time_budget_s=9.0)], False),
        ([layer(stop__time_budget_s=9.0)], False),
        ([preset_layer("default"), layer(stop__time_budget_s=9.0, steps=450)], True),
        ([preset_layer("smoke"), layer(stop__time_budget_s=9.0)], True),
        ([layer(stop__time_budget_s=9.0, stop__at_steps=True)], True),
        ([layer(stop__time_budget_s=9.0, steps=9, stop__at_steps=False)], False),
    ],
)
def test_steps_that_nobody_gave_do_not_end_a_run_with_a_budget(layers, ends):
    assert resolve(layers).config.stop.at_steps is ends


def test_a_budget_on_the_command_line(capsys, picture, tmp_path, monkeypatch):
    from nint_cli.runs import fit

    monkeypatch.setattr(fit, "device_clock", lambda _device: Ticking())
    words = ["fit", "image", picture, "--sampler", "uniform", "--progress", "never"]
    words += ["--set", "siren.hidden_features=8", "--set", "batch.size=64"]
    words += ["--set", "evaluation.every=10"]
    path = tmp_path / "a"
    assert nint(capsys, *words, "--time-budget", "30s", "-o", path)[0] == 0
    metrics = strict(path / "metrics.json")
    assert (metrics["stop_reason"], metrics["steps"], metrics["train_s"]) == (
        "time_budget",
        30,
        30,
    )
    rows = [json.loads(line) for line in (path / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [10, 20, 30]
    assert "nothing to do" in nint(capsys, "resume", path)[2]
    code, _, err = nint(capsys, "resume", path, "--time-budget", "31s")
    assert (code, "from step 30, 31 s of training in all" in err) == (0, True)
    assert strict(path / "metrics.json")["steps"] == 31
