import math
from itertools import pairwise

import pytest

from nint_cli import schedules


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
    assert schedules.batch_fraction(kind, 0.2, step, 100) == pytest.approx(expected)


@pytest.mark.parametrize("initial", [0.01, 0.5, 1.0])
@pytest.mark.parametrize("kind", ["constant", "linear", "step", "cosine"])
def test_batch_fraction_stays_a_fraction(kind, initial):
    for step in range(37):
        assert 0 < schedules.batch_fraction(kind, initial, step, 37) <= 1


@pytest.mark.parametrize(
    ("step", "expected"),
    [(0, 1e-3 / 5), (4, 1e-3), (5, 1e-3), (52, 1e-3 * (1 + math.cos(math.pi * 47 / 95)) / 2)],
)
def test_cosine_learning_rate_after_a_warm_up(step, expected):
    rate = schedules.learning_rate("cosine", 1e-3, step, 100, warmup=0.05)
    assert rate == pytest.approx(expected)


def test_learning_rate_ends_at_the_final_share_and_is_positive_throughout():
    rates = [schedules.learning_rate("cosine", 1.0, s, 50, final=0.1) for s in range(51)]
    assert rates[-1] == pytest.approx(0.1)
    assert all(a > b > 0 for a, b in pairwise(rates))


def test_constant_learning_rate_ignores_the_step():
    assert {schedules.learning_rate("constant", 1e-4, s, 9) for s in range(9)} == {1e-4}


@pytest.mark.parametrize(
    ("step", "expected"), [(0, 0.3), (10, 0.3 / math.e), (50, 0.3 * math.exp(-5)), (5, 0.18196)]
)
def test_exponential_share_is_the_papers(step, expected):
    share = schedules.ntk_share("exponential", step, xi=0.7, alpha=10, lambda_=1.0)
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
    share = schedules.ntk_share("stepwise", step, xi=0.7, alpha=10, lambda_=1.0)
    assert share == pytest.approx(expected, abs=5e-5)


@pytest.mark.parametrize("law", ["exponential", "stepwise"])
@pytest.mark.parametrize("xi", [0.0, 0.7, 1.0])
def test_ntk_share_only_falls_and_stays_in_range(law, xi):
    shares = [schedules.ntk_share(law, s, xi=xi, alpha=7, lambda_=0.5) for s in range(60)]
    assert all(0 <= b <= a <= 1 - xi for a, b in pairwise(shares))


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="unknown batch schedule 'x'"):
        schedules.batch_fraction("x", 0.2, 0, 1)
    with pytest.raises(ValueError, match="unknown learning-rate schedule 'x'"):
        schedules.learning_rate("x", 0.2, 0, 1)
    with pytest.raises(ValueError, match="unknown NTK share law 'x'"):
        schedules.ntk_share("x", 0, xi=0.7, alpha=10, lambda_=1.0)
