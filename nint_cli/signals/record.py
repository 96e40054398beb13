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


class AudioRecord(SignalRecord):
    """A sound.

    Attributes:
        kind: The modality.
        samples: T, per channel.
        sample_rate_hz: Samples per second.
        subtype: Encoding of the samples, by libsndfile's name, such as ``PCM_16``.
        scale: What the waveform is divided by to give the field's value.
        offset: What is added to that.
    """

    kind: Literal["audio"] = "audio"
    samples: int = Field(ge=1)
    sample_rate_hz: int = Field(ge=1)
    subtype: str = Field(pattern=r"^[A-Z0-9_]{1,32}$")
    scale: float = Field(gt=0)
    offset: float = 0.0

    @property
    def grid(self) -> tuple[int]:
        """Samples."""
        return (self.samples,)


class SdfRecord(SignalRecord):
    """A shape, normalised into the box [-1, 1]^3; original = normalised * scale + centre.

    Attributes:
        kind: The modality.
        points: N, of the pool that is trained on.
        shape: Points along each axis of a grid as fine as the pool.
        centre: What lies at 0, in the input's units.
        scale: Half the edge of the box, in the input's units.
    """

    kind: Literal["sdf"] = "sdf"
    points: int = Field(ge=1)
    shape: tuple[int, int, int]
    centre: tuple[float, float, float]
    scale: float = Field(gt=0)

    @property
    def grid(self) -> tuple[int, int, int]:
        """Points along each axis, in effect."""
        return self.shape

    @property
    def population(self) -> int:
        """N."""
        return self.points


AnyRecord = Annotated[ImageRecord | AudioRecord | SdfRecord, Field(discriminator="kind")]
