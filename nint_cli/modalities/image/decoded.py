"""What a picture file holds, in one description for all formats.

Decoders fill it in and interpret nothing; what the samples mean as values is up to `meaning`.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Colours = Literal["grey", "rgb", "palette", "cmyk", "cielab", "icclab"]
Extra = Literal["alpha", "associated", "unspecified"]

BASE = {"grey": 1, "rgb": 3, "palette": 1, "cmyk": 4, "cielab": 3, "icclab": 3}
"""Samples per pixel of each kind, before the extra ones."""

EXTRAS: dict[int, tuple[Extra, ...]] = {1: (), 2: ("alpha",), 3: (), 4: ("alpha",)}
"""What is extra in formats that know grey and RGB, each with or without alpha, by samples."""


class UnsupportedPicture(Exception):
    """The file is sound, but nothing that can be fitted; says what to do."""


ORIENTATION = 0x0112
"""The EXIF tag."""


@dataclass(frozen=True)
class Tags:
    """What goes from an input into its reconstruction as it came.

    Attributes:
        profile: The ICC profile; None where there is none.
        chunks: Chunks of a PNG file by name, such as gAMA: gamma, primaries, resolution.
    """

    profile: bytes | None = None
    chunks: tuple[tuple[bytes, bytes], ...] = ()


NO_TAGS = Tags()


@dataclass(kw_only=True)
class Decoded:
    """Samples as a file holds them, and what its header says of them.

    Attributes:
        samples: (H, W, S), as they are stored, not turned.
        kind: The format, such as ``JPEG``.
        colours: What the first samples are.
        maximum: The largest number that a sample can be; None: that of its type.
        inverted: Whether 0 is white.
        extra: What the samples after the colours are.
        palette: (entries, 3), where samples are places in it.
        transparent: The one colour that is transparent, by its samples; None for none.
        orientation: By the EXIF tag, from 1 to 8; others count as 1.
        frames: How many pictures there are, as far as it was counted.
        uncounted: Whether there are more.
        tags: What goes into a reconstruction.
        notes: What was done to the content in decoding, in plain words.
    """

    samples: NDArray[Any]
    kind: str
    colours: Colours
    maximum: int | None = None
    inverted: bool = False
    extra: tuple[Extra, ...] = ()
    palette: NDArray[np.unsignedinteger[Any]] | None = None
    transparent: tuple[int, ...] | None = None
    orientation: int = 1
    frames: int = 1
    uncounted: bool = False
    tags: Tags = NO_TAGS
    notes: list[str] = field(default_factory=list)

    @property
    def has_alpha(self) -> bool:
        """Whether one of the extra samples is alpha of either kind."""
        return any(kind != "unspecified" for kind in self.extra)

    @property
    def most_whole(self) -> int:
        """The largest number that a sample can be, of integers."""
        limit = int(np.iinfo(self.samples.dtype).max)
        return limit if self.maximum is None else self.maximum


def as_stored(upright: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Undo `upright`: show an upright picture as a file of an EXIF orientation holds it.

    Args:
        upright: (H, W, C).
        orientation: From 1 to 8; others count as 1.

    Returns:
        A view.
    """
    flipped = _flipped(upright, orientation)
    return flipped.swapaxes(0, 1) if orientation in range(5, 9) else flipped


def upright(stored: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Turn a picture as its EXIF orientation says, for any number of channels and bits.

    Args:
        stored: (H, W, C).
        orientation: From 1 to 8; others count as 1.

    Returns:
        A view.
    """
    turned = stored.swapaxes(0, 1) if orientation in range(5, 9) else stored
    return _flipped(turned, orientation)


def _flipped(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    rows = -1 if orientation in {3, 4, 7, 8} else 1
    columns = -1 if orientation in {2, 3, 6, 7} else 1
    if rows == columns == 1:
        return pixels  # and not a view of a view, so that a mapped file is seen to be one
    return pixels[::rows, ::columns]


def check_size(width: int, height: int, max_pixels: int) -> None:
    """Refuse a picture by its header, before anything is decoded.

    Args:
        width: In pixels.
        height: In pixels.
        max_pixels: What image.max_pixels is.

    Raises:
        UnsupportedPicture: If it has more pixels than that.
    """
    if width * height > max_pixels:
        raise UnsupportedPicture(
            f"{width}x{height} pixels are more than image.max_pixels = {max_pixels:,}; "
            f"if the machine has the memory, --set image.max_pixels={width * height}"
        )
