import math

import pytest
import torch

from nint_cli.derivatives.engine import Engine
from nint_cli.derivatives.probe import Probe
from nint_cli.derivatives.sweep import Passes, predict
from nint_cli.random import Draws
from nint_cli.samplers.drawing import draw_distinct
from nint_cli.samplers.int import Int
from nint_cli.samplers.nint import Nint
from nint_cli.samplers.nint_released import NintReleased
from nint_cli.samplers.slots import Mixture
from nint_cli.samplers.uniform import Uniform
from nint_cli.schedules import laws
from nint_cli.schedules.batch_size import BatchPlan
from tests import oracles
from tests.conftest import generator, tiny_field, tiny_signal

PLAN = BatchPlan(0.2, "constant", None, 1000)
SIGNAL = tiny_signal((12, 15))


def perturbed(step: int):
    """A field that moves a little every step, as training would."""
    field = tiny_field()
    with torch.no_grad():
        for parameter in field.parameters():
            noise = torch.randn(parameter.shape, generator=generator(step), dtype=parameter.dtype)
            parameter += 0.02 * noise
    return field


def slots(selection):
    """Split the indices by the rule that chose them."""
    sizes = [size for _, size in selection.slots]
    names = [name for name, _ in selection.slots]
    return dict(zip(names, selection.indices.split(sizes), strict=True))


CPU = torch.device("cpu")


def stream(seed=0):
    return Draws(seed).stream("any")


# Drawing


@pytest.mark.parametrize(
    ("population", "count", "excluded"),
    [
        (1, 1, 0),
        (10, 10, 0),
        (1000, 3, 0),
        (1000, 3, 500),
        (100, 60, 40),
        (100_000, 9_000, 20_000),
    ],
)
def test_draws_are_distinct_in_range_and_never_excluded(population, count, excluded):
    exclude = torch.randperm(population, generator=generator(9))[:excluded]
    drawn = draw_distinct(population, count, stream(), CPU, exclude=exclude)
    assert drawn.shape == (count,)
    assert len(drawn.unique()) == count
    assert 0 <= drawn.min()
    assert drawn.max() < population
    assert not torch.isin(drawn, exclude).any()


@pytest.mark.parametrize(("count", "exclude"), [(3, []), (25, []), (3, [0, 1, 7, 39]), (20, [5])])
def test_every_point_is_equally_likely(count, exclude):
    """Pearson's statistic over 4000 draws of both ways to draw, sparse and dense."""
    population, rounds, rng = 40, 4000, stream(11)
    hits = torch.zeros(population)
    excluded = torch.tensor(exclude, dtype=torch.int64)
    for _ in range(rounds):
        hits[draw_distinct(population, count, rng, CPU, exclude=excluded)] += 1
    left = population - len(exclude)
    allowed = torch.ones(population, dtype=torch.bool)
    allowed[excluded] = False
    p = count / left
    statistic = ((hits[allowed] - rounds * p) ** 2 / (rounds * p * (1 - p))).sum().item()
    freedom = left - 1
    assert abs(statistic - freedom) < 5 * math.sqrt(2 * freedom)


# Batch size


@pytest.mark.parametrize(
    ("plan", "population", "expected"),
    [
        (BatchPlan(0.2, "constant", None, 10), 65_536, 13_107),
        (BatchPlan(0.2, "constant", None, 10), 3, 1),
        (BatchPlan(1.0, "constant", None, 10), 7, 7),
        (BatchPlan(0.2, "constant", 50, 10), 40, 40),
        (BatchPlan(0.2, "constant", 30, 10), 40, 30),
    ],
)
def test_batch_size_is_truncated_and_at_least_one(plan, population, expected):
    assert plan.count(0, population) == expected


# INT


def test_int_chooses_the_largest_residuals():
    field, passes = tiny_field(), Passes()
    selection = Int(PLAN).select(0, Probe(field, SIGNAL, passes), Draws(0, 0))
    error = oracles.residual(field, SIGNAL).abs().sum(1)
    expected = sorted(range(180), key=lambda i: -float(error[i]))[:36]
    assert set(selection.indices.tolist()) == set(expected)
    assert passes == Passes(forward=1)


@pytest.mark.parametrize(
    ("interval", "refreshed"),
    [
        ("dense", list(range(40))),
        ("dense2", [0, 3, 6, 9, 12, 15, 18, 21, 24, 27, 30, 33, 36, 39]),
        # 10 dense steps; a phase has 6 steps, and the intervals are 10, 20, 30, 40, 50.
        ("incremental", [*range(10), 10, 20]),
        # A phase has 4 steps: intervals 90, ..., 10, and dense from 36 on.
        ("reverse_incremental", [0, 36, 37, 38, 39]),
        # A phase has 6 steps: intervals 40, 30, 20, 10, 1, and dense from 30 on.
        ("decremental", [0, 20, *range(24, 40)]),
    ],
)
def test_int_chooses_anew_when_its_interval_says_so(interval, refreshed):
    """In between, the same points train, as many as there were, while the batch would grow."""
    sampler = Int(BatchPlan(0.2, "linear", None, 40), interval=interval, every=3)
    expected = set()
    for step in range(40):
        field, passes = perturbed(step), Passes()
        indices = sampler.select(step, Probe(field, SIGNAL, passes), Draws(0, step)).indices
        if step in refreshed:
            count = int((0.2 + step / 40 * 0.8) * 180)
            error = oracles.residual(field, SIGNAL).abs().sum(1)
            expected = set(sorted(range(180), key=lambda i: -float(error[i]))[:count])
        assert passes.forward == (step in refreshed)
        assert set(indices.tolist()) == expected
        assert set(sampler.state_dict()) == (set() if interval == "dense" else {"selected"})


def test_int_ranks_no_batch_that_is_everything():
    probe = Probe(tiny_field(), SIGNAL, passes := Passes())
    selection = Int(BatchPlan(1.0, "constant", None, 40)).select(0, probe, Draws(0, 0))
    assert selection.indices.tolist() == list(range(180))
    assert passes == Passes()


# NINT


def test_nint_fills_its_slots_as_the_slow_version_does():
    """100 steps against sorting lists by dense-kernel scores, with caching done by hand."""
    sampler = Nint(PLAN)
    cached: list[int] = []
    for step in range(75):
        field, passes = perturbed(step), Passes()
        found = slots(sampler.select(step, Probe(field, SIGNAL, passes), Draws(step, step)))
        share = 0.3 * math.exp(-step / 10)
        share = share if share >= 1e-3 else 0.0
        if step % 10 == 0:
            scores = oracles.ntk_scores(field, SIGNAL)
            cached = sorted(range(180), key=lambda i: -float(scores[i]))
        ntk = set(cached[: int(36 * share)])
        assert set(found["ntk"].tolist()) == ntk, step
        fake_scores = torch.tensor([1.0 if i in ntk else 0.0 for i in range(180)])
        residual = oracles.residual(field, SIGNAL)
        count_share = len(ntk) / 36
        _, hard = oracles.nint_selection(fake_scores, residual, 36, count_share + 1e-12, 0.7)
        wanted = int(36 * (0.3 - share) + 1e-9)
        error = residual.abs().sum(1)
        left = sorted((i for i in range(180) if i not in ntk), key=lambda i: -float(error[i]))
        assert set(found["residual"].tolist()) == set(left[:wanted]), step
        assert len(hard) >= wanted
        assert sum(len(part) for part in found.values()) == 36


@pytest.mark.parametrize("law", ["exponential", "stepwise"])
def test_scoring_passes_run_when_due_and_never_below_the_least_share(law):
    plan = BatchPlan(0.9, "constant", None, 1000)
    signal = tiny_signal((60, 60))
    sampler, scored = Nint(plan, Mixture(share_law=law)), []
    for step in range(90):
        passes = Passes()
        sampler.select(step, Probe(tiny_field(), signal, passes), Draws(0, step))
        if passes.jvp:
            scored.append(step)
            assert passes == Passes(vjp=1, jvp=1)  # the residual came with the scores
        else:
            assert passes == Passes(forward=1)
    expected = [
        step
        for step in range(0, 90, 10)
        if laws.ntk_share(law, step, xi=0.7, alpha=10, lambda_=1.0) >= 1e-3
    ]
    assert scored == expected
    if law == "exponential":
        assert scored == [0, 10, 20, 30, 40, 50]


def test_cached_points_are_reused_between_refreshes():
    sampler = Nint(BatchPlan(0.9, "constant", None, 1000), Mixture(lambda_=0.0))
    chosen = [
        slots(sampler.select(step, Probe(perturbed(step), SIGNAL, Passes()), Draws(0, step)))[
            "ntk"
        ]
        for step in range(21)
    ]
    assert all(torch.equal(chosen[0], other) for other in chosen[1:10])
    assert not torch.equal(chosen[0], chosen[10])


def test_nint_without_guidance_is_uniform_and_with_residual_alone_is_int():
    field = tiny_field()
    uniform = Uniform(PLAN).select(0, Probe(field, SIGNAL, Passes()), Draws(1, 0)).indices
    probe = Probe(field, SIGNAL, passes := Passes())
    assert torch.equal(Nint(PLAN, Mixture(xi=1.0)).select(0, probe, Draws(1, 0)).indices, uniform)
    assert passes == Passes()
    probe = Probe(field, SIGNAL, Passes())
    hardest = Int(PLAN).select(0, Probe(field, SIGNAL, Passes()), Draws(1, 0))
    no_scores = Mixture(xi=0.0, min_share=1.0, lambda_=9.0)
    residual_only = Nint(PLAN, no_scores).select(1, probe, Draws(1, 1))
    assert set(residual_only.indices.tolist()) == set(hardest.indices.tolist())


def test_guidance_can_start_late_and_the_residual_be_swept_rarely():
    sampler = Nint(PLAN, Mixture(start=0.007), residual_every=5)
    forward, scored = [], []
    for step in range(30):
        passes = Passes()
        selection = sampler.select(step, Probe(perturbed(step), SIGNAL, passes), Draws(step, step))
        if passes.forward:
            forward.append(step)
        if passes.vjp:
            scored.append(step)
        if step < 7:
            assert selection.slots == (("uniform", 36),)
        else:
            residual = dict(selection.slots)["residual"]
            share = 0.3 * math.exp(-(step - 7) / 10)
            assert residual == int(36 * (0.3 - share) + 1e-9)
    assert scored == [7, 17, 27]
    assert forward == [12, 22]


def channel_scores(kind, field):
    """What the NTK slot ranks by, from the dense Jacobian."""
    coords, _ = oracles.all_points(SIGNAL)
    residual = oracles.residual(field, SIGNAL)
    if kind == "residual":
        return residual
    if kind == "last_layer":
        jacobian = oracles.jacobian(field, coords, field.last_layer())
        return torch.einsum("icp,jdp,jd->ic", jacobian, jacobian, residual)
    kernel = oracles.dense_ntk(field, coords)
    if kind == "self_leverage":
        diagonal = torch.stack([
            torch.stack([kernel[i, c, i, c] for c in range(3)]) for i in range(180)
        ])
        return diagonal * residual
    return torch.einsum("iakb,kb->ia", kernel, residual)


@pytest.mark.parametrize("norm", ["l1", "l2"])
@pytest.mark.parametrize("kind", ["product", "self_leverage", "residual", "last_layer"])
def test_the_ntk_slot_ranks_by_the_score_that_is_named(kind, norm):
    field = perturbed(0)
    scores = channel_scores(kind, field)
    size = [sum(abs(x) if norm == "l1" else x * x for x in row) for row in scores.tolist()]
    expected = sorted(range(180), key=lambda i: -size[i])[:10]
    sampler = Nint(PLAN, score=kind, score_norm=norm)
    found = slots(sampler.select(0, Probe(field, SIGNAL, Passes()), Draws(0, 0)))
    assert found["ntk"].tolist() == expected


@pytest.mark.parametrize(
    ("kind", "passes"),
    [
        ("product", Passes(vjp=1, jvp=1)),
        ("residual", Passes(forward=1)),
        ("last_layer", Passes(forward=2)),
        ("sketch", Passes(forward=1, jvp=3)),
    ],
)
def test_a_score_asks_for_no_more_than_it_needs(kind, passes):
    sampler, counted = Nint(PLAN, score=kind, sketches=3), Passes()
    sampler.select(0, Probe(perturbed(0), SIGNAL, counted), Draws(0, 0))
    assert counted == passes


def test_sketches_are_drawn_from_their_stream_as_many_as_are_asked_for():
    field = perturbed(0)
    probe = Probe(field, SIGNAL, Passes())
    estimate = torch.cat([
        part for _, part, _ in probe.sketched_blocks(Draws(5).stream("sketches"), 3)
    ])
    expected = estimate.square().sum(1).topk(10).indices
    sampler = Nint(PLAN, score="sketch", sketches=3)
    found = slots(sampler.select(0, Probe(field, SIGNAL, Passes()), Draws(5, 0)))
    assert torch.equal(found["ntk"], expected)


def test_an_unknown_score_is_refused():
    with pytest.raises(ValueError, match="unknown NTK score 'x'"):
        Nint(PLAN, score="x").select(0, Probe(tiny_field(), SIGNAL, Passes()), Draws(0, 0))


@pytest.mark.parametrize(
    ("settings", "refreshed", "scored"),
    [
        ({"interval": "dense2", "every": 5}, range(0, 60, 5), [0, 10, 20, 30, 40, 50]),
        # Another 10 steps have passed at the first refresh from 10, 20, ... on.
        ({"interval": "dense2", "every": 7}, range(0, 60, 7), [0, 14, 21, 35, 42, 56]),
        # 15 dense steps, then phases of 9 steps with intervals 10, 20, 30, 40, 50.
        ({"interval": "incremental"}, [*range(15), 20], [0, 10, 20]),
        # Phases of 9 steps: intervals 40, 30, 20, 10, 1, and dense from 36 on.
        ({"interval": "decremental"}, [0, 20, 30, *range(36, 60)], [0, 20, 30, 40, 50]),
        ({"interval": "dense2", "every": 6, "start": 1 / 3}, range(20, 60, 6), [20, 32, 44, 50]),
        # Of the 40 guided steps 10 are dense, then phases of 6 steps.
        ({"interval": "incremental", "start": 1 / 3}, [*range(20, 31), 40], [20, 30, 40]),
    ],
)
def test_nint_trains_on_the_same_points_between_refreshes(settings, refreshed, scored):
    """The random ones too, and without a pass; t goes on in between."""
    start = settings.get("start", 0.0)
    more = {key: value for key, value in settings.items() if key != "start"}
    mixture = Mixture(lambda_=0.1, start=start)
    sampler = Nint(BatchPlan(0.5, "constant", None, 60), mixture, **more)
    seed, before, swept, ranked = 0, None, [], []
    for step in range(60):
        passes = Passes()
        selection = sampler.select(step, Probe(perturbed(step), SIGNAL, passes), Draws(seed, step))
        age = step - round(60 * start)
        if step in refreshed:
            swept.append(step)
            share = 0.3 * math.exp(-0.1 * age / 10)
            sizes = dict(selection.slots)
            assert sizes["ntk"] == int(90 * share)
            assert sizes["residual"] == int(90 * (0.3 - share) + 1e-9)
            assert not sizes["residual"] or passes.forward or passes.vjp
            if passes.vjp:
                ranked.append(step)
        elif age > 0:
            assert torch.equal(selection.indices, before.indices)
            assert selection.slots == before.slots
            assert passes == Passes()
        before = selection
    assert swept == list(refreshed)
    assert ranked == scored


# The released code


def test_released_nint_ranks_by_brightness_with_a_stepwise_share():
    sampler = NintReleased(BatchPlan(0.9, "constant", None, 1000))
    calls = []
    for step in range(70):
        field, passes = perturbed(step), Passes()
        probe = Probe(field, SIGNAL, passes)
        bright = slots(sampler.select(step, probe, Draws(step, step)))["bright"]
        share = 0.3 * math.exp(-max(1, (step + 1) // 10))
        assert len(bright) == int(162 * share)
        score = predict(field, SIGNAL).square().sum(1)
        brightest = sorted(range(180), key=lambda i: -float(score[i]))[: len(bright)]
        if (step == 0 or (step + 1) % 10 == 0) and share >= 1e-3:
            assert set(bright.tolist()) == set(brightest)
            calls.append(step)
        assert passes == Passes(forward=1)
    assert calls == [0, 9, 19, 29, 39, 49]


def test_released_slots_are_those_of_the_trace():
    """Slot sizes at N = 262144, B = 20 %, as traced in the released code."""
    assert [
        int(52_428 * laws.ntk_share("stepwise", step, xi=0.7, alpha=10, lambda_=1.0))
        for step in (0, 9, 19, 29, 39, 49, 59)
    ] == [5786, 5786, 2128, 783, 288, 105, 38]


@pytest.mark.parametrize(
    "sampler",
    [Int(PLAN), Nint(PLAN), Nint(PLAN, gradient="moment"), Nint(PLAN, Mixture(xi=0.2, start=0.0))],
)
def test_rankings_never_hold_a_number_for_every_point(sampler, monkeypatch):
    """Scores come and go block by block, so memory is that of the batch."""

    def too_much(*_):
        raise AssertionError("a tensor of N rows")

    monkeypatch.setattr(Probe, "prediction_and_residual", too_much)
    engine = Engine(block=32)
    passes = Passes()
    for step in range(3):
        probe = Probe(perturbed(step), SIGNAL, passes, engine=engine)
        selection = sampler.select(step, probe, Draws(0, step))
        assert len(selection.indices.unique()) == 36
    assert passes.forward + passes.jvp >= 3  # all points were looked at, at every step
