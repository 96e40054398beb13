"""When a fit leaves bfloat16, and that it does so the same way again."""

import json
import math
from pathlib import Path

import pytest
import torch

from nint_cli.config.schema import RunConfig
from nint_cli.derivatives.engine import EXACT, Engine
from nint_cli.derivatives.sweep import predict
from nint_cli.fields.siren import Siren
from nint_cli.fields.table import FIELDS, field_class
from nint_cli.modalities.image.signal import Picture
from nint_cli.runs.build import build_trainer
from nint_cli.schedules.clock import Clock
from nint_cli.signals.points import PointSignal
from nint_cli.training.precision import MARGIN_DB, PrecisionSwitch, value_range
from tests.cli.test_cli import nint, strict
from tests.conftest import generator, smooth_pixels
from tests.training.test_trainer import Until, assert_same, state_of, trainer_of

ROUNDED = Engine(torch.bfloat16)
AUTO = {"engine": {"precision": "auto"}}


@pytest.fixture
def able(monkeypatch):
    """Let the processor have instructions for bfloat16, whether it has or not."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})


@pytest.fixture
def near(monkeypatch, able):
    """Let the floor of a SIREN be so high that a small one comes near it soon."""
    monkeypatch.setattr(Siren, "bf16_floor_db", 11.5)


def small(precision="auto", sampler="nint", **more):
    """A small SIREN that comes within 5 dB of that after some 20 of 40 steps."""
    optimiser = {"lr": 2e-3, "schedule": "cosine", "warmup": 0.2, **more.pop("optimiser", {})}
    settings = {"engine": {"precision": precision}, "optimiser": optimiser, "steps": 40}
    return trainer_of(sampler, **{**settings, **more})


def switch(floor_db=40.0, span=1.0):
    return PrecisionSwitch(torch.bfloat16, floor_db, span)


def slow_first_step_near(losses, floor_db, span):
    """The first step whose weighted mean of losses is near the floor, by sums in float64."""
    for count in range(10, len(losses) + 1):
        weights = [0.9 ** (count - 1 - i) for i in range(count)]
        mean = math.fsum(w * x for w, x in zip(weights, losses, strict=False)) / sum(weights)
        if 10 * math.log10(span**2 / mean) >= floor_db - MARGIN_DB:
            return count
    return None


@pytest.mark.parametrize("span", [1.0, 2.0, 0.01])
def test_float32_begins_where_the_mean_loss_is_near_the_floor(span):
    draws = torch.rand(200, generator=generator(3), dtype=torch.float64)
    losses = [span**2 * 0.1 * 0.96**step * (0.3 + u) for step, u in enumerate(draws.tolist())]
    watched, engine, left = switch(40.0, span), ROUNDED, None
    for step, loss in enumerate(losses):
        watched.see(loss)
        engine = watched.engine(engine, step + 1)
        if engine == EXACT and left is None:
            left = step + 1
    assert left == watched.left_after == slow_first_step_near(losses, 40.0, span)
    assert 30 < left < 200


def test_one_good_batch_is_not_enough_and_the_way_back_is_closed():
    watched = switch()
    for loss in [*[1e-1] * 5, 1e-9, *[1e-1] * 5]:
        watched.see(loss)
        assert watched.engine(ROUNDED, 7) == ROUNDED
    for _ in range(100):
        watched.see(1e-5)
    assert watched.engine(ROUNDED, 9) == EXACT
    for _ in range(100):
        watched.see(1.0)
    assert watched.engine(EXACT, 10) == EXACT
    assert watched.left_after == 9


def test_few_losses_and_those_of_other_points_tell_nothing():
    watched = switch()
    for step in range(9):
        watched.see(1e-9)
        assert watched.engine(ROUNDED, step + 1) == ROUNDED
    watched.see(1e-9, first=True)
    assert watched.engine(ROUNDED, 10) == ROUNDED
    for _ in range(9):
        watched.see(math.nan)
        watched.see(1e-9)
    assert watched.engine(ROUNDED, 19) == EXACT


def test_a_block_size_stays():
    watched = switch()
    for _ in range(10):
        watched.see(0.0)
    assert watched.engine(Engine(torch.bfloat16, block=7), 10) == Engine(None, block=7)


def test_values_have_one_range_over_points_and_channels():
    coords = torch.rand(9, 2)
    values = torch.tensor([[0.2, 0.5]] * 8 + [[-0.25, 0.4]])
    assert value_range(PointSignal(coords, values)) == pytest.approx(0.75)
    assert value_range(PointSignal(coords, values, half_range=2)) == pytest.approx(1.5)


def test_the_range_of_a_large_signal_takes_no_look_at_all_of_it():
    asked = []

    class Large:
        device = torch.device("cpu")

        def __len__(self):
            return 1 << 28

        def at(self, indices):
            asked.append(indices)
            return indices[:, None], (indices[:, None] % 7).float()

    assert value_range(Large()) == 6
    (indices,) = asked
    assert (1 << 16) <= len(indices) <= (1 << 17)
    assert indices[-1] > (1 << 28) * 0.99


def test_floors_are_those_of_chains_and_lower_where_more_is_lost():
    floors = {name: field_class(name).bf16_floor_db for name in FIELDS}
    assert floors["wire"] is None
    assert floors["gauss"] < floors["finer"] < floors["siren"]
    for name, floor in floors.items():
        assert floor is None or 40 < floor < 80, name


# In a fit


def test_auto_leaves_bfloat16_and_bf16_and_full_do_not_change(near):
    trainers = {p: small(p) for p in ("auto", "bf16", "full")}
    assert [t.engine for t in trainers.values()] == [ROUNDED, ROUNDED, EXACT]
    for trainer in trainers.values():
        trainer.fit(Until())
    assert [t.engine for t in trainers.values()] == [EXACT, ROUNDED, EXACT]
    assert 10 < trainers["auto"].precision.left_after < 30
    weights = [t.state_dict().tensors["field.weights.1"] for t in trainers.values()]
    assert not torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_until_then_it_has_the_bits_of_bfloat16(near):
    auto = small()
    auto.fit(Until())
    last = auto.precision.left_after
    ends = []
    for precision in ("auto", "bf16"):
        trainer = small(precision)
        trainer.fit(Until(last))
        ends.append(trainer.state_dict().tensors)
    for name, tensor in ends[0].items():
        assert torch.equal(tensor, ends[1][name]), name


@pytest.mark.parametrize("rescue", [True, False])
@pytest.mark.parametrize("sampler", ["nint", "int", "soft_mining", "evos"])
def test_going_on_equals_never_having_stopped(near, sampler, rescue):
    optimiser = {"rescue": rescue}
    through = small(sampler=sampler, optimiser=optimiser)
    through.fit(Until())
    left = through.precision.left_after
    assert left is not None
    for stop in (1, left - 1, left, left + 1, 39):
        before, after = (small(sampler=sampler, optimiser=optimiser, seed=seed) for seed in (0, 9))
        before.fit(Until(stop))
        after.seed = before.seed
        after.load_state_dict(state_of(before))
        assert after.engine == (EXACT if stop >= left else ROUNDED)
        after.fit(Until())
        assert_same(through.state_dict(), after.state_dict())


def test_a_state_of_before_there_was_a_way_out_goes_on(near):
    before, after = small(), small()
    before.fit(Until(5))
    state = state_of(before)
    del state.numbers["precision"]
    after.seed = before.seed
    after.load_state_dict(state)
    after.fit(Until())
    assert after.precision.left_after is not None


@pytest.mark.parametrize(
    ("capabilities", "settings"),
    [
        ({}, AUTO),
        ({"amx_bf16": True}, {**AUTO, "field": "wire", "wire": {"hidden_features": 8}}),
        ({"amx_bf16": True}, {"engine": {"precision": "full"}}),
    ],
)
def test_where_there_is_nothing_to_leave_all_is_float32(monkeypatch, capabilities, settings):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    trainer = trainer_of(**settings)
    assert (trainer.engine, trainer.precision) == (EXACT, None)
    assert "precision" not in trainer.state_dict().numbers


def test_a_fit_passes_the_floor_under_auto(able):
    """A GAUSS has the lowest floor."""
    signal = Picture(smooth_pixels(8, 8, bits=16), "").signal()
    _, values = signal.slice(0, 64)
    ends = {}
    for precision in ("auto", "bf16"):
        settings = {
            "field": "gauss",
            "sampler": "full",
            "steps": 250,
            "optimiser": {"lr": 2e-3, "schedule": "cosine", "warmup": 0.05, "beta2": 0.98},
            "gauss": {"hidden_features": 64, "hidden_layers": 3, "scale": 10.0},
            "engine": {"precision": precision},
        }
        trainer = build_trainer(RunConfig.model_validate(settings), signal, Clock())
        trainer.fit(Until())
        mse = (predict(trainer.field, signal) - values).square().mean()
        ends[precision] = -10 * math.log10(mse)
    assert ends["auto"] > 80
    assert ends["bf16"] < 60


# What a run says


def test_a_run_says_once_when_and_why_it_left_bfloat16(capsys, smoke, near):
    code, _, err = nint(capsys, *smoke, "--precision", "auto", "--steps", 60, "-o", "a")
    assert code == 0
    found = strict(Path("a/metrics.json"))["precision"]
    steps = found["until_step"]
    assert found["products"] == "bfloat16"
    assert 10 <= steps < 60
    assert f"float32 instead of bfloat16 after {steps} steps" in err
    assert err.count("instead of bfloat16") == 1
    assert "within 5 dB of 11.5 dB below the range of the values, where" in found["reason"]
    rows = [json.loads(row) for row in Path("a/log.jsonl").read_text().splitlines()]
    told = {"event": "precision", "step": steps, "products": "float32"}
    assert [row for row in rows if "event" in row] == [told]


@pytest.mark.parametrize(
    ("words", "products", "reason"),
    [
        (
            ["auto"],
            "bfloat16",
            "auto: the loss stayed 5 dB and more from 62 dB below the range of the values",
        ),
        (["bf16"], "bfloat16", "engine.precision=bf16"),
        (["full"], None, "engine.precision=full"),
        (["auto", "--field", "wire"], None, "auto: the field wire never takes bfloat16"),
    ],
)
def test_a_run_that_did_not_leave_it_says_so_too(
    capsys, smoke, able, monkeypatch, words, products, reason
):
    monkeypatch.setattr(Siren, "bf16_floor_db", 62.0)
    small = ["--set", "wire.hidden_features=8", "--steps", 3, "-o", "a"]
    code, _, err = nint(capsys, *smoke, "--precision", *words, *small)
    assert code == 0
    assert "float32 instead" not in err
    metrics = strict(Path("a/metrics.json"))
    found = {"products": products, "until_step": None, "reason": reason}
    assert metrics["precision"] == found
    assert metrics["environment"]["products"] == products


def test_without_instructions_for_it_there_is_no_bfloat16(capsys, smoke, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)
    code, _, _ = nint(capsys, *smoke, "--precision", "auto", "--steps", 3, "-o", "a")
    assert code == 0
    found = strict(Path("a/metrics.json"))["precision"]
    assert found["reason"] == "auto: no CPU with instructions for bfloat16"


def test_a_run_that_goes_on_does_not_say_it_again(capsys, smoke, near):
    stop = ["--steps", 60, "--set", "checkpoint.every=1", "-o", "a"]
    code, _, err = nint(capsys, *smoke, "--precision", "auto", *stop)
    assert code == 0
    assert "instead of bfloat16" in err
    code, _, err = nint(capsys, "resume", "a", "--steps", 64)
    assert code == 0, err
    assert "instead of bfloat16" not in err
    metrics = strict(Path("a/metrics.json"))
    assert metrics["steps"] == 64
    assert metrics["precision"]["products"] == "bfloat16"
    assert 10 <= metrics["precision"]["until_step"] < 60
    code, out, _ = nint(capsys, "inspect", "a")
    assert code == 0
    assert "products in bfloat16" not in out
