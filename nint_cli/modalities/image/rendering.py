"""Pictures at any size, from their field.

Pixel centres of a picture of any size lie on the same ends, -1 and 1, as those of the input, so
that at scale 1 they are the input's own.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from nint_cli.derivatives.sweep import predicted_blocks
from nint_cli.errors import ConfigError
from nint_cli.fields.base import Field
from nint_cli.modalities.base import Piece
from nint_cli.modalities.image.png import encode_picture
from nint_cli.modalities.image.reconstruction import as_seen, whole_range
from nint_cli.modalities.image.record import ImageRecord
from nint_cli.modalities.image.settings import ImageSettings
from nint_cli.modalities.image.signal import Pixels, Scale, to_pixels
from nint_cli.modalities.image.strips import STRIP_PIXELS
from nint_cli.modalities.image.tiff import write_tiff
from nint_cli.modalities.render_request import Rendering, RenderRequest
from nint_cli.signals.base import MOST_IN_FLOAT32, CoordinateGrid

_TIFF = {".tif", ".tiff"}
_SEEN = {".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
_SUFFIXES = {".png", *_SEEN, *_TIFF}
_MOST_HELD = 1 << 26  # pixels of the kinds of file that are not written by rows
_LONGEST = 1 << 20  # pixels along a side


def plan(
    record: ImageRecord,
    settings: ImageSettings,
    field: Field,
    request: RenderRequest,
    path: Path | None,
) -> Rendering:
    """Plan the rendering of a picture.

    Args:
        record: What the field was fitted to.
        settings: Of the run; unused.
        field: On the CPU.
        request: What is asked for.
        path: Its suffix decides the kind of file; None where only the values are wanted.

    Returns:
        What computes and writes it.

    Raises:
        ConfigError: If a size, a crop or the kind of file cannot be had.
    """
    whole = _size(record, request)
    (top, height), (left, width) = _crop(record, request, whole)
    suffix, pixels = ".tif" if path is None else path.suffix.lower(), height * width
    dtype, scale = _stored(record, request, suffix)
    if suffix not in _SUFFIXES:
        raise ConfigError(f"'{path}': a picture is written as {', '.join(sorted(_SUFFIXES))}")
    if suffix not in _TIFF and pixels > _MOST_HELD:
        raise ConfigError(
            f"{width}x{height} pixels are too many for {suffix}; name a .tif, written by strips"
        )
    times = request.supersample or 1
    rows = [_axis(whole[0], top, height, shift) for shift in _shifts(times)]
    columns = [_axis(whole[1], left, width, shift) for shift in _shifts(times)]
    windows = [CoordinateGrid(row, column) for row in rows for column in columns]

    def values(piece: Piece) -> Pixels:
        return np.concatenate(list(_strips(field, windows, dtype, scale, piece)))

    def write(file: BinaryIO, piece: Piece) -> None:
        strips = _strips(field, windows, dtype, scale, piece)
        shape = (height, width, record.channels)
        if suffix in _TIFF:
            alpha = record.channels - 1 if record.channels in {2, 4} else None
            write_tiff(file, strips, shape, dtype, alpha=alpha)
            return
        held = np.concatenate(list(strips))
        if suffix == ".png":
            shown = record.channels <= 4 and dtype != np.float32
            full = whole_range(held, scale.maximum) if shown else as_seen(held, scale)
            file.write(encode_picture(full))
            return
        flat = as_seen(held, scale)
        Image.fromarray(flat.squeeze(2) if flat.shape[2] == 1 else flat).save(file, _SEEN[suffix])

    notes = _left_out(record, suffix, dtype)
    return Rendering(pixels * times * times, write, values, notes)


def _left_out(record: ImageRecord, suffix: str, dtype: np.dtype[Any]) -> tuple[str, ...]:
    """Return which channels a kind of file does not show."""
    seen = 3 if record.channels >= 3 else 1
    whole = suffix in _TIFF or (suffix == ".png" and record.channels <= 4 and dtype != np.float32)
    if whole or record.channels == seen:
        return ()
    kind = "grey" if seen == 1 else "RGB"
    return (
        f"{suffix} shows {kind} only: {record.channels - seen} of {record.channels} channels are "
        "left out; a .tif holds all",
    )


def _size(record: ImageRecord, request: RenderRequest) -> tuple[int, int]:
    """Return height and width of the whole picture, and refuse what cannot be one."""
    if request.size is not None and request.scale is not None:
        raise ConfigError("--size and --scale both say how large; leave one out")
    if request.size is not None:
        width, height = request.size
    else:
        factor = request.scale or 1.0
        height, width = (round(side * factor) for side in record.shape)
    if not (1 <= height <= _LONGEST and 1 <= width <= _LONGEST):
        raise ConfigError(f"a picture of {width}x{height}: a side is 1 to {_LONGEST} pixels")
    return height, width


def _crop(
    record: ImageRecord, request: RenderRequest, whole: tuple[int, int]
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return first row and rows, first column and columns, of the whole picture."""
    if request.crop is None:
        return (0, whole[0]), (0, whole[1])
    x, y, width, height = request.crop
    found = []
    for first, length, side, total in zip(
        (y, x), (height, width), record.shape, whole, strict=True
    ):
        if first < 0 or length <= 0 or first + length > side:
            raise ConfigError(
                f"--crop {x:g},{y:g},{width:g},{height:g} is not within the input's "
                f"{record.shape[1]}x{record.shape[0]} pixels"
            )
        start, stop = (round(end * total / side) for end in (first, first + length))
        if stop == start:
            raise ConfigError("--crop leaves no pixel at this size; crop more or scale up")
        found.append((start, stop - start))
    return found[0], found[1]


def _stored(
    record: ImageRecord, request: RenderRequest, suffix: str
) -> tuple[np.dtype[Any], Scale]:
    """Return the type of the pixels and what 0 and 1 stand for in it."""
    own = np.dtype(record.dtype)
    if request.bits is None:
        return own, record.scale
    if request.bits == 16 and suffix in _SEEN:
        raise ConfigError(f"--bits 16: {suffix} holds 8; name a .png or .tif")
    if own.kind == "f":
        raise ConfigError("--bits: the input was floating point; a .tif holds that, a .png 8 bits")
    dtype, maximum = np.dtype(f"uint{request.bits}"), 2**request.bits - 1
    factor = maximum / record.scale.maximum
    return dtype, Scale(record.scale.low * factor, record.scale.high * factor, maximum)


def _shifts(times: int) -> NDArray[np.float64]:
    """Return where the points within a pixel lie, in pixels from its centre."""
    return (np.arange(times) - (times - 1) / 2) / times


def _axis(size: int, first: int, count: int, shift: float) -> Tensor:
    """Return coords of `count` pixels from `first` on, of `size` from -1 to 1.

    They are those of `GridSignal`; shifted ones stay within its ends, where fields are defined.
    """
    precise = size > MOST_IN_FLOAT32
    if not precise and not shift:
        return torch.linspace(-1, 1, size)[first : first + count].clone()
    places = torch.arange(first, first + count, dtype=torch.float64) + shift
    coords = ((2 * places - (size - 1)) / max(1, size - 1)).clamp(-1, 1)
    return coords if precise else coords.float()


def _strips(
    field: Field,
    windows: list[CoordinateGrid],
    dtype: np.dtype[Any],
    scale: Scale,
    piece: Piece,
) -> Iterator[Pixels]:
    """Render strips of whole rows, from top to bottom: the mean over all windows."""
    width = windows[0].shape[1]
    size = max(1, STRIP_PIXELS // width) * width
    for parts in zip(*(predicted_blocks(field, each, size) for each in windows), strict=True):
        mean = torch.zeros(())
        for _, prediction, _ in parts:
            mean = mean + prediction.clamp(0, 1) if len(parts) > 1 else prediction
            piece(len(prediction))
        shape = (len(mean) // width, width)
        yield to_pixels(mean / len(parts) if len(parts) > 1 else mean, shape, dtype, scale)
