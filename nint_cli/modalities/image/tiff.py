"""TIFF files to pixels and back in strips or tiles, so that a large one is in memory once at most.

Where the file holds the pixels as they are, it is mapped and not even read.
"""

import io
import itertools
import math
import struct
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

import numpy as np

from nint_cli.modalities.image.signal import Pixels

if TYPE_CHECKING:
    from tifffile import TiffPage

MAPPED_BYTES = 1 << 26
"""Size of the pixels from which on a file is mapped.

Smaller ones are copied, since a map shows what becomes of the file, and ends the process where the
file is cut short.
"""

_READ_BYTES = 1 << 24  # at once
_LEVEL = 6  # of compression
_BIG_BYTES = 1 << 31  # of pixels, beyond which a file's offsets might not fit into 32 bits

_TIFF = {b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"}
_ORIENTATION = 274  # the tag

BITS_PER_SAMPLE = 258
"""The tag."""

_PHOTOMETRIC = {"RGB", "MINISBLACK"}
_UNASSOCIATED = 2  # alpha by which colours are not yet multiplied
# Those whose pixels no two decoders give differently.
_LOSSLESS = {"NONE", "LZW", "DEFLATE", "ADOBE_DEFLATE", "PACKBITS", "LZMA", "ZSTD"}


class UnsupportedPicture(Exception):
    """The file is sound, but nothing that can be fitted."""


def is_mapped(file: BinaryIO) -> bool:
    """Tell whether `read_tiff` maps a file, so that its pixels take no memory of their own.

    Args:
        file: Any file; it is left at its beginning.
    """
    import tifffile

    file.seek(0)
    if not isinstance(file, io.BufferedReader) or file.read(4) not in _TIFF:
        file.seek(0)
        return False
    file.seek(0)
    try:
        with tifffile.TiffFile(file) as tiff:
            page = tiff.pages.first
            orientation = int(page.tags.valueof(_ORIENTATION, 1))
            return _is_plain(page) and page.is_final and _maps(page, tiff.byteorder, orientation)
    except (ValueError, LookupError, TypeError, struct.error, tifffile.TiffFileError):
        return False  # whoever reads it will say what is wrong
    finally:
        file.seek(0)


def _maps(page: "TiffPage", byteorder: Literal["<", ">"], orientation: int) -> bool:
    """Tell whether pixels that lie in the file one after another are upright, and many."""
    assert page.dtype is not None
    planar = page.samplesperpixel > 1 and int(page.planarconfig or 1) == 2
    size = page.imagelength * page.imagewidth * page.samplesperpixel * page.dtype.itemsize
    upright = orientation not in range(2, 9) and not planar
    return upright and page.dtype.newbyteorder(byteorder).isnative and size >= MAPPED_BYTES


def read_tiff(file: BinaryIO, bits: tuple[int, ...], orientation: int) -> Pixels | None:
    """Read the first page of a TIFF file, upright.

    Args:
        file: The file, from its beginning.
        bits: Per sample, as its header says.
        orientation: Its EXIF orientation, from 1 to 8.

    Returns:
        (H, W, C) uint8 or uint16; None where it is no grey or colour of such bits, with or without
        alpha, and without loss, so that Pillow has to see what it is.

    Raises:
        ValueError: If it is damaged. Colour of more than 8 bits, which Pillow cannot hold either,
            raises an UnsupportedPicture where it is none of 16 bits.
    """
    import tifffile

    file.seek(0)
    with tifffile.TiffFile(file) as tiff:
        page = tiff.pages.first
        if len(bits) > 1 and max(bits) > 8:
            _refuse_unless_deep_colour(page, bits)
        elif not _is_plain(page):
            return None
        assert page.dtype is not None
        shape = (page.imagelength, page.imagewidth, page.samplesperpixel)
        planar = page.samplesperpixel > 1 and int(page.planarconfig or 1) == 2
        if not page.is_final:
            return _decoded(page, _Target(shape, page.dtype, orientation, planar=planar))
        offset, size = page.dataoffsets[0], math.prod(shape) * page.dtype.itemsize
        if file.seek(0, io.SEEK_END) < offset + size:
            raise ValueError("the file ends before its pixels do")
        dtype = page.dtype.newbyteorder(tiff.byteorder)
        if isinstance(file, io.BufferedReader) and _maps(page, tiff.byteorder, orientation):
            # "c": what is written stays in memory; nobody writes, but PyTorch wants to be able to.
            return np.asarray(np.memmap(file, dtype, "c", offset, shape))
        file.seek(offset)
        return _copied(file, dtype, _Target(shape, page.dtype, orientation, planar=planar))


def write_tiff(
    file: BinaryIO, strips: Iterable[Pixels], shape: tuple[int, int, int], dtype: np.dtype[Any]
) -> None:
    """Write a picture that comes in strips of rows, so that it need not be in memory as a whole.

    Args:
        file: Where to, open for writing and reading.
        strips: (rows, W, C) each, from top to bottom; all but the last equally high.
        shape: (H, W, C); C is 1 (grey), 2 (grey, alpha), 3 (RGB) or 4 (RGBA).
        dtype: uint8 or uint16.

    Raises:
        ValueError: If the strips are not those of such a picture.
    """
    import tifffile

    coming = iter(strips)
    first = next(coming, np.zeros((0, *shape[1:]), dtype))
    channels = shape[2]
    # Neither time nor software is noted, so that equal pictures are equal files.
    with tifffile.TiffWriter(file, bigtiff=math.prod(shape) * dtype.itemsize > _BIG_BYTES) as tiff:
        tiff.write(
            _packed(itertools.chain([first], coming), len(first), shape, dtype),
            shape=shape if channels > 1 else shape[:2],
            dtype=dtype,
            photometric="rgb" if channels >= 3 else "minisblack",
            planarconfig="contig" if channels > 1 else None,
            extrasamples=["unassalpha"] if channels in {2, 4} else None,
            rowsperstrip=max(1, len(first)),
            compression="zlib",
            predictor=True,
            metadata=None,
            software=False,
        )
    if next(coming, None) is not None:  # tifffile does not ask for more than it needs
        raise ValueError(f"more strips than a picture of {shape} has")


def _packed(
    strips: Iterable[Pixels], rows: int, shape: tuple[int, int, int], dtype: np.dtype[Any]
) -> Iterator[bytes]:
    """Compress strips of so many rows, after horizontal differencing."""
    import imagecodecs

    done, (height, width, channels) = 0, shape
    for strip in strips:
        if strip.shape != (min(rows, height - done), width, channels) or strip.dtype != dtype:
            raise ValueError(f"a strip of {strip.shape} {strip.dtype} at row {done} of {shape}")
        done += len(strip)
        differences = imagecodecs.delta_encode(np.ascontiguousarray(strip), axis=1)
        yield bytes(imagecodecs.zlib_encode(differences.tobytes(), level=_LEVEL))
    if done != height:
        raise ValueError(f"strips of {done} rows for a picture of {height}")


class _Target:
    """Where pixels go, as upright as they shall be and, in `planes`, as the file has them."""

    def __init__(
        self,
        shape: tuple[int, int, int],
        dtype: np.dtype[Any],
        orientation: int,
        *,
        planar: bool,
    ) -> None:
        height, width, channels = shape
        turned = orientation in range(5, 9)
        upright = (width, height, channels) if turned else (height, width, channels)
        self.pixels: Pixels = np.zeros(upright, dtype)
        stored = as_stored(self.pixels, orientation)
        self.planes = np.moveaxis(stored, 2, 0)[..., None] if planar else stored[None]


def as_stored(upright: Pixels, orientation: int) -> Pixels:
    """Undo `upright`: show an upright picture as a file of an EXIF orientation holds it.

    Args:
        upright: (H, W, C).
        orientation: From 1 to 8; others count as 1.

    Returns:
        A view.
    """
    flipped = _flipped(upright, orientation)
    return flipped.swapaxes(0, 1) if orientation in range(5, 9) else flipped


def upright(stored: Pixels, orientation: int) -> Pixels:
    """Turn a picture as its EXIF orientation says, for any number of channels and bits.

    Args:
        stored: (H, W, C).
        orientation: From 1 to 8; others count as 1.

    Returns:
        A view.
    """
    turned = stored.swapaxes(0, 1) if orientation in range(5, 9) else stored
    return _flipped(turned, orientation)


def _flipped(pixels: Pixels, orientation: int) -> Pixels:
    rows = -1 if orientation in {3, 4, 7, 8} else 1
    columns = -1 if orientation in {2, 3, 6, 7} else 1
    return pixels[::rows, ::columns]


def _refuse_unless_deep_colour(page: "TiffPage", bits: tuple[int, ...]) -> None:
    kind = getattr(page.photometric, "name", "unknown")
    if page.dtype != np.uint16 or kind not in _PHOTOMETRIC:
        raise UnsupportedPicture(
            f"{max(bits)}-bit TIFF of kind {kind}; convert it to RGB of 8 or 16 bits"
        )
    if page.imagedepth != 1 or page.samplesperpixel not in {2, 3, 4}:
        raise UnsupportedPicture(f"TIFF with {page.shape} values; 1 to 4 channels are supported")


def _is_plain(page: "TiffPage") -> bool:
    """Tell whether a page holds 8 or 16 bits that mean what they are."""
    extra = tuple(int(kind) for kind in page.extrasamples)
    colours = {"RGB": 3, "MINISBLACK": 1}.get(getattr(page.photometric, "name", ""))
    return (
        page.dtype in {np.dtype(np.uint8), np.dtype(np.uint16)}
        and page.bitspersample in {8, 16}
        and page.imagedepth == 1
        and getattr(page.compression, "name", "") in _LOSSLESS
        and colours == page.samplesperpixel - len(extra)
        and extra in {(), (_UNASSOCIATED,)}
    )


def _copied(file: BinaryIO, dtype: np.dtype[Any], target: _Target) -> Pixels:
    """Read pixels that lie in the file one after another, some rows at once."""
    for plane in target.planes:
        rows = max(1, _READ_BYTES // max(1, plane[0].nbytes))
        for top in range(0, len(plane), rows):
            part = plane[top : top + rows]
            part[...] = np.frombuffer(file.read(part.nbytes), dtype).reshape(part.shape)
    return target.pixels


def _decoded(page: "TiffPage", target: _Target) -> Pixels:
    """Decode strips or tiles one at a time; what a sparse file leaves out is 0."""
    offsets, counts = page.dataoffsets, page.databytecounts
    end = page.parent.filehandle.size
    if len(offsets) != math.prod(page.chunked) or len(counts) != len(offsets):
        raise ValueError("parts of the picture are missing")
    if any(offset + count > end for offset, count in zip(offsets, counts, strict=True)):
        raise ValueError("the file ends before its pixels do")
    # In one thread, and a little at a time: the default is to read 256 MB ahead.
    for data, index, shape in page.segments(maxworkers=1, buffersize=_READ_BYTES):
        if data is None:
            continue
        if data.shape != shape:
            raise ValueError(f"a part holds {data.shape} values instead of {shape}")
        plane, _, top, left, _ = index
        part = target.planes[plane, top : top + shape[1], left : left + shape[2]]
        part[...] = data[0, : part.shape[0], : part.shape[1]]
    return target.pixels
