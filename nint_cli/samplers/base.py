"""What every sampler is.

Legend: N coordinates, B of them selected per step, C channels.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Protocol

import torch
from torch import Tensor

from nint_cli.derivatives.probe import Probe
from nint_cli.random import Draws
from nint_cli.schedules.batch_size import BatchPlan
from nint_cli.settings import Section
from nint_cli.signals.base import Signal


class BatchLoss(Protocol):
    """A loss of one whole batch, where it is not the weighted mean squared error."""

    def __call__(self, prediction: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Measure a batch.

        Args:
            prediction: (B, C), without a graph.
            values: (B, C).

        Returns:
            The loss () and its gradient by the prediction (B, C).
        """


@dataclass(frozen=True)
class Selection:
    """The points of one step.

    Attributes:
        indices: (B,) int64.
        weights: (B,) factors of the squared error, or None for 1.
        slots: How many points each rule chose, in the order of `indices`.
        loss: What to train on instead of the weighted mean squared error, or None.
    """

    indices: Tensor
    weights: Tensor | None = None
    slots: tuple[tuple[str, int], ...] = ()
    loss: BatchLoss | None = None


@dataclass(frozen=True)
class Observation:
    """What a step saw of its batch, before its update.

    Attributes:
        selection: The batch.
        prediction: (B, C).
        values: (B, C).
        coord_gradient: (B, D), the gradient of the step's loss by the coords; None unless the
            sampler wants it and brings its own loss.
        leveraged_errors: (B,), ||r_i||^2 times the self-leverage k_i of point i, the mean over
            channels of the kernel's diagonal; see `PointNorms.leveraged`. None unless the sampler
            wants it.
    """

    selection: Selection
    prediction: Tensor
    values: Tensor
    coord_gradient: Tensor | None = None
    leveraged_errors: Tensor | None = None


class SelfLeverage(NamedTuple):
    """What a sampler saw of the kernel's diagonal in the last batch that it looked at.

    Attributes:
        mean: Of the points' self-leverage, weighted by their squared errors.
        variation: Its coefficient of variation over the points: 0 where the diagonal is even, and
            ranking with it is ranking by the error alone.
    """

    mean: float
    variation: float


class Slot(NamedTuple):
    """A rule by which a sampler chooses points of a batch.

    Attributes:
        label: What it does, for the legend of a report.
        colour: Of its points in pictures: red, green, blue; Okabe and Ito's palette, which
            colour-blind eyes tell apart, too.
        uniform: Whether it chooses points without regard to their error.
    """

    label: str
    colour: tuple[int, int, int]
    uniform: bool = False


UNIFORM = Slot("at random", (240, 228, 66), uniform=True)
EVERY = Slot("all points", (240, 228, 66), uniform=True)

EVERY_POINT = "every point trains"
"""Why nothing is ranked where a batch has all points."""


@dataclass(frozen=True)
class Setup:
    """What a sampler is built for, besides its own settings.

    Attributes:
        batch: How many points a step selects.
        signal: What is fitted.
        seed: Of the run.
    """

    batch: BatchPlan
    signal: Signal
    seed: int


class Sampler(ABC):
    """Chooses which points train next.

    Hyper-parameters are set in the constructor. What evolves is explicit: `state_dict` gives it
    and `load_state_dict` restores it exactly.

    Attributes:
        Settings: The settings that it reads, a section of a run's configuration.
        ranked_by: What its points are ranked by, in a few words; None where they never are.
        section: Name of that section, where it is not the sampler's own name.
        reads: Names of the settings of that section that it reads; None for all.
        slots: The rules that fill its batches, by the name that `Selection.slots` has.
        sized: Whether its batches may be made smaller where a run has little time.
        constant_batch: Whether every batch has as many points as the first.
        observes: Whether `observe` is to be called after every step.
        wants_coord_gradient: Whether it needs the gradient by the coords of its own loss.
        wants_leveraged_errors: Whether it needs the kernel's diagonal at the batch's points; it
            then leaves the loss the weighted mean squared error.
        distinct: Whether no batch holds a point twice.
        index_entries: Names of the entries of its state that hold indices of points; a checkpoint
            in which one is no point of the signal is refused.
        host_entries: Names of the entries that are read by the host and so stay with it; all
            others are where the field is.
        lasting_entries: Names of the entries that stay as they are where a fit goes back to an
            earlier step, and of which no copy is kept for that; see `undo`.
    """

    Settings: ClassVar[type[Section]] = Section
    section: ClassVar[str | None] = None
    ranked_by: str | None = "a rule of its own"
    reads: ClassVar[frozenset[str] | None] = None
    slots: ClassVar[Mapping[str, Slot]] = {}
    sized: ClassVar[bool] = True
    constant_batch: ClassVar[bool] = False
    observes: ClassVar[bool] = False
    wants_coord_gradient: ClassVar[bool] = False
    wants_leveraged_errors: bool = False
    distinct: ClassVar[bool] = True
    index_entries: ClassVar[frozenset[str]] = frozenset()
    host_entries: ClassVar[frozenset[str]] = frozenset()
    lasting_entries: ClassVar[frozenset[str]] = frozenset()

    @classmethod
    def from_settings(cls, settings: Any, setup: Setup) -> "Sampler":  # noqa: ANN401
        """Build a sampler; what it must know of the signal beforehand is computed here.

        Args:
            settings: Of its class `Settings`.
            setup: What it is built for.

        Returns:
            The sampler; by default its class, called with the batch and every setting by name.
        """
        build: Any = cls
        sampler: Sampler = build(setup.batch, **settings.model_dump(by_alias=False))
        return sampler

    @classmethod
    def depends_on_steps(cls, settings: Any) -> Mapping[str, object]:  # noqa: ANN401
        """Return the settings in use whose meaning changes with the number of steps.

        Args:
            settings: Of its class `Settings`.

        Returns:
            Their values by dotted key; with any of them a run cannot go on to more steps.
        """
        return {}

    @property
    def needs_fixed_points(self) -> bool:
        """Whether it holds on to points, so that a signal must not draw others meanwhile."""
        return False

    def unranked(self, population: int) -> str | None:
        """Return why none of a signal's points is ever ranked; None if some may be.

        Args:
            population: N.
        """
        plan = getattr(self, "batch", None)  # not every sampler has one
        if plan is None or plan.adaptive_batch_size is not None:  # which may shrink it later
            return None
        return EVERY_POINT if plan.count(0, population) == population else None

    def self_leverage(self) -> SelfLeverage | None:
        """Return what was seen of the kernel's diagonal; None where the sampler uses none."""
        return None

    def forget(self) -> None:
        """Take every index that is remembered for void, because the signal has drawn new points.

        Called before `select`, and only where `needs_fixed_points` is False.
        """
        assert not self.needs_fixed_points, "a sampler that needs fixed points cannot forget them"

    def undo(self, step: int) -> None:  # noqa: B027  # most have nothing that lasts
        """Take what lasts and was learnt from a step on for void, for the fit goes back there.

        Args:
            step: The first step that is undone, from 0.
        """

    @abstractmethod
    def select(self, step: int, probe: Probe, draws: Draws) -> Selection:
        """Choose the points of a step.

        Args:
            step: The step, from 0.
            probe: What may be asked of the field as it is before the step.
            draws: The only source of randomness, that of this step.

        Returns:
            The selection.
        """

    def observe(self, step: int, observation: Observation) -> None:
        """Learn from the batch that was just trained on.

        Args:
            step: The step, from 0; the one that `select` was called for.
            observation: What it saw.
        """
        assert not self.observes, "a sampler that observes says what it learns"

    def state_dict(self) -> dict[str, Tensor]:
        """Give all that later selections depend on, besides the constructor's arguments."""
        return {}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore what `state_dict` gave.

        Args:
            state: The tensors, each on its device.

        Raises:
            ValueError: If the state is not one of this sampler.
        """
        if state:
            raise ValueError(f"{type(self).__name__} has no state, got {sorted(state)}")


def load_indices(state: Mapping[str, Tensor], names: Set[str]) -> dict[str, Tensor]:
    """Check the state of a sampler that remembers indices.

    Args:
        state: As it was saved.
        names: Entries that may be in it.

    Returns:
        The entries.

    Raises:
        ValueError: If an entry has another name, shape or type than a sampler saves.
    """
    for name, tensor in state.items():
        if name not in names or tensor.dtype != torch.int64 or tensor.ndim != 1:
            raise ValueError(
                f"unexpected sampler state {name} {tuple(tensor.shape)} {tensor.dtype}"
            )
    return dict(state)
