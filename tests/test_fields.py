import math

import pytest
import torch

from nint_cli.fields import Siren, load_parameters
from tests import oracles
from tests.conftest import generator


def test_siren_computes_what_its_paper_says():
    field = Siren(
        2, 3, hidden_features=6, hidden_layers=3, omega_0=11.0, generator=generator()
    ).double()
    coords = torch.rand(5, 2, generator=generator(1), dtype=torch.float64) * 2 - 1
    weights, biases = ([p.detach() for p in group] for group in (field.weights, field.biases))
    expected = oracles.siren(weights, biases, 11.0, coords)
    torch.testing.assert_close(field(coords), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("coord_dim", "value_dim", "count"), [(2, 3, 264_707), (1, 1, 263_937), (3, 1, 264_449)]
)
def test_siren_5x256_has_the_published_number_of_parameters(coord_dim, value_dim, count):
    assert Siren(coord_dim, value_dim).parameter_count() == count


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
