"""Figures over runs, against slow ways to the same; the learning-rate search; the table."""

import csv
import io
import math

import pytest

from nint_cli.comparison import files, statistics, summary, tuning
from nint_cli.comparison.record import Curve, InputEntry, RunEntry, Trial, VariantEntry
from nint_cli.comparison.table import table


def curve(*points: tuple[int, float, float | None]) -> Curve:
    steps, seconds, values = zip(*points, strict=True)
    return Curve(
        step=list(steps),
        train_s=list(seconds),
        passes=[2.0 * step for step in steps],
        value=list(values),
    )


def run(variant: str, seed: int, *points, name="photo", status="complete") -> RunEntry:
    log = curve(*points) if points else Curve(step=[], train_s=[], passes=[], value=[])
    end = points[-1] if points else (0, None, None)
    return RunEntry(
        input=name,
        variant=variant,
        seed=seed,
        folder=f"runs/{name}/{variant}/{seed}",
        command=f"nint fit image {name}.png",
        status=status,
        stop_reason="steps",
        steps=end[0],
        train_s=end[1],
        sampler_s=0.1,
        update_s=0.2,
        passes=2.0 * end[0],
        rescues=0,
        value=end[2],
        best=end[2],
        best_step=end[0],
        figures={"psnr_db": end[2], "ssim": None},
        parameters=10,
        peak_rss_bytes=None,
        lr=0.001,
        config_sha256="0" * 64,
        environment={"torch": "2", "threads": 1},
        nint_version="0",
        curve=log,
        to_target={},
    )


def variant(name: str) -> VariantEntry:
    return VariantEntry(
        name=name, sampler=name, field="siren", settings={"sampler": name}, lr=0.001
    )


def compared(runs, variants=("uniform", "nint"), *, targets=None, inputs=("photo",), **more):
    return summary.compare(
        "image",
        "psnr_db",
        [
            InputEntry(name=name, source=f"/{name}.png", sha256="0" * 64, described="8x8 pixels")
            for name in inputs
        ],
        [variant(name) for name in variants],
        runs,
        baseline="uniform",
        targets=targets,
        nint_version="0",
        **more,
    )


def test_a_spread_leaves_out_and_counts_what_is_missing():
    found = statistics.spread([3.0, None, 1.0, math.inf])
    assert (found.mean, found.low, found.high, found.count, found.missing) == (2.0, 1.0, 3.0, 2, 2)
    nothing = statistics.spread([None])
    assert (nothing.mean, nothing.count, nothing.missing) == (None, 0, 1)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0.5, None), (1.0, 10.0), (1.5, 15.0), (2.0, 20.0), (3.0, 22.0), (4.0, 24.0), (4.1, None)],
)
def test_a_value_at_a_time_lies_on_the_line_between_evaluations(seconds, expected):
    log = curve((1, 1.0, 10.0), (2, 2.0, 20.0), (3, 4.0, 24.0))
    assert statistics.at_time(log, seconds) == expected


def test_no_value_is_made_up_beside_one_that_is_missing():
    log = curve((1, 1.0, None), (2, 2.0, 20.0), (3, 3.0, None))
    assert [statistics.at_time(log, t) for t in (1.0, 1.5, 2.0, 2.5)] == [None, None, 20.0, None]


def test_a_target_costs_what_the_line_between_evaluations_says():
    log = curve((10, 1.0, 10.0), (20, 2.0, 30.0), (30, 4.0, 29.0), (40, 6.0, 40.0))
    cost = statistics.cost_to(log, 27.0)
    assert cost is not None
    assert (cost.step, cost.train_s, cost.passes) == (19, 1.85, pytest.approx(37.0))
    assert not cost.at_most
    assert statistics.at_time(log, cost.train_s) == pytest.approx(27.0)
    exactly, later = statistics.cost_to(log, 30.0), statistics.cost_to(log, 34.5)
    assert (exactly.step, exactly.train_s, exactly.passes) == (20, 2.0, 40.0)
    assert (later.step, later.train_s) == (35, 5.0)
    assert statistics.cost_to(log, 41.0) is None


@pytest.mark.parametrize("first", [(10, 1.0, 30.0), (10, 1.0, None)])
def test_a_target_that_was_reached_unseen_costs_at_most_what_is_known(first):
    """Nothing is known of it before the first value: the cost there is an upper bound."""
    log = curve(first, (20, 2.0, 31.0))
    cost = statistics.cost_to(log, 25.0)
    assert cost is not None
    assert (cost.step, cost.train_s) == ((10, 1.0) if first[2] else (20, 2.0))
    assert cost.at_most


def test_the_interval_is_student_s_of_the_mean():
    """Differences 1, 2, 6 and 7: mean 4, variance 26/3; t is 3.1824 in tables for 3 degrees."""
    groups = [[(1.0, 0.0)], [(5.0, 3.0)], [(7.0, 1.0)], [(8.0, 1.0)]]
    found = statistics.mean_difference(groups, "input")
    assert found is not None
    half = 3.1824 * math.sqrt(26 / 3) / math.sqrt(4)
    assert (found.value, found.pairs, found.groups, found.reason) == (4.0, 4, 4, None)
    assert found.low == pytest.approx(4 - half, abs=1e-3)
    assert found.high == pytest.approx(4 + half, abs=1e-3)
    assert found.over == "4 inputs"


def test_pairs_of_one_group_are_averaged_before_the_interval():
    """Groups of means 1, 3, 1 and 3: mean 2, variance 4/3."""
    pair, one, three = [(0.0, 0.0), (2.0, 0.0)], [(1.0, 0.0)], [(3.0, 0.0)]
    found = statistics.mean_difference([pair, [], three, one, three], "input")
    assert found is not None
    assert (found.value, found.pairs, found.groups) == (2.0, 5, 4)
    assert found.low == pytest.approx(2 - 3.1824 * math.sqrt(4 / 3) / 2, abs=1e-3)
    assert found.over == "4 inputs, seeds averaged"


def test_a_speed_up_is_the_geometric_mean_of_quotients():
    """Quotients 2, 8, 2 and 8: of the logarithms to base 2 mean 2 and variance 4/3."""
    groups = [[(1.0, 2.0)], [(1.0, 8.0)], [(0.0, 5.0)], [(2.0, 4.0)], [(3.0, 24.0)]]
    found = statistics.speed_up(groups, "seed")
    assert found is not None
    assert (found.value, found.pairs, found.groups) == (pytest.approx(4.0), 4, 4)
    half = 3.1824 * math.sqrt(4 / 3) / 2
    assert found.low == pytest.approx(4.0 / 2**half, rel=1e-3)
    assert found.high == pytest.approx(4.0 * 2**half, rel=1e-3)
    assert found.over == "4 seeds of one input"


@pytest.mark.parametrize("count", [1, 2, 3])
def test_below_four_independent_pairs_there_is_no_interval_and_a_reason(count):
    groups = [[(2.0 + k, 1.0), (2.0 + k, 1.0)] for k in range(count)]
    for independent, what in (("input", "inputs"), ("seed", "seeds of one input")):
        found = statistics.mean_difference(groups, independent)
        assert found is not None
        assert (found.value, found.low, found.high) == (1.0 + (count - 1) / 2, None, None)
        assert found.reason == f"no interval below 4 {what}"
        ratio = statistics.speed_up(groups, independent)
        assert (ratio.low, ratio.high, ratio.reason) == (None, None, found.reason)
    assert statistics.mean_difference([], "seed") is None
    assert statistics.speed_up([[(0.0, 1.0)]], "seed") is None


def test_equal_differences_have_an_interval_of_no_width():
    found = statistics.mean_difference([[(2.0, 1.0)], [(3.0, 2.0)]] * 2, "seed")
    assert found is not None
    assert (found.low, found.high) == (1.0, 1.0)


def test_seeds_are_independent_on_one_input_and_inputs_over_all():
    runs = []
    names = ("a", "b", "c", "d")
    for name, ahead in zip(names, ((1.0, 3.0), (4.0, 4.0, 4.0, 4.0), (2.0,), (4.0,)), strict=True):
        for seed, gain in enumerate(ahead):
            runs.append(run("uniform", seed, (1, 1.0, 20.0), name=name))
            runs.append(run("nint", seed, (1, 1.0, 20.0 + gain), name=name))
    found = compared(runs, inputs=names, targets=[10.0])
    gains = {each.input: each.gain for each in found.summaries if each.variant == "nint"}
    sizes = {name: (gain.value, gain.pairs, gain.groups) for name, gain in gains.items()}
    assert sizes == {
        "a": (2.0, 2, 2), "b": (4.0, 4, 4), "c": (2.0, 1, 1), "d": (4.0, 1, 1), None: (3.0, 8, 4),
    }  # fmt: skip
    assert gains["b"].low == gains["b"].high == 4.0
    assert gains["a"].low is None
    assert gains[None].high == pytest.approx(3 + 3.1824 * math.sqrt(4 / 3) / 2, abs=1e-3)
    assert gains[None].over == "4 inputs, seeds averaged"
    assert gains["b"].over == "4 seeds of one input"
    title, _, _ = table(found)
    assert title.endswith("differences are over 4 inputs, seeds averaged, with 95 % intervals")


def test_pairs_are_of_one_input_and_one_seed():
    found = compared(
        [
            run("uniform", 0, (1, 1.0, 20.0), (2, 2.0, 30.0)),
            run("uniform", 1, (1, 1.0, 21.0), (2, 4.0, 31.0)),
            run("nint", 0, (1, 1.0, 22.0), (2, 3.0, 33.0)),
            run("nint", 2, (1, 1.0, 90.0), (2, 2.0, 99.0)),
        ],
        targets=[25.0],
    )
    mine = next(each for each in found.summaries if each.variant == "nint")
    assert mine.gain is not None
    assert (mine.gain.value, mine.gain.pairs) == (3.0, 1)
    assert mine.equal_time_s == 2.0
    assert mine.at_equal_time.mean == pytest.approx(((22 + 33) / 2 + 99) / 2)
    cost = mine.to_target["25"]
    assert (cost.reached, cost.of, cost.at_most) == (2, 2, 1)
    assert cost.speedup_train_s is not None
    assert cost.speedup_train_s.value == pytest.approx(1.5 / (1 + 2 * 3 / 11))
    own = next(each for each in found.summaries if each.variant == "uniform")
    assert own.gain is own.gain_at_equal_time is own.to_target["25"].speedup_train_s is None


def test_a_run_without_a_result_is_missing_and_noted():
    found = compared([
        run("uniform", 0, (1, 1.0, 20.0)),
        run("nint", 0, status="failed").model_copy(update={"error": "no memory"}),
        run("nint", 1, (1, 1.0, 20.0), status="diverged"),
    ])
    mine = next(each for each in found.summaries if each.variant == "nint")
    assert (mine.value.count, mine.value.missing) == (0, 2)
    assert mine.gain is None
    assert found.notes == [
        "nint on photo, seed 0: no result (no memory)",
        "nint on photo, seed 1: diverged after 1 step; left out of means, equal time and targets",
    ]
    assert [each.left_out for each in found.runs] == [
        *(None, "no result (no memory)", "diverged after 1 step"),
    ]


def test_a_run_that_diverged_sets_no_equal_time_and_is_in_no_mean():
    whole = [
        run(name, seed, (1, 1.0, 20.0), (2, 4.0, 30.0 + seed + (name == "nint")))
        for name in ("uniform", "nint")
        for seed in (0, 1)
    ]
    broken = run("nint", 2, (1, 0.5, 29.0), status="diverged")
    other = run("uniform", 2, (1, 1.0, 50.0), (2, 4.0, 60.0))
    alone, found = compared(whole, targets=[25.0]), compared([*whole, broken, other], targets=[25])
    mine, before = (next(s for s in c.summaries if s.variant == "nint") for c in (found, alone))
    assert mine.equal_time_s == before.equal_time_s == 4.0
    for name in ("value", "best", "train_s", "passes", "at_equal_time"):
        assert getattr(mine, name) == getattr(before, name).model_copy(update={"missing": 1}), name
    assert (mine.gain, mine.gain_at_equal_time) == (before.gain, before.gain_at_equal_time)
    cost, earlier = mine.to_target["25"], before.to_target["25"]
    assert (cost.reached, cost.of, earlier.of) == (2, 3, 2)
    assert (cost.train_s.mean, cost.speedup_train_s) == (
        earlier.train_s.mean,
        earlier.speedup_train_s,
    )


def test_a_bound_is_in_no_speed_up():
    found = compared(
        [
            run("uniform", 0, (1, 1.0, 20.0), (2, 2.0, 30.0)),
            run("nint", 0, (1, 1.0, 26.0), (2, 2.0, 31.0)),
        ],
        targets=[25.0],
    )
    mine = next(each for each in found.summaries if each.variant == "nint").to_target["25"]
    assert (mine.reached, mine.at_most, mine.train_s.mean) == (1, 1, 1.0)
    assert mine.speedup_train_s is mine.speedup_passes is None
    _, _, rows = table(found)
    assert rows[1][-2:] == ["at most 1.0", "-"]


def test_several_inputs_have_a_summary_of_all():
    points = (1, 1.0, 20.0), (2, 2.0, 30.0)
    runs = [run(v, 0, *points, name=n) for n in ("a", "b") for v in ("uniform", "nint")]
    found = compared(runs, inputs=("a", "b"))
    assert [(each.input, each.variant) for each in found.summaries] == [
        *(("a", "uniform"), ("a", "nint"), ("b", "uniform"), ("b", "nint")),
        *((None, "uniform"), (None, "nint")),
    ]
    assert found.summaries[-1].value.count == 2


def test_targets_are_round_values_that_were_reached_on_the_way():
    runs = [run("uniform", 0, (1, 1.0, 19.0), (2, 2.0, 24.0), (3, 3.0, 36.0))]
    assert summary.default_targets("psnr_db", runs) == [20.0, 25.0, 30.0, 35.0]
    assert summary.default_targets("psnr_db", [run("uniform", 0)]) == []


@pytest.mark.parametrize(
    ("names", "chosen"),
    [(["nint", "uniform", "full"], "full"), (["nint", "uniform"], "uniform"), (["a", "b"], "a")],
)
def test_the_baseline_is_the_plainest(names, chosen):
    assert summary.default_baseline(names) == chosen


def searched(base: float, quality) -> list[float]:
    tried: dict[float, float | None] = {}
    for _ in range(20):
        ahead = tuning.rates_to_try(base, tried)
        if not ahead:
            return sorted(tried)
        tried |= {rate: quality(rate) for rate in ahead}
    raise AssertionError("the search does not end")


def test_a_rate_within_the_grid_needs_no_more_trials():
    assert searched(1e-3, lambda rate: -abs(math.log(rate / 1e-3))) == [
        *(0.00025, 0.0005, 0.001, 0.002, 0.004),
    ]


def test_a_rate_at_an_end_extends_the_grid_twice_at_most():
    assert searched(1e-3, lambda rate: rate)[-1] == 0.016
    assert searched(1e-3, lambda rate: -rate)[0] == 0.0000625
    assert len(searched(1e-3, lambda rate: rate)) == 7


def test_rates_that_fail_are_passed_over_and_the_smaller_of_equals_wins():
    assert tuning.best_rate({0.1: None, 0.2: 3.0, 0.4: 3.0, 0.8: math.nan}) == 0.2
    assert tuning.best_rate({0.1: None}) is None
    assert searched(1e-3, lambda rate: None) == [0.00025, 0.0005, 0.001, 0.002, 0.004]


def trial(lr: float, seed: int, value: float | None, rescues: int = 0) -> Trial:
    return Trial(
        lr=lr, input="a", seed=seed, folder="f", status="complete", value=value, rescues=rescues
    )


def test_a_rate_is_worth_the_mean_of_its_runs_and_nothing_where_one_failed():
    trials = [trial(0.1, 0, 1.0), trial(0.1, 1, 3.0), trial(0.2, 0, 9.0), trial(0.2, 1, None)]
    trials += [trial(0.4, 0, 5.0), trial(0.4, 1, 7.0, rescues=1)]
    means, rescued = tuning.outcomes(trials)
    assert (means, rescued) == ({0.1: 2.0, 0.2: None, 0.4: 6.0}, {0.4})
    assert tuning.best_rate(means, rescued) == 0.1


def test_a_rate_that_was_halved_on_the_way_is_chosen_only_for_want_of_others():
    tried = {0.1: 1.0, 0.2: 3.0, 0.4: 4.0, 0.8: None}
    assert tuning.best_rate(tried, {0.4}) == 0.2
    assert tuning.best_rate({0.1: None, 0.2: 3.0, 0.4: 4.0}, {0.2, 0.4}) == 0.4
    grid = {0.25: 1.0, 0.5: 2.0, 1.0: 3.0, 2.0: 4.0, 4.0: 5.0}
    assert tuning.rates_to_try(1.0, grid) == [8.0]
    assert tuning.rates_to_try(1.0, grid, {2.0, 4.0}) == []


def test_the_spreadsheet_has_a_row_for_each_run_and_no_formula():
    evil = run("=2+2", 0, (1, 1.0, 20.0), (2, 2.0, 30.0))
    found = compared([evil, run("uniform", 0)], ("uniform", "=2+2"), targets=[25.0])
    rows = list(csv.DictReader(io.StringIO(files.csv_text(found))))
    assert [row["variant"] for row in rows] == ["'=2+2", "uniform"]
    assert rows[0]["psnr_db"] == "30.0"
    assert (rows[0]["train_s_to_25"], rows[0]["at_most_to_25"]) == ("1.5", "False")
    assert rows[1]["psnr_db"] == rows[1]["train_s_to_25"] == ""


def test_the_table_has_a_row_for_each_variant():
    title, header, rows = table(
        compared([
            run("uniform", 0, (1, 1.0, 20.0), (2, 2.0, 30.0)),
            run("nint", 0, (1, 1.0, 20.0), (2, 1.5, 31.0)),
        ])
    )
    assert title == (
        "photo: 1 run each; differences are over 1 seed of one input, with no interval below 4 "
        "seeds of one input"
    )
    assert "over uniform" in header
    assert [row[0] for row in rows] == ["uniform", "nint"]
    assert "+1.00" in rows[1]
