"""Runs that begin on one device and go on with another: what they draw is of neither."""

import json

import pytest
import torch

from nint_cli.config.schema import SAMPLER_NAMES, RunConfig
from nint_cli.runs import checkpoint
from nint_cli.runs.build import build_trainer
from nint_cli.runs.folder import RunFolder
from nint_cli.samplers.table import sampler_class
from nint_cli.schedules.clock import Clock
from tests.cli.test_cli import nint
from tests.conftest import tiny_signal

SMALL = {
    "steps": 30,
    "batch": {"size": 40, "reshuffle": True},
    "siren": {"hidden_features": 8, "hidden_layers": 2},
    "nint_diagonal": {"start": 0.1, "max_chosen": 1},
}


class Watch:
    """Ends a fit after a step, and keeps what every step trained on."""

    def __init__(self, last):
        self.last = last
        self.seen = []

    def after_step(self, trainer, step):
        self.seen.append(trainer.selections["last"].indices.cpu().tolist())
        return "enough" if step.number >= self.last else None

    def after_rescue(self, trainer, rescue):
        raise AssertionError("no rescue was due")


def trainer_of(sampler, device):
    batch = SMALL["batch"] | {"reshuffle": sampler in {"uniform", "nint", "nint_diagonal"}}
    config = RunConfig.model_validate(SMALL | {"sampler": sampler, "batch": batch})
    signal = tiny_signal((12, 15), dtype=torch.float32).to(torch.device(device))
    return build_trainer(config, signal, Clock())


def test_what_a_run_goes_on_from_is_of_no_device(capsys, smoke, tmp_path):
    """No entry but results and what was learnt: parameters, moments, points."""
    given = ["--sampler", "nint_diagonal", "--set", "batch.reshuffle=true", "--device", "cpu"]
    assert nint(capsys, *smoke, *given, "-o", tmp_path / "a")[0] == 0
    saved = checkpoint.read(RunFolder(tmp_path / "a").checkpoints()[0])
    kinds = {name.partition(".")[0] for name in saved.state.tensors}
    assert kinds <= {"field", "optimiser", "sampler", "selection", "kept", "average"}
    assert {"sampler.epoch", "sampler.place"} <= saved.state.tensors.keys()
    said = json.dumps(saved.state.numbers) + json.dumps(saved.origin.model_dump())
    assert not {"cpu", "cuda", "device"} & set(said.replace('"', " ").split())


@pytest.mark.cuda
@pytest.mark.parametrize("sampler", SAMPLER_NAMES)
@pytest.mark.parametrize("way", [("cpu", "cuda"), ("cuda", "cpu")])
def test_a_run_goes_on_with_the_same_points_on_another_device(sampler, way):
    """Those of rules that look at errors need not be the same, whose last bits differ."""
    first, second = way
    begun = trainer_of(sampler, first)
    begun.fit(Watch(10))
    state = begun.state_dict()
    found = []
    for device in (first, second):
        trainer, watch = trainer_of(sampler, device), Watch(20)
        trainer.load_state_dict(state)
        trainer.fit(watch)
        found.append(watch.seen)
    assert len(found[1]) == 10
    if sampler_class(sampler).slots.keys() <= {"uniform", "full", "edge", "anchor"}:
        assert [set(each) for each in found[0]] == [set(each) for each in found[1]]
