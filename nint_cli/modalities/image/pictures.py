"""Pictures of the coordinates that were chosen from a picture."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from nint_cli.modalities.image.reconstruction import as_seen
from nint_cli.modalities.image.signal import Picture, Pixels
from nint_cli.samplers.base import Selection
from nint_cli.samplers.table import all_slots

_SMALLEST_SIDE = 384
_LARGEST_SIDE = 2048
_CAPTION = 16
_GAP = 8


def selection_picture(
    picture: Picture, selections: Mapping[str, Selection], steps: Mapping[str, int]
) -> Pixels:
    """Draw the chosen coordinates over the dimmed picture, one panel per selection.

    Args:
        picture: What was fitted.
        selections: What was chosen, by panel; indices are row-major.
        steps: The step of each panel, from 1.

    Returns:
        (H', W', 3) uint8: the panels side by side with a caption that counts each slot. Small
        pictures are enlarged by whole pixels; of large ones every k-th row and column is shown,
        and a chosen coordinate on the nearest before it.
    """
    pixels = picture.pixels
    panels, width = [], pixels.shape[1]
    every = -(-max(pixels.shape[:2]) // _LARGEST_SIDE)
    for name, selection in selections.items():
        panel = _dimmed(as_seen(pixels[::every, ::every], picture.scale))
        start = 0
        for slot, count in reversed(selection.slots):  # what is rare is drawn last
            start += count
            chosen = selection.indices[len(selection.indices) - start :][:count]
            rows, columns = np.divmod(chosen.cpu().numpy(), width)
            panel[rows // every, columns // every] = all_slots()[slot].colour
        panels.append(_captioned(panel, f"step {steps[name]}", selection.slots))
    height = max(panel.shape[0] for panel in panels)
    gap = np.zeros((height, _GAP, 3), np.uint8)
    row: list[NDArray[np.uint8]] = []
    for panel in panels:
        row += [panel, gap]
    return np.concatenate(row[:-1], axis=1)


def _dimmed(seen: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Give the picture in dark grey, three channels."""
    grey = seen.astype(np.float32).mean(axis=2) / 255
    return np.repeat((grey * 110).astype(np.uint8)[..., None], 3, axis=2)


def _captioned(
    panel: NDArray[np.uint8], title: str, slots: tuple[tuple[str, int], ...]
) -> NDArray[np.uint8]:
    factor = max(1, -(-_SMALLEST_SIDE // max(panel.shape[:2])))
    panel = panel.repeat(factor, axis=0).repeat(factor, axis=1)
    width = max(panel.shape[1], 260)
    image = Image.new("RGB", (width, panel.shape[0] + _CAPTION))
    image.paste(Image.fromarray(panel), (0, _CAPTION))
    draw = ImageDraw.Draw(image)
    draw.text((2, 2), title, fill=(255, 255, 255))
    x = 2 + draw.textlength(title + "   ")
    for slot, count in slots:
        label = f"{slot} {count}   "
        draw.text((x, 2), label, fill=all_slots()[slot].colour)
        x += draw.textlength(label)
    return np.asarray(image)
