"""Random numbers of a step and a stream: no device has them, and no state goes on with them.

What is drawn depends on the seed of the run, the step and the name of the stream alone. So a run
goes on with the same numbers on any device, processes can share one order, and nothing depends on
who draws first or how much.

Source: Philox4x64-10 of Salmon, Moraes, Dror, Shaw, "Parallel Random Numbers: As Easy as 1, 2, 3",
SC 2011. Seed and stream are the key; the step is the highest word of the counter, so that steps
have 2^192 numbers each and share none.
"""

import hashlib
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True)
class Draws:
    """The randomness of one step.

    Attributes:
        seed: Of the run, in [0, 2^64).
        step: In [0, 2^64).
    """

    seed: int
    step: int = 0

    def stream(self, name: str) -> np.random.Generator:
        """Begin a stream.

        Args:
            name: Says what it is for. Streams of other names have other numbers; the same name
                begins the same numbers again.

        Returns:
            A generator that nobody else draws from.
        """
        hashed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")
        key = np.array([self.seed, hashed], dtype=np.uint64)
        counter = np.array([0, 0, 0, self.step], dtype=np.uint64)
        return np.random.Generator(np.random.Philox(key=key, counter=counter))

    def at(self, step: int) -> "Draws":
        """Return the randomness of another step of the same run."""
        return replace(self, step=step)


def moved(drawn: NDArray[Any], device: torch.device) -> Tensor:
    """Hand what was drawn to a device, without waiting for it.

    Args:
        drawn: Numbers; a tensor on the CPU shares their memory.
        device: Where they are wanted.

    Returns:
        A tensor of the same shape and type.
    """
    tensor = torch.from_numpy(np.ascontiguousarray(drawn))
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)
