"""Picture files to pixels and back.

Pillow decodes, with a short list of formats. It has no colour mode of more than 8 bits and cuts
16-bit colour down without a word, so those files go to imagecodecs (PNG) and tifffile (TIFF).
"""

import hashlib
import io
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from nint_cli.errors import InputError
from nint_cli.signals import samples
from nint_cli.signals.image import Picture, Pixels
from nint_cli.signals.source import read_up_to

# What decoders raise on damaged data, each format in its own way.
_DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    RuntimeError,
    EOFError,
    struct.error,
    zlib.error,
)

FORMATS = {
    "PNG": (".png", ".apng"),
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "TIFF": (".tif", ".tiff"),
    "BMP": (".bmp", ".dib"),
    "WEBP": (".webp",),
}

# Modes that hold a grey or colour picture of 8 bits per channel, or become one without loss.
_MODES = {"1": "L", "L": "L", "LA": "LA", "La": "LA", "RGB": "RGB", "RGBA": "RGBA", "RGBa": "RGBA"}
_COLOUR_SPACES = {"CMYK", "YCbCr", "LAB", "HSV"}
_ORIENTATION = 0x0112  # the EXIF tag

# A file is read up to what a picture within the limit of pixels can have, so that an endless
# stream is refused: four channels of 16 bits, and as much again for frames, profiles and previews.
_MOST_BYTES_PER_PIXEL = 16
_MOST_BYTES_BESIDE = 1 << 26
_WIDE_GREY = {"I;16", "I;16B", "I;16L", "I;16N"}


def source_path(source: str) -> Path:
    """Give the file of an input.

    Args:
        source: A path, or ``sample:NAME``.

    Returns:
        The file's path.
    """
    if source.startswith(samples.PREFIX):
        return samples.picture_path(source.removeprefix(samples.PREFIX))
    return Path(source)


def read_picture(
    source: str, *, size: int | None = None, max_pixels: int = 100_000_000
) -> Picture:
    """Read a picture, upright, with all its channels and bits.

    Args:
        source: A PNG, JPEG, TIFF, BMP or WebP file, or ``sample:NAME``.
        size: Shrink the longest side to this many pixels; a smaller picture is left alone.
        max_pixels: Refuse a larger picture, by its header, before decoding.

    Returns:
        The picture.

    Raises:
        InputError: If it cannot be read; says why and, where there is a way, what to do.
    """
    path = source_path(source)
    most = max_pixels * _MOST_BYTES_PER_PIXEL + _MOST_BYTES_BESIDE
    try:
        data = read_up_to(path, most)
    except IsADirectoryError:
        raise InputError(f"cannot read '{source}': it is a folder; name a picture") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"cannot read '{source}': {reason}") from error
    if len(data) > most:
        raise InputError(
            f"cannot use '{source}': more than {most:,} bytes, which no picture of "
            f"image.max_pixels = {max_pixels:,} has; raise that limit if it is one"
        )
    if not data:
        raise InputError(f"cannot read '{source}': the file is empty")
    conversions: list[str] = []
    try:
        pixels = _decode(data, path.suffix, max_pixels, conversions)
    except _Unsupported as error:
        raise InputError(f"cannot use '{source}': {error}") from None
    except UnidentifiedImageError as error:
        kinds = ", ".join(FORMATS)
        raise InputError(
            f"cannot read '{source}': no picture of a known kind ({kinds})"
        ) from error
    except _DAMAGE as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"cannot read '{source}': damaged or unsupported ({reason})") from error
    digest = hashlib.sha256(f"{pixels.shape} {pixels.dtype.str}".encode() + pixels.tobytes())
    if size is not None and size < max(pixels.shape[:2]):
        pixels = _shrink(pixels, size)
        conversions.append(f"shrunk to {pixels.shape[1]}x{pixels.shape[0]} pixels")
    return Picture(pixels, digest.hexdigest(), tuple(conversions))


def encode_picture(pixels: Pixels) -> bytes:
    """Write pixels as PNG, at their own depth.

    Args:
        pixels: (H, W, C), uint8 or uint16, C from 1 to 4.

    Returns:
        The file's content.
    """
    if pixels.dtype == np.uint16:
        import imagecodecs

        return bytes(imagecodecs.png_encode(pixels.squeeze(2) if pixels.shape[2] == 1 else pixels))
    buffer = io.BytesIO()
    Image.fromarray(pixels.squeeze(2) if pixels.shape[2] == 1 else pixels).save(buffer, "PNG")
    return buffer.getvalue()


class _Unsupported(Exception):
    """The file is sound, but nothing that can be fitted."""


def _decode(data: bytes, suffix: str, max_pixels: int, conversions: list[str]) -> Pixels:
    with _large_headers_allowed(), Image.open(io.BytesIO(data), formats=tuple(FORMATS)) as image:
        width, height = image.size
        if width * height > max_pixels:
            raise _Unsupported(
                f"{width}x{height} pixels are more than image.max_pixels = {max_pixels:,}; "
                "raise that limit if the machine has the memory"
            )
        kind = image.format or ""
        if suffix.lower() not in FORMATS[kind]:
            conversions.append(f"read as {kind}, whatever its name says")
        frames = getattr(image, "n_frames", 1)
        if frames > 1:
            conversions.append(f"first of {frames} frames")
        if image.info.get("icc_profile"):
            conversions.append("embedded colour profile ignored")
        orientation = image.getexif().get(_ORIENTATION, 1)
        if orientation in range(2, 9):
            conversions.append(f"turned upright (EXIF orientation {orientation})")
        pixels = _wide_colour(image, data)
        if pixels is None:
            image.load()  # which turns a TIFF, though no other format, and then drops the tag
            orientation = image.getexif().get(_ORIENTATION, 1)
            pixels = _narrow(image, conversions)
    if orientation in range(2, 9):
        pixels = _upright(pixels, orientation)
    if pixels.shape[2] in {2, 4}:
        conversions.append("alpha kept as a channel of its own")
    return np.require(pixels, requirements=["C", "W"])


@contextmanager
def _large_headers_allowed() -> Iterator[None]:
    """Let our own limit judge a header's size; Pillow's is lifted for one call only."""
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def _wide_colour(image: Image.Image, data: bytes) -> Pixels | None:
    """Decode colour of 16 bits per channel, which Pillow would cut down; None if it is not."""
    if image.format == "PNG" and data[24] == 16 and data[25] in {2, 4, 6}:
        import imagecodecs

        image.load()  # Pillow checks every chunk's checksum, which libpng's simple reader may not
        return np.asarray(imagecodecs.png_decode(data), dtype=np.uint16)
    if image.format != "TIFF":
        return None
    bits = image.tag_v2.get(258, (1,))  # type: ignore[attr-defined]
    if max(bits) <= 8 or len(bits) == 1:
        return None
    import tifffile

    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page = file.pages[0]
        photometric = getattr(page, "photometric", None)
        if page.dtype != np.uint16 or getattr(photometric, "name", "") not in {
            "RGB",
            "MINISBLACK",
        }:
            raise _Unsupported(
                f"{max(bits)}-bit TIFF of kind {getattr(photometric, 'name', 'unknown')}; "
                "convert it to RGB of 8 or 16 bits"
            )
        pixels = page.asarray()
        planar = int(getattr(page, "planarconfig", 1)) == 2
    pixels = np.moveaxis(pixels, 0, -1) if planar else pixels
    if pixels.ndim != 3 or pixels.shape[2] not in {2, 3, 4}:
        raise _Unsupported(f"TIFF with {pixels.shape} values; 1 to 4 channels are supported")
    return np.asarray(pixels, dtype=np.uint16)


def _narrow(image: Image.Image, conversions: list[str]) -> Pixels:
    """Let Pillow decode what it holds without loss: 8 bits, or grey of 16 bits."""
    mode = image.mode
    if mode in _WIDE_GREY:
        pixels = np.asarray(image).astype(np.uint16)
        return pixels[:, :, None]
    if mode in {"P", "PA"}:
        target = "RGBA" if mode == "PA" or "transparency" in image.info else "RGB"
        conversions.append("palette expanded to colours")
    elif mode in _MODES:
        target = _MODES[mode]
        if "transparency" in image.info:
            target = {"L": "LA", "RGB": "RGBA"}.get(target, target)
    elif mode in _COLOUR_SPACES:
        target = "RGB"
        conversions.append(f"{mode} converted to RGB")
    else:
        raise _Unsupported(
            f"pixels of type {mode} (32-bit or floating point); convert it to 8 or 16 bits"
        )
    pixels = np.asarray(image if mode == target else image.convert(target))
    return pixels.reshape(*pixels.shape[:2], -1)


def _upright(pixels: Pixels, orientation: int) -> Pixels:
    """Undo an EXIF orientation from 2 to 8, for any number of channels and bits."""
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    flip_rows = orientation in {3, 4, 7, 8}
    flip_columns = orientation in {2, 3, 6, 7}
    return pixels[:: -1 if flip_rows else 1, :: -1 if flip_columns else 1]


def _shrink(pixels: Pixels, size: int) -> Pixels:
    """Resample with Pillow's antialiasing Lanczos filter, in floating point per channel."""
    height, width = pixels.shape[:2]
    factor = size / max(height, width)
    target = (max(1, round(width * factor)), max(1, round(height * factor)))
    channels = [
        np.asarray(
            Image.fromarray(channel.astype(np.float32)).resize(target, Image.Resampling.LANCZOS)
        )
        for channel in np.moveaxis(pixels, 2, 0)
    ]
    levels = np.stack(channels, axis=2).round().clip(0, np.iinfo(pixels.dtype).max)
    return levels.astype(pixels.dtype)
