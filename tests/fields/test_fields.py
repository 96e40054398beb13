import math

import pytest
import torch

from nint_cli.config.schema import RunConfig
from nint_cli.derivatives.ntk import ntk_diagonal
from nint_cli.fields.base import Field, load_parameters
from nint_cli.fields.ffn import Ffn, bandwidth_for
from nint_cli.fields.finer import Finer
from nint_cli.fields.gauss import Gauss
from nint_cli.fields.hashgrid import HashGrid, grid_for, level_resolutions
from nint_cli.fields.mlp import Mlp
from nint_cli.fields.pemlp import Pemlp, octaves_for
from nint_cli.fields.siren import Siren
from nint_cli.fields.wire import Wire
from nint_cli.runs.build import build_field
from tests import oracles
from tests.conftest import generator

COORDS = torch.rand(5, 2, generator=generator(1), dtype=torch.float64) * 2 - 1
SMALL = {"hidden_features": 6, "hidden_layers": 3}


def positional(coords, octaves):
    """[x, all sines, all cosines], the octaves one after another."""
    rows = []
    for point in coords.tolist():
        angles = [x * 2.0**k for k in range(octaves) for x in point]
        rows.append([*point, *map(math.sin, angles), *map(math.cos, angles)])
    return torch.tensor(rows, dtype=torch.float64)


def fourier(coords, matrix):
    rows = []
    for point in coords.tolist():
        angles = [
            2 * math.pi * sum(x * f for x, f in zip(point, column, strict=True))
            for column in matrix.T.tolist()
        ]
        rows.append([*map(math.sin, angles), *map(math.cos, angles)])
    return torch.tensor(rows, dtype=torch.float64)


def relu(z):
    return max(z, 0.0)


@pytest.mark.parametrize(
    ("field", "activation", "features"),
    [
        (
            Siren(2, 3, omega_0=11.0, generator=generator(), **SMALL),
            lambda z: math.sin(11 * z),
            None,
        ),
        (Mlp(2, 3, generator=generator(), **SMALL), relu, None),
        (
            Finer(2, 3, omega_0=5.0, generator=generator(), **SMALL),
            lambda z: math.sin(5 * (abs(z) + 1) * z),
            None,
        ),
        (
            Gauss(2, 3, scale=4.0, generator=generator(), **SMALL),
            lambda z: math.exp(-((4 * z) ** 2)),
            None,
        ),
        (
            Pemlp(2, 3, frequencies=4, generator=generator(), **SMALL),
            relu,
            lambda field: positional(COORDS, 4),
        ),
        (
            Ffn(2, 3, frequencies=4, sigma=2.0, generator=generator(), **SMALL),
            relu,
            lambda field: fourier(COORDS, field.encoding.frequencies),
        ),
        (
            HashGrid(
                (9, 7),
                3,
                levels=4,
                coarsest=3,
                finest=9,
                log2_entries=5,
                generator=generator(),
                **SMALL,
            ),
            relu,
            lambda field: oracles.grid_features(
                field.encoding.table, [[3, 2], [4, 3], [6, 5], [9, 7]], 32, COORDS
            ),
        ),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Field) else "",
)
def test_a_field_computes_what_its_paper_says(field, activation, features):
    field = field.double()
    start = COORDS if features is None else features(field)
    weights, biases = ([p.detach() for p in group] for group in (field.weights, field.biases))
    expected = oracles.layered(weights, biases, activation, start)
    torch.testing.assert_close(field(COORDS), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("first", [None, 0.0, 4.0])
def test_wire_computes_what_its_paper_says(first):
    field = Wire(2, 3, omega_0=3.0, scale=1.5, first_scale=first, generator=generator(), **SMALL)
    field = field.double()
    expected = oracles.wire(field, COORDS, 1.5 if first is None else first, 1.5)
    torch.testing.assert_close(field(COORDS), expected, rtol=1e-12, atol=1e-12)


def test_a_first_frequency_is_in_the_first_weight_of_wire_alone():
    usual, other = (
        Wire(1, 1, omega_0=3.0, first_frequency=first, generator=generator(), **SMALL)
        for first in (None, 600.0)
    )
    pairs = zip(usual.named_parameters(), other.parameters(), strict=True)
    for (name, before), after in pairs:
        factor = 200 if name == "first_weight" else 1
        torch.testing.assert_close(after, factor * before)


def test_the_first_wavelets_of_a_sound_are_no_narrower_for_its_high_frequency():
    config = RunConfig(field="wire")
    sound = build_field(config, (100_000,), 1, generator(), bandwidth=20_000.0)
    assert sound.first_scale == 0.002
    assert (
        build_field(config, (20, 30), 3, generator()).first_scale == config.section("wire").scale
    )


@pytest.mark.parametrize("dims", [1, 3])
def test_first_bumps_are_as_narrow_as_is_said_and_lie_anywhere(dims):
    field = Gauss(dims, 1, hidden_features=512, scale=10, first_scale=480.0, generator=generator())
    weight, bias = field.weights[0].detach(), field.biases[0].detach()
    assert 0.98 * 480 < 10 * weight.abs().max() <= 480
    # The points where a bump is highest come as near to the middle as those of a uniform draw.
    nearest = (bias / weight.norm(dim=1)).abs()
    assert nearest.max() <= dims**0.5
    if dims == 1:
        assert 0.2 < (nearest < 0.25).float().mean() < 0.3
    usual = Gauss(dims, 1, hidden_features=512, scale=10, generator=generator())
    assert all(
        torch.equal(a, b) for a, b in zip(field.weights[1:], usual.weights[1:], strict=True)
    )


@pytest.mark.parametrize("shape", [(40,), (9, 7), (5, 6, 4)])
def test_the_hash_grid_interpolates_at_every_level(shape):
    """At vertices, between them, on the far edges and outside, dense and hashed."""
    field = HashGrid(
        shape, 1, levels=3, coarsest=3, finest=max(shape), log2_entries=4, generator=generator()
    ).double()
    rng = generator(4)
    coords = torch.rand(40, len(shape), generator=rng, dtype=torch.float64) * 2.4 - 1.2
    edges = torch.cartesian_prod(
        *[torch.tensor([-1.0, 0.0, 1.0], dtype=torch.float64)] * len(shape)
    )
    coords = torch.cat([coords, edges.reshape(-1, len(shape))])
    resolutions = level_resolutions(shape, 3, 3, max(shape))
    assert 0 < field.encoding.dense < 3
    expected = oracles.grid_features(field.encoding.table, resolutions, 16, coords)
    torch.testing.assert_close(field.encoding.features(coords), expected, rtol=1e-9, atol=1e-12)
    with torch.no_grad():
        place = field.encoding.locate(coords)
        torch.testing.assert_close(field.encoding.read(place), expected, rtol=1e-9, atol=1e-12)


def test_gradients_add_up_where_corners_share_a_row():
    """So few rows that a point's own corners collide: the diagonal counts them as one."""
    field = HashGrid(
        (30, 30), 1, levels=1, coarsest=30, finest=30, log2_entries=4, generator=generator()
    ).double()
    coords = torch.rand(60, 2, generator=generator(2), dtype=torch.float64) * 2 - 1
    rows = torch.stack(list(field.encoding.locate(coords).rows), 2)[0]
    assert any(len(row.unique()) < 4 for row in rows)
    dense = oracles.dense_ntk(field, coords)
    torch.testing.assert_close(
        ntk_diagonal(field, coords), torch.einsum("iaia->ia", dense), rtol=1e-10, atol=1e-10
    )


def test_sizes_follow_the_signal():
    assert [octaves_for(n) for n in (1, 32, 256, 512, 32_000)] == [1, 6, 9, 10, 16]
    assert [bandwidth_for(n) for n in (1, 512, 5120)] == [10.0, 10.0, 100.0]
    assert grid_for((1, 1)) == (2, 8)
    assert level_resolutions((6, 6, 6), 3, 16, 6) == [[6, 6, 6]] * 3
    assert grid_for((256, 256)) == (256, 14)
    assert grid_for((100_000,)) == (100_000, 14)


def test_octaves_end_below_what_the_grid_can_hold():
    for samples in (16, 100, 512, 4097, 135_360):
        nyquist = math.pi * samples / 2  # rad per unit, for a spacing of 2 / samples
        assert 0.35 * nyquist < 2.0 ** (octaves_for(samples) - 1) < 0.71 * nyquist


@pytest.mark.parametrize(
    ("kind", "counts"),
    [
        (Siren, (264_707, 263_937, 264_449)),
        (Mlp, (198_915, 198_145, 198_657)),
        (Finer, (198_915, 198_145, 198_657)),
        (Gauss, (198_915, 198_145, 198_657)),
        (Pemlp, (209_155, 203_265, 214_017)),
    ],
)
def test_fields_have_the_published_number_of_parameters(kind, counts):
    shapes = [(2, 3), (1, 1), (3, 1)]
    assert tuple(kind(*shape).parameter_count() for shape in shapes) == counts


@pytest.mark.parametrize("kind", [Mlp, Pemlp, Ffn, Finer, Gauss, Wire])
def test_what_is_not_special_starts_at_pytorchs_default(kind):
    field = kind(2, 3, generator=generator())
    for weight, bias in zip(field.weights, field.biases, strict=True):
        bound = 1 / math.sqrt(weight.shape[1])
        for part in (bias,) if kind is Finer else (weight, bias):
            assert part.abs().max() <= bound
            if part.numel() > 100:
                assert part.abs().max() > 0.95 * bound
                assert part.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.15)


def test_finer_starts_with_sirens_weights_and_a_first_bias_of_its_own():
    field = Finer(2, 3, first_bias=1.5, generator=generator())
    assert field.weights[0].abs().max() <= 1 / 2
    assert 1.4 < field.biases[0].abs().max() <= 1.5
    bound = math.sqrt(6 / 256) / 30
    for weight in field.weights[1:]:
        assert 0.95 * bound < weight.abs().max() <= bound


def test_random_frequencies_have_their_spread_and_are_not_trained():
    field = Ffn(2, 3, sigma=7.0, generator=generator())
    frequencies = field.encoding.frequencies
    assert frequencies.std().item() == pytest.approx(7, rel=0.1)
    assert not any(p is frequencies for p in field.parameters())
    assert "encoding.frequencies" in field.state_dict()


def test_the_cost_of_a_prediction_is_that_of_its_products():
    assert Siren(2, 3).multiply_adds() == 2 * 256 + 4 * 256**2 + 256 * 3
    assert Ffn(2, 3).multiply_adds() == 2 * 128 + 3 * 256**2 + 256 * 3
    assert Wire(2, 3).multiply_adds() == 2 * 181 + 4 * (3 * 181**2 + 181 * 3)
    assert HashGrid((64, 64), 3).multiply_adds() == 32 * 64 + 64**2 + 64 * 3 + 16 * 2 * 4


def test_siren_initialisation_is_that_of_the_nint_release():
    field = Siren(2, 3, generator=generator())
    bounds = [1 / 2, *[math.sqrt(6 / 256) / 30] * 5]
    for bound, weight, bias in zip(bounds, field.weights, field.biases, strict=True):
        for part in (weight, bias):  # the bias has its weight's bound
            assert part.abs().max() <= bound
            if part.numel() > 100:
                assert part.abs().max() > 0.95 * bound
                assert abs(part.mean()) < 0.1 * bound
                assert part.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.15)


def test_siren_draws_from_its_generator_alone():
    state = torch.get_rng_state()
    first, second = (Siren(2, 3, generator=generator(5)) for _ in range(2))
    other = Siren(2, 3, generator=generator(6))
    assert torch.equal(torch.get_rng_state(), state)
    for a, b, c in zip(first.parameters(), second.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)
        assert not torch.equal(a, c)


def test_parameters_are_loaded_or_refused():
    source = Siren(2, 3, hidden_features=4, hidden_layers=1, generator=generator())
    target = Siren(2, 3, hidden_features=4, hidden_layers=1)
    saved = {name: p.detach() for name, p in source.named_parameters()}
    load_parameters(target, saved)
    for a, b in zip(source.parameters(), target.parameters(), strict=True):
        assert torch.equal(a, b)
    for wrong in (
        saved | {"weights.0": torch.zeros(9, 9)},
        saved | {"extra": torch.zeros(1)},
        {name: p for name, p in saved.items() if name != "biases.1"},
        saved | {"biases.0": saved["biases.0"].double()},
    ):
        with pytest.raises(ValueError, match="expected"):
            load_parameters(target, wrong)
