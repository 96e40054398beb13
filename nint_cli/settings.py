"""What every group of settings is; the groups stand beside the classes that read them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

Share = Annotated[float, Field(ge=0, le=1)]


@dataclass(frozen=True, kw_only=True)
class Circumstances:
    """What the rest of a configuration says, as far as it can leave a setting without effect.

    Attributes:
        modality: What is fitted, such as ``image``.
        on_grid: Whether its points are those of a grid.
        device: ``cpu`` or ``cuda``.
        field: Name of the field.
        by_hand: Whether the field's derivatives are written by hand.
        sampler: Name of the sampler.
        shrinks: Whether the sampler's batches may be made smaller where a run has little time.
        reshuffles: Whether the sampler has random points that can come by epochs.
        whole: Whether every batch holds all points.
        timed: Whether the run has a budget of time.
    """

    modality: str
    on_grid: bool
    device: str
    field: str
    by_hand: bool
    sampler: str
    shrinks: bool
    reshuffles: bool
    whole: bool
    timed: bool


WHOLE = "every batch has all points; lower batch.fraction"
"""Why what chooses points has no effect where there is nothing to choose."""


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
        if isinstance(value, bool) and bool not in (field.annotation, *get_args(field.annotation)):
            raise PydanticCustomError("bool", "Input should be no truth value")
        return value

    def unused(self, around: Circumstances) -> Mapping[str, str]:
        """Return which settings have no effect, whatever their values.

        Args:
            around: The rest of the configuration.

        Returns:
            By the setting's name in a file: why, and after a semicolon what would make it count.
            Empty by default: everything counts.
        """
        return {}
