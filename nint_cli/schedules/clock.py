"""Where the time goes, by kind of work, on a monotonic clock."""

import time
from collections.abc import Callable, Iterator, Mapping
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
    and they are read once they have come. A block within a block is billed once, to its own kind.

    Attributes:
        load_s: Reading the input and building the field.
        prepare_s: What a method computes before and beside its steps: what a sampler knows of the
            signal beforehand, and points that are drawn anew.
        sampler_s: Choosing coordinates, scoring passes included.
        update_s: Forward, backward and optimiser on the chosen coordinates.
        evaluation_s: Evaluating the whole signal.
        save_s: Writing checkpoints and results.
        earlier_s: All time of the parts of a run before this one.
        synchronise: Waits for the device.
        stamp: Asks the device to note the moment; None where it does not lag behind.
    """

    load_s: float = 0.0
    prepare_s: float = 0.0
    sampler_s: float = 0.0
    update_s: float = 0.0
    evaluation_s: float = 0.0
    save_s: float = 0.0
    earlier_s: float = 0.0
    synchronise: Callable[[], None] = field(default=lambda: None, repr=False)
    stamp: Callable[[], Stamp] | None = field(default=None, repr=False)
    _unread: list[tuple[str, Stamp, Stamp]] = field(default_factory=list, repr=False)
    _began: float = field(init=False, repr=False)
    _within_s: float = field(default=0.0, repr=False)  # of blocks inside the one that is open

    KINDS = ("load_s", "prepare_s", "sampler_s", "update_s", "evaluation_s", "save_s")

    def __post_init__(self) -> None:
        self._began = time.monotonic()

    @property
    def train_s(self) -> float:
        """The training time that budgets and comparisons use: preparing, sampler and update."""
        self._read()
        return self.prepare_s + self.sampler_s + self.update_s

    @property
    def total_s(self) -> float:
        """All time since the clock was made, with that of earlier parts of the run."""
        return self.earlier_s + time.monotonic() - self._began

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
        outside, self._within_s = self._within_s, 0.0
        start = time.monotonic()
        try:
            yield
        finally:
            self.synchronise()
            taken = time.monotonic() - start
            self._add(kind, taken - self._within_s)
            self._within_s = outside + taken

    def seconds(self) -> dict[str, float]:
        """Return the seconds of every kind, the training time, and all time with what is left.

        It waits for the device. ``other_s`` is what `total_s` has beyond the kinds.
        """
        self.synchronise()
        found = self.known()
        other = found["total_s"] - sum(found[kind] for kind in self.KINDS)
        return found | {"train_s": self.train_s, "other_s": max(0.0, other)}

    def known(self) -> dict[str, float]:
        """Return the seconds of every kind, and all time, as far as the device has come."""
        self._read()
        return {kind: getattr(self, kind) for kind in self.KINDS} | {"total_s": self.total_s}

    def resume(self, before: Mapping[str, object]) -> None:
        """Go on counting from what `known` gave in an earlier part of the run.

        Reading the input again is counted. Preparing is not: what a method computed for the first
        part is computed again only because nothing of it is saved, so that this is reading, too.

        Args:
            before: Seconds by kind; kinds that are not there, or are no times, add nothing.
        """
        sound = {
            kind: float(seconds)
            for kind in (*self.KINDS, "total_s")
            if isinstance(seconds := before.get(kind), int | float) and seconds >= 0
        }
        if "prepare_s" in sound:
            self.load_s, self.prepare_s = self.load_s + self.prepare_s, 0.0
        for kind in self.KINDS:
            self._add(kind, sound.get(kind, 0.0))
        billed = sum(sound.get(kind, 0.0) for kind in self.KINDS)
        self.earlier_s += sound.get("total_s", billed)

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
