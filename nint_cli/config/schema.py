"""The schema of a run: every setting with its meaning, unit, range and built-in default.

The built-in defaults are the settings of the NINT paper (Zhang et al., 2026, arXiv 2511.15487).
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import BaseModel, Field, create_model, model_validator

from nint_cli.device.settings import EngineSettings
from nint_cli.fields.table import FIELDS, field_class
from nint_cli.modalities.modality import in_decibels
from nint_cli.modalities.settings import EvaluationSettings, MetricsSettings
from nint_cli.modalities.table import MODALITIES, all_targets
from nint_cli.samplers.table import SAMPLERS, sampler_class, section_of
from nint_cli.schedules.batch_size import BatchSettings
from nint_cli.settings import Circumstances, Section
from nint_cli.training.optimiser import OptimiserSettings

RecipeName = Literal["published", "tuned"]
SAMPLER_NAMES = tuple(SAMPLERS)
FIELD_NAMES = tuple(FIELDS)
if TYPE_CHECKING:
    SamplerName = str
    FieldName = str
else:  # the tables know the names, and pydantic names them all where one is misspelt
    SamplerName = Literal[SAMPLER_NAMES]
    FieldName = Literal[FIELD_NAMES]


PATH_KEYS = frozenset({"metrics.lpips_weights", "image.mask"})
"""Settings that name files; in a YAML file they are relative to its folder."""


class StopSettings(Section):
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

    def unused(self, around: Circumstances) -> Mapping[str, str]:
        """Return what asks for a budget that there is none of; see `Section.unused`."""
        if around.timed:
            return {}
        return {"at_steps": "the run has no time budget, so that steps end it; give --time-budget"}

    def targets(self) -> dict[str, float]:
        """Return the targets that are set, by the key of their figure, such as ``psnr_db``."""
        return {
            key.removeprefix("target_"): value
            for key, value in self.model_dump().items()
            if key.startswith("target_") and value is not None
        }


def _targets() -> dict[str, Any]:
    """Return a setting for each figure that can end a run, of whatever modality."""
    found: dict[str, Any] = {}
    for key, target in all_targets().items():
        nouns = [each.noun for each in MODALITIES.values() if key in each.targets]
        unit = " in dB" * in_decibels(key)
        about = (
            f"{target.label}{unit} at which an evaluation of "
            f"{' or '.join(f'a {noun}' for noun in nouns)} ends the run"
        )
        field = Field(None, gt=target.gt, le=target.le, description=about)
        found[f"target_{key}"] = (float | None, field)
    return found


if TYPE_CHECKING:

    class StopConfig(StopSettings):
        """When to stop before the last step."""

else:
    StopConfig = create_model(
        "StopConfig",
        __base__=StopSettings,
        __module__=__name__,
        __doc__=StopSettings.__doc__,
        **_targets(),
    )


class CheckpointConfig(Section):
    """How often the state of the run is saved, and how many of these checkpoints are kept."""

    every: int | None = Field(
        500, ge=1, description="steps between checkpoints; null: only at the end"
    )
    keep: int | None = Field(
        2, ge=1, description="how many of them are kept, the newest; null: all"
    )

    def unused(self, around: Circumstances) -> Mapping[str, str]:
        """Return what counts checkpoints where there is but one; see `Section.unused`."""
        if self.every is not None:
            return {}
        return {"keep": "checkpoint.every is null, so that the end alone is saved; set it"}


class RunSettings(Section):
    """What every run has; `RunConfig` adds a section for each modality, field and sampler."""

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
    holdout: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="share of a picture's or a sound's points that is kept out of training, at "
        "random by the seed, and whose PSNR tells how well the field interpolates; 0: all train",
    )
    batch: BatchSettings = BatchSettings()
    optimiser: OptimiserSettings = OptimiserSettings()
    engine: EngineSettings = EngineSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    metrics: MetricsSettings = MetricsSettings()
    checkpoint: CheckpointConfig = CheckpointConfig()
    stop: StopConfig = StopConfig()

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        constant = sampler_class(self.sampler).constant_batch
        if constant and self.batch.size is None and self.batch.schedule != "constant":
            raise ValueError(
                f"every batch of sampler {self.sampler} has as many points, and batch.schedule "
                f"{self.batch.schedule} lets them grow; set batch.schedule to constant"
            )
        return self

    def section(self, name: str) -> Section:
        """Return the section of a field, a sampler or a modality by its name in a file."""
        found: Section = getattr(
            self, f"{name}_" if f"{name}_" in type(self).model_fields else name
        )
        return found

    @property
    def field_settings(self) -> Section:
        """The section of the field in use."""
        return self.section(self.field)

    @property
    def sampler_settings(self) -> Section:
        """The section of the sampler in use; an empty one if it has no settings."""
        name = section_of(self.sampler)
        return Section() if name is None else self.section(name)


def _sections() -> dict[str, type[Section]]:
    """Return the settings of every modality, and of every field and sampler that has any."""
    found: dict[str, type[Section]] = {}
    for name, modality in MODALITIES.items():
        found[name] = modality.settings()
    for name in FIELDS:
        found[name] = field_class(name).Settings
    for name in SAMPLERS:
        if section_of(name) == name:
            found[name] = sampler_class(name).Settings
    return found


if TYPE_CHECKING:

    class RunConfig(RunSettings):
        """Everything that determines a fit, besides its input."""

else:  # a name such as `int` would hide the type, so that fields have names of their own
    RunConfig = create_model(
        "RunConfig",
        __base__=RunSettings,
        __module__=__name__,
        __doc__="Everything that determines a fit, besides its input.",
        **{f"{name}_": (kind, Field(kind(), alias=name)) for name, kind in _sections().items()},
    )


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
