"""The schema of metrics.json, version 1.0.

Readers ignore keys they do not know; a key that is removed or changes its type raises the major
version. A figure that was not computed is null with a reason beside it, never 0.
"""

import math
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, TypeAdapter


def finite(figure: float | None) -> float | None:
    """Give a figure as JSON can write it, None where it is infinite."""
    return figure if figure is not None and math.isfinite(figure) else None


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


class AudioQuality(Quality):
    """How close a sound's reconstruction is; conventions in `metrics.audio`."""

    mse: float | None = Field(
        None, ge=0, description="mean squared error of both, clipped to [-1, 1]"
    )
    psnr_db: float | None = Field(None, description="10 log10(4/mse); null where it is infinite")
    psnr_infinite: bool = Field(False, description="whether the reconstruction is exact")
    snr_db: float | None = Field(None, description="power of the sound over power of the error")
    snr_infinite: bool = Field(False, description="whether the reconstruction is exact")
    snr_reason: str | None = Field(None, description="why snr_db is null")
    si_snr_db: float | None = Field(None, description="the same for the best scale, without means")
    si_snr_infinite: bool = Field(
        False, description="whether the reconstruction is exact up to scale and mean"
    )
    si_snr_reason: str | None = Field(None, description="why si_snr_db is null")
    lsd_db: float | None = Field(None, ge=0, description="log-spectral distance; 0 is equal")
    lsd_reason: str | None = Field(None, description="why lsd_db is null")
    stoi: float | None = Field(None, description="short-time objective intelligibility, up to 1")
    stoi_reason: str | None = Field(None, description="why stoi is null")
    pesq: float | None = Field(None, description="MOS-LQO; wideband at 16 kHz, narrowband at 8")
    pesq_reason: str | None = Field(None, description="why pesq is null")
    clipped_samples: int | None = Field(
        None, description="numbers beyond full scale, cut when reconstruction.wav was written"
    )


class SdfQuality(Quality):
    """How close a shape's reconstruction is; conventions in `metrics.shape`.

    Lengths are in units of the box [-1, 1]^3 in which the shape is fitted, so the longest side of
    the shape has 1.8 of them.
    """

    iou: float | None = Field(None, ge=0, le=1, description="intersection over union of insides")
    iou_resolution: int | None = Field(None, description="cells along each edge for iou")
    iou_reason: str | None = Field(None, description="why iou is null")
    sdf_error: float | None = Field(
        None, ge=0, description="mean absolute error of the distance near the surface"
    )
    sdf_error_reason: str | None = Field(None, description="why sdf_error is null")
    chamfer_l1: float | None = Field(
        None, ge=0, description="mean distance between the surfaces, average of both directions"
    )
    chamfer_squared: float | None = Field(
        None, ge=0, description="mean squared distance between them, sum of both directions"
    )
    f_score: float | None = Field(
        None, ge=0, le=1, description="F-score for a distance of 1 % of the box's edge"
    )
    normal_consistency: float | None = Field(
        None, ge=0, le=1, description="mean absolute cosine between the normals of nearest points"
    )
    surface_reason: str | None = Field(
        None, description="why chamfer, f_score and normal_consistency are null"
    )


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


class AudioInput(InputRecord):
    """A sound that was fitted."""

    kind: Literal["audio"] = "audio"
    samples: int = Field(description="samples per channel that were fitted")
    channels: int
    sample_rate_hz: int
    subtype: str = Field(description="encoding in the file, by libsndfile's name")
    start_s: float = Field(description="where the cut begins in the file")
    duration_s: float


class SdfInput(InputRecord):
    """A shape that was fitted."""

    kind: Literal["sdf"] = "sdf"
    vertices: int
    faces: int
    watertight: bool
    holes: int = Field(description="boundary loops")
    points: int = Field(description="points of the pool that was trained on")
    pool_sha256: str = Field(description="of the pool's content")
    pool_seed: int = Field(description="seed of its draw")
    centre: list[float] = Field(description="centre of the box, in the input's units")
    scale: float = Field(description="half the edge of the box, in the input's units")


class FieldRecord(_Part):
    """The network."""

    name: str
    parameters: int = Field(description="trainable numbers")
    bytes: int = Field(description="what it takes to keep the network, fixed numbers included")
    bits_per_pixel: float | None = Field(
        None, description="those bytes in bits, per pixel of a picture"
    )
    bits_per_sample: float | None = Field(
        None, description="those bytes in bits, per number of a sound, all channels counted"
    )


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
    products: str | None
    step_block: int | None = Field(None, description="coordinates at once in a step")
    sweep_block: int | None = Field(None, description="coordinates at once in a sweep")


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
    rescues: int = Field(
        0, description="how often the fit diverged and went on with half the learning rate"
    )
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


class AudioMetrics(RunMetrics, AudioQuality):
    """metrics.json of a sound."""

    input: AudioInput
    best_si_snr_db: float | None = Field(
        None, description="highest finite SI-SNR of any evaluation"
    )


class SdfMetrics(RunMetrics, SdfQuality):
    """metrics.json of a shape."""

    input: SdfInput
    best_iou: float | None = Field(
        None, description="highest IoU of any evaluation, at sdf.watch_resolution"
    )


def _kind(document: object) -> str | None:
    """Find the modality of a metrics.json, before it is read."""
    if isinstance(document, RunMetrics):
        document = document.model_dump(include={"input": {"kind"}})
    found = document.get("input") if isinstance(document, dict) else None
    return found.get("kind") if isinstance(found, dict) else getattr(found, "kind", None)


AnyMetrics = Annotated[
    Annotated[ImageMetrics, Tag("image")]
    | Annotated[AudioMetrics, Tag("audio")]
    | Annotated[SdfMetrics, Tag("sdf")],
    Discriminator(_kind),
]
DOCUMENT: TypeAdapter[ImageMetrics | AudioMetrics | SdfMetrics] = TypeAdapter(AnyMetrics)
"""Reads a metrics.json of any modality."""
