"""A random order of all points, of which any part can be had without the rest."""

import math

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]

MOST_LISTED = 1 << 20
"""Points up to which an order is kept as a list: looking up is faster than computing."""

_ROUNDS = 6


class Order:
    """A random permutation of the numbers from 0 to N - 1, the same for equal streams.

    Up to `MOST_LISTED` points every order is equally likely, and a list of it is kept. Beyond, the
    number at a place is computed: a place is written as a row and a column of the smallest nearly
    square table that holds them all, and rows and columns are shifted in turn, each by a random
    amount that the other one decides, 6 times (a Feistel network with random functions; Luby and
    Rackoff, 1988). That maps the table to itself one to one. What leaves [0, N) is mapped again
    until it is back (cycle walking; Black and Rogaway, 2002), which is rare, for the table has at
    most a row too many. So an order of N points takes memory for 6 sqrt(N) numbers, and time for
    no more places than are asked for.

    Args:
        population: N, at least 1.
        stream: Decides which order; drawn from here alone.
    """

    def __init__(self, population: int, stream: np.random.Generator) -> None:
        self._population = population
        self._listed: Indices | None = None
        if population <= MOST_LISTED:
            self._listed = stream.permutation(population)
            return
        self._rows = math.isqrt(population - 1) + 1
        self._columns = -(-population // self._rows)
        self._shifts = [
            (stream.integers(self._rows, size=self._columns),
             stream.integers(self._columns, size=self._rows))
            for _ in range(_ROUNDS // 2)
        ]  # fmt: skip

    def at(self, places: Indices) -> Indices:
        """Give the numbers at some places.

        Args:
            places: (B,) in [0, N).

        Returns:
            (B,) in [0, N).
        """
        if self._listed is not None:
            return self._listed[places]
        found = self._shuffled(places)
        while len(outside := np.flatnonzero(found >= self._population)):
            found[outside] = self._shuffled(found[outside])
        return found

    def _shuffled(self, places: Indices) -> Indices:
        """Map the table's places to each other, one to one."""
        row, column = np.divmod(places, self._columns)
        for by_column, by_row in self._shifts:
            row += by_column[column]
            row -= self._rows * (row >= self._rows)
            column += by_row[row]
            column -= self._columns * (column >= self._columns)
        shuffled: Indices = row * self._columns + column
        return shuffled
