"""What every sampler is.

Legend: N coordinates, B of them selected per step, C channels.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from nint_cli import schedules
from nint_cli.probe import Probe


@dataclass(frozen=True)
class Selection:
    """The points of one step.

    Attributes:
        indices: (B,) int64.
        weights: (B,) factors of the squared error, or None for 1.
        slots: How many points each rule chose, in the order of `indices`.
    """

    indices: Tensor
    weights: Tensor | None = None
    slots: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True)
class BatchPlan:
    """How many points a step selects.

    Attributes:
        fraction: Share of all points at step 0.
        schedule: How that share grows; see `schedules.batch_fraction`.
        size: A fixed number of points instead, as far as there are so many; or None.
        total_steps: Steps of the run.
    """

    fraction: float
    schedule: str
    size: int | None
    total_steps: int

    def count(self, step: int, population: int) -> int:
        """Give B.

        Args:
            step: The step, from 0.
            population: N.

        Returns:
            B = floor(fraction N), at least 1 and at most N.
        """
        if self.size is not None:
            return min(self.size, population)
        fraction = schedules.batch_fraction(self.schedule, self.fraction, step, self.total_steps)
        return max(1, min(population, int(fraction * population)))


class Sampler(ABC):
    """Chooses which points train next.

    Hyper-parameters are set in the constructor. What evolves is explicit: `state_dict` gives it
    and `load_state_dict` restores it exactly.
    """

    @abstractmethod
    def select(self, step: int, probe: Probe, generator: torch.Generator) -> Selection:
        """Choose the points of a step.

        Args:
            step: The step, from 0.
            probe: What may be asked of the field as it is before the step.
            generator: The only source of randomness.

        Returns:
            The selection.
        """

    def state_dict(self) -> dict[str, Tensor]:
        """Give all that later selections depend on, besides the constructor's arguments."""
        return {}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore what `state_dict` gave.

        Args:
            state: The tensors.

        Raises:
            ValueError: If the state is not one of this sampler.
        """
        if state:
            raise ValueError(f"{type(self).__name__} has no state, got {sorted(state)}")


def load_indices(state: Mapping[str, Tensor], names: set[str]) -> dict[str, Tensor]:
    """Check the state of a sampler that remembers indices.

    Args:
        state: As it was saved.
        names: Entries that may be in it.

    Returns:
        The entries.

    Raises:
        ValueError: If an entry has another name, shape or type than a sampler saves.
    """
    for name, tensor in state.items():
        if name not in names or tensor.dtype != torch.int64 or tensor.ndim != 1:
            raise ValueError(
                f"unexpected sampler state {name} {tuple(tensor.shape)} {tensor.dtype}"
            )
    return dict(state)
