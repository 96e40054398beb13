"""The schema of a run: every setting with its meaning, unit, range and built-in default.

The built-in defaults are the settings of the NINT paper (Zhang et al., 2026, arXiv 2511.15487).
"""

from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

SamplerName = Literal["full", "uniform", "int", "nint", "nint_released"]
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

    @field_validator("*", mode="before")
    @classmethod
    def _truth_is_no_number(cls, value: object, info: ValidationInfo) -> object:
        """Refuse true and false where pydantic would read 1 and 0."""
        field = cls.model_fields[info.field_name or ""]
        if isinstance(value, bool) and field.annotation is not bool:
            raise PydanticCustomError("bool", "Input should be no truth value")
        return value


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
    nint: NintConfig = NintConfig()


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
