"""The mean of recent parameters, which is better than the last ones while the rate is high."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from pydantic import Field as Setting
from torch import Tensor

from nint_cli.fields.base import Field
from nint_cli.schedules.state import State


class AverageState(State):
    """What a checkpoint holds of an `Average` besides tensors.

    Attributes:
        begins: The step that the mean begins with.
        undone: How many steps before it the parameters never had.
    """

    begins: int = Setting(0, ge=0)
    undone: int = Setting(0, ge=0)


class Average:
    """An exponential mean of a field's parameters over a share of the steps so far.

    Steps of a high learning rate jump about what they go towards, and the mean of where they were
    is closer to it (Polyak and Juditsky, 1992). How far they jump is in proportion to the rate, so
    the window is too: it spans ``share`` of the steps done, times the rate as a part of its
    highest. At the end of a schedule that goes to 0 the mean is therefore the last parameters.
    Where a fit goes back, only those steps count as done that its parameters have had, and the
    window reaches no further back than that.

    The mean takes no part in training; a run is measured by it, and leaves it.
    PyTorch's `AveragedModel` keeps a second network, and weighs by a count, not by step and rate.

    Args:
        field: The network.
        share: Of the steps, in (0, 1).
    """

    def __init__(self, field: Field, *, share: float) -> None:
        self._field = field
        self._share = share
        self._mean: list[Tensor] | None = None
        # The step that the mean begins with, and how many before it the parameters never had.
        self._begins = 0
        self._undone = 0

    @torch.no_grad()
    def update(self, step: int, rate: float, peak: float) -> None:
        """Take in the parameters after a step.

        Args:
            step: The step, from 0.
            rate: Its scheduled learning rate.
            peak: The highest scheduled rate.
        """
        parameters = [parameter.detach() for parameter in self._field.parameters()]
        if self._mean is None:
            self._mean = [parameter.clone() for parameter in parameters]
            return
        window = self._share * (step - self._undone) * rate / peak
        window = min(window, step - self._begins + 1)
        torch._foreach_lerp_(self._mean, parameters, 1 / max(1.0, window))

    def restart(self, step: int, had: int) -> None:
        """Forget what was, because the parameters are those of an earlier step now.

        Args:
            step: The next step.
            had: Steps that the parameters have had.
        """
        self._mean = None
        self._begins, self._undone = step, step - had

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Let the field have the mean for a while.

        Yields:
            Nothing.
        """
        if self._mean is None:
            yield
            return
        self._exchange(self._mean)
        try:
            yield
        finally:
            self._exchange(self._mean)

    @torch.no_grad()
    def _exchange(self, mean: list[Tensor]) -> None:
        for parameter, other in zip(self._field.parameters(), mean, strict=True):
            kept = parameter.clone()
            parameter.copy_(other)
            other.copy_(kept)

    def state_dict(self) -> dict[str, Any]:
        """Return the fields of `AverageState`, and the ``mean`` by parameter; not copies.

        The mean is empty before the first step.
        """
        names = [name for name, _ in self._field.named_parameters()]
        mean = dict(zip(names, self._mean or [], strict=False))
        return AverageState(begins=self._begins, undone=self._undone).model_dump() | {"mean": mean}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` returned.

        Args:
            state: As `state_dict` returned it. The mean is copied.

        Raises:
            ValueError: If a tensor is missing, or does not fit.
        """
        saved = AverageState.model_validate({k: v for k, v in state.items() if k != "mean"})
        self._begins, self._undone = saved.begins, saved.undone
        self._mean = None
        if not state["mean"]:
            return
        found = []
        for name, parameter in self._field.named_parameters():
            tensor = state["mean"].get(name)
            if tensor is None or tensor.shape != parameter.shape:
                raise ValueError(f"average.{name} is missing or does not fit")
            found.append(tensor.to(parameter.device, copy=True))
        self._mean = found
