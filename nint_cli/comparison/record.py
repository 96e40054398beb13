"""The schema of compare.json, version 1.0: all that a report shows, and no more.

Readers ignore keys they do not know; a key that is removed or changes its type raises the major
version. A figure that has no value is null, with a reason beside it where one can be given.
"""

from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from nint_cli.modalities.table import MODALITIES

SCHEMA_VERSION: Literal["1.0"] = "1.0"
if TYPE_CHECKING:
    ModalityName = str
else:
    ModalityName = Literal[tuple(MODALITIES)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Curve(_Part):
    """A run's log in columns, an entry per evaluation."""

    step: list[int]
    train_s: list[float] = Field(description="seconds of training so far")
    passes: list[float] = Field(description="network passes so far, in full forward passes")
    value: list[float | None] = Field(description="the headline; null where it has no value")


class Cost(_Part):
    """What a run had spent when it got to a target, between two evaluations by a straight line."""

    step: int = Field(description="the first whole step at or after that")
    train_s: float
    passes: float
    at_most: bool = Field(
        False,
        description="whether it was there at its first evaluation already: these are that one's, "
        "and upper bounds",
    )


class Trial(_Part):
    """A run that was made to choose a learning rate."""

    lr: float
    input: str
    seed: int
    folder: str
    status: str
    value: float | None = Field(description="the headline at its end")
    rescues: int = Field(0, description="how often it diverged and went on with half the rate")


class VariantEntry(_Part):
    """One of the methods that are compared."""

    name: str
    sampler: str
    field: str
    settings: dict[str, Any] = Field(
        description="by dotted key, those in which the variants differ, and what this one has"
    )
    lr: float = Field(
        description="optimiser.lr of its runs; under optimiser.lr_side larger pictures have less"
    )
    tuning: list[Trial] = Field([], description="the runs that chose it under --tune lr")


class InputEntry(_Part):
    """One of the signals."""

    name: str = Field(description="short and unique within the report")
    source: str = Field(description="absolute path, or sample:NAME")
    sha256: str
    described: str = Field(description="what it is and how large, in a few words")


class RunEntry(_Part):
    """One run."""

    input: str
    variant: str
    seed: int
    folder: str = Field(description="relative to compare.json where it lies below its folder")
    command: str | None = Field(description="that makes it again, for a POSIX shell")
    status: Literal["complete", "interrupted", "diverged", "failed", "missing"]
    stop_reason: str | None
    error: str | None = None
    left_out: str | None = Field(
        None, description="why no mean, pair, equal time or target has it; null where they do"
    )
    steps: int
    train_s: float | None
    prepare_s: float | None = Field(
        None, description="the part of train_s before and beside the steps"
    )
    sampler_s: float | None = Field(description="the part of train_s spent choosing")
    update_s: float | None
    passes: float | None
    points: dict[str, int] | None = Field(
        None, description="points that trained, by the rule that chose them"
    )
    rescues: int = Field(description="how often it diverged and went on with half the rate")
    value: float | None = Field(description="the headline at its end")
    measured_points: int | None = Field(
        None, description="of how many points its figures are; null: of all"
    )
    exact: bool = Field(False, description="whether that is infinite, and so null above")
    best: float | None = Field(description="the highest headline of its evaluations")
    best_step: int | None
    figures: dict[str, float | None] = Field(description="all measures at its end, by key")
    parameters: int | None
    peak_rss_bytes: int | None
    lr: float | None
    config_sha256: str | None
    environment: dict[str, Any]
    nint_version: str | None
    curve: Curve
    to_target: dict[str, Cost | None] = Field(
        description="by target as it is written in `targets`; null where it was not reached"
    )


class Spread(_Part):
    """A figure over runs; those that have no value or are left out are counted, not averaged."""

    mean: float | None
    low: float | None = Field(description="the smallest")
    high: float | None = Field(description="the largest")
    count: int = Field(description="runs that have a value")
    missing: int = Field(description="runs that have none")


class Interval(_Part):
    """A mean over pairs of runs of one input and seed, a method's and the baseline's."""

    value: float
    low: float | None = Field(
        description="lower end of Student's 95 % interval of the mean; null below four groups"
    )
    high: float | None = Field(description="its upper end; null below four groups")
    reason: str | None = Field(None, description="why there is no interval")
    over: str = Field(description="what it is a mean over, and so what the interval is about")
    pairs: int
    groups: int = Field(
        description="values that the mean is of: pairs on one input, or inputs where all are "
        "summed up, each with the mean of its pairs"
    )


class TargetSummary(_Part):
    """What it takes to get to a target."""

    reached: int = Field(description="runs that got there and are not left out")
    of: int = Field(description="all runs")
    at_most: int = Field(
        0, description="those of them that were there at their first evaluation; see Cost"
    )
    train_s: Spread
    passes: Spread
    speedup_train_s: Interval | None = Field(
        description="baseline over this variant, geometric mean over pairs in which both reached "
        "it after their first evaluations; null for the baseline itself, or where there is no "
        "such pair"
    )
    speedup_passes: Interval | None = Field(description="the same, of passes")


class Summary(_Part):
    """A variant over its seeds, on one input or on all."""

    input: str | None = Field(description="null: all inputs together")
    variant: str
    value: Spread = Field(description="the headline at the end")
    best: Spread
    train_s: Spread
    passes: Spread
    equal_time_s: float | None = Field(
        description="the shortest training of all runs on the input that are not left out; null "
        "for all inputs, each of which has its own"
    )
    at_equal_time: Spread = Field(
        description="the headline after that time, between evaluations by a straight line"
    )
    gain: Interval | None = Field(
        description="of the value over the baseline's, mean of differences; null for itself"
    )
    gain_at_equal_time: Interval | None = Field(description="the same, at equal time")
    to_target: dict[str, TargetSummary]


class Comparison(_Part):
    """A report."""

    schema_version: Literal["1.0"] = SCHEMA_VERSION
    nint_version: str
    modality: ModalityName
    headline: str = Field(description="key of the figure that runs are compared by")
    baseline: str = Field(description="name of a variant")
    targets: list[float] = Field(description="values of the headline, rising")
    command: str | None = Field(description="that made it, for a POSIX shell")
    tuned: Literal["lr"] | None = None
    notes: list[str] = Field([], description="what a reader must know, a sentence each")
    inputs: list[InputEntry]
    variants: list[VariantEntry]
    runs: list[RunEntry]
    summaries: list[Summary]
