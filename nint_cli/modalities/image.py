"""Pictures: `nint fit image`."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
import torch

from nint_cli.config import RunConfig
from nint_cli.fields import Field
from nint_cli.metrics.image import SSIM_WINDOW, mean_squared_error, psnr_db, ssim
from nint_cli.modalities.base import Evaluation, Kept, Subject, nothing_kept
from nint_cli.perception import Perception, prepare
from nint_cli.pictures.image import selection_picture
from nint_cli.records import AnyRecord, ImageRecord
from nint_cli.results import (
    FieldRecord,
    ImageInput,
    ImageMetrics,
    ImageQuality,
    RunMetrics,
    finite,
)
from nint_cli.runfolder import identity
from nint_cli.samplers import Selection
from nint_cli.signals import GridSignal, Picture, Pixels, encode_picture, read_picture, to_pixels
from nint_cli.sweep import predict

RECONSTRUCTION = "reconstruction.png"
SELECTION = "selection.png"

# What a first layer of sines starts with, in radians per unit of coords: SIREN's 30 are 5 waves
# over the unit, whatever the picture. Found at 128 to 512 pixels; docs/performance.md.
_FIRST_PER_ROOT = 10.0

_TOO_SMALL = f"a side is shorter than the {SSIM_WINDOW}x{SSIM_WINDOW} window"


@dataclass(eq=False)
class ImageSubject(Subject):
    """A picture; see `Subject`.

    Attributes:
        source: A picture file, or ``sample:NAME``.
        picture: Its pixels.
        signal: The grid of them.
        perception: The perceptual metrics to compute.
        log_ssim: Whether evaluations have the SSIM.
        notes: Why there is no LPIPS where it was asked for.
    """

    source: str
    picture: Picture
    signal: GridSignal
    perception: Perception
    log_ssim: bool = False
    notes: tuple[str, ...] = ()

    kind: ClassVar[str] = "image"
    result: ClassVar[str] = RECONSTRUCTION
    headline: ClassVar[str] = "psnr_db"
    targets: ClassVar[tuple[str, ...]] = ("psnr_db",)
    metrics: ClassVar[type[RunMetrics]] = ImageMetrics
    smaller: ClassVar[str] = "a smaller picture, --set image.size=512"
    files: ClassVar[Mapping[str, str]] = {
        "reconstruction": RECONSTRUCTION,
        "selected coordinates": SELECTION,
    }

    @classmethod
    def read(
        cls,
        source: str,
        config: RunConfig,
        device: torch.device,
        like: AnyRecord | None = None,  # a picture's scale is that of its type
        kept: Kept = nothing_kept,
    ) -> Self:
        """Read a picture; see `Subject.read`."""
        perception = prepare(config.metrics)
        picture = read_picture(source, size=config.image.size, max_pixels=config.image.max_pixels)
        notes: tuple[str, ...] = ()
        if config.metrics.lpips_weights is not None and perception.lpips_reason is not None:
            notes = (f"no LPIPS: {perception.lpips_reason}",)
        signal = picture.signal(device)
        if config.recipe == "tuned":
            signal.bandwidth = first_frequency(max(signal.shape))
        return cls(source, picture, signal, perception, config.evaluation.ssim, notes)

    @property
    def sha256(self) -> str:
        """Hash of its pixels."""
        return self.picture.sha256

    @property
    def conversions(self) -> tuple[str, ...]:
        """What was done to the file's content."""
        return self.picture.conversions

    def mismatch(self, record: AnyRecord) -> str | None:
        """Compare sizes; see `Subject.mismatch`."""
        wanted = (*record.grid, record.channels)
        if self.picture.pixels.shape == wanted:
            return None
        return (
            f"'{self.source}' has height, width, channels {self.picture.pixels.shape} where the "
            f"run has {wanted}"
        )

    def describe(self) -> str:
        """Give the size in pixels."""
        height, width = self.signal.shape
        return f"{width}x{height} pixels"

    def record(self) -> ImageRecord:
        """Give source, hash, size and type; see `Subject.record`."""
        height, width, channels = self.picture.pixels.shape
        return ImageRecord(
            source=identity(self.source),
            sha256=self.sha256,
            shape=(height, width),
            channels=channels,
            dtype=str(self.picture.pixels.dtype),
        )

    def input_record(self) -> ImageInput:
        """Give size and depth; see `Subject.input_record`."""
        pixels = self.picture.pixels
        return ImageInput(
            source=identity(self.source),
            sha256=self.sha256,
            shape=list(pixels.shape[:2]),
            channels=pixels.shape[2],
            bits_per_channel=8 * pixels.dtype.itemsize,
            conversions=list(self.conversions),
        )

    def field_record(self, name: str, field: Field) -> FieldRecord:
        """Give the field's size, per pixel too; see `Subject.field_record`."""
        return FieldRecord(
            name=name,
            parameters=field.parameter_count(),
            bytes=field.byte_count(),
            bits_per_pixel=8 * field.byte_count() / len(self.signal),
        )

    def evaluate(self, field: Field) -> Evaluation:
        """Predict all pixels; see `Subject.evaluate`."""
        prediction = predict(field, self.signal)
        mse = mean_squared_error(prediction, self.signal.blocks(1 << 20))
        figures: dict[str, float | None] = {"psnr_db": psnr_db(mse), "mse": mse}
        evaluation = Evaluation(figures, prediction)
        if self.log_ssim:
            figures["ssim"] = self._ssim(evaluation)
        return evaluation

    def quality(self, field: Field, evaluation: Evaluation) -> ImageQuality:
        """Add SSIM and the perceptual metrics; see `Subject.quality`."""
        psnr, mse = evaluation.figures["psnr_db"], evaluation.figures["mse"]
        assert evaluation.prediction is not None
        similarity = self._ssim(evaluation)
        perceived = self.perception.measure(evaluation.prediction, self.picture)
        return ImageQuality(
            **perceived.model_dump(),
            mse=mse,
            psnr_db=finite(psnr),
            psnr_infinite=mse == 0,
            ssim=similarity,
            ssim_reason=None if similarity is not None else _TOO_SMALL,
        )

    def _ssim(self, evaluation: Evaluation) -> float | None:
        shape = self.picture.pixels.shape
        if min(shape[:2]) < SSIM_WINDOW:
            return None
        assert evaluation.prediction is not None
        target = self.picture.pixels / np.float32(self.picture.maximum)
        return ssim(evaluation.prediction.cpu().numpy().reshape(shape), target)

    def reconstruct(self, field: Field, evaluation: Evaluation) -> dict[str, bytes]:
        """Give the picture in the input's own channels and bits; see `Subject.reconstruct`."""
        assert evaluation.prediction is not None
        pixels = to_pixels(evaluation.prediction, self.signal.shape, self.picture.pixels.dtype)
        return {RECONSTRUCTION: encode_picture(pixels)}

    @classmethod
    def rebuild(cls, record: AnyRecord, config: RunConfig, field: Field) -> Pixels:
        """Give (H, W, C) pixels in the input's own type; see `Subject.rebuild`."""
        assert isinstance(record, ImageRecord)
        grid = GridSignal(torch.empty(record.population, 0), record.grid)
        return to_pixels(predict(field, grid), record.grid, np.dtype(record.dtype))

    def illustrate(
        self, selections: Mapping[str, Selection], steps: Mapping[str, int]
    ) -> dict[str, bytes]:
        """Draw the batches over the dimmed picture; see `Subject.illustrate`."""
        chosen = selection_picture(self.picture.pixels, selections, steps)
        return {SELECTION: encode_picture(chosen)}


def first_frequency(side: int) -> float:
    """Choose the largest angular frequency that a picture's field of sines should start with.

    Args:
        side: The picture's longest side in pixels.

    Returns:
        Radians per unit of coords in [-1, 1]: in proportion to the root of the side, and at most
        half of what the pixels can hold.

    Example:
        >>> first_frequency(256)
        160.0
    """
    return min(_FIRST_PER_ROOT * math.sqrt(side), math.pi * max(1, side - 1) / 4)
