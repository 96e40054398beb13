"""By which losses a fit has diverged, and what is kept of one that has not."""

import math

import pytest
import torch

from nint_cli import guard
from nint_cli.guard import EvenError, Guard, Level, even_rows
from tests.test_trainer import SIGNAL, Until, trainer_of


def steps_until_noticed(losses, constant=0.1):
    level = Level()
    for count, loss in enumerate(losses, 1):
        if level.see(loss, constant):
            return count
    return None


@pytest.mark.parametrize("before", [20, 60, 3000])
@pytest.mark.parametrize("constant", [0.08, 1.0])
def test_a_collapse_is_noticed_within_ten_steps(before, constant):
    """To 11 dB from 25 dB; in the warm-up by what a constant has, later by the height too."""
    healthy = [0.3 * math.exp(-step / 2) + 0.003 for step in range(before)]
    noticed = steps_until_noticed(healthy + [0.08] * 50, constant)
    if before == 20 and constant == 1.0:
        assert noticed is None  # so early, without a sign that it is a constant
    else:
        assert noticed == before + 10


def test_a_slow_collapse_in_the_warm_up_is_noticed():
    """As a SIREN of width 256 did on a photograph at a rate of 1.5e-3."""
    losses = [*[0.2] * 8, *[0.04] * 16, *[0.04 + 0.002 * step for step in range(30)]]
    assert 50 < steps_until_noticed(losses + [0.1] * 20) < 70


def test_a_fit_that_never_was_better_than_a_constant_has_not_diverged():
    assert steps_until_noticed([0.3] + [0.1] * 500) is None


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


def test_a_short_rise_and_jitter_far_below_the_first_loss_are_no_divergence():
    assert steps_until_noticed([0.3] + [0.001] * 200 + [0.3] * 9 + [0.001] * 200) is None
    assert steps_until_noticed([0.3] + [1e-12] * 200 + [1e-5] * 200) is None


def test_a_fit_that_may_just_have_collapsed_is_not_calm():
    """Else its state would be kept, and every rescue would end in the same collapse."""
    level = Level()
    for loss in [0.3, *[0.049] * 30]:
        level.see(loss, 0.1)
    assert level.is_calm
    assert not level.see(0.095, 0.1)
    assert not level.is_calm
    level.see(0.06, 0.1)
    assert level.is_calm


def wobbling(count, low=1.02, high=1.3, constant=0.1):
    """Losses of a network that has become a constant, which a high rate keeps from resting."""
    return [constant * (high if step % 3 else low) for step in range(count)]


def test_a_constant_that_cannot_rest_is_noticed_before_anything_was_learnt():
    """As a SIREN at four times its rate was on a photograph: 11.7 dB, until the end."""
    assert steps_until_noticed([0.9, 0.5, *wobbling(300)]) == 102


def test_what_is_only_slow_has_not_diverged():
    falling = [0.1 + 0.09 * math.exp(-step / 300) for step in range(700)]
    assert steps_until_noticed(falling) is None  # as GAUSS on a sound
    assert steps_until_noticed(wobbling(500, low=1.001)) is None  # as an MLP on one
    assert steps_until_noticed(wobbling(500, high=2.1)) is None
    assert steps_until_noticed([*wobbling(99), 0.1, *wobbling(99), 0.1] * 3) is None
    assert steps_until_noticed([0.3, *[0.0] * 300], constant=0.0) is None


def test_what_does_not_learn_at_a_sixteenth_of_the_rate_is_let_be():
    watching, noticed = Guard(), []
    watching.keep(0, {})
    for step, loss in enumerate(wobbling(1500), 1):
        if watching.sees_divergence(loss, 0.1):
            noticed.append(watching.halve(step).rate_factor)
    assert noticed == [1 / 2, 1 / 4, 1 / 8, 1 / 16]


def test_nothing_is_kept_of_a_fit_that_may_be_stuck():
    watching = Guard()
    watching.keep(0, {})
    for loss in wobbling(80):
        assert not watching.sees_divergence(loss, 0.1)
    assert not watching.wants_copy(80)


def test_rows_drawn_uniformly_are_found_by_their_slots():
    assert even_rows((("ntk", 3), ("residual", 2), ("uniform", 40)), 45) == [(5, 45)]
    assert even_rows((("survivor", 3), ("mutant", 16)), 19) == [(3, 19)]
    assert even_rows((("survivor", 3), ("mutant", 15)), 18) == [(0, 18)]  # too few to tell
    assert even_rows((("ntk", 3), ("uniform", 0)), 3) == [(0, 3)]
    assert even_rows((), 7) == [(0, 7)]


@pytest.mark.parametrize("scoring", ["sweep", "pool"])
def test_losses_of_chosen_points_are_not_held_to_those_of_uniform_ones(scoring, monkeypatch):
    """Without a uniform slot the guard watches the whole batch, and not by what came before."""
    monkeypatch.setattr(guard, "_KEEP_EVERY", 4)
    nint = {"xi": 0, "start": 0.5, "scoring": scoring, "alpha": 5}
    trainer = trainer_of("nint", steps=24, nint=nint, batch={"fraction": 0.3})
    trainer.look_every = 7  # the change lies within what is looked at together
    levels = []

    class Watch(Until):
        def after_step(self, trainer, step):
            levels.append(trainer.guard.level.steps)

    trainer.fit(Watch())
    assert dict(trainer.selections["last"].slots).get("uniform", 0) < 16
    assert max(levels[:14]) == 8
    assert trainer.guard.level.steps == 12
    level = trainer.guard.kept.level
    assert level["steps"] <= 12
    assert trainer.guard.halvings == 0


def test_the_error_over_some_rows_is_the_same_in_blocks():
    residual, values = torch.randn(2, 11, 3, generator=torch.Generator().manual_seed(1))
    expected = torch.cat([residual[2:5], residual[7:]]).square().mean()
    even = torch.cat([values[2:5], values[7:]])
    best = (even - even.mean(0)).square().mean()
    for size in (1, 4, 11):
        error = EvenError([(2, 5), (7, 11)])
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
    assert trainer.guard.level.recent[-1] == pytest.approx(expected, rel=1e-5)


def test_a_later_second_warm_up_counts_from_the_rescue_before():
    watching = Guard()
    watching.keep(0, {})
    assert [watching.halve(step).warmup_steps for step in (130, 160, 5000)] == [130, 30, 200]
    assert watching.rate_factor(4999 + 100) == pytest.approx(0.5**3 * 0.5)
    assert watching.rate_factor(9999) == 0.5**3


def test_nothing_is_kept_of_a_fit_that_is_rising():
    level = Level()
    for loss in [0.3, 0.01, 0.01, *[0.002] * 40]:
        level.see(loss, 0.1)
    assert level.is_calm
    level.see(0.005, 0.1)
    assert not level.is_calm
    watching = Guard(level=level)
    watching.keep(0, {})
    assert not watching.wants_copy(50)
    level.see(0.002, 0.1)
    assert watching.wants_copy(50)
