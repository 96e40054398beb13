"""Netpbm files: PBM, PGM, PPM and PAM, of any number of levels, and PFM in floating point.

Read here, because Pillow cuts more than 256 levels of colour down.
"""

import math
import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nint_cli.modalities.image.decoded import Decoded, check_size
from nint_cli.modalities.image.raster import plain

_WORD = re.compile(rb"(?:\s|#[^\n]*\n)*(\S+)")
_CHANNELS = {b"P1": 1, b"P2": 1, b"P3": 3, b"P4": 1, b"P5": 1, b"P6": 3, b"Pf": 1, b"PF": 3}


def read_netpbm(content: bytes, max_pixels: int) -> Decoded:
    """Decode a Netpbm file.

    Args:
        content: The file.
        max_pixels: What it may have.

    Returns:
        What its first picture holds.

    Raises:
        ValueError: If it is damaged.
    """
    magic = content[:2]
    if magic == b"P7":
        return _pam(content, max_pixels)
    numbers, at = _words(content, 2, 2 if magic in {b"P1", b"P4"} else 3)
    width, height = int(numbers[0]), int(numbers[1])
    check_size(width, height, max_pixels)
    shape = (height, width, _CHANNELS[magic])
    if magic in {b"Pf", b"PF"}:
        order = "<" if float(numbers[2]) < 0 else ">"
        rows = _array(content, at + 1, shape, np.dtype(f"{order}f4"))
        return plain(rows[::-1].astype(np.float32), "PFM", 32)
    maximum = 1 if len(numbers) == 2 else int(numbers[2])
    if magic == b"P4":
        packed = _array(content, at + 1, (height, -(-width // 8), 1), np.dtype(np.uint8))
        samples = np.unpackbits(packed[..., 0], axis=1)[:, :width, None]
    elif magic == b"P1":  # whose digits may stand without space
        digits = re.sub(rb"#[^\n]*\n|\s", b"", content[at:])[: height * width]
        if digits.strip(b"01"):
            raise ValueError("its digits are not all 0 and 1")
        samples = _array(digits, 0, shape, np.dtype(np.uint8)) - ord("0")
    elif magic in {b"P2", b"P3"}:
        text = re.sub(rb"#[^\n]*", b"", content[at:]).split(maxsplit=math.prod(shape))
        samples = _numbers(text[: math.prod(shape)], shape)
    else:
        samples = _array(content, at + 1, shape, _type(maximum))
    found = plain(_native(samples, maximum), "Netpbm", 8)
    found.maximum, found.inverted = _checked(maximum), magic in {b"P1", b"P4"}
    return found


def _numbers(words: list[bytes], shape: tuple[int, int, int]) -> NDArray[Any]:
    wrong = next((word for word in words if not word.isdigit() or len(word) > 9), None)
    if wrong is not None:
        raise ValueError(f"{wrong[:20]!r} is no value of a pixel")
    if len(words) < math.prod(shape):
        raise ValueError("the file ends before its pixels do")
    return np.array(words, np.uint32).clip(0, 65535).reshape(shape)


def _pam(content: bytes, max_pixels: int) -> Decoded:
    end = content.index(b"ENDHDR\n")
    fields = dict(
        line.split(None, 1)
        for line in content[3:end].splitlines()
        if line.strip() and not line.startswith(b"#")
    )
    height, width, depth, maximum = (
        int(fields[name]) for name in (b"HEIGHT", b"WIDTH", b"DEPTH", b"MAXVAL")
    )
    check_size(width, height, max_pixels)
    samples = _array(content, end + 7, (height, width, depth), _type(maximum))
    found = plain(_native(samples, maximum), "PAM", 8)
    found.maximum = _checked(maximum)
    return found


def _words(content: bytes, at: int, count: int) -> tuple[list[bytes], int]:
    """Give the next words of a header, comments passed over, and where they end."""
    found = []
    for _ in range(count):
        match = _WORD.match(content, at)
        if match is None:
            raise ValueError("its header ends early")
        found.append(match[1])
        at = match.end()
    return found, at


def _checked(maximum: int) -> int:
    if not 0 < maximum < 1 << 16:
        raise ValueError(f"its largest value is {maximum}")
    return maximum


def _type(maximum: int) -> np.dtype[Any]:
    return np.dtype(np.uint8 if maximum < 256 else ">u2")


def _native(samples: NDArray[Any], maximum: int) -> NDArray[Any]:
    return samples.astype(np.uint8 if maximum < 256 else np.uint16)


def _array(
    content: bytes, at: int, shape: tuple[int, int, int], dtype: np.dtype[Any]
) -> NDArray[Any]:
    count = shape[0] * shape[1] * shape[2]
    if len(content) < at + count * dtype.itemsize:
        raise ValueError("the file ends before its pixels do")
    return np.frombuffer(content, dtype, count, at).reshape(shape)
