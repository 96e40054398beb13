"""Where the time goes, by kind of work, on a monotonic clock."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch


@dataclass
class Clock:
    """Seconds per kind of work.

    The device is synchronised at both ends of every measurement, as EVOS does, so that work is
    billed where it was asked for.

    Attributes:
        load_s: Reading the input and building the field.
        sampler_s: Choosing coordinates, scoring passes included.
        update_s: Forward, backward and optimiser on the chosen coordinates.
        evaluation_s: Evaluating the whole signal.
        save_s: Writing checkpoints and results.
        synchronise: Waits for the device.
    """

    load_s: float = 0.0
    sampler_s: float = 0.0
    update_s: float = 0.0
    evaluation_s: float = 0.0
    save_s: float = 0.0
    synchronise: Callable[[], None] = field(default=lambda: None, repr=False)

    KINDS = ("load_s", "sampler_s", "update_s", "evaluation_s", "save_s")

    @property
    def train_s(self) -> float:
        """The training time that budgets and comparisons use: sampler and update."""
        return self.sampler_s + self.update_s

    @contextmanager
    def measure(self, kind: str) -> Iterator[None]:
        """Add the time of a block.

        Args:
            kind: One of `KINDS`.

        Yields:
            Nothing.
        """
        self.synchronise()
        start = time.monotonic()
        try:
            yield
        finally:
            self.synchronise()
            setattr(self, kind, getattr(self, kind) + time.monotonic() - start)

    def seconds(self) -> dict[str, float]:
        """Give every kind, and the training time."""
        return {kind: getattr(self, kind) for kind in self.KINDS} | {"train_s": self.train_s}


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
