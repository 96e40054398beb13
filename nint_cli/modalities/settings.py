"""The settings that modalities read: what each one's own are, and those that all may read."""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, field_validator

from nint_cli.settings import Circumstances, Section


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
        description="most pixels or samples, evenly spread, at which a larger picture or sound is "
        "evaluated while its run goes on; null: no such bound",
    )
    share: float | None = Field(
        0.2,
        gt=0,
        le=10,
        description="most that evaluations take of the training, by points and passes: a thinner "
        "sample where all would be more; null: no bound",
    )
    final: Literal["auto", "full", "sample"] = Field(
        "auto",
        description="what is measured, drawn and reconstructed in the end: full, all of it; "
        "sample, figures of `points` evenly spread points alone; auto, all that takes no longer "
        "than the training, or with a time budget ends within one and a half times that, with "
        "the reconstruction if that takes no longer than the training",
    )
    ssim: bool = Field(
        False,
        description="whether the log has the SSIM of every evaluation too, of all pixels whatever "
        "`share` says",
    )
    selections: bool = Field(
        False,
        description="whether every evaluation keeps what its step was trained on, in the folder "
        "selections",
    )

    def unused(self, around: Circumstances) -> Mapping[str, str]:
        """Return what `every` and the modality leave without effect; see `Section.unused`."""
        found: dict[str, str] = {}
        if self.every is not None:
            found["count"] = f"evaluation.every is {self.every} and decides; set it to null"
        if not around.on_grid:
            found["points"] = "a shape has sdf.watch_resolution; leave it out"
        if around.modality != "image":
            found["ssim"] = "only a picture has an SSIM; leave it out"
        return found


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

    def unused(self, around: Circumstances) -> Mapping[str, str]:
        """Return what is measured in pictures only, or not at all; see `Section.unused`."""
        if around.modality != "image":
            why = "LPIPS and FLIP are of pictures; leave it out"
            return dict.fromkeys(type(self).model_fields, why)
        found: dict[str, str] = {}
        if self.lpips_weights is None:
            found["lpips_sha256"] = "no file of weights is named; set metrics.lpips_weights"
        if find_spec("flip_evaluator") is None:
            found["flip"] = "flip-evaluator is not installed; pip install 'nint[flip]'"
        if self.lpips_weights is None and (not self.flip or "flip" in found):
            found["max_pixels"] = (
                "neither LPIPS nor FLIP is computed; set metrics.lpips_weights or metrics.flip"
            )
        return found

    @field_validator("lpips_weights")
    @classmethod
    def _keep_absolute(cls, path: str | None) -> str | None:
        """Let a path mean the same file wherever the run is resumed or measured again."""
        return None if path is None else str(Path(path).absolute())
