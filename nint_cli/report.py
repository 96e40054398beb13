"""What people look at: the picture of selected coordinates, and the closing table."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from nint_cli.results import PerceptualQuality, RunMetrics
from nint_cli.samplers import Selection
from nint_cli.signals import Pixels

# Okabe and Ito's palette, told apart by colour-blind eyes too.
SLOT_COLOURS = {
    "ntk": (213, 94, 0),
    "residual": (86, 180, 233),
    "uniform": (240, 228, 66),
    "full": (240, 228, 66),
    "mutant": (240, 228, 66),
    "edge": (0, 158, 115),
    "anchor": (0, 158, 115),
    "survivor": (213, 94, 0),
    "mined": (204, 121, 167),
}
_SMALLEST_SIDE = 384
_CAPTION = 16
_GAP = 8


def selection_picture(
    pixels: Pixels, selections: Mapping[str, Selection], steps: Mapping[str, int]
) -> Pixels:
    """Draw the chosen coordinates over the dimmed picture, one panel per selection.

    Args:
        pixels: (H, W, C), the picture that was fitted.
        selections: What was chosen, by panel; indices are row-major.
        steps: The step of each panel, from 1.

    Returns:
        (H', W', 3) uint8: the panels side by side with a caption that counts each slot. Small
        pictures are enlarged by whole pixels.
    """
    panels = []
    for name, selection in selections.items():
        panel = _dimmed(pixels)
        flat = panel.reshape(-1, 3)
        start = 0
        for slot, count in reversed(selection.slots):  # what is rare is drawn last
            start += count
            chosen = selection.indices[len(selection.indices) - start :][:count]
            flat[chosen.cpu().numpy()] = SLOT_COLOURS[slot]
        panels.append(_captioned(panel, f"step {steps[name]}", selection.slots))
    height = max(panel.shape[0] for panel in panels)
    gap = np.zeros((height, _GAP, 3), np.uint8)
    row: list[NDArray[np.uint8]] = []
    for panel in panels:
        row += [panel, gap]
    return np.concatenate(row[:-1], axis=1)


def summary(metrics: RunMetrics, files: Mapping[str, str]) -> list[tuple[str, str]]:
    """Give the closing table.

    Args:
        metrics: The outcome.
        files: Paths of what was written, by what they are.

    Returns:
        Rows of a name and a text.
    """
    quality = "exact" if metrics.psnr_infinite else f"{metrics.psnr_db:.2f} dB"
    ssim = f"{metrics.ssim:.4f}" if metrics.ssim is not None else f"- ({metrics.ssim_reason})"
    others = [
        f"{name} {getattr(metrics, name + '_s'):.1f}" for name in ("load", "evaluation", "save")
    ]
    return [
        ("PSNR", quality),
        ("SSIM", ssim),
        *(row for row in perceptual_rows(metrics) if not row[1].startswith("-")),
        ("steps", f"{metrics.steps} ({metrics.status})"),
        (
            "training",
            f"{metrics.train_s:.1f} s: sampler {metrics.sampler_s:.1f}, "
            f"updates {metrics.update_s:.1f}",
        ),
        ("besides", ", ".join(others) + " s"),
        ("cost", f"{metrics.passes.total:.1f} full forward passes"),
        *files.items(),
    ]


def perceptual_rows(quality: PerceptualQuality, digits: int = 4) -> list[tuple[str, str]]:
    """Give the rows of the perceptual metrics.

    Args:
        quality: What was measured.
        digits: Decimals.

    Returns:
        A name and a text each; the text begins with a dash where the metric was not computed.
    """
    done = "".join(f", {conversion}" for conversion in quality.perceptual_conversions)
    values = [
        ("LPIPS", quality.lpips, quality.lpips_reason),
        ("FLIP", quality.flip, quality.flip_reason),
    ]
    return [
        (name, f"- ({reason})" if value is None else f"{value:.{digits}f} (0 is equal{done})")
        for name, value, reason in values
    ]


def _dimmed(pixels: Pixels) -> NDArray[np.uint8]:
    """Give the picture in dark grey, three channels."""
    colours = pixels[..., :3] if pixels.shape[2] >= 3 else pixels[..., :1]
    grey = colours.astype(np.float32).mean(axis=2) / np.iinfo(pixels.dtype).max
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
        draw.text((x, 2), label, fill=SLOT_COLOURS[slot])
        x += draw.textlength(label)
    return np.asarray(image)
