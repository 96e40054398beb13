"""The files of a picture's reconstruction: its values, and what is seen of them as PNG."""

import io

import numpy as np
from numpy.typing import NDArray

from nint_cli.modalities.image.decoded import NO_TAGS
from nint_cli.modalities.image.meaning import srgb_encoded
from nint_cli.modalities.image.png import encode_picture
from nint_cli.modalities.image.signal import Picture, Pixels, Scale
from nint_cli.modalities.image.tiff import write_tiff

RECONSTRUCTION = "reconstruction.png"
RECONSTRUCTED_VALUES = "reconstruction.tif"

_MIDDLE_GREY = 0.18  # where the mean brightness of a tone-mapped picture comes to lie


def reconstruction_files(picture: Picture, pixels: Pixels) -> dict[str, bytes]:
    """Give the files of a reconstruction.

    Args:
        picture: What was fitted.
        pixels: (H, W, C), the reconstruction, of the same type.

    Returns:
        PNG, where that holds all of it: 8 or 16 bits, grey or RGB, with alpha or without. Else
        TIFF, with a PNG of what is seen.
    """
    channels, alpha = pixels.shape[2], picture.alpha
    base = 3 if channels >= 3 else 1
    if pixels.dtype != np.float32 and (channels == base or (channels, alpha) == (base + 1, base)):
        levels = whole_range(pixels, picture.maximum)
        return {RECONSTRUCTION: encode_picture(levels, picture.tags)}
    file = io.BytesIO()
    write_tiff(file, [pixels], pixels.shape, pixels.dtype, alpha=alpha, tags=picture.tags)
    seen = as_seen(pixels, picture.scale)
    tags = NO_TAGS if pixels.dtype == np.float32 else picture.tags
    return {RECONSTRUCTED_VALUES: file.getvalue(), RECONSTRUCTION: encode_picture(seen, tags)}


def whole_range(pixels: Pixels, maximum: int) -> Pixels:
    """Spread integers of 9 to 15 bits over 16, so that a viewer shows them as bright as they are.

    Args:
        pixels: uint8 or uint16.
        maximum: The largest number that one can be.

    Returns:
        The same array where its type has no more.
    """
    full = int(np.iinfo(pixels.dtype).max)
    if maximum == full:
        return pixels
    return np.round(pixels * (full / maximum)).astype(pixels.dtype)


def as_seen(pixels: Pixels, scale: Scale, factor: float | None = None) -> NDArray[np.uint8]:
    """Give 8 bits of grey or RGB to look at; neither alpha nor further channels.

    Light beyond 1 is tone-mapped: scaled so that its geometric mean is middle grey, compressed by
    L / (1 + L), and encoded as sRGB. Source: Reinhard, Stark, Shirley, Ferwerda, "Photographic
    Tone Reproduction for Digital Images", SIGGRAPH 2002, without the local part.

    Args:
        pixels: (H, W, C).
        scale: Their range.
        factor: What light is multiplied by before it is compressed; None: their own `exposure`.

    Returns:
        (H, W, 1 or 3).
    """
    colours = pixels[..., : 3 if pixels.shape[2] >= 3 else 1]
    if pixels.dtype != np.float32:
        shares = colours / np.float32(scale.maximum)
    elif scale.low < 0 or scale.high <= 1:
        shares = scale.shares(colours).clip(0, 1)
    else:
        factor = exposure(colours) if factor is None else factor
        exposed = colours.clip(0, None) * np.float32(factor)
        shares = srgb_encoded(exposed / (1 + exposed))
    return np.round(255 * shares).astype(np.uint8)


def exposure(light: Pixels) -> float:
    """Return what light is multiplied by so that its geometric mean is middle grey.

    Args:
        light: Any shape; what is not above 0 is left out of the mean.
    """
    lit = light[light > 0]
    mean = float(np.exp(np.log(lit, dtype=np.float64).mean())) if lit.size else 1.0
    return _MIDDLE_GREY / mean
