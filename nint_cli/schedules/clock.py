"""Where the time goes, by kind of work, on a monotonic clock."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol, Self

import torch


class Stamp(Protocol):
    """A moment in a device's work, as `torch.cuda.Event` is one."""

    def query(self) -> bool:
        """Tell whether it has come."""

    def elapsed_time(self, end_event: Self) -> float:
        """Give the milliseconds from here to a later one."""


_WITHOUT_WAITING = frozenset({"sampler_s", "update_s"})


@dataclass
class Clock:
    """Seconds per kind of work.

    Work is billed where it was asked for. A device that lags behind is waited for at both ends of
    a measurement, as EVOS does; in training, which is not to wait, it notes the moments itself,
    and they are read once they have come.

    Attributes:
        load_s: Reading the input and building the field.
        sampler_s: Choosing coordinates, scoring passes included.
        update_s: Forward, backward and optimiser on the chosen coordinates.
        evaluation_s: Evaluating the whole signal.
        save_s: Writing checkpoints and results.
        synchronise: Waits for the device.
        stamp: Asks the device to note the moment; None where it does not lag behind.
    """

    load_s: float = 0.0
    sampler_s: float = 0.0
    update_s: float = 0.0
    evaluation_s: float = 0.0
    save_s: float = 0.0
    synchronise: Callable[[], None] = field(default=lambda: None, repr=False)
    stamp: Callable[[], Stamp] | None = field(default=None, repr=False)
    _unread: list[tuple[str, Stamp, Stamp]] = field(default_factory=list, repr=False)

    KINDS = ("load_s", "sampler_s", "update_s", "evaluation_s", "save_s")

    @property
    def train_s(self) -> float:
        """The training time that budgets and comparisons use: sampler and update."""
        self._read()
        return self.sampler_s + self.update_s

    @contextmanager
    def measure(self, kind: str) -> Iterator[None]:
        """Add the time of a block.

        Args:
            kind: One of `KINDS`.

        Yields:
            Nothing.
        """
        if self.stamp is not None and kind in _WITHOUT_WAITING:
            began = self.stamp()
            try:
                yield
            finally:
                self._unread.append((kind, began, self.stamp()))
            return
        self.synchronise()
        self._read()
        start = time.monotonic()
        try:
            yield
        finally:
            self.synchronise()
            self._add(kind, time.monotonic() - start)

    def seconds(self) -> dict[str, float]:
        """Give every kind, and the training time, all of it."""
        self.synchronise()
        self._read()
        return {kind: getattr(self, kind) for kind in self.KINDS} | {"train_s": self.train_s}

    def _read(self) -> None:
        """Add up what the device has come by."""
        while self._unread and self._unread[0][2].query():
            kind, began, ended = self._unread.pop(0)
            self._add(kind, began.elapsed_time(ended) / 1000)

    def _add(self, kind: str, seconds: float) -> None:
        setattr(self, kind, getattr(self, kind) + seconds)


def device_clock(device: torch.device) -> Clock:
    """Make a clock for the work of a device.

    Args:
        device: Where the field is.

    Returns:
        A clock at 0.
    """
    if device.type != "cuda":
        return Clock()

    def stamp() -> torch.cuda.Event:
        event = torch.cuda.Event(enable_timing=True)
        event.record(torch.cuda.current_stream(device))
        return event

    return Clock(synchronise=device_synchroniser(device), stamp=stamp)


def device_synchroniser(device: torch.device) -> Callable[[], None]:
    """Give what waits for a device.

    Args:
        device: Where the field is.

    Returns:
        A function without arguments; on a CPU it does nothing.
    """
    if device.type == "cuda":
        return lambda: torch.cuda.synchronize(device)
    return lambda: None
