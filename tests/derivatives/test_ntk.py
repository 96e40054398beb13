import pytest
import torch
from torch import nn

from nint_cli.derivatives import engine as engines
from nint_cli.derivatives import ntk, sweep
from nint_cli.derivatives.engine import Engine
from nint_cli.derivatives.probe import Probe
from nint_cli.derivatives.sweep import Passes
from nint_cli.errors import NintError
from nint_cli.fields.base import Field
from nint_cli.random import Draws
from tests import oracles
from tests.conftest import generator, tiny_field, tiny_signal

BLOCKS = [1, 7, 30, 1000, None]
EXACT = {"rtol": 1e-10, "atol": 1e-10}


class Linear(Field):
    """y = x A^T, whose kernel is known in closed form."""

    def __init__(self, coord_dim, value_dim):
        super().__init__()
        self.coord_dim, self.value_dim, self.width = coord_dim, value_dim, value_dim
        weight = torch.randn(value_dim, coord_dim, generator=generator(), dtype=torch.float64)
        self.weight = nn.Parameter(weight)

    def forward(self, coords):
        return coords @ self.weight.T

    def last_layer(self):
        return [self.weight]


@pytest.mark.parametrize("channels", [1, 3])
def test_dense_ntk_is_the_looped_one(channels):
    field, signal = tiny_field(channels), tiny_signal((3, 4), channels)
    coords, _ = oracles.all_points(signal)
    kernel = ntk.dense_ntk(field, coords)
    torch.testing.assert_close(kernel, oracles.dense_ntk(field, coords), **EXACT)
    torch.testing.assert_close(kernel, kernel.permute(2, 3, 0, 1), **EXACT)


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("channels", [1, 3])
def test_product_is_the_dense_kernel_times_the_vector(channels, block):
    field, signal = tiny_field(channels), tiny_signal((5, 6), channels)
    coords, _ = oracles.all_points(signal)
    vector = torch.randn(30, channels, generator=generator(), dtype=torch.float64)
    expected = torch.einsum("iakb,kb->ia", oracles.dense_ntk(field, coords), vector)
    torch.testing.assert_close(
        ntk.ntk_product(field, signal, vector, engine=Engine(block=block)), expected, **EXACT
    )


@pytest.mark.parametrize("block", BLOCKS)
def test_scoring_pass_gives_the_dense_scores_and_the_residual(block):
    field, signal = tiny_field(), tiny_signal()
    product, residual = ntk.ntk_residual_product(field, signal, engine=Engine(block=block))
    scores = torch.linalg.vector_norm(product, dim=1)
    torch.testing.assert_close(scores, oracles.ntk_scores(field, signal), **EXACT)
    torch.testing.assert_close(residual, oracles.residual(field, signal), **EXACT)
    top = set(scores.topk(9).indices.tolist())
    assert top == set(oracles.ntk_scores(field, signal).topk(9).indices.tolist())


def test_the_score_is_not_the_squared_prediction():
    """The mistake of the released code: the output of jvp where its tangent is meant."""
    field, signal = tiny_field(), tiny_signal()
    product, _ = ntk.ntk_residual_product(field, signal)
    prediction = sweep.predict(field, signal)
    assert not torch.allclose(product, prediction, rtol=0.1, atol=0.1)


@pytest.mark.parametrize("channels", [1, 3])
def test_diagonal_is_that_of_the_dense_kernel(channels):
    field, signal = tiny_field(channels), tiny_signal((3, 4), channels)
    coords, _ = oracles.all_points(signal)
    expected = torch.einsum("icic->ic", oracles.dense_ntk(field, coords))
    torch.testing.assert_close(ntk.ntk_diagonal(field, coords), expected, **EXACT)
    one = Engine(block=1)
    torch.testing.assert_close(ntk.ntk_diagonal(field, coords, engine=one), expected, **EXACT)


def test_a_linear_field_has_the_closed_form():
    field, signal = Linear(2, 3), tiny_signal((4, 4), 3)
    coords, _ = oracles.all_points(signal)
    expected = torch.einsum("ij,cd->icjd", coords @ coords.T, torch.eye(3, dtype=torch.float64))
    torch.testing.assert_close(ntk.dense_ntk(field, coords), expected, **EXACT)
    vector = torch.randn(16, 3, generator=generator(), dtype=torch.float64)
    product = ntk.ntk_product(field, signal, vector)
    torch.testing.assert_close(product, coords @ coords.T @ vector, **EXACT)


def test_product_predicts_the_change_of_a_gradient_step():
    """K R is the first-order change of all predictions under one step on the squared error."""
    field, signal = tiny_field(), tiny_signal()
    product, residual = ntk.ntk_residual_product(field, signal)
    before = sweep.predict(field, signal)
    coords, _ = oracles.all_points(signal)
    rate = 1e-7
    loss = (0.5 * (field(coords) - before + residual) ** 2).sum()
    with torch.no_grad():
        for parameter, part in zip(
            field.parameters(), torch.autograd.grad(loss, list(field.parameters())), strict=True
        ):
            parameter -= rate * part
    change = (sweep.predict(field, signal) - before) / -rate
    torch.testing.assert_close(change, product, rtol=1e-4, atol=1e-4)


def test_pullback_and_pushforward_are_adjoint():
    field, signal = tiny_field(), tiny_signal()
    left = torch.randn(30, 3, generator=generator(3), dtype=torch.float64)
    right = [
        torch.randn(p.shape, generator=generator(4), dtype=torch.float64)
        for p in field.parameters()
    ]
    pulled = sweep.pullback(field, signal.blocks(8), lambda s, _, v: left[s : s + len(v)])
    pushed = sweep.pushforward(field, signal, right)
    in_parameters = sum((a * b).sum() for a, b in zip(pulled, right, strict=True))
    torch.testing.assert_close(in_parameters, (left * pushed).sum(), **EXACT)


def test_sweeps_leave_no_graph_no_gradient_and_the_rng_alone():
    field, signal = tiny_field(), tiny_signal()
    state = torch.get_rng_state()
    product, residual = ntk.ntk_residual_product(field, signal)
    prediction = sweep.predict(field, signal)
    assert not any(t.requires_grad for t in (product, residual, prediction))
    assert all(p.grad is None for p in field.parameters())
    assert all(p.requires_grad for p in field.parameters())
    assert torch.equal(torch.get_rng_state(), state)


def test_a_dense_kernel_that_is_too_large_is_refused():
    with pytest.raises(NintError, match="use ntk_product, or fewer points"):
        ntk.dense_ntk(tiny_field(), torch.zeros(1_000_000, 2, dtype=torch.float64))


def test_a_dense_kernel_fits_up_to_the_bound_and_no_further(monkeypatch):
    field = tiny_field()
    parameters = field.parameter_count()
    few, many = 2, parameters  # points of 3 channels: the Jacobian is larger, or the kernel
    for count, numbers in ((few, 3 * few * parameters), (many, (3 * many) ** 2)):
        monkeypatch.setattr(ntk, "_DENSE_NUMBERS", numbers)
        assert ntk.dense_fits(field, count)
        monkeypatch.setattr(ntk, "_DENSE_NUMBERS", numbers - 1)
        assert not ntk.dense_fits(field, count)


def test_blocks_shrink_with_the_width_and_are_never_tiny(monkeypatch):
    """Sums are split by blocks, so a seed keeps its bits only as long as their sizes stay."""
    whole = Engine()
    assert whole.block_size(tiny_field(width=7)) == 2**18 // 7
    assert whole.block_size(tiny_field(width=7), forward_only=True) == 2**19 // 7
    monkeypatch.setattr(engines, "_BLOCK_NUMBERS", {"cpu": 65 * 7, "cuda": 1})
    assert whole.block_size(tiny_field(width=7)) == 65
    monkeypatch.setattr(engines, "_BLOCK_NUMBERS", {"cpu": 63 * 7, "cuda": 1})
    assert whole.block_size(tiny_field(width=7)) == 64
    assert Engine(block=1).block_size(tiny_field(width=7)) == 1
    with pytest.raises(ValueError, match="at least one coordinate"):
        Engine(block=0)


def test_passes_add_up_in_forward_units():
    assert sweep.Passes(forward=1, backward=0.5, vjp=1, jvp=2).total == 1 + 1 + 3 + 6


@pytest.mark.parametrize("channels", [1, 3])
def test_what_a_probe_gives_is_what_the_dense_kernel_says(channels):
    field, signal = tiny_field(channels), tiny_signal((5, 6), channels)
    coords, _ = oracles.all_points(signal)
    kernel, residual = oracles.dense_ntk(field, coords), oracles.residual(field, signal)
    probe = Probe(field, signal, passes := Passes())
    diagonal = torch.einsum("icic->ic", kernel)
    [(_, scores, found)] = probe.self_leverage_blocks()
    torch.testing.assert_close(scores, diagonal * residual, **EXACT)
    torch.testing.assert_close(found, residual, **EXACT)
    assert passes == Passes(forward=2, backward=channels / 2)
    last = oracles.jacobian(field, coords, field.last_layer())
    product = torch.einsum("icp,jdp,jd->ic", last, last, residual)
    [(_, scores, found)] = probe.last_layer_blocks()
    torch.testing.assert_close(scores, product, **EXACT)
    torch.testing.assert_close(found, residual, **EXACT)
    assert passes.forward == 4  # the residual came with the product
    [(_, scores, found)] = probe.product_blocks()
    full = torch.einsum("icjd,jd->ic", kernel, residual)
    torch.testing.assert_close(scores, full, **EXACT)
    torch.testing.assert_close(found, residual, **EXACT)
    assert (passes.vjp, passes.jvp, passes.forward) == (1, 1, 4)
    [(_, scores, found)] = probe.residual_score_blocks()
    torch.testing.assert_close(scores, residual, **EXACT)
    torch.testing.assert_close(found, residual, **EXACT)
    prediction, found = probe.prediction_and_residual()
    torch.testing.assert_close(prediction, sweep.predict(field, signal), **EXACT)
    torch.testing.assert_close(found, residual, **EXACT)
    assert passes.forward == 6


def test_a_sketch_is_an_unbiased_estimate_of_the_product():
    field, signal = tiny_field(1), tiny_signal((3, 4), 1)
    probe = Probe(field, signal, passes := Passes())
    rounds, stream = 400, Draws(5).stream("sketches")
    draws = torch.stack([next(probe.sketched_blocks(stream, 4))[1] for _ in range(rounds)])
    assert passes == Passes(forward=rounds, jvp=4 * rounds)
    exact, _ = ntk.ntk_residual_product(field, signal)
    standard_error = draws.std(0) / rounds**0.5
    assert ((draws.mean(0) - exact).abs() < 5 * standard_error).all()
    assert (standard_error < 0.1 * exact.abs().max()).all()  # or the test could not fail
