"""Pictures as signals."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nint_cli.modalities.image.decoded import NO_TAGS, Tags
from nint_cli.signals.base import GridSignal

Pixels = NDArray[Any]
"""uint8, uint16 or float32."""


@dataclass(frozen=True)
class Scale:
    """Which stored values a field's output from 0 to 1 stands for.

    Attributes:
        low: The value of 0.
        high: The value of 1.
        maximum: The largest number that a pixel of integers can be; 1 for floating point.
    """

    low: float
    high: float
    maximum: int

    @property
    def ends(self) -> tuple[float, float]:
        """The lowest and the highest of these values."""
        return self.low, self.high

    @classmethod
    def of_type(cls, dtype: np.dtype[Any]) -> "Scale":
        """Give the range that a type of integers has by itself, and 0 to 1 for other types."""
        maximum = 1 if dtype.kind == "f" else int(np.iinfo(dtype).max)
        return cls(0.0, float(maximum), maximum)

    def shares(self, pixels: Pixels) -> NDArray[np.float32]:
        """Give pixels as a field's output would have them, in float32."""
        shares = (pixels - np.float32(self.low)) / np.float32(self.high - self.low)
        return shares.astype(np.float32, copy=False)


@dataclass(frozen=True)
class Picture:
    """A picture as it is fitted.

    Attributes:
        pixels: (H, W, C), uint8, uint16 or float32; with three or more channels the first are RGB.
        sha256: Hash of the decoded pixels, before alpha is treated, or anything shrunk.
        conversions: What was done to the file's content, in plain words.
        fitted_scale: Which values are fitted as 0 and 1; None: those of the type.
        alpha: The channel that is alpha; None for none.
        tags: What goes into a reconstruction as it came.
    """

    pixels: Pixels
    sha256: str
    conversions: tuple[str, ...] = ()
    fitted_scale: Scale | None = None
    alpha: int | None = None
    tags: Tags = NO_TAGS

    @property
    def scale(self) -> Scale:
        """Which values are fitted as 0 and 1, and judged by."""
        return self.fitted_scale or Scale.of_type(self.pixels.dtype)

    @property
    def maximum(self) -> int:
        """The largest number that a pixel can hold, such as 255 or 65535."""
        return self.scale.maximum

    @property
    def bits(self) -> int:
        """Bits of a sample."""
        if self.pixels.dtype.kind == "f":
            return 8 * self.pixels.dtype.itemsize
        return self.maximum.bit_length()

    def signal(self, device: torch.device | None = None) -> GridSignal:
        """Make the picture a signal with values in [0, 1].

        Args:
            device: Where the pixels are kept, in their own type.

        Returns:
            A signal on the grid (H, W).
        """
        height, width, channels = self.pixels.shape
        stored = torch.from_numpy(self.pixels).reshape(-1, channels)
        span = self.scale.high - self.scale.low
        return GridSignal(
            stored.to(device), (height, width), scale=span, offset=(0.0 - self.scale.low) / span
        )


def to_pixels(
    prediction: Tensor,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    scale: Scale | None = None,
) -> Pixels:
    """Turn a field's prediction into pixels.

    Args:
        prediction: (H * W, C), meant to be in [0, 1]; clipped to it.
        shape: (H, W).
        dtype: The picture's own.
        scale: What 0 and 1 stand for; None: the ends of the type.

    Returns:
        (H, W, C), integers rounded to the nearest level.
    """
    scale = scale or Scale.of_type(dtype)
    values = prediction.clamp(0, 1) * (scale.high - scale.low)
    if scale.low:
        values += scale.low
    if dtype.kind != "f":
        values = values.round()
    return values.cpu().numpy().astype(dtype).reshape(*shape, prediction.shape[1])
