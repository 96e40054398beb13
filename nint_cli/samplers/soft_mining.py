"""Soft Mining: particles that wander to where the error is."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field as Setting
from torch import Tensor

from nint_cli.derivatives.probe import Probe
from nint_cli.errors import ConfigError
from nint_cli.random import Draws, moved
from nint_cli.samplers import priors
from nint_cli.samplers.base import Observation, Sampler, Selection, Setup, Slot
from nint_cli.schedules.batch_size import BatchPlan
from nint_cli.settings import Circumstances, Section, Share

# The batch with which the published step size was found; its loss is a mean over as many points.
_TUNED_BATCH = 4096
_SMALLEST_ERROR = 2.0**-10  # float16's epsilon, as published
_EPSILON = 2.0**-23  # float32's
_PARTICLES, _DRIFT, _LOSS = "particles", "drift", "loss"


class SoftMiningLoss:
    """The squared error divided by a power of the error.

    mean_i c_i mean_c e_ic^2 with c_i = max(mean_c |e_ic|, 2^-10)^(-softness), clamped to [0.2,
    mean(c) + std(c)] over the batch and constant for the gradient.

    Args:
        softness: 0 is the mean squared error; 1 cancels a density proportional to the error.
    """

    def __init__(self, softness: float) -> None:
        self.softness = softness

    def __call__(self, prediction: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Give the loss and its gradient; see `BatchLoss`."""
        error = prediction - values
        weight = self.weight(error)[:, None]
        weighted = weight * error
        return (weighted * error).mean(), 2 / error.numel() * weighted

    def weight(self, error: Tensor) -> Tensor:
        """Give c (B) for the errors e (B, C)."""
        weight = error.abs().mean(dim=1).clamp(min=_SMALLEST_ERROR) ** -self.softness
        correction = min(1, len(weight) - 1)  # a batch of one point has no sample deviation
        std, mean = torch.std_mean(weight, correction=correction)
        return weight.clamp(min=0.2).minimum(mean + std)


class SoftMiningSettings(Section):
    """Soft Mining's particles and its loss (arXiv 2312.00075)."""

    alpha: Share = Setting(0.6, description="power of the error that the loss is divided by")
    warmup: int = Setting(
        1000, ge=1, le=1_000_000_000, description="steps in which that power would reach 1"
    )
    step_size: float = Setting(
        20.0, ge=0, le=1e6, description="drift of a particle along log error"
    )
    noise: float = Setting(
        0.02, ge=0, le=1, description="noise of a particle per step, in sizes of the signal"
    )
    uniform_share: Share = Setting(0.1, description="share of particles restarted uniformly")
    restart_share: Share = Setting(
        0.1, description="share of particles, those with the least loss, restarted at edges"
    )
    released: bool = Setting(
        False, description="index, scale, pad and find edges as the released port to pictures does"
    )

    def unused(self, around: Circumstances) -> Mapping[str, str]:
        """Return the rise to a power of 0, and what restarts undo; see `Section.unused`."""
        found: dict[str, str] = {}
        if self.alpha == 0:
            found["warmup"] = "soft_mining.alpha is 0, to which nothing rises; raise it"
        if self.restart_share == 1:
            why = "soft_mining.restart_share is 1, so that all particles restart; lower it"
            found |= dict.fromkeys(("step_size", "noise", "uniform_share"), why)
        return found


@dataclass(frozen=True)
class Neighbours:
    """What is near the points of a grid of which a part trains.

    Attributes:
        among: (M,) int64: the part, as `Signal.among`.
        nearest: (N,) int64: for each point of the grid the nearest one of the part, by its number
            in `among`.
        far: (N,) bool: whether that is none of its next neighbours.
    """

    among: Tensor
    nearest: Tensor
    far: Tensor


class SoftMining(Sampler):
    """Soft Mining: Langevin particles that follow the error, and a loss that makes up for them.

    B particles P in [0, 1]^D, each training the grid point nearest to it, wander towards a density
    proportional to the error. A step that follows one with loss l_i = c_i mean_c e_ic^2 per
    particle (`SoftMiningLoss`) does

        P <- P + a G + b xi,  xi ~ N(0, 1),  G_i = (dloss/dx_i) / (l_i + 2^-23),

    so G_i is proportional to the gradient of log e^2 at the particle, per grid step. Then the last
    tenth of the rows starts anew, uniformly; and those that left the box, or were among the tenth
    with the smallest l, start anew from the density of edges (`priors.edge_density`), even where
    they just started uniformly. The softness rises as t / 1000 up to alpha, so it takes 1000 alpha
    steps.

    Where a part of the grid trains, a particle beside it trains the nearest of its points, and one
    further off starts anew, as if it had left the box.

    Rounding makes points repeat, and a repeated point counts as often: of uniform particles with B
    = N / 5 some 18 % of all points remain.

    Passes: none over N, but for the gradient of the step's loss with respect to the coords.

    Source: Kheradmand, Rebain, Sharma, Isack, Kar, Tagliasacchi, Yi, "Accelerating Neural Field
    Training via Soft Mining", CVPR 2024, arXiv 2312.00075.

    Differs: from the port to pictures in github.com/zwx-open/EVOS-INR at 3261484, on which the
    published comparisons rest, in six places. Its flat index, height row + column, is right for
    squares only. Its loss is a mean, so the drift shrinks with the batch: here a is scaled by B /
    4096, for the 4096 rays it was tuned with. It takes the gradient by x in [-1, 1]; as the
    authors' radiance fields do, this takes it by pixels, without which a particle would leave the
    picture in one step. It divides by c_i l_i where this divides by l_i, as the authors do since
    December 2025. It pads the picture with black, which makes an edge of its frame. It divides the
    gradients of each column by their own maximum, where this has one for all, so that a column
    without edges draws as many particles as any other. `released` restores these six. B is floor(r
    N), not its ceiling. Kept are that values are looked up at the rounded point, and that bad rows
    are found before the uniform restarts.

    Args:
        batch: How many particles; the same at every step.
        density: (N + 1) cumulative distribution for restarts.
        shape: Size of the grid along each axis.
        half_range: Coords lie in [-half_range, half_range].
        alpha: Softness after the warm-up.
        warmup: Steps in which the softness would reach 1.
        step_size: a.
        noise: b.
        uniform_share: Share of rows that start anew uniformly.
        restart_share: Share of rows with the smallest loss that start anew at edges.
        released: Whether to compute as the released port does.
        rest: What trains where a part of the grid does; None where all of it does.
    """

    Settings = SoftMiningSettings
    ranked_by = "|error| of particles that move along its gradient"
    slots: ClassVar[Mapping[str, Slot]] = {"mined": Slot("mined", (204, 121, 167))}
    sized: ClassVar[bool] = False
    constant_batch: ClassVar[bool] = True

    observes: ClassVar[bool] = True
    wants_coord_gradient: ClassVar[bool] = True
    distinct: ClassVar[bool] = False

    def __init__(
        self,
        batch: BatchPlan,
        density: Tensor,
        shape: tuple[int, ...],
        *,
        half_range: float = 1.0,
        alpha: float = 0.6,
        warmup: int = 1000,
        step_size: float = 20.0,
        noise: float = 0.02,
        uniform_share: float = 0.1,
        restart_share: float = 0.1,
        released: bool = False,
        rest: Neighbours | None = None,
    ) -> None:
        self.batch = batch
        self.density = density
        self.shape = shape
        self.half_range = half_range
        self.alpha = alpha
        self.warmup = warmup
        self.step_size = step_size
        self.noise = noise
        self.uniform_share = uniform_share
        self.restart_share = restart_share
        self.released = released
        self.rest = rest
        self._state: dict[str, Tensor] = {}

    @property
    def needs_fixed_points(self) -> bool:
        """True: its density is one of points."""
        return True

    @classmethod
    def from_settings(cls, settings: SoftMiningSettings, setup: Setup) -> "SoftMining":
        """Build it with the signal's edge density; see `Sampler.from_settings`.

        Raises:
            ConfigError: If the signal's points lie on no grid.
        """
        signal = setup.signal
        if not signal.on_grid:
            raise ConfigError(
                "sampler soft_mining moves particles between the points of a grid, and a "
                "shape's lie anywhere; choose another sampler"
            )
        grey, among = priors.grey_of(signal), signal.among
        density = priors.edge_density(grey, released=settings.released, among=among)
        rest = None
        if among is not None:
            nearest, far = priors.nearest_among(signal.shape, among)
            rest = Neighbours(among, moved(nearest, signal.device), moved(far, signal.device))
        return cls(
            setup.batch,
            density.to(signal.device),
            signal.shape,
            half_range=signal.half_range,
            rest=rest,
            **settings.model_dump(),
        )

    def select(self, step: int, probe: Probe, draws: Draws) -> Selection:
        """Move the particles and give the points below them; see `Sampler.select`."""
        if _PARTICLES not in self._state:
            count = self.batch.count(step, len(probe))
            start = draws.stream("start").integers(len(probe), size=count)
            self._state[_PARTICLES] = self._positions(self._whole(start))
        elif _DRIFT in self._state:
            self._move(draws)
        indices = self._indices(self._state[_PARTICLES])
        softness = min(step / self.warmup, self.alpha)
        return Selection(indices, slots=(("mined", len(indices)),), loss=SoftMiningLoss(softness))

    def observe(self, step: int, observation: Observation) -> None:
        """Keep each particle's loss and drift; see `Sampler.observe`."""
        loss, gradient = observation.selection.loss, observation.coord_gradient
        if not isinstance(loss, SoftMiningLoss) or gradient is None:
            raise TypeError("Soft Mining observes its own selections, with their coord gradient")
        error = observation.prediction - observation.values
        weight = loss.weight(error)
        particle_loss = weight * error.square().mean(dim=1)
        divisor = (weight * particle_loss if self.released else particle_loss) + _EPSILON
        drift = gradient / divisor[:, None]
        if not self.released:
            # From a mean over B points and x in the coords' range to 4096 points and grid steps.
            per_step = [2 * self.half_range / max(1, size - 1) for size in self.shape]
            drift = drift * drift.new_tensor(per_step) * (len(error) / _TUNED_BATCH)
        like = self._state[_PARTICLES]
        self._state[_DRIFT] = drift.to(like)
        self._state[_LOSS] = particle_loss.to(like)

    def _move(self, draws: Draws) -> None:
        particles, loss = self._state[_PARTICLES], self._state[_LOSS]
        device = particles.device
        noise = moved(draws.stream("noise").standard_normal(particles.shape), device)
        places = particles + self.step_size * self._state[_DRIFT] + self.noise * noise
        count = len(places)
        rank = min(count, int(self.restart_share * count) + 1)
        easy = loss <= loss.kthvalue(rank).values
        # A drift that is not a number is outside too.
        bad = easy | ~((places >= 0) & (places <= 1)).all(dim=1) | self._strayed(places)
        fresh = int(self.uniform_share * count)
        places[count - fresh :] = self._anywhere(fresh, draws)
        # One number for every row, so that those of some do not depend on how many others are bad.
        heights = moved(draws.stream("edges").random(count), device)[bad]
        found = torch.searchsorted(self.density, heights, right=True) - 1
        places[bad] = self._positions(found if self.rest is None else self.rest.among[found])
        self._state[_PARTICLES] = places.clamp(0, 1)

    def _anywhere(self, count: int, draws: Draws) -> Tensor:
        """Draw places uniformly: in the box, or on the points of the part that trains."""
        stream = draws.stream("anywhere")
        if self.rest is not None:
            return self._positions(self._whole(stream.integers(len(self.rest.among), size=count)))
        return moved(stream.random((count, len(self.shape))), self.density.device)

    def _strayed(self, places: Tensor) -> Tensor:
        """Return which particles are out of the part that trains and not beside a point of it."""
        if self.rest is None:
            return torch.zeros(len(places), dtype=torch.bool, device=places.device)
        return self.rest.far[self._flat(places.nan_to_num(0).clamp(0, 1))]

    def _whole(self, drawn: NDArray[np.int64]) -> Tensor:
        """Return points that were drawn among those that train by their index on the grid."""
        indices = moved(drawn, self.density.device)
        return indices if self.rest is None else self.rest.among[indices]

    def _positions(self, indices: Tensor) -> Tensor:
        """Give the place of grid points in the unit box, (B, D), in float64, for axes are long."""
        columns = []
        for size in reversed(self.shape):
            columns.append((indices % size).double() / max(1, size - 1))
            indices = indices // size
        return torch.stack(columns[::-1], dim=1)

    def _indices(self, particles: Tensor) -> Tensor:
        """Return the number of the point that trains nearest to each particle, (B)."""
        flat = self._flat(particles)
        return flat if self.rest is None else self.rest.nearest[flat]

    def _flat(self, particles: Tensor) -> Tensor:
        """Give the flat index of the grid point nearest to each particle, (B)."""
        sizes = torch.tensor(self.shape, device=particles.device)
        places = (particles * (sizes - 1)).round().long()
        if self.released and len(self.shape) == 2:
            height, width = self.shape
            return (height * places[:, 0] + places[:, 1]) % (height * width)
        flat = places[:, 0]
        for axis in range(1, len(self.shape)):
            flat = flat * self.shape[axis] + places[:, axis]
        return flat

    def state_dict(self) -> dict[str, Tensor]:
        """Give the particles and what moves them; see `Sampler.state_dict`."""
        return dict(self._state)

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore the particles; see `Sampler.load_state_dict`."""
        for name, tensor in state.items():
            axes = {_PARTICLES: 2, _DRIFT: 2, _LOSS: 1}.get(name)
            if axes != tensor.ndim or not tensor.is_floating_point():
                raise ValueError(
                    f"unexpected sampler state {name} {tuple(tensor.shape)} {tensor.dtype}"
                )
        self._state = dict(state)
