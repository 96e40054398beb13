"""Threads and precision: what PyTorch is told, and what becomes of the numbers."""

from pathlib import Path

import pytest
import torch

from nint_cli.config.layers import resolve
from nint_cli.config.unused import without_effect
from nint_cli.config.yaml_text import set_layer
from nint_cli.derivatives.engine import EXACT, Engine
from nint_cli.derivatives.sweep import predict, pull_residual, pushforward, self_leverage
from nint_cli.device import cpu as cores
from nint_cli.device import settings as engine
from nint_cli.device.cpu import cpu_quota, usable_cores
from nint_cli.device.settings import EngineSettings
from nint_cli.fields.ffn import Ffn
from nint_cli.fields.finer import VariablePeriodicSine
from nint_cli.fields.gauss import Gaussian
from nint_cli.fields.hashgrid import HashGrid
from nint_cli.fields.kernels import loading
from nint_cli.fields.mlp import Relu
from nint_cli.fields.siren import Sine, Siren
from tests.cli.test_cli import nint, strict
from tests.conftest import generator, tiny_signal
from tests.training.test_trainer import SIGNAL, Until, assert_same, state_of, trainer_of

PICTURE = tiny_signal(dtype=torch.float32)


def fields():
    siren = {"hidden_features": 48, "hidden_layers": 3}
    yield Siren(2, 3, generator=generator(1), **siren)
    yield Ffn(2, 3, generator=generator(1))
    yield HashGrid((5, 6), 3, generator=generator(1))


def close(rounded, exact):
    error = (rounded - exact).norm() / exact.norm()
    return 0 < error < 0.1  # where ReLU flips a few signs; a product gone wrong is off by 1


@pytest.mark.parametrize("field", list(fields()), ids=lambda field: type(field).__name__)
def test_products_in_bfloat16_are_close_and_leave_all_else_in_float32(field):
    direction = [torch.randn(p.shape, generator=generator(4)) for p in field.parameters()]

    def everything(engine):
        pulled, residual = pull_residual(field, PICTURE, engine=engine)
        pushed = pushforward(field, PICTURE, direction, engine=engine)
        leverage = self_leverage(field, PICTURE, engine=engine)
        return [*pulled, residual, pushed, leverage, predict(field, PICTURE, engine=engine)]

    exact, rounded = everything(EXACT), everything(Engine(torch.bfloat16))
    for a, b in zip(rounded, exact, strict=True):
        assert a.dtype == torch.float32
        assert close(a, b) or torch.equal(a, b)
    assert close(rounded[-1], exact[-1])


def test_coords_keep_every_digit():
    """The first layer and the last are exact: with nothing between them nothing changes."""
    field = Siren(2, 3, hidden_features=16, hidden_layers=2, generator=generator(1))
    assert len(field.chain().layers) == 3
    coords, _ = PICTURE.slice(0, 30)
    block = Engine(torch.bfloat16).derivatives(field).linearise(coords)
    first, inner, last = block.inputs
    assert (first.dtype, inner.dtype, last.dtype) == (torch.float32, torch.bfloat16, torch.float32)
    assert torch.equal(first, coords)


@pytest.mark.parametrize("compiled", [True, False])
def test_the_oracle_of_a_product_in_bfloat16(compiled, monkeypatch):
    """A layer between others is act(W16 h16 + b16), rounded before and after the sine.

    A compiled pass adds the bias in float32, after the product was rounded.
    """
    if not compiled:
        monkeypatch.setattr(loading, "why_not", lambda: "pretended")
    field = Siren(2, 3, hidden_features=16, hidden_layers=2, generator=generator(1))
    coords, _ = PICTURE.slice(0, 30)
    found = Engine(torch.bfloat16).derivatives(field).linearise(coords)
    h = found.inputs[1].double()
    layer = field.chain().layers[1]
    weight = (layer.scale * layer.weight).detach().bfloat16().double()
    bias = (layer.scale * layer.bias).detach()
    if compiled:
        z = (h @ weight.T).bfloat16().double() + bias.double()
    else:
        z = (h @ weight.T + bias.bfloat16().double()).bfloat16().double()
    torch.testing.assert_close(found.inputs[2].double(), z.sin(), rtol=2**-8, atol=1e-6)
    slope = found.slopes[1]
    assert slope.dtype == torch.bfloat16
    torch.testing.assert_close(slope.double(), z.cos(), rtol=2**-8, atol=1e-6)


@pytest.mark.parametrize(
    "activation",
    [Sine(), Relu(), Gaussian(), VariablePeriodicSine(30.0)],
    ids=lambda activation: type(activation).__name__,
)
def test_an_activation_takes_rounded_numbers_where_that_costs_no_more_than_rounding(activation):
    z = torch.linspace(-4, 4, 2001).bfloat16()
    exact = activation.value_and_slope(z.double())
    found = activation.value_and_slope(z.clone())
    value = activation.value(z.clone())
    assert torch.equal(value, found[0])
    off = max(
        ((a.double() - b).abs() / b.abs().clamp(min=1)).max().item()
        for a, b in zip(found, exact, strict=True)
    )
    assert activation.takes_rounded == (off < 2**-7)


def test_a_picture_is_learnt_in_bfloat16():
    siren = {"hidden_features": 32, "hidden_layers": 2}
    more = {"steps": 300, "batch": {"fraction": 0.5}, "siren": siren}
    trainer = trainer_of(engine={"precision": "bf16"}, **more)
    assert trainer.engine == Engine(torch.bfloat16)
    assert trainer.fit(Until()) == "steps"
    assert all(parameter.dtype == torch.float32 for parameter in trainer.field.parameters())
    _, values = SIGNAL.slice(0, 256)
    mse = (predict(trainer.field, SIGNAL).clamp(0, 1) - values).square().mean()
    assert mse < 1e-3
    exact = trainer_of(**more)
    exact.fit(Until())
    weights = [t.state_dict().tensors["field.weights.1"] for t in (trainer, exact)]
    assert not torch.equal(*weights)


def test_going_on_in_bfloat16_equals_never_having_stopped():
    settings = {"engine": {"precision": "bf16"}}
    through, before, after = (trainer_of(**settings) for _ in range(3))
    through.fit(Until())
    before.fit(Until(9))
    after.load_state_dict(state_of(before))
    after.fit(Until())
    assert_same(through.state_dict(), after.state_dict())


def test_threads_are_those_asked_for_or_no_more_than_there_are(monkeypatch):
    cpu = torch.device("cpu")
    with engine.prepared(EngineSettings(threads=3), cpu):
        assert torch.get_num_threads() == 3
        for usable, expected in ((2, 2), (8, 3)):
            monkeypatch.setattr(engine, "usable_cores", lambda usable=usable: usable)
            with engine.prepared(EngineSettings(), cpu):
                assert torch.get_num_threads() == expected
            assert torch.get_num_threads() == 3
    assert torch.get_num_threads() == 1


def legacy():
    """Give what may be said of TF32 by its older names."""
    matmul = torch.backends.cuda.matmul
    return matmul.fp32_precision, matmul.allow_tf32, torch.get_float32_matmul_precision()


@pytest.mark.parametrize("before", ["highest", "high", "medium"])
def test_tf32_is_for_cuda_and_for_a_fit(before):
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    torch.set_float32_matmul_precision(before)
    try:
        found = legacy()
        with engine.prepared(EngineSettings(precision="tf32"), cpu):
            assert legacy() == found
        for precision, expected in (("tf32", "tf32"), ("full", "ieee"), ("bf16", "ieee")):
            with engine.prepared(EngineSettings(precision=precision), cuda):
                assert torch.backends.cuda.matmul.fp32_precision == expected
            assert legacy() == found
    finally:
        torch.set_float32_matmul_precision("highest")


def test_a_fit_that_fails_puts_everything_back():
    threads, found = torch.get_num_threads(), legacy()

    def fail():
        with engine.prepared(EngineSettings(threads=3, precision="tf32"), torch.device("cuda")):
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert (torch.get_num_threads(), legacy()) == (threads, found)


def test_tf32_counts_on_cuda_alone():
    resolved = resolve([set_layer(["engine.precision=tf32"])])
    for device, counts in (("cpu", False), ("cuda", True), ("cuda:1", True)):
        config = resolved.config.model_copy(update={"device": device})
        assert ("engine.precision" not in without_effect(config, "image")) == counts


@pytest.mark.parametrize(
    ("words", "note"),
    [
        (
            ["--precision", "tf32"],
            "precision=tf32 (--precision) has no effect: the fit is on a CPU",
        ),
        (
            ["--precision", "bf16", "--field", "wire"],
            "precision=bf16 (--precision) has no effect: field wire",
        ),
        (["--precision", "bf16"], None),
    ],
)
def test_a_precision_without_effect_is_told(capsys, smoke, words, note):
    small = ["--set", "wire.hidden_features=8", "--device", "cpu", "--set", "engine.threads=1"]
    code, _, err = nint(capsys, *smoke, *words, *small, "--steps", 3, "-o", "a")
    assert code == 0
    assert note in err if note else "engine.precision" not in err
    metrics = strict(Path("a/metrics.json"))
    assert metrics["config"]["engine"]["precision"] == words[1]
    assert metrics["environment"]["threads"] == 1


def groups(tmp_path, membership, **files):
    (tmp_path / "cgroup").write_text(membership)
    for name, text in files.items():
        path = tmp_path / "groups" / name.replace("__", "/").replace("_max", ".max")
        path = path.with_name(path.name.replace("cfs", "cpu.cfs"))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return cpu_quota(tmp_path / "cgroup", tmp_path / "groups")


def test_quotas_of_version_2(tmp_path):
    assert groups(tmp_path, "0::/a/b\n") is None
    assert groups(tmp_path, "0::/a/b\n", a__b__cpu_max="max 100000") is None
    assert groups(tmp_path, "0::/a/b\n", a__cpu_max="250000 100000\n") == 2.5
    assert groups(tmp_path, "0::/a/b\n", cpu_max="150000 100000") == 1.5
    assert groups(tmp_path, "0::/\n") == 1.5
    assert groups(tmp_path, "0::/\n", cpu_max="damaged") is None


def test_quotas_of_version_1(tmp_path):
    lines = "4:memory:/m\n3:cpu,cpuacct:/a\n"
    quota = "cpu,cpuacct__a__cfs_quota_us"
    period = {"cpu,cpuacct__a__cfs_period_us": "100000\n"}
    assert groups(tmp_path, lines, **{quota: "-1\n"}, **period) is None
    assert groups(tmp_path, lines, **{quota: "300000\n"}) == 3.0
    assert groups(tmp_path, "4:memory:/a\n") is None


def test_cores_are_the_least_of_affinity_and_quota(monkeypatch, tmp_path):
    assert cpu_quota(tmp_path / "none", tmp_path) is None
    monkeypatch.setattr(cores.os, "sched_getaffinity", lambda _: {0, 1, 2, 3}, raising=False)
    for quota, expected in ((None, 4), (2.5, 2), (0.5, 1), (9.0, 4)):
        monkeypatch.setattr(cores, "cpu_quota", lambda quota=quota: quota)
        assert usable_cores() == expected
    monkeypatch.delattr(cores.os, "sched_getaffinity")
    monkeypatch.setattr(cores.os, "cpu_count", lambda: 7)
    assert usable_cores() == 7


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [({"avx512_bf16": True}, torch.bfloat16), ({"amx_bf16": True}, torch.bfloat16), ({}, None)],
)
def test_auto_is_bf16_where_the_processor_has_it(monkeypatch, capabilities, expected):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    for device, wanted in (("cpu", expected), ("cuda", None)):
        found = {
            name: engine.products(EngineSettings(precision=name), torch.device(device))
            for name in ("auto", "full", "tf32", "bf16")
        }
        assert found == {"auto": wanted, "full": None, "tf32": None, "bf16": torch.bfloat16}
