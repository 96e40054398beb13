"""What decoded samples mean: the one place that turns them into values, whatever their format.

Legend: H rows, W columns, S samples per pixel as stored, C channels as fitted.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nint_cli.modalities.image.decoded import BASE, Decoded, Tags, UnsupportedPicture, upright

_ROWS_BYTES = 1 << 24  # of samples that are worked on at once

# From the XYZ of the D50 white that Lab refers to, to linear sRGB, by Bradford's adaptation.
_SRGB_OF_XYZ = np.array([
    [3.1338561, -1.6168667, -0.4906146],
    [-0.9787684, 1.9161415, 0.0334540],
    [0.0719453, -0.2289914, 1.4052427],
])
_D50 = np.array([0.96422, 1.0, 0.82521])


@dataclass(frozen=True)
class Values:
    """Samples as values.

    Attributes:
        pixels: (H, W, C), uint8, uint16 or float32, upright.
        maximum: The largest number that a pixel of integers can be; 1 for floating point.
        alpha: The channel that is alpha, by which colours are not multiplied; None for none.
        tags: What goes into a reconstruction.
        notes: What was done, in plain words.
    """

    pixels: NDArray[Any]
    maximum: int
    alpha: int | None
    tags: Tags
    notes: tuple[str, ...]


def interpret(found: Decoded) -> Values:
    """Turn decoded samples into values.

    Integers of fewer than 8 bits are spread over 8; of more they stay as they are, and their
    maximum says what full is. Other types become float32.

    Args:
        found: What a decoder gave; its samples may be changed in place.

    Returns:
        The values. An UnsupportedPicture is raised for samples that are no picture.

    Raises:
        ValueError: If there are none.
    """
    if not found.samples.size:
        raise ValueError("it has no pixels")
    notes = list(found.notes)
    if found.frames > 1 or found.uncounted:
        more = "more than " * found.uncounted
        notes.append(f"first of {more}{found.frames:,} frames")
    if found.orientation in range(2, 9):
        notes.append(f"turned upright (EXIF orientation {found.orientation})")
    seen = _seen(found)
    samples, maximum = _numbers(found, notes)
    if found.inverted or "associated" in found.extra:
        samples = np.require(samples, requirements="W")  # for what is done in place
    base = BASE[found.colours]
    extra = list(found.extra)
    if found.inverted:
        _invert(samples[..., :base], found, maximum, notes)
    if found.palette is not None:
        samples, maximum = _looked_up(samples, found.palette, found.most_whole)
        notes.append("palette expanded to colours")
    elif found.colours not in {"grey", "rgb"}:
        samples = _to_rgb(samples, found.colours, maximum)
        kind = "CMYK" if found.colours == "cmyk" else "Lab"
        notes.append(f"{kind} converted to RGB")
    if seen is not None:
        opaque = np.where(seen, maximum, 0).astype(samples.dtype)
        samples = np.concatenate([samples, opaque[..., None]], axis=2)
        extra.append("alpha")
        notes.append("its transparent colour became alpha 0")
    first = samples.shape[2] - len(extra)
    alpha = next((first + at for at, kind in enumerate(extra) if kind != "unspecified"), None)
    if alpha is not None and extra[alpha - first] == "associated":
        _divide(samples, first, alpha, maximum)
        notes.append("associated alpha divided out of the colours")
    unspecified = extra.count("unspecified")
    if unspecified:
        are = f"{unspecified} channels" if unspecified > 1 else "a channel"
        notes.append(f"{are} of no stated meaning kept")
    pixels = np.require(upright(samples, found.orientation), requirements=["C", "W"])
    if pixels.dtype.kind == "f":
        _refuse_not_finite(pixels)
    return Values(pixels, maximum, alpha, found.tags, tuple(notes))


def _seen(found: Decoded) -> NDArray[np.bool_] | None:
    """Tell where a pixel is not of the one transparent colour; None where there is no such."""
    if found.transparent is None or found.extra:
        return None
    seen: NDArray[np.bool_] = (found.samples != np.array(found.transparent)).any(axis=2)
    return seen


def _numbers(found: Decoded, notes: list[str]) -> tuple[NDArray[Any], int]:
    """Give samples of one of the three types that are fitted, and what full is."""
    samples, full = found.samples, found.maximum
    if samples.dtype == bool:
        samples, full = samples.view(np.uint8), 1
    kind, bits = samples.dtype.kind, 8 * samples.dtype.itemsize
    if kind not in "uif":
        raise UnsupportedPicture(f"samples of type {samples.dtype}; convert them to 32-bit floats")
    if kind == "u" and bits <= 16:
        limit = int(np.iinfo(samples.dtype).max)
        full = limit if full is None else full
        if full < 255 and found.colours != "palette":
            levels = np.round(np.arange(full + 1) * (255 / full)).astype(np.uint8)
            return levels[np.minimum(samples, full)], 255
        if bits == 16 and full == 255:
            return samples.astype(np.uint8), 255
        if full not in {limit, 255}:
            samples = np.minimum(samples, full)
        return samples, full
    if samples.dtype != np.float32:
        names = {"u": "unsigned integers", "i": "signed integers", "f": "floating point"}
        read_as = "32-bit floating point"
        with np.errstate(over="ignore", invalid="ignore"):  # infinity is refused later
            exact = samples.astype(np.float32)
            lost = (kind == "f" and bits > 32) or bool(
                (exact.astype(samples.dtype) != samples).any()
            )
        if kind == "u" and found.has_alpha:
            exact /= np.float32(found.most_whole)  # for alpha in floating point is full at 1
            read_as += f", as shares of {found.most_whole}"
        rounded = " and rounded to 24 bits" if lost else ""
        notes.append(f"{bits}-bit {names[kind]} read as {read_as}{rounded}")
        samples = exact
    return samples, 1


def _parts(samples: NDArray[Any]) -> Iterator[slice]:
    """Give some rows at a time, so that what is computed from them stays small."""
    rows = max(1, _ROWS_BYTES // max(1, samples[:1].nbytes))
    for top in range(0, len(samples), rows):
        yield slice(top, top + rows)


def _invert(colours: NDArray[Any], found: Decoded, maximum: int, notes: list[str]) -> None:
    """Make 0 black, in place; signed and floating-point values, which have no full, stay."""
    if found.samples.dtype.kind in "if":
        notes.append("0 stands for white; signed and floating-point values are left as they are")
        return
    as_stored = colours.dtype.kind == "f" and not found.has_alpha
    most = found.most_whole if as_stored else maximum
    np.subtract(most, colours, out=colours, casting="unsafe")
    notes.append("0 stood for white; inverted")


def _looked_up(
    samples: NDArray[Any], palette: NDArray[np.unsignedinteger[Any]], full: int
) -> tuple[NDArray[Any], int]:
    """Give the colours of a palette, of 8 bits where it has no more, and then what is extra."""
    if palette.dtype == np.uint16 and palette.size:
        if not (palette % 257).any():
            palette = (palette // 257).astype(np.uint8)
        elif not (palette % 256).any():
            palette = (palette // 256).astype(np.uint8)
        elif palette.max() <= 255:  # as some writers had it who meant 8 bits
            palette = palette.astype(np.uint8)
    colours = palette[samples[..., 0]]
    maximum = int(np.iinfo(palette.dtype).max)
    if samples.shape[2] > 1:
        extra = np.round(samples[..., 1:] * (maximum / full)).astype(palette.dtype)
        colours = np.concatenate([colours, extra], axis=2)
    return colours, maximum


def _to_rgb(samples: NDArray[Any], colours: str, maximum: int) -> NDArray[Any]:
    """Give RGB for other kinds of colours, and then what is extra."""
    if samples.dtype.kind != "u":
        raise UnsupportedPicture(f"{colours} of floating point; convert it to RGB")
    base = BASE[colours]
    result = np.empty((*samples.shape[:2], samples.shape[2] - base + 3), samples.dtype)
    result[..., 3:] = samples[..., base:]
    for rows in _parts(samples):
        part = samples[rows, :, :base]
        if colours == "cmyk":
            result[rows, :, :3] = _rgb_of_cmyk(part, maximum)
        else:
            shares = _rgb_of_lab(part, maximum, signed=colours == "cielab")
            result[rows, :, :3] = (shares * maximum).round()
    return result


def _rgb_of_cmyk(inks: NDArray[Any], maximum: int) -> NDArray[Any]:
    """Take away from white what black leaves over and each ink absorbs of that."""
    left = maximum - inks[..., 3:].astype(np.int64)
    found: NDArray[Any] = left - (inks[..., :3] * left + maximum // 2) // maximum
    return found


def _rgb_of_lab(stored: NDArray[Any], maximum: int, *, signed: bool) -> NDArray[np.float64]:
    """Give sRGB in [0, 1] of CIE L*a*b* as TIFF stores it: L over all levels, a and b in 1/256."""
    step = (maximum + 1) // 256
    a_b = stored[..., 1:].astype(np.float64)
    if signed:
        a_b = np.where(a_b > maximum // 2, a_b - (maximum + 1), a_b)
    else:
        a_b = a_b - 128 * step
    a_b = a_b / step
    f_y = (stored[..., 0] * (100 / maximum) + 16) / 116
    f = np.stack([f_y + a_b[..., 0] / 500, f_y, f_y - a_b[..., 1] / 200], axis=2)
    xyz = _D50 * np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29))
    return srgb_encoded((xyz @ _SRGB_OF_XYZ.T).clip(0, 1))


def srgb_encoded(light: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Encode light for a display, by the curve of sRGB.

    Args:
        light: In [0, 1].

    Returns:
        In [0, 1].
    """
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


def _divide(samples: NDArray[Any], colours: int, alpha: int, maximum: int) -> None:
    """Divide colours by the alpha that they were multiplied by, in place.

    Where alpha is 0, integers become 0; light that has no alpha stays in floating point.
    """
    for rows in _parts(samples):
        part = samples[rows]
        share = part[..., alpha].astype(np.float32)[..., None] / maximum
        divided = part[..., :colours] / np.where(share > 0, share, 1)
        if part.dtype.kind != "f":
            divided = np.where(share > 0, divided.round().clip(0, maximum), 0)
        part[..., :colours] = divided


def _refuse_not_finite(pixels: NDArray[Any]) -> None:
    for rows in _parts(pixels):
        wrong = np.argwhere(~np.isfinite(pixels[rows]))
        if len(wrong):
            row, column, _ = wrong[0]
            raise UnsupportedPicture(
                f"row {rows.start + row}, column {column} holds NaN, infinity or a number beyond "
                "32-bit floats; replace such values, numpy.nan_to_num does"
            )
