"""Soft Mining: its loss, how its particles move, and where they start anew."""

import math

import pytest
import torch

from nint_cli.derivatives.probe import Probe
from nint_cli.derivatives.sweep import Passes
from nint_cli.random import Draws
from nint_cli.samplers.base import Observation, Selection
from nint_cli.samplers.soft_mining import SoftMining, SoftMiningLoss
from nint_cli.schedules.batch_size import BatchPlan
from tests.conftest import generator, tiny_field, tiny_signal

SIGNAL = tiny_signal((12, 15))
PLAN = BatchPlan(0.2, "constant", None, 1000)
UNIFORM = torch.linspace(0, 1, 181, dtype=torch.float64)


def select(sampler, step, seed=0, signal=SIGNAL):
    passes = Passes()
    field = tiny_field(dims=signal.coord_dim)
    selection = sampler.select(step, Probe(field, signal, passes), Draws(seed, step))
    assert passes == Passes()
    return selection


def seen(selection, error, gradient):
    return Observation(selection, error, torch.zeros_like(error), gradient)


def slow_weights(error, softness):
    """The weight of each row, with lists and loops."""
    raw = []
    for row in error.tolist():
        size = max(sum(map(abs, row)) / len(row), 2.0**-10)
        raw.append((1 / size) ** softness)
    mean = sum(raw) / len(raw)
    spread = math.sqrt(sum((c - mean) ** 2 for c in raw) / (len(raw) - 1))
    return [min(max(c, 0.2), mean + spread) for c in raw]


@pytest.mark.parametrize("softness", [0.0, 0.6, 1.0])
def test_the_loss_is_the_slow_one(softness):
    values = torch.rand(40, 3, generator=generator(1), dtype=torch.float64)
    error = torch.randn(40, 3, generator=generator(2), dtype=torch.float64) ** 3
    loss, gradient = SoftMiningLoss(softness)(values + error, values)
    weights = slow_weights(error, softness)
    expected = 0.0
    for c, row in zip(weights, error.tolist(), strict=True):
        expected += c * sum(e * e for e in row) / 3 / 40
    assert loss.item() == pytest.approx(expected, rel=1e-12)
    by_hand = torch.tensor(weights)[:, None] * 2 * error / 120
    torch.testing.assert_close(gradient, by_hand, rtol=1e-6, atol=1e-12)
    if softness == 0:
        assert loss.item() == pytest.approx(error.square().mean().item())


def test_large_errors_weigh_little_and_small_ones_no_more_than_the_spread_allows():
    error = torch.full((100, 1), 0.5, dtype=torch.float64)
    error[0], error[1] = 0.0, 1000.0
    weights = SoftMiningLoss(1.0).weight(error)
    assert weights[1] == 0.2
    assert 2.0 < weights[0] < 2.0**10 / 2
    one = SoftMiningLoss(1.0).weight(torch.tensor([[0.5]]))
    assert one.tolist() == [2.0]


@pytest.mark.parametrize(("step", "expected"), [(0, 0.0), (300, 0.3), (600, 0.6), (999, 0.6)])
def test_softness_rises_to_alpha(step, expected):
    sampler = SoftMining(PLAN, UNIFORM, (12, 15))
    assert select(sampler, step).loss.softness == pytest.approx(expected)


def test_particles_start_on_the_grid():
    sampler = SoftMining(PLAN, UNIFORM, (12, 15))
    selection = select(sampler, 0)
    expected = Draws(0, 0).stream("start").integers(180, size=36)
    assert selection.indices.tolist() == expected.tolist()
    assert selection.slots == (("mined", 36),)


def slow_move(particles, drift, loss, draws, cumulative, a=20.0, b=0.02):
    """One move of all rows, one after the other; restarts on a 12x15 grid."""
    noise = draws.stream("noise").standard_normal((36, 2))
    fresh = draws.stream("anywhere").random((3, 2))
    heights = draws.stream("edges").random(36)
    limit = sorted(loss)[3]  # the (floor(0.1 * 36) + 1)-th smallest
    moved, bad = [], []
    for row in range(36):
        place = [
            particles[row][axis] + a * drift[row][axis] + b * float(noise[row, axis])
            for axis in range(2)
        ]
        inside = all(0 <= x <= 1 for x in place)
        if not inside or loss[row] <= limit:
            bad.append(row)
        moved.append(fresh[row - 33].tolist() if row >= 33 else place)
    for row in bad:
        point = max(i for i in range(180) if cumulative[i] <= heights[row])
        moved[row] = [point // 15 / 11, point % 15 / 14]
    return moved


@pytest.mark.parametrize("released", [False, True])
def test_particles_move_as_the_slow_version_does(released):
    density = torch.rand(180, generator=generator(7), dtype=torch.float64) + 0.01
    cumulative = torch.cat([torch.zeros(1), density.cumsum(0) / density.sum()])
    sampler = SoftMining(PLAN, cumulative, (12, 15), released=released)
    start = Draws(3, 500).stream("start").integers(180, size=36)
    particles = [[int(i) // 15 / 11, int(i) % 15 / 14] for i in start]
    for step in range(6):
        selection = select(sampler, 500 + step, 3)
        factor = 12 if released else 15
        expected = [
            (factor * round(row * 11) + round(column * 14)) % 180 for row, column in particles
        ]
        assert selection.indices.tolist() == expected
        error = torch.randn(36, 3, generator=generator(50 + step), dtype=torch.float64)
        gradient = torch.randn(36, 2, generator=generator(80 + step), dtype=torch.float64)
        gradient *= 2e-3 if released else 2  # moves by some grid steps, as the noise does
        sampler.observe(500 + step, seen(selection, error, gradient))
        loss, drift = [], []
        weights = slow_weights(error, 0.5 + step / 1000)
        for c, row, slope in zip(weights, error.tolist(), gradient.tolist(), strict=True):
            loss.append(c * sum(e * e for e in row) / 3)
            divisor = (c * loss[-1] if released else loss[-1]) + 2.0**-23
            scale = [1, 1] if released else [36 / 4096 * 2 / 11, 36 / 4096 * 2 / 14]
            drift.append([f * g / divisor for f, g in zip(scale, slope, strict=True)])
        particles = slow_move(particles, drift, loss, Draws(3, 501 + step), cumulative.tolist())


def test_drift_is_the_gradient_of_the_log_error_whatever_the_batch():
    """Twice the batch halves the gradient of the mean; the particles move alike."""
    for size in (36, 72):
        sampler = SoftMining(BatchPlan(0.2, "constant", size, 1000), UNIFORM, (12, 15))
        selection = select(sampler, 0)
        error = torch.full((size, 3), 0.5)
        sampler.observe(0, seen(selection, error, torch.full((size, 2), 3.0 / size)))
        expected = torch.tensor([2 / 11, 2 / 14]) * 3.0 / 4096 / 0.25
        torch.testing.assert_close(
            sampler.state_dict()["drift"], expected.double().expand(size, 2)
        )


@pytest.mark.parametrize("half_range", [1.0, 5.0, 100.0])
def test_drift_is_per_grid_step_whatever_the_coords_run_to(half_range):
    """A field that is the same function of the place has a gradient by x that is as much less."""
    cumulative = torch.linspace(0, 1, 41, dtype=torch.float64)
    plan = BatchPlan(0.2, "constant", 8, 1000)
    sampler = SoftMining(plan, cumulative, (40,), half_range=half_range)
    selection = select(sampler, 0, signal=tiny_signal((40,)))
    error = torch.full((8, 3), 0.5)
    sampler.observe(0, seen(selection, error, torch.full((8, 1), 3.0 / half_range / 8)))
    expected = torch.full((8, 1), 2 / 39 * 3.0 / 4096 / 0.25)
    torch.testing.assert_close(sampler.state_dict()["drift"], expected.double())


def test_a_drift_that_is_no_number_starts_a_particle_anew():
    sampler = SoftMining(PLAN, UNIFORM, (12, 15))
    selection = select(sampler, 0)
    gradient = torch.full((36, 2), math.nan)
    sampler.observe(0, seen(selection, torch.ones(36, 3), gradient))
    indices = select(sampler, 1).indices
    assert 0 <= indices.min() <= indices.max() < 180


def test_restarts_prefer_what_the_density_prefers():
    cumulative = torch.zeros(181, dtype=torch.float64)
    cumulative[78:] = 1.0  # point 77 and no other
    sampler = SoftMining(PLAN, cumulative, (12, 15), restart_share=1.0)
    selection = select(sampler, 0)
    sampler.observe(0, seen(selection, torch.ones(36, 3), torch.zeros(36, 2)))
    assert set(select(sampler, 1).indices.tolist()) == {77}


@pytest.mark.parametrize("shape", [(7,), (4, 9), (9, 4), (2, 3, 5)])
def test_every_grid_point_is_nearest_to_itself(shape):
    count = math.prod(shape)
    sampler = SoftMining(PLAN, torch.linspace(0, 1, count + 1), shape)
    indices = torch.arange(count)
    assert torch.equal(sampler._indices(sampler._positions(indices)), indices)


def test_the_released_index_stays_in_range_on_tall_pictures():
    sampler = SoftMining(PLAN, torch.linspace(0, 1, 37), (9, 4), released=True)
    indices = sampler._indices(torch.tensor([[1.0, 1.0], [0.5, 0.0]]))
    assert indices.tolist() == [(9 * 8 + 3) % 36, 9 * 4 % 36]


def test_it_observes_only_its_own_selections_with_their_gradient():
    sampler = SoftMining(PLAN, UNIFORM, (12, 15))
    selection = select(sampler, 0)
    foreign = Selection(selection.indices)
    for observation in (
        seen(selection, torch.ones(36, 3), None),
        seen(foreign, torch.ones(36, 3), torch.ones(36, 2)),
    ):
        with pytest.raises(TypeError, match="observes its own selections"):
            sampler.observe(0, observation)
