"""Points that others take the place of while a run goes on."""

import pytest
import torch

from nint_cli.config.schema import RunConfig
from nint_cli.derivatives.probe import Probe
from nint_cli.derivatives.sweep import Passes
from nint_cli.errors import ConfigError
from nint_cli.random import Draws
from nint_cli.runs.build import build_sampler, build_trainer
from nint_cli.schedules.clock import Clock
from nint_cli.signals.points import PointSignal
from tests.conftest import generator, tiny_field
from tests.training.test_trainer import Until, assert_same, state_of

EVERY = 4
STEPS = 18


def drawn(number, dtype=torch.float32):
    coords = 2 * torch.rand(60, 3, generator=generator(100 + number), dtype=dtype) - 1
    return coords, coords.norm(dim=1, keepdim=True) - 0.7


def signal_of(dtype=torch.float32, every=EVERY):
    return PointSignal(
        *drawn(0, dtype), half_range=0.5, draw=lambda k: drawn(k, dtype), redraw_every=every
    )


def config_of(sampler, **sections):
    settings = {
        "sampler": sampler,
        "steps": STEPS,
        "batch": {"fraction": 0.3},
        "optimiser": {"lr": 1e-3},
        "siren": {"hidden_features": 12, "hidden_layers": 2},
        "nint": {"alpha": 3, "residual_every": 1 if sampler == "nint_released" else 2},
    }
    for section, values in sections.items():
        settings[section] = settings.get(section, {}) | values
    return RunConfig.model_validate(settings)


ALLOWED = [
    ("full", {}),
    ("uniform", {}),
    ("int", {}),
    ("nint", {}),
    ("nint", {"nint": {"start": 0.4}}),
    ("nint", {"nint": {"alpha": 7, "residual_every": 5}}),
    ("nint_released", {}),
]
REFUSED = [
    ("egra", {}),
    ("expansive", {}),
    ("evos", {}),
    ("int", {"int": {"interval": "dense2"}}),
    ("int", {"int": {"interval": "incremental"}}),
    ("nint", {"nint": {"interval": "dense2"}}),
    ("nint", {"nint": {"interval": "decremental"}}),
]


@pytest.mark.parametrize(("sampler", "sections"), REFUSED)
def test_a_sampler_that_holds_on_to_points_is_refused(sampler, sections):
    config = config_of(sampler, **sections)
    with pytest.raises(ConfigError, match=f"{sampler} holds on to points and sdf.resample draws"):
        build_sampler(config, signal_of())
    sampler = build_sampler(config, signal_of(every=None))
    assert sampler.needs_fixed_points
    with pytest.raises(AssertionError, match="cannot forget"):
        super(type(sampler), sampler).forget()


def choose(sampler, signal, step):
    field = tiny_field(1, dims=3)
    return sampler.select(step, Probe(field, signal, Passes()), Draws(step, step))


@pytest.mark.parametrize(("sampler", "sections"), ALLOWED)
def test_what_is_forgotten_is_ranked_anew(sampler, sections):
    """After the points have changed a selection is one of a sampler that never saw the others."""
    config, signal = config_of(sampler, **sections), signal_of(torch.float64)
    for step in range(3, STEPS):
        used = build_sampler(config, signal)
        signal.redraw(0)
        for earlier in range(step):
            choose(used, signal, earlier)
        signal.redraw(5)
        used.forget()
        fresh = build_sampler(config, signal)
        fresh.forget()
        for later in range(step, min(STEPS, step + 4)):
            ours, theirs = choose(used, signal, later), choose(fresh, signal, later)
            assert torch.equal(ours.indices.sort().values, theirs.indices.sort().values), later
            assert ours.slots == theirs.slots
            assert len(ours.indices) == len(ours.indices.unique())


def test_the_best_are_those_of_the_new_points():
    signal, field = signal_of(torch.float64), tiny_field(1, dims=3)
    nint = build_sampler(config_of("nint", nint={"alpha": 50, "residual_every": 50}), signal)
    choose(nint, signal, 0)
    signal.redraw(1)
    nint.forget()
    selection = nint.select(1, Probe(field, signal, Passes()), Draws(0, 1))
    slots = dict(selection.slots)
    blocks = Probe(field, signal, Passes()).product_blocks()
    score = torch.cat([product for _, product, _ in blocks]).abs().sum(1)
    best = score.topk(slots["ntk"]).indices
    assert set(selection.indices[: slots["ntk"]].tolist()) == set(best.tolist())


def trainer_of(sampler, sections):
    return build_trainer(config_of(sampler, **sections), signal_of(), Clock())


@pytest.mark.parametrize(("sampler", "sections"), ALLOWED)
def test_going_on_at_any_step_is_never_having_stopped(sampler, sections):
    """To the bit; among the steps are those before, at and after every draw."""
    through = trainer_of(sampler, sections)
    through.fit(Until())
    first = trainer_of(sampler, sections)
    for stop in range(1, STEPS):
        first.fit(Until(stop))
        assert first.step == stop
        second = trainer_of(sampler, sections)
        second.load_state_dict(state_of(first))
        second.fit(Until())
        assert_same(second.state_dict(), through.state_dict())


def test_every_draw_is_trained_on_in_its_turn():
    trainer = trainer_of("uniform", {})
    seen = []

    class Watch:
        def after_step(self, trainer, step):
            seen.append(trainer.signal.coords.clone())

    trainer.fit(Watch())
    for step, coords in enumerate(seen):
        assert torch.equal(coords, drawn(step // EVERY)[0] * 0.5)
