"""Random reshuffling: every point once per epoch, whatever is excluded, and from any state."""

import pytest
import torch

from nint_cli.derivatives.probe import Probe
from nint_cli.derivatives.sweep import Passes
from nint_cli.random import Draws
from nint_cli.samplers import drawing
from nint_cli.samplers.drawing import UniformDraws, draw_distinct
from nint_cli.samplers.nint import Nint
from nint_cli.samplers.nint_diagonal import NintDiagonal
from nint_cli.samplers.uniform import Uniform
from nint_cli.schedules.batch_size import BatchPlan
from tests import oracles
from tests.conftest import generator, tiny_field, tiny_signal

SIGNAL = tiny_signal((12, 15))
COUNT = len(SIGNAL)
CPU = torch.device("cpu")


@pytest.mark.parametrize("count", [1, 7, 30, 179, 180])
def test_every_point_comes_once_before_any_comes_again(count):
    """Visits of the first n epochs differ by what is shared by two of them, and by no more."""
    draws, hits = UniformDraws(True), torch.zeros(180, dtype=torch.int64)
    steps = 3 * 180 // count
    for step in range(steps):
        drawn = draws.draw(180, count, Draws(0, step), CPU)
        assert drawn.shape == (count,)
        assert len(drawn.unique()) == count
        hits[drawn] += 1
    assert hits.sum() == steps * count
    if 180 % count == 0:
        assert (hits == 3).all()
    else:
        assert hits.max() <= 4  # the steps that two epochs share may bring a visit forward
        assert hits.min() >= 2


def test_epochs_have_orders_of_their_own():
    draws = UniformDraws(True)
    first, second = (draws.draw(180, 180, Draws(0, step), CPU).tolist() for step in range(2))
    assert first != second
    assert sorted(first) == sorted(second) == list(range(180))
    assert UniformDraws(True).draw(180, 180, Draws(1), CPU).tolist() != first
    assert UniformDraws(True).draw(180, 180, Draws(0), CPU).tolist() == first


@pytest.mark.parametrize(("count", "barred"), [(20, 30), (100, 80), (1, 179), (60, 1)])
def test_what_is_excluded_is_not_drawn_and_has_had_its_visit(count, barred):
    draws, seen = UniformDraws(True), []
    epoch: set[int] = set()
    for step in range(40):
        exclude = torch.randperm(180, generator=generator(step))[:barred]
        drawn = draws.draw(180, count, Draws(0, step), CPU, exclude=exclude)
        assert len(drawn.unique()) == count
        assert not torch.isin(drawn, exclude).any()
        seen.append(set(drawn.tolist()) | set(exclude.tolist()))
        epoch |= seen[-1]
        if draws._place == 180:
            assert epoch == set(range(180))
            epoch = set()


@pytest.mark.parametrize("stop", range(1, 14, 3))
def test_an_epoch_goes_on_where_it_was(stop):
    whole, first = UniformDraws(True), UniformDraws(True)
    expected = [whole.draw(180, 50, Draws(0, step), CPU).tolist() for step in range(14)]
    found = [first.draw(180, 50, Draws(0, step), CPU).tolist() for step in range(stop)]
    again = UniformDraws(True)
    again.load_state_dict({name: each.clone() for name, each in first.state_dict().items()})
    found += [again.draw(180, 50, Draws(0, step), CPU).tolist() for step in range(stop, 14)]
    assert found == expected


def test_a_draw_afresh_is_one_of_its_own_stream_and_leaves_nothing_behind():
    draws = UniformDraws()
    plain = draws.draw(180, 50, Draws(4, 7), CPU)
    expected = draw_distinct(180, 50, Draws(4, 7).stream("uniform"), CPU)
    assert plain.tolist() == expected.tolist()
    assert draws.state_dict() == {}


def test_huge_signals_are_gone_through_too():
    """An epoch of 2^28 points costs what is asked for; no place of it comes twice."""
    draws, population = UniformDraws(True), 1 << 28
    seen = torch.cat([draws.draw(population, 4096, Draws(0, step), CPU) for step in range(20)])
    assert len(seen.unique()) == len(seen)
    assert 0 <= seen.min() <= seen.max() < population
    assert abs(seen.double().mean() / population - 0.5) < 5 * (12 * len(seen)) ** -0.5
    draws.load_state_dict({"epoch": torch.tensor([3]), "place": torch.tensor([population - 5])})
    last = draws.draw(population, 4096, Draws(0, 30), CPU)  # across the end
    assert len(last.unique()) == 4096
    assert draws.state_dict() == {"epoch": torch.tensor([30]), "place": torch.tensor([4091])}


@pytest.mark.parametrize(
    "state",
    [
        {"epoch": torch.tensor([1])},
        {"epoch": torch.tensor([1]), "place": torch.tensor([-1])},
        {"epoch": torch.tensor([1.0]), "place": torch.tensor([1])},
        {"epoch": torch.tensor([1, 2]), "place": torch.tensor([1])},
    ],
)
def test_a_foreign_state_is_refused(state):
    with pytest.raises(ValueError, match="state of draws"):
        UniformDraws(True).load_state_dict(state)
    with pytest.raises(ValueError, match="state"):
        Uniform(BatchPlan(0.2, "constant", None, 10), reshuffle=True).load_state_dict(state)


@pytest.mark.parametrize(("count", "others"), [(50, 60), (45, 135), (1, 179), (179, 1), (60, 0)])
def test_others_than_the_drawn_come_as_often_as_each_other(count, others):
    """Within an epoch, over the end of one, and where the place of a turn goes round."""
    draws, hits = UniformDraws(True), torch.zeros(180, dtype=torch.int64)
    turns = 360
    for turn in range(turns):
        drawn = draws.draw(180, count, Draws(0, turn), CPU)
        found = draws.others(180, others, Draws(0, turn), drawn)
        assert len(found) == others
        assert len(torch.cat([drawn, found]).unique()) == count + others
        hits[found] += 1
    mean = turns * others / 180
    assert (hits - mean).abs().max() <= 5 * mean**0.5


def nothing_drawn(*_, **__):
    raise AssertionError("drawn afresh")


def test_others_of_an_epoch_are_found_without_chance_and_all_of_them_soon(monkeypatch):
    monkeypatch.setattr(drawing, "draw_distinct", nothing_drawn)
    draws = UniformDraws(True)
    seen: set[int] = set()
    for turn in range(6):
        drawn = draws.draw(180, 10, Draws(0, turn), CPU)
        seen |= set(draws.others(180, 60, Draws(0, turn), drawn).tolist())
    assert seen == set(range(180))


def test_others_are_as_many_as_asked_for_whatever_the_sizes_are(monkeypatch):
    """All places and counts of a small signal: the order is enough, and nothing is drawn."""
    monkeypatch.setattr(drawing, "draw_distinct", nothing_drawn)
    population = 11
    for count in range(1, population + 1):
        for place in range(count, population + 1, count):
            draws = UniformDraws(True)
            for step in range(place // count):
                drawn = draws.draw(population, count, Draws(0, step), CPU)
            for others in range(population - count + 1):
                for turn in range(population + 2):
                    found = draws.others(population, others, Draws(0, turn), drawn)
                    assert len(torch.cat([drawn, found]).unique()) == count + others


def test_others_are_none_of_what_else_is_taken():
    """After a draw that excluded points, of two epochs, or afresh."""
    taken = torch.arange(0, 60, 2)
    for reshuffle in (True, False):
        draws = UniformDraws(reshuffle)
        for turn in range(9):
            now = Draws(0, turn)
            drawn = torch.cat([taken, draws.draw(180, 50, now, CPU, exclude=taken)])
            found = draws.others(180, 100, now, drawn)
            assert len(torch.cat([drawn, found]).unique()) == 180
        plain = draws.draw(180, 50, Draws(0, 9), CPU)
        for _ in range(2):
            found = draws.others(180, 130, Draws(0, 9), plain)
            assert len(torch.cat([plain, found]).unique()) == 180
            draws.forget()


def test_a_place_beyond_the_end_begins_anew():
    draws = UniformDraws(True)
    draws.load_state_dict({"epoch": torch.tensor([5]), "place": torch.tensor([10**6])})
    assert len(draws.draw(180, 180, Draws(0, 9), CPU).unique()) == 180


@pytest.mark.parametrize("sampler", [Uniform, Nint, NintDiagonal])
def test_samplers_visit_every_point_in_an_epoch(sampler):
    """Those that guide, too: what they choose and what is drawn are all points, together."""
    made, field = sampler(BatchPlan(0.25, "constant", None, 60), reshuffle=True), tiny_field(3)
    seen: set[int] = set()
    for step in range(6):  # the uniform part is at least 0.7 of 45 points
        probe = Probe(field, SIGNAL, Passes(), lambda: None)
        selection = made.select(step, probe, Draws(0, step))
        assert len(selection.indices.unique()) == 45
        made.observe(step, oracles.observation(field, SIGNAL, selection))
        seen |= set(selection.indices.tolist())
    assert seen == set(range(COUNT))


@pytest.mark.parametrize("sampler", [Uniform, Nint, NintDiagonal])
def test_other_points_begin_another_epoch(sampler):
    made = sampler(BatchPlan(0.25, "constant", None, 60), reshuffle=True)
    made.select(0, Probe(tiny_field(3), SIGNAL, Passes(), lambda: None), Draws(0))
    assert made.state_dict().keys() >= {"epoch", "place"}
    made.forget()
    assert not made.state_dict().keys() & {"epoch", "place"}
