"""The schema of inspect.json, version 1.0."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Finding = Literal["ok", "warning", "unknown"]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Leverage(_Part):
    """Self-leverage of the points, the trace over channels of K(x_i, x_i)."""

    mean: float
    least: float
    greatest: float
    variation: float = Field(description="standard deviation over mean")
    histogram: list[int]
    edges: list[float] = Field(description="of the histogram, one more than it has")


class Correlation(_Part):
    """How two figures of the points go together."""

    pearson: float | None = Field(description="null where one of them does not vary")
    spearman: float | None = Field(description="the same of their ranks")


class Coupling(_Part):
    """What of a score ||(K R)_i|| comes from other points."""

    share: float = Field(
        description="mean of |rest| / (|own| + |rest|), own being K(x_i, x_i) R_i per channel"
    )
    spearman: float | None = Field(description="between the score and |own|")
    overlap: float = Field(description="of the highest 20 % by either; by chance 0.2")


class Block(_Part):
    """The kernel of a patch of points, the trace over channels of each block."""

    name: str
    row: int
    column: int
    side: int
    off_diagonal: float = Field(description="mean |K_ij| off the diagonal over the mean on it")
    effective_rank: float = Field(description="exp of the entropy of its eigenvalues' shares")


class Staleness(_Part):
    """How scores change while training goes on."""

    from_step: int
    lags: list[int]
    spearman: list[float | None] = Field(description="with the scores of the first step")
    overlap: list[float] = Field(description="of the highest 20 %")


class Density(_Part):
    """Where steps trained: density of what they chose over that of all points."""

    measure: str
    steps: list[int]
    deciles: list[list[float]] = Field(
        description="for each step, by decile of the measure, the lowest first; 1 is even"
    )


class Diagnosis(_Part):
    """What a rule says, and by which numbers."""

    rule: str
    finding: Finding
    says: str
    numbers: dict[str, float]
    advice: str | None


class Inspection(_Part):
    """inspect.json; what was not computed is null, with a reason."""

    schema_version: Literal["1.0"] = "1.0"
    run: str
    step: int
    population: int
    points: int = Field(description="evenly spread ones at which all of this was computed")
    leverage: Leverage | None
    leverage_reason: str | None = None
    gradient: Correlation | None = Field(
        description="between self-leverage and the signal's local gradient"
    )
    gradient_reason: str | None = None
    blocks: list[Block]
    blocks_reason: str | None = None
    coupling: Coupling | None
    coupling_reason: str | None = None
    staleness: Staleness | None
    staleness_reason: str | None = None
    density: Density | None
    density_reason: str | None = None
    diagnoses: list[Diagnosis]
    files: Annotated[list[str], Field(description="pictures beside this file")]
