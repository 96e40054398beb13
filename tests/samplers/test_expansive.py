"""Expansive Supervision: anchors at every step, others at random."""

import pytest
import torch

from nint_cli.config.schema import RunConfig
from nint_cli.derivatives.probe import Probe
from nint_cli.derivatives.sweep import Passes
from nint_cli.random import Draws
from nint_cli.runs.build import build_sampler
from nint_cli.samplers.expansive import Expansive
from nint_cli.schedules.batch_size import BatchPlan
from tests.conftest import generator, tiny_field, tiny_signal

SIGNAL = tiny_signal((12, 15))
ANCHORS = torch.arange(0, 180, 10)  # 18 of 180


def chosen(sampler, step, seed=0):
    passes = Passes()
    selection = sampler.select(step, Probe(tiny_field(), SIGNAL, passes), Draws(seed, step))
    assert passes == Passes()
    anchor, uniform = (size for _, size in selection.slots)
    return (*selection.indices.split([anchor, uniform]), selection.weights)


def test_all_anchors_train_and_fresh_others_fill_the_batch():
    sampler = Expansive(BatchPlan(0.2, "step", None, 100), ANCHORS, 180, planned=0.1)
    seen = set()
    for step in range(100):
        count = int((0.2 + step // 10 * 0.08) * 180)
        anchors, source, weights = chosen(sampler, step)
        assert torch.equal(anchors, ANCHORS)
        assert len(source) == count - 18
        assert not torch.isin(source, ANCHORS).any()
        assert weights is None
        seen |= set(source.tolist())
    assert seen == set(range(180)) - set(ANCHORS.tolist())


def test_scarce_anchors_are_made_up_for_except_as_released():
    few = ANCHORS[:5]
    plan = BatchPlan(0.2, "constant", None, 100)
    for released, expected in ((False, 31), (True, 18)):
        sampler = Expansive(plan, few, 180, planned=0.1, released=released)
        anchors, source, _ = chosen(sampler, 0)
        assert (len(anchors), len(source)) == (5, expected)


@pytest.mark.parametrize("step", [0, 50, 99])
def test_the_expanded_loss_is_the_papers(step):
    sampler = Expansive(
        BatchPlan(0.2, "constant", None, 100), ANCHORS, 180, planned=0.1, loss="expanded"
    )
    anchors, source, weights = chosen(sampler, step)
    error = torch.rand(36, generator=generator(1))
    factor = 9.0 + (1 - 9.0) * step / 100  # (1 - a) / a with a = 0.1
    expected = error[: len(anchors)].mean() + factor * error[len(anchors) :].mean()
    torch.testing.assert_close((weights * error).mean(), expected)
    assert len(source) == 18


def test_without_anchors_or_source_nothing_is_expanded():
    plan = BatchPlan(0.1, "constant", None, 100)
    for anchors in (ANCHORS[:0], ANCHORS):
        sampler = Expansive(plan, anchors, 180, planned=0.1, loss="expanded")
        assert chosen(sampler, 0)[2] is None


def test_anchors_cover_half_of_the_first_batch_and_depend_on_the_seed_alone():
    found = []
    for seed in (0, 0, 1):
        config = {"sampler": "expansive", "seed": seed, "batch": {"fraction": 0.2}}
        found.append(build_sampler(RunConfig.model_validate(config), SIGNAL).anchors)
    assert len(found[0]) <= 18
    assert torch.equal(found[0], found[1])
    config = {"sampler": "expansive", "batch": {"fraction": 0.2}}
    sound = build_sampler(RunConfig.model_validate(config), tiny_signal((180,)))
    assert len(sound.anchors) == 18
