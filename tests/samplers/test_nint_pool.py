"""NINT without sweeps: what it remembers, what it estimates, and what that costs."""

import pytest
import torch

from nint_cli.derivatives.ntk import ntk_product
from nint_cli.derivatives.probe import Probe
from nint_cli.derivatives.sweep import Passes, predict, pullback, pushforward
from nint_cli.samplers import nint_pool
from nint_cli.samplers.nint import Nint
from nint_cli.samplers.nint_pool import NintPool
from nint_cli.samplers.slots import Mixture
from nint_cli.schedules import laws
from nint_cli.schedules.batch_size import BatchPlan
from tests import oracles
from tests.conftest import generator, tiny_field, tiny_signal

SIGNAL = tiny_signal((12, 15))
COUNT = len(SIGNAL)
PLAN = BatchPlan(0.5, "constant", None, 60)


def moment_of(field):
    """The full gradient, times a factor that no ranking feels."""
    residual = predict(field, SIGNAL) - torch.cat([part for _, _, part in SIGNAL.blocks(1000)])
    blocks = SIGNAL.blocks(1000)
    return [
        0.01 * part
        for part in pullback(field, blocks, lambda at, _, v: residual[at : at + len(v)])
    ], residual


def probe_of(field, moment=None, passes=None):
    return Probe(field, SIGNAL, passes or Passes(), lambda: moment)


def begin(sampler, field):
    """Train a first batch, so that there is something to remember."""
    selection = sampler.select(0, probe_of(field), generator())
    sampler.observe(0, oracles.observation(field, SIGNAL, selection))


def test_the_residual_slot_holds_the_candidates_that_have_been_owed_most_for_longest():
    """With as many candidates as points they lead all but those beside them."""
    sampler = NintPool(PLAN, Mixture(xi=0.6, lambda_=1e3), pool=1000)
    field, rng, known, trained = tiny_field(3), generator(), {}, {}
    for step in range(20):
        selection = sampler.select(step, probe_of(field), rng)
        sizes = dict(selection.slots)
        if step:
            guided = int(90 * 0.4 + 1e-9) - sizes["ntk"]
            assert sizes["residual"] == guided
            chosen = selection.indices[sizes["ntk"] : sizes["ntk"] + guided].tolist()
            left = selection.indices.tolist()
            taken = set(left[: sizes["ntk"]] + left[sizes["ntk"] + guided :])
            owed = {
                i: known.get(i, -1.0) * (step - trained.get(i, 0))
                for i in range(COUNT)
                if i not in taken
            }
            assert sorted(owed[i] for i in chosen) == sorted(owed.values())[-guided:]
        observation = oracles.observation(field, SIGNAL, selection)
        sampler.observe(step, observation)
        found = (observation.prediction - observation.values).square().sum(1)
        known |= dict(zip(selection.indices.tolist(), found.tolist(), strict=True))
        trained |= dict.fromkeys(selection.indices.tolist(), step)
        with torch.no_grad():
            for parameter in field.parameters():
                parameter.mul_(1.01)
    assert known.keys() == set(range(COUNT))


def test_few_candidates_leave_the_choice_to_chance():
    sampler = NintPool(PLAN, Mixture(xi=0.5, lambda_=1e3), pool=1)
    begin(sampler, tiny_field(3))
    sampler._errors = torch.arange(COUNT, dtype=torch.float64)
    sampler._trained = torch.zeros(COUNT, dtype=torch.int32)
    selection = sampler.select(1, probe_of(tiny_field(3)), generator(3))
    sizes = dict(selection.slots)
    residual = selection.indices[sizes["ntk"] :][: sizes["residual"]]
    assert 0.3 * COUNT < residual.double().mean() < 0.7 * COUNT


def test_the_ntk_slot_holds_the_candidates_that_the_moment_moves_most():
    field = tiny_field(3)
    moment, residual = moment_of(field)
    sampler, rng, passes = NintPool(PLAN, pool=1000), generator(), Passes()
    begin(sampler, field)
    found = sampler.select(1, probe_of(field, moment, passes), rng)
    wanted = int(90 * laws.ntk_share("exponential", 1, xi=0.7, alpha=10, lambda_=1.0))
    assert dict(found.slots)["ntk"] == wanted
    score = ntk_product(field, SIGNAL, residual).norm(dim=1)
    assert set(found.indices[:wanted].tolist()) == set(score.topk(wanted).indices.tolist())
    assert passes == Passes(jvp=1.0)
    for step in range(2, 10):  # they keep their slot
        again = sampler.select(step, probe_of(field, moment, passes), rng)
        size = dict(again.slots)["ntk"]
        assert again.indices[:size].tolist() == found.indices[:size].tolist()
    assert passes == Passes(jvp=1.0)
    sampler.select(10, probe_of(field, moment, passes), rng)
    assert passes.jvp == 2.0


def test_a_batch_that_grows_has_no_more_by_score_than_were_scored():
    growing = BatchPlan(0.1, "linear", None, 8)
    sampler, field = NintPool(growing, Mixture(alpha=100, lambda_=1e-6), pool=1000), tiny_field(3)
    moment, _ = moment_of(field)
    sizes = []
    for step in range(8):
        selection = sampler.select(step, probe_of(field, moment), generator(step))
        sampler.observe(step, oracles.observation(field, SIGNAL, selection))
        assert sum(size for _, size in selection.slots) == len(selection.indices.unique())
        sizes.append((dict(selection.slots).get("ntk"), growing.count(step, COUNT)))
    assert sizes[1][0] == sizes[6][0]
    assert sizes[1][1] < sizes[6][1] < COUNT


def test_candidates_cost_their_share_of_a_pass():
    field, passes = tiny_field(3), Passes()
    moment, _ = moment_of(field)
    sampler = NintPool(PLAN, pool=2)
    sampler.observe(
        0, oracles.observation(field, SIGNAL, sampler.select(0, probe_of(field), generator()))
    )
    found = sampler.select(1, probe_of(field, moment, passes), generator())
    assert passes.jvp == pytest.approx(2 * dict(found.slots)["ntk"] / COUNT)
    assert passes.forward == passes.vjp == passes.backward == 0


def test_nothing_is_guided_before_its_time_or_beyond_what_is_remembered(monkeypatch):
    late = NintPool(PLAN, Mixture(start=0.5))
    field = tiny_field(3)
    for step in range(31):
        selection = late.select(step, probe_of(field), generator(step))
        late.observe(step, oracles.observation(field, SIGNAL, selection))
        assert (dict(selection.slots).keys() == {"uniform"}) == (step < 30), step
    monkeypatch.setattr(nint_pool, "MOST_REMEMBERED", COUNT - 1)
    sampler = NintPool(PLAN)
    for step in range(3):
        selection = sampler.select(step, probe_of(field), generator(step))
        sampler.observe(step, oracles.observation(field, SIGNAL, selection))
        assert selection.slots == (("uniform", 90),)
    assert sampler.state_dict().keys() == {"began"}


def test_other_points_have_no_errors_yet():
    sampler, field = NintPool(PLAN), tiny_field(3)
    sampler.observe(
        0, oracles.observation(field, SIGNAL, sampler.select(0, probe_of(field), generator()))
    )
    sampler.forget()
    assert sampler.select(1, probe_of(field), generator()).slots == (("uniform", 90),)


@pytest.mark.parametrize(
    "state",
    [
        {"errors": torch.zeros(3, dtype=torch.int64), "trained": torch.zeros(3).int()},
        {"errors": torch.zeros(3), "trained": torch.zeros(3)},
        {"errors": torch.zeros(3), "trained": torch.zeros(4).int()},
        {"errors": torch.zeros(3)},
        {"began": torch.tensor([1, 2])},
        {"began": torch.tensor([1.0])},
    ],
)
def test_a_foreign_state_is_refused(state):
    with pytest.raises(ValueError, match=r"errors|began"):
        NintPool(PLAN).load_state_dict(state)


def test_the_moment_spares_the_pull_of_a_score():
    """A JVP alone, whose primal gives the residual; before the first step the exact score."""
    field, passes = tiny_field(3), Passes()
    moment, residual = moment_of(field)
    probe = probe_of(field, moment, passes)
    _, products, residuals = zip(*probe.product_blocks(by_moment=True), strict=True)
    product = torch.cat(products)
    torch.testing.assert_close(product, pushforward(field, SIGNAL, moment))
    torch.testing.assert_close(product, 0.01 * ntk_product(field, SIGNAL, residual))
    torch.testing.assert_close(torch.cat(residuals), residual)
    assert passes == Passes(jvp=1)
    sampler = Nint(PLAN, gradient="moment")
    sampler.select(0, probe_of(field, None, first := Passes()), generator())
    assert first == Passes(vjp=1, jvp=1)
    assert torch.equal(probe_of(field).products_at(torch.arange(3)), torch.zeros(3, 3).double())
