"""What holds for every sampler, whatever it does."""

import pytest
import torch

from nint_cli.config.schema import SAMPLER_NAMES, RunConfig
from nint_cli.derivatives.probe import Probe
from nint_cli.derivatives.sweep import Passes
from nint_cli.errors import ConfigError
from nint_cli.random import Draws
from nint_cli.runs.build import build_field, build_sampler
from nint_cli.schedules import laws
from tests import oracles
from tests.conftest import generator, tiny_field, tiny_points, tiny_signal, tiny_sound

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
    "nint-moment": ("nint", {"nint": {"gradient": "moment"}}),
    "nint_diagonal-early": ("nint_diagonal", {"nint_diagonal": {"start": 0, "max_chosen": 1}}),
    "nint_diagonal-late": ("nint_diagonal", {"nint_diagonal": {"pool": 1, "start": 0.4, "xi": 0}}),
    "nint-epochs": ("nint", {"batch": {"reshuffle": True}}),
    "nint_diagonal-epochs": (
        "nint_diagonal",
        {"nint_diagonal": {"start": 0, "max_chosen": 1}, "batch": {"reshuffle": True}},
    ),
    "nint_diagonal-error": (
        "nint_diagonal",
        {
            "nint_diagonal": {"score": "error", "pool": 2, "start": 0, "xi": 0, "max_chosen": 1},
            "batch": {"reshuffle": True},
        },
    ),
    "uniform-epochs": ("uniform", {"batch": {"reshuffle": True}}),
    "nint-sketch": ("nint", {"nint": {"score": "sketch", "sketches": 2}}),
}
EVERY = [*SAMPLER_NAMES, *VARIANTS]
ANYWHERE = [name for name in EVERY if not name.startswith("soft_mining")]


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


def choose(sampler, signal, seed=0, first=0, last=STEPS, field=None):
    """Select for some steps from a field that does not change, and tell what was seen."""
    field = field or tiny_field(signal.value_dim, dims=signal.coord_dim)
    chosen = []
    for step in range(first, last):
        selection = sampler.select(step, Probe(field, signal, Passes()), Draws(seed, step))
        chosen.append(selection.indices.clone())
        if sampler.observes:
            wanted = sampler.wants_leveraged_errors
            seen = oracles.observation(field, signal, selection, leveraged=wanted)
            sampler.observe(step, seen)
        # A checkpoint holds both, and would hold a change of one as a change of the other.
        for name, tensor in sampler.state_dict().items():
            assert tensor.data_ptr() != selection.indices.data_ptr() or not len(tensor), name
    return chosen


def takes_all(name, step):
    """Whether a method trains on all points at a step, whatever the batch."""
    return name == "full" or (
        name.startswith("evos") and laws.evaluates_fitness(step, STEPS, first=9, last=4)
    )


@pytest.mark.parametrize("shape", [(1,), (37,), (5, 6), (1, 1), (1, 9), (3, 4, 5)])
@pytest.mark.parametrize("name", EVERY)
def test_right_count_in_range_and_distinct(name, shape):
    signal = tiny_signal(shape)
    sampler, count = sampler_of(name, signal), len(signal)
    for step, indices in enumerate(choose(sampler, signal)):
        expected = count if takes_all(name, step) else max(1, int(0.3 * count))
        assert indices.dtype == torch.int64
        assert len(indices) == expected, step
        assert not sampler.distinct or len(indices.unique()) == expected, step
        assert 0 <= indices.min()
        assert indices.max() < count


@pytest.mark.parametrize("count", [1, 2, 37])
@pytest.mark.parametrize("name", ANYWHERE)
def test_points_anywhere_are_chosen_as_those_of_a_grid_are(name, count):
    signal = tiny_points(count)
    sampler = sampler_of(name, signal)
    for step, indices in enumerate(choose(sampler, signal)):
        expected = count if takes_all(name, step) else max(1, int(0.3 * count))
        assert len(indices) == len(indices.unique()) == expected, step
        assert 0 <= indices.min()
        assert indices.max() < count


def test_particles_need_a_grid():
    with pytest.raises(ConfigError, match="moves particles between the points of a grid"):
        sampler_of("soft_mining", tiny_points())


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
    for indices in choose(sampler, signal):
        if batch != {"fraction": 0.2}:
            assert len(indices) == 30
            assert not sampler.distinct or sorted(indices.tolist()) == list(range(30))


@pytest.mark.parametrize("schedule", ["constant", "linear", "step", "cosine"])
@pytest.mark.parametrize("name", SAMPLER_NAMES)
def test_growing_batches_are_filled(name, schedule):
    signal = tiny_signal((9, 9))
    if name == "soft_mining" and schedule != "constant":
        with pytest.raises(ValueError, match=f"batch.schedule {schedule} lets them grow"):
            sampler_of(name, signal, fraction=0.2, schedule=schedule)
        return
    sampler = sampler_of(name, signal, fraction=0.2, schedule=schedule)
    counts = [
        len(indices)
        for step, indices in enumerate(choose(sampler, signal))
        if name == "full" or not takes_all(name, step)
    ]
    assert counts == sorted(counts)
    if schedule != "constant" and name != "full":
        assert counts[-1] > 2 * counts[0]


@pytest.mark.parametrize("name", EVERY)
def test_the_seed_decides_and_the_global_rng_does_not(name):
    signal = tiny_signal((9, 9))
    state = torch.get_rng_state()
    first = choose(sampler_of(name, signal), signal, 3)
    torch.rand(5)
    second = choose(sampler_of(name, signal), signal, 3)
    torch.set_rng_state(state)
    third = choose(sampler_of(name, signal), signal, 4)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    if VARIANTS.get(name, (name,))[0] not in {"full", "int"}:
        assert any(not torch.equal(a, b) for a, b in zip(first, third, strict=True))


@pytest.mark.parametrize("stop", range(1, STEPS, 1))
@pytest.mark.parametrize("name", EVERY)
def test_restored_state_goes_on_alike(name, stop):
    signal, seed = tiny_signal((6, 7)), 3
    before = sampler_of(name, signal)
    choose(before, signal, seed, 0, stop)
    after = sampler_of(name, signal)
    after.load_state_dict({key: value.clone() for key, value in before.state_dict().items()})
    through = choose(before, signal, seed, stop, min(STEPS, stop + 8))
    for a, b in zip(through, choose(after, signal, seed, stop, min(STEPS, stop + 8)), strict=True):
        assert torch.equal(a, b)
    for key, value in before.state_dict().items():
        assert torch.equal(after.state_dict()[key], value)


@pytest.mark.parametrize("stop", [1, 8, 13])
@pytest.mark.parametrize("name", ANYWHERE)
def test_restored_state_goes_on_alike_at_points_anywhere(name, stop):
    signal, seed = tiny_points(), 3
    before, after = sampler_of(name, signal), sampler_of(name, signal)
    choose(before, signal, seed, 0, stop)
    after.load_state_dict({key: value.clone() for key, value in before.state_dict().items()})
    through = choose(before, signal, seed, stop, stop + 8)
    for a, b in zip(through, choose(after, signal, seed, stop, stop + 8), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("name", EVERY)
def test_a_sampler_says_which_of_its_state_are_points(name):
    """So that a checkpoint in which one is no point is refused; `trained` has steps."""
    signal = tiny_signal((9, 9))
    sampler = sampler_of(name, signal)
    choose(sampler, signal, 0, 0, 7)
    integers = {
        key for key, value in sampler.state_dict().items() if not value.is_floating_point()
    }
    assert integers - sampler.host_entries - {"trained"} <= sampler.index_entries


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
    selection = sampler.select(0, Probe(field, signal, Passes()), Draws(0, 0))
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
    assert {slot for slot, _ in selection.slots} <= sampler.slots.keys()


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("shape", [(30,), (5, 6), (2, 3, 5)])
@pytest.mark.parametrize("name", SAMPLER_NAMES)
def test_a_loss_of_its_own_has_the_gradient_that_autograd_finds(name, shape, channels):
    """With weights that depend on the prediction held, where the method says so."""
    signal = tiny_signal(shape, channels)
    field = tiny_field(channels, dims=len(shape))
    sampler = sampler_of(name, signal)
    for step in range(4):
        selection = sampler.select(step, Probe(field, signal, Passes()), Draws(step, step))
        wanted = sampler.wants_leveraged_errors
        seen = oracles.observation(field, signal, selection, leveraged=wanted)
        if selection.loss is not None:
            total, gradient = selection.loss(seen.prediction, seen.values)
            by_differences = oracles.loss_gradient(selection.loss, seen)
            torch.testing.assert_close(gradient, by_differences, rtol=1e-5, atol=1e-8)
            assert not total.requires_grad
            assert not gradient.requires_grad
        if sampler.observes:
            sampler.observe(step, seen)


@pytest.mark.parametrize("value_range", ["peak", "unit"])
@pytest.mark.parametrize("name", EVERY)
def test_a_sound_is_chosen_from_whatever_its_coords_run_to(name, value_range):
    """By a field that is the same function of the place; 8 is a power of 2, so to the bit."""
    config = RunConfig.model_validate({
        "field": "hashgrid",
        "hashgrid": {"levels": 3, "coarsest": 3, "finest": 9, "log2_entries": 4},
    })
    chosen = []
    for half_range in (1.0, 8.0):
        signal = tiny_sound(half_range=half_range, value_range=value_range)
        field = build_field(config, (30,), 2, generator(), half_range=half_range).double()
        with torch.no_grad():
            field.encoding.table.normal_(generator=generator(3))
        chosen.append(choose(sampler_of(name, signal), signal, 4, field=field))
    for step, (one, eight) in enumerate(zip(*chosen, strict=True)):
        if name != "soft_mining-released":  # which moves by x, as the port to pictures does
            assert torch.equal(one, eight), step
        assert len(one) == (30 if takes_all(name, step) else 9)
        assert 0 <= one.min() <= one.max() < 30
