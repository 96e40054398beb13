"""A fit that has diverged comes back and goes on, as if it had never been stopped on the way."""

import json
import math
from collections import Counter

import pytest
import torch

from nint_cli.config.schema import SAMPLER_NAMES
from nint_cli.derivatives.sweep import predict
from nint_cli.training import divergence
from nint_cli.training.gradient import batch_gradient
from nint_cli.training.trainer import TrainerState
from tests.modalities.sdf.test_redraw import trainer_of as redrawn_trainer
from tests.training.test_trainer import SIGNAL, Until, assert_same, state_of, trainer_of


@pytest.mark.parametrize("sampler", SAMPLER_NAMES)
def test_a_healthy_fit_has_the_bits_of_one_without_a_guard(sampler):
    optimiser = {"lr": 4e-3, "schedule": "cosine", "warmup": 0.2}
    watched = trainer_of(sampler, steps=60, optimiser=optimiser)
    alone = trainer_of(sampler, steps=60, optimiser={**optimiser, "rescue": False})
    for trainer in (watched, alone):
        trainer.fit(watch := Until())
        assert not watch.rescues
    state = state_of(watched)
    kept = {name: t for name, t in state.tensors.items() if not name.startswith("kept.")}
    numbers = {key: value for key, value in state.numbers.items() if key != "detector"}
    assert watched.detector.restore_point.step >= 50
    assert_same(TrainerState(kept, numbers), state_of(alone))


def broken_at(monkeypatch, *steps):
    """Let the gradient of some steps be no number."""
    done = Counter()

    def broken(field, *others):
        found = batch_gradient(field, *others)
        bad = math.nan if done[field] in steps else 0.0
        done[field] += 1
        return found._replace(loss=found.loss + bad)

    monkeypatch.setattr("nint_cli.training.trainer.batch_gradient", broken)


def test_a_fit_goes_back_to_its_last_good_state(monkeypatch):
    broken_at(monkeypatch, 57)
    rate = {"lr": 4e-3}
    trainer = trainer_of("uniform", steps=58, optimiser=rate)
    kept = trainer_of("uniform", steps=58, optimiser=rate)
    kept.fit(Until(50))
    trainer.fit(watch := Until())
    assert [(r.step, r.restored_step, r.rate_factor) for r in watch.rescues] == [(58, 50, 0.5)]
    assert math.isnan(watch.losses[-1])
    assert trainer.step == 58
    before, after = kept.state_dict().tensors, trainer.state_dict().tensors
    for name in before:
        if name.startswith(("field.", "optimiser.")):
            assert torch.equal(after[name], before[name]), name


@pytest.mark.parametrize("sampler", ["uniform", "nint"])
def test_an_epoch_goes_on_where_a_fit_goes_back(sampler, monkeypatch):
    """Otherwise the batches that it diverged by would come once more."""
    monkeypatch.setattr(divergence, "_KEEP_EVERY", 4)
    broken_at(monkeypatch, 7)
    settings = {"batch": {"fraction": 0.1, "reshuffle": True}, "nint": {"start": 0.99}}
    trainer = trainer_of(sampler, steps=12, **settings)
    batches = []

    class Watch(Until):
        def after_step(self, trainer, step):
            batches.append(tuple(trainer.selections["last"].indices.tolist()))

    trainer.fit(watch := Watch())
    assert [(r.step, r.restored_step) for r in watch.rescues] == [(8, 4)]
    assert len(set(batches)) == 11  # the bad one was never trained on


def test_a_fit_goes_on_with_half_the_rate_and_other_points(monkeypatch):
    monkeypatch.setattr(divergence, "_KEEP_EVERY", 1)
    broken_at(monkeypatch, 3, 7)
    trainer = trainer_of("uniform", steps=9, optimiser={"lr": 1e-3})
    rates, batches = [], []

    class Watch(Until):
        def after_step(self, trainer, step):
            batches.append(trainer.selections["last"].indices.tolist())

    do_step = trainer.optimiser.step
    trainer.optimiser.step = lambda gradient, rate, betas: (
        rates.append(rate),
        do_step(gradient, rate, betas),
    )
    trainer.fit(Watch())
    assert rates == [1e-3] * 3 + [5e-4] * 3 + [2.5e-4]
    assert len({tuple(sorted(batch)) for batch in batches}) == 7


def test_the_rate_rises_anew_from_the_initial_state(monkeypatch):
    """It does over as many steps as went wrong; from a later state it is half at once."""
    monkeypatch.setattr(divergence, "_KEEP_EVERY", 1000)
    broken_at(monkeypatch, 99)
    trainer, rates = trainer_of("uniform", steps=200, optimiser={"lr": 1e-3}), []
    do_step = trainer.optimiser.step
    trainer.optimiser.step = lambda gradient, rate, betas: (
        rates.append(rate),
        do_step(gradient, rate, betas),
    )
    start = {name: tensor.clone() for name, tensor in trainer.field.state_dict().items()}
    trainer.fit(watch := Until(100))
    [rescue] = watch.rescues
    assert (rescue.step, rescue.restored_step, rescue.warmup_steps) == (100, 0, 100)
    assert all(torch.equal(trainer.field.state_dict()[name], start[name]) for name in start)
    trainer.fit(Until())
    assert rates[:99] == [1e-3] * 99
    assert rates[99:] == pytest.approx([5e-4 * step / 100 for step in range(1, 101)])


def test_the_average_is_fed_the_rate_of_the_schedule(monkeypatch):
    """Its window is a share of steps; that a rescue halves the rate is no end of the schedule."""
    broken_at(monkeypatch, 5)
    optimiser = {"lr": 1e-3, "schedule": "cosine", "average": 0.5}
    trainer, fed = trainer_of("uniform", steps=20, optimiser=optimiser), []
    monkeypatch.setattr(trainer.average, "update", lambda *given: fed.append(given))
    trainer.fit(watch := Until())
    assert [rescue.step for rescue in watch.rescues] == [6]
    assert fed == [
        (step, trainer.learning_rate.scheduled(step), 1e-3) for step in range(20) if step != 5
    ]


@pytest.mark.parametrize(("bad", "steps"), [(1, 10), (5, 10), (30, 31), (49, 50), (57, 0)])
def test_a_second_warm_up_has_as_many_steps_as_went_wrong(bad, steps, monkeypatch):
    broken_at(monkeypatch, bad)
    trainer_of("uniform", steps=60, optimiser={"lr": 4e-3}).fit(watch := Until())
    assert [rescue.warmup_steps for rescue in watch.rescues] == [steps]


@pytest.mark.parametrize("kept_every", [1, 6])
@pytest.mark.parametrize("sampler", SAMPLER_NAMES)
def test_every_sampler_goes_on_after_a_rescue_at_any_step(sampler, kept_every, monkeypatch):
    monkeypatch.setattr(divergence, "_KEEP_EVERY", kept_every)
    settings = {
        "nint": {"alpha": 5, "start": 0.2, "interval": "dense2"},
        "int": {"interval": "dense2"},
    }
    for bad in (1, 2, 7, 14):
        trainer = trainer_of(sampler, steps=20, batch={"fraction": 0.3}, **settings)
        original = trainer._check

        def look(trainer=trainer, original=original, bad=bad):
            return original() and trainer.step != bad

        trainer._check = look
        trainer.fit(watch := Until())
        assert (trainer.step, len(watch.rescues)) == (20, 1)


def test_ten_halvings_are_the_most(monkeypatch):
    broken_at(monkeypatch, *range(5, 100))
    trainer = trainer_of("uniform", steps=100)
    assert trainer.fit(watch := Until()) == "diverged"
    assert [r.rate_factor for r in watch.rescues] == [0.5**count for count in range(1, 11)]
    assert trainer.step == 15


def test_a_rate_that_is_too_high_is_found_out():
    """By this seed the network becomes a constant in the warm-up, and is bad without rescue."""
    figures = {}
    for watched in (True, False):
        trainer = trainer_of(
            "uniform",
            steps=200,
            seed=3,  # with which it does
            batch={"fraction": 0.5},
            optimiser={"lr": 0.02, "schedule": "cosine", "warmup": 0.5, "rescue": watched},
            siren={"hidden_features": 32, "hidden_layers": 2},
        )
        trainer.fit(watch := Until())
        assert [(r.restored_step, r.rate_factor) for r in watch.rescues] == [(50, 0.5)][:watched]
        _, values = SIGNAL.slice(0, 256)
        mse = (predict(trainer.field, SIGNAL).clamp(0, 1) - values).square().mean().item()
        figures[watched] = -10 * math.log10(mse)
    assert figures[True] > 30 > 26 > figures[False]


@pytest.mark.parametrize("sampler", ["uniform", "nint", "evos", "soft_mining"])
def test_going_on_across_a_rescue_equals_never_having_stopped(sampler, monkeypatch):
    monkeypatch.setattr(divergence, "_KEEP_EVERY", 4)
    rate = {"lr": 1e-3, "average": 0.5}

    def trainer_that_breaks(**more):
        trainer = trainer_of(sampler, steps=24, optimiser=rate, **more)
        original = trainer._check
        trainer._check = lambda: original() and trainer.step not in {2, 3, 11, 17}
        return trainer

    through = trainer_that_breaks()
    through.fit(watch := Until())
    assert len(watch.rescues) == 4
    for stop in (1, 2, 3, 4, 5, 9, 11, 12, 13, 18, 23):
        before, after = trainer_that_breaks(), trainer_that_breaks(seed=9)
        before.fit(Until(stop))
        state = state_of(before)
        after.seed = before.seed
        after.load_state_dict(TrainerState(state.tensors, json.loads(json.dumps(state.numbers))))
        after.fit(Until())
        assert_same(through.state_dict(), after.state_dict())


def test_looking_seldom_gives_the_same_bits_and_notices_later():
    often, seldom = trainer_of("nint", steps=30), trainer_of("nint", steps=30)
    seldom.check_every = 7
    for trainer in (often, seldom):
        assert trainer.fit(Until()) == "steps"
    assert not seldom._unseen
    for name, tensor in often.state_dict().tensors.items():
        assert torch.equal(tensor, seldom.state_dict().tensors[name]), name
    assert often.detector.level == seldom.detector.level


def test_a_bad_step_that_was_not_looked_at_is_taken_back(monkeypatch):
    for bad, noticed in ((9, 15), (29, 30)):
        with monkeypatch.context() as patch:
            broken_at(patch, bad)
            trainer = trainer_of("uniform", steps=30)
            trainer.check_every = 7
            assert trainer.fit(watch := Until()) == "steps"
        assert [(r.step, r.restored_step) for r in watch.rescues] == [(noticed, 0)]
        assert trainer.step == 30
        assert all(parameter.isfinite().all() for parameter in trainer.field.parameters())


def test_errors_of_undone_steps_are_forgotten_and_no_copy_is_kept(monkeypatch):
    """A copy would grow with the signal, and what a diverging network had is not worth knowing."""
    monkeypatch.setattr(divergence, "_KEEP_EVERY", 4)
    settings = {
        "sampler": "nint_diagonal",
        "nint_diagonal": {"start": 0, "max_chosen": 1},
        "batch": {"reshuffle": True},
    }
    trainer, kept = trainer_of(steps=12, **settings), trainer_of(steps=12, **settings)
    trainer._check = lambda look=trainer._check: look() and trainer.step != 11
    trainer.fit(watch := Until())
    kept.fit(Until(8))
    assert [(r.step, r.restored_step) for r in watch.rescues] == [(12, 8)]
    assert not [name for name in trainer.detector.restore_point.tensors if "scores" in name]
    before, after = (each.sampler.state_dict() for each in (kept, trainer))
    again = after["trained"] >= 8
    assert again.any()
    assert (after["scores"][again] == -1).all()
    for name in ("scores", "trained"):
        assert torch.equal(after[name][~again], before[name][~again])
    assert int(after["place"]) != int(before["place"])


def test_new_points_have_a_level_of_their_own_however_seldom_losses_are_looked_at(monkeypatch):
    monkeypatch.setattr(divergence, "_KEEP_EVERY", 4)
    often, seldom = redrawn_trainer("uniform", {}), redrawn_trainer("uniform", {})
    seldom.check_every = 7
    for trainer in (often, seldom):
        trainer.fit(Until())
    assert often.detector.level.steps == seldom.detector.level.steps == 18 % 4
    assert often.detector.level == seldom.detector.level


def test_what_the_sampler_knew_comes_back_and_is_no_alias(monkeypatch):
    monkeypatch.setattr(divergence, "_KEEP_EVERY", 4)
    trainer = trainer_of("soft_mining", steps=12)
    trainer._check = lambda look=trainer._check: look() and trainer.step != 11
    trainer.fit(watch := Until())
    kept = trainer.detector.restore_point
    assert [(r.step, r.restored_step) for r in watch.rescues] == [(12, kept.step)] == [(12, 8)]
    state = trainer.sampler.state_dict()
    assert set(state) == {"particles", "drift", "loss"}
    for name, tensor in state.items():
        assert torch.equal(tensor, kept.tensors[f"sampler.{name}"])
        assert tensor.data_ptr() != kept.tensors[f"sampler.{name}"].data_ptr()


@pytest.mark.parametrize(("bad", "forgets"), [(3, False), (6, True)])
def test_what_the_sampler_knew_of_other_points_is_void(bad, forgets):
    """The state that is kept is of step 0, and points are drawn anew at step 4."""
    trainer = redrawn_trainer("nint", {})
    trainer._check = lambda look=trainer._check: look() and trainer.step != bad
    calls = []
    trainer.sampler.forget = lambda: calls.append(trainer.step)
    trainer.fit(Until())
    assert calls.count(bad) == forgets


@pytest.mark.parametrize("sampler", ["uniform", "int", "nint", "nint_released"])
def test_going_on_after_a_rescue_to_other_points_equals_never_having_stopped(sampler):
    def trainer_that_breaks():
        trainer = redrawn_trainer(sampler, {})
        trainer._check = lambda look=trainer._check: look() and trainer.step not in {6, 9, 12}
        return trainer

    through = trainer_that_breaks()
    through.fit(watch := Until())
    assert [rescue.step for rescue in watch.rescues] == [7, 10, 13]
    for stop in range(1, 18):
        before, after = trainer_that_breaks(), trainer_that_breaks()
        before.fit(Until(stop))
        after.seed = before.seed
        after.load_state_dict(state_of(before))
        after.fit(Until())
        assert_same(through.state_dict(), after.state_dict())
