"""What the rules of an inspection say of a run."""

import re

import pytest

from nint_cli.comparison.record import Curve
from nint_cli.config.schema import SAMPLER_NAMES
from nint_cli.inspection.diagnosis import Facts, diagnose
from nint_cli.inspection.record import Leverage, Staleness
from tests.comparison.test_comparison import run as made_run


def facts(**more) -> Facts:
    steady = [(step, float(step), 10.0 + step) for step in range(1, 9)]
    return Facts(**({"run": made_run("nint", 0, *steady), "sampler": "nint", "rate": 1e-3} | more))


def finding(rule: str, **more) -> str:
    return next(each.finding for each in diagnose(facts(**more)) if each.rule == rule)


def even(variation: float) -> Leverage:
    return Leverage(mean=1, least=1, greatest=1, variation=variation, histogram=[1], edges=[0, 1])


def stale(rank: float | None) -> Staleness:
    return Staleness(from_step=5, lags=[1, 10], spearman=[1.0, rank], overlap=[1.0, 1.0])


def late(*values: float):
    return made_run("nint", 0, *((s, float(s), v) for s, v in enumerate(values, 1)))


@pytest.mark.parametrize(
    ("rule", "expected", "more"),
    [
        ("early progress", "ok", {}),
        ("early progress", "unknown", {"run": late(1, 2)}),
        ("early progress", "warning", {"run": late(10, 10, 10, 10, 20, 30, 40, 50)}),
        ("early progress", "warning", {"run": late(10, 10, 10, 10, 10)}),
        ("early progress", "warning", {"run": late(20, 30, 40, 10)}),
        ("edges", "unknown", {}),
        ("edges", "ok", {"errors": [1.0] * 10}),
        ("edges", "warning", {"errors": [1.0] * 9 + [50.0], "xi": 0.7}),
        ("cost of scoring", "ok", {}),
        ("cost of scoring", "warning", {"run": late(1, 2).model_copy(update={"sampler_s": 1.9})}),
        ("cost of scoring", "ok", {"baseline": late(1, 2, 3)}),
        ("cost of scoring", "warning", {"baseline": late(30, 31, 32)}),
        ("self-leverage", "unknown", {}),
        ("self-leverage", "ok", {"leverage": even(0.4)}),
        ("self-leverage", "warning", {"leverage": even(0.05)}),
        ("stale scores", "unknown", {}),
        ("stale scores", "unknown", {"staleness": stale(None)}),
        ("stale scores", "ok", {"staleness": stale(0.9)}),
        ("stale scores", "warning", {"staleness": stale(0.5)}),
        ("divergence", "ok", {}),
        ("divergence", "warning", {"run": late(1, 2).model_copy(update={"rescues": 2})}),
        ("divergence", "warning", {"run": late(1, 2).model_copy(update={"status": "diverged"})}),
        ("precision", "ok", {"products": "bfloat16", "floor_db": 66.0}),
        ("precision", "ok", {"products": "bfloat16", "floor_db": 66.0, "run": late(1, 55)}),
        ("precision", "warning", {"products": "bfloat16", "floor_db": 66.0, "run": late(1, 60)}),
        ("precision", "ok", {"products": "bfloat16", "run": late(1, 60)}),
        ("precision", "ok", {"products": None, "run": late(1, 60)}),
    ],
)
def test_rules_say_what_their_numbers_mean(rule, expected, more):
    assert finding(rule, **more) == expected


@pytest.mark.parametrize(
    ("found", "rate"), [({"rescues": 2}, "2.5e-05"), ({"status": "diverged"}, "5e-05")]
)
def test_a_fit_that_diverged_is_to_begin_with_the_rate_that_held(found, rate):
    """Half of the rate that it had, which on a large picture is not the one that is set."""
    run = late(1, 2).model_copy(update=found)
    advice = {each.rule: each.advice or "" for each in diagnose(facts(run=run, rate=1e-4))}
    assert f"optimiser.lr={rate} from the start" in advice["divergence"]


def test_a_fit_that_is_no_better_than_a_constant_is_to_learn_more_slowly():
    """Not faster, as one that is slow at first."""
    slow = {"run": late(10, 10, 10, 10, 20, 30, 40, 60), "rate": 4e-3}
    assert finding("early progress", **slow) == "warning"
    found = {each.rule: each for each in diagnose(facts(**slow, unexplained=1.01))}
    assert found["learning"].finding == "warning"
    assert "optimiser.lr=0.001" in found["learning"].advice
    assert found["early progress"].finding == "unknown"
    assert finding("learning", unexplained=0.5) == "ok"
    assert finding("learning") == "unknown"


def test_every_warning_has_numbers_and_advice():
    everything = facts(
        run=late(10, 10, 10, 10, 20, 30, 40, 60).model_copy(update={"rescues": 1}),
        errors=[1.0] * 9 + [50.0],
        leverage=even(0.01),
        staleness=stale(0.1),
        products="bfloat16",
        floor_db=70.0,
        baseline=late(*[90.0] * 8),
    )
    stuck = facts(unexplained=1.0)
    for each in [*diagnose(everything)[1:], diagnose(stuck)[0]]:
        assert each.finding == "warning", each
        assert each.advice
        assert each.numbers


@pytest.mark.parametrize("sampler", SAMPLER_NAMES)
def test_advice_names_no_setting_that_the_sampler_does_not_have(sampler):
    slow = late(10, 10, 10, 10, 20, 30, 40, 60).model_copy(update={"sampler_s": 0.0})
    behind = facts(run=slow, baseline=late(*[90.0] * 8), sampler=sampler)
    advice = {each.rule: each.advice or "" for each in diagnose(behind)}
    for rule in ("early progress", "cost of scoring"):
        named = {word.split(".")[0] for word in re.findall(r"\b\w+\.\w+", advice[rule])}
        assert named <= {sampler.removesuffix("_released"), "optimiser", "selection"}


def test_curves_that_have_nothing_are_no_fault():
    empty = Curve(step=[], train_s=[], passes=[], value=[])
    bare = late(1, 2).model_copy(update={"curve": empty})
    assert finding("early progress", run=bare) == "unknown"
    assert finding("cost of scoring", run=bare, baseline=bare) == "ok"
