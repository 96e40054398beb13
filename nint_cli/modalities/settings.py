"""The settings that modalities read: what each one's own are, and those that all may read."""

from pathlib import Path
from typing import ClassVar

from pydantic import Field, field_validator

from nint_cli.settings import Section


class ModalitySettings(Section):
    """How inputs of a modality are read and judged.

    Attributes:
        extent: The settings that decide which part of an input is fitted, at which size.
        measures: Those that decide what is measured, and by what.
        watched: Those that say how a run is watched, and make no method another.
        limits: Those that only refuse what is too large to be read.
    """

    extent: ClassVar[tuple[str, ...]] = ()
    measures: ClassVar[tuple[str, ...]] = ()
    watched: ClassVar[tuple[str, ...]] = ()
    limits: ClassVar[tuple[str, ...]] = ()


class EvaluationSettings(Section):
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


class MetricsSettings(Section):
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
