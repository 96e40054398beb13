"""Timing for benchmarks: what is compared takes turns, in one process."""

import statistics
import time
from collections.abc import Callable, Mapping

import torch

from nint_cli.fields.siren import Siren
from nint_cli.signals.base import GridSignal

Job = Callable[[], object]


def interleaved(jobs: Mapping[str, Job], repeats: int) -> dict[str, list[float]]:
    """Time each job in turn, several times over, after a round that does not count.

    Args:
        jobs: What to time, by name.
        repeats: Rounds that count.

    Returns:
        Seconds of each round, by name.
    """
    seconds: dict[str, list[float]] = {name: [] for name in jobs}
    for round_number in range(repeats + 1):
        for name, job in jobs.items():
            start = time.perf_counter()
            job()
            if round_number:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def medians(seconds: Mapping[str, list[float]]) -> dict[str, float]:
    """Return the median of each job."""
    return {name: statistics.median(values) for name, values in seconds.items()}


def picture(rows: int) -> GridSignal:
    """Make a colour picture of about that many pixels, 1024 wide."""
    height = max(1, rows // 1024)
    generator = torch.Generator().manual_seed(0)
    stored = torch.randint(0, 256, (height * 1024, 3), generator=generator, dtype=torch.uint8)
    return GridSignal(stored, (height, 1024), scale=255.0)


def siren() -> Siren:
    """Make the paper's network for colour pictures."""
    return Siren(2, 3, generator=torch.Generator().manual_seed(0))
