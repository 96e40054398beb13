"""Guidance by what training leaves behind: what it remembers, and what it ranks by."""

from dataclasses import replace

import pytest
import torch

from nint_cli.derivatives.engine import Engine
from nint_cli.derivatives.ntk import ntk_product
from nint_cli.derivatives.probe import Probe
from nint_cli.derivatives.sweep import Passes, predict, pullback, pushforward
from nint_cli.fields.base import ChainField
from nint_cli.fields.mlp import Relu
from nint_cli.random import Draws
from nint_cli.samplers import nint_diagonal
from nint_cli.samplers.base import Selection
from nint_cli.samplers.nint import Nint
from nint_cli.samplers.nint_diagonal import NintDiagonal
from nint_cli.samplers.recent import Recent
from nint_cli.schedules.batch_size import BatchPlan
from nint_cli.training.gradient import batch_gradient
from tests import oracles
from tests.conftest import Waves, generator, tiny_field, tiny_signal

SIGNAL = tiny_signal((12, 15))
COUNT = len(SIGNAL)
PLAN = BatchPlan(0.5, "constant", None, 60)
REMEMBERED = {"scores": torch.zeros(4), "trained": torch.zeros(4).int()}
AT_ONCE = {"start": 0.0, "max_chosen": 1.0}


def probe_of(field, passes=None, moment=None):
    return Probe(field, SIGNAL, passes or Passes(), lambda: moment)


def train(sampler, field, step, seed=0):
    """Choose and observe, without an update."""
    selection = sampler.select(step, probe_of(field), Draws(seed, step))
    observation = oracles.observation(field, SIGNAL, selection)
    if not sampler.wants_leveraged_errors:
        observation = replace(observation, leveraged_errors=None)
    sampler.observe(step, observation)
    return selection, observation


@pytest.mark.parametrize("score", ["diagonal", "error"])
def test_the_candidates_that_have_been_owed_most_for_longest_are_chosen(score):
    """With as many candidates as points they lead all but the uniform ones, by a plain loop."""
    sampler = NintDiagonal(PLAN, score=score, xi=0.6, pool=1000, **AT_ONCE)
    field, known, trained, relative = tiny_field(3), {}, {}, {}
    for step in range(20):
        selection, seen = train(sampler, field, step)
        sizes = dict(selection.slots)
        if step:
            assert sizes == {score: 36, "uniform": 54}
            chosen = selection.indices[:36].tolist()
            taken = set(selection.indices[36:].tolist())
            owed = {
                i: known.get(i, -1.0) * (step - trained.get(i, 0))
                for i in range(COUNT)
                if i not in taken
            }
            assert sorted(owed[i] for i in chosen) == sorted(owed.values())[-36:]
        residual = seen.prediction - seen.values
        found = residual.square().sum(1)
        if score == "diagonal":
            if step % 4 == 0:  # measured, and kept for the steps between
                leveraged = seen.leveraged_errors
                ratios = leveraged / found * (found.sum() / leveraged.sum())
                relative |= dict(zip(selection.indices.tolist(), ratios.tolist(), strict=True))
            kept = [relative.get(i, 1.0) for i in selection.indices.tolist()]
            found = found * torch.tensor(kept, dtype=found.dtype)
            torch.testing.assert_close(sampler._scores[selection.indices], found)
            found = sampler._scores[selection.indices]
        known |= dict(zip(selection.indices.tolist(), found.tolist(), strict=True))
        trained |= dict.fromkeys(selection.indices.tolist(), step)
        with torch.no_grad():
            for parameter in field.parameters():
                parameter.mul_(1.01)
    assert known.keys() == set(range(COUNT))


class Uneven(ChainField):
    """Moves its prediction easily where x > 0, and hardly where x < 0; predicts 0 everywhere."""

    activation = Relu()

    def __init__(self):
        super().__init__(2, 1, 2, 1)
        self.double()
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.zero_()
            self.weights[0][0, 1] = 9.0


def test_at_equal_error_points_with_more_self_leverage_are_chosen():
    """The ranking depends on the kernel: without it all scores would be the same."""
    field = Uneven()
    coords, _ = SIGNAL.slice(0, COUNT)
    values = torch.ones(COUNT, 1, dtype=torch.float64)

    class Even:
        """Equal errors at SIGNAL's points."""

        def at(self, indices):
            return coords[indices], values[indices]

        def __len__(self):
            return COUNT

    shares = {}
    for score in ("diagonal", "error"):
        sampler = NintDiagonal(PLAN, score=score, xi=0.5, pool=1000, **AT_ONCE)
        everything = Selection(torch.arange(COUNT), slots=(("uniform", COUNT),))
        seen = batch_gradient(field, Even(), sampler, everything, None, Engine()).observation
        sampler._population = COUNT
        sampler.observe(0, seen)
        chosen = sampler.select(1, probe_of(field), Draws(0, 1)).indices[:45]
        shares[score] = (coords[chosen, 1] > 0).double().mean().item()
    assert shares["diagonal"] == 1.0
    assert 0.3 < shares["error"] < 0.7


def test_what_a_step_observes_is_free_of_its_weights():
    """A chosen point that weighs less in the loss has the norm that it would have alone."""
    field = tiny_field(3)
    indices = torch.randperm(COUNT, generator=generator())[:50]
    sampler, seen = NintDiagonal(PLAN), []
    for weights in (None, torch.linspace(0.1, 2.0, 50, dtype=torch.float64)):
        selection = Selection(indices, weights, slots=(("uniform", 50),))
        found = batch_gradient(field, SIGNAL, sampler, selection, None, Engine(block=7))
        seen.append(found.observation.leveraged_errors)
    torch.testing.assert_close(seen[0], seen[1])
    coords, values = SIGNAL.at(indices)
    prediction = field(coords)
    expected = oracles.leveraged_errors(field, prediction, prediction.detach() - values)
    torch.testing.assert_close(seen[0], expected, rtol=1e-9, atol=1e-15)
    for other in (NintDiagonal(PLAN, score="error"), Nint(PLAN)):
        found = batch_gradient(field, SIGNAL, other, Selection(indices), None)
        assert found.observation is None or found.observation.leveraged_errors is None


def test_self_leverage_is_that_of_the_last_batch_and_goes_into_a_checkpoint():
    field = tiny_field(3)
    sampler = NintDiagonal(PLAN)
    assert sampler.self_leverage() is None
    _, seen = train(sampler, field, 0)
    errors = (seen.prediction - seen.values).square().sum(1)
    leverage = seen.leveraged_errors / errors
    found = sampler.self_leverage()
    assert found.mean == pytest.approx((seen.leveraged_errors.sum() / errors.sum()).item())
    assert found.variation == pytest.approx((leverage.std(correction=0) / leverage.mean()).item())
    again = NintDiagonal(PLAN)
    again.load_state_dict(sampler.state_dict())
    assert again.self_leverage() == found
    assert NintDiagonal(PLAN, score="error").self_leverage() is None


def test_every_fourth_step_measures_the_diagonal():
    sampler, field, wanted = NintDiagonal(PLAN), tiny_field(3), []
    for step in range(9):
        train(sampler, field, step)
        wanted.append(sampler.wants_leveraged_errors)
    assert wanted == [step % 4 == 0 for step in range(9)]


def test_a_batch_without_error_is_remembered_as_such():
    sampler, field = NintDiagonal(PLAN), tiny_field(3)
    selection = sampler.select(0, probe_of(field), Draws(0, 0))
    coords, _ = SIGNAL.at(selection.indices)
    exact = field(coords).detach()
    zeros = torch.zeros(len(exact), dtype=exact.dtype)
    seen = oracles.Observation(selection, exact, exact, None, zeros)
    sampler.observe(0, seen)
    assert (sampler._scores[selection.indices] == 0).all()
    assert sampler.self_leverage() is None


def test_few_candidates_leave_the_choice_to_chance():
    sampler = NintDiagonal(PLAN, pool=1, **AT_ONCE)
    train(sampler, tiny_field(3), 0)
    sampler._scores = torch.arange(COUNT, dtype=torch.float64)
    sampler._trained = torch.zeros(COUNT, dtype=torch.int32)
    chosen = sampler.select(1, probe_of(tiny_field(3)), Draws(3, 1)).indices[:45]
    assert 0.3 * COUNT < chosen.double().mean() < 0.7 * COUNT


def test_choosing_takes_no_pass():
    sampler, field, passes, seed = NintDiagonal(PLAN, **AT_ONCE), tiny_field(3), Passes(), 0
    for step in range(5):
        selection = sampler.select(step, probe_of(field, passes), Draws(seed, step))
        sampler.observe(step, oracles.observation(field, SIGNAL, selection))
    assert passes == Passes()


def test_nothing_is_guided_before_its_time():
    late, field = NintDiagonal(PLAN, start=0.5, max_chosen=1), tiny_field(3)
    for step in range(31):
        selection, _ = train(late, field, step)
        assert (dict(selection.slots).keys() == {"uniform"}) == (step < 30), step


@pytest.mark.parametrize("score", ["diagonal", "error"])
def test_a_larger_signal_remembers_the_last_points_that_were_drawn(monkeypatch, score):
    """Against a list of them; with all of these as candidates the best of them lead."""
    monkeypatch.setattr(nint_diagonal, "MOST_REMEMBERED", COUNT - 1)
    monkeypatch.setattr(nint_diagonal, "_LAST", 100)
    sampler = NintDiagonal(BatchPlan(0.2, "constant", 20, 60), score=score, pool=1000, **AT_ONCE)
    field, ring, head = tiny_field(3), [None] * 100, 0
    for step in range(40):
        selection, seen = train(sampler, field, step)
        points = selection.indices.tolist()
        assert len(set(points)) == 20
        chosen = dict(selection.slots).get(score, 0)
        assert (7 <= chosen <= 10) if step else chosen == 0
        if step:
            usable = [(head - 1 - age) % 100 for age in range(min(head, 80))]
            owed = {place: ring[place][1] * (step - ring[place][2]) for place in usable}
            best = sorted(usable, key=lambda place: -owed[place])[:10]
            assert set(points[:chosen]) == {ring[place][0] for place in best}
            places = {ring[place][0]: place for place in best}  # either, where there are two
            assert len(places) == chosen
            own = sampler._recent.owners.tolist()
            known = [next(q for q in best if own[q] == p) for p in points[:chosen]]
        errors = (seen.prediction - seen.values).square().sum(1)
        measured = seen.leveraged_errors
        scale = None if measured is None else float(errors.sum() / measured.sum())
        for i, point in enumerate(points):
            if i < chosen:
                place = known[i]
            else:
                place, head = head % 100, head + 1
            error = float(errors[i])
            relative = ring[place][3] if i < chosen else 1.0
            if scale is not None:
                relative = float(measured[i]) * scale / error
            ring[place] = point, error * relative, step, relative
        state = sampler.state_dict()
        filled = min(head, 100)
        assert state["owners"][:filled].tolist() == [each[0] for each in ring[:filled]]
        assert state["scores"][:filled].tolist() == pytest.approx([e[1] for e in ring[:filled]])
        assert state["trained"][:filled].tolist() == [each[2] for each in ring[:filled]]
        assert state["written"].tolist() == [head]
    assert head > 400


def test_a_batch_larger_than_the_memory_is_not_remembered(monkeypatch):
    monkeypatch.setattr(nint_diagonal, "MOST_REMEMBERED", COUNT - 1)
    monkeypatch.setattr(nint_diagonal, "_LAST", 10)
    monkeypatch.setattr(nint_diagonal, "_LAST_BATCHES", 0)
    sampler = NintDiagonal(PLAN, **AT_ONCE)
    for step in range(3):
        selection, _ = train(sampler, tiny_field(3), step)
        assert dict(selection.slots)["uniform"] == 90
    assert sampler.state_dict()["written"].tolist() == [0]


def test_a_point_that_two_places_have_is_chosen_once():
    recent = Recent(8, torch.device("cpu"))
    assert recent.add(torch.tensor([5, 3, 5, 9])).tolist() == [0, 1, 2, 3]
    assert recent.once(torch.tensor([3, 2, 1, 0])).tolist() == [1, 2, 3]
    assert recent.add(torch.tensor([1, 2, 3, 4, 6, 7])).tolist() == [4, 5, 6, 7, 0, 1]
    assert recent.owners.tolist() == [6, 7, 5, 9, 1, 2, 3, 4]
    assert recent.spread(2, 0, 3).tolist() == [1, 7]
    assert recent.spread(2, 1, 3).tolist() == [0, 6]
    assert sorted(recent.spread(99, 0, 3).tolist()) == [0, 1, 5, 6, 7]
    assert recent.spread(99, 0, 8).tolist() == []


def test_a_signal_of_which_few_points_are_seen_is_guided_and_goes_on_alike():
    """2^25 points whose values are computed; what is remembered stays small."""
    signal, plan = Waves(1 << 25), BatchPlan(0.5, "constant", 256, 60)
    field = tiny_field(1, dims=1)

    def train_on(sampler, step):
        selection = sampler.select(step, Probe(field, signal, Passes()), Draws(1, step))
        sampler.observe(step, oracles.observation(field, signal, selection))
        return selection

    before, seen = NintDiagonal(plan, start=0.0, reshuffle=True), set()
    assert before.unranked(len(signal)) is None
    for step in range(6):
        selection = train_on(before, step)
        assert len(selection.indices.unique()) == 256
        if step:
            assert selection.slots == (("diagonal", 128), ("uniform", 128))
            assert set(selection.indices[:128].tolist()) <= seen
        seen |= set(selection.indices.tolist())
    after, state = NintDiagonal(plan, start=0.0, reshuffle=True), before.state_dict()
    assert max(len(each) for each in state.values()) == 1 << 20
    after.load_state_dict({name: each.clone() for name, each in state.items()})
    for step in range(6, 9):
        assert torch.equal(train_on(before, step).indices, train_on(after, step).indices)


def test_other_points_have_no_scores_yet():
    sampler, field = NintDiagonal(PLAN, **AT_ONCE), tiny_field(3)
    train(sampler, field, 0)
    sampler.forget()
    assert sampler.select(1, probe_of(field), Draws(0, 1)).slots == (("uniform", 90),)


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ({"scores": torch.zeros(3, dtype=torch.int64), "trained": torch.zeros(3).int()}, "scores"),
        ({"scores": torch.zeros(3), "trained": torch.zeros(3)}, "scores"),
        ({"scores": torch.zeros(3), "trained": torch.zeros(4).int()}, "scores"),
        ({"scores": torch.zeros(3)}, "scores"),
        ({"began": torch.tensor([1, 2])}, "began"),
        ({"began": torch.tensor([1.0])}, "began"),
        ({"leverage": torch.zeros(3)}, "leverage"),
        ({"relative": torch.zeros(3)}, "relative"),
        ({"owners": torch.arange(3)}, "owners"),
        ({**REMEMBERED, "owners": torch.arange(3)}, "owners"),
        ({**REMEMBERED, "owners": torch.arange(3), "written": torch.tensor([1])}, "owners"),
        ({"what": torch.zeros(3)}, "what"),
        ({"ntk": torch.zeros(3, dtype=torch.int64)}, "Adam's first moment"),
    ],
)
def test_a_foreign_state_is_refused(state, reason):
    with pytest.raises(ValueError, match=reason):
        NintDiagonal(PLAN).load_state_dict(state)


def test_errors_that_an_earlier_version_remembered_are_its_scores():
    sampler, field = NintDiagonal(PLAN, score="error", **AT_ONCE), tiny_field(3)
    train(sampler, field, 0)
    state = sampler.state_dict()
    old = {"errors" if name == "scores" else name: each for name, each in state.items()}
    again = NintDiagonal(PLAN, score="error", **AT_ONCE)
    again.load_state_dict(old)
    assert torch.equal(again.state_dict()["scores"], state["scores"])


def test_the_moment_spares_the_pull_of_a_score():
    """A JVP alone, whose primal gives the residual; before the first step the exact score."""
    field, passes = tiny_field(3), Passes()
    residual = predict(field, SIGNAL) - torch.cat([part for _, _, part in SIGNAL.blocks(1000)])
    blocks = SIGNAL.blocks(1000)
    pulled = pullback(field, blocks, lambda at, _, v: residual[at : at + len(v)])
    moment = [0.01 * part for part in pulled]
    probe = probe_of(field, passes, moment)
    _, products, residuals = zip(*probe.product_blocks(by_moment=True), strict=True)
    product = torch.cat(products)
    torch.testing.assert_close(product, pushforward(field, SIGNAL, moment))
    torch.testing.assert_close(product, 0.01 * ntk_product(field, SIGNAL, residual))
    torch.testing.assert_close(torch.cat(residuals), residual)
    assert passes == Passes(jvp=1)
    sampler = Nint(PLAN, gradient="moment")
    sampler.select(0, probe_of(field, first := Passes()), Draws(0, 0))
    assert first == Passes(vjp=1, jvp=1)
