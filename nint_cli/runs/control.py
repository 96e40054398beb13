"""How a run is watched and steered from outside."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Protocol


class Progress(Protocol):
    """Who shows a fit while it goes on."""

    def start(self, total_steps: int, done: int) -> None:
        """See how long it will be."""

    def step(self, number: int, loss: float, total_steps: int, left_s: float | None) -> None:
        """See a step, how many there will be after all, and the seconds left, if known.

        Evaluations that are to come are counted among these, the end measurement is not.
        """

    def evaluated(self, figure: str, value: float | None) -> None:
        """See an evaluation by the modality's headline."""

    def finish(self) -> None:
        """See the end of the training, whatever it is."""

    def begin_end(self, seconds: float | None) -> None:
        """See that measuring and drawing begin, and about how long they take, if known."""

    def end(self, share: float) -> None:
        """See what share of them is done."""

    def finish_end(self) -> None:
        """See that they are over."""


class Silent:
    """A `Progress` that shows nothing."""

    def start(self, total_steps: int, done: int) -> None:
        """Say nothing."""

    def step(self, number: int, loss: float, total_steps: int, left_s: float | None) -> None:
        """Say nothing."""

    def evaluated(self, figure: str, value: float | None) -> None:
        """Say nothing."""

    def finish(self) -> None:
        """Say nothing."""

    def begin_end(self, seconds: float | None) -> None:
        """Say nothing."""

    def end(self, share: float) -> None:
        """Say nothing."""

    def finish_end(self) -> None:
        """Say nothing."""


@dataclass
class Control:
    """How a run is watched and steered from outside.

    Attributes:
        progress: Shows it.
        note: Told what is worth knowing, a line at a time.
        stop_signal: Asked after every step; the number of a signal ends the run in order.
        save_now: Asked after every step; True writes a checkpoint.
        in_order: Entered while a folder is written to. Outside of it nothing is lost if the
            process ends, so whoever steers need not wait until `stop_signal` is asked.
        require_target: Whether a target that is missed is exit code 7.
        require_mesh: Whether a shape that ends without a surface is exit code 5.
    """

    progress: Progress = field(default_factory=Silent)
    note: Callable[[str], None] = lambda _: None
    stop_signal: Callable[[], int | None] = lambda: None
    save_now: Callable[[], bool] = lambda: False
    in_order: Callable[[], AbstractContextManager[None]] = nullcontext
    require_target: bool = False
    require_mesh: bool = False
