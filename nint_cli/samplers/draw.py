"""Drawing points uniformly without replacement, in the time of the batch and not of the signal."""

import torch
from torch import Tensor

# Below this share of the population, rejection draws touch fewer numbers than a permutation.
_SPARSE = 1 / 8


def draw_distinct(
    population: int,
    count: int,
    generator: torch.Generator,
    *,
    exclude: Tensor | None = None,
) -> Tensor:
    """Draw distinct indices, every subset of that size equally likely.

    Args:
        population: N; indices are in [0, N).
        count: How many, at most N less the excluded ones.
        generator: Source of randomness; its device is the result's.
        exclude: Distinct indices that may not be drawn, or None.

    Returns:
        (count,) int64, in no particular order.
    """
    if exclude is None or len(exclude) == 0:
        return _draw(population, count, generator)
    taken = exclude.sort().values
    ranks = _draw(population - len(taken), count, generator)
    # Rank r of the points that are left is index r plus the number of taken points before it:
    # taken[j] precedes it exactly when taken[j] - j <= r.
    offsets = taken - torch.arange(len(taken), device=taken.device)
    return ranks + torch.searchsorted(offsets, ranks, right=True)


def _draw(population: int, count: int, generator: torch.Generator) -> Tensor:
    device = generator.device
    if count > population * _SPARSE:
        return torch.randperm(population, generator=generator, device=device)[:count]
    found = torch.empty(0, dtype=torch.int64, device=device)
    while len(found) < count:
        # A few more than needed make a second round, for lack of distinct ones, rare.
        more = torch.randint(
            population, (count + count // 8 + 16,), generator=generator, device=device
        )
        found = torch.unique(torch.cat([found, more]))
    # The distinct values of independent draws are a uniformly random set, and so is a random
    # part of it.
    return found[torch.randperm(len(found), generator=generator, device=device)[:count]]
