"""The uniform part of a batch: drawn afresh at every step, or by going through all points."""

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

MOST_SHUFFLED = 1 << 24
"""Points of a signal beyond which every draw is afresh: an order of all would outgrow it."""

_SEED, _PLACE = "seed", "place"


class UniformDraws:
    """Draws points uniformly without replacement within a batch and, on demand, over an epoch.

    With ``reshuffle`` every point is visited once, in random order, before any comes again (random
    reshuffling; Mishchenko, Khaled, Richtárik, 2020, arXiv 2006.05988). What the batches of an
    epoch have in common is then the mean over all points, which momentum finds. A point that is
    excluded from a draw has its visit all the same, for it is excluded because the batch has it
    already. In a draw that two epochs share a point is once.

    An epoch costs one permutation of N, so a step costs the time of its batch. It waits for the
    device where it begins, but in no other draw that excludes nothing. Beyond `MOST_SHUFFLED`
    points a run sees few of them twice, and draws are afresh.

    Args:
        reshuffle: Whether to go through all points; otherwise every draw is afresh.
    """

    host_entries: ClassVar[frozenset[str]] = frozenset({_SEED, _PLACE})

    def __init__(self, reshuffle: bool = False) -> None:
        self.reshuffle = reshuffle
        # The order is a permutation that the seed gives again; `_place` of it are visited.
        self._seed: int | None = None
        self._place = 0
        self._order: Tensor | None = None
        # How many of the points before `_place` are the last draw, if these are all of it.
        self._drawn = 0

    def forget(self) -> None:
        """Begin a new epoch with the next draw."""
        self._seed = self._order = None
        self._drawn = 0

    def draw(
        self,
        population: int,
        count: int,
        generator: torch.Generator,
        *,
        exclude: Tensor | None = None,
    ) -> Tensor:
        """Draw distinct indices, in no particular order; see `draw_distinct`."""
        if not self.reshuffle or population > MOST_SHUFFLED:
            return draw_distinct(population, count, generator, exclude=exclude)
        found = torch.empty(0, dtype=torch.int64, device=generator.device)
        while len(found) < count:
            if self._seed is None or self._place >= population:
                seed = torch.randint(1 << 62, (), generator=generator, device=generator.device)
                self._seed, self._place, self._order = int(seed), 0, None
            barred = found if exclude is None else torch.cat([exclude, found])
            found = torch.cat([found, self._visit(population, count - len(found), barred)])
        self._drawn = count if exclude is None and self._place >= count else 0
        return found

    def others(
        self, population: int, count: int, turn: int, generator: torch.Generator, drawn: Tensor
    ) -> Tensor:
        """Give points that are not of the last draw, without waiting for the device.

        Of an epoch's order they are every s-th point, so that they have waited for their visit for
        anything between one step and an epoch, each turn other ones; few turns give every point.
        After a draw that was of two epochs, or that excluded points, or afresh, they are drawn
        afresh, too.

        Args:
            population: N.
            count: How many, at most N less those drawn.
            turn: Number of the step.
            generator: Source of randomness of what is drawn afresh.
            drawn: Distinct indices to leave out; the last draw, and what it excluded.

        Returns:
            (count,) int64, distinct.
        """
        if self._seed is None or self._drawn != len(drawn):
            return draw_distinct(population, count, generator, exclude=drawn)
        order = self._ordered(population, drawn.device)
        # In the way of every s-th point the draw may lie with up to two more than its share.
        stride = max((population - len(drawn)) // (count + 2), 1)
        every = order[turn % stride :: stride]
        last, first = (
            max(-(-(place - turn % stride) // stride), 0)
            for place in (self._place - self._drawn, self._place)
        )
        kept = torch.cat([every[:last], every[first:]])
        # There are a few too many; the turn decides which ones are not taken.
        start = turn * count % max(len(kept), 1)
        return torch.cat([kept[start:], kept[:start]])[:count]

    def _ordered(self, population: int, device: torch.device) -> Tensor:
        """Give the epoch's order, which is lost where a run was stopped, and come by again."""
        if self._order is None:
            assert self._seed is not None
            again = torch.Generator(device).manual_seed(self._seed)
            self._order = torch.randperm(population, generator=again, device=device)
        return self._order

    def _visit(self, population: int, count: int, barred: Tensor) -> Tensor:
        """Give the next points of the epoch that are not barred, fewer where it ends."""
        order = self._ordered(population, barred.device)
        ahead = order[self._place : self._place + count + len(barred)]
        if len(barred) == 0:
            self._place += len(ahead)
            return ahead
        free = torch.isin(ahead, barred, invert=True).nonzero()[:count, 0]
        self._place += len(ahead) if len(free) < count else int(free[-1]) + 1
        return ahead[free]

    def state_dict(self) -> dict[str, Tensor]:
        """Give the epoch's seed and how far it has come; empty where draws are afresh."""
        if self._seed is None:
            return {}
        return {_SEED: torch.tensor([self._seed]), _PLACE: torch.tensor([self._place])}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore what `state_dict` gave.

        Args:
            state: The tensors.

        Raises:
            ValueError: If the state is another.
        """
        sound = not state or (
            state.keys() == self.host_entries
            and all(each.shape == (1,) and each.dtype == torch.int64 for each in state.values())
        )
        if not sound or any(int(each) < 0 for each in state.values()):
            raise ValueError(f"unexpected state of draws, {sorted(state)}")
        self.forget()
        if state:
            self._seed, self._place = int(state[_SEED]), int(state[_PLACE])


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
