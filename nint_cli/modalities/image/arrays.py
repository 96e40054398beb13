"""Arrays as pictures: NumPy's files, and what Python holds."""

import io
import math
from tokenize import TokenError
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nint_cli.modalities.image.decoded import (
    EXTRAS,
    ORIENTATION,
    Decoded,
    UnsupportedPicture,
    check_size,
)
from nint_cli.modalities.image.raster import narrow

NPY = b"\x93NUMPY"
_MOST_CHANNELS = 1024


def read_npy(content: bytes, max_pixels: int) -> Decoded:
    """Decode a NumPy file; one with Python objects in it is never unpickled.

    Args:
        content: The file.
        max_pixels: What it may have.

    Returns:
        What it holds.

    Raises:
        ValueError: If it is damaged.
    """
    file = io.BytesIO(content)
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0
    if version != (1, 0):
        read = np.lib.format.read_array_header_2_0
    try:
        shape, fortran, dtype = read(file)
    except (TokenError, RecursionError) as error:
        raise ValueError(f"its header is no dictionary: {error}") from error
    _check(shape, dtype, max_pixels)
    if file.tell() + math.prod(shape) * dtype.itemsize > len(content):
        raise ValueError("the file ends before its numbers do")
    flat: NDArray[Any] = np.frombuffer(content, dtype, math.prod(shape), file.tell())
    return _described(flat.reshape(shape, order="F" if fortran else "C"), "NumPy array")


def read_image(image: Image.Image) -> Decoded:
    """Describe one of Pillow's pictures.

    Args:
        image: The picture.

    Returns:
        What it holds. An UnsupportedPicture is raised for a mode that is not fitted.
    """
    found = narrow(image)
    found.kind, found.orientation = "Pillow picture", image.getexif().get(ORIENTATION, 1)
    return found


def read_array(array: object, max_pixels: int) -> Decoded:
    """Describe an array.

    Args:
        array: (H, W) or (H, W, C).
        max_pixels: What it may have.

    Returns:
        What it holds. An UnsupportedPicture is raised for another shape or type.
    """
    numbers = np.asarray(array)
    _check(numbers.shape, numbers.dtype, max_pixels)
    return _described(np.array(numbers), "array")


def _check(shape: tuple[int, ...], dtype: np.dtype[Any], max_pixels: int) -> None:
    if dtype.kind not in "buif":
        raise UnsupportedPicture(f"an array of type {dtype}; numbers are needed")
    if len(shape) not in {2, 3} or 0 in shape or shape[2:] > (_MOST_CHANNELS,):
        raise UnsupportedPicture(
            f"an array of shape {shape}; (height, width) or (height, width, channels) is needed"
        )
    if len(shape) == 3 and shape[0] <= 4 < shape[2] and min(shape[1:]) > 8:
        raise UnsupportedPicture(
            f"an array of shape {shape}, whose channels seem to come first; "
            "numpy.moveaxis(array, 0, 2) puts them last"
        )
    check_size(shape[1], shape[0], max_pixels)


def _described(numbers: NDArray[Any], kind: str) -> Decoded:
    """Say that two and four channels have alpha, as pictures of that many have."""
    native = numbers.astype(numbers.dtype.newbyteorder("="), copy=False)
    samples = np.atleast_3d(native)
    count = samples.shape[2]
    base = 3 if count >= 3 else 1
    return Decoded(
        samples=samples,
        kind=kind,
        colours="rgb" if base == 3 else "grey",
        extra=EXTRAS.get(count, ("unspecified",) * (count - base)),
    )
