"""When a fit leaves bfloat16, whose rounding keeps it from getting closer."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any

import torch
from pydantic import Field as Setting

from nint_cli.derivatives.engine import Engine
from nint_cli.fields.base import Field
from nint_cli.schedules.state import State
from nint_cli.signals.base import Signal

MARGIN_DB = 5.0
"""How far above the floor's error that of a fit still is when it leaves bfloat16.

A third of the squared error is then by rounding, 1.6 dB. Nearer ends as high, but only where a fit
gets there at all; farther makes steps slow for the sake of little.
"""
# The loss is averaged over about so many steps.
_MEMORY = 10
_MOST_SEEN = 1 << 16


class PrecisionState(State):
    """What a checkpoint holds of a `PrecisionSwitch`.

    Attributes:
        mean: Running mean of the losses, not corrected for its start at 0.
        weight: The weights of those losses, in sum; 0 before there are any.
        left_after: Steps that were done in bfloat16; None while it is not left.
    """

    mean: float = Setting(0.0, ge=0)
    weight: float = Setting(0.0, ge=0, le=1)
    left_after: Annotated[int, Setting(ge=0)] | None = None


class PrecisionSwitch:
    """Leaves bfloat16 for float32 once the loss comes near to what rounding alone makes.

    The error that predictions of a trained field have by bfloat16 is a floor under the training
    loss, and soon under the error of the field itself. So steps are rounded while the mean loss
    is above the floor by `MARGIN_DB`, and computed in float32 from there to the end. The way back
    is closed. What decides is the losses of the steps, so a run that goes on decides alike.

    Args:
        products: Type of the products until then.
        floor_db: The floor, as `Field.bf16_floor_db` has it.
        span: Range of the signal's values, to which the floor relates.

    Attributes:
        products: As given.
        floor_db: As given.
        left_after: Steps that were done in bfloat16; None while it is not left.
    """

    def __init__(self, products: torch.dtype, floor_db: float, span: float) -> None:
        self.products = products
        self.floor_db = floor_db
        self._enough = span**2 * 10 ** ((MARGIN_DB - floor_db) / 10)
        self._mean = 0.0
        self._weight = 0.0
        self.left_after: int | None = None

    def see(self, loss: float, *, first: bool = False) -> None:
        """See the loss of a step.

        Args:
            loss: The mean squared error over its comparable points, in units of the values.
            first: Whether these points are of another kind than those of the losses before.
        """
        if first:
            self._mean = self._weight = 0.0
        if math.isfinite(loss):
            self._mean += (loss - self._mean) / _MEMORY
            self._weight += (1 - self._weight) / _MEMORY

    def engine(self, engine: Engine, steps: int) -> Engine:
        """Return how the next steps are computed.

        Args:
            engine: How the steps so far were.
            steps: How many these are.
        """
        if self.left_after is None and self._has_come_near:
            self.left_after = steps
        return engine if self.left_after is None else replace(engine, products=None)

    @property
    def _has_come_near(self) -> bool:
        """Whether the mean of enough losses is near the floor."""
        known = 1 - (1 - 1 / _MEMORY) ** _MEMORY
        return self._weight >= known * (1 - 1e-9) and self._mean <= self._enough * self._weight

    def state_dict(self) -> dict[str, Any]:
        """Return the fields of `PrecisionState` as JSON data."""
        state = PrecisionState(mean=self._mean, weight=self._weight, left_after=self.left_after)
        return state.model_dump(mode="json")

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` returned."""
        saved = PrecisionState.model_validate(state)
        self._mean, self._weight, self.left_after = saved.mean, saved.weight, saved.left_after


def precision_switch(
    products: torch.dtype, field: Field, signal: Signal
) -> PrecisionSwitch | None:
    """Return what leaves bfloat16 in time; None where the field never takes it.

    Args:
        products: The type to leave.
        field: What is fitted; it says its floor.
        signal: What it is fitted to, whose values say what the floor relates to.
    """
    if field.bf16_floor_db is None:
        return None
    return PrecisionSwitch(products, field.bf16_floor_db, value_range(signal))


def value_range(signal: Signal) -> float:
    """Return the largest value of any channel less the smallest, over points spread evenly.

    Args:
        signal: Of a large one some `_MOST_SEEN` points are looked at, or a picture of gigabytes
            would be read once more before its fit begins.
    """
    every = max(1, len(signal) // _MOST_SEEN)
    _, values = signal.at(torch.arange(0, len(signal), every, device=signal.device))
    low, high = values.aminmax()
    return float(high - low)
