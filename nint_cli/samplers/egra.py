"""EGRA: a little more often beside edges."""

from collections.abc import Mapping
from typing import ClassVar, Self

import torch
from pydantic import Field as Setting
from pydantic import model_validator
from torch import Tensor

from nint_cli.derivatives.probe import Probe
from nint_cli.random import Draws, moved
from nint_cli.samplers import priors
from nint_cli.samplers.base import UNIFORM, Sampler, Selection, Setup, Slot
from nint_cli.schedules.batch_size import BatchPlan
from nint_cli.settings import WHOLE, Circumstances, Section


class EgraSettings(Section):
    """EGRA's edges and their weight (Gai et al., 2023)."""

    p: float = Setting(
        0.0025, ge=0, lt=1, description="weight of points beside edges, against all others"
    )
    density: float = Setting(
        4096 / 640_000, gt=0, le=1, description="uniform density that p is weighed against"
    )
    radius_min: int = Setting(
        6, ge=0, le=100_000, description="least distance from an edge, in points"
    )
    radius_max: int = Setting(
        9, ge=0, le=100_000, description="largest distance from an edge, in points"
    )
    low: float = Setting(
        30.0, ge=0, le=2040, description="lower threshold of Canny's edges, in levels of 255"
    )
    high: float = Setting(
        40.0, ge=0, le=2040, description="upper threshold of Canny's edges, in levels of 255"
    )

    @model_validator(mode="after")
    def _bounds_are_ordered(self) -> Self:
        if self.radius_min > self.radius_max:
            raise ValueError(
                f"egra.radius_min {self.radius_min} is above egra.radius_max {self.radius_max}; "
                "exchange them"
            )
        if self.low > self.high:
            raise ValueError(
                f"egra.low {self.low:g} is above egra.high {self.high:g}; exchange them"
            )
        return self

    def unused(self, around: Circumstances) -> Mapping[str, str]:
        """Return what says where edges are, where they do not matter; see `Section.unused`."""
        if around.whole:
            return dict.fromkeys(type(self).model_fields, WHOLE)
        if self.p == 0:
            why = "egra.p is 0, so that edges weigh as all else; raise it"
            return dict.fromkeys({*type(self).model_fields} - {"p"}, why)
        found: dict[str, str] = {}
        if around.modality != "image":
            why = "Canny's edges are of pictures; leave it out"
            found |= {"low": why, "high": why}
        if not around.on_grid:
            why = "points of a shape have no neighbours by index; leave it out"
            found |= {"radius_min": why, "radius_max": why}
        return found


class Egra(Sampler):
    """Edge-Guided Ray Allocation: points beside edges are a little more likely.

    From a fixed set E of edge points (`priors.edges`), every step

    1. moves each k in E by its own random distance d in {radius_min, ..., radius_max} along the
       flat index: E' = {(k + d) mod N};
    2. draws B points without replacement with weights w_i = p [i in E'] + (1 - p) density: one
       after the other, each time with a probability proportional to w among those that are left.

    The draw is exact: independent arrival times distributed as Exp(w_i) arrive in just that order,
    so the B earliest are the batch, in O(N) and without torch.multinomial's limit of 2^24 points.

    With the published numbers the weights are as 1.39 to 1, so this is nearly `Uniform`. The loss
    is the plain mean squared error, without a correction for the weights.

    Passes: none.

    Source: Gai, Liu, Tan, Ding, Yu, Tong, Yuan, "EGRA-NeRF: Edge-Guided Ray Allocation for Neural
    Radiance Fields", Image and Vision Computing 134, 2023, art. 104670 (no arXiv id).

    Differs: there is no official code; this follows the port in github.com/zwx-open/EVOS-INR at
    3261484, on which published comparisons rest. As there, edges move to the right only and wrap
    into the next row, the edge points themselves are not favoured, and the constants are those of
    the paper's 800x800 views. Edges come from scikit-image instead of OpenCV, see `priors`. For
    signals that are no pictures the surrogate of `priors.edges` is ours, and so is moving to both
    sides (`both_sides`), which a sound has.

    Args:
        batch: How many points.
        edges: (E,) int64, the edge points.
        p: Weight of the edges, against a uniform density, in [0, 1).
        density: That density.
        radius_min: Least distance from an edge.
        radius_max: Largest distance from an edge.
        both_sides: Whether a point moves either way, and not only to the right.
        grid: Points of the grid on which edges move, where only those of `among` train, as
            `Signal.among` has it; None where all of them do.
        among: (N,) int64, ascending: these; or None.
    """

    Settings = EgraSettings
    ranked_by = "edges of the signal, once"
    slots: ClassVar[Mapping[str, Slot]] = {
        "edge": Slot("edges", (0, 158, 115)),
        "uniform": UNIFORM,
    }

    def __init__(
        self,
        batch: BatchPlan,
        edges: Tensor,
        *,
        p: float = 0.0025,
        density: float = 4096 / 640_000,
        radius_min: int = 6,
        radius_max: int = 9,
        both_sides: bool = False,
        grid: int | None = None,
        among: Tensor | None = None,
    ) -> None:
        self.batch = batch
        self.edges = edges if among is None else among[edges]
        self.grid = grid
        self.among = among
        self.boosted_weight = p + (1 - p) * density
        self.base_weight = (1 - p) * density
        self.radius_min = radius_min
        self.radius_max = radius_max
        self.both_sides = both_sides

    def unranked(self, population: int) -> str | None:
        """Return why no point is ranked; see `Sampler.unranked`."""
        if self.boosted_weight == self.base_weight:
            return "egra.p is 0"
        return super().unranked(population)

    @property
    def needs_fixed_points(self) -> bool:
        """True: its edges are points."""
        return True

    @classmethod
    def from_settings(cls, settings: EgraSettings, setup: Setup) -> "Egra":
        """Build it with the signal's edges; see `Sampler.from_settings`."""
        signal = setup.signal
        more = settings.model_dump(exclude={"low", "high"})
        if signal.on_grid:
            grey, among = priors.grey_of(signal), signal.among
            edges = priors.edges(grey, settings.low, settings.high, among)
            if among is not None:
                more |= {"grid": grey.size, "among": among}
        else:  # the neighbours of a point's index are anywhere, so nothing beside it
            blocks = signal.blocks(1 << 18)
            edges = priors.nearest(blocks, len(signal), priors.SURROGATE_SHARE)
            more |= {"radius_min": 0, "radius_max": 0}
        both_sides = len(signal.shape) == 1
        return cls(setup.batch, edges.to(signal.device), both_sides=both_sides, **more)

    def select(self, step: int, probe: Probe, draws: Draws) -> Selection:
        """Draw by weight, the points beside edges first; see `Sampler.select`."""
        population = len(probe)
        beside = self._beside_edges(population, draws)
        arrival = moved(draws.stream("arrival").standard_exponential(population), probe.device)
        arrival[beside] *= self.base_weight / self.boosted_weight
        count = self.batch.count(step, population)
        indices = arrival.topk(count, largest=False, sorted=False).indices
        near = beside[indices]
        indices = torch.cat([indices[near], indices[~near]])
        edge_count = int(near.sum())
        return Selection(indices, slots=(("edge", edge_count), ("uniform", count - edge_count)))

    def _beside_edges(self, population: int, draws: Draws) -> Tensor:
        """Give E' as a mask (N)."""
        device, stream = self.edges.device, draws.stream("edges")
        distance = stream.integers(self.radius_min, self.radius_max + 1, len(self.edges))
        if self.both_sides:
            distance *= 2 * stream.integers(2, size=len(self.edges)) - 1
        grid = population if self.grid is None else self.grid
        beside = torch.zeros(grid, dtype=torch.bool, device=device)
        beside[(self.edges + moved(distance, device)) % grid] = True
        return beside if self.among is None else beside[self.among]
