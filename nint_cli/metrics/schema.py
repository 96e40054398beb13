"""The schema of metrics.json, version 1.0.

Readers ignore keys they do not know; a key that is removed or changes its type raises the major
version. A figure that was not computed is null with a reason beside it, never 0.
"""

import math
from abc import ABC, abstractmethod
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Row = tuple[str, str]
"""A name and a text; the text begins with a dash where there is no value, and says why."""


def finite(figure: float | None) -> float | None:
    """Give a figure as JSON can write it, None where it is infinite."""
    return figure if figure is not None and math.isfinite(figure) else None


class Part(BaseModel):
    """A part of metrics.json; it refuses what it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Quality(Part, ABC):
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

    @abstractmethod
    def rows(self, *, fine: bool = False) -> list[Row]:
        """Return the rows of what was measured.

        Args:
            fine: Whether to give more digits.

        Returns:
            The rows, the most telling first.
        """


class InputRecord(Part, ABC):
    """What was fitted; each modality adds what it knows."""

    source: str = Field(description="absolute path, or sample:NAME")
    sha256: str = Field(description="of the decoded content, before anything is done to it")
    conversions: list[str] = Field(description="what was done to the file's content")
    kind: str

    @abstractmethod
    def extent(self) -> tuple[float | str, ...]:
        """Return which part was fitted, at which size; the hash is of the whole content."""

    @abstractmethod
    def describe(self) -> str:
        """Say how large it is, in a few words."""


class StartRecord(Part):
    """What a run started from in place of random numbers."""

    path: str = Field(description="the run, checkpoint or file, as it was named")
    step: int | None = Field(description="the step its weights are of; null where nobody knows")
    sha256: str = Field(description="hash of the weights")
    fitted_to: str = Field(description="name of the input that they were fitted to")


class FieldRecord(Part):
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


class PassCount(Part):
    """Network passes by kind, in passes over all coordinates; see `sweep.Passes`."""

    forward: float
    backward: float
    vjp: float
    jvp: float
    total: float = Field(description="in units of one full forward")


class GuidanceRecord(Part):
    """What chose the points that trained, and what that cost."""

    ranked_by: str = Field(description="what points were ranked by, in words")
    points: dict[str, int] | None = Field(
        description="points that trained, by the rule that chose them, over all steps; null for a "
        "run that an earlier version began"
    )
    passes: PassCount = Field(
        description="what choosing cost beside the steps' own forward and backward"
    )
    self_leverage_mean: float | None = Field(
        None,
        description="mean of the NTK's diagonal over the last batch, weighted by squared errors",
    )
    self_leverage_variation: float | None = Field(
        None,
        description="coefficient of variation of the diagonal over the batch's points; 0 where "
        "it is even, and guidance by it is guidance by the error alone",
    )
    self_leverage_reason: str | None = Field(None, description="why there is none")


class FinalRecord(Part):
    """How the figures of the run's end were measured."""

    measured: Literal["full", "sample"] = Field(
        description="in full, or by an even sample where that would take longer than the training"
    )
    points: int | None = Field(
        None, description="pixels, samples or cells of the headline's figure; null: all of them"
    )
    left_out: list[str] = Field(
        [], description="figures, and files by what they are, that are not there for that"
    )
    reason: str | None = Field(None, description="why, and how to have them")


class MemoryRecord(Part):
    """Most memory in use at any time, in bytes."""

    peak_rss_bytes: int | None
    peak_cuda_bytes: int | None


class PrecisionRecord(Part):
    """In which type the matrix products of training were taken; evaluations are in float32."""

    products: str | None = Field(description="their type in the first steps; null: float32")
    until_step: int | None = Field(
        None, description="steps that were done in it, before those in float32; null: all were"
    )
    reason: str = Field(description="why these, and why no longer")


class Environment(Part):
    """What the run ran on."""

    nint: str
    python: str
    torch: str
    numpy: str
    numba: str | None = Field(
        None, description="compiles the loops of fields on a CPU; null: PyTorch did their work"
    )
    platform: str
    device: str
    device_name: str
    threads: int
    products: str | None = Field(description="as in `precision`")
    step_block: int | None = Field(None, description="coordinates at once in a step")
    sweep_block: int | None = Field(None, description="coordinates at once in a sweep")


class RunMetrics(Quality):
    """metrics.json: the outcome of a run; times in seconds.

    Each modality has its own, with its measures and what it says of the input.

    `train_s` is what budgets and comparisons use: what a method computes before and beside its
    steps (`prepare_s`), the sampler (`sampler_s`), and the forward, backward and optimiser
    (`update_s`), without loading, evaluation or saving. `total_s` is the sum of it and those, and
    of `other_s`. A run that was resumed has the times of all its parts.
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
    train_s: float = Field(
        description="training: prepare_s + sampler_s + update_s; what budgets and comparisons use"
    )
    load_s: float = Field(description="reading the input, building the field; again when resumed")
    prepare_s: float = Field(
        0.0,
        description="what a method computes before and beside its steps: edges and anchors of a "
        "sampler, points that sdf.resample draws anew",
    )
    sampler_s: float = Field(description="choosing coordinates, scoring passes included")
    update_s: float = Field(description="forward, backward and optimiser")
    evaluation_s: float = Field(description="measuring, during the run and at its end")
    save_s: float = Field(description="writing checkpoints, log, pictures and results")
    other_s: float = Field(
        0.0, description="what total_s has beyond load, train, evaluation, save"
    )
    total_s: float = Field(description="all of it, until metrics.json is written")
    field: FieldRecord
    started_from: StartRecord | None = Field(
        None, description="whose weights the run began with; null: random ones"
    )
    passes: PassCount
    guidance: GuidanceRecord | None = Field(
        None, description="null where an earlier version wrote the file"
    )
    final: FinalRecord | None = Field(
        None, description="null where nothing was measured, or by an earlier version"
    )
    memory: MemoryRecord
    precision: PrecisionRecord | None = Field(None, description="of training; null: not known")
    environment: Environment
    series: str = Field(description="the log, relative to this file; one JSON row per evaluation")
    config_sha256: str
    config: dict[str, Any]
    origins: dict[str, str] = Field(description="where each setting comes from")
    input: InputRecord = Field(description="what was fitted")


def kind_of(document: object) -> str | None:
    """Find the modality of a metrics.json, before it is read.

    Args:
        document: Its content, as it was parsed or as a model.

    Returns:
        The modality's name; None where it has none.
    """
    if isinstance(document, RunMetrics):
        document = document.model_dump(include={"input": {"kind"}})
    found = document.get("input") if isinstance(document, dict) else None
    return found.get("kind") if isinstance(found, dict) else getattr(found, "kind", None)
