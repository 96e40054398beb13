"""Settings of the samplers, a section each, named as the sampler is."""

from typing import Literal

from pydantic import Field

from nint_cli.config.section import Section, Share


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
    weight: float = Field(
        1.0,
        gt=0,
        le=1,
        description="weight of a chosen point in the loss of its batch, where a uniform one has "
        "1; less than 1 takes back a part of what being chosen gives it, for steadier training",
    )
    max_chosen: float = Field(
        1.0,
        gt=0,
        le=1,
        description="share of the signal that a batch may choose at most; the rest of it is "
        "uniform, even beyond xi",
    )
    score: Literal["product", "self_leverage", "residual", "last_layer", "sketch"] = Field(
        "product",
        description="what the NTK slot ranks by: the product with the residual, or of the kernel "
        "only its diagonal, nothing, its last layer, or random projections",
    )
    scoring: Literal["sweep", "pool"] = Field(
        "sweep",
        description="what is ranked: all points by sweeps, as in the paper; or random candidates, "
        "by the error they had when they last trained and a JVP along Adam's first moment, which "
        "takes the same time for any signal; the interval, every, residual_every, and what says "
        "how to score, are then without effect",
    )
    pool: int = Field(
        4, ge=1, le=1024, description="candidates per chosen point, under scoring pool"
    )
    gradient: Literal["full", "moment"] = Field(
        "full",
        description="what a score of the product takes for the loss gradient: a VJP sweep, or "
        "Adam's first moment, which spares it",
    )
    score_norm: Literal["l2", "l1"] = Field("l2", description="norm of that over the channels")
    sketches: int = Field(4, ge=1, le=4096, description="random projections of score sketch")
    interval: Literal["dense", "dense2", "incremental", "reverse_incremental", "decremental"] = (
        Field("dense", description="which steps choose points anew; the others keep them")
    )
    every: int = Field(5, ge=1, le=100_000, description="steps between refreshes under dense2")
