"""What holds for every sampler and every field, whatever it does."""

import pytest
import torch

from nint_cli import schedules
from nint_cli.build import build_field, build_sampler, build_trainer
from nint_cli.checkpoint import Checkpoint, SignalRecord, encode, read, rebuild_field
from nint_cli.clock import Clock
from nint_cli.config import FIELD_NAMES, SAMPLER_NAMES, Layer, RunConfig, preset_layer, resolve
from nint_cli.config.layers import Setting
from nint_cli.derivatives import ByAutograd, ByHand
from nint_cli.metrics.image import mean_squared_error, psnr_db
from nint_cli.ntk import last_layer_residual_product, ntk_diagonal, ntk_residual_product
from nint_cli.probe import Probe
from nint_cli.report import SLOT_COLOURS
from nint_cli.signals import Picture
from nint_cli.sweep import Passes, predict, pullback, pushforward
from tests import oracles
from tests.conftest import generator, smooth_pixels, tiny_field, tiny_signal

STEPS = 24
# Settings under which a sampler remembers more, or asks for more, than by default.
VARIANTS = {
    "int-dense2": ("int", {"int": {"interval": "dense2", "every": 3}}),
    "int-incremental": ("int", {"int": {"interval": "incremental"}}),
    "evos-linear": ("evos", {"evos": {"mutation": "linear", "alpha_end": 0.1, "supervised": 1.0}}),
    "expansive-expanded": ("expansive", {"expansive": {"loss": "expanded"}}),
    "soft_mining-released": ("soft_mining", {"soft_mining": {"released": True}}),
    "nint-dense2": ("nint", {"nint": {"interval": "dense2", "every": 3}}),
    "nint-decremental": ("nint", {"nint": {"interval": "decremental", "start": 0.2}}),
    "nint-self_leverage": ("nint", {"nint": {"score": "self_leverage"}}),
    "nint-residual": ("nint", {"nint": {"score": "residual", "score_norm": "l1"}}),
    "nint-last_layer": ("nint", {"nint": {"score": "last_layer"}}),
    "nint-sketch": ("nint", {"nint": {"score": "sketch", "sketches": 2}}),
}
EVERY = [*SAMPLER_NAMES, *VARIANTS]


def sampler_of(name, signal, **batch):
    kind, settings = VARIANTS.get(name, (name, {}))
    config = {
        "sampler": kind,
        "steps": STEPS,
        "batch": batch or {"fraction": 0.3},
        "evos": {"first_interval": 9, "last_interval": 4},
        "nint": {"alpha": 4, "residual_every": 2 if kind == "nint" else 1},
    }
    for section, values in settings.items():
        config[section] = config.get(section, {}) | values
    return build_sampler(RunConfig.model_validate(config), signal)


def choose(sampler, signal, rng, first=0, last=STEPS):
    """Select for some steps from a field that does not change, and tell what was seen."""
    field = tiny_field(signal.value_dim, dims=signal.coord_dim)
    chosen = []
    for step in range(first, last):
        selection = sampler.select(step, Probe(field, signal, Passes()), rng)
        chosen.append(selection.indices.clone())
        if sampler.observes:
            sampler.observe(step, oracles.observation(field, signal, selection))
        # A checkpoint holds both, and would hold a change of one as a change of the other.
        for name, tensor in sampler.state_dict().items():
            assert tensor.data_ptr() != selection.indices.data_ptr() or not len(tensor), name
    return chosen


def takes_all(name, step):
    """Whether a method trains on all points at a step, whatever the batch."""
    return name == "full" or (
        name.startswith("evos") and schedules.evaluates_fitness(step, STEPS, first=9, last=4)
    )


@pytest.mark.parametrize("shape", [(1,), (37,), (5, 6), (1, 1), (1, 9), (3, 4, 5)])
@pytest.mark.parametrize("name", EVERY)
def test_right_count_in_range_and_distinct(name, shape):
    signal = tiny_signal(shape)
    sampler, count = sampler_of(name, signal), len(signal)
    for step, indices in enumerate(choose(sampler, signal, generator())):
        expected = count if takes_all(name, step) else max(1, int(0.3 * count))
        assert indices.dtype == torch.int64
        assert len(indices) == expected, step
        assert not sampler.distinct or len(indices.unique()) == expected, step
        assert 0 <= indices.min()
        assert indices.max() < count


def test_only_soft_mining_repeats_points():
    signal = tiny_signal()
    assert [name for name in EVERY if not sampler_of(name, signal).distinct] == [
        "soft_mining",
        "soft_mining-released",
    ]


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize(
    "batch", [{"fraction": 1.0}, {"size": 30}, {"size": 10_000}, {"fraction": 0.2}]
)
def test_any_batch_works_and_a_full_one_is_everything(name, batch):
    signal = tiny_signal((5, 6))
    sampler = sampler_of(name, signal, **batch)
    for indices in choose(sampler, signal, generator()):
        if batch != {"fraction": 0.2}:
            assert len(indices) == 30
            assert not sampler.distinct or sorted(indices.tolist()) == list(range(30))


@pytest.mark.parametrize("schedule", ["constant", "linear", "step", "cosine"])
@pytest.mark.parametrize("name", SAMPLER_NAMES)
def test_growing_batches_are_filled(name, schedule):
    signal = tiny_signal((9, 9))
    if name == "soft_mining" and schedule != "constant":
        with pytest.raises(ValueError, match=f"batch.schedule {schedule} a growing one"):
            sampler_of(name, signal, fraction=0.2, schedule=schedule)
        return
    sampler = sampler_of(name, signal, fraction=0.2, schedule=schedule)
    counts = [
        len(indices)
        for step, indices in enumerate(choose(sampler, signal, generator()))
        if name == "full" or not takes_all(name, step)
    ]
    assert counts == sorted(counts)
    if schedule != "constant" and name != "full":
        assert counts[-1] > 2 * counts[0]


@pytest.mark.parametrize("name", EVERY)
def test_a_generator_decides_and_the_global_rng_does_not(name):
    signal = tiny_signal((9, 9))
    state = torch.get_rng_state()
    first = choose(sampler_of(name, signal), signal, generator(3))
    torch.rand(5)
    second = choose(sampler_of(name, signal), signal, generator(3))
    torch.set_rng_state(state)
    third = choose(sampler_of(name, signal), signal, generator(4))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    if VARIANTS.get(name, (name,))[0] not in {"full", "int"}:
        assert any(not torch.equal(a, b) for a, b in zip(first, third, strict=True))


@pytest.mark.parametrize("stop", range(1, STEPS, 1))
@pytest.mark.parametrize("name", EVERY)
def test_restored_state_goes_on_alike(name, stop):
    signal, rng = tiny_signal((6, 7)), generator(3)
    before = sampler_of(name, signal)
    choose(before, signal, rng, 0, stop)
    after = sampler_of(name, signal)
    after.load_state_dict({key: value.clone() for key, value in before.state_dict().items()})
    position = rng.get_state()
    through = choose(before, signal, rng, stop, min(STEPS, stop + 8))
    rng.set_state(position)
    for a, b in zip(through, choose(after, signal, rng, stop, min(STEPS, stop + 8)), strict=True):
        assert torch.equal(a, b)
    for key, value in before.state_dict().items():
        assert torch.equal(after.state_dict()[key], value)


@pytest.mark.parametrize("name", EVERY)
def test_a_sampler_says_which_of_its_state_are_points(name):
    """So that a checkpoint in which one is no point is refused; `sizes` counts slots."""
    signal = tiny_signal((9, 9))
    sampler = sampler_of(name, signal)
    choose(sampler, signal, generator(), 0, 7)
    integers = {
        key for key, value in sampler.state_dict().items() if not value.is_floating_point()
    }
    assert integers - {"sizes"} <= sampler.index_entries


@pytest.mark.parametrize("name", EVERY)
def test_foreign_state_is_refused(name):
    sampler = sampler_of(name, tiny_signal())
    with pytest.raises(ValueError, match="state"):
        sampler.load_state_dict({"something": torch.zeros(3)})


@pytest.mark.parametrize("name", EVERY)
def test_selecting_leaves_the_field_alone(name):
    field, signal = tiny_field(), tiny_signal()
    field.train()
    before = [parameter.detach().clone() for parameter in field.parameters()]
    sampler = sampler_of(name, signal)
    selection = sampler.select(0, Probe(field, signal, Passes()), generator())
    seen = oracles.observation(field, signal, selection)
    copies = seen.prediction.clone(), seen.values.clone(), seen.coord_gradient.clone()
    sampler.observe(0, seen)
    assert field.training
    assert not selection.indices.requires_grad
    for parameter, saved in zip(field.parameters(), before, strict=True):
        assert torch.equal(parameter, saved)
        assert parameter.requires_grad
        assert parameter.grad is None
    for tensor, copy in zip(
        (seen.prediction, seen.values, seen.coord_gradient), copies, strict=True
    ):
        assert torch.equal(tensor, copy)
    assert sum(count for _, count in selection.slots) == len(selection.indices)
    assert {slot for slot, _ in selection.slots} <= SLOT_COLOURS.keys()


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("shape", [(30,), (5, 6), (2, 3, 5)])
@pytest.mark.parametrize("name", SAMPLER_NAMES)
def test_a_loss_of_its_own_has_the_gradient_that_autograd_finds(name, shape, channels):
    """With weights that depend on the prediction held, where the method says so."""
    signal = tiny_signal(shape, channels)
    field = tiny_field(channels, dims=len(shape))
    sampler = sampler_of(name, signal)
    for step in range(4):
        selection = sampler.select(step, Probe(field, signal, Passes()), generator(step))
        seen = oracles.observation(field, signal, selection)
        if selection.loss is not None:
            total, gradient = selection.loss(seen.prediction, seen.values)
            by_differences = oracles.loss_gradient(selection.loss, seen)
            torch.testing.assert_close(gradient, by_differences, rtol=1e-5, atol=1e-8)
            assert not total.requires_grad
            assert not gradient.requires_grad
        if sampler.observes:
            sampler.observe(step, seen)


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
            push(coords),
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
    product, residual = last_layer_residual_product(field, signal, block=7)
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
    product, residual = ntk_residual_product(field, signal, block=4)
    kernel = oracles.dense_ntk(field, coords)
    expected = torch.einsum("iakb,kb->ia", kernel, residual)
    torch.testing.assert_close(product, expected, rtol=1e-10, atol=1e-10)
    diagonal = torch.einsum("iaia->ia", kernel)
    torch.testing.assert_close(ntk_diagonal(field, coords), diagonal, rtol=1e-10, atol=1e-10)


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
    record = SignalRecord(
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
    "siren": (100, 48, None),
    "finer": (150, 48, None),
    "gauss": (300, 128, 1e-3),
    "wire": (300, 128, 1e-3),
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
