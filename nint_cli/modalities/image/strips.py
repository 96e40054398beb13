"""A picture predicted and measured in strips of whole rows, so that no more is held at a time."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor

from nint_cli.derivatives.sweep import predicted_blocks
from nint_cli.fields.base import Field
from nint_cli.modalities.base import Piece, unwatched
from nint_cli.modalities.image.metrics import PartedError, SquaredError, Ssim
from nint_cli.modalities.image.signal import Picture, Pixels, to_pixels
from nint_cli.signals.base import GridSignal

Meter = SquaredError | PartedError | Ssim
"""What takes in strips from top to bottom."""

STRIP_PIXELS = 1 << 17
"""Pixels of a strip, as far as that is whole rows; a second or so of a slow core."""


@dataclass(frozen=True)
class Strips:
    """The strips of a picture, from top to bottom.

    Attributes:
        picture: Its pixels.
        signal: The grid of them, on the device of the field.
    """

    picture: Picture
    signal: GridSignal

    @property
    def size(self) -> int:
        """Pixels of all strips but the last."""
        width = self.signal.shape[1]
        return max(1, STRIP_PIXELS // width) * width

    def predicted(
        self, field: Field, *meters: Meter, piece: Piece = unwatched
    ) -> Iterator[Tensor]:
        """Predict strip by strip.

        Args:
            field: The field.
            meters: Take in each strip before it is given.
            piece: Told the pixels of each strip.

        Yields:
            (size, C), not clipped.
        """
        for _, prediction, values in predicted_blocks(field, self.signal, self.size):
            for meter in meters:
                meter.add(prediction, values)
            piece(len(prediction))
            yield prediction

    def measure(self, field: Field, *meters: Meter) -> None:
        """Let meters take in all strips; see `predicted`."""
        deque(self.predicted(field, *meters), maxlen=0)

    def prediction(self, field: Field, *meters: Meter, piece: Piece = unwatched) -> Tensor:
        """Predict everything and hold it once; (N, C). See `predicted`."""
        whole = self.signal.stored.new_empty(0)
        for index, strip in enumerate(self.predicted(field, *meters, piece=piece)):
            if index == 0:
                whole = strip.new_empty(len(self.signal), strip.shape[1])
            whole[index * self.size : index * self.size + len(strip)] = strip
        return whole

    def pixels(self, prediction: Tensor) -> Pixels:
        """Turn the prediction of whole rows into pixels.

        Args:
            prediction: (rows * W, C).

        Returns:
            (rows, W, C) in the picture's own type.
        """
        width = self.signal.shape[1]
        shape = (len(prediction) // width, width)
        return to_pixels(prediction, shape, self.picture.pixels.dtype, self.picture.scale)
