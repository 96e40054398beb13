"""The schema of a run: every setting with its meaning, unit, range and built-in default.

The built-in defaults are the settings of the NINT paper (Zhang et al., 2026, arXiv 2511.15487).
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Self, get_args

from pydantic import BaseModel, Field, field_validator, model_validator

from nint_cli.config.engine_settings import EngineConfig
from nint_cli.config.field_settings import (
    FfnConfig,
    FinerConfig,
    GaussConfig,
    HashgridConfig,
    MlpConfig,
    PemlpConfig,
    SirenConfig,
    WireConfig,
)
from nint_cli.config.modality_settings import AudioConfig, ImageConfig, SdfConfig
from nint_cli.config.sampler_settings import (
    EgraConfig,
    EvosConfig,
    ExpansiveConfig,
    IntConfig,
    NintConfig,
    SoftMiningConfig,
)
from nint_cli.config.section import Section, Share

_PICTURE_AXES = 2

ModalityName = Literal["image", "audio", "sdf"]
SamplerName = Literal[
    "full",
    "uniform",
    "egra",
    "expansive",
    "soft_mining",
    "int",
    "evos",
    "nint",
    "nint_released",
]
FieldName = Literal["mlp", "pemlp", "ffn", "siren", "finer", "gauss", "wire", "hashgrid"]
RecipeName = Literal["published", "tuned"]
MODALITY_NAMES: tuple[str, ...] = get_args(ModalityName)
SAMPLER_NAMES: tuple[str, ...] = get_args(SamplerName)
FIELD_NAMES: tuple[str, ...] = get_args(FieldName)


class BatchConfig(Section):
    """How many coordinates a step trains on."""

    fraction: float = Field(0.2, gt=0, le=1, description="share of all coordinates per step")
    schedule: Literal["constant", "linear", "step", "cosine"] = Field(
        "constant", description="how the fraction grows towards 1 over the run"
    )
    size: int | None = Field(
        None,
        ge=1,
        description="coordinates per step, whatever the size of the signal; replaces the "
        "fraction, and setting one later than the other undoes the other",
    )
    least_steps: int | None = Field(
        None,
        ge=1,
        le=1_000_000,
        description="steps that a run with a time budget is to come to: batches become smaller "
        "for that, down to an eighth of the size and no further than 512, and the learning rate "
        "by the fourth root of it; null: never. Setting the size or the fraction later undoes it; "
        "full, soft_mining and expansive go without",
    )
    full_steps: int | None = Field(
        None,
        ge=1,
        le=1_000_000_000,
        description="steps of full batches that make a whole run: with time for a share of them "
        "only, batches and steps each become fewer by the root of it, in the bounds of "
        "least_steps; null: nothing beyond least_steps",
    )
    reshuffle: bool = Field(
        False,
        description="whether the random points of uniform and nint come once each, in random "
        "order, before any comes again; otherwise every step draws afresh",
    )


class OptimiserConfig(Section):
    """Adam, and the learning rate over the run."""

    lr: float = Field(1e-4, gt=0, le=10, description="learning rate after the warm-up")
    lr_side: int | None = Field(
        None,
        ge=1,
        description="longest side of a picture, in pixels, up to which lr holds; on larger ones "
        "the rate falls with the root of the side; null: lr at any size; setting lr undoes it",
    )
    schedule: Literal["constant", "cosine"] = Field(
        "constant", description="learning rate after the warm-up: constant, or half a cosine wave"
    )
    warmup: float = Field(
        0.0, ge=0, lt=1, description="share of the steps in which the rate rises linearly"
    )
    beta1: float = Field(0.9, ge=0, lt=1, description="decay per step of Adam's mean of gradients")
    beta2: float = Field(
        0.999, ge=0, lt=1, description="decay per step of Adam's mean of squared gradients"
    )
    beta2_end: float | None = Field(
        None,
        ge=0,
        lt=1,
        description="beta2 where the rate has fallen to 0; the memory, 1/(1 - beta2), shrinks "
        "with the rate after the warm-up; null: beta2 stays",
    )
    final: Share = Field(0.0, description="rate at the end of a cosine schedule, as a share of lr")
    average: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="share of the steps so far over whose parameters the field is averaged when "
        "it is measured and kept, times lr's part of its highest; 0: the last parameters",
    )
    guard: bool = Field(
        True,
        description="whether a fit that diverges goes back to its last good state, and on with "
        "half the rate, ten times at most; otherwise it ends",
    )

    def peak_rate(self, shape: Sequence[int]) -> float:
        """Give the learning rate after the warm-up, which is lower on large pictures.

        Args:
            shape: Points of the signal along each axis.

        Returns:
            lr, on a picture of S > lr_side pixels along its longest side times
            (lr_side / S)^(1/2).
        """
        if self.lr_side is None or len(shape) != _PICTURE_AXES:
            return self.lr
        return self.lr * math.sqrt(min(1.0, self.lr_side / max(shape)))


class EvaluationConfig(Section):
    """How often the signal is evaluated, and how much of it; never part of the training time."""

    every: int | None = Field(
        None, ge=1, description="steps between evaluations; null: `count` of them over the run"
    )
    count: int = Field(
        10, ge=1, description="evaluations over the run, where `every` does not say otherwise"
    )
    points: int | None = Field(
        1 << 20,
        ge=1,
        description="pixels, evenly spread, at which a larger picture is evaluated while its run "
        "goes on; at the end it is at all of them; null: always at all",
    )
    ssim: bool = Field(False, description="whether the log has the SSIM of every evaluation too")
    selections: bool = Field(
        False,
        description="whether every evaluation keeps what its step was trained on, in the folder "
        "selections",
    )


class MetricsConfig(Section):
    """Measures of quality that need more than nint itself; they never change a fit."""

    lpips_weights: str | None = Field(
        None,
        min_length=1,
        description="safetensors file of LPIPS's weights, see the README; null: no LPIPS",
    )
    lpips_sha256: str | None = Field(
        None,
        pattern=r"^[0-9a-fA-F]{64}$",
        description="what the SHA-256 of that file must be; null: it is recorded only",
    )
    flip: bool = Field(True, description="whether to compute FLIP, if its package is installed")
    max_pixels: int = Field(
        1 << 25,
        ge=1,
        description="a picture with more pixels gets no LPIPS and no FLIP, which would take about "
        "170 bytes of memory for each",
    )

    @field_validator("lpips_weights")
    @classmethod
    def _keep_absolute(cls, path: str | None) -> str | None:
        """Let a path mean the same file wherever the run is resumed or measured again."""
        return None if path is None else str(Path(path).absolute())


PATH_KEYS = frozenset({"metrics.lpips_weights"})
"""Settings that name files; in a YAML file they are relative to its folder."""


class StopConfig(Section):
    """When to stop before the last step."""

    time_budget_s: float | None = Field(
        None,
        gt=0,
        description="seconds of training time, earlier parts of a resumed run included; schedules "
        "end with it",
    )
    at_steps: bool | None = Field(
        None,
        description="whether a run with a time budget ends after its steps, too; null: if their "
        "number was given, and not only the recipe's",
    )
    target_psnr_db: float | None = Field(
        None, description="PSNR in dB at which an evaluation of a picture or a sound ends the run"
    )
    target_si_snr_db: float | None = Field(
        None, description="SI-SNR in dB at which an evaluation of a sound ends the run"
    )
    target_iou: float | None = Field(
        None, gt=0, le=1, description="IoU at which an evaluation of a shape ends the run"
    )

    def targets(self) -> dict[str, float]:
        """Give the targets that are set, by the key of their figure, such as ``psnr_db``."""
        return {
            key.removeprefix("target_"): value
            for key, value in self.model_dump().items()
            if key.startswith("target_") and value is not None
        }


class CheckpointConfig(Section):
    """How often the state of the run is saved, and how many of these checkpoints are kept."""

    every: int | None = Field(
        500, ge=1, description="steps between checkpoints; null: only at the end"
    )
    keep: int | None = Field(
        2, ge=1, description="how many of them are kept, the newest; null: all"
    )


class RunConfig(Section):
    """Everything that determines a fit, besides its input."""

    seed: int = Field(0, ge=0, lt=2**63, description="seed of all randomness")
    device: str = Field(
        "auto",
        pattern=r"^(auto|cpu|cuda(:\d{1,3})?)$",
        description="auto, cpu, cuda or cuda:N; auto takes CUDA where it works",
    )
    steps: int = Field(5000, ge=1, le=1_000_000_000, description="optimiser steps")
    field: FieldName = Field("siren", description="the coordinate network")
    recipe: RecipeName = Field(
        "published",
        description="where settings come from that nobody gives: the field's authors, or what was "
        "tuned here for small batches, a warm-up and a cosine schedule",
    )
    sampler: SamplerName = Field("nint", description="how training coordinates are chosen")
    batch: BatchConfig = BatchConfig()
    optimiser: OptimiserConfig = OptimiserConfig()
    engine: EngineConfig = EngineConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    metrics: MetricsConfig = MetricsConfig()
    checkpoint: CheckpointConfig = CheckpointConfig()
    stop: StopConfig = StopConfig()
    image: ImageConfig = ImageConfig()
    audio: AudioConfig = AudioConfig()
    sdf: SdfConfig = SdfConfig()
    mlp: MlpConfig = MlpConfig()
    pemlp: PemlpConfig = PemlpConfig()
    ffn: FfnConfig = FfnConfig()
    siren: SirenConfig = SirenConfig()
    finer: FinerConfig = FinerConfig()
    gauss: GaussConfig = GaussConfig()
    wire: WireConfig = WireConfig()
    hashgrid: HashgridConfig = HashgridConfig()
    egra: EgraConfig = EgraConfig()
    expansive: ExpansiveConfig = ExpansiveConfig()
    soft_mining: SoftMiningConfig = SoftMiningConfig()
    # Its key is `int`; a field of that name would hide the type.
    int_: IntConfig = Field(IntConfig(), alias="int")
    evos: EvosConfig = EvosConfig()
    nint: NintConfig = NintConfig()

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        if self.sampler == "soft_mining" and self.batch.size is None:
            if self.batch.schedule != "constant":
                raise ValueError(
                    "sampler soft_mining has a fixed number of particles and batch.schedule "
                    f"{self.batch.schedule} a growing one; set batch.schedule to constant"
                )
        if self.sdf.fine_share + self.sdf.coarse_share > 1:
            raise ValueError(
                f"sdf.fine_share {self.sdf.fine_share:g} and sdf.coarse_share "
                f"{self.sdf.coarse_share:g} are together more than 1; lower one of them"
            )
        if self.hashgrid.finest is not None and self.hashgrid.finest < self.hashgrid.coarsest:
            raise ValueError(
                f"hashgrid.coarsest {self.hashgrid.coarsest} is above hashgrid.finest "
                f"{self.hashgrid.finest}; lower it"
            )
        if self.egra.radius_min > self.egra.radius_max:
            raise ValueError(
                f"egra.radius_min {self.egra.radius_min} is above egra.radius_max "
                f"{self.egra.radius_max}; exchange them"
            )
        if self.egra.low > self.egra.high:
            raise ValueError(
                f"egra.low {self.egra.low:g} is above egra.high {self.egra.high:g}; exchange them"
            )
        return self


def dotted_keys(model: type[BaseModel] = RunConfig, prefix: str = "") -> dict[str, str]:
    """List every setting.

    Args:
        model: A section of the schema.
        prefix: Dotted path of that section, ending in a dot.

    Returns:
        The description of each leaf key by its dotted name, in the order of the schema.
    """
    found: dict[str, str] = {}
    for name, field in model.model_fields.items():
        key = prefix + (field.alias or name)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            found |= dotted_keys(field.annotation, key + ".")
        else:
            found[key] = field.description or ""
    return found
