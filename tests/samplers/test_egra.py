"""EGRA: which points are favoured, and by how much."""

import math

import pytest
import torch

from nint_cli.derivatives.probe import Probe
from nint_cli.derivatives.sweep import Passes
from nint_cli.random import Draws
from nint_cli.samplers.egra import Egra
from nint_cli.schedules.batch_size import BatchPlan
from tests.conftest import tiny_field, tiny_signal

SIGNAL = tiny_signal((12, 15))


def chosen(sampler, seed=0, signal=SIGNAL):
    passes = Passes()
    field = tiny_field(dims=signal.coord_dim)
    selection = sampler.select(0, Probe(field, signal, passes), Draws(seed, 0))
    assert passes == Passes()
    edge, uniform = (size for _, size in selection.slots)
    return selection.indices.split([edge, uniform])


def test_the_published_weights_are_as_nine_to_six():
    sampler = Egra(BatchPlan(0.2, "constant", None, 10), torch.tensor([3]))
    assert sampler.boosted_weight == pytest.approx(0.0025 + 0.006384)
    assert sampler.base_weight == pytest.approx(0.006384)


@pytest.mark.parametrize("both_sides", [False, True])
def test_points_six_to_nine_beyond_an_edge_are_favoured(both_sides):
    """With all but no weight for others, the batch is what lies beside the edges."""
    edges = torch.tensor([20, 100, 175])
    sampler = Egra(
        BatchPlan(0.9, "constant", None, 10),
        edges,
        p=0.5,
        density=1e-9,
        both_sides=both_sides,
    )
    reached = set()
    for seed in range(200):
        beside, others = chosen(sampler, seed)
        assert 1 <= len(beside) <= 3
        assert len(beside) + len(others) == 162
        reached |= set(beside.tolist())
    right = {(k + d) % 180 for k in (20, 100, 175) for d in range(6, 10)}
    left = {(k - d) % 180 for k in (20, 100, 175) for d in range(6, 10)}
    assert reached == (right | left if both_sides else right)
    assert {(175 + d) % 180 for d in range(6, 10)} <= reached  # into the next row


@pytest.mark.parametrize("count", [1, 3, 5])
def test_draws_are_successive_by_weight(count):
    """Inclusion of a favoured point against enumeration of all ordered draws without replacement.

    5 points, one at distance 1 from the only edge, with weights as 4 to 1.
    """
    weights = [1.0, 4.0, 1.0, 1.0, 1.0]

    def included(left, draws, target):
        if draws == 0:
            return 0.0
        total = sum(weights[i] for i in left)
        return sum(
            weights[i] / total * (1.0 if i == target else included(left - {i}, draws - 1, target))
            for i in left
        )

    exact = [included(frozenset(range(5)), count, target) for target in range(5)]
    sampler = Egra(
        BatchPlan(1.0, "constant", count, 10),
        torch.tensor([0]),
        p=0.6,
        density=0.5,
        radius_min=1,
        radius_max=1,
    )
    assert sampler.boosted_weight / sampler.base_weight == pytest.approx(4.0)
    signal, rounds = tiny_signal((5,)), 3000
    hits = torch.zeros(5)
    for seed in range(rounds):
        hits[torch.cat(chosen(sampler, seed, signal))] += 1
    for target, p in enumerate(exact):
        spread = math.sqrt(max(p * (1 - p), 1e-9) / rounds)
        assert float(hits[target]) / rounds == pytest.approx(p, abs=4 * spread + 1e-9)


def test_without_edges_it_is_uniform():
    sampler = Egra(BatchPlan(0.2, "constant", None, 10), torch.empty(0, dtype=torch.int64))
    beside, others = chosen(sampler)
    assert (len(beside), len(others)) == (0, 36)
