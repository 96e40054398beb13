"""J v from a small step: as close to the tangent as a ranking needs, or not taken at all."""

import pytest
import torch

from nint_cli import probe as probes
from nint_cli.config import FIELD_NAMES
from nint_cli.derivatives import products_in
from nint_cli.fields import Siren
from nint_cli.probe import Probe
from nint_cli.samplers import BatchPlan, Mixture, Nint
from nint_cli.small_step import SmallStep, small_step
from nint_cli.sweep import Passes, predict, pull_residual, pushforward
from tests.conftest import generator, tiny_field, tiny_signal
from tests.test_field_contracts import field_of

SIGNAL = tiny_signal((12, 15))


def direction_of(field):
    return [
        torch.randn(p.shape, generator=generator(1), dtype=p.dtype) for p in field.parameters()
    ]


def by_difference(step, signal, residual=None):
    """Put the blocks of 7 points together: J v, and R."""
    starts, products, residuals = zip(
        *step.blocks(signal, residual=residual, block=7), strict=True
    )
    assert list(starts) == list(range(0, len(signal), 7))
    return torch.cat(products), torch.cat(residuals)


@pytest.mark.parametrize("name", [name for name in FIELD_NAMES if name != "finer"])
def test_a_small_step_is_the_tangent_of_every_field(name):
    field, signal = field_of(name, 2, 3), tiny_signal()
    direction, before = direction_of(field), [p.detach().clone() for p in field.parameters()]
    step = small_step(field, signal, direction)
    product, residual = by_difference(step, signal)
    torch.testing.assert_close(
        product, pushforward(field, signal, direction), rtol=1e-5, atol=1e-5
    )
    torch.testing.assert_close(residual, pull_residual(field, signal)[1])
    again, kept = by_difference(step, signal, residual)
    torch.testing.assert_close(again, product, rtol=1e-5, atol=1e-5)
    assert torch.equal(kept, residual)
    assert all(map(torch.equal, before, field.parameters()))
    assert not product.requires_grad


def test_a_field_whose_gradient_is_not_that_of_its_values_keeps_its_tangent():
    """FINER's factor |z| + 1 counts as constant in its gradient, by its authors' design."""
    field = field_of("finer", 2, 3)
    assert small_step(field, tiny_signal(), direction_of(field)) is None


def test_in_float32_a_ranking_hardly_feels_the_difference():
    """A SIREN of usual size, whose float32 keeps 7 digits of which the difference takes 3."""
    signal = tiny_signal((40, 50), dtype=torch.float32)
    field = Siren(2, 3, hidden_features=128, hidden_layers=4, generator=generator())
    gradient, residual = pull_residual(field, signal)
    product, _ = by_difference(small_step(field, signal, gradient), signal, residual)
    exact = pushforward(field, signal, gradient)
    assert (product - exact).norm() < 0.01 * exact.norm()
    highest = [set(p.norm(dim=1).topk(400).indices.tolist()) for p in (product, exact)]
    assert len(highest[0] & highest[1]) >= 396


def test_where_it_would_be_wrong_no_step_is_taken():
    field = Siren(2, 3, hidden_features=64, hidden_layers=3, generator=generator())
    signal = tiny_signal(dtype=torch.float32)
    direction = direction_of(field)
    assert isinstance(small_step(field, signal, direction), SmallStep)
    for factor in (0.0, float("nan"), float("inf")):
        assert small_step(field, signal, [factor * part for part in direction]) is None
    with products_in(torch.bfloat16):
        assert small_step(field, signal, direction) is None


@pytest.mark.parametrize(
    ("moment", "kept", "expected"),
    [
        (False, 1 << 24, Passes(vjp=1, forward=1)),
        (False, len(SIGNAL) * 3, Passes(vjp=1, forward=1)),
        (False, len(SIGNAL) * 3 - 1, Passes(vjp=1, forward=2)),
        (True, 1 << 24, Passes(forward=2)),
    ],
)
def test_a_score_by_difference_costs_forwards_in_place_of_a_jvp(
    monkeypatch, moment, kept, expected
):
    monkeypatch.setattr(probes, "_KEPT", kept)
    field, passes = tiny_field(3), Passes()
    tangent = direction_of(field)
    probe = Probe(field, SIGNAL, passes, lambda: tangent)
    found = list(probe.product_blocks(by_moment=moment, by_difference=True))
    assert passes == expected
    known = tangent if moment else pull_residual(field, SIGNAL)[0]
    exact = pushforward(field, SIGNAL, known)
    product = torch.cat([product for _, product, _ in found])
    assert (product - exact).norm() < 1e-5 * exact.norm()
    values = torch.cat([part for _, _, part in SIGNAL.blocks(1000)])
    torch.testing.assert_close(
        torch.cat([residual for *_, residual in found]), predict(field, SIGNAL) - values
    )


def test_a_step_that_is_not_accurate_leaves_the_exact_score():
    field, passes = field_of("finer", 2, 3), Passes()
    blocks = Probe(field, SIGNAL, passes).product_blocks(by_difference=True)
    found = torch.cat([product for _, product, _ in blocks])
    assert passes == Passes(vjp=1, jvp=1)
    exact = torch.cat([
        product for _, product, _ in Probe(field, SIGNAL, Passes()).product_blocks()
    ])
    torch.testing.assert_close(found, exact)


def test_nint_chooses_the_same_points_by_either_way():
    plan = BatchPlan(0.5, "constant", None, 60)
    chosen = [
        Nint(plan, Mixture(xi=0.1), tangent=tangent).select(
            0, Probe(tiny_field(3), SIGNAL, Passes()), generator()
        )
        for tangent in ("exact", "difference")
    ]
    assert chosen[0].slots == chosen[1].slots
    guided = sum(size for slot, size in chosen[0].slots if slot != "uniform")
    first, second = (set(each.indices[:guided].tolist()) for each in chosen)
    assert guided > 70
    assert first == second
