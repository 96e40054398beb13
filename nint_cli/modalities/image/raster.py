"""The formats that Pillow knows, and those of them that it would cut down to 8 bits.

Pillow has no colour mode of more than 8 bits, and cuts deeper colour down without a word; such
files go to imagecodecs.
"""

import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from nint_cli.modalities.image.decoded import (
    EXTRAS,
    ORIENTATION,
    Decoded,
    Extra,
    Tags,
    UnsupportedPicture,
    check_size,
)
from nint_cli.modalities.image.png import resolution_chunk

FORMATS = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),
    "TIFF": (".tif", ".tiff", ".btf", ".tf8"),
    "BMP": (".bmp",),
    "WEBP": (".webp",),
    "GIF": (".gif",),
    "AVIF": (".avif", ".avifs"),
    "JPEG2000": (".jp2", ".j2k", ".jpc", ".jpf", ".jpx", ".j2c"),
    "PCX": (".pcx",),
    "QOI": (".qoi",),
    "TGA": (".tga", ".icb", ".vda", ".vst"),
}
"""What Pillow decodes, each with the suffixes of its names."""

# Modes that hold a grey or colour picture of 8 bits per sample, and what is extra in each.
_MODES: dict[str, tuple[Extra, ...]] = {
    "1": (), "L": (), "LA": ("alpha",), "La": ("associated",),
    "RGB": (), "RGBA": ("alpha",), "RGBa": ("associated",), "CMYK": (),
}  # fmt: skip
_WIDE_GREY = {"I;16", "I;16B", "I;16L", "I;16N"}


def read_raster(file: BinaryIO, kinds: tuple[str, ...], max_pixels: int) -> Decoded:
    """Decode a file of one of Pillow's formats.

    Args:
        file: The file.
        kinds: Names of formats that it may have.
        max_pixels: What it may have.

    Returns:
        What its first picture holds. Pillow's own errors are raised for what is none of them, or
        damaged, and an UnsupportedPicture for one that cannot be fitted.
    """
    file.seek(0)
    with _large_headers_allowed(), _opened(file, kinds) as image:
        check_size(*image.size, max_pixels)
        kind = "JPEG" if image.format == "MPO" else image.format or ""
        frames = getattr(image, "n_frames", 1)
        orientation, profile = image.getexif().get(ORIENTATION, 1), image.info.get("icc_profile")
        tags = Tags(profile, _resolution(image))
        found = _deep(file, kind) or narrow(image)
        if kind == "TIFF" and orientation in range(2, 9):  # which Pillow turns upright itself
            found.notes.append(f"turned upright (EXIF orientation {orientation})")
            orientation = 1
    found.tags, found.kind, found.frames, found.orientation = tags, kind, frames, orientation
    return found


def _opened(file: BinaryIO, kinds: tuple[str, ...]) -> Image.Image:
    try:
        return Image.open(file, formats=kinds)
    except MemoryError:  # no picture is decoded yet: a part's size is wrong
        raise ValueError("its header asks for more memory than there is") from None


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


def _resolution(image: Image.Image) -> tuple[tuple[bytes, bytes], ...]:
    """Give the resolution as a PNG chunk, where the file states one in a unit."""
    if image.format == "JPEG" and image.info.get("jfif_unit") == 0:  # Pillow takes it for inches
        return ()
    try:
        x, y = (float(each) / 0.0254 for each in image.info.get("dpi", ()))
    except (TypeError, ValueError, ArithmeticError):
        return ()
    chunk = resolution_chunk(x, y)
    return () if chunk is None else (chunk,)


def narrow(image: Image.Image) -> Decoded:
    """Describe what Pillow holds without loss.

    Args:
        image: The picture; it is decoded if it was not.

    Returns:
        What it holds, not turned.

    Raises:
        UnsupportedPicture: If its mode is of another kind.
    """
    mode, notes = image.mode, []
    if mode == "YCbCr":  # how the file stores RGB
        image, mode = image.convert("RGB"), "RGB"
    if mode in {"P", "PA"}:
        mode = "RGBA" if mode == "PA" or "transparency" in image.info else "RGB"
        image = image.convert(mode)
        notes.append("palette expanded to colours")
    samples = np.atleast_3d(np.asarray(image))
    if mode in {"I", "F"}:
        return Decoded(samples=samples, kind="", colours="grey")
    if mode in _WIDE_GREY:
        return Decoded(samples=samples.astype(np.uint16), kind="", colours="grey")
    if mode not in _MODES:
        raise UnsupportedPicture(f"pixels of Pillow's mode {mode}; convert it to RGB")
    key = image.info.get("transparency")
    transparent = (key,) if isinstance(key, int) else key if isinstance(key, tuple) else None
    if transparent is not None and len(transparent) != samples.shape[2]:
        transparent = None
    return Decoded(
        samples=samples,
        kind="",
        colours="cmyk" if mode == "CMYK" else "rgb" if mode.startswith("RGB") else "grey",
        extra=_MODES[mode],
        transparent=transparent,
        notes=notes,
    )


def _deep(file: BinaryIO, kind: str) -> Decoded | None:
    """Decode JPEG 2000 and AVIF of more than 8 bits; None for the rest."""
    if kind not in {"JPEG2000", "AVIF"}:
        return None
    import imagecodecs

    file.seek(0)
    content = file.read()
    bits = _bits_of_jpeg2000(content) if kind == "JPEG2000" else _bits_of_avif(content)
    if bits <= 8:
        return None
    decode = imagecodecs.jpeg2k_decode if kind == "JPEG2000" else imagecodecs.avif_decode
    return plain(decode(content), kind, bits)


def plain(samples: Any, kind: str, bits: int) -> Decoded:  # noqa: ANN401 (of imagecodecs)
    """Describe grey or RGB, each with or without alpha, as a codec gives it.

    Args:
        samples: (H, W) or (H, W, 1 to 4).
        kind: The format.
        bits: Of a sample.

    Returns:
        The description.

    Raises:
        UnsupportedPicture: If there are more channels.
    """
    found = np.atleast_3d(samples)
    count = found.shape[2]
    if count not in EXTRAS:
        raise UnsupportedPicture(f"{kind} of {count} channels; convert it to TIFF")
    return Decoded(
        samples=found,
        kind=kind,
        colours="rgb" if count >= 3 else "grey",
        maximum=None if found.dtype.kind != "u" else 2**bits - 1,
        extra=EXTRAS[count],
    )


def _bits_of_jpeg2000(content: bytes) -> int:
    """Find the bits of the first component, in the marker SIZ."""
    at = content.find(b"\xff\x4f\xff\x51")
    return 8 if at < 0 or at + 42 >= len(content) else (content[at + 42] & 0x7F) + 1


def _bits_of_avif(content: bytes) -> int:
    """Find the bits of the first channel that states them, in the box pixi."""
    at = content.find(b"pixi", 0, 1 << 16)
    return 8 if at < 0 or at + 9 >= len(content) else content[at + 9]


def read_deep_jpeg(file: BinaryIO, max_pixels: int) -> Decoded | None:
    """Decode a JPEG of more than 8 bits, or without loss, which Pillow does not open.

    Args:
        file: The file.
        max_pixels: What it may have.

    Returns:
        What it holds; None where Pillow reads it.

    Raises:
        ValueError: If it is cut short.
    """
    marker, frame, exif = 0, b"", b""
    profile: dict[int, bytes] = {}
    for marker, body in _jpeg_segments(file):
        if marker == 0xE1 and body[:6] == b"Exif\0\0":
            exif = body
        elif marker == 0xE2 and body[:12] == b"ICC_PROFILE\0":
            profile[body[12]] = body[14:]
        elif 0xC0 <= marker <= 0xCF and marker not in {0xC4, 0xC8, 0xCC}:
            frame = body
            break
    if len(frame) < 6 or (frame[0] <= 8 and marker not in {0xC3, 0xC7, 0xCB, 0xCF}):
        return None
    import imagecodecs

    bits, height, width = struct.unpack_from(">BHH", frame)
    check_size(width, height, max_pixels)
    after_header = file.tell()
    file.seek(0)
    content = file.read()
    if content.rfind(b"\xff\xd9") < after_header:  # its end; the codec would fill up with grey
        raise ValueError("the file ends before its pixels do")
    found = plain(imagecodecs.jpeg8_decode(content), "JPEG", bits)
    found.tags = Tags(b"".join(profile[at] for at in sorted(profile)) or None)
    tags = Image.Exif()
    tags.load(exif)
    found.orientation = tags.get(ORIENTATION, 1)
    return found


def _jpeg_segments(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Give the segments of a JPEG's header: marker and content."""
    file.seek(2)
    while (sign := file.read(2))[:1] == b"\xff":
        while sign[1:] == b"\xff":  # filling
            sign = sign[1:] + file.read(1)
        size = int.from_bytes(file.read(2), "big")
        if sign[1:] == b"\xda" or size < 2:
            return
        yield sign[1], file.read(size - 2)
