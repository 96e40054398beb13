"""The mixture of NINT: how many points are chosen, and what they weigh."""

import math

import pytest
import torch

from nint_cli.derivatives.probe import Probe
from nint_cli.derivatives.sweep import Passes
from nint_cli.random import Draws
from nint_cli.samplers.nint import Nint
from nint_cli.samplers.nint_diagonal import NintDiagonal
from nint_cli.samplers.slots import PAPER, Mixture, chosen_weights
from nint_cli.schedules.batch_size import BatchPlan
from tests import oracles
from tests.conftest import tiny_field, tiny_signal

PLAN = BatchPlan(0.2, "constant", None, 1000)
SIGNAL = tiny_signal((12, 15))


@pytest.mark.parametrize(
    ("guided", "count", "weight"), [(3, 10, 0.8), (9, 10, 0.25), (1, 2, 1e-3)]
)
def test_weights_keep_the_ratio_of_chosen_and_drawn_and_a_mean_of_one(guided, count, weight):
    weights = chosen_weights(weight, guided, count, torch.device("cpu"))
    assert weights is not None
    assert weights.mean().item() == pytest.approx(1)
    assert (weights[:guided] / weights[-1]).tolist() == pytest.approx([weight] * guided)
    assert (weights[guided:] == weights[-1]).all()


@pytest.mark.parametrize(("guided", "weight"), [(0, 0.5), (10, 0.5), (4, 1.0)])
def test_where_all_weigh_the_same_there_are_no_weights(guided, weight):
    assert chosen_weights(weight, guided, 10, torch.device("cpu")) is None


@pytest.mark.parametrize(
    "sampler",
    [
        Nint(PLAN, Mixture(xi=0.5, weight=0.5)),
        Nint(PLAN, Mixture(xi=0.5, weight=0.5), interval="dense2", every=2),
        NintDiagonal(PLAN, weight=0.5, start=0, max_chosen=1),
    ],
)
def test_chosen_points_weigh_less_wherever_they_lead_the_batch(sampler):
    """Also where a selection is kept for another step; and none do at uniform steps."""
    field, seed = tiny_field(3), 0
    for step in range(4):
        selection = sampler.select(
            step, Probe(field, SIGNAL, Passes(), lambda: None), Draws(seed, step)
        )
        sampler.observe(step, oracles.observation(field, SIGNAL, selection))
        chosen = len(selection.indices) - dict(selection.slots)["uniform"]
        if chosen:
            assert selection.weights is not None
            ratio = selection.weights / selection.weights[-1]
            assert ratio.tolist() == pytest.approx([0.5] * chosen + [1.0] * (len(ratio) - chosen))
        else:
            assert step == 0
            assert selection.weights is None


@pytest.mark.parametrize(
    ("population", "most", "expected"),
    [(1000, 1.0, 500), (20_000, 0.05, 500), (4000, 0.05, 200), (4000, 0.02, 80), (10, 0.05, 0)],
)
def test_a_batch_chooses_no_more_than_a_share_of_the_signal(population, most, expected):
    mixture = Mixture(xi=0.5, max_chosen=most, min_share=1.0)
    assert mixture.slots(0, 1000, population) == (0, expected)
    ntk, residual = Mixture(xi=0.5, max_chosen=most, lambda_=0.7).slots(10, 1000, population)
    assert expected - 1 <= ntk + residual <= expected
    assert ntk == int(expected * math.exp(-0.7) + 1e-9)


@pytest.mark.parametrize(
    ("age", "ntk", "residual"),
    [(0, 30_000, 0), (10, 11_036, 18_963), (57, 100, 29_899), (58, 0, 30_000)],
)
def test_by_default_the_slots_are_the_papers(age, ntk, residual):
    """0.3 exp(-t / 10) of the batch by NTK score, down to 0.001 of it, and the rest of 0.3."""
    assert PAPER.slots(age, 100_000, 10**6) == (ntk, residual)
    assert (PAPER.start, PAPER.weight, PAPER.max_chosen) == (0, 1, 1)


def test_a_share_as_small_as_the_smallest_is_not_left_out():
    assert Mixture(xi=0.5, min_share=0.5).slots(0, 1000, 1000) == (500, 0)
    assert Mixture(xi=0.5, min_share=0.5).slots(1, 1000, 1000) == (0, 500)


def test_rounding_takes_no_residual_point_away():
    """Of 10 points 0.9 are drawn; in floating point the rest is a little less than 1."""
    assert 10 * (1 - 0.9) < 1
    assert Mixture(xi=0.9, min_share=1.0).slots(0, 10, 1000) == (0, 1)


@pytest.mark.parametrize("most", [0.01, 0.05, 0.08, 1.0])
@pytest.mark.parametrize("kind", [Nint, NintDiagonal])
def test_no_more_is_chosen_than_may_be(kind, most):
    """Of 180 points; the plan's 36 may hold 18 chosen ones."""
    if kind is Nint:
        sampler = Nint(PLAN, Mixture(xi=0.5, max_chosen=most))
    else:
        sampler = NintDiagonal(PLAN, start=0, max_chosen=most)
    field, seed = tiny_field(3), 0
    for step in range(25):
        probe = Probe(field, SIGNAL, Passes(), lambda: list(field.parameters()))
        selection = sampler.select(step, probe, Draws(seed, step))
        sampler.observe(step, oracles.observation(field, SIGNAL, selection))
        found = dict(selection.slots)
        assert sum(found.values()) == 36
        if step or kind is Nint:
            wanted = min(18, int(180 * most))
            assert wanted - 1 <= 36 - found["uniform"] <= wanted
