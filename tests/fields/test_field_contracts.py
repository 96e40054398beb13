"""What holds for every field, whatever it computes."""

import pytest
import torch

from nint_cli.config.layers import Layer, Setting, resolve
from nint_cli.config.presets import preset_layer
from nint_cli.config.schema import FIELD_NAMES, RunConfig
from nint_cli.derivatives.analytic import ByHand
from nint_cli.derivatives.autograd import ByAutograd
from nint_cli.derivatives.engine import Engine
from nint_cli.derivatives.ntk import (
    last_layer_residual_product,
    ntk_diagonal,
    ntk_residual_product,
)
from nint_cli.derivatives.point_norms import PointNorms
from nint_cli.derivatives.sweep import predict, pullback, pushforward
from nint_cli.modalities.audio.record import AudioRecord
from nint_cli.modalities.image.metrics import mean_squared_error, psnr_db
from nint_cli.modalities.image.record import ImageRecord
from nint_cli.modalities.image.signal import Picture
from nint_cli.runs.build import build_field, build_trainer
from nint_cli.runs.checkpoint import Checkpoint, encode, read, rebuild_field
from nint_cli.schedules.clock import Clock
from tests import oracles
from tests.conftest import generator, smooth_pixels, tiny_points, tiny_signal, tiny_sound


class Anything:
    """An observer that lets a fit go on."""

    def after_step(self, trainer, step):
        return None


SMALL = {name: {"hidden_features": 8, "hidden_layers": 2} for name in FIELD_NAMES} | {
    # Gentle slopes, or finite differences would not be those of the derivative.
    "gauss": {"hidden_features": 8, "hidden_layers": 2, "scale": 2},
    "wire": {"hidden_features": 5, "hidden_layers": 2, "omega_0": 3, "scale": 1},
    # Some levels dense, some hashed with collisions.
    "hashgrid": {"levels": 4, "coarsest": 3, "finest": 9, "log2_entries": 4, "hidden_features": 8},
}


def field_of(name, dims, channels):
    config = RunConfig.model_validate({"field": name, name: SMALL[name]})
    field = build_field(config, (5, 6, 7)[:dims], channels, generator()).double()
    if name == "hashgrid":  # as if trained: at the start its table is all but zero
        with torch.no_grad():
            field.encoding.table.normal_(generator=generator(3))
    return field


class Frozen:
    """FINER's activation with the factors of the points it first saw."""

    takes_rounded = False

    def __init__(self, factors):
        self.factors, self.calls = factors, 0

    def value_and_slope(self, z):
        factor = self.factors[self.calls % len(self.factors)]
        self.calls += 1
        return (factor * z).sin(), factor * (factor * z).cos()

    def value(self, z):
        return self.value_and_slope(z)[0]


def freeze_factors(field):
    """Replace |z| + 1 in every layer by what it is for the signal's points right now."""
    signal = tiny_signal((5,) + (2,) * (field.coord_dim - 1), field.value_dim)
    h, _ = signal.slice(0, len(signal))
    factors = []
    with torch.no_grad():
        for weight, bias in list(zip(field.weights, field.biases, strict=True))[:-1]:
            z = h @ weight.T + bias
            factors.append(30.0 * (z.abs() + 1))
            h = (factors[-1] * z).sin()
        torch.testing.assert_close(
            h @ field.weights[-1].T + field.biases[-1], field(signal.slice(0, len(signal))[0])
        )
    field.activation = Frozen(factors)


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", FIELD_NAMES)
def test_every_field_has_shapes_and_consistent_derivatives(name, dims, channels):
    field = field_of(name, dims, channels)
    if name == "finer":  # whose derivative is that of another function, by design
        freeze_factors(field)
    signal = tiny_signal((5,) + (2,) * (dims - 1), channels)
    assert (field.coord_dim, field.value_dim) == (dims, channels)
    assert predict(field, signal).shape == (len(signal), channels)
    direction = [
        torch.randn(p.shape, generator=generator(1), dtype=p.dtype) for p in field.parameters()
    ]
    change = pushforward(field, signal, direction)
    before = [p.detach().clone() for p in field.parameters()]
    outputs = []
    for step in (1e-6, -1e-6):
        with torch.no_grad():
            for parameter, value, part in zip(field.parameters(), before, direction, strict=True):
                parameter.copy_(value + step * part)
        outputs.append(predict(field, signal))
    difference = (outputs[0] - outputs[1]) / 2e-6
    torch.testing.assert_close(change, difference, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", FIELD_NAMES)
def test_every_field_is_adjoint_and_works_row_by_row(name):
    field, signal = field_of(name, 2, 3), tiny_signal()
    direction = [
        torch.randn(p.shape, generator=generator(1), dtype=p.dtype) for p in field.parameters()
    ]
    left = torch.randn(30, 3, generator=generator(2), dtype=torch.float64)
    pulled = pullback(field, signal.blocks(7), lambda s, _, v: left[s : s + len(v)])
    there = sum((a * b).sum() for a, b in zip(pulled, direction, strict=True))
    torch.testing.assert_close(there, (pushforward(field, signal, direction) * left).sum())
    coords, _ = signal.slice(0, 30)
    alone = torch.cat([field(row[None]) for row in coords])
    torch.testing.assert_close(alone, field(coords))


def gradient_norms(field, signal, residual, block=7, engine=None):
    """What a training step finds beside its gradient."""
    norms = PointNorms.zeros(len(signal), residual)
    pulled = pullback(
        field,
        signal.blocks(block),
        lambda start, _, values: residual[start : start + len(values)],
        engine=engine or Engine(),
        norms=norms,
    )
    return norms.total(), pulled


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", FIELD_NAMES)
def test_the_norms_of_the_points_own_gradients_are_those_of_a_loop(name, dims, channels):
    """Goodfellow's sums, with an encoding's share, against one backward pass per point."""
    field = field_of(name, dims, channels)
    signal = tiny_signal((7, 2, 2)[:dims], channels)
    coords, _ = signal.slice(0, len(signal))
    residual = torch.randn(len(signal), channels, generator=generator(4), dtype=torch.float64)
    norms, pulled = gradient_norms(field, signal, residual)
    for found, plain in zip(
        pulled,
        pullback(field, signal.blocks(7), lambda s, _, v: residual[s : s + len(v)]),
        strict=True,
    ):
        assert torch.equal(found, plain), "wanting the norms changes the gradient"
    for index in range(len(signal)):
        output = field(coords[index : index + 1])
        parts = torch.autograd.grad(output, list(field.parameters()), residual[index][None])
        expected = sum(part.square().sum() for part in parts)
        torch.testing.assert_close(norms[index], expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", FIELD_NAMES)
def test_leveraged_errors_are_errors_times_the_kernels_diagonal(name, channels):
    """Exactly for one channel, by the direction of the residual for more."""
    field, signal = field_of(name, 2, channels), tiny_signal(channels=channels)
    coords, _ = signal.slice(0, len(signal))
    residual = torch.randn(len(signal), channels, generator=generator(4), dtype=torch.float64)
    norms = PointNorms.zeros(len(signal), residual)
    pullback(field, signal.blocks(7), lambda s, _, v: residual[s : s + len(v)], norms=norms)
    found = norms.leveraged(residual, field.last_layer()[0].detach())
    errors = residual.square().sum(1)
    if channels == 1 and name != "finer":  # whose gradient is that of another function
        exact = ntk_diagonal(field, coords)[:, 0]
        torch.testing.assert_close(found, errors * exact, rtol=1e-9, atol=1e-12)
        return
    by_loop = oracles.leveraged_errors(field, field(coords), residual)
    torch.testing.assert_close(found, by_loop, rtol=1e-9, atol=1e-12)
    if name != "finer":
        exact = ntk_diagonal(field, coords).mean(1)
        ranks = (found / errors).argsort().argsort().double(), exact.argsort().argsort().double()
        assert torch.corrcoef(torch.stack(ranks))[0, 1] > 0.4  # at a width of 8


@pytest.mark.parametrize("name", FIELD_NAMES)
def test_norms_by_bfloat16_products_differ_by_rounding_alone(name):
    field, signal = field_of(name, 2, 3).float(), tiny_signal(dtype=torch.float32)
    residual = torch.randn(len(signal), 3, generator=generator(4))
    exact, _ = gradient_norms(field, signal, residual)
    rounded, _ = gradient_norms(field, signal, residual, engine=Engine(torch.bfloat16))
    # At a point or two rounding takes a unit across the kink of a ReLU.
    assert (rounded / exact - 1).abs().quantile(0.9) < 0.02
    assert rounded.dtype == torch.float32


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", FIELD_NAMES)
def test_derivatives_by_hand_are_those_by_autograd(name, dtype):
    field, signal = field_of(name, 2, 3).to(dtype), tiny_signal(dtype=dtype)
    chain = field.chain()
    if chain is None:
        pytest.skip("no chain, so only autograd")
    parameters = list(field.parameters())
    owned = [id(part) for layer in chain.layers for part in (layer.weight, layer.bias)]
    owned += [id(part) for part in (chain.encoding.trained if chain.encoding else ())]
    assert sorted(owned) == sorted(id(parameter) for parameter in parameters)
    coords, values = signal.slice(0, 30)
    direction = [
        torch.randn(p.shape, generator=generator(1), dtype=dtype) for p in field.parameters()
    ]
    results = []
    for derivatives in (ByHand(chain, parameters), ByAutograd(field)):
        by_coords = []
        for part in (slice(0, 11), slice(11, 30)):
            block = derivatives.linearise(coords[part])
            block.pull(block.prediction - values[part])
            by_coords.append(block.coord_gradient())
        push = derivatives.pusher(direction)
        leverage = derivatives.self_leverage(coords)
        results.append([
            derivatives.predict(coords),
            *push(coords),
            leverage,
            *by_coords,
            *derivatives.pulled(),
        ])
    for by_hand, by_autograd in zip(*results, strict=True):
        assert not by_hand.requires_grad
        tolerance = {"rtol": 1e-12, "atol": 1e-12} if dtype == torch.float64 else {}
        torch.testing.assert_close(by_hand, by_autograd, **tolerance)


@pytest.mark.parametrize("name", FIELD_NAMES)
def test_the_last_layer_alone_has_the_last_layers_kernel(name):
    field, signal = field_of(name, 2, 3), tiny_signal()
    coords, _ = signal.slice(0, 30)
    product, residual = last_layer_residual_product(field, signal, engine=Engine(block=7))
    last = field.last_layer()
    jacobian = oracles.jacobian(field, coords, last)
    expected = torch.einsum("icp,jdp,jd->ic", jacobian, jacobian, residual)
    torch.testing.assert_close(residual, oracles.residual(field, signal))
    torch.testing.assert_close(product, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("name", FIELD_NAMES)
def test_the_score_works_with_every_field(name, dims):
    field = field_of(name, dims, 2)
    signal = tiny_signal((5, 2, 3)[:dims], 2)
    coords, _ = signal.slice(0, len(signal))
    product, residual = ntk_residual_product(field, signal, engine=Engine(block=4))
    kernel = oracles.dense_ntk(field, coords)
    expected = torch.einsum("iakb,kb->ia", kernel, residual)
    torch.testing.assert_close(product, expected, rtol=1e-10, atol=1e-10)
    diagonal = torch.einsum("iaia->ia", kernel)
    torch.testing.assert_close(ntk_diagonal(field, coords), diagonal, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("half_range", [1.0, 0.5])
@pytest.mark.parametrize("name", FIELD_NAMES)
def test_every_field_is_trained_on_points_anywhere(name, half_range):
    """With its derivatives by the coords' own units, and the score that goes with them."""
    signal = tiny_points(64, torch.float32, half_range)
    settings = {"field": name, name: SMALL[name], "steps": 40, "sampler": "nint"}
    settings |= {"batch": {"fraction": 0.5}, "optimiser": {"lr": 3e-3}}
    trainer = build_trainer(RunConfig.model_validate(settings), signal, Clock())
    assert (trainer.field.coord_dim, trainer.field.value_dim) == (3, 1)
    _, values = signal.slice(0, 64)
    before = (predict(trainer.field, signal) - values).square().mean()
    assert trainer.fit(Anything()) == "steps"
    assert (predict(trainer.field, signal) - values).square().mean() < 0.9 * before
    if name == "hashgrid":  # whose grid lies in the signal's box
        with torch.no_grad():
            trainer.field.encoding.table.normal_(generator=generator(3))
        ends = torch.tensor([[half_range] * 3, [3 * half_range] * 3])
        torch.testing.assert_close(*trainer.field(ends))
        inner = torch.tensor([[half_range] * 3, [0.9 * half_range] * 3])
        assert not torch.equal(*trainer.field(inner))


@pytest.mark.parametrize("count", [1, 64, 216, 3000])
def test_a_hash_grid_fits_few_points(count):
    """Its finest level follows their number, and is then coarser than its coarsest should be."""
    signal = tiny_points(count, torch.float32)
    config = RunConfig.model_validate({"field": "hashgrid", "steps": 2})
    trainer = build_trainer(config, signal, Clock())
    assert trainer.fit(Anything()) == "steps"
    assert predict(trainer.field, signal).isfinite().all()


@pytest.mark.parametrize("name", FIELD_NAMES)
def test_a_generator_makes_the_field_and_the_global_rng_does_not(name):
    config = RunConfig.model_validate({"field": name, name: SMALL[name]})
    state = torch.get_rng_state()
    first, second, other = (build_field(config, (5, 6), 3, generator(i)) for i in (5, 5, 6))
    assert torch.equal(torch.get_rng_state(), state)
    for key, tensor in first.state_dict().items():
        assert torch.equal(tensor, second.state_dict()[key]), key
        assert not torch.equal(tensor, other.state_dict()[key]), key
        assert tensor.dtype == torch.float32
        assert tensor.isfinite().all()


@pytest.mark.parametrize("name", FIELD_NAMES)
def test_a_checkpoint_brings_every_field_back(name, tmp_path):
    config = RunConfig.model_validate({"field": name, name: SMALL[name], "steps": 2})
    signal = Picture(smooth_pixels(7, 9), "").signal()
    trainer = build_trainer(config, signal, Clock())
    trainer.fit(Anything())
    record = ImageRecord(
        kind="image", source="x", sha256="x", shape=(7, 9), channels=3, dtype="uint8"
    )
    file = tmp_path / "saved.safetensors"
    file.write_bytes(encode(Checkpoint(config, record, trainer.state_dict())))
    saved = read(file)
    assert torch.equal(predict(rebuild_field(saved), signal), predict(trainer.field, signal))
    again = build_trainer(config, signal, Clock())
    again.load_state_dict(saved.state)
    for key, tensor in trainer.state_dict().tensors.items():
        assert torch.equal(tensor, again.state_dict().tensors[key]), key


@pytest.mark.parametrize("name", FIELD_NAMES)
def test_every_field_of_a_sound_has_consistent_derivatives(name):
    """Coords that run to 5 and values with an offset, against slow versions."""
    config = RunConfig.model_validate({"field": name, name: SMALL[name]})
    field = build_field(config, (30,), 2, generator(), half_range=5.0).double()
    if name == "hashgrid":
        with torch.no_grad():
            field.encoding.table.normal_(generator=generator(3))
    signal = tiny_sound()
    coords, values = signal.slice(0, 30)
    assert (coords.min(), coords.max()) == (-5, 5)
    product, residual = ntk_residual_product(field, signal, engine=Engine(block=7))
    torch.testing.assert_close(residual, field(coords) - values)
    kernel = oracles.dense_ntk(field, coords)
    expected = torch.einsum("iakb,kb->ia", kernel, residual)
    torch.testing.assert_close(product, expected, rtol=1e-9, atol=1e-9)
    chain = field.chain()
    if chain is None:
        return
    slopes = []
    for derivatives in (ByHand(chain, list(field.parameters())), ByAutograd(field)):
        block = derivatives.linearise(coords)
        block.pull(block.prediction - values)
        slopes.append(block.coord_gradient())
    torch.testing.assert_close(*slopes, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("name", FIELD_NAMES)
def test_the_slope_along_a_sound_is_that_of_finite_differences(name):
    """The gradient by coords that Soft Mining asks for, between the kinks of the field."""
    config = RunConfig.model_validate({"field": name, name: SMALL[name]})
    field = build_field(config, (30,), 2, generator(), half_range=5.0).double()
    if name == "hashgrid":
        with torch.no_grad():
            field.encoding.table.normal_(generator=generator(3))
    if name == "finer":
        pytest.skip("whose derivative is that of another function, by design")
    x = torch.tensor([[-4.613], [-0.377], [2.291]], dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(field(x).sum(), x)
    with torch.no_grad():
        difference = (field(x + 1e-6) - field(x - 1e-6)).sum(1, keepdim=True) / 2e-6
    torch.testing.assert_close(slope, difference, rtol=1e-5, atol=1e-6)


def test_a_hash_grid_is_the_same_function_of_the_place_whatever_the_range():
    config = RunConfig.model_validate({"field": "hashgrid", "hashgrid": SMALL["hashgrid"]})
    inside = torch.rand(50, 1, generator=generator(5), dtype=torch.float64) * 2.2 - 1.1
    values = []
    for half_range in (1.0, 8.0, 100.0):
        field = build_field(config, (30,), 2, generator(), half_range=half_range).double()
        with torch.no_grad():
            field.encoding.table.normal_(generator=generator(3))
        values.append(field(inside * half_range))
    assert values[0].std() > 0.01
    assert torch.equal(values[0], values[1])
    torch.testing.assert_close(values[0], values[2], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", FIELD_NAMES)
def test_a_checkpoint_of_a_sound_brings_every_field_back(name, tmp_path):
    config = RunConfig.model_validate({"field": name, name: SMALL[name], "steps": 3})
    signal = tiny_sound(dtype=torch.float32)
    trainer = build_trainer(config, signal, Clock())
    trainer.fit(Anything())
    record = AudioRecord(
        source="x",
        sha256="x",
        channels=2,
        half_range=5.0,
        samples=30,
        sample_rate_hz=16_000,
        subtype="PCM_16",
        scale=2.0,
        offset=0.5,
    )
    file = tmp_path / "saved.safetensors"
    file.write_bytes(encode(Checkpoint(config, record, trainer.state_dict())))
    saved = read(file)
    assert saved.signal == record
    found = predict(rebuild_field(saved), signal)
    assert torch.equal(found, predict(trainer.field, signal))
    narrow = record.model_copy(update={"half_range": 1.0})
    file.write_bytes(encode(Checkpoint(config, narrow, trainer.state_dict())))
    same = torch.equal(predict(rebuild_field(read(file)), signal), found)
    assert same == (name != "hashgrid")  # the only one that knows how far its coords run


@pytest.mark.parametrize("name", FIELD_NAMES)
def test_every_field_runs_under_autocast_and_compiled(name):
    field = field_of(name, 2, 3).float()
    coords, _ = tiny_signal(dtype=torch.float32).slice(0, 30)
    exact = field(coords)
    with torch.autocast("cpu", torch.bfloat16):
        rough = field(coords).float()
    assert (rough - exact).abs().max() < 0.1 * exact.abs().max()
    compiled = torch.compile(field, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(coords), exact)
    torch._dynamo.reset()


# Steps in which a field of that width brings the picture to 30 dB by its tuned recipe, with full
# batches; GAUSS and WIRE take a width, and a rate for it, that the others can do without.
TO_30_DB = {
    "mlp": (300, 48, None),
    "pemlp": (250, 48, None),
    "ffn": (200, 48, None),
    "siren": (100, 48, 1.5e-3),
    "finer": (150, 48, 1e-3),
    "gauss": (300, 128, 1e-3),
    "wire": (150, 96, 2e-3),
    "hashgrid": (100, 48, None),
}


@pytest.mark.parametrize("name", FIELD_NAMES)
def test_every_field_learns_a_small_picture(name):
    signal = Picture(smooth_pixels(32, 32), "").signal()
    steps, width, rate = TO_30_DB[name]
    settings = {"field": name, "sampler": "full", "steps": steps, f"{name}.hidden_features": width}
    if rate is not None:
        settings["optimiser.lr"] = rate
    layer = Layer({key: Setting(value, "") for key, value in settings.items()})
    trainer = build_trainer(resolve([preset_layer("default"), layer]).config, signal, Clock())
    assert trainer.fit(Anything()) == "steps"
    mse = mean_squared_error(predict(trainer.field, signal), signal.blocks(1024))
    assert psnr_db(mse) > 30
