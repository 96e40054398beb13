"""What metrics.json says of a picture."""

import math
from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from nint_cli.metrics.held_out import HeldOutQuality
from nint_cli.metrics.schema import InputRecord, Part, Quality, Row, RunMetrics
from nint_cli.metrics.text import shown


def range_shown(ends: Sequence[float] | None) -> str:
    """Say by which range values are judged, where it is not that of 8 or 16 bits.

    Args:
        ends: The lowest and the highest value; None where they are not known.

    Returns:
        A clause in brackets, or nothing.
    """
    if ends is None or tuple(ends) in {(0, 255), (0, 65535)}:
        return ""
    return f" (range {ends[0]:g} to {ends[1]:g})"


class PerceptualQuality(Part):
    """How different a reconstruction looks; conventions in `metrics.perceptual`."""

    lpips: float | None = Field(None, description="AlexNet, version 0.1, input 2v - 1; 0 is equal")
    lpips_reason: str | None = Field(None, description="why lpips is null")
    lpips_sha256: str | None = Field(None, description="of the file with the weights of lpips")
    flip: float | None = Field(
        None, ge=0, le=1, description="LDR-FLIP, mean, 67 pixels per degree; 0 is equal"
    )
    flip_reason: str | None = Field(None, description="why flip is null")
    perceptual_conversions: list[str] = Field(
        [], description="what was done to the values for lpips and flip, which know RGB only"
    )

    def perceptual_rows(self, *, fine: bool = False) -> list[Row]:
        """Return the rows of these metrics.

        Args:
            fine: Whether to give more digits.

        Returns:
            A row each.
        """
        done = "".join(f", {conversion}" for conversion in self.perceptual_conversions)
        values = [
            ("LPIPS", self.lpips, self.lpips_reason),
            ("FLIP", self.flip, self.flip_reason),
        ]
        digits = 4 + 2 * fine
        return [
            (name, f"- ({reason})" if value is None else f"{value:.{digits}f} (0 is equal{done})")
            for name, value, reason in values
        ]


class ImageQuality(PerceptualQuality, HeldOutQuality, Quality):
    """How close a picture's reconstruction is; conventions in `metrics.image`."""

    mse: float | None = Field(None, ge=0, description="mean squared error for values in [0, 1]")
    psnr_db: float | None = Field(None, description="10 log10(1/mse); null where it is infinite")
    psnr_range: list[float] | None = Field(
        None, description="the values of the picture that are 0 and 1 to mse, psnr_db and ssim"
    )
    psnr_infinite: bool = Field(False, description="whether the reconstruction is exact")
    ssim: float | None = Field(None, description="scikit-image, 7x7 uniform window, data range 1")
    ssim_reason: str | None = Field(None, description="why ssim is null")
    outside_psnr_db: float | None = Field(
        None, description="psnr_db outside the mask; null where it is infinite"
    )
    outside_psnr_infinite: bool = Field(False, description="whether it is exact there")
    outside_points: int | None = Field(None, description="pixels outside the mask")
    outside_reason: str | None = Field(None, description="why outside_psnr_db is null")

    def rows(self, *, fine: bool = False) -> list[Row]:
        """Return PSNR, SSIM and the perceptual metrics; see `Quality.rows`."""
        psnr = shown("psnr_db", self.figure("psnr_db"), fine=fine)
        psnr += range_shown(self.psnr_range)
        if self.outside_points is not None:
            psnr += " (inside the mask)"
        ssim = shown("ssim", self.ssim, fine=fine)
        if self.ssim is None:
            ssim = f"- ({self.ssim_reason})"
        return [
            ("PSNR", psnr),
            *self._outside_rows(fine=fine),
            *self.held_out_rows(fine=fine),
            ("SSIM", ssim),
            *self.perceptual_rows(fine=fine),
        ]

    def _outside_rows(self, *, fine: bool) -> list[Row]:
        if self.outside_points is None:
            return []
        value = math.inf if self.outside_psnr_infinite else self.outside_psnr_db
        of = f"{self.outside_points:,} pixels outside the mask"
        if value is None:
            return [("PSNR outside", f"- ({self.outside_reason}; {of})")]
        return [("PSNR outside", f"{shown('psnr_db', value, fine=fine)} ({of})")]


class ImageInput(InputRecord):
    """A picture that was fitted."""

    kind: Literal["image"] = "image"
    shape: list[int] = Field(description="size of the grid that was fitted: height, width")
    channels: int
    bits_per_channel: int
    alpha: int | None = Field(None, description="the channel that is alpha; null for none")
    range: list[float] | None = Field(
        None, description="the values that are fitted as 0 and 1; null by an earlier version"
    )
    mask_sha256: str | None = Field(
        None, description="hash of the mask, whatever file it is from; null for none"
    )
    mask_pixels: int | None = Field(None, description="pixels inside it")

    def extent(self) -> tuple[float | str, ...]:
        """Return height and width, and the mask if there is one; see `InputRecord.extent`."""
        return (*self.shape, *([] if self.mask_sha256 is None else [self.mask_sha256]))

    def describe(self) -> str:
        """Return the size in pixels; see `InputRecord.describe`."""
        height, width = self.shape
        masked = "" if self.mask_pixels is None else f", {self.mask_pixels:,} inside the mask"
        return f"{width}x{height} pixels{range_shown(self.range)}{masked}"


class ImageMetrics(RunMetrics, ImageQuality):
    """metrics.json of a picture."""

    input: ImageInput
    best_psnr_db: float | None = Field(None, description="highest finite PSNR of any evaluation")
