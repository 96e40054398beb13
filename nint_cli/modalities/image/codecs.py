"""JPEG XL and HEIC, which Pillow does not decode."""

import io

import numpy as np

from nint_cli.modalities.image.decoded import Decoded, Tags, UnsupportedPicture, check_size
from nint_cli.modalities.image.raster import plain


def read_jxl(content: bytes, max_pixels: int) -> Decoded:
    """Decode the first frame of a JPEG XL file, which its library turns upright.

    Args:
        content: The file.
        max_pixels: What it may have.

    Returns:
        What it holds.
    """
    import imagecodecs

    check_size(*_size_of_jxl(content), max_pixels)
    samples = np.asarray(imagecodecs.jpegxl_decode(content, index=0))
    return plain(samples, "JPEG XL", 8 * samples.dtype.itemsize)


def _size_of_jxl(content: bytes) -> tuple[int, int]:
    """Find width and height in a JPEG XL codestream, bare or in boxes."""
    at = 0
    if content[:2] != b"\xff\x0a":
        at = content.index(b"\xff\x0a", content.index(b"jxl", 20))
    bits = int.from_bytes(content[at + 2 : at + 14], "little")

    def take(count: int) -> int:
        nonlocal bits
        value, bits = bits & ((1 << count) - 1), bits >> count
        return value

    small = take(1)

    def side() -> int:
        return 8 * (take(5) + 1) if small else take((9, 13, 18, 30)[take(2)]) + 1

    height = side()
    ratio = take(3)
    over, under = ((0, 1), (1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))[ratio]
    return height * over // under if ratio else side(), height


def read_heic(content: bytes, max_pixels: int) -> Decoded:
    """Decode the main picture of a HEIC file, which its library turns upright.

    Args:
        content: The file.
        max_pixels: What it may have.

    Returns:
        What it holds.

    Raises:
        UnsupportedPicture: If the library is not installed.
    """
    try:
        import pi_heif
    except ModuleNotFoundError:
        raise UnsupportedPicture(
            "HEIC pictures need a package: pip install 'nint[heic]'; or convert it: "
            "heif-convert picture.heic picture.png"
        ) from None
    found = pi_heif.open_heif(io.BytesIO(content), convert_hdr_to_8bit=False, bgr_mode=False)
    image = found[found.primary_index]
    width, height = image.size
    check_size(width, height, max_pixels)
    samples = np.asarray(image)
    decoded = plain(samples, "HEIC", 8 * samples.itemsize)
    if image.mode.endswith("a"):
        decoded.extra = ("associated",)
    decoded.frames = len(found)
    decoded.tags = Tags(image.info.get("icc_profile"))
    return decoded
