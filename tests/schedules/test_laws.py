import math
from itertools import pairwise

import pytest

from nint_cli.schedules import laws
from nint_cli.schedules.duration import Duration
from nint_cli.training.learning_rate import LearningRate
from nint_cli.training.optimiser import OptimiserSettings


@pytest.mark.parametrize(
    ("kind", "step", "expected"),
    [
        ("constant", 0, 0.2),
        ("constant", 99, 0.2),
        ("linear", 0, 0.2),
        ("linear", 50, 0.6),
        ("linear", 99, 0.992),
        ("step", 0, 0.2),
        ("step", 9, 0.2),
        ("step", 10, 0.28),
        ("step", 99, 0.92),
        ("cosine", 0, 0.2),
        ("cosine", 50, 0.6),
        ("cosine", 25, 1 - 0.8 * (1 + math.cos(math.pi / 4)) / 2),
    ],
)
def test_batch_fraction(kind, step, expected):
    assert laws.batch_fraction(kind, 0.2, step, 100) == pytest.approx(expected)


@pytest.mark.parametrize("initial", [0.01, 0.5, 1.0])
@pytest.mark.parametrize("kind", ["constant", "linear", "step", "cosine"])
def test_batch_fraction_stays_a_fraction(kind, initial):
    for step in range(37):
        assert 0 < laws.batch_fraction(kind, initial, step, 37) <= 1


@pytest.mark.parametrize(
    ("step", "expected"),
    [(0, 1e-3 / 5), (4, 1e-3), (5, 1e-3), (52, 1e-3 * (1 + math.cos(math.pi * 47 / 95)) / 2)],
)
def test_cosine_learning_rate_after_a_warm_up(step, expected):
    rate = laws.learning_rate("cosine", 1e-3, step, 100, warmup=0.05)
    assert rate == pytest.approx(expected)


def test_learning_rate_ends_at_the_final_share_and_is_positive_throughout():
    rates = [laws.learning_rate("cosine", 1.0, s, 50, final=0.1) for s in range(51)]
    assert rates[-1] == pytest.approx(0.1)
    assert all(a > b > 0 for a, b in pairwise(rates))


def test_constant_learning_rate_ignores_the_step():
    assert {laws.learning_rate("constant", 1e-4, s, 9) for s in range(9)} == {1e-4}


def test_a_run_of_nothing_but_warm_up_ends_at_its_peak():
    rates = [laws.learning_rate("cosine", 1e-3, s, 10, warmup=1.0) for s in range(11)]
    assert rates == pytest.approx([1e-3 * (s + 1) / 10 for s in range(10)] + [1e-3])


# The memory 1 / (1 - decay): of 0.99 it is 100 steps, of 0.9 it is 10, halfway 55, a tenth 19.
@pytest.mark.parametrize(
    ("share", "expected"), [(1.0, 0.99), (0.5, 1 - 1 / 55), (0.1, 1 - 1 / 19), (0.0, 0.9)]
)
def test_the_memory_of_a_decay_goes_in_proportion_to_the_rate(share, expected):
    assert laws.adam_decay(0.99, 0.9, share) == pytest.approx(expected, rel=1e-12)


def test_a_decay_is_exact_where_nothing_changes_it():
    for share in (0.0, 0.3, 1.0):
        assert laws.adam_decay(0.999, 0.999, share) == 0.999
    assert 1 - 1 / (1 / (1 - 0.3)) != 0.3
    assert laws.adam_decay(0.3, 0.9, 1.0) == 0.3
    assert laws.adam_decay(0.999, 0.9, 1.5) == 0.999


@pytest.mark.parametrize(
    ("step", "expected"), [(0, 0.3), (10, 0.3 / math.e), (50, 0.3 * math.exp(-5)), (5, 0.18196)]
)
def test_exponential_share_is_the_papers(step, expected):
    share = laws.ntk_share("exponential", step, xi=0.7, alpha=10, lambda_=1.0)
    assert share == pytest.approx(expected, rel=1e-4)


# Shares traced in the released code at 0-based iterations.
@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (0, 0.1104),
        (8, 0.1104),
        (9, 0.1104),
        (18, 0.1104),
        (19, 0.0406),
        (29, 0.0149),
        (49, 0.0020),
    ],
)
def test_stepwise_share_is_the_released_codes(step, expected):
    share = laws.ntk_share("stepwise", step, xi=0.7, alpha=10, lambda_=1.0)
    assert share == pytest.approx(expected, abs=5e-5)


@pytest.mark.parametrize("law", ["exponential", "stepwise"])
@pytest.mark.parametrize("xi", [0.0, 0.7, 1.0])
def test_ntk_share_only_falls_and_stays_in_range(law, xi):
    shares = [laws.ntk_share(law, s, xi=xi, alpha=7, lambda_=0.5) for s in range(60)]
    assert all(0 <= b <= a <= 1 - xi for a, b in pairwise(shares))


# Counted by hand; incremental, for one, has 1250 dense steps, and of the five phases of 750 steps
# after them the multiples of 10, 20, 30, 40 and 50: 75 + 38 + 25 + 19 + 15.
@pytest.mark.parametrize(
    ("strategy", "total", "expected"),
    [
        ("dense", 5000, 5000),
        ("dense2", 5000, 1000),
        ("incremental", 5000, 1422),
        ("incremental", 1000, 285),
        ("reverse_incremental", 5000, 642),
        ("decremental", 5000, 2157),
    ],
)
def test_number_of_refreshes(strategy, total, expected):
    steps = [s for s in range(total) if laws.refreshes(strategy, s, total, every=5)]
    assert len(steps) == expected


@pytest.mark.parametrize(
    ("strategy", "first", "last", "expected"),
    [
        ("dense", 7, 10, [7, 8, 9]),
        ("dense2", 0, 21, [0, 7, 14]),
        # T = 400: 100 dense steps, then phases of 60 steps.
        ("incremental", 97, 160, [97, 98, 99, 100, 110, 120, 130, 140, 150]),
        ("incremental", 160, 230, [160, 180, 200]),
        ("incremental", 340, 400, [350]),
        # Phases of 40 steps: intervals 90, 80, 70, 60, ..., 10, and dense from 360 on.
        ("reverse_incremental", 0, 250, [0, 120, 200, 240]),
        ("reverse_incremental", 320, 364, [320, 330, 340, 350, 360, 361, 362, 363]),
        # Phases of 60 steps up to 300: intervals 40, 30, 20, 10, 1.
        ("decremental", 0, 200, [0, 40, 60, 90, 120, 140, 160, 180, 190]),
        ("decremental", 220, 243, [220, 230, 240, 241, 242]),
        ("decremental", 298, 303, [298, 299, 300, 301, 302]),
    ],
)
def test_refreshes_by_hand(strategy, first, last, expected):
    steps = range(first, last)
    assert [s for s in steps if laws.refreshes(strategy, s, 400, every=7)] == expected


@pytest.mark.parametrize("total", [1, 2, 3, 7, 19])
@pytest.mark.parametrize(
    "strategy", ["dense", "dense2", "incremental", "reverse_incremental", "decremental"]
)
def test_short_runs_refresh_at_their_first_step(strategy, total):
    steps = [s for s in range(total) if laws.refreshes(strategy, s, total, every=3)]
    assert steps[0] == 0


@pytest.mark.parametrize(("total", "expected"), [(5000, 72), (1000, 14), (250, 5)])
def test_number_of_fitness_evaluations(total, expected):
    steps = [s for s in range(total) if laws.evaluates_fitness(s, total, first=100, last=50)]
    assert len(steps) == expected
    assert steps[0] == 0
    if total == 250:  # t = 84 is 1 more than int(100 - 50 * 84 / 250) = 83, and so on
        assert steps == [0, 83, 142, 186, 220]
    if total == 5000:
        gaps = [b - a for a, b in pairwise(steps)]
        assert (min(gaps), max(gaps)) == (4, 158)


def test_a_fixed_interval_evaluates_fitness_evenly():
    steps = [s for s in range(350) if laws.evaluates_fitness(s, 350, first=100, last=100)]
    assert steps == [0, 100, 200, 300]


@pytest.mark.parametrize(
    ("kind", "step", "expected"),
    [
        ("constant", 60, 0.4),
        ("linear", 0, 0.4),
        ("linear", 25, 0.325),
        ("geometric", 0, 0.4),
        ("geometric", 50, 0.2),
        ("geometric", 100, 0.1),
    ],
)
def test_mutation_share(kind, step, expected):
    assert laws.mutation_share(kind, 0.4, 0.1, step, 100) == pytest.approx(expected)


@pytest.mark.parametrize(("step", "expected"), [(0, 3.0), (50, 2.0), (100, 1.0)])
def test_expansion_of_the_papers_quarter(step, expected):
    assert laws.expansion(0.25, step, 100) == pytest.approx(expected)


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="unknown batch schedule 'x'"):
        laws.batch_fraction("x", 0.2, 0, 1)
    with pytest.raises(ValueError, match="unknown learning-rate schedule 'x'"):
        laws.learning_rate("x", 0.2, 0, 1)
    with pytest.raises(ValueError, match="unknown NTK share law 'x'"):
        laws.ntk_share("x", 0, xi=0.7, alpha=10, lambda_=1.0)
    with pytest.raises(ValueError, match="unknown refresh strategy 'x'"):
        laws.refreshes("x", 0, 1, every=1)
    with pytest.raises(ValueError, match="unknown mutation schedule 'x'"):
        laws.mutation_share("x", 0.5, 0.5, 0, 1)


def test_the_optimiser_and_the_average_see_different_rates():
    """Rescues and smaller batches slow the optimiser; the window of the average stays."""
    settings = OptimiserSettings(lr=4e-3, lr_side=16, schedule="cosine", warmup=0.1, beta2_end=0.9)
    rate = LearningRate(
        settings,
        (64, 4),
        Duration(100),
        batch_factor=lambda step: 0.5,
        rescue_factor=lambda step: 0.25 if step >= 50 else 1.0,
    )
    assert rate.peak == 2e-3
    for step in (0, 9, 10, 49, 50, 99):
        expected = laws.learning_rate("cosine", 2e-3, step, 100, warmup=0.1)
        assert rate.scheduled(step) == expected
        assert rate.applied(step) == expected * (0.125 if step >= 50 else 0.5)
    assert rate.betas(5) == (0.9, 0.999)
    share = rate.scheduled(60) / 2e-3
    assert rate.betas(60) == (0.9, laws.adam_decay(0.999, 0.9, share))
