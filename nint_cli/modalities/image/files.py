"""Picture files to pixels and back.

Pillow decodes, with a short list of formats. It has no colour mode of more than 8 bits and cuts
16-bit colour down without a word, so such PNG files go to imagecodecs; and it holds a picture
several times while it decodes, so TIFF, the format of large ones, goes to `tiff`. imageio writes 8
bits; it does not read here, because it tells no size before it decodes and cuts 16 bits down, too.
"""

import hashlib
import io
import stat
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, UnidentifiedImageError

from nint_cli.errors import InputError
from nint_cli.modalities.image.samples import picture_path
from nint_cli.modalities.image.signal import Picture, Pixels
from nint_cli.modalities.image.tiff import (
    BITS_PER_SAMPLE,
    UnsupportedPicture,
    is_mapped,
    read_tiff,
    upright,
)
from nint_cli.signals.source import SAMPLE_PREFIX, read_up_to

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
SUFFIXES = frozenset(suffix for kind in FORMATS.values() for suffix in kind)

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
    if source.startswith(SAMPLE_PREFIX):
        return picture_path(source.removeprefix(SAMPLE_PREFIX))
    return Path(source)


def read_picture(
    source: str, *, size: int | None = None, max_pixels: int = 100_000_000
) -> Picture:
    """Read a picture, upright, with all its channels and bits.

    Args:
        source: A PNG, JPEG, TIFF, BMP or WebP file, or ``sample:NAME``.
        size: Shrink the longest side to this many pixels; a smaller picture is left alone.
        max_pixels: Refuse a larger picture, by its header, before decoding; not one that is
            mapped and not shrunk, for it takes no memory.

    Returns:
        The picture.

    Raises:
        InputError: If it cannot be read; says why and, where there is a way, what to do.
    """
    conversions: list[str] = []
    try:
        with _opened(source, max_pixels) as (file, suffix):
            limit = None if size is None and is_mapped(file) else max_pixels
            pixels = _decode(file, suffix, limit, conversions)
    except UnsupportedPicture as error:
        raise InputError(f"cannot use '{source}': {error}") from None
    except UnidentifiedImageError as error:
        kinds = ", ".join(FORMATS)
        raise InputError(
            f"cannot read '{source}': no picture of a known kind ({kinds})"
        ) from error
    except _DAMAGE as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"cannot read '{source}': damaged or unsupported ({reason})") from error
    digest = hashlib.sha256(f"{pixels.shape} {pixels.dtype.str}".encode())
    digest.update(pixels.reshape(-1).data)  # which copies nothing, however large
    if size is not None and size < max(pixels.shape[:2]):
        pixels = _shrink(pixels, size)
        conversions.append(f"shrunk to {pixels.shape[1]}x{pixels.shape[0]} pixels")
    return Picture(pixels, digest.hexdigest(), tuple(conversions))


@contextmanager
def _opened(source: str, max_pixels: int) -> Iterator[tuple[BinaryIO, str]]:
    """Open a picture's file, and give its suffix; what has no size is read into memory first."""
    path = source_path(source)
    most = max_pixels * _MOST_BYTES_PER_PIXEL + _MOST_BYTES_BESIDE
    try:
        about = path.stat()
        if stat.S_ISREG(about.st_mode):
            file: BinaryIO = path.open("rb")
            size = about.st_size
        else:
            data = read_up_to(path, most)
            file, size = io.BytesIO(data), len(data)
    except IsADirectoryError:
        raise InputError(f"cannot read '{source}': it is a folder; name a picture") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"cannot read '{source}': {reason}") from error
    with file:
        if size > most and not is_mapped(file):
            raise InputError(
                f"cannot use '{source}': more than {most:,} bytes, which no picture of "
                f"image.max_pixels = {max_pixels:,} has; raise that limit if it is one"
            )
        if not size:
            raise InputError(f"cannot read '{source}': the file is empty")
        yield file, path.suffix


def encode_picture(pixels: Pixels) -> bytes:
    """Write pixels as PNG, at their own depth.

    Args:
        pixels: (H, W, C), uint8 or uint16, C from 1 to 4.

    Returns:
        The file's content.
    """
    stored = pixels.squeeze(2) if pixels.shape[2] == 1 else pixels
    if pixels.dtype == np.uint16:
        import imagecodecs

        return bytes(imagecodecs.png_encode(stored))
    import imageio.v3 as imageio

    return imageio.imwrite("<bytes>", stored, extension=".png", plugin="pillow", is_batch=False)


def _decode(file: BinaryIO, suffix: str, max_pixels: int | None, conversions: list[str]) -> Pixels:
    with _large_headers_allowed(), Image.open(file, formats=tuple(FORMATS)) as image:
        width, height = image.size
        if max_pixels is not None and width * height > max_pixels:
            raise UnsupportedPicture(
                f"{width}x{height} pixels are more than image.max_pixels = {max_pixels:,}; "
                f"if the machine has the memory, --set image.max_pixels={width * height}"
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
        pixels = _without_pillow(image, file, orientation)
        if pixels is None:
            image.load()  # which turns a TIFF, though no other format, and then drops the tag
            orientation = image.getexif().get(_ORIENTATION, 1)
            pixels = upright(_narrow(image, conversions), orientation)
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


def _without_pillow(image: Image.Image, file: BinaryIO, orientation: int) -> Pixels | None:
    """Decode, upright, what Pillow would cut down or hold several times; None for the rest."""
    if image.format == "TIFF":
        bits = image.tag_v2.get(BITS_PER_SAMPLE, (1,))  # type: ignore[attr-defined]
        return read_tiff(file, bits, orientation)
    if image.format != "PNG":
        return None
    file.seek(0)
    header = file.read(26)
    if header[24] != 16 or header[25] not in {2, 4, 6}:
        return None
    import imagecodecs

    image.load()  # Pillow checks every chunk's checksum, which libpng's simple reader may not
    file.seek(0)
    pixels = np.asarray(imagecodecs.png_decode(file.read()), dtype=np.uint16)
    return upright(pixels, orientation)


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
        raise UnsupportedPicture(
            f"pixels of type {mode} (32-bit or floating point); convert it to 8 or 16 bits"
        )
    pixels = np.asarray(image if mode == target else image.convert(target))
    return pixels.reshape(*pixels.shape[:2], -1)


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
