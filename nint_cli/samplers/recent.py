"""The points that trained last, of a signal that has too many to remember them all."""

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

_OWNERS, _WRITTEN = "owners", "written"


class Recent:
    """A ring of places, each of which one point has until as many others have come.

    Args:
        size: M, how many places there are.
        device: Where points are.
    """

    host_entries: ClassVar[frozenset[str]] = frozenset({_WRITTEN})
    index_entries: ClassVar[frozenset[str]] = frozenset({_OWNERS})

    def __init__(self, size: int, device: torch.device) -> None:
        self.owners = torch.zeros(size, dtype=torch.int64, device=device)
        self._written = 0

    def add(self, points: Tensor) -> Tensor:
        """Give points the places of those that came first.

        Args:
            points: (B,), at most M.

        Returns:
            Their places (B,), distinct.
        """
        places = torch.arange(self._written, self._written + len(points), device=points.device)
        places %= len(self.owners)
        self.owners[places] = points
        self._written += len(points)
        return places

    def spread(self, count: int, turn: int, coming: int) -> Tensor:
        """Give places whose points came at any time, evenly spread; each turn other ones.

        Args:
            count: How many, as far as there are.
            turn: Number of the step.
            coming: How many points the next `add` may bring; it takes the place of none of these.

        Returns:
            (count,) distinct places, or fewer.
        """
        usable = max(0, min(self._written, len(self.owners) - coming))
        stride = max(1, usable // max(count, 1))
        ages = torch.arange(turn % stride, usable, stride, device=self.owners.device)[:count]
        return (self._written - 1 - ages) % len(self.owners)

    def once(self, places: Tensor) -> Tensor:
        """Leave places out whose point has another of them, too; in order of the points."""
        points, order = self.owners[places].sort(stable=True)
        first = torch.ones_like(points, dtype=torch.bool)
        first[1:] = points[1:] != points[:-1]
        return places[order[first]]

    def state_dict(self) -> dict[str, Tensor]:
        """Give the points and how many have come."""
        return {_OWNERS: self.owners, _WRITTEN: torch.tensor([self._written])}

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> "Recent":
        """Restore what `state_dict` gave.

        Args:
            state: The tensors.

        Raises:
            ValueError: If the state is another.
        """
        owners, written = state.get(_OWNERS), state.get(_WRITTEN)
        if (
            owners is None
            or written is None
            or any(each.dtype != torch.int64 or each.ndim != 1 for each in (owners, written))
            or len(owners) == 0
            or written.shape != (1,)
            or int(written) < 0
        ):
            raise ValueError(f"unexpected sampler state {_OWNERS}, {_WRITTEN}")
        found = cls(0, owners.device)
        found.owners, found._written = owners, int(written)
        return found
