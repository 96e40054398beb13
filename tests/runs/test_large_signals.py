"""What a fit of 268 million points holds besides the picture: nothing of its size."""

import tracemalloc

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from nint_cli.config.schema import RunConfig
from nint_cli.runs.build import build_trainer
from nint_cli.schedules.clock import Clock
from nint_cli.signals.base import GridSignal

SIDE = 16_384


class Largest(TorchDispatchMode):
    """Remembers the largest memory of any tensor that is made meanwhile."""

    def __init__(self):
        super().__init__()
        self.nbytes = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        for each in tree_leaves(made):
            if isinstance(each, torch.Tensor):
                self.nbytes = max(self.nbytes, each.untyped_storage().nbytes())
        return made


class Watch:
    """Ends a fit after 8 steps."""

    def after_step(self, trainer, step):
        return "enough" if step.number == 8 else None


@pytest.mark.parametrize("field", ["siren", "hashgrid"])
@pytest.mark.parametrize("sampler", ["uniform", "nint_diagonal"])
@pytest.mark.parametrize("reshuffle", [True, False])
def test_nothing_grows_with_the_signal(field, sampler, reshuffle):
    pixels = torch.tensor([[10, 200, 90]], dtype=torch.uint8).expand(SIDE**2, 3)
    config = RunConfig.model_validate({
        "field": field,
        "sampler": sampler,
        "steps": 20,
        "batch": {"size": 512, "reshuffle": reshuffle},
        "siren": {"hidden_features": 8, "hidden_layers": 2},
        "hashgrid": {"log2_entries": 10},
        "nint_diagonal": {"start": 0.1},
        "engine": {"precision": "auto"},
        "optimiser": {"average": 0.1},
    })
    tracemalloc.start()
    try:
        with Largest() as largest:
            signal = GridSignal(pixels, (SIDE, SIDE), scale=255.0)
            trainer = build_trainer(config, signal, Clock())
            assert trainer.fit(Watch()) == "enough"
            state = trainer.state_dict()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert largest.nbytes <= 8 << 20
    assert peak < 128 << 20  # of NumPy, and of libraries that are loaded; a byte per point is 256
    assert sum(each.nbytes for each in state.tensors.values()) < 24 << 20
    assert trainer.trained == {"uniform": 8 * 512}
    if sampler == "nint_diagonal":
        assert "points" in trainer.sampler.unranked(len(signal))
