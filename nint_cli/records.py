"""What a checkpoint keeps of the signal: enough to rebuild the field's output, and find the input.

One record per modality, told apart by `kind`.
"""

import math
from abc import ABC, abstractmethod
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class SignalRecord(BaseModel, ABC):
    """What every record has.

    Attributes:
        source: The input as an absolute path, or ``sample:NAME``.
        sha256: Hash of its decoded content.
        channels: C, numbers that the field gives per point.
        half_range: Coords lie in [-half_range, half_range].
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    source: str
    sha256: str
    channels: int = Field(ge=1, le=1024)
    half_range: float = Field(1.0, gt=0)

    @property
    @abstractmethod
    def grid(self) -> tuple[int, ...]:
        """Points along each axis; see `Signal.shape`."""

    @property
    def population(self) -> int:
        """N."""
        return math.prod(self.grid)


class ImageRecord(SignalRecord):
    """A picture.

    Attributes:
        kind: The modality.
        shape: Height and width.
        dtype: Type of the stored values, which fixes their scale.
    """

    kind: Literal["image"] = "image"
    shape: tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]]
    dtype: str = Field(pattern="^uint(8|16)$")

    @property
    def grid(self) -> tuple[int, int]:
        """Height and width."""
        return self.shape


AnyRecord = ImageRecord
