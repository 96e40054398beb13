"""How a divergence is detected, and the state that a fit goes back to."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any

import torch
from pydantic import Field as Setting
from torch import Tensor

from nint_cli.samplers.base import Slot
from nint_cli.schedules.state import State

Sizes = tuple[tuple[str, int], ...]
"""How many points each rule chose, as `Selection.slots` has them."""

# A fit has diverged where so many losses on end are at least this share of a constant's, as of a
# network that has collapsed, while as many on end have once been below half of it.
_PATIENCE = 10
_LOST = 0.9
_LEARNT = 0.5
# Below this share of the first loss, 50 dB, ratios of losses say nothing: Adam jitters.
_FLOOR = 1e-5
# A copy is kept so often, unless the last loss is so many times the best level.
_KEEP_EVERY = 50
_CALM = 2.0
_MOST_HALVINGS = 10
# A second warm-up has as many steps as went wrong, within these.
_WARMUP = (10, 200)


class Level(State):
    """How low the loss has been.

    Attributes:
        steps: Losses seen.
        first: The first one.
        recent: The last ten.
        best: The lowest level that ten losses on end have not been above; None before there are
            ten.
        lost: How many on end have been those of a constant.
    """

    steps: int = Setting(0, ge=0)
    first: float = 0.0
    recent: tuple[float, ...] = Setting((), max_length=_PATIENCE, strict=False)
    best: float | None = None
    lost: int = Setting(0, ge=0)

    def after(self, loss: float, constant: float) -> "Level":
        """Return the level after one more loss.

        Args:
            loss: The loss of a step, finite.
            constant: What the best constant prediction would have had.
        """
        is_lost = self._reached < _LEARNT * constant and loss >= _LOST * constant
        recent = (*self.recent[1 - _PATIENCE :], loss)
        best = self.best
        if len(recent) == _PATIENCE:
            best = max(recent) if best is None else min(best, max(recent))
        return Level(
            steps=self.steps + 1,
            first=self.first if self.steps else loss,
            recent=recent,
            best=best,
            lost=self.lost + 1 if is_lost else 0,
        )

    @property
    def has_collapsed(self) -> bool:
        """Whether the last losses are those of a constant, after better ones."""
        return self.lost >= _PATIENCE

    @property
    def is_calm(self) -> bool:
        """Whether the last loss is no sign of a divergence that has begun."""
        return not self.lost and self.recent[-1] <= _CALM * self._reached

    @property
    def _reached(self) -> float:
        """The best level, as far as ratios to it say something."""
        return max(math.inf if self.best is None else self.best, _FLOOR * self.first)


@dataclass(frozen=True)
class RestorePoint:
    """A good state, to go back to.

    Attributes:
        step: Steps done before it.
        tensors: Copies of its tensors.
        level: How low the loss had been.
    """

    step: int
    tensors: dict[str, Tensor]
    level: Level


class RestorePointState(State):
    """What a checkpoint holds of a `RestorePoint` besides tensors; see there."""

    step: int = Setting(ge=0)
    level: Level


class DetectorState(State):
    """What a checkpoint holds of a `DivergenceDetector` besides tensors; see there."""

    halvings: int = Setting(ge=0, le=1000)
    level: Level
    restore_point: RestorePointState | None
    warmup: tuple[Annotated[int, Setting(ge=0)], Annotated[int, Setting(ge=0)]] = Setting(
        (0, 0), strict=False
    )


@dataclass(frozen=True)
class Rescue:
    """What was done about a divergence.

    Attributes:
        step: Steps done when it was noticed, that one included.
        restored_step: The step whose state came back.
        rate_factor: What the learning rate is multiplied by from there on.
        warmup_steps: Steps in which the rate rises to that from near 0; 0 if it is there at once.
    """

    step: int
    restored_step: int
    rate_factor: float
    warmup_steps: int


@dataclass
class DivergenceDetector:
    """Detects divergence from the loss of every step, and keeps a copy of a good state.

    A fit has diverged if the loss is not finite, or if it was well below the error of the best
    constant and is back at it. The caller then restores the copy and goes on with half the
    learning rate. After the initial state has been restored the rate warms up again: Adam knows
    nothing there of how large gradients are, and the warm-up of the run may be over.

    Attributes:
        halvings: How often the rate has been halved.
        level: How low the loss has been.
        restore_point: The newest good state, or None before there is one.
        warmup: (first step, steps) of the rise after the last rescue; (0, 0) without one.
    """

    halvings: int = 0
    level: Level = field(default_factory=Level)
    restore_point: RestorePoint | None = None
    warmup: tuple[int, int] = (0, 0)

    def sees_divergence(self, loss: float, constant: float) -> bool:
        """See the loss of a step; tell whether the fit has diverged.

        Args:
            loss: It.
            constant: What the best constant prediction would have had.
        """
        if not math.isfinite(loss):
            return True
        self.level = self.level.after(loss, constant)
        return self.level.has_collapsed

    def rate_factor(self, step: int) -> float:
        """Give what the learning rate of a step is multiplied by.

        Args:
            step: The step, from 0.
        """
        first, steps = self.warmup
        rise = min(1.0, (step - first + 1) / steps) if steps else 1.0
        return float(0.5**self.halvings) * rise

    def wants_copy(self, step: int) -> bool:
        """Tell whether the state whose loss was seen last is to be kept.

        Args:
            step: Steps done before it.

        Returns:
            True at the first step, and later where the last copy has become old and the loss
            raises no suspicion.
        """
        if self.restore_point is None:
            return True
        return step >= self.restore_point.step + _KEEP_EVERY and self.level.is_calm

    def keep(self, step: int, tensors: Mapping[str, Tensor]) -> None:
        """Keep copies of a state.

        Args:
            step: Steps done before it.
            tensors: It.
        """
        copies = {name: tensor.detach().clone() for name, tensor in tensors.items()}
        self.restore_point = RestorePoint(step, copies, self.level)

    def keeps(self, step: int) -> bool:
        """Tell whether the state that is kept is that of a step.

        Args:
            step: Steps done before it.
        """
        return self.restore_point is not None and self.restore_point.step == step

    def keep_more(self, tensors: Mapping[str, Tensor]) -> None:
        """Add copies to the state that is kept.

        Args:
            tensors: What only the end of its step knows.
        """
        assert self.restore_point is not None
        self.restore_point.tensors.update((n, t.detach().clone()) for n, t in tensors.items())

    def halve(self, step: int) -> Rescue | None:
        """Halve the rate, and take the loss for as low as it was at the kept state.

        Args:
            step: Steps done, the one in which the divergence was noticed included.

        Returns:
            What to tell; None where it has been tried too often.
        """
        if self.restore_point is None or self.halvings >= _MOST_HALVINGS:
            return None
        self.halvings += 1
        self.level = self.restore_point.level
        least, most = _WARMUP
        steps = min(max(least, step - self.warmup[0]), most)
        self.warmup = (step, steps) if self.restore_point.step == 0 else (0, 0)
        return Rescue(step, self.restore_point.step, 0.5**self.halvings, self.warmup[1])

    def begin_level(self) -> None:
        """Let the loss have another level, for it is over points of another kind from here."""
        self.level = Level()
        if self.restore_point is not None:
            self.restore_point = replace(self.restore_point, level=self.level)

    def state_dict(self) -> dict[str, Any]:
        """Return the fields of `DetectorState` as JSON data, and ``tensors``, not copied."""
        kept = self.restore_point
        point = None if kept is None else RestorePointState(step=kept.step, level=kept.level)
        state = DetectorState(
            halvings=self.halvings,
            level=self.level,
            restore_point=point,
            warmup=self.warmup,
        )
        return state.model_dump(mode="json") | {"tensors": {} if kept is None else kept.tensors}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` returned.

        Args:
            state: As `state_dict` returned it. Tensors are not copied.
        """
        numbers = {key: value for key, value in state.items() if key != "tensors"}
        saved = DetectorState.model_validate(numbers)
        self.halvings, self.level, self.warmup = saved.halvings, saved.level, saved.warmup
        self.restore_point = None
        if saved.restore_point is not None:
            self.restore_point = RestorePoint(
                saved.restore_point.step, dict(state["tensors"]), saved.restore_point.level
            )


# So many of them tell how a fit goes. Of fewer, and of none, the whole batch tells.
_FEW = 16


def has_uniform_points(slots: Sizes, rules: Mapping[str, Slot]) -> bool:
    """Return whether enough points of a batch were drawn without regard to their error.

    Args:
        slots: How many points each rule chose.
        rules: The sampler's rules by name.
    """
    return sum(size for name, size in slots if rules[name].uniform) >= _FEW


def relearns(every: int) -> bool:
    """Tell whether points that are drawn anew every so many steps are learnt in between.

    Args:
        every: The steps. After a few no point is known by heart, and losses go on as they were.
    """
    return every >= _KEEP_EVERY


def uniform_rows(slots: Sizes, count: int, rules: Mapping[str, Slot]) -> list[tuple[int, int]]:
    """Find the points of a batch whose loss is comparable from step to step.

    Args:
        slots: How many points each rule chose, in their order.
        rules: The sampler's rules by name.
        count: All points of the batch.

    Returns:
        (first, behind the last) of each stretch that was drawn uniformly; the whole batch where
        there are no or few of them.
    """
    if not has_uniform_points(slots, rules):
        return [(0, count)]
    found, start = [], 0
    for name, size in slots:
        if rules[name].uniform and size:
            found.append((start, start + size))
        start += size
    return found


class UniformError:
    """Mean squared errors over the comparable points of a batch, on the device.

    Args:
        rows: As `uniform_rows` gives them.
    """

    def __init__(self, rows: list[tuple[int, int]]) -> None:
        self._rows = rows
        self._errors: list[Tensor] = []
        self._values: list[Tensor] = []

    def add(self, start: int, residual: Tensor, values: Tensor) -> None:
        """Add a block.

        Args:
            start: Its first row in the batch.
            residual: (rows, C), prediction - values.
            values: (rows, C).
        """
        for first, behind in self._rows:
            part = slice(max(0, first - start), max(0, behind - start))
            if len(residual[part]):
                self._errors.append(residual[part].square().sum())
                self._values.append(values[part])

    def means(self) -> tuple[Tensor, Tensor]:
        """Give the mean over points and channels, and what the best constant would have."""
        values = torch.cat(self._values)
        constant = values.var(0, correction=0).mean()
        return torch.stack(self._errors).sum() / values.numel(), constant
