"""The schema of a run: every setting with its meaning, unit, range and built-in default.

The built-in defaults are the settings of the NINT paper (Zhang et al., 2026, arXiv 2511.15487).
"""

from typing import Annotated, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

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
FieldName = Literal["siren"]
SAMPLER_NAMES: tuple[str, ...] = get_args(SamplerName)
FIELD_NAMES: tuple[str, ...] = get_args(FieldName)

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]


class Section(BaseModel):
    """A frozen group of settings that refuses unknown keys, infinities and NaN."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        validate_default=True,
        populate_by_name=False,
        serialize_by_alias=True,
    )


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


class OptimiserConfig(Section):
    """Adam, and the learning rate over the run."""

    lr: float = Field(1e-4, gt=0, le=10, description="learning rate after the warm-up")
    schedule: Literal["constant", "cosine"] = Field(
        "constant", description="learning rate after the warm-up: constant, or half a cosine wave"
    )
    warmup: float = Field(
        0.0, ge=0, lt=1, description="share of the steps in which the rate rises linearly"
    )
    final: Share = Field(0.0, description="rate at the end of a cosine schedule, as a share of lr")


class EvaluationConfig(Section):
    """How often the whole signal is evaluated; never part of the training time."""

    every: int | None = Field(
        None, ge=1, description="steps between evaluations; null: ten over the run"
    )


class StopConfig(Section):
    """When to stop before the last step."""

    time_budget_s: float | None = Field(
        None, gt=0, description="seconds of training time, earlier parts of a resumed run included"
    )
    target_psnr_db: float | None = Field(
        None, description="PSNR in dB at which an evaluation ends the run"
    )


class CheckpointConfig(Section):
    """How often the state of the run is saved; the newest two checkpoints are kept."""

    every: int | None = Field(
        500, ge=1, description="steps between checkpoints; null: only at the end"
    )


class ImageConfig(Section):
    """How a picture is read."""

    size: int | None = Field(
        None,
        ge=1,
        le=1_000_000,
        description="longest side in pixels after shrinking; null: as it is in the file",
    )
    max_pixels: int = Field(
        100_000_000,
        ge=1,
        description="a picture with more pixels is refused before it is decoded",
    )


class SirenConfig(Section):
    """SIREN (Sitzmann et al., 2020, arXiv 2006.09661)."""

    hidden_features: int = Field(256, ge=1, le=16_384, description="width of the sine layers")
    hidden_layers: int = Field(5, ge=1, le=64, description="number of sine layers")
    omega_0: float = Field(30.0, gt=0, le=1e6, description="frequency factor of every sine layer")


class EgraConfig(Section):
    """EGRA's edges and their weight (Gai et al., 2023)."""

    p: float = Field(
        0.0025, ge=0, lt=1, description="weight of points beside edges, against all others"
    )
    density: float = Field(
        4096 / 640_000, gt=0, le=1, description="uniform density that p is weighed against"
    )
    radius_min: int = Field(
        6, ge=0, le=100_000, description="least distance from an edge, in points"
    )
    radius_max: int = Field(
        9, ge=0, le=100_000, description="largest distance from an edge, in points"
    )
    low: float = Field(
        30.0, ge=0, le=2040, description="lower threshold of Canny's edges, in levels of 255"
    )
    high: float = Field(
        40.0, ge=0, le=2040, description="upper threshold of Canny's edges, in levels of 255"
    )


class ExpansiveConfig(Section):
    """Expansive Supervision (arXiv 2409.08056)."""

    anchor_share: Share = Field(
        0.5,
        description="share of the first batch that is the same edges at every step",
    )
    loss: Literal["plain", "expanded"] = Field(
        "plain", description="mean squared error, or with the paper's factor on all but anchors"
    )
    released: bool = Field(
        False, description="search edges and fill batches as the released code does"
    )


class SoftMiningConfig(Section):
    """Soft Mining's particles and its loss (arXiv 2312.00075)."""

    alpha: Share = Field(0.6, description="power of the error that the loss is divided by")
    warmup: int = Field(
        1000, ge=1, le=1_000_000_000, description="steps in which that power would reach 1"
    )
    step_size: float = Field(20.0, ge=0, le=1e6, description="drift of a particle along log error")
    noise: float = Field(
        0.02, ge=0, le=1, description="noise of a particle per step, in sizes of the signal"
    )
    uniform_share: Share = Field(0.1, description="share of particles restarted uniformly")
    restart_share: Share = Field(
        0.1, description="share of particles, those with the least loss, restarted at edges"
    )
    released: bool = Field(
        False, description="index, scale and pad as the released port to pictures does"
    )


class IntConfig(Section):
    """INT's refresh intervals (arXiv 2405.10531)."""

    interval: Literal["dense", "dense2", "incremental", "reverse_incremental", "decremental"] = (
        Field("dense", description="which steps choose points anew; the others keep them")
    )
    every: int = Field(2, ge=1, le=100_000, description="steps between refreshes under dense2")


class EvosConfig(Section):
    """EVOS' evolution (arXiv 2412.10153)."""

    alpha: Share = Field(0.5, description="share of the first batch that is drawn at random")
    alpha_end: Share = Field(0.5, description="that share at the end, unless it is constant")
    mutation: Literal["constant", "linear", "geometric"] = Field(
        "constant", description="how that share goes from alpha to alpha_end"
    )
    crossover: Literal["select", "add", "none"] = Field(
        "select", description="how errors of values and of the Laplacian are joined in a ranking"
    )
    crossover_weight: float = Field(
        1e-5 * 255**2 / 4, ge=0, le=1e6, description="weight of the Laplacian in the ranking"
    )
    supervision_weight: float = Field(
        1e-5 * 255**2 / 4,
        ge=0,
        le=1e6,
        description="weight of the Laplacian in the loss; 0 leaves it out",
    )
    supervised: Share = Field(
        0.3, description="share of the steps with the Laplacian in the loss; later, fitness steps"
    )
    first_interval: int = Field(
        100, ge=2, le=1_000_000, description="steps between fitness evaluations at the start"
    )
    last_interval: int = Field(
        50, ge=2, le=1_000_000, description="steps between fitness evaluations at the end"
    )


class NintConfig(Section):
    """NINT's mixture (arXiv 2511.15487); also read by nint_released."""

    xi: Share = Field(0.7, description="share of a batch that is drawn uniformly")
    alpha: int = Field(
        10,
        ge=1,
        le=100_000,
        description="steps between NTK scorings, and time constant of the NTK share",
    )
    lambda_: float = Field(
        1.0, ge=0, le=1e6, alias="lambda", description="decay of the NTK share per alpha steps"
    )
    share_law: Literal["exponential", "stepwise"] = Field(
        "exponential", description="NTK share over time: the paper's, or the released code's"
    )
    min_share: Share = Field(
        1e-3, description="below this NTK share no scoring pass runs and the slot is empty"
    )
    residual_every: int = Field(
        1, ge=1, le=100_000, description="steps between sweeps that refresh the residual slot"
    )
    start: float = Field(
        0.0, ge=0, lt=1, description="share of the steps before guidance; until then uniform"
    )
    score: Literal["product", "self_leverage", "residual", "last_layer", "sketch"] = Field(
        "product",
        description="what the NTK slot ranks by: the product with the residual, or of the kernel "
        "only its diagonal, nothing, its last layer, or random projections",
    )
    score_norm: Literal["l2", "l1"] = Field("l2", description="norm of that over the channels")
    sketches: int = Field(4, ge=1, le=4096, description="random projections of score sketch")
    interval: Literal["dense", "dense2", "incremental", "reverse_incremental", "decremental"] = (
        Field("dense", description="which steps choose points anew; the others keep them")
    )
    every: int = Field(5, ge=1, le=100_000, description="steps between refreshes under dense2")


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
    sampler: SamplerName = Field("nint", description="how training coordinates are chosen")
    batch: BatchConfig = BatchConfig()
    optimiser: OptimiserConfig = OptimiserConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    checkpoint: CheckpointConfig = CheckpointConfig()
    stop: StopConfig = StopConfig()
    image: ImageConfig = ImageConfig()
    siren: SirenConfig = SirenConfig()
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
