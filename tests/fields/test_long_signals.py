"""Signals whose coords float32 does not tell apart: an hour of sound at 48 kHz.

The oracles are fractions, and the same field in float64 throughout.
"""

import copy
import math
from fractions import Fraction

import pytest
import torch

from nint_cli.config.schema import FIELD_NAMES, RunConfig
from nint_cli.derivatives.autograd import ByAutograd
from nint_cli.derivatives.engine import EXACT, Engine
from nint_cli.derivatives.sweep import pull_coupled, pull_residual, pushforward, self_leverage
from nint_cli.fields.grid_encoding import GridEncoding
from nint_cli.runs.build import build_field, build_trainer
from nint_cli.schedules.clock import Clock
from nint_cli.signals.base import MOST_IN_FLOAT32, GridSignal
from nint_cli.signals.points import PointSignal
from tests.conftest import Waves, generator

HOUR = 172_800_000
PLACES = [0, 1, 2, 12_345_678, HOUR // 2 - 1, HOUR // 2, HOUR // 2 + 1, HOUR - 2, HOUR - 1]
PI = Fraction(314159265358979323846264338327950288419716939937510, 10**50)


def grid_of(shape, half_range=1.0):
    """A signal without channels, so that none of its samples take memory."""
    count = math.prod(shape)
    return GridSignal(torch.empty(count, 0, dtype=torch.uint8), shape, half_range=half_range)


def exact(place, half_range=1, samples=HOUR):
    return Fraction(half_range) * Fraction(2 * place - (samples - 1), samples - 1)


# Coordinates


@pytest.mark.parametrize("half_range", [1, 5, 100])
def test_coords_are_those_of_fractions(half_range):
    coords, _ = grid_of((HOUR,), float(half_range)).at(torch.tensor(PLACES))
    assert coords.dtype == torch.float64
    for place, found in zip(PLACES, coords[:, 0].tolist(), strict=True):
        assert abs(Fraction(found) - exact(place, half_range)) <= half_range * Fraction(1, 2**52)


def test_neighbours_differ_by_one_step_everywhere():
    signal, step = grid_of((HOUR,)), 2 / (HOUR - 1)
    for start in (0, HOUR // 2 - 50_000, HOUR - 100_000):
        coords, _ = signal.slice(start, start + 100_000)
        assert len(coords.unique()) == 100_000
        assert ((coords.diff(dim=0) - step).abs() < 1e-7 * step).all()
        assert len(coords.float().unique()) < 50_000 or start == HOUR // 2 - 50_000


@pytest.mark.parametrize("longest", [7, MOST_IN_FLOAT32])
def test_short_axes_keep_the_bits_that_they_had(longest):
    coords, _ = grid_of((longest, 3)).slice(0, 3 * longest)
    assert coords.dtype == torch.float32
    rows, columns = torch.linspace(-1, 1, longest), torch.linspace(-1, 1, 3)
    expected = torch.stack(torch.meshgrid(rows, columns, indexing="ij"), 2).view(-1, 2)
    assert torch.equal(coords, expected)


@pytest.mark.parametrize("shape", [(MOST_IN_FLOAT32 + 1, 3), (3, MOST_IN_FLOAT32 + 1)])
def test_one_long_axis_makes_all_coords_fine(shape):
    indices = torch.tensor([0, 1, 2, 3, 4, math.prod(shape) // 2, math.prod(shape) - 1])
    coords, _ = grid_of(shape).at(indices)
    assert coords.dtype == torch.float64
    for index, row in zip(indices.tolist(), coords.tolist(), strict=True):
        places = divmod(index, shape[1])
        for place, size, found in zip(places, shape, row, strict=True):
            assert abs(Fraction(found) - exact(place, 1, size)) < Fraction(1, 2**51)


def test_points_that_are_taken_out_keep_their_coords():
    coords, values = grid_of((HOUR,)).at(torch.tensor(PLACES))
    points = PointSignal(coords, values.float())
    assert torch.equal(points.at(torch.arange(len(PLACES)))[0], coords)


# First layers


def field_of(name, **settings):
    """With the frequencies that an hour of sound asks for, and a table that is not all but 0."""
    small = {} if name == "hashgrid" else {"hidden_features": 12}
    config = RunConfig.model_validate({"field": name, name: small | settings})
    field = build_field(config, (HOUR,), 1, generator(1), bandwidth=math.pi * 1000 * 3600)
    if name == "hashgrid":
        with torch.no_grad():
            field.encoding.table.normal_(generator=generator(3))
    return field


def sample(count=300):
    """Neighbours at the end, where float32 is coarsest, and points anywhere."""
    anywhere = torch.randint(HOUR, (count // 2,), generator=generator(4))
    return torch.cat([torch.arange(HOUR - count // 2, HOUR), anywhere])


@pytest.mark.parametrize("seed", [1, 2])
def test_the_phase_of_a_first_layer_is_that_of_fractions(seed):
    """omega_0 (w x + b) is tens of millions of radians, of which float32 leaves nothing."""
    field = field_of("siren")
    weight, bias = (part.detach().double() for part in (field.weights[0], field.biases[0]))
    coords, _ = grid_of((HOUR,)).at(torch.tensor(PLACES))
    block = EXACT.derivatives(field).linearise(coords)
    worst = coarse = 0.0
    for i, place in enumerate(PLACES):
        for j in range(len(bias)):
            phase = 30 * (Fraction(weight[j, 0].item()) * exact(place) + Fraction(bias[j].item()))
            turns = phase / (2 * PI)
            within = float((turns - round(turns)) * 2 * PI)
            worst = max(worst, abs(block.inputs[1][i, j].item() - math.sin(within)))
            worst = max(worst, abs(block.slopes[0][i, j].item() - math.cos(within)))
            single = torch.tensor(float(phase), dtype=torch.float32).sin().item()
            coarse = max(coarse, abs(single - math.sin(within)))
    assert worst < 2e-7
    assert coarse > 1e-2  # or the phase would not need it


@pytest.mark.parametrize("name", FIELD_NAMES)
def test_every_field_predicts_what_it_does_in_float64(name):
    field = field_of(name)
    double = copy.deepcopy(field).double()
    coords, _ = grid_of((HOUR,)).at(sample())
    expected = double(coords).detach()
    scale = expected.abs().max()
    for found in (
        field(coords).detach(),
        EXACT.derivatives(field).predict(coords),
        EXACT.derivatives(field).linearise(coords).prediction,
        ByAutograd(field).predict(coords),
        ByAutograd(field).linearise(coords).prediction,
    ):
        assert found.dtype == torch.float32
        assert (found.double() - expected).abs().max() < 1e-3 * scale
    if name not in {"mlp", "gauss"}:  # which are smooth at such a scale
        rounded = field(coords.float()).detach()
        assert (rounded.double() - expected).abs().max() > 3e-3 * scale


@pytest.mark.parametrize("name", FIELD_NAMES)
def test_every_derivative_is_that_in_float64(name):
    """Backward, forward, the kernel's diagonal and norms, by hand and by autograd."""
    field = field_of(name)
    double = copy.deepcopy(field).double()
    coords, _ = grid_of((HOUR,)).at(sample(60))
    values = torch.randn(60, 1, generator=generator(5))
    near, far = PointSignal(coords, values), PointSignal(coords, values.double())
    tangent = [torch.randn(p.shape, generator=generator(6)) for p in field.parameters()]
    wide = [part.double() for part in tangent]

    def close(found, expected):
        error = torch.linalg.vector_norm(found.double() - expected)
        assert error <= 2e-3 * torch.linalg.vector_norm(expected)

    ways = [(EXACT.derivatives, None)]
    if field.chain() is not None:
        ways.append((ByAutograd, None))
    for way, _ in ways:
        pulled, residual = pull_residual(field, near, derivatives=way(field))
        expected, wide_residual = pull_residual(double, far)
        close(residual, wide_residual)
        for part, other in zip(pulled, expected, strict=True):
            assert part.dtype == torch.float32
            close(part, other)
        close(
            pushforward(field, near, tangent, derivatives=way(field)),
            pushforward(double, far, wide),
        )
    close(self_leverage(field, near), self_leverage(double, far))


@pytest.mark.parametrize("name", FIELD_NAMES)
def test_the_gradient_by_the_coords_is_that_in_float64(name):
    field = field_of(name)
    double = copy.deepcopy(field).double()
    coords, _ = grid_of((HOUR,)).at(sample(60))
    _, found = pull_coupled(field, [coords[:40], coords[40:]], torch.ones_like, by_coords=True)
    _, expected = pull_coupled(double, [coords], torch.ones_like, by_coords=True)
    assert found is not None
    assert expected is not None
    error = torch.linalg.vector_norm(found.double() - expected)
    assert error <= 2e-3 * torch.linalg.vector_norm(expected)


def test_bfloat16_leaves_the_first_layer_alone():
    """Its products are those of the layers between."""
    field, engine = field_of("siren"), Engine(torch.bfloat16)
    coords, _ = grid_of((HOUR,)).at(sample())
    exact_layer = EXACT.derivatives(field).linearise(coords).inputs[1]
    rounded = engine.derivatives(field).linearise(coords)
    assert torch.equal(rounded.inputs[1], exact_layer.bfloat16())
    assert rounded.prediction.dtype == torch.float32


# Hash grids


def test_the_weights_of_a_grid_are_those_of_fractions():
    resolutions = [[16], [5_000], [1_000_003], [HOUR]]
    grid = GridEncoding(resolutions, entries=1 << 8, features=2)
    coords, _ = grid_of((HOUR,)).at(torch.tensor(PLACES))
    rows, weights = grid.locate(coords)
    for level, (size,) in enumerate(resolutions):
        for i, place in enumerate(PLACES):
            position = Fraction(place * (size - 1), HOUR - 1)
            corner = min(math.floor(position), size - 2)
            inside = float(position - corner)
            found = {}  # of two corners, a weight of 0 may belong to the one or the other
            for row, weight in zip(rows, weights, strict=True):
                key = int(row[level, i]) - int(grid.starts[level, 0])
                found[key] = found.get(key, 0.0) + float(weight[level, i])
            mask = size - 1 if size <= 1 << 8 else (1 << 8) - 1
            for at, expected in ((corner, 1 - inside), (corner + 1, inside)):
                key = at if size <= 1 << 8 else at & mask
                assert found.get(key, 0.0) == pytest.approx(expected, abs=1e-5), (size, place)


def test_a_point_on_a_vertex_of_the_finest_grid_reads_it_alone():
    """One vertex per sample, of 5 million."""
    grid = GridEncoding([[5_000_000]], entries=1 << 8, features=2)
    coords, _ = grid_of((5_000_000,)).slice(1_000_000, 1_100_000)
    _, (low, high) = grid.locate(coords)
    assert (torch.minimum(low, high) < 1e-5).all()
    _, (low, high) = grid.locate(coords.float())
    assert torch.minimum(low, high).max() > 0.02


# Training


@pytest.mark.parametrize("name", FIELD_NAMES)
def test_a_long_signal_trains(name):
    """In memory that does not grow with it, and with parameters in float32."""
    config = RunConfig.model_validate({
        "field": name,
        "steps": 4,
        "sampler": "nint_diagonal",
        "nint_diagonal": {"start": 0},
        "batch": {"size": 64, "reshuffle": True},
    })
    trainer = build_trainer(config, Waves(HOUR, torch.float32), Clock())

    class Watch:
        def after_step(self, trainer, step):
            assert math.isfinite(step.loss)

    assert trainer.fit(Watch()) == "steps"
    assert {p.dtype for p in trainer.field.parameters()} == {torch.float32}
    assert max(len(each) for each in trainer.sampler.state_dict().values()) == 1
