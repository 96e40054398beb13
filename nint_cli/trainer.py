"""The one training loop."""

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor

from nint_cli.clock import Clock
from nint_cli.fields import Field, load_parameters
from nint_cli.probe import Probe
from nint_cli.samplers import BatchLoss, Observation, Sampler, Selection
from nint_cli.signals import Signal
from nint_cli.sweep import Passes, block_size, pull_coupled, pullback


@dataclass(frozen=True)
class Step:
    """What one step did.

    Attributes:
        number: Steps done so far, this one included.
        loss: Loss of its batch before its update.
    """

    number: int
    loss: float


@dataclass(frozen=True)
class TrainerState:
    """A trainer at one step.

    Attributes:
        tensors: Parameters, moments, caches and generator by dotted name; not copies.
        numbers: The rest, as plain JSON data.
    """

    tensors: dict[str, Tensor]
    numbers: dict[str, Any]


class Observer(Protocol):
    """Who watches a fit; the trainer itself writes and prints nothing."""

    def after_step(self, trainer: "Trainer", step: Step) -> str | None:
        """See a step; return a reason to stop, or None."""


class Trainer:
    """Fits a field to a signal with Adam.

    A step selects points, takes the gradient of the mean squared error over them (mean over
    points and channels, each point times its weight; or the selection's own loss), in blocks, and
    updates. Everything random
    comes from one generator; all state goes into a checkpoint.

    Args:
        field: The network.
        signal: The target.
        sampler: Chooses the points of each step.
        learning_rate: Gives the rate of a step, from 0.
        total_steps: When to stop.
        generator: For the sampler; on the field's device.
        clock: Bills the time; only the sampler and the update count as training.
    """

    def __init__(
        self,
        field: Field,
        signal: Signal,
        sampler: Sampler,
        *,
        learning_rate: Callable[[int], float],
        total_steps: int,
        generator: torch.Generator,
        clock: Clock,
    ) -> None:
        self.field = field
        self.signal = signal
        self.sampler = sampler
        self.learning_rate = learning_rate
        self.total_steps = total_steps
        self.generator = generator
        self.clock = clock
        self.passes = Passes()
        self.step = 0
        self._draw = 0
        self.selections: dict[str, Selection] = {}
        self.optimiser = torch.optim.Adam(field.parameters(), lr=learning_rate(0), fused=True)

    def fit(self, observer: Observer) -> str:
        """Train until a reason to stop turns up.

        Args:
            observer: Sees every step, off the clock.

        Returns:
            ``steps``, ``diverged`` (a loss or its gradient is not finite; the parameters are those
            before that step), or the observer's reason.
        """
        while self.step < self.total_steps:
            loss = self._train_step()
            if loss is None:
                return "diverged"
            reason = observer.after_step(self, Step(self.step, loss))
            if reason is not None:
                return reason
        return "steps"

    def _train_step(self) -> float | None:
        """Do one step; give its loss, or None where it or its gradient is not finite."""
        self._renew_points()
        with self.clock.measure("sampler_s"):
            probe = Probe(self.field, self.signal, self.passes)
            selection = self.sampler.select(self.step, probe, self.generator)
        with self.clock.measure("update_s"):
            loss, observation = self._update(selection)
        if loss is None:
            return None
        if observation is not None and self.sampler.observes:
            with self.clock.measure("sampler_s"):
                self.sampler.observe(self.step, observation)
        if not self.selections:
            first = replace(selection, indices=selection.indices.clone())
            self.selections["first"] = first
        self.selections["last"] = selection
        self.step += 1
        return loss

    def _renew_points(self) -> None:
        """Let the signal draw the points of this step, where they are not those of the last."""
        every = self.signal.redraw_every
        if every is None or self.step // every == self._draw:
            return
        self._draw = self.step // every
        with self.clock.measure("load_s"):  # reading, as INT's own times do not count it
            self.signal.redraw(self._draw)
        if self.step % every == 0:  # otherwise a run goes on, with what its sampler remembers
            self.sampler.forget()

    def _update(self, selection: Selection) -> tuple[float | None, Observation | None]:
        """Take the gradient over a batch and follow it, unless it has left the finite numbers."""
        if selection.loss is None:
            found = self._separable(selection)
        else:
            found = self._coupled(selection, selection.loss)
        gradient, loss, observation = found
        share = len(selection.indices) / len(self.signal)
        self.passes.forward += share
        self.passes.backward += share
        # One look at the device for all: a gradient can overflow before the loss does, and would
        # leave NaN in the parameters.
        norms = torch._foreach_norm(gradient)
        seen = torch.stack([loss.to(norms[0].dtype), torch.stack(norms).max()]).tolist()
        if not all(map(math.isfinite, seen)):
            return None, observation
        for parameter, part in zip(self.field.parameters(), gradient, strict=True):
            parameter.grad = part
        for group in self.optimiser.param_groups:
            group["lr"] = self.learning_rate(self.step)
        self.optimiser.step()
        return seen[0], observation

    def _separable(self, selection: Selection) -> tuple[list[Tensor], Tensor, Observation | None]:
        """Take the gradient of the weighted mean squared error, block by block."""
        count = len(selection.indices)
        scale = 2 / (count * self.signal.value_dim)
        squared_error = torch.zeros((), dtype=torch.float64, device=selection.indices.device)
        seen: list[tuple[Tensor, Tensor]] = []

        def loss_gradient(start: int, prediction: Tensor, values: Tensor) -> Tensor:
            if self.sampler.observes:
                seen.append((prediction, values))
            residual = prediction - values
            if selection.weights is None:
                weighted = residual
            else:
                weighted = selection.weights[start : start + len(values), None] * residual
            squared_error.add_((weighted * residual).sum())
            return scale * weighted

        gradient = pullback(self.field, self._batch_blocks(selection.indices), loss_gradient)
        return gradient, squared_error * (scale / 2), _observation(selection, seen)

    def _coupled(
        self, selection: Selection, loss: BatchLoss
    ) -> tuple[list[Tensor], Tensor, Observation | None]:
        """Take the gradient of a loss that needs the whole batch's prediction at once."""
        blocks = list(self._batch_blocks(selection.indices))
        values = torch.cat([part for _, _, part in blocks])
        found: list[Tensor] = []

        def loss_gradient(prediction: Tensor) -> Tensor:
            total, gradient = loss(prediction, values)
            found.extend([prediction, total])
            return gradient

        gradient, by_coords = pull_coupled(
            self.field,
            [coords for _, coords, _ in blocks],
            loss_gradient,
            by_coords=self.sampler.wants_coord_gradient,
        )
        prediction, total = found
        return gradient, total, Observation(selection, prediction, values, by_coords)

    def _batch_blocks(self, indices: Tensor) -> Iterator[tuple[int, Tensor, Tensor]]:
        size = block_size(self.field)
        for start in range(0, len(indices), size):
            yield (start, *self.signal.at(indices[start : start + size]))

    def state_dict(self) -> "TrainerState":
        """Give everything that later steps depend on, besides the constructor's arguments.

        The clock is not among it, so that equal runs have equal states.
        """
        tensors = {f"field.{name}": tensor for name, tensor in self.field.state_dict().items()}
        names = [name for name, _ in self.field.named_parameters()]
        for index, moments in self.optimiser.state_dict()["state"].items():
            for kind, tensor in moments.items():
                tensors[f"optimiser.{kind}.{names[index]}"] = tensor
        for name, tensor in self.sampler.state_dict().items():
            tensors[f"sampler.{name}"] = tensor
        tensors["generator"] = self.generator.get_state()
        for when, selection in self.selections.items():
            tensors[f"selection.{when}"] = selection.indices
        numbers = {
            "step": self.step,
            "passes": asdict(self.passes),
            "slots": {when: list(s.slots) for when, s in self.selections.items()},
        }
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
        load_parameters(self.field, groups.get("field", {}))
        moments: dict[int, dict[str, Tensor]] = {}
        names = [name for name, _ in self.field.named_parameters()]
        for name, tensor in groups.get("optimiser", {}).items():
            kind, _, parameter = name.partition(".")
            moments.setdefault(names.index(parameter), {})[kind] = tensor
        self.optimiser.load_state_dict(self.optimiser.state_dict() | {"state": moments})
        self.sampler.load_state_dict(groups.get("sampler", {}))
        self.generator.set_state(groups["generator"][""].cpu())
        for when, indices in groups.get("selection", {}).items():
            slots = tuple((str(slot), int(size)) for slot, size in state.numbers["slots"][when])
            self.selections[when] = Selection(indices, slots=slots)
        self.step = state.numbers["step"]
        self.passes = Passes(**state.numbers["passes"])


def _observation(selection: Selection, seen: list[tuple[Tensor, Tensor]]) -> Observation | None:
    """Put the blocks of a batch together again; None where nobody looks."""
    if not seen:
        return None
    prediction, values = (torch.cat(parts) for parts in zip(*seen, strict=True))
    return Observation(selection, prediction, values)
