"""EVOS: who survives, who mutates, and the loss of the Laplacian."""

import math

import pytest
import torch

from nint_cli.derivatives.probe import Probe
from nint_cli.derivatives.sweep import Passes
from nint_cli.random import Draws
from nint_cli.samplers.evos import LAPLACIAN_WEIGHT, CrossFrequencyLoss, Evos, crossover, laplacian
from nint_cli.schedules import laws
from nint_cli.schedules.batch_size import BatchPlan
from tests import oracles
from tests.conftest import generator, tiny_field, tiny_signal
from tests.samplers.test_samplers import perturbed, slots

SHAPE = (12, 15)
SIGNAL = tiny_signal(SHAPE)
TOTAL = 250


def run(sampler, steps, signal=SIGNAL, seed=0):
    """Select and observe from a field that moves; give what each step chose and was shown."""
    history = []
    for step in range(steps):
        field, passes = perturbed(step), Passes()
        selection = sampler.select(step, Probe(field, signal, passes), Draws(seed, step))
        assert passes == Passes()
        observation = oracles.observation(field, signal, selection, leveraged=False)
        sampler.observe(step, observation)
        history.append((selection, observation))
    return history


def slow_laplacian(picture):
    """Zeros around, with lists and loops."""
    height, width = len(picture), len(picture[0])

    def at(row, column):
        return picture[row][column] if 0 <= row < height and 0 <= column < width else 0.0

    return [
        [
            at(r - 1, c) + at(r + 1, c) + at(r, c - 1) + at(r, c + 1) - 4 * at(r, c)
            for c in range(width)
        ]
        for r in range(height)
    ]


def slow_grey(rows):
    return [0.299 * r + 0.587 * g + 0.114 * b for r, g, b in rows]


def slow_high(prediction, values):
    """The Laplacians of prediction and target apart, in [0, 1] units; their squared difference."""
    pictures = []
    for rows in (prediction.clamp(0, 1).tolist(), values.tolist()):
        grey = slow_grey(rows)
        pictures.append(slow_laplacian([grey[15 * r : 15 * r + 15] for r in range(12)]))
    mine, target = pictures
    return [
        (a - b) ** 2
        for row, other in zip(mine, target, strict=True)
        for a, b in zip(row, other, strict=True)
    ]


def slow_offspring(low, high, size):
    """Crossover by sorting lists and joining sets."""
    by_low = sorted(range(len(low)), key=lambda i: -low[i])
    by_high = sorted(range(len(high)), key=lambda i: -high[i])
    both = set(by_low[:size]) & set(by_high[:size])
    missing = size - len(both)
    balance = sum(low) / (sum(low) + sum(high))
    from_low = [i for i in by_low[:size] if i not in both][: int(missing * balance)]
    from_high = [i for i in by_high[:size] if i not in both][: missing - len(from_low)]
    return both | set(from_low) | set(from_high)


# Selection


def test_fitness_steps_take_all_and_the_others_survivors_and_mutants():
    sampler = Evos(BatchPlan(0.2, "constant", None, TOTAL), shape=SHAPE)
    order = None
    for step, (selection, observation) in enumerate(run(sampler, TOTAL)):
        if step in {0, 83, 142, 186, 220}:
            assert selection.indices.tolist() == list(range(180))
            error = observation.prediction - observation.values
            low = error.square().mean(1).tolist()
            high = slow_high(observation.prediction, observation.values)
            high = [LAPLACIAN_WEIGHT * x for x in high]
            size = 180 - int((1 - 0.2 + 0.5 * 0.2) * 180)
            order = slow_offspring(low, high, size)
            continue
        parts = slots(selection)
        assert len(parts["survivor"]) == int((0.2 - 0.5 * 0.2) * 180) == 18
        assert len(parts["mutant"]) == 18
        assert set(parts["survivor"].tolist()) <= order
        assert not set(parts["mutant"].tolist()) & set(parts["survivor"].tolist())
        assert len(order - set(parts["survivor"].tolist())) <= 1  # what rounding leaves


def test_mutants_are_fresh_and_come_from_everywhere_else():
    history = run(Evos(BatchPlan(0.2, "constant", None, TOTAL), shape=SHAPE), 80, seed=1)
    survivors = set(slots(history[1][0])["survivor"].tolist())
    mutants = [frozenset(slots(selection)["mutant"].tolist()) for selection, _ in history[1:]]
    assert len(set(mutants)) == 79
    assert frozenset.union(*mutants) == set(range(180)) - survivors


@pytest.mark.parametrize(
    ("kind", "ranked"), [("add", lambda e, h: e + h), ("none", lambda e, h: e)]
)
def test_other_crossovers_rank_by_a_sum_or_by_the_values_alone(kind, ranked):
    sampler = Evos(
        BatchPlan(0.2, "constant", None, TOTAL), shape=SHAPE, crossover=kind, crossover_weight=5.0
    )
    (_, observation), (second, _) = run(sampler, 2)
    error = observation.prediction - observation.values
    low = error.square().mean(1).tolist()
    high = [5 * x for x in slow_high(observation.prediction, observation.values)]
    fitness = [ranked(e, h) for e, h in zip(low, high, strict=True)]
    expected = sorted(range(180), key=lambda i: -fitness[i])[:18]
    assert slots(second)["survivor"].tolist() == expected


def test_offspring_are_shared_ones_first_then_by_error_then_by_laplacian():
    low = torch.tensor([9.0, 8.0, 7.0, 6.0, 0.0, 0.0, 0.0, 0.0])
    high = torch.tensor([0.0, 0.0, 7.0, 1.0, 10.0, 9.0, 8.0, 0.0])
    # The four largest are {0, 1, 2, 3} and {4, 5, 6, 2}; p = 30 / 65, so int(3 p) = 1 by error.
    assert crossover(low, high, 4).tolist() == [2, 0, 4, 5]
    assert crossover(low, torch.zeros(8), 4).tolist()[:4] == [0, 1, 2, 3]


def test_where_no_offspring_is_due_by_error_the_laplacian_decides_alone():
    """The slice [-0:] of the released code takes all of the wrong parent here."""
    low = torch.tensor([1.0, 1.0, 0.0, 0.0]) * 1e-6
    high = torch.tensor([0.0, 0.0, 5.0, 4.0])
    assert crossover(low, high, 2).tolist() == [2, 3]
    assert len(crossover(torch.zeros(4), torch.zeros(4), 2)) == 2
    assert len(crossover(low, high, 0)) == 0


@pytest.mark.parametrize(("alpha", "survivors"), [(1.0, 0), (0.0, 36), (0.25, 27)])
def test_alpha_shares_the_batch_between_survivors_and_mutants(alpha, survivors):
    sampler = Evos(BatchPlan(0.2, "constant", None, TOTAL), shape=SHAPE, alpha=alpha)
    parts = slots(run(sampler, 2)[1][0])
    assert (len(parts["survivor"]), len(parts["mutant"])) == (survivors, 36 - survivors)


def test_mutants_stay_as_many_while_the_batch_grows():
    sampler = Evos(BatchPlan(0.2, "step", None, TOTAL), shape=SHAPE)
    for step, (selection, _) in enumerate(run(sampler, TOTAL)):
        if laws.evaluates_fitness(step, TOTAL, first=100, last=50):
            continue
        share = 0.2 + (step + 1) // 25 * 0.08
        parts = slots(selection)
        if step == TOTAL - 1:  # the released code reaches the whole signal here, and here alone
            assert parts.keys() == {"full"}
            continue
        assert len(parts["survivor"]) == int((share - 0.1) * 180 + 1e-9)
        assert len(selection.indices) == int(share * 180 + 1e-9)


def test_a_changing_share_mutates():
    sampler = Evos(
        BatchPlan(0.2, "constant", None, TOTAL),
        shape=SHAPE,
        alpha=0.9,
        alpha_end=0.1,
        mutation="linear",
    )
    history = run(sampler, TOTAL)
    for step in (1, 100, 249):
        share = 0.9 - 0.8 * (step + 1) / TOTAL
        assert len(slots(history[step][0])["survivor"]) == int((0.2 - share * 0.2) * 180)


def test_the_batch_grows_at_the_step_that_the_released_code_counts_as_a_tenth():
    """It counts from 1: with T = 250 the 25th step, number 24, has the second fraction."""
    sampler = Evos(BatchPlan(0.2, "step", None, TOTAL), shape=SHAPE)
    sizes = [len(selection.indices) for selection, _ in run(sampler, 51)]
    assert sizes == [180, *[36] * 23, *[50] * 25, 64, 64]


# Cross-frequency supervision


def test_the_laplacian_is_the_slow_one():
    picture = torch.rand(4, 5, generator=generator(), dtype=torch.float64)
    expected = torch.tensor(slow_laplacian(picture.tolist()), dtype=torch.float64)
    torch.testing.assert_close(laplacian(picture), expected)
    assert laplacian(torch.ones(1, 1)).tolist() == [[-4.0]]


def test_supervision_pastes_the_batch_into_the_picture_of_the_last_ranking():
    sampler = Evos(BatchPlan(0.2, "constant", None, TOTAL), shape=SHAPE)
    history = run(sampler, 100)
    assert all(selection.loss is not None for selection, _ in history[:75])
    assert [s for s in range(75, 100) if history[s][0].loss is not None] == [83]
    stale = history[0][1].prediction
    for step in (0, 1, 40, 83):
        selection, observation = history[step]
        if step == 83:
            stale = observation.prediction
        indices = selection.indices
        pasted = stale.clone()
        pasted[indices] = observation.prediction
        _, values = SIGNAL.slice(0, 180)
        high = slow_high(pasted, values)
        expected = (observation.prediction - observation.values).square().mean().item()
        expected += LAPLACIAN_WEIGHT * sum(high[i] for i in indices.tolist()) / len(indices)
        loss, _ = selection.loss(observation.prediction, observation.values)
        assert loss.item() == pytest.approx(expected, rel=1e-9)


def test_the_weight_balances_as_the_published_units_do():
    """Values in [-1, 1] and grey levels up to 255, with 1e-5, weigh as [0, 1] with ours."""
    values = torch.rand(180, 3, generator=generator(1), dtype=torch.float64)
    prediction = torch.rand(180, 3, generator=generator(2), dtype=torch.float64)
    everything = torch.arange(180)
    loss = CrossFrequencyLoss(
        everything, torch.zeros(180, dtype=torch.float64), SHAPE, LAPLACIAN_WEIGHT
    )
    ours, _ = loss(prediction, values)
    error = ((2 * prediction - 1) - (2 * values - 1)).square().mean().item()
    high = [255**2 * x for x in slow_high(prediction, values)]
    assert 4 * ours.item() == pytest.approx(error + 1e-5 * sum(high) / 180, rel=1e-9)


def test_clipped_predictions_feel_no_laplacian():
    values = torch.full((180, 3), 0.5, dtype=torch.float64)
    prediction = values.clone()
    prediction[50], prediction[90] = 1.5, -0.5
    loss = CrossFrequencyLoss(torch.arange(180), torch.zeros(180), SHAPE, 100.0)
    _, gradient = loss(prediction, values)
    squared_error = 2 / 540 * (prediction - values)
    assert torch.equal(gradient[[50, 90]], squared_error[[50, 90]])
    assert not torch.equal(gradient[51], squared_error[51])


@pytest.mark.parametrize("shape", [(180,), (4, 5, 9)])
def test_other_signals_have_no_laplacian(shape):
    signal = tiny_signal(shape)
    sampler = Evos(BatchPlan(0.2, "constant", None, TOTAL), shape=None)
    field = tiny_field(dims=len(shape))
    first = sampler.select(0, Probe(field, signal, Passes()), Draws(0, 0))
    observation = oracles.observation(field, signal, first, leveraged=False)
    assert first.loss is None
    sampler.observe(0, observation)
    second = sampler.select(1, Probe(field, signal, Passes()), Draws(0, 1))
    assert second.loss is None
    error = (observation.prediction - observation.values).square().mean(1)
    expected = sorted(range(180), key=lambda i: -float(error[i]))[:18]
    assert slots(second)["survivor"].tolist() == expected


def test_without_weight_there_is_no_supervision_but_the_crossover_stays():
    sampler = Evos(BatchPlan(0.2, "constant", None, TOTAL), shape=SHAPE, supervision_weight=0.0)
    assert all(selection.loss is None for selection, _ in run(sampler, 90))
    assert set(sampler.state_dict()) == {"order"}


def test_only_what_later_steps_read_is_saved():
    sampler = Evos(BatchPlan(0.2, "constant", None, TOTAL), shape=SHAPE)
    run(sampler, 10)
    sizes = {name: len(tensor) for name, tensor in sampler.state_dict().items()}
    assert sizes == {"order": 18, "stale": 180}
    run(sampler, 84)
    assert set(sampler.state_dict()) == {"order"}
    assert math.isclose(LAPLACIAN_WEIGHT, 0.1625625)
