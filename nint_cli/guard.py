"""Noticing that a fit has diverged, and the state to go back to."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

# Of so many losses on end each must say that the fit has diverged.
_PATIENCE = 10
# It has where they are this many times the lowest average so far, 9 dB. That one is over some 40
# batches, and over 20 at least, so that even of 256 points some hold rare loud ones.
_MULTIPLE = 8.0
_SMOOTHING = 0.95
_AT_LEAST = 20
# Or where they are no smaller than those of a constant, as of a network that has collapsed, while
# ten on end have once been half as large.
_LOST = 0.9
_LEARNT = 0.5
# Or where the network has become a constant before it learnt anything, which a rate that is too
# high keeps from resting: so many losses on end are this much above a constant's, and the excess
# of the second half is nearly that of the first. A fit that is only slow lowers it.
_STUCK_FOR = 100
_STUCK = (1.01, 2.0)
_STILL = 0.9
# Not again at a sixteenth of the rate: what is not learnt by then is not learnt.
_STUCK_HALVINGS = 4
# Below this share of the first loss, 50 dB, ratios of losses say nothing: Adam jitters.
_FLOOR = 1e-5
_KEEP_EVERY = 50
_MOST_HALVINGS = 10
# A second warm-up has as many steps as went wrong, within these.
_WARMUP = (10, 200)


@dataclass
class Level:
    """How low the loss has been.

    Attributes:
        steps: Losses seen.
        first: The first one.
        recent: The last ten.
        smoothed: Their exponential average.
        lowest: The lowest that it has been.
        best: The lowest level that ten losses on end have not been above.
        above: How many on end have been far above the lowest average.
        lost: How many on end have been those of a constant.
        stuck: How many on end, of a hundred at most, have been little above those of a constant.
        early: The excess over a constant's of the first fifty of them, in multiples of it, summed.
        late: That of the others.
    """

    steps: int = 0
    first: float = 0.0
    recent: list[float] = field(default_factory=list)
    smoothed: float = 0.0
    lowest: float = math.inf
    best: float = math.inf
    above: int = 0
    lost: int = 0
    stuck: int = 0
    early: float = 0.0
    late: float = 0.0

    def see(self, loss: float, constant: float, *, may_be_stuck: bool = True) -> bool:
        """See the loss of a step.

        Args:
            loss: It.
            constant: What the best constant prediction would have had.
            may_be_stuck: Whether a fit that learns nothing may count as one that has diverged.

        Returns:
            Whether the fit has diverged.
        """
        if not math.isfinite(loss):
            return True
        self.steps += 1
        if self.steps == 1:
            self.first = loss
        floor = _FLOOR * self.first
        self.above = self.above + 1 if loss > _MULTIPLE * max(self.lowest, floor) else 0
        has_learnt = max(self.best, floor) < _LEARNT * constant
        self.lost = self.lost + 1 if has_learnt and loss >= _LOST * constant else 0
        # As a plain mean while there are few, or the first would weigh as much as all others.
        share = max(1 - _SMOOTHING, 1 / self.steps)
        self.smoothed += share * (loss - self.smoothed)
        if self.steps >= _AT_LEAST:
            self.lowest = min(self.lowest, self.smoothed)
        self.recent = [*self.recent[1 - _PATIENCE :], loss]
        if len(self.recent) == _PATIENCE:
            self.best = min(self.best, max(self.recent))
        is_stuck = self._is_stuck(loss, constant) and may_be_stuck
        return is_stuck or max(self.above, self.lost) >= _PATIENCE

    def _is_stuck(self, loss: float, constant: float) -> bool:
        """Tell whether the last hundred losses are those of a constant that cannot rest."""
        least, most = _STUCK
        # Never of a signal that is constant itself, whose excess would be in multiples of 0.
        is_near = least * constant < loss <= most * constant
        if self.stuck == _STUCK_FOR or not is_near:
            self.stuck, self.early, self.late = 0, 0.0, 0.0
        if not is_near:
            return False
        self.stuck += 1
        excess = loss / constant - 1
        if self.stuck <= _STUCK_FOR // 2:
            self.early += excess
        else:
            self.late += excess
        return self.stuck == _STUCK_FOR and self.late >= _STILL * self.early

    @property
    def is_calm(self) -> bool:
        """Whether the last loss is no sign of a divergence that has begun."""
        if self.lost or self.stuck:
            return False
        return self.recent[-1] <= 2 * max(self.best, _FLOOR * self.first)

    def numbers(self) -> dict[str, Any]:
        """Give all of it as JSON data, which has no infinity."""
        return {key: None if value == math.inf else value for key, value in asdict(self).items()}

    @classmethod
    def of(cls, numbers: Mapping[str, Any]) -> "Level":
        """Make one of what `numbers` gave."""
        unset = {key: math.inf for key, value in numbers.items() if value is None}
        return cls(**{**numbers, **unset})


@dataclass(frozen=True)
class Kept:
    """A good state.

    Attributes:
        step: Steps done before it.
        tensors: Copies of its tensors.
        level: How low the loss had been, as JSON data.
    """

    step: int
    tensors: dict[str, Tensor]
    level: dict[str, Any]


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
class Guard:
    """Watches the loss of every step, and keeps a good state at hand.

    A fit has diverged where the loss is not finite, stays far above the lowest level that it has
    had, becomes that of a constant after it was better, or stays a little above that without
    having been better. The caller then brings back what is kept and goes on with half the rate.
    From the initial state the rate rises anew, for Adam knows nothing there of how large gradients
    are, and the warm-up of the run may be over.

    Attributes:
        halvings: How often the rate has been halved.
        level: How low the loss has been.
        kept: The newest good state, or None before there is one.
        warmup: (first step, steps) of the rise after the last rescue; (0, 0) without one.
    """

    halvings: int = 0
    level: Level = field(default_factory=Level)
    kept: Kept | None = None
    warmup: tuple[int, int] = (0, 0)

    def sees_divergence(self, loss: float, constant: float) -> bool:
        """See the loss of a step; tell whether the fit has diverged.

        Args:
            loss: It.
            constant: What the best constant prediction would have had.
        """
        return self.level.see(loss, constant, may_be_stuck=self.halvings < _STUCK_HALVINGS)

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
        if self.kept is None:
            return True
        return step >= self.kept.step + _KEEP_EVERY and self.level.is_calm

    def keep(self, step: int, tensors: Mapping[str, Tensor]) -> None:
        """Keep copies of a state.

        Args:
            step: Steps done before it.
            tensors: It.
        """
        copies = {name: tensor.detach().clone() for name, tensor in tensors.items()}
        self.kept = Kept(step, copies, self.level.numbers())

    def keeps(self, step: int) -> bool:
        """Tell whether the state that is kept is that of a step.

        Args:
            step: Steps done before it.
        """
        return self.kept is not None and self.kept.step == step

    def keep_more(self, tensors: Mapping[str, Tensor]) -> None:
        """Add copies to the state that is kept.

        Args:
            tensors: What only the end of its step knows.
        """
        assert self.kept is not None
        self.kept.tensors.update((n, t.detach().clone()) for n, t in tensors.items())

    def halve(self, step: int) -> Rescue | None:
        """Halve the rate, and take the loss for as low as it was at the kept state.

        Args:
            step: Steps done, the one in which the divergence was noticed included.

        Returns:
            What to tell; None where it has been tried too often.
        """
        if self.kept is None or self.halvings >= _MOST_HALVINGS:
            return None
        self.halvings += 1
        self.level = Level.of(self.kept.level)
        least, most = _WARMUP
        steps = min(max(least, step - self.warmup[0]), most)
        self.warmup = (step, steps) if self.kept.step == 0 else (0, 0)
        return Rescue(step, self.kept.step, 0.5**self.halvings, self.warmup[1])

    def begin_level(self) -> None:
        """Let the loss have another level, for it is over points of another kind from here."""
        self.level = Level()
        if self.kept is not None:
            self.kept = replace(self.kept, level=self.level.numbers())

    def numbers(self) -> dict[str, Any]:
        """Give what is no tensor as JSON data."""
        kept = None
        if self.kept is not None:
            kept = {"step": self.kept.step, "level": self.kept.level}
        return {
            "halvings": self.halvings,
            "level": self.level.numbers(),
            "kept": kept,
            "warmup": list(self.warmup),
        }

    @classmethod
    def of(cls, numbers: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> "Guard":
        """Make one of what was saved.

        Args:
            numbers: As `Guard.numbers` gave them.
            tensors: Those of the kept state.

        Returns:
            The guard.
        """
        kept = numbers["kept"]
        state = None if kept is None else Kept(kept["step"], dict(tensors), kept["level"])
        first, steps = numbers.get("warmup", (0, 0))
        return cls(numbers["halvings"], Level.of(numbers["level"]), state, (first, steps))


_EVEN = frozenset({"uniform", "mutant", "full"})
"""Slots whose points are drawn without regard to their loss."""

# So many of them tell how a fit goes. Of fewer, and of none, the whole batch tells.
_FEW = 16


def is_even(slots: tuple[tuple[str, int], ...]) -> bool:
    """Tell whether a batch has points enough that were drawn without regard to their loss.

    Args:
        slots: How many points each rule chose.
    """
    return sum(size for name, size in slots if name in _EVEN) >= _FEW


def relearns(every: int) -> bool:
    """Tell whether points that are drawn anew every so many steps are learnt in between.

    Args:
        every: The steps. After a few no point is known by heart, and losses go on as they were.
    """
    return every >= _KEEP_EVERY


def even_rows(slots: tuple[tuple[str, int], ...], count: int) -> list[tuple[int, int]]:
    """Find the points of a batch whose loss is comparable from step to step.

    Args:
        slots: How many points each rule chose, in their order.
        count: All points of the batch.

    Returns:
        (first, behind the last) of each stretch that was drawn uniformly; the whole batch where
        there are no or few of them.
    """
    if not is_even(slots):
        return [(0, count)]
    found, start = [], 0
    for name, size in slots:
        if name in _EVEN and size:
            found.append((start, start + size))
        start += size
    return found


class EvenError:
    """Mean squared errors over the comparable points of a batch, on the device.

    Args:
        rows: As `even_rows` gives them.
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
