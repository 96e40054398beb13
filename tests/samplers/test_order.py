"""Orders: a bijection of every size, each as likely as any other as far as one can see."""

import itertools
import math

import numpy as np
import pytest

from nint_cli.random import Draws
from nint_cli.samplers import order
from nint_cli.samplers.order import Order


def stream(seed=0):
    return Draws(seed).stream("epoch")


@pytest.fixture
def computed(monkeypatch):
    """Compute orders of few points, too."""
    monkeypatch.setattr(order, "MOST_LISTED", 0)


@pytest.mark.parametrize("population", [*range(1, 70), 1000, 1023, 1024, 1025, 65_536, 393_216])
def test_every_number_comes_once(computed, population):
    for seed in range(3):
        found = Order(population, stream(seed)).at(np.arange(population))
        assert sorted(found.tolist()) == list(range(population))


def test_beyond_what_is_listed_every_number_comes_once():
    population = order.MOST_LISTED + 1
    found = Order(population, stream()).at(np.arange(population))
    assert np.bincount(found, minlength=population).tolist() == [1] * population


@pytest.mark.parametrize("listed", [0, 10**6])
def test_parts_are_those_of_the_whole_and_the_stream_decides(monkeypatch, listed):
    monkeypatch.setattr(order, "MOST_LISTED", listed)
    whole = Order(1001, stream()).at(np.arange(1001))
    again = Order(1001, stream())
    places = np.array([1000, 0, 500, 500, 7])
    assert again.at(places).tolist() == whole[places].tolist()
    assert places.tolist() == [1000, 0, 500, 500, 7]
    assert again.at(places[:0]).tolist() == []
    assert Order(1001, stream(1)).at(np.arange(1001)).tolist() != whole.tolist()


def test_a_listed_order_is_numpys():
    expected = stream().permutation(order.MOST_LISTED)
    found = Order(order.MOST_LISTED, stream()).at(np.arange(order.MOST_LISTED))
    assert (found == expected).all()


def statistic(hits):
    """Pearson's, in standard deviations from its mean."""
    mean = hits.sum() / hits.size
    freedom = hits.size - 1
    return (((hits - mean) ** 2 / mean).sum() - freedom) / math.sqrt(2 * freedom)


@pytest.mark.parametrize("population", [36, 37, 41, 100])
def test_any_number_is_as_likely_anywhere(computed, population):
    hits = np.zeros((population, population))
    for seed in range(4000):
        hits[np.arange(population), Order(population, stream(seed)).at(np.arange(population))] += 1
    assert abs(statistic(hits)) < 6


def test_neighbours_go_anywhere_on_their_own(computed):
    """Of two neighbouring places, in a row or a column, all pairs of numbers are as likely."""
    population = 49
    for left, right in ((3, 4), (3, 10)):
        hits = np.zeros((population, population))
        for seed in range(8_000):
            a, b = Order(population, stream(seed)).at(np.array([left, right]))
            hits[a, b] += 1
        apart = hits[~np.eye(population, dtype=bool)]
        assert hits.sum() == apart.sum()
        assert abs(statistic(apart)) < 6


def test_a_long_order_has_no_trend_and_no_period():
    population = 1 << 34
    places = np.arange(100_000)
    found = Order(population, stream()).at(places) / population
    assert len(set(found.tolist())) == len(found)
    for lag in (1, 2, 3, 131_072, 131_071, 1 << 20):
        shifted = Order(population, stream()).at(places + lag) / population
        correlation = 12 * ((found - 0.5) * (shifted - 0.5)).mean()
        assert abs(correlation) < 5 / math.sqrt(len(found))
    assert abs(statistic(np.histogram(found, bins=100, range=(0, 1))[0].astype(float))) < 6


def test_all_orders_of_few_numbers_occur(computed):
    """Of 5 numbers 120; they are not equally likely there, which is why short orders are lists."""
    seen = {tuple(Order(5, stream(seed)).at(np.arange(5)).tolist()) for seed in range(3000)}
    assert seen == set(itertools.permutations(range(5)))
