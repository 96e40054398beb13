"""PNG files: what beside the pixels goes from one into another, and how they are written."""

import io
import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nint_cli.modalities.image.decoded import (
    EXTRAS,
    NO_TAGS,
    ORIENTATION,
    Decoded,
    Tags,
    check_size,
)

SIGNATURE = b"\x89PNG\r\n\x1a\n"

# What says how colours and sizes are meant, and holds for a reconstruction, too. A profile, iCCP,
# is kept apart, since other formats have one as well.
_COPIED = {b"gAMA", b"cHRM", b"sRGB", b"cICP", b"mDCV", b"cLLI", b"pHYs"}
_USED = _COPIED | {b"IHDR", b"iCCP", b"eXIf", b"acTL"}
_MOST_COPIED = 1 << 10  # bytes of a chunk; they have a few dozen
_MOST_PROFILE = 1 << 24
_PALETTE = 3  # the type of colour
_HEADER = struct.Struct(">IIBB3x")
_COLOURS_OF_PROFILE = {1: b"GRAY", 2: b"GRAY", 3: b"RGB ", 4: b"RGB "}


def read_png(content: bytes, max_pixels: int) -> Decoded:
    """Decode a PNG file.

    libpng expands palettes, samples of fewer than 8 bits, and the transparent colour of any type,
    at 8 and at 16 bits alike.

    Args:
        content: The file.
        max_pixels: What it may have.

    Returns:
        What it holds.

    Raises:
        ValueError: If it is damaged.
    """
    import imagecodecs

    chunks = _chunks(content)
    if len(chunks.get(b"IHDR", b"")) != _HEADER.size:
        raise ValueError("its header is missing")
    width, height, _, colour_type = _HEADER.unpack(chunks[b"IHDR"])
    check_size(width, height, max_pixels)
    samples = np.atleast_3d(imagecodecs.png_decode(content))
    animation, exif = chunks.get(b"acTL", b""), Image.Exif()
    exif.load(chunks.get(b"eXIf", b""))
    kept = tuple((name, body) for name, body in chunks.items() if name in _COPIED)
    channels = samples.shape[2]
    return Decoded(
        samples=samples,
        kind="PNG",
        colours="grey" if channels < 3 else "rgb",
        extra=EXTRAS[channels],
        orientation=exif.get(ORIENTATION, 1),
        frames=int.from_bytes(animation[:4], "big") or 1,
        tags=Tags(_profile(chunks.get(b"iCCP", b"")), kept),
        notes=["palette expanded to colours"] if colour_type == _PALETTE else [],
    )


def _chunks(content: bytes) -> dict[bytes, bytes]:
    """Give the first chunk of each name that is used here, after checking every checksum."""
    found: dict[bytes, bytes] = {}
    at, name = len(SIGNATURE), b""
    while name != b"IEND":
        if at + 12 > len(content):
            raise ValueError("the file ends early")
        size, name = struct.unpack_from(">I4s", content, at)
        end = at + 8 + size
        if content[end : end + 4] != struct.pack(
            ">I", zlib.crc32(memoryview(content)[at + 4 : end])
        ):
            raise ValueError(f"the checksum of its chunk {name!r} is wrong")
        if name in _USED and (name not in _COPIED or size <= _MOST_COPIED):
            found.setdefault(name, content[at + 8 : end])
        at = end + 4
    return found


def _profile(body: bytes) -> bytes | None:
    """Unpack a profile; None where there is none, or one that is damaged or huge."""
    packed = body.partition(b"\0")[2][1:]
    unpacker = zlib.decompressobj()
    try:
        profile = unpacker.decompress(packed, _MOST_PROFILE)
    except zlib.error:
        return None
    return profile if unpacker.eof else None


def encode_picture(pixels: NDArray[Any], tags: Tags = NO_TAGS) -> bytes:
    """Write pixels as PNG, at their own depth.

    Args:
        pixels: (H, W, C), uint8 or uint16; C is 1 (grey), 2 (grey, alpha), 3 (RGB) or 4 (RGBA).
        tags: Profile, gamma and resolution.

    Returns:
        The file's content.
    """
    stored = pixels.squeeze(2) if pixels.shape[2] == 1 else pixels
    if pixels.dtype == np.uint16:
        import imagecodecs

        content = bytes(imagecodecs.png_encode(stored))
    else:
        buffer = io.BytesIO()
        Image.fromarray(np.ascontiguousarray(stored)).save(buffer, "PNG")
        content = buffer.getvalue()
    more = [_chunk(name, body) for name, body in tags.chunks]
    if tags.profile is not None and profile_fits(tags.profile, pixels.shape[2]):
        more.append(_chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(tags.profile)))
    if not more:
        return content
    head = len(SIGNATURE) + 25  # with the chunk IHDR
    return b"".join([content[:head], *more, content[head:]])


def profile_fits(profile: bytes, channels: int) -> bool:
    """Tell whether an ICC profile is of grey, or of RGB, as a picture of so many channels is.

    Args:
        profile: The profile.
        channels: From 1 to 4.

    Returns:
        Its header tells.
    """
    return profile[16:20] == _COLOURS_OF_PROFILE.get(channels)


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def resolution_chunk(x_per_metre: float, y_per_metre: float) -> tuple[bytes, bytes] | None:
    """Write a resolution as PNG's chunk pHYs.

    Args:
        x_per_metre: Pixels.
        y_per_metre: Pixels.

    Returns:
        Name and content; None for a resolution that is none.
    """
    rounded = [round(each) if each < 2**31 else 0 for each in (x_per_metre, y_per_metre)]
    return (b"pHYs", struct.pack(">IIB", *rounded, 1)) if min(rounded) > 0 else None


def resolution_of(tags: Tags) -> tuple[float, float] | None:
    """Give a resolution in pixels per centimetre; None where there is none with a unit."""
    body = dict(tags.chunks).get(b"pHYs", b"")
    if len(body) != 9 or body[8] != 1:
        return None
    x, y = struct.unpack(">II", body[:8])
    return x / 100, y / 100
