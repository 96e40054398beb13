"""What a checkpoint keeps of a picture."""

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from nint_cli.modalities.image.signal import Scale
from nint_cli.signals.record import SignalRecord


class ImageRecord(SignalRecord):
    """A picture.

    Attributes:
        kind: The modality.
        shape: Height and width.
        dtype: Type of the stored values.
        low: The value that is fitted as 0.
        high: The value that is fitted as 1; None: the largest number of the type.
        maximum: The largest number that a pixel can be; None: that of the type.
        mask_sha256: Hash of the mask, `Mask.sha256`; None for none.
    """

    kind: Literal["image"] = "image"
    shape: tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]]
    dtype: str = Field(pattern="^(uint8|uint16|float32)$")
    low: float = 0.0
    high: float | None = None
    maximum: int | None = Field(None, ge=1)
    mask_sha256: str | None = None

    @property
    def scale(self) -> Scale:
        """What is fitted as 0 and 1."""
        own = Scale.of_type(np.dtype(self.dtype))
        maximum = self.maximum or own.maximum
        return Scale(self.low, own.high if self.high is None else self.high, maximum)

    @property
    def grid(self) -> tuple[int, int]:
        """Height and width."""
        return self.shape

    def on_larger_grid(self, grid: tuple[int, ...]) -> "ImageRecord":
        """Return the record of the same picture with more pixels."""
        return self.model_copy(update={"shape": grid})
