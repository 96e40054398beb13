"""The page of a picture: how its values are seen, and the original beside them."""

import io
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nint_cli.fitted.export.page.document import Content, Fact
from nint_cli.fitted.export.page.original import Original
from nint_cli.fitted.export.page.packing import Block
from nint_cli.fitted.export.page.rounding import packed
from nint_cli.fitted.fitted import Fitted
from nint_cli.modalities.base import Piece
from nint_cli.modalities.image.reconstruction import as_seen, exposure, whole_range
from nint_cli.modalities.image.record import ImageRecord
from nint_cli.modalities.image.settings import ImageSettings
from nint_cli.modalities.image.signal import Picture
from nint_cli.modalities.image.subject import ImageSubject

_LEVEL = 1 / 255
_LONGEST_SIDE = 2048
_MOST_LOSSLESS = 1 << 20  # bytes
_WEBP_QUALITY = 90


def content(
    fitted: Fitted, original: Original | None, note: Callable[[str], None], _piece: Piece
) -> Content:
    """Return what the page of a picture shows.

    Args:
        fitted: The field.
        original: The picture, or None.
        note: Told what rounding costs.

    Returns:
        The content.
    """
    signal = fitted.signal
    assert isinstance(signal, ImageRecord)
    assert original is None or isinstance(original, Picture)
    alpha = original.alpha if original is not None else _alpha_of(signal)
    seen = _display(fitted, signal, alpha)
    # Light that is tone-mapped shows differences in the dark that are far below a level.
    tolerance = 0.0 if seen["exposure"] is not None else _LEVEL
    block = Block()
    found = packed(fitted.field, signal, block, tolerance)
    levels = f"{255 * found.cost:.2g} of 255 levels"
    if found.half:
        precision = f"16 bits; rounding moves a value by at most {levels}"
    else:
        precision = f"32 bits; 16 would move a value by up to {levels}"
    note(f"weights of {precision}")
    height, width = signal.shape
    document = {
        "kind": "picture",
        "height": height,
        "width": width,
        "half_range": signal.half_range,
        "network": found.network,
        "display": seen,
    }
    facts: list[Fact] = [("size", f"{width} × {height} pixels"), ("weights", precision)]
    if original is None:
        return Content(document, block, facts)
    shown, kind, scale = _encoded(_pixels(original, seen))
    document["original"] = {"bytes": block.add(np.frombuffer(shown, np.uint8)), "kind": kind}
    if scale > 1:
        facts.append(("original", f"reduced to 1/{scale} along each edge"))
    return Content(document, block, facts)


def _alpha_of(signal: ImageRecord) -> int | None:
    """Take the channel behind grey or RGB for alpha, as it nearly always is."""
    return signal.channels - 1 if signal.channels in {2, 4} else None


def _display(fitted: Fitted, signal: ImageRecord, alpha: int | None) -> dict[str, Any]:
    """Describe for display.js how `reconstruction_files` turns predictions into colours."""
    scale, whole = signal.scale, signal.dtype != "float32"
    colours = 3 if signal.channels >= 3 else 1
    tone = None
    if not whole and scale.low >= 0 and scale.high > 1:
        settings = fitted.config.section(fitted.signal.kind)
        assert isinstance(settings, ImageSettings)
        pixels = ImageSubject.rebuild(signal, settings, fitted.field)
        tone = exposure(pixels[..., :colours])
    return {
        "channels": signal.channels,
        "colours": colours,
        "alpha": whole and alpha == colours and signal.channels == colours + 1,
        "low": scale.low,
        "span": scale.high - scale.low,
        "whole": whole,
        "maximum": scale.maximum,
        "exposure": tone,
    }


def _pixels(picture: Picture, seen: dict[str, Any]) -> NDArray[np.uint8]:
    """Return the original in 8 bits as the page shows it."""
    pixels = picture.pixels
    colours = as_seen(pixels, picture.scale, seen["exposure"])
    if not seen["alpha"]:
        return colours
    full = whole_range(pixels[..., -1:], picture.maximum)
    alpha = np.round(full / (np.iinfo(full.dtype).max / 255)).astype(np.uint8)
    return np.concatenate([colours, alpha], axis=2)


def _encoded(pixels: NDArray[np.uint8]) -> tuple[bytes, str, int]:
    """Return a file of bounded size, its type, and by how much it is reduced."""
    image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    scale = -(-max(image.size) // _LONGEST_SIDE)
    if scale > 1:
        image = image.reduce(scale)
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    if file.tell() <= _MOST_LOSSLESS:
        return file.getvalue(), "image/png", scale
    file = io.BytesIO()
    image.convert("RGBA" if image.mode in {"LA", "RGBA"} else "RGB").save(
        file, "WEBP", quality=_WEBP_QUALITY
    )
    return file.getvalue(), "image/webp", scale
