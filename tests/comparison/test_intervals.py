"""Intervals hold the truth as often as they say, by simulation of whole comparisons."""

import pytest

from nint_cli.comparison.record import Interval
from nint_cli.comparison.statistics import LEAST_GROUPS
from scripts import intervals

DRAWS = 3000


@pytest.mark.parametrize("independent", ["input", "seed"])
@pytest.mark.parametrize("law", ["normal", "heavy"])
@pytest.mark.parametrize(("inputs", "seeds"), [(4, 1), (6, 1), (10, 1), (6, 10)])
def test_nine_of_ten_intervals_hold_the_truth(inputs, seeds, law, independent):
    share = intervals.coverage(inputs, seeds, law, DRAWS, independent)
    assert share is not None
    assert share >= 0.9
    assert law != "normal" or share == pytest.approx(0.95, abs=0.02)


@pytest.mark.parametrize("count", range(1, LEAST_GROUPS))
def test_few_pairs_show_none(count):
    assert intervals.coverage(count, 1, "normal", 10) is None
    assert intervals.coverage(count, 10, "normal", 10) is None


def test_seeds_that_are_taken_for_inputs_would_not_do(monkeypatch):
    """The simulation tells such intervals: of 6 x 10 pairs as 60 values few hold the truth."""
    honest = intervals.mean_difference

    def pooled(groups, independent) -> Interval | None:
        return honest([[pair] for group in groups for pair in group], independent)

    monkeypatch.setattr(intervals, "mean_difference", pooled)
    share = intervals.coverage(6, 10, "normal", 1000)
    assert share is not None
    assert share < 0.8


def test_skewed_differences_hold_it_less_often_as_the_docs_say():
    share = intervals.coverage(4, 1, "skewed", DRAWS)
    assert share is not None
    assert 0.8 <= share < 0.9
