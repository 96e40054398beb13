"""The uniform part of a batch: drawn afresh at every step, or by going through all points."""

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from nint_cli.random import Draws, moved
from nint_cli.samplers.order import Order

_EPOCH, _PLACE = "epoch", "place"


class UniformDraws:
    """Draws points uniformly without replacement within a batch and, on demand, over an epoch.

    With ``reshuffle`` every point is visited once, in random order, before any comes again (random
    reshuffling; Mishchenko, Khaled, Richtárik, 2020, arXiv 2006.05988). What the batches of an
    epoch have in common is then the mean over all points, which momentum finds. A point that is
    excluded from a draw has its visit all the same, for it is excluded because the batch has it
    already. In a draw that two epochs share a point is once.

    An epoch's order is a function of the seed and of the step in which it begins (`Order`), so a
    step costs the time of its batch. No draw that excludes nothing waits for the device.

    Args:
        reshuffle: Whether to go through all points; otherwise every draw is afresh.
    """

    host_entries: ClassVar[frozenset[str]] = frozenset({_EPOCH, _PLACE})

    def __init__(self, reshuffle: bool = False) -> None:
        self.reshuffle = reshuffle
        # The step in which the epoch began, which gives its order; `_place` of it are visited.
        self._began: int | None = None
        self._place = 0
        self._order: Order | None = None
        # How many of the points before `_place` are the last draw, if these are all of it.
        self._drawn = 0

    def forget(self) -> None:
        """Begin a new epoch with the next draw."""
        self._began = self._order = None
        self._drawn = 0

    def draw(
        self,
        population: int,
        count: int,
        draws: Draws,
        device: torch.device,
        *,
        exclude: Tensor | None = None,
    ) -> Tensor:
        """Draw distinct indices, in no particular order.

        Args:
            population: N.
            count: How many, at most N less the excluded ones.
            draws: The step's randomness; one draw per step.
            device: Where the indices are wanted.
            exclude: Distinct indices that may not be drawn, or None.

        Returns:
            (count,) int64.
        """
        if not self.reshuffle:
            stream = draws.stream("uniform")
            return draw_distinct(population, count, stream, device, exclude=exclude)
        found = torch.empty(0, dtype=torch.int64, device=device)
        while len(found) < count:
            if self._began is None or self._place >= population:
                self._began, self._place, self._order = draws.step, 0, None
            barred = found if exclude is None else torch.cat([exclude, found])
            order = self._ordered(population, draws)
            found = torch.cat([found, self._visit(order, population, count - len(found), barred)])
        self._drawn = count if exclude is None and self._place >= count else 0
        return found

    def others(self, population: int, count: int, draws: Draws, drawn: Tensor) -> Tensor:
        """Give points that are not of the last draw, without waiting for the device.

        Of an epoch's order they are every s-th point, so that they have waited for their visit for
        anything between one step and an epoch, each step other ones; few steps give every point.
        After a draw that was of two epochs, or that excluded points, or afresh, they are drawn
        afresh, too.

        Args:
            population: N.
            count: How many, at most N less those drawn.
            draws: The step's randomness.
            drawn: Distinct indices to leave out; the last draw, and what it excluded.

        Returns:
            (count,) int64, distinct.
        """
        if self._began is None or self._drawn != len(drawn):
            stream = draws.stream("candidates")
            return draw_distinct(population, count, stream, drawn.device, exclude=drawn)
        # In the way of every s-th point the draw may lie with up to two more than its share.
        stride, turn = max((population - len(drawn)) // (count + 2), 1), draws.step
        places = np.arange(turn % stride, population, stride)
        places = places[(places < self._place - self._drawn) | (places >= self._place)]
        # There are a few too many; the step decides which ones are not taken.
        start = turn * count % max(len(places), 1)
        chosen = np.concatenate([places[start:], places[:start]])[:count]
        return moved(self._ordered(population, draws).at(chosen), drawn.device)

    def _ordered(self, population: int, draws: Draws) -> Order:
        """Give the epoch's order, which is not kept where a run is stopped."""
        if self._order is None:
            assert self._began is not None
            self._order = Order(population, draws.at(self._began).stream("epoch"))
        return self._order

    def _visit(self, order: Order, population: int, count: int, barred: Tensor) -> Tensor:
        """Give the next points of the epoch that are not barred, fewer where it ends."""
        end = min(self._place + count + len(barred), population)
        ahead = moved(order.at(np.arange(self._place, end)), barred.device)
        if len(barred) == 0:
            self._place = end
            return ahead
        free = torch.isin(ahead, barred, invert=True).nonzero()[:count, 0]
        self._place = end if len(free) < count else self._place + int(free[-1]) + 1
        return ahead[free]

    def state_dict(self) -> dict[str, Tensor]:
        """Give where the epoch began and how far it has come; empty where draws are afresh."""
        if self._began is None:
            return {}
        return {_EPOCH: torch.tensor([self._began]), _PLACE: torch.tensor([self._place])}

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
            self._began, self._place = int(state[_EPOCH]), int(state[_PLACE])


def draw_distinct(
    population: int,
    count: int,
    stream: np.random.Generator,
    device: torch.device,
    *,
    exclude: Tensor | None = None,
) -> Tensor:
    """Draw distinct indices, every subset of that size equally likely.

    Args:
        population: N; indices are in [0, N).
        count: How many, at most N less the excluded ones.
        stream: Source of randomness.
        device: Where the indices are wanted, and where the excluded ones are.
        exclude: Distinct indices that may not be drawn, or None.

    Returns:
        (count,) int64, in no particular order.
    """
    barred = 0 if exclude is None else len(exclude)
    chosen = stream.choice(population - barred, count, replace=False, shuffle=False)
    ranks = moved(chosen, device)
    if exclude is None or barred == 0:
        return ranks
    # Rank r of the points that are left is index r plus the number of taken points before it:
    # taken[j] precedes it exactly when taken[j] - j <= r.
    taken = exclude.sort().values
    offsets = taken - torch.arange(barred, device=device)
    return ranks + torch.searchsorted(offsets, ranks, right=True)
