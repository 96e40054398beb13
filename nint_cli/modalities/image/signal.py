"""Pictures as signals."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nint_cli.signals.base import GridSignal

Pixels = NDArray[np.unsignedinteger[Any]]
"""uint8 or uint16."""


@dataclass(frozen=True)
class Picture:
    """A decoded picture.

    Attributes:
        pixels: (H, W, C), uint8 or uint16; C is 1 (grey), 2 (grey, alpha), 3 (RGB) or 4 (RGBA).
        sha256: Hash of the decoded pixels, before any shrinking.
        conversions: What was done to the file's content, in plain words.
    """

    pixels: Pixels
    sha256: str
    conversions: tuple[str, ...] = ()

    @property
    def maximum(self) -> int:
        """The largest number that a pixel can hold: 255 or 65535."""
        return int(np.iinfo(self.pixels.dtype).max)

    def signal(self, device: torch.device | None = None) -> GridSignal:
        """Make the picture a signal with values in [0, 1].

        Args:
            device: Where the pixels are kept, in their own 8 or 16 bits.

        Returns:
            A signal on the grid (H, W).
        """
        height, width, channels = self.pixels.shape
        stored = torch.from_numpy(self.pixels).reshape(-1, channels)
        return GridSignal(stored.to(device), (height, width), scale=float(self.maximum))


def to_pixels(prediction: Tensor, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Pixels:
    """Turn a field's prediction into pixels.

    Args:
        prediction: (H * W, C), meant to be in [0, 1]; clipped to it.
        shape: (H, W).
        dtype: uint8 or uint16, the picture's own.

    Returns:
        (H, W, C), rounded to the nearest level.
    """
    maximum = int(np.iinfo(dtype).max)
    levels = (prediction.clamp(0, 1) * maximum).round().cpu().numpy()
    return levels.astype(dtype).reshape(*shape, prediction.shape[1])
