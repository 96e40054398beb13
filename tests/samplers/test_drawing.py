"""Random reshuffling: every point once per epoch, whatever is excluded, and from any state."""

import pytest
import torch

from nint_cli.derivatives.probe import Probe
from nint_cli.derivatives.sweep import Passes
from nint_cli.samplers import drawing
from nint_cli.samplers.drawing import UniformDraws
from nint_cli.samplers.nint import Nint
from nint_cli.samplers.nint_diagonal import NintDiagonal
from nint_cli.samplers.uniform import Uniform
from nint_cli.schedules.batch_size import BatchPlan
from tests import oracles
from tests.conftest import generator, tiny_field, tiny_signal

SIGNAL = tiny_signal((12, 15))
COUNT = len(SIGNAL)


@pytest.mark.parametrize("count", [1, 7, 30, 179, 180])
def test_every_point_comes_once_before_any_comes_again(count):
    """Visits of the first n epochs differ by what is shared by two of them, and by no more."""
    draws, rng, hits = UniformDraws(True), generator(), torch.zeros(180, dtype=torch.int64)
    steps = 3 * 180 // count
    for _ in range(steps):
        drawn = draws.draw(180, count, rng)
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
    draws, rng = UniformDraws(True), generator()
    first, second = (draws.draw(180, 180, rng).tolist() for _ in range(2))
    assert first != second
    assert sorted(first) == sorted(second) == list(range(180))
    assert UniformDraws(True).draw(180, 180, generator(1)).tolist() != first
    assert UniformDraws(True).draw(180, 180, generator()).tolist() == first


@pytest.mark.parametrize(("count", "barred"), [(20, 30), (100, 80), (1, 179), (60, 1)])
def test_what_is_excluded_is_not_drawn_and_has_had_its_visit(count, barred):
    draws, rng, seen = UniformDraws(True), generator(), []
    epoch: set[int] = set()
    for step in range(40):
        exclude = torch.randperm(180, generator=generator(step))[:barred]
        drawn = draws.draw(180, count, rng, exclude=exclude)
        assert len(drawn.unique()) == count
        assert not torch.isin(drawn, exclude).any()
        seen.append(set(drawn.tolist()) | set(exclude.tolist()))
        epoch |= seen[-1]
        if draws._place == 180:
            assert epoch == set(range(180))
            epoch = set()


@pytest.mark.parametrize("stop", range(1, 14, 3))
def test_an_epoch_goes_on_where_it_was(stop):
    whole, rng = UniformDraws(True), generator()
    expected = [whole.draw(180, 50, rng).tolist() for _ in range(14)]
    first, rng = UniformDraws(True), generator()
    found = [first.draw(180, 50, rng).tolist() for _ in range(stop)]
    again = UniformDraws(True)
    again.load_state_dict({name: each.clone() for name, each in first.state_dict().items()})
    found += [again.draw(180, 50, rng).tolist() for _ in range(stop, 14)]
    assert found == expected


def test_afresh_and_of_huge_signals_it_is_what_it_was(monkeypatch):
    plain = UniformDraws().draw(180, 50, generator())
    assert plain.tolist() == drawing.draw_distinct(180, 50, generator()).tolist()
    monkeypatch.setattr(drawing, "MOST_SHUFFLED", 179)
    huge = UniformDraws(True)
    assert huge.draw(180, 50, generator()).tolist() == plain.tolist()
    assert huge.state_dict() == UniformDraws().state_dict() == {}
    monkeypatch.setattr(drawing, "MOST_SHUFFLED", 180)
    largest = UniformDraws(True)
    largest.draw(180, 50, generator())
    assert largest.state_dict().keys() == {"seed", "place"}


@pytest.mark.parametrize(
    "state",
    [
        {"seed": torch.tensor([1])},
        {"seed": torch.tensor([1]), "place": torch.tensor([-1])},
        {"seed": torch.tensor([1.0]), "place": torch.tensor([1])},
        {"seed": torch.tensor([1, 2]), "place": torch.tensor([1])},
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
    draws, rng, hits = UniformDraws(True), generator(), torch.zeros(180, dtype=torch.int64)
    turns = 360
    for turn in range(turns):
        drawn = draws.draw(180, count, rng)
        found = draws.others(180, others, turn, rng, drawn)
        assert len(found) == others
        assert len(torch.cat([drawn, found]).unique()) == count + others
        hits[found] += 1
    mean = turns * others / 180
    assert (hits - mean).abs().max() <= 5 * mean**0.5


def test_others_of_an_epoch_are_found_without_chance_and_all_of_them_soon():
    draws, rng = UniformDraws(True), generator()
    seen: set[int] = set()
    for turn in range(6):
        drawn = draws.draw(180, 10, rng)
        before = rng.get_state()
        seen |= set(draws.others(180, 60, turn, rng, drawn).tolist())
        assert torch.equal(rng.get_state(), before)
    assert seen == set(range(180))


def test_others_are_as_many_as_asked_for_whatever_the_sizes_are():
    """All places and counts of a small signal: the order is enough, and nothing is drawn."""
    population, rng = 11, generator()
    for count in range(1, population + 1):
        for place in range(count, population + 1, count):
            draws = UniformDraws(True)
            for _ in range(place // count):
                drawn = draws.draw(population, count, rng)
            before = rng.get_state()
            for others in range(population - count + 1):
                for turn in range(population + 2):
                    found = draws.others(population, others, turn, rng, drawn)
                    assert len(torch.cat([drawn, found]).unique()) == count + others
            assert torch.equal(rng.get_state(), before)


def test_others_are_none_of_what_else_is_taken():
    """After a draw that excluded points, of two epochs, or afresh."""
    taken = torch.arange(0, 60, 2)
    for reshuffle in (True, False):
        draws, rng = UniformDraws(reshuffle), generator()
        for turn in range(9):
            drawn = torch.cat([taken, draws.draw(180, 50, rng, exclude=taken)])
            found = draws.others(180, 100, turn, rng, drawn)
            assert len(torch.cat([drawn, found]).unique()) == 180
        plain = draws.draw(180, 50, rng)
        assert len(torch.cat([plain, draws.others(180, 130, 9, rng, plain)]).unique()) == 180
        draws.forget()
        assert len(torch.cat([plain, draws.others(180, 130, 9, rng, plain)]).unique()) == 180


def test_a_place_beyond_the_end_begins_anew():
    draws = UniformDraws(True)
    draws.load_state_dict({"seed": torch.tensor([5]), "place": torch.tensor([10**6])})
    assert len(draws.draw(180, 180, generator()).unique()) == 180


@pytest.mark.parametrize("sampler", [Uniform, Nint, NintDiagonal])
def test_samplers_visit_every_point_in_an_epoch(sampler):
    """Those that guide, too: what they choose and what is drawn are all points, together."""
    made, rng, field = (
        sampler(BatchPlan(0.25, "constant", None, 60), reshuffle=True),
        generator(),
        tiny_field(3),
    )
    seen: set[int] = set()
    for step in range(6):  # the uniform part is at least 0.7 of 45 points
        probe = Probe(field, SIGNAL, Passes(), lambda: None)
        selection = made.select(step, probe, rng)
        assert len(selection.indices.unique()) == 45
        made.observe(step, oracles.observation(field, SIGNAL, selection))
        seen |= set(selection.indices.tolist())
    assert seen == set(range(COUNT))


@pytest.mark.parametrize("sampler", [Uniform, Nint, NintDiagonal])
def test_other_points_begin_another_epoch(sampler):
    made = sampler(BatchPlan(0.25, "constant", None, 60), reshuffle=True)
    made.select(0, Probe(tiny_field(3), SIGNAL, Passes(), lambda: None), generator())
    assert made.state_dict().keys() >= {"seed", "place"}
    made.forget()
    assert not made.state_dict().keys() & {"seed", "place"}
