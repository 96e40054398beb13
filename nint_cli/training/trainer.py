"""The one training loop."""

import math
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor

from nint_cli.derivatives.engine import EXACT, Engine
from nint_cli.derivatives.probe import Probe
from nint_cli.derivatives.sweep import Passes
from nint_cli.fields.base import Field
from nint_cli.random import Draws
from nint_cli.samplers.base import Observation, Sampler, Selection
from nint_cli.schedules.batch_size import AdaptiveBatchSize
from nint_cli.schedules.clock import Clock
from nint_cli.schedules.duration import Duration
from nint_cli.signals.base import Signal
from nint_cli.training.average import Average
from nint_cli.training.divergence import (
    DivergenceDetector,
    Rescue,
    RestorePoint,
    UniformError,
    has_uniform_points,
    relearns,
    uniform_rows,
)
from nint_cli.training.gradient import batch_gradient
from nint_cli.training.learning_rate import LearningRate
from nint_cli.training.optimiser import Adam
from nint_cli.training.precision import PrecisionSwitch


@dataclass(frozen=True)
class Step:
    """What one step did.

    Attributes:
        number: Steps done so far, this one included.
        loss: Loss of its batch before its update, or of the last batch that was looked at; not
            finite where the fit has diverged in it.
    """

    number: int
    loss: float


@dataclass(frozen=True)
class TrainerState:
    """A trainer at one step.

    Attributes:
        tensors: Parameters, moments and caches by dotted name; not copies.
        numbers: The rest, as plain JSON data.
    """

    tensors: dict[str, Tensor]
    numbers: dict[str, Any]


class Observer(Protocol):
    """Who watches a fit; the trainer itself writes and prints nothing."""

    def after_step(self, trainer: "Trainer", step: Step) -> str | None:
        """See a step; return a reason to stop, or None."""

    def after_rescue(self, trainer: "Trainer", rescue: Rescue) -> None:
        """See that the fit has diverged and goes on from an earlier state; before `after_step`."""


class Trainer:
    """Fits a field to a signal with Adam.

    A step selects points, computes the gradient of the mean squared error over them (mean over
    points and channels, each point times its weight; or the selection's own loss) in blocks, and
    updates the parameters. Everything random is a function of the seed and the step; all state
    goes into a checkpoint.

    Args:
        field: The network.
        signal: The target.
        sampler: Chooses the points of each step.
        learning_rate: The rate and Adam's decays at each step.
        duration: When to stop.
        adaptive_batch_size: Sets the size of batches in a short run; None where it is fixed.
        seed: Of what the sampler draws.
        clock: Bills the time; sampler, update and new points count as training.
        detector: Brings a fit that has diverged back; None lets it end.
        check_every: Steps between looks at the losses; they stay on the device in between, so that
            it never waits. Without a detector, only 1 keeps a bad step out of the parameters.
        engine: How a step computes the field, scoring included.
        precision: Changes that to float32 in time; None leaves it as it is.
        average: The mean of recent parameters, by which the field is measured and kept; or None.
    """

    def __init__(
        self,
        field: Field,
        signal: Signal,
        sampler: Sampler,
        *,
        learning_rate: LearningRate,
        duration: Duration,
        adaptive_batch_size: AdaptiveBatchSize | None = None,
        seed: int,
        clock: Clock,
        detector: DivergenceDetector | None = None,
        check_every: int = 1,
        engine: Engine = EXACT,
        precision: PrecisionSwitch | None = None,
        average: Average | None = None,
    ) -> None:
        self.field = field
        self.signal = signal
        self.sampler = sampler
        self.learning_rate = learning_rate
        self.duration = duration
        self.adaptive_batch_size = adaptive_batch_size
        self.seed = seed
        self.clock = clock
        self.detector = detector
        self.check_every = check_every
        self.engine = engine
        self.precision = precision
        self.average = average
        # What the updates cost, and what choosing the points costs beside them.
        self.updates = Passes()
        self.choosing = Passes()
        # How many points each rule has chosen; None in a run that was begun without counting.
        self.trained: dict[str, int] | None = {}
        self.step = 0
        self._draw = 0
        # Losses that are still on the device, and whether each is the first of its kind.
        self._unseen: list[tuple[Tensor, bool]] = []
        self._loss = math.nan
        self.selections: dict[str, Selection] = {}
        self.optimiser = Adam(field)

    @property
    def passes(self) -> Passes:
        """All network passes of the run so far."""
        return self.updates + self.choosing

    def fit(self, observer: Observer) -> str:
        """Train until a reason to stop turns up.

        Args:
            observer: Sees every step, off the clock.

        Returns:
            ``steps`` or ``time_budget``; ``diverged`` (a loss or its gradient is not finite, or
            the detector has given up; the parameters are those before that step, or the last
            good ones); or the observer's reason.
        """
        end = self.duration.end(self.step)
        while end is None:
            if not self._train_step() and not self._rescue(self.step + 1, observer):
                return "diverged"
            reason = observer.after_step(self, Step(self.step, self._loss))
            end = reason or self.duration.end(self.step)
        return end if self.check_losses(observer) else "diverged"

    def measured(self) -> AbstractContextManager[None]:
        """Let the field have the parameters by which it is to be measured, for a while."""
        return nullcontext() if self.average is None else self.average.in_place()

    def check_losses(self, observer: Observer) -> bool:
        """Look at the losses of all steps so far, and go back if one is no good.

        Whoever reads or saves the field calls this first. Where every step is looked at, there is
        nothing to do.

        Args:
            observer: Told of a rescue.

        Returns:
            False where the fit has diverged for good.
        """
        return not self._unseen or self._check() or self._rescue(self.step, observer)

    def _train_step(self) -> bool:
        """Do one step; tell whether all is well."""
        self.duration.begin(self.step)
        if self.adaptive_batch_size is not None:
            self.adaptive_batch_size.begin(self.step)
        self._renew_points()
        with self.clock.measure("sampler_s"):
            moment = self.optimiser.first_moment
            probe = Probe(self.field, self.signal, self.choosing, moment, self.engine)
            selection = self.sampler.select(self.step, probe, Draws(self.seed, self.step))
        with self.clock.measure("update_s"):
            healthy, observation = self._update(selection)
        if not healthy:
            return False
        if observation is not None and self.sampler.observes:
            with self.clock.measure("sampler_s"):
                self.sampler.observe(self.step, observation)
        if self.detector is not None and self.detector.keeps(self.step):
            passing = {
                name: tensor
                for name, tensor in self._sampler_state().items()
                if name.removeprefix("sampler.") not in self.sampler.lasting_entries
            }
            self.detector.keep_more(passing)
        if not self.selections:
            first = self._on_grid(selection)
            self.selections["first"] = replace(first, indices=first.indices.clone())
        self.selections["last"] = self._on_grid(selection)
        self.step += 1
        return True

    def _on_grid(self, selection: Selection) -> Selection:
        """Return a selection by the indices of the whole grid, where a part of it trains."""
        among = self.signal.among
        return selection if among is None else replace(selection, indices=among[selection.indices])

    def _rescue(self, step: int, observer: Observer) -> bool:
        """Go back to the last good state, and on with half the rate, if that is still worth it.

        The steps count, and the epoch goes on, so that the next batches are others.
        """
        if self.detector is None or self.detector.restore_point is None:
            return False
        rescue = self.detector.halve(step)
        with self.clock.measure("update_s"):
            self._go_back(self.detector.restore_point, step)
        if rescue is None:
            return False
        self.step = step
        observer.after_rescue(self, rescue)
        return True

    def _go_back(self, point: RestorePoint, step: int) -> None:
        self._unseen.clear()
        self.optimiser.load_state_dict(point.tensors)
        if self.average is not None:
            self.average.restart(step, self.optimiser.steps())
        back = {
            name.removeprefix("sampler."): tensor.clone()
            for name, tensor in point.tensors.items()
            if name.startswith("sampler.")
        }
        # What it has learnt since under other names stays, for it may count on that.
        self._load_sampler({**self.sampler.state_dict(), **back})
        self.sampler.undo(point.step)
        every = self.signal.redraw_every
        if every is not None and point.step // every != self._draw:
            self.sampler.forget()

    def _renew_points(self) -> None:
        """Let the signal draw the points of this step, where they are not those of the last."""
        every = self.signal.redraw_every
        if every is None or self.step // every == self._draw:
            return
        self._draw = self.step // every
        # Otherwise a run goes on, which has counted this draw, with what its sampler remembers.
        due = self.step % every == 0
        with self.clock.measure("prepare_s" if due else "load_s"):
            self.signal.redraw(self._draw)
        if due:
            self.sampler.forget()

    def _update(self, selection: Selection) -> tuple[bool, Observation | None]:
        """Compute the gradient of a batch and take a step, unless the fit is seen to diverge."""
        even = None
        if self.detector is not None or self.precision is not None:
            even = UniformError(
                uniform_rows(selection.slots, len(selection.indices), self.sampler.slots)
            )
        gradient, loss, observation = batch_gradient(
            self.field, self.signal, self.sampler, selection, even, self.engine
        )
        share = len(selection.indices) / len(self.signal)
        self.updates.forward += share
        self.updates.backward += share
        if self.trained is not None:
            for rule, count in selection.slots:
                self.trained[rule] = self.trained.get(rule, 0) + count
        # A gradient can overflow before the loss does, and would leave NaN in the parameters.
        norms = torch._foreach_norm(gradient)
        seen = [loss, torch.stack(norms).max(), *(() if even is None else even.means())]
        row = torch.stack([each.to(norms[0].dtype) for each in seen])
        self._unseen.append((row, self._is_first(selection)))
        if self.step % self.check_every == 0:
            if not self._check():
                return False, observation
            if self.detector is not None and self.detector.wants_copy(self.step):
                self.detector.keep(self.step, self.optimiser.state_dict())
            if self.precision is not None:
                self.engine = self.precision.engine(self.engine, self.step + 1)
        rate = self.learning_rate
        self.optimiser.step(gradient, rate.applied(self.step), rate.betas(self.step))
        if self.average is not None:
            self.average.update(self.step, rate.scheduled(self.step), rate.peak)
        return True, observation

    def _is_first(self, selection: Selection) -> bool:
        """Tell whether a loss is over points of another kind than the losses before it."""
        every = self.signal.redraw_every
        if every is not None and self.step and self.step % every == 0 and relearns(every):
            return True
        last, rules = self.selections.get("last"), self.sampler.slots
        return last is not None and has_uniform_points(last.slots, rules) != has_uniform_points(
            selection.slots, rules
        )

    def _check(self) -> bool:
        """Look at the losses since the last look, the one time that the device is waited for."""
        rows, firsts = zip(*self._unseen, strict=True)
        self._unseen.clear()
        for (loss, norm, *watched), first in zip(torch.stack(rows).tolist(), firsts, strict=True):
            self._loss = loss
            if first and self.detector is not None:
                self.detector.begin_level()
            if not math.isfinite(loss) or not math.isfinite(norm):
                return False
            if self.detector is not None and self.detector.sees_divergence(*watched):
                return False
            if self.precision is not None:
                self.precision.see(watched[0], first=first)
        return True

    def state_dict(self) -> "TrainerState":
        """Give everything that later steps depend on, besides the constructor's arguments.

        The clock is not among it, so that equal runs have equal states.
        """
        remembered = self._sampler_state()
        tensors = self.optimiser.state_dict() | remembered
        for when, selection in self.selections.items():
            tensors[f"selection.{when}"] = selection.indices
        numbers = {
            "step": self.step,
            "update_passes": asdict(self.updates),
            "choosing_passes": asdict(self.choosing),
            "trained": None if self.trained is None else dict(self.trained),
            "sampler": {name: list(remembered[name].shape) for name in sorted(remembered)},
            "slots": {when: list(s.slots) for when, s in self.selections.items()},
        }
        if self.average is not None:
            average = self.average.state_dict()
            tensors |= {f"average.{name}": mean for name, mean in average.pop("mean").items()}
            numbers["average"] = average
        if self.duration.timed:
            numbers["duration"] = self.duration.state_dict()
        if self.adaptive_batch_size is not None:
            numbers["adaptive_batch_size"] = self.adaptive_batch_size.state_dict()
        if self.precision is not None:
            numbers["precision"] = self.precision.state_dict()
        if self.detector is not None:
            detector = self.detector.state_dict()
            tensors |= {f"kept.{name}": kept for name, kept in detector.pop("tensors").items()}
            numbers["detector"] = detector
        return TrainerState(tensors, numbers)

    def load_state_dict(self, state: "TrainerState") -> None:
        """Go on exactly where `state_dict` was taken.

        Args:
            state: Of a trainer that was built alike.

        A state that does not fit this trainer raises a ValueError.
        """
        groups: dict[str, dict[str, Tensor]] = {}
        for name, tensor in state.tensors.items():
            head, _, tail = name.partition(".")
            groups.setdefault(head, {})[tail] = tensor
        self.optimiser.load_state_dict(state.tensors)
        if self.average is not None:
            average = state.numbers.get("average") or {}
            self.average.load_state_dict({**average, "mean": groups.get("average", {})})
        self._load_sampler(groups.get("sampler", {}))
        for when, indices in groups.get("selection", {}).items():
            slots = tuple((str(slot), int(size)) for slot, size in state.numbers["slots"][when])
            self.selections[when] = Selection(indices, slots=slots)
        self.step = state.numbers["step"]
        if "passes" in state.numbers:  # older: of both; all that is backward is of updates
            both = Passes(**state.numbers["passes"])
            self.updates = Passes(both.backward, both.backward)
            self.choosing = replace(both, forward=both.forward - both.backward, backward=0)
        else:
            self.updates = Passes(**state.numbers["update_passes"])
            self.choosing = Passes(**state.numbers["choosing_passes"])
        trained = state.numbers.get("trained")
        self.trained = None if trained is None else dict(trained)
        if state.numbers.get("duration") is not None:
            self.duration.load_state_dict(state.numbers["duration"])
        if (
            self.adaptive_batch_size is not None
            and state.numbers.get("adaptive_batch_size") is not None
        ):
            self.adaptive_batch_size.load_state_dict(state.numbers["adaptive_batch_size"])
        if self.precision is not None and state.numbers.get("precision") is not None:
            self.precision.load_state_dict(state.numbers["precision"])
            self.engine = self.precision.engine(self.engine, self.step)
        if self.detector is not None and state.numbers.get("detector") is not None:
            kept = {"tensors": groups.get("kept", {})}
            self.detector.load_state_dict({**state.numbers["detector"], **kept})

    def _load_sampler(self, state: Mapping[str, Tensor]) -> None:
        """Give the sampler its state, on the device that it chooses points on."""
        device, at_host = self.signal.device, self.sampler.host_entries
        self.sampler.load_state_dict({
            name: tensor if name in at_host else tensor.to(device)
            for name, tensor in state.items()
        })

    def _sampler_state(self) -> dict[str, Tensor]:
        return {f"sampler.{name}": tensor for name, tensor in self.sampler.state_dict().items()}
