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
from nint_cli.schedules.batch_size import BatchPlan
from nint_cli.training.gradient import batch_gradient
from tests import oracles
from tests.conftest import generator, tiny_field, tiny_signal

SIGNAL = tiny_signal((12, 15))
COUNT = len(SIGNAL)
PLAN = BatchPlan(0.5, "constant", None, 60)
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


def test_beyond_what_is_remembered_nothing_is_guided(monkeypatch):
    monkeypatch.setattr(nint_diagonal, "MOST_REMEMBERED", COUNT - 1)
    sampler, field = NintDiagonal(PLAN, **AT_ONCE), tiny_field(3)
    for step in range(3):
        selection, _ = train(sampler, field, step)
        assert selection.slots == (("uniform", 90),)
    assert sampler.state_dict().keys() == {"began"}
    assert sampler.unranked(COUNT - 1) is None
    assert f"more than {COUNT - 1} points" in str(sampler.unranked(COUNT))


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
