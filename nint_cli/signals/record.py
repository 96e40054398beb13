"""What a checkpoint keeps of the signal: enough to rebuild the field's output, and find the input.

Each modality has one of its own, told apart by `kind`.
"""

import math
from abc import ABC, abstractmethod

from pydantic import BaseModel, ConfigDict, Field


class SignalRecord(BaseModel, ABC):
    """What every record has.

    Attributes:
        source: The input as an absolute path, or ``sample:NAME``.
        sha256: Hash of its decoded content.
        channels: C, numbers that the field gives per point.
        half_range: Coords lie in [-half_range, half_range].
        kind: The modality.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    source: str
    sha256: str
    channels: int = Field(ge=1, le=1024)
    half_range: float = Field(1.0, gt=0)
    kind: str

    @property
    @abstractmethod
    def grid(self) -> tuple[int, ...]:
        """Points along each axis; see `Signal.shape`."""

    @property
    def on_grid(self) -> bool:
        """Whether its points are those of the grid, in row-major order."""
        return True

    @property
    def population(self) -> int:
        """N."""
        return math.prod(self.grid)

    def on_larger_grid(self, grid: tuple[int, ...]) -> "SignalRecord | None":
        """Return the record as it would be for the same signal with more points.

        Args:
            grid: Points along each axis.

        Returns:
            None where the modality has no such thing.
        """
        return None
