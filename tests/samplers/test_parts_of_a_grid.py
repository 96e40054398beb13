"""Every sampler on a part of a grid: it draws no other point, and knows no other value."""

import numpy as np
import pytest
import torch

from nint_cli.config.schema import SAMPLER_NAMES, RunConfig
from nint_cli.runs.build import build_trainer
from nint_cli.samplers import priors
from nint_cli.samplers.evos import CrossFrequencyLoss, flat_laplacian
from nint_cli.schedules.clock import Clock
from nint_cli.signals.base import GridSignal
from nint_cli.signals.parts import Part, parted
from tests.conftest import generator
from tests.signals.test_parts import disc

STEPS = 30
ONE = torch.zeros(120, dtype=torch.bool)
ONE[37] = True
WAYS = {
    "mask": {"inside": disc()},
    "holdout": {"holdout": 0.25},
    "both": {"inside": disc(), "holdout": 0.25},
    "one pixel": {"inside": ONE},
}
VARIANTS = {
    "egra-strong": ("egra", {"egra": {"p": 0.5, "high": 300.0}}),
    "expansive-released": ("expansive", {"expansive": {"released": True, "loss": "expanded"}}),
    "soft_mining-released": ("soft_mining", {"soft_mining": {"released": True}}),
    "evos-add": ("evos", {"evos": {"crossover": "add", "supervised": 1.0}}),
    "uniform-epochs": ("uniform", {"batch": {"fraction": 0.3, "reshuffle": True}}),
}


def a_signal(shape: tuple[int, ...]) -> GridSignal:
    count = int(np.prod(shape))
    stored = torch.randint(0, 256, (count, 3), generator=generator(2), dtype=torch.uint8)
    return GridSignal(stored, shape, scale=255.0)


def trained(name: str, signal, way: str):
    """Fit a part of a signal; give the parameters, and the points of each step."""
    kind, settings = VARIANTS.get(name, (name, {}))
    document = {
        "sampler": kind,
        "steps": STEPS,
        "siren": {"hidden_features": 6, "hidden_layers": 2},
        "batch": {"fraction": 0.3},
        "optimiser": {"lr": 1e-3},
        "evos": {"first_interval": 9, "last_interval": 4},
        "soft_mining": {"noise": 0.2},
    }
    for section, values in settings.items():
        document[section] = document.get(section, {}) | values
    parts = parted(signal, **WAYS[way])
    trainer = build_trainer(RunConfig.model_validate(document), parts.training, Clock())
    chosen, select = [], trainer.sampler.select

    def selecting(step, probe, draws):
        selection = select(step, probe, draws)
        chosen.append(selection.indices.clone())
        return selection

    trainer.sampler.select = selecting

    class Watch:
        def after_step(self, *_):
            return None

        def after_rescue(self, *_):
            return None

    trainer.fit(Watch())
    vector = torch.nn.utils.parameters_to_vector(trainer.field.parameters()).detach()
    return vector, chosen, parts, trainer


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", [*SAMPLER_NAMES, *VARIANTS])
def test_no_other_point_is_drawn_and_no_other_value_is_known(name, way):
    signal = a_signal((12, 10))
    vector, chosen, parts, trainer = trained(name, signal, way)
    assert len(chosen) == STEPS
    for indices in chosen:
        assert indices.min() >= 0
        assert indices.max() < len(parts.training)
    allowed = set(parts.training.among.tolist())
    for selection in trainer.selections.values():
        assert set(selection.indices.tolist()) <= allowed
    other = a_signal((12, 10))
    forbidden = torch.ones(120, dtype=torch.bool)
    forbidden[parts.training.among] = False
    other.stored[forbidden] = 255 - other.stored[forbidden]
    assert torch.equal(trained(name, other, way)[0], vector)
    other.stored[:] = 255 - other.stored  # a change of what trains is seen
    assert not torch.equal(trained(name, other, way)[0], vector)


@pytest.mark.parametrize("name", SAMPLER_NAMES)
def test_of_a_sound_no_sample_that_is_held_out_is_known(name):
    signal = a_signal((120,))
    vector, _, parts, _ = trained(name, signal, "holdout")
    signal.stored[parts.held_out.among] = 0
    assert torch.equal(trained(name, signal, "holdout")[0], vector)


def test_what_is_known_of_all_points_as_a_part_is_what_is_known_of_a_grid():
    signal = a_signal((12, 10))
    part = Part(signal, torch.arange(120))
    assert np.array_equal(priors.grey_of(part), priors.grey_of(signal))
    grey, among = priors.grey_of(signal), part.among
    assert torch.equal(priors.edges(grey, 30, 40, among), priors.edges(grey, 30, 40))
    assert torch.equal(
        priors.edge_density(grey, among=among), priors.edge_density(grey, among=None)
    )
    for released in (False, True):
        found = [
            priors.anchors(grey, 0.2, np.random.default_rng(0), released=released, among=each)
            for each in (None, among)
        ]
        assert torch.equal(*found)


def nearest_slowly(shape, among):
    places = np.stack(np.unravel_index(np.arange(int(np.prod(shape))), shape), 1)
    there = places[among]
    return ((places[:, None] - there) ** 2).sum(-1)


@pytest.mark.parametrize("shape", [(12, 10), (40,), (4, 5, 6)])
def test_the_nearest_point_of_a_part_is_the_nearest(shape):
    among = torch.arange(int(np.prod(shape)))[torch.rand(int(np.prod(shape))) < 0.2]
    number, far = priors.nearest_among(shape, among)
    squared = nearest_slowly(shape, among.numpy())
    assert np.array_equal(squared[np.arange(len(number)), number], squared.min(1))
    assert np.array_equal(far, squared.min(1) > len(shape))


def test_the_laplacian_of_a_part_has_zeros_around_it():
    among = disc().nonzero().flatten()
    values = torch.rand(len(among), dtype=torch.float64)
    picture = np.zeros((14, 12))
    inner = np.zeros(120)
    inner[among.numpy()] = values.numpy()
    picture[1:-1, 1:-1] = inner.reshape(12, 10)
    slow = (
        picture[:-2, 1:-1] + picture[2:, 1:-1] + picture[1:-1, :-2] + picture[1:-1, 2:]
        - 4 * picture[1:-1, 1:-1]
    )  # fmt: skip
    found = flat_laplacian(values, (12, 10), among)
    assert np.allclose(found.numpy(), slow.flatten()[among.numpy()], atol=1e-12)


def test_the_gradient_of_the_cross_frequency_loss_of_a_part_is_its_own():
    among = disc().nonzero().flatten()
    count = len(among)
    indices = torch.randperm(count)[: count // 2]
    stale = torch.rand(count, dtype=torch.float64) - 0.5
    prediction = 0.2 + 0.6 * torch.rand(len(indices), 3, dtype=torch.float64)
    values = torch.rand(len(indices), 3, dtype=torch.float64)
    loss = CrossFrequencyLoss(indices, stale, (12, 10), 0.7, among)
    _, gradient = loss(prediction, values)
    for row, channel in ((0, 0), (3, 2), (len(indices) - 1, 1)):
        step = torch.zeros_like(prediction)
        step[row, channel] = 1e-6
        slope = (loss(prediction + step, values)[0] - loss(prediction - step, values)[0]) / 2e-6
        assert float(gradient[row, channel]) == pytest.approx(float(slope), rel=1e-5)
