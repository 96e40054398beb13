"""By which losses a fit has diverged, and what is kept of one that has not."""

import json
import math

import pytest
import torch
from pydantic import ValidationError

from nint_cli.samplers.table import all_slots
from nint_cli.training import divergence
from nint_cli.training.divergence import (
    DivergenceDetector,
    Level,
    UniformError,
    relearns,
    uniform_rows,
)
from tests.training.test_trainer import SIGNAL, Until, trainer_of


def steps_until_noticed(losses, constant=0.1):
    watching = DivergenceDetector()
    for count, loss in enumerate(losses, 1):
        if watching.sees_divergence(loss, constant):
            return count
    return None


def level_of(losses, constant=0.1):
    level = Level()
    for loss in losses:
        level = level.after(loss, constant)
    return level


@pytest.mark.parametrize("before", [20, 60, 3000])
def test_a_collapse_is_noticed_within_ten_steps(before):
    """From 25 dB to 11, which is a collapse by what a constant has, and not by the height."""
    losses = [0.3 * math.exp(-step / 2) + 0.003 for step in range(before)] + [0.08] * 50
    assert steps_until_noticed(losses, constant=0.08) == before + 10
    assert steps_until_noticed(losses, constant=1.0) is None


def test_a_slow_collapse_in_the_warm_up_is_noticed():
    """As a SIREN of width 256 did on a photograph at a rate of 1.5e-3."""
    losses = [*[0.2] * 8, *[0.04] * 16, *[0.04 + 0.002 * step for step in range(30)]]
    assert 50 < steps_until_noticed(losses + [0.1] * 20) < 70


def test_a_fit_that_never_was_better_than_a_constant_has_not_diverged():
    assert steps_until_noticed([0.3] + [0.1] * 500) is None


JUST_BELOW = {value: math.nextafter(value, 0) for value in (0.5, 0.9)}


@pytest.mark.parametrize(
    ("losses", "noticed"),
    [
        # How many losses of a constant it takes, on end.
        ([*[0.1] * 10, *[1.0] * 9, 0.1, *[1.0] * 9, 0.1], None),
        ([*[0.1] * 10, *[1.0] * 9, 0.1, *[1.0] * 10], 30),
        # What counts as a constant's.
        ([*[0.1] * 10, *[0.9] * 10], 20),
        ([*[0.1] * 10, *[JUST_BELOW[0.9]] * 10], None),
        # What counts as better, and for how long it must have been.
        ([*[0.5] * 10, *[1.0] * 10], None),
        ([*[JUST_BELOW[0.5]] * 10, *[1.0] * 10], 20),
        ([*[0.1] * 9, *[1.0] * 20], None),
        ([*[0.1] * 9, 0.6, *[0.1] * 9, *[1.0] * 20], None),
    ],
)
def test_the_bounds_of_a_collapse(losses, noticed):
    assert steps_until_noticed(losses, constant=1.0) == noticed


@pytest.mark.parametrize(("constant", "noticed"), [(2e-5, None), (2.001e-5, 21)])
def test_a_level_far_below_the_first_loss_counts_as_its_hundred_thousandth(constant, noticed):
    losses = [1.0, *[0.0] * 10, *[constant] * 10]
    assert steps_until_noticed(losses, constant) == noticed


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_loss_that_is_no_number_is_noticed_at_once(loss):
    assert steps_until_noticed([0.3, 0.2, loss]) == 3


@pytest.mark.parametrize("rare", [1.0, 0.1, 0.01, 0.003, 0.001])
def test_noise_of_small_batches_is_no_divergence(rare):
    """Batches of 256 of which a share of points has nearly all of the error."""
    draws = torch.Generator().manual_seed(5)
    hits = torch.rand(5000, 256, generator=draws) < rare
    errors = torch.randn(5000, 256, generator=draws).square()
    losses = 0.01 * (errors * (hits.float() / rare + 1e-4)).mean(1)
    assert steps_until_noticed(losses.tolist(), constant=0.05) is None


def test_jitter_far_below_the_first_loss_is_no_divergence():
    assert steps_until_noticed([0.3] + [1e-12] * 200 + [1e-5] * 200) is None


def test_a_fit_that_may_just_have_collapsed_is_not_calm():
    """Else its state would be kept, and every rescue would end in the same collapse."""
    level = level_of([0.3, *[0.049] * 30])
    assert level.is_calm
    level = level.after(0.095, 0.1)
    assert not level.has_collapsed
    assert not level.is_calm
    assert level.after(0.06, 0.1).is_calm


@pytest.mark.parametrize(
    ("losses", "calm"),
    [
        ([1.0, *[0.25] * 10, 0.5], True),
        ([1.0, *[0.25] * 10, math.nextafter(0.5, 1)], False),
        ([1.0, *[0.25] * 8, 0.6], True),  # no level yet to be far above
        ([1.0, *[0.0] * 10, 2e-5], True),
        ([1.0, *[0.0] * 10, 2.001e-5], False),
    ],
)
def test_the_bounds_of_calm(losses, calm):
    assert level_of(losses, constant=100.0).is_calm == calm


def test_rows_drawn_uniformly_are_found_by_their_slots():
    assert uniform_rows((("ntk", 3), ("residual", 2), ("uniform", 40)), 45, all_slots()) == [
        (5, 45)
    ]
    assert uniform_rows((("survivor", 3), ("mutant", 16)), 19, all_slots()) == [(3, 19)]
    assert uniform_rows((("survivor", 3), ("mutant", 15)), 18, all_slots()) == [
        (0, 18)
    ]  # too few to tell
    assert uniform_rows((("ntk", 3), ("uniform", 0)), 3, all_slots()) == [(0, 3)]
    assert uniform_rows((), 7, all_slots()) == [(0, 7)]


@pytest.mark.parametrize("sampler", ["nint", "nint_diagonal"])
def test_losses_of_chosen_points_are_not_held_to_those_of_uniform_ones(sampler, monkeypatch):
    """Without a uniform slot the guard watches the whole batch, and not by what came before."""
    monkeypatch.setattr(divergence, "_KEEP_EVERY", 4)
    settings = {"xi": 0, "start": 0.5, "max_chosen": 1}
    trainer = trainer_of(sampler, steps=24, batch={"fraction": 0.3}, **{sampler: settings})
    trainer.check_every = 7  # the change lies within what is looked at together
    levels = []

    class Watch(Until):
        def after_step(self, trainer, step):
            levels.append(trainer.detector.level.steps)

    trainer.fit(Watch())
    assert dict(trainer.selections["last"].slots).get("uniform", 0) < 16
    assert max(levels[:14]) == 8
    assert trainer.detector.level.steps == 12
    assert trainer.detector.restore_point.level.steps <= 12
    assert trainer.detector.halvings == 0


def test_the_error_over_some_rows_is_the_same_in_blocks():
    residual, values = torch.randn(2, 11, 3, generator=torch.Generator().manual_seed(1))
    expected = torch.cat([residual[2:5], residual[7:]]).square().mean()
    even = torch.cat([values[2:5], values[7:]])
    best = (even - even.mean(0)).square().mean()
    for size in (1, 4, 11):
        error = UniformError([(2, 5), (7, 11)])
        for start in range(0, 11, size):
            block = slice(start, start + size)
            error.add(start, residual[block], values[block])
        mean, constant = error.means()
        assert mean.item() == pytest.approx(expected.item(), rel=1e-6)
        assert constant.item() == pytest.approx(best.item(), rel=1e-6)


def test_guided_points_do_not_count():
    """NINT's own loss is that of its hardest points; what is watched is that of the others."""
    trainer = trainer_of("nint", steps=1, batch={"fraction": 0.5})
    trainer.fit(Until())
    uniform = dict(trainer.selections["last"].slots)["uniform"]
    start = trainer_of("nint", steps=1).field
    coords, values = SIGNAL.at(trainer.selections["last"].indices[-uniform:])
    expected = (start(coords) - values).square().mean().item()
    assert trainer.detector.level.recent[-1] == pytest.approx(expected, rel=1e-5)


def test_a_later_second_warm_up_counts_from_the_rescue_before():
    watching = DivergenceDetector()
    watching.keep(0, {})
    assert [watching.halve(step).warmup_steps for step in (130, 160, 5000)] == [130, 30, 200]
    assert watching.rate_factor(4999 + 100) == pytest.approx(0.5**3 * 0.5)
    assert watching.rate_factor(9999) == 0.5**3


@pytest.mark.parametrize(
    ("wrong", "warmup"), [(1, 10), (10, 10), (11, 11), (199, 199), (200, 200), (201, 200)]
)
def test_the_bounds_of_a_second_warm_up(wrong, warmup):
    watching = DivergenceDetector()
    watching.keep(0, {})
    assert watching.halve(wrong).warmup_steps == warmup
    assert watching.rate_factor(wrong) == pytest.approx(0.5 / warmup)
    assert watching.rate_factor(wrong + warmup - 1) == 0.5


def test_the_rate_is_halved_ten_times_at_most():
    watching = DivergenceDetector()
    watching.keep(50, {})
    factors = [watching.halve(60).rate_factor for _ in range(10)]
    assert factors == [0.5**count for count in range(1, 11)]
    assert watching.halve(60) is None
    assert watching.rate_factor(60) == 0.5**10


def test_a_copy_is_kept_every_fifty_steps():
    watching = DivergenceDetector()
    assert watching.wants_copy(0)
    watching.keep(3, {})
    watching.sees_divergence(0.3, 0.1)
    assert not watching.wants_copy(52)
    assert watching.wants_copy(53)
    assert relearns(50)
    assert not relearns(49)


def test_nothing_is_kept_of_a_fit_that_is_rising():
    level = level_of([0.3, 0.01, 0.01, *[0.002] * 40])
    assert level.is_calm
    watching = DivergenceDetector(level=level.after(0.005, 0.1))
    watching.keep(0, {})
    assert not watching.wants_copy(50)
    watching.sees_divergence(0.002, 0.1)
    assert watching.wants_copy(50)


def test_after_a_rescue_the_loss_counts_as_low_as_it_was():
    watching = DivergenceDetector()
    for loss in [0.3, *[0.04] * 10]:
        watching.sees_divergence(loss, 0.1)
    watching.keep(50, {})
    before = watching.level
    assert [watching.sees_divergence(0.1, 0.1) for _ in range(10)] == [False] * 9 + [True]
    watching.halve(60)
    assert watching.level == before


def test_a_state_goes_on_and_one_that_is_none_is_refused():
    watching = DivergenceDetector()
    for loss in [0.3, *[0.04] * 12, 0.1]:
        watching.sees_divergence(loss, 0.1)
    watching.keep(0, {"field.x": torch.ones(2)})
    watching.halve(30)
    watching.sees_divergence(0.02, 0.1)
    state = watching.state_dict()
    tensors = state.pop("tensors")
    state = json.loads(json.dumps(state))
    other = DivergenceDetector()
    other.load_state_dict(state | {"tensors": tensors})
    assert other == watching
    assert other.restore_point.tensors["field.x"] is watching.restore_point.tensors["field.x"]
    for wrong in (
        {"halvings": -1},
        {"halvings": "1"},
        {"warmup": [0]},
        {"level": state["level"] | {"recent": [1.0] * 11}},
        {"level": state["level"] | {"lowest": 0.1}},
        {"level": state["level"] | {"best": math.inf}},
    ):
        with pytest.raises(ValidationError):
            other.load_state_dict(state | {"tensors": tensors} | wrong)
    other.load_state_dict(DivergenceDetector().state_dict())
    assert other == DivergenceDetector()
