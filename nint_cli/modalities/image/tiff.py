"""TIFF files to samples and back by strips or tiles, so that a large one is in memory once.

Where the file holds the pixels as they are, it is mapped and not even read.
"""

import io
import itertools
import math
import struct
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from nint_cli.modalities.image.decoded import (
    BASE,
    NO_TAGS,
    Colours,
    Decoded,
    Extra,
    Tags,
    UnsupportedPicture,
    as_stored,
    check_size,
)
from nint_cli.modalities.image.png import resolution_chunk, resolution_of
from nint_cli.modalities.image.signal import Pixels

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffFrame, TiffPage

MAPPED_BYTES = 1 << 26
"""Size of the pixels from which on a file is mapped.

Smaller ones are copied, since a map shows what becomes of the file, and ends the process where the
file is cut short.
"""

_READ_BYTES = 1 << 24  # at once
_LEVEL = 6  # of compression
_BIG_BYTES = 1 << 31  # of pixels, beyond which a file's offsets might not fit into 32 bits
_MOST_PAGES = 1_000_000  # that are counted, which takes a second or two
_MOST_TRIED = 100  # pages among which the first whole picture is looked for

_COLOURS: dict[str, Colours] = {
    "MINISWHITE": "grey",
    "MINISBLACK": "grey",
    "RGB": "rgb",
    "PALETTE": "palette",
    "SEPARATED": "cmyk",
    "YCBCR": "rgb",  # JPEG's decoder gives RGB; of others see `read_tiff`
    "CIELAB": "cielab",
    "ICCLAB": "icclab",
}
_EXTRAS: dict[int, Extra] = {0: "unspecified", 1: "associated", 2: "alpha"}
_SENSOR = {"CFA", "LINEAR_RAW"}
_JPEG = 7  # the compression
_DNG_VERSION, _ORIENTATION, _PROFILE, _COLOUR_MAP = 50706, 274, 34675, 320

CAMERA_RAW = (
    "a camera's raw file, in which the first picture is a preview; develop it first: "
    "darktable-cli picture.raw picture.tif, or dcraw -T picture.raw"
)
"""Why such files are refused, and the way out."""


def read_tiff(file: BinaryIO, max_pixels: int, *, as_it_is: bool = False) -> Decoded | None:
    """Decode the first page of a TIFF file that is no reduced copy of another.

    Args:
        file: The file.
        max_pixels: What a page may have that is decoded into memory.
        as_it_is: Whether the samples will be used as they are, so that those of a mapped page
            take no memory, however many they are.

    Returns:
        What it holds, in an array that is upright and C-contiguous once it is turned; None for
        YCbCr without JPEG, which only Pillow decodes.

    Raises:
        ValueError: If it is damaged.
        UnsupportedPicture: If it is a camera's raw file, or no picture of a kind that is known.
    """
    import tifffile

    file.seek(0)
    with tifffile.TiffFile(file) as tiff:
        page = _whole_page(tiff)
        if not (as_it_is and _is_mapped(file, tiff, page) and _is_fitted_as_stored(page)):
            check_size(page.imagewidth, page.imagelength, max_pixels)
        photometric = getattr(page.photometric, "name", "unknown")
        colours = _COLOURS.get(photometric)
        if photometric == "YCBCR" and int(page.compression) != _JPEG:
            return None
        if colours is None or page.imagedepth != 1 or page.dtype is None:
            raise UnsupportedPicture(
                f"a TIFF file of kind {photometric}, {page.bitspersample} bits per sample and "
                f"{page.imagedepth} layers; convert it to RGB of 8 or 16 bits"
            )
        extra = _extra(page, colours)
        if colours == "cmyk" and page.samplesperpixel < BASE["cmyk"]:
            raise UnsupportedPicture("a TIFF file of inks other than CMYK; convert it to RGB")
        if page.samplesperpixel < BASE[colours]:
            raise ValueError(f"{photometric} of {page.samplesperpixel} samples")
        orientation = int(page.tags.valueof(_ORIENTATION, 1))
        frames = _frames(tiff, page)
        return Decoded(
            samples=_samples(file, tiff, page, orientation),
            kind="TIFF",
            colours=colours,
            maximum=_maximum(page),
            inverted=photometric == "MINISWHITE",
            extra=extra,
            palette=_palette(page) if colours == "palette" else None,
            orientation=orientation,
            frames=min(frames, _MOST_PAGES),
            uncounted=frames > _MOST_PAGES,
            tags=_tags(page),
            notes=[f"page {page.index + 1}, the first whole one"] if page.index else [],
        )


def _whole_page(tiff: "TiffFile") -> "TiffPage":
    """Find the first page that is neither a reduced copy nor a mask; refuse raw files."""
    try:
        first = tiff.pages.first
    except LookupError:
        raise ValueError("it ends before its first page") from None
    inner, outer = list(_readable(first.pages or ())), list(_readable(tiff.pages))
    kinds = {getattr(page.photometric, "name", "") for page in (*outer, *inner)}
    if _DNG_VERSION in first.tags or kinds & _SENSOR:
        raise UnsupportedPicture(f"it is {CAMERA_RAW}")
    for page in (*outer, *inner):
        if not (page.is_reduced or page.is_mask):
            return page
    raise UnsupportedPicture(
        "every page says that it is a reduced copy of another picture or a mask; export the "
        "picture itself: magick picture.tif picture.png"
    )


def _readable(pages: "Iterable[TiffPage | TiffFrame]") -> "Iterator[TiffPage]":
    """Give the first pages, up to one that is damaged, which takes nothing from those before."""
    try:
        for page in itertools.islice(pages, _MOST_TRIED):
            yield page.aspage()
    except (ValueError, LookupError, OSError, struct.error):
        return


def _frames(tiff: "TiffFile", page: "TiffPage") -> int:
    """Count pictures, but not without end: pages, or those that one page's header speaks of."""
    try:
        tiff.pages[_MOST_PAGES]
    except IndexError:
        pages = len(tiff.pages)
    else:
        return _MOST_PAGES + 1
    if pages > 1:
        return pages
    described = 1
    if tiff.is_imagej:
        described = int((tiff.imagej_metadata or {}).get("images", 1))
    elif tiff.is_shaped:
        shape = (tiff.shaped_metadata or ({},))[0].get("shape", ())
        described = math.prod(shape) // math.prod(page.shape)
    return max(1, described)


def _extra(page: "TiffPage", colours: Colours) -> tuple[Extra, ...]:
    """Give what the samples after the colours are; the rest is unspecified."""
    count = max(0, page.samplesperpixel - BASE[colours])
    said: list[Extra] = [_EXTRAS.get(int(kind), "unspecified") for kind in page.extrasamples][
        :count
    ]
    said += ["unspecified"] * (count - len(said))
    return tuple(said)


def _maximum(page: "TiffPage") -> int | None:
    """Give what the bits of a sample can hold, where they do not fill its type."""
    assert page.dtype is not None
    fewer = page.dtype.kind == "u" and page.bitspersample < 8 * page.dtype.itemsize
    return 2**page.bitspersample - 1 if fewer else None


def _palette(page: "TiffPage") -> NDArray[np.uint16]:
    colour_map = page.colormap
    if colour_map is None:
        raise ValueError("a palette is missing")
    return np.ascontiguousarray(np.asarray(colour_map, np.uint16).T)


def _tags(page: "TiffPage") -> Tags:
    """Give profile and resolution, as a PNG file has them."""
    profile = page.tags.valueof(_PROFILE)
    unit = {2: 1 / 0.0254, 3: 100.0}.get(int(page.resolutionunit or 1))
    chunks = []
    if unit is not None and 282 in page.tags and 283 in page.tags:
        chunk = resolution_chunk(*(unit * each for each in page.resolution))
        chunks = [] if chunk is None else [chunk]
    return Tags(bytes(profile) if profile else None, tuple(chunks))


def _samples(file: BinaryIO, tiff: "TiffFile", page: "TiffPage", orientation: int) -> NDArray[Any]:
    """Read or map the samples of a page, (H, W, S) as stored."""
    assert page.dtype is not None
    shape = (page.imagelength, page.imagewidth, page.samplesperpixel)
    if _is_mapped(file, tiff, page):
        _check_end(file, page)
        # "c": what is written stays in memory; nobody writes, but PyTorch wants to be able to.
        return np.asarray(np.memmap(file, page.dtype, "c", page.dataoffsets[0], shape))
    target = _Target(shape, page.dtype, orientation, planar=_is_planar(page))
    if not page.is_final:
        _decode_into(target, page)
        return target.stored
    _check_end(file, page)
    file.seek(page.dataoffsets[0])
    _copy_into(target, file, page.dtype.newbyteorder(tiff.byteorder))
    return target.stored


def _check_end(file: BinaryIO, page: "TiffPage") -> None:
    """Refuse a file that ends before the samples of a page that holds them as they are."""
    if file.seek(0, io.SEEK_END) < page.dataoffsets[0] + _size(page):
        raise ValueError("the file ends before its pixels do")


def _is_planar(page: "TiffPage") -> bool:
    return page.samplesperpixel > 1 and int(page.planarconfig or 1) == 2


def _size(page: "TiffPage") -> int:
    """Give the bytes of a page's samples in memory."""
    assert page.dtype is not None
    return page.imagelength * page.imagewidth * page.samplesperpixel * page.dtype.itemsize


def _is_mapped(file: BinaryIO, tiff: "TiffFile", page: "TiffPage") -> bool:
    """Tell whether a file holds the samples of a page as they are, upright, and many."""
    return (
        isinstance(file, io.BufferedReader)
        and page.dtype is not None
        and bool(page.is_final)
        and not _is_planar(page)
        and page.tags.valueof(_ORIENTATION, 1) not in range(2, 9)
        and page.dtype.newbyteorder(tiff.byteorder).isnative
        and _size(page) >= MAPPED_BYTES
    )


def _is_fitted_as_stored(page: "TiffPage") -> bool:
    """Tell whether the values of a page are its samples, and nothing is computed from them."""
    kind = getattr(page.photometric, "name", "")
    plain = kind in {"MINISBLACK", "RGB"} and 1 not in map(int, page.extrasamples)
    return plain and page.dtype in {np.dtype(each) for each in ("u1", "u2", "f4")}


def write_tiff(
    file: BinaryIO,
    strips: Iterable[Pixels],
    shape: tuple[int, int, int],
    dtype: np.dtype[Any],
    *,
    alpha: int | None = None,
    tags: Tags = NO_TAGS,
) -> None:
    """Write a picture that comes in strips of rows, so that it need not be in memory as a whole.

    Args:
        file: Where to, open for writing and reading.
        strips: (rows, W, C) each, from top to bottom; all but the last equally high.
        shape: (H, W, C); from three channels on the first are RGB, else grey.
        dtype: uint8, uint16 or float32.
        alpha: The channel that is alpha; None for none.
        tags: Profile and resolution.

    Raises:
        ValueError: If the strips are not those of such a picture.
    """
    import tifffile

    coming = iter(strips)
    first = next(coming, np.zeros((0, *shape[1:]), dtype))
    channels = shape[2]
    base = 3 if channels >= 3 else 1
    extra = ["unassalpha" if at == alpha else "unspecified" for at in range(base, channels)]
    resolution = resolution_of(tags)
    # Neither time nor software is noted, so that equal pictures are equal files.
    with tifffile.TiffWriter(file, bigtiff=math.prod(shape) * dtype.itemsize > _BIG_BYTES) as tiff:
        tiff.write(
            _packed(itertools.chain([first], coming), len(first), shape, dtype),
            shape=shape if channels > 1 else shape[:2],
            dtype=dtype,
            photometric="rgb" if base == 3 else "minisblack",
            planarconfig="contig" if channels > 1 else None,
            extrasamples=extra or None,
            rowsperstrip=max(1, len(first)),
            compression="zlib",
            predictor=dtype.kind != "f",
            metadata=None,
            software=False,
            iccprofile=tags.profile,
            resolution=resolution,
            resolutionunit=None if resolution is None else "CENTIMETER",
        )
    if next(coming, None) is not None:  # tifffile does not ask for more than it needs
        raise ValueError(f"more strips than a picture of {shape} has")


def _packed(
    strips: Iterable[Pixels], rows: int, shape: tuple[int, int, int], dtype: np.dtype[Any]
) -> Iterator[bytes]:
    """Compress strips of so many rows, integers after horizontal differencing."""
    import imagecodecs

    done, (height, width, channels) = 0, shape
    for strip in strips:
        if strip.shape != (min(rows, height - done), width, channels) or strip.dtype != dtype:
            raise ValueError(f"a strip of {strip.shape} {strip.dtype} at row {done} of {shape}")
        done += len(strip)
        stored = np.ascontiguousarray(strip)
        if dtype.kind != "f":
            stored = imagecodecs.delta_encode(stored, axis=1)
        yield bytes(imagecodecs.zlib_encode(stored.tobytes(), level=_LEVEL))
    if done != height:
        raise ValueError(f"strips of {done} rows for a picture of {height}")


class _Target:
    """Where samples go: upright in memory, and in `stored` as the file has them."""

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
        self.stored = as_stored(np.zeros(upright, dtype), orientation)
        self.planes = np.moveaxis(self.stored, 2, 0)[..., None] if planar else self.stored[None]


def _copy_into(target: _Target, file: BinaryIO, dtype: np.dtype[Any]) -> None:
    """Read samples that lie in the file one after another, some rows at once."""
    for plane in target.planes:
        rows = max(1, _READ_BYTES // max(1, plane[0].nbytes))
        for top in range(0, len(plane), rows):
            part = plane[top : top + rows]
            part[...] = np.frombuffer(file.read(part.nbytes), dtype).reshape(part.shape)


def _decode_into(target: _Target, page: "TiffPage") -> None:
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
