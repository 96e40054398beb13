"""The schema of metrics.json, version 1.0.

Readers ignore keys they do not know; a key that is removed or changes its type raises the major
version. A figure that was not computed is null with a reason beside it, never 0.
"""

import math
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class PerceptualQuality(_Part):
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


class Quality(_Part):
    """How close a reconstruction is; each modality adds its own measures."""

    quality_reason: str | None = Field(None, description="why no measure has a value")

    def figure(self, name: str) -> float | None:
        """Give a measure by its key; None where it has no value.

        Args:
            name: Of a key that ends a run, such as ``psnr_db``.

        Returns:
            The figure; infinity where ``<name>_infinite`` says so.
        """
        if getattr(self, f"{name.removesuffix('_db')}_infinite", False):
            return math.inf
        value: float | None = getattr(self, name)
        return value


class ImageQuality(PerceptualQuality, Quality):
    """How close a picture's reconstruction is; conventions in `metrics.image`."""

    mse: float | None = Field(None, ge=0, description="mean squared error for values in [0, 1]")
    psnr_db: float | None = Field(None, description="10 log10(1/mse); null where it is infinite")
    psnr_infinite: bool = Field(False, description="whether the reconstruction is exact")
    ssim: float | None = Field(None, description="scikit-image, 7x7 uniform window, data range 1")
    ssim_reason: str | None = Field(None, description="why ssim is null")


class InputRecord(_Part):
    """What was fitted."""

    source: str = Field(description="absolute path, or sample:NAME")
    sha256: str = Field(description="of the decoded content, before anything is done to it")
    conversions: list[str] = Field(description="what was done to the file's content")


class ImageInput(InputRecord):
    """A picture that was fitted."""

    kind: Literal["image"] = "image"
    shape: list[int] = Field(description="size of the grid that was fitted: height, width")
    channels: int
    bits_per_channel: int


class FieldRecord(_Part):
    """The network."""

    name: str
    parameters: int = Field(description="trainable numbers")
    bytes: int = Field(description="what it takes to keep the network, fixed numbers included")
    bits_per_pixel: float | None = Field(None, description="those bytes in bits, per pixel")


class PassCount(_Part):
    """Network passes by kind, in passes over all coordinates; see `sweep.Passes`."""

    forward: float
    backward: float
    vjp: float
    jvp: float
    total: float = Field(description="in units of one full forward")


class MemoryRecord(_Part):
    """Most memory in use at any time, in bytes."""

    peak_rss_bytes: int | None
    peak_cuda_bytes: int | None


class Environment(_Part):
    """What the run ran on."""

    nint: str
    python: str
    torch: str
    numpy: str
    platform: str
    device: str
    device_name: str
    threads: int


class RunMetrics(Quality):
    """metrics.json: the outcome of a run; times in seconds.

    Each modality has its own, with its measures and what it says of the input.

    `train_s` is what budgets and comparisons use: the sampler (`sampler_s`) and the forward,
    backward and optimiser (`update_s`), without loading, evaluation or saving.
    """

    schema_version: Literal["1.0"] = "1.0"
    nint_version: str
    status: Literal["complete", "interrupted", "diverged", "failed"]
    stop_reason: Literal["steps", "time_budget", "target", "signal", "diverged", "error"]
    error: str | None = Field(None, description="why the run failed")
    exit_code: int
    target_reached: bool | None = Field(None, description="null where no target was set")
    best_step: int | None = Field(
        None, description="the step of the best evaluation, whose figure is best_psnr_db, ..."
    )
    steps: int = Field(description="optimiser steps done")
    seed: int
    train_s: float
    load_s: float
    sampler_s: float
    update_s: float
    evaluation_s: float
    save_s: float
    total_s: float
    field: FieldRecord
    passes: PassCount
    memory: MemoryRecord
    environment: Environment
    series: str = Field(description="the log, relative to this file; one JSON row per evaluation")
    config_sha256: str
    config: dict[str, Any]
    origins: dict[str, str] = Field(description="where each setting comes from")


class ImageMetrics(RunMetrics, ImageQuality):
    """metrics.json of a picture."""

    input: ImageInput
    best_psnr_db: float | None = Field(None, description="highest finite PSNR of any evaluation")


AnyMetrics = ImageMetrics
DOCUMENT: TypeAdapter[AnyMetrics] = TypeAdapter(AnyMetrics)
"""Reads a metrics.json of any modality."""
