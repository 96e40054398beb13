import math
import random

import pytest
import torch

from nint_cli.samplers.topk import TopK


def ranked(scores, count):
    """Sort all of them by Python: the largest first, of equals the lowest index."""
    order = sorted(range(len(scores)), key=lambda index: (-scores[index], index))
    return order[:count]


def streamed(scores, count, blocks):
    top = TopK(count)
    for start, stop in blocks:
        top.add(start, scores[start:stop])
    return top.indices()


def cut(rng, population):
    """Blocks of random sizes, some of them empty."""
    edges = sorted(rng.randint(0, population) for _ in range(rng.randint(0, 12)))
    return list(zip([0, *edges], [*edges, population], strict=True))


def drawn(rng, population):
    """Scores of few or many different values, with infinities, of either size."""
    kinds = {
        "any": lambda: rng.gauss(0, 1),
        "few": lambda: float(rng.randint(0, 3)),
        "same": lambda: 1.0,
        "infinite": lambda: rng.choice([-math.inf, -0.0, 0.0, math.inf]),
    }
    draw = kinds[rng.choice(list(kinds))]
    values = [draw() for _ in range(population)]
    order = rng.choice(["as drawn", "rising", "falling"])
    if order != "as drawn":
        values.sort(reverse=order == "falling")
    return torch.tensor(values, dtype=rng.choice([torch.float32, torch.float64]))


@pytest.mark.parametrize("seed", range(300))
def test_blocks_in_any_order_give_what_a_sort_of_all_gives(seed):
    rng = random.Random(seed)
    population = rng.randint(0, 60)
    scores, count = drawn(rng, population), rng.choice([0, 1, 2, 7, 30, 100])
    blocks = cut(rng, population)
    if rng.random() < 0.5:
        rng.shuffle(blocks)
    found = streamed(scores, count, blocks)
    assert found.dtype == torch.int64
    assert found.tolist() == ranked(scores.double().tolist(), count)


def test_it_is_the_set_that_topk_gives():
    scores = torch.rand(100_000, generator=torch.Generator().manual_seed(0))
    for count in (1, 1000, 60_000):
        blocks = [(at, min(at + 4096, 100_000)) for at in range(0, 100_000, 4096)]
        found = streamed(scores, count, blocks)
        assert set(found.tolist()) == set(scores.topk(count).indices.tolist())
        assert bool((scores[found].diff() <= 0).all())


def test_more_blocks_may_follow_and_the_scores_are_not_changed():
    scores = torch.tensor([3.0, 1.0, 2.0, 5.0])
    top = TopK(2)
    assert top.indices().tolist() == []
    block = scores[:3].clone()
    top.add(0, block)
    block.fill_(100.0)  # as a buffer that is used again
    assert top.indices().tolist() == [0, 2]
    top.add(3, scores[3:])
    assert top.indices().tolist() == [3, 0]


def test_it_holds_no_more_than_twice_its_count_and_a_block():
    top, held = TopK(50), []
    for start in range(0, 20_000, 100):
        top.add(start, torch.arange(start, start + 100).double())  # each better than all before
        held.append(sum(map(len, top._scores)))
    assert max(held) <= 2 * 50 + 100
    assert top.indices().tolist() == list(range(19_999, 19_949, -1))


def test_nan_ranks_with_infinity_and_so_is_trained_where_it_is():
    top = TopK(3)
    top.add(7, torch.tensor([1.0, math.nan, -math.inf]))
    top.add(2, torch.tensor([math.inf, 5.0]))
    assert top.indices().tolist() == [2, 8, 3]


def test_a_negative_count_is_refused():
    with pytest.raises(ValueError, match="cannot keep -1 scores"):
        TopK(-1)
