"""What makes a host wait for its GPU, looked for in the steps of the default presets on a CPU."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from nint_cli.config.layers import resolve
from nint_cli.config.presets import preset_layer
from nint_cli.config.schema import FIELD_NAMES
from nint_cli.config.yaml_text import parse_yaml
from nint_cli.modalities.image.signal import Picture
from nint_cli.runs.build import build_trainer
from nint_cli.schedules.clock import Clock
from tests.conftest import smooth_pixels
from tests.training.test_trainer import Until

SIGNAL = Picture(smooth_pixels(24, 25), "").signal()
STEPS = 40
BATCH = 50

aten = torch.ops.aten
WAITING = {
    aten._local_scalar_dense,
    aten.equal,
    aten.masked_select,
    aten.nonzero,
    aten._unique2,
    aten.unique_consecutive,
    aten.unique_dim,
}


class Watch(TorchDispatchMode):
    """Notes what would wait: reading a number, and results whose size depends on values."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        masks = func.overloadpacket in {aten.index, aten.index_put, aten.index_put_} and any(
            each is not None and each.dtype == torch.bool for each in args[1]
        )
        if func.overloadpacket in WAITING or masks:
            self.seen.append(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


class ByStep(Until):
    """Parts what was seen by the steps that it was seen in, and tells where an epoch began."""

    def __init__(self, watch):
        super().__init__()
        self.watch = watch
        self.steps = []
        self.seed = None

    def after_step(self, trainer, step):
        seed = trainer.sampler._draws._began
        self.steps.append((self.watch.seen, seed != self.seed))
        self.watch.seen, self.seed = [], seed


def default_trainer(field, sampler):
    settings = f"{{field: {field}, sampler: {sampler}, steps: {STEPS}, batch: {{size: {BATCH}}}"
    if field != "hashgrid":
        settings += f", {field}: {{hidden_features: 16, hidden_layers: 2}}"
    layers = [preset_layer("default"), parse_yaml(settings + "}", "settings")]
    return build_trainer(resolve(layers).config, SIGNAL, Clock())


@pytest.mark.parametrize("sampler", ["uniform", "nint_diagonal"])
@pytest.mark.parametrize("field", FIELD_NAMES)
def test_steps_wait_for_nothing_but_the_end_of_an_epoch(field, sampler):
    trainer = default_trainer(field, sampler)
    with Watch() as watch:
        trainer.fit(observer := ByStep(watch))
    assert len(observer.steps) == STEPS
    guided = dict(trainer.selections["last"].slots).keys() > {"uniform"}
    assert guided == (sampler == "nint_diagonal")
    ends = [seen for seen, seed in observer.steps if seed]
    assert 1 < len(ends) < STEPS / 8
    assert [seen for seen, seed in observer.steps if not seed] == [[]] * (STEPS - len(ends))


@pytest.mark.parametrize(
    "waits",
    [
        lambda x: int(x[0]),
        lambda x: bool((x > 0).all()),
        lambda x: x.nonzero(),
        lambda x: x[x > 1],
        lambda x: x.unique(),
        lambda x: x.masked_select(x > 1),
        lambda x: x.index_put_((x > 1,), x[0]),
    ],
)
def test_what_waits_is_seen(waits):
    with Watch() as watch:
        waits(torch.arange(4))
    assert watch.seen
