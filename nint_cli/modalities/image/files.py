"""Picture files to values.

A format is told by its first bytes, its decoder describes what the file holds, and `meaning` turns
that into values, whatever the format.
"""

import hashlib
import io
import os
import stat
import struct
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor, UnidentifiedImageError

from nint_cli.errors import InputError
from nint_cli.modalities.image.arrays import read_array, read_image, read_npy
from nint_cli.modalities.image.codecs import read_heic, read_jxl
from nint_cli.modalities.image.decoded import Decoded, Tags, UnsupportedPicture
from nint_cli.modalities.image.formats import HEAD, OTHERS, format_of
from nint_cli.modalities.image.meaning import Values, interpret
from nint_cli.modalities.image.netpbm import read_netpbm
from nint_cli.modalities.image.png import profile_fits, read_png
from nint_cli.modalities.image.radiance import read_exr, read_hdr
from nint_cli.modalities.image.raster import FORMATS, read_deep_jpeg, read_raster
from nint_cli.modalities.image.record import ImageRecord
from nint_cli.modalities.image.samples import picture_path
from nint_cli.modalities.image.settings import ImageSettings
from nint_cli.modalities.image.signal import Picture, Pixels, Scale
from nint_cli.modalities.image.tiff import read_tiff
from nint_cli.modalities.quiet import silence, standard_error_closed
from nint_cli.signals.record import SignalRecord
from nint_cli.signals.source import ARRAY_PREFIX, MOST_STREAMED, SAMPLE_PREFIX, Held, read_up_to

# What decoders raise on damaged data, each in its own way.
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

# A file is read up to what a picture within the limit of pixels can have: four channels of 32
# bits, and 64 MB for frames, profiles and previews.
_MOST_BYTES_PER_PIXEL = 16
_MOST_BYTES_BESIDE = 1 << 26

_MOST_ALPHA = 2  # of floating point, where 1 is full

_WITH_CONTENT = {
    "PNG": read_png,
    "Netpbm": read_netpbm,
    "NumPy array": read_npy,
    "Radiance HDR": read_hdr,
    "JPEG XL": read_jxl,
    "HEIC": read_heic,
}


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
    source: str, settings: ImageSettings | None = None, like: SignalRecord | None = None
) -> Picture:
    """Read a picture, upright, with all its channels and bits.

    Args:
        source: A file of a format that docs/inputs.md lists, ``sample:NAME``, or an array that is
            `Held`.
        settings: How to read it; None: as by default.
        like: The record of a run whose range holds for a picture of the same type.

    Returns:
        The picture.

    Raises:
        InputError: If it cannot be read; says why and, where there is a way, what to do.
    """
    settings = settings or ImageSettings()
    try:
        silence("tifffile", "imagecodecs", "PIL")
        found = interpret(_decoded(source, settings))
    except UnsupportedPicture as error:
        raise InputError(f"cannot use '{source}': {error}") from None
    except UnidentifiedImageError as error:
        raise InputError(
            f"cannot read '{source}': no picture of a known kind (PNG, JPEG, TIFF, WebP and more, "
            "see docs/inputs.md); convert it first: magick picture picture.png"
        ) from error
    except _DAMAGE as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"cannot read '{source}': damaged or unsupported ({reason})") from error
    try:
        return _prepared(found, settings, like)
    except UnsupportedPicture as error:
        raise InputError(f"cannot use '{source}': {error}") from None


def held_picture(content: object) -> Held:
    """Name an array, or a picture of Pillow's, as an input.

    Args:
        content: (H, W) or (H, W, C) numbers, or the picture.

    Returns:
        A name that brings it along as an array.

    Raises:
        InputError: If it is no picture.
    """
    if isinstance(content, Image.Image):
        try:
            content = interpret(read_image(content)).pixels
        except UnsupportedPicture as error:
            raise InputError(f"cannot use the picture: {error}") from None
    try:
        numbers = np.asarray(content)
    except ValueError:
        raise InputError("cannot use the array: its rows have different lengths") from None
    if np.ma.is_masked(content):
        raise InputError("cannot use the array: parts of it are masked; fill them, .filled does")
    digest = hashlib.sha256(f"{numbers.shape} {numbers.dtype.str}".encode())
    digest.update(np.ascontiguousarray(numbers).data)
    return Held(f"{ARRAY_PREFIX}{digest.hexdigest()[:16]}", numbers)


def _decoded(source: str, settings: ImageSettings) -> Decoded:
    """Decode an input by the decoder of its format."""
    max_pixels = settings.max_pixels
    if isinstance(source, Held):
        return read_array(source.content, max_pixels)
    with _opened(source, max_pixels) as (file, suffix):
        head = file.read(HEAD)
        kind = format_of(head, suffix)
        file.seek(0)
        found: Decoded | None = None
        if kind == "TIFF":
            as_it_is = settings.size is None and settings.alpha == "keep"
            found = read_tiff(file, max_pixels, as_it_is=as_it_is)
            kind = "Pillow" if found is None else kind
        elif kind == "JPEG":
            found = read_deep_jpeg(file, max_pixels)
            kind = "Pillow"
        elif kind == "OpenEXR":
            with _with_a_name(file) as path, standard_error_closed():
                found = read_exr(path, max_pixels)
        elif kind in _WITH_CONTENT:
            content = file.read()
            with standard_error_closed() if kind == "HEIC" else nullcontext():
                found = _WITH_CONTENT[kind](content, max_pixels)
        if found is None:
            kinds = tuple(each for each in FORMATS if (each == "TGA") == (kind == "TGA"))
            # libtiff prints what it thinks of a file.
            with standard_error_closed() if head.startswith((b"II", b"MM")) else nullcontext():
                found = read_raster(file, kinds, max_pixels)
        if suffix and suffix.lower() not in (FORMATS | OTHERS).get(found.kind, (suffix.lower(),)):
            found.notes.insert(0, f"read as {found.kind}, whatever its name says")
        return found


@contextmanager
def _opened(source: str, max_pixels: int) -> Iterator[tuple[BinaryIO, str]]:
    """Open a picture's file, and give its suffix; what has no size is read into memory first."""
    path = source_path(source)
    most = max_pixels * _MOST_BYTES_PER_PIXEL + _MOST_BYTES_BESIDE
    limit = f"which no picture of image.max_pixels = {max_pixels:,} has; raise that if it is one"
    try:
        about = path.stat()
        if stat.S_ISREG(about.st_mode):
            file: BinaryIO = path.open("rb")
            size = about.st_size
            if size > most and format_of(file.read(HEAD), path.suffix) == "TIFF":
                most = size  # of which a page is read, whose own size is judged
            file.seek(0)
        else:
            if most > MOST_STREAMED:
                most, limit = MOST_STREAMED, "which is too much for a stream; save it as a file"
            data = read_up_to(path, most)
            file, size = io.BytesIO(data), len(data)
    except IsADirectoryError:
        raise InputError(f"cannot read '{source}': it is a folder; name a picture") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"cannot read '{source}': {reason}") from error
    with file:
        if size > most:
            raise InputError(f"cannot use '{source}': more than {most:,} bytes, {limit}")
        if not size:
            raise InputError(f"cannot read '{source}': the file is empty")
        yield file, path.suffix


@contextmanager
def _with_a_name(file: BinaryIO) -> Iterator[str]:
    """Give the path of a file, for a library that opens files itself."""
    if isinstance(file, io.BufferedReader):
        yield os.fspath(file.name)
        return
    with tempfile.NamedTemporaryFile(suffix=".exr") as named:
        named.write(file.read())
        named.flush()
        yield named.name


def _prepared(found: Values, settings: ImageSettings, like: SignalRecord | None) -> Picture:
    """Treat alpha, size and range as the settings say."""
    notes, pixels, alpha = list(found.notes), found.pixels, found.alpha
    digest = hashlib.sha256(f"{pixels.shape} {pixels.dtype.str}".encode())
    digest.update(pixels.reshape(-1).data)  # which copies nothing, however large
    if alpha is not None:
        pixels, alpha = _without_alpha(pixels, alpha, found.maximum, settings, notes)
    if isinstance(like, ImageRecord) and like.dtype == str(pixels.dtype):
        scale = like.scale
    else:
        scale = _scale(pixels, alpha, found.maximum, settings.range, notes)
    if settings.size is not None and settings.size < max(pixels.shape[:2]):
        pixels = _shrink(pixels, settings.size, alpha, scale)
        notes.append(f"shrunk to {pixels.shape[1]}x{pixels.shape[0]} pixels")
    tags = found.tags
    if tags.profile is not None and not profile_fits(tags.profile, pixels.shape[2]):
        notes.append("embedded colour profile left out: it is of other colours")
        tags = Tags(None, tags.chunks)
    elif tags.profile is not None:
        notes.append("embedded colour profile not applied, and kept in the reconstruction")
    return Picture(pixels, digest.hexdigest(), tuple(notes), scale, alpha, tags)


def _without_alpha(
    pixels: Pixels, alpha: int, maximum: int, settings: ImageSettings, notes: list[str]
) -> tuple[Pixels, int | None]:
    """Keep alpha, leave it out, or lay the picture over a colour."""
    if settings.alpha == "keep":
        notes.append("alpha kept as a channel of its own")
        return pixels, alpha
    colours = np.delete(pixels, alpha, axis=2)
    if settings.alpha == "drop":
        notes.append("alpha left out")
        return np.ascontiguousarray(colours), None
    share = pixels[..., alpha, None].astype(np.float32) / maximum
    if share.max() > _MOST_ALPHA:
        raise UnsupportedPicture(
            f"its alpha goes up to {share.max():g}, and full is 1 in floating point; divide it, "
            "or set image.alpha to keep or drop"
        )
    share = share.clip(0, 1)  # beyond is what a filter's ringing leaves
    notes.append(f"laid over {settings.background} by its alpha")
    mode = "RGB" if colours.shape[2] >= 3 else "L"
    levels = np.atleast_1d(ImageColor.getcolor(settings.background, mode))
    behind = np.resize(levels, colours.shape[2]).astype(np.float32) * (maximum / 255)
    laid = share * colours + (1 - share) * behind
    return (laid if pixels.dtype.kind == "f" else laid.round()).astype(pixels.dtype), None


def _scale(
    pixels: Pixels,
    alpha: int | None,
    maximum: int,
    wanted: str,
    notes: list[str],
) -> Scale:
    """Choose the range of values that a field's output of 0 to 1 stands for."""
    whole = pixels.dtype.kind != "f"
    if pixels.dtype == np.uint8 and wanted == "type":
        return Scale.of_type(pixels.dtype)
    least, most = float(pixels.min()), float(pixels.max())
    if whole and wanted == "type" and most * 2 <= maximum:
        notes.append(
            f"values use {least:.0f} to {most:.0f} of {maximum}; image.range=data fits and judges "
            "by these alone"
        )
    if wanted == "data":
        low, high = least, most
    elif whole:
        return Scale(0.0, float(maximum), maximum)
    else:
        low, high = (0.0, 1.0) if 0 <= least and most <= 1 else (min(0.0, least), most)
    if not high > low:
        high = low + 1
    if (low, high) != (0, maximum):
        notes.append(f"fitted and judged by the range {low:g} to {high:g}")
    return Scale(low, high, maximum)


def _shrink(pixels: Pixels, size: int, alpha: int | None, scale: Scale) -> Pixels:
    """Resample with Pillow's antialiasing Lanczos filter, in floating point per channel.

    Colours count by their alpha, so that those of unseen pixels bleed into no seen one.
    """
    height, width = pixels.shape[:2]
    factor = size / max(height, width)
    target = (max(1, round(width * factor)), max(1, round(height * factor)))

    def resized(channel: NDArray[Any]) -> NDArray[np.float32]:
        image = Image.fromarray(channel.astype(np.float32))
        return np.asarray(image.resize(target, Image.Resampling.LANCZOS))

    planes = list(np.moveaxis(pixels, 2, 0))
    shrunk = [resized(plane) for plane in planes]
    if alpha is not None:
        # Less is what the filter's ringing leaves, and has no colour.
        seen = shrunk[alpha] > planes[alpha].max() / 1024
        weight = shrunk[alpha] = np.where(seen, shrunk[alpha], 0)
        for at, plane in enumerate(planes):
            if at != alpha:
                weighted = resized(plane.astype(np.float32) * planes[alpha])
                shrunk[at] = np.where(seen, weighted / np.where(seen, weight, 1), shrunk[at])
    levels = np.stack(shrunk, axis=2)
    if pixels.dtype.kind != "f":
        levels = levels.round()
    return levels.clip(*scale.ends).astype(pixels.dtype)
