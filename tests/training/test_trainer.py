import math
from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from nint_cli.config.schema import SAMPLER_NAMES, RunConfig
from nint_cli.derivatives.sweep import predict
from nint_cli.device.settings import resolve_device
from nint_cli.errors import ConfigError
from nint_cli.modalities.image.signal import Picture
from nint_cli.runs.build import build_trainer
from nint_cli.samplers.base import Sampler, Selection
from nint_cli.samplers.drawing import draw_distinct
from nint_cli.schedules.clock import Clock
from nint_cli.training.trainer import TrainerState
from tests.conftest import smooth_pixels

SIGNAL = Picture(smooth_pixels(16, 16), "").signal()


class Until:
    """Stop after a number of steps."""

    def __init__(self, last=math.inf):
        self.last = last
        self.losses = []
        self.rescues = []

    def after_rescue(self, trainer, rescue):
        self.rescues.append(rescue)

    def after_step(self, trainer, step):
        self.losses.append(step.loss)
        return "enough" if step.number >= self.last else None


def trainer_of(sampler="nint", steps=24, **settings):
    config = {
        "sampler": sampler,
        "steps": steps,
        "optimiser": {"lr": 1e-3, "schedule": "cosine", "warmup": 0.2},
        "siren": {"hidden_features": 16, "hidden_layers": 2},
        "nint": {"alpha": 5},
        **settings,
    }
    return build_trainer(RunConfig.model_validate(config), SIGNAL, Clock())


def state_of(trainer):
    """A copy that later steps do not touch, as a file would be."""
    state = trainer.state_dict()
    return TrainerState({k: v.clone() for k, v in state.tensors.items()}, state.numbers)


def assert_same(a, b):
    assert a.tensors.keys() == b.tensors.keys()
    for name in a.tensors:
        assert torch.equal(a.tensors[name], b.tensors[name]), name
    assert a.numbers == b.numbers


@pytest.mark.parametrize(("side", "lr"), [(None, 1e-3), (16, 1e-3), (40, 1e-3), (4, 2e-3)])
def test_on_larger_pictures_the_rate_falls_with_the_root_of_the_side(side, lr):
    """Not only the rate: Adam's memory and the average follow it as a part of its highest."""
    follows = {"schedule": "cosine", "warmup": 0.2, "beta2_end": 0.98, "average": 0.3}
    ends = []
    for optimiser in ({"lr": lr, "lr_side": side}, {"lr": 1e-3}):
        trainer = trainer_of("uniform", steps=12, optimiser=optimiser | follows)
        trainer.fit(Until())
        ends.append(trainer.state_dict())
    assert_same(*ends)


def test_a_small_picture_is_learnt():
    siren = {"hidden_features": 32, "hidden_layers": 2}
    trainer = trainer_of(steps=300, batch={"fraction": 0.5}, siren=siren)
    assert trainer.fit(Until()) == "steps"
    _, values = SIGNAL.slice(0, 256)
    mse = (predict(trainer.field, SIGNAL).clamp(0, 1) - values).square().mean()
    assert -10 * math.log10(mse) > 30


@pytest.mark.parametrize("sampler", SAMPLER_NAMES)
def test_the_same_seed_gives_the_same_bits_and_another_does_not(sampler):
    first, second, other = (trainer_of(sampler, seed=seed) for seed in (0, 0, 1))
    for trainer in (first, second, other):
        trainer.fit(Until())
    assert_same(first.state_dict(), second.state_dict())
    weights = [t.state_dict().tensors["field.weights.1"] for t in (first, other)]
    assert not torch.equal(*weights)


@cache
def never_stopped(sampler):
    trainer = trainer_of(sampler)
    trainer.fit(Until())
    return state_of(trainer)


@pytest.mark.parametrize("stop", range(1, 24))
@pytest.mark.parametrize("sampler", SAMPLER_NAMES)
def test_going_on_equals_never_having_stopped(sampler, stop):
    before = trainer_of(sampler)
    assert before.fit(Until(stop)) == "enough"
    # Nothing of its own start may survive, but for draws and anchors, which follow from the seed
    # in the configuration and so are not saved.
    after = trainer_of(sampler, seed=0 if sampler == "expansive" else 9)
    after.seed = before.seed
    after.load_state_dict(state_of(before))
    assert after.step == stop
    assert after.fit(Until()) == "steps"
    assert_same(never_stopped(sampler), after.state_dict())


@pytest.mark.parametrize("law", ["exponential", "stepwise"])
def test_going_on_at_any_step_of_guidance_that_starts_late(law):
    nint = {"alpha": 4, "residual_every": 3, "start": 0.25, "share_law": law, "min_share": 0.05}
    settings = {"steps": 20, "nint": nint, "batch": {"fraction": 0.3, "schedule": "step"}}
    through = trainer_of(**settings)
    through.fit(Until())
    for stop in range(1, 20):
        before, after = trainer_of(**settings), trainer_of(seed=9, **settings)
        before.fit(Until(stop))
        after.seed = before.seed
        after.load_state_dict(state_of(before))
        after.fit(Until())
        assert_same(through.state_dict(), after.state_dict())


@pytest.mark.parametrize("stop", range(1, 24))
def test_going_on_with_all_that_the_default_preset_has(stop):
    settings = {
        "sampler": "nint_diagonal",
        "nint_diagonal": {"max_chosen": 1},
        "batch": {"fraction": 0.2, "reshuffle": True},
        "optimiser": {
            "lr": 1e-3,
            "schedule": "cosine",
            "warmup": 0.1,
            "beta1": 0.8,
            "beta2_end": 0.98,
            "average": 0.12,
        },
    }
    through, before, after = (trainer_of(seed=seed, **settings) for seed in (0, 0, 9))
    through.fit(Until())
    before.fit(Until(stop))
    after.seed = before.seed
    after.load_state_dict(state_of(before))
    after.fit(Until())
    assert_same(through.state_dict(), after.state_dict())


def test_a_state_of_another_shape_is_refused():
    state = state_of(trainer_of())
    with pytest.raises(ValueError, match="expected"):
        trainer_of(siren={"hidden_features": 8}).load_state_dict(state)


def test_blocks_do_not_change_the_gradient(monkeypatch):
    """One step of Adam, in one block and in many."""
    results = []
    for numbers in (1 << 18, 1):
        monkeypatch.setattr(
            "nint_cli.derivatives.engine._BLOCK_NUMBERS", {"cpu": numbers, "cuda": 0}
        )
        trainer = trainer_of("full", steps=1)
        trainer.fit(Until())
        results.append(list(trainer.optimiser.state_dict().values()))
    torch.testing.assert_close(*results, rtol=1e-5, atol=1e-9)


class Weighted(Sampler):
    """Points 0 to 3, of which two count nothing and one counts twice."""

    def select(self, step, probe, draws):
        return Selection(torch.arange(4), weights=torch.tensor([1.0, 0.0, 0.0, 2.0]))


def test_weights_scale_the_squared_error():
    trainer = trainer_of(steps=1)
    trainer.sampler = Weighted()
    coords, values = SIGNAL.slice(0, 4)
    error = (trainer.field(coords) - values).square().sum(1)
    expected = (error[0] + 2 * error[3]) / 12
    watch = Until()
    trainer.fit(watch)
    assert watch.losses[0] == pytest.approx(expected.item(), rel=1e-5)


class Watching(Sampler):
    """Random points, with a loss of their own or without; remembers what it is told."""

    observes = True
    wants_coord_gradient = True

    def __init__(self, loss=None):
        self.loss = loss
        self.seen = []

    def select(self, step, probe, draws):
        chosen = draw_distinct(256, 200, draws.stream("watched"), probe.device)
        return Selection(chosen, loss=self.loss)

    def observe(self, step, observation):
        self.seen.append((step, observation))


def squared_error(prediction, values):
    residual = prediction - values
    return residual.square().mean(), 2 * residual / residual.numel()


def largest_error(prediction, values):
    """A loss that no sum over points can say: the squared norm of the mean residual."""
    mean = (prediction - values).mean(0)
    return mean.square().sum(), (2 * mean / len(values)).expand_as(prediction)


@pytest.mark.parametrize("kept", [1 << 24, 1])
@pytest.mark.parametrize("blocks", [1 << 18, 1])
def test_a_loss_of_the_whole_batch_is_followed(monkeypatch, kept, blocks):
    """Against autograd, with activations kept and with the batch predicted twice."""
    monkeypatch.setattr("nint_cli.derivatives.sweep._KEPT_NUMBERS", {"cpu": kept, "cuda": 0})
    monkeypatch.setattr("nint_cli.derivatives.engine._BLOCK_NUMBERS", {"cpu": blocks, "cuda": 0})
    trainer, reference = trainer_of(steps=1), trainer_of(steps=1)
    trainer.sampler = Watching(largest_error)
    watch = Until()
    trainer.fit(watch)
    (step, seen), *_ = trainer.sampler.seen
    coords, values = SIGNAL.at(seen.selection.indices)
    leaf = coords.clone().requires_grad_()
    prediction = reference.field(leaf)
    loss = (prediction - values).mean(0).square().sum()
    assert step == 0
    assert watch.losses == [pytest.approx(loss.item(), rel=1e-5)]
    *gradient, by_coords = torch.autograd.grad(loss, [*reference.field.parameters(), leaf])
    torch.testing.assert_close(seen.prediction, prediction.detach())
    torch.testing.assert_close(seen.values, values)
    torch.testing.assert_close(seen.coord_gradient, by_coords, rtol=1e-4, atol=1e-7)
    # Adam's first moment is a tenth of the first gradient.
    for moment, part in zip(trainer.optimiser.first_moment(), gradient, strict=True):
        torch.testing.assert_close(10 * moment, part, rtol=1e-4, atol=1e-7)


def test_the_squared_error_is_the_same_told_either_way():
    results = []
    for loss in (None, squared_error):
        trainer = trainer_of(steps=3)
        trainer.sampler = Watching(loss)
        trainer.fit(watch := Until())
        results.append((watch.losses, trainer.sampler.seen, trainer.passes))
    (losses, seen, passes), (others, also, counted) = results
    assert losses == pytest.approx(others, rel=1e-5)
    assert passes == counted
    for (_, a), (_, b) in zip(seen, also, strict=True):
        torch.testing.assert_close(a.prediction, b.prediction, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(a.values, b.values)


def test_a_gradient_that_overflows_leaves_the_parameters_alone():
    """The loss is finite, but Adam would square its gradient past the largest number."""
    trainer = trainer_of(steps=5)
    before = [parameter.detach().clone() for parameter in trainer.field.parameters()]

    def steep(prediction, values):
        return torch.zeros(()), torch.full_like(prediction, 1e30)

    trainer.sampler = Watching(steep)
    assert trainer.fit(Until()) == "diverged"
    assert trainer.step == 0
    assert not any(name.startswith("optimiser") for name in trainer.optimiser.state_dict())
    for parameter, value in zip(trainer.field.parameters(), before, strict=True):
        assert torch.equal(parameter, value)


@pytest.mark.parametrize("layers", [10, 30])
def test_a_gradient_that_overflows_is_a_divergence(layers):
    """With 30 layers it is NaN while the loss is finite, with 10 its square overflows in Adam."""
    trainer = trainer_of(
        "uniform",
        steps=30,
        optimiser={"lr": 10.0, "rescue": False},
        siren={"hidden_features": 64, "hidden_layers": layers},
    )
    assert trainer.fit(Until()) == "diverged"
    assert trainer.step < 30
    for name, tensor in trainer.state_dict().tensors.items():
        assert not tensor.is_floating_point() or tensor.isfinite().all(), name


def test_passes_are_counted():
    full, nint = trainer_of("full", steps=2), trainer_of("nint", steps=2)
    for trainer in (full, nint):
        trainer.fit(Until())
    assert (full.passes.forward, full.passes.backward, full.passes.total) == (2, 2, 6)
    assert nint.passes.vjp == nint.passes.jvp == 1
    assert nint.passes.forward == pytest.approx(1 + 2 * 51 / 256)
    assert nint.passes.backward == pytest.approx(2 * 51 / 256)


def test_divergence_without_a_guard_stops_and_keeps_the_last_finite_state():
    trainer = trainer_of(steps=50, optimiser={"lr": 1e-3, "rescue": False})
    trainer.learning_rate.applied = lambda step: 1e-3 if step < 5 else 1e30
    assert trainer.fit(Until()) == "diverged"
    assert trainer.step < 20
    for tensor in trainer.state_dict().tensors.values():
        assert not tensor.is_floating_point() or tensor.isfinite().all()


class Moment:
    """A moment on a device that comes by its work when it is told to."""

    now, come = 0.0, 0.0

    def __init__(self):
        Moment.now += 1000
        self.at = Moment.now

    def query(self):
        return self.at <= Moment.come

    def elapsed_time(self, end_event):
        return end_event.at - self.at


def test_a_device_that_lags_behind_is_not_waited_for_in_training(monkeypatch):
    monkeypatch.setattr(Moment, "now", 0.0)
    monkeypatch.setattr(Moment, "come", 0.0)
    waits = []

    def synchronise():
        waits.append(Moment.now)
        Moment.come = Moment.now

    clock = Clock(synchronise=synchronise, stamp=Moment)
    for kind in ("sampler_s", "update_s", "update_s"):
        with clock.measure(kind):
            pass
    assert (clock.train_s, waits) == (0.0, [])
    Moment.come = 4000.0
    assert (clock.train_s, clock.sampler_s, clock.update_s, waits) == (2.0, 1.0, 1.0, [])
    with clock.measure("evaluation_s"):
        assert (clock.sampler_s, clock.update_s) == (1.0, 2.0)
    with clock.measure("update_s"):
        pass
    assert clock.seconds()["train_s"] == 4.0


def test_devices_are_found_or_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert resolve_device("auto") == resolve_device("cpu") == torch.device("cpu")
    for name in ("cuda", "cuda:7"):
        with pytest.raises(ConfigError, match=f"device {name}: 0 usable CUDA devices"):
            resolve_device(name)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert resolve_device("auto") == torch.device("cuda", 0)
    assert resolve_device("cuda:1") == torch.device("cuda", 1)
    with pytest.raises(ConfigError, match="2 usable CUDA devices"):
        resolve_device("cuda:2")


def test_a_picture_of_one_pixel_is_learnt():
    signal = Picture(np.full((1, 1, 3), 128, np.uint8), "").signal()
    for sampler in SAMPLER_NAMES:
        config = RunConfig.model_validate({"sampler": sampler, "steps": 3})
        trainer = build_trainer(config, signal, Clock())
        assert trainer.fit(Until()) == "steps"


@pytest.mark.parametrize("after_rescue", [False, True])
@pytest.mark.parametrize(
    ("sampler", "sections"),
    [
        ("int", {"int": {"interval": "dense2"}}),
        ("evos", {}),
        ("soft_mining", {}),
        ("nint", {"nint": {"interval": "dense2"}, "stop": {"time_budget_s": 1e6}}),
        ("nint_diagonal", {}),
        ("nint_released", {}),
    ],
)
def test_what_a_sampler_knows_goes_where_it_chooses(sampler, sections, after_rescue):
    """A checkpoint is read on the CPU; only what the host reads may stay there."""
    trainer = trainer_of(sampler, **sections)
    trainer.fit(Until(3))
    state = state_of(trainer)
    trainer.signal = SimpleNamespace(device=torch.device("meta"), redraw_every=None)
    if after_rescue:
        trainer._go_back(trainer.detector.restore_point, 3)
    else:
        trainer.load_state_dict(state)
    found = trainer.sampler.state_dict()
    there = {name for name, tensor in found.items() if tensor.is_meta}
    assert there
    assert there == found.keys() - trainer.sampler.host_entries
