"""On how many threads a loop runs."""

import os
from collections.abc import Callable
from typing import Any

import torch

_started_in: int | None = None
"""The process whose threads Numba has started."""


def run(
    part: Callable[..., None], all_parts: Callable[..., None], arguments: tuple[Any, ...]
) -> None:
    """Run a compiled loop on as many threads as PyTorch has.

    Args:
        part: Runs one of several parts: ``part(index, parts, *arguments)``.
        all_parts: Runs them all, each on its thread: ``all_parts(parts, *arguments)``.
        arguments: What both take besides.
    """
    threads = _threads()
    if threads == 1:
        part(0, 1, *arguments)
    else:
        all_parts(threads, *arguments)


def _threads() -> int:
    """Return the number of threads; 1 in a fork of a process with threads, which has none."""
    global _started_in
    wanted = torch.get_num_threads()
    if wanted == 1 or _started_in not in {None, os.getpid()}:
        return 1
    import numba

    if _started_in is None:
        # PyTorch's library for threads: a pool of another one would compete with PyTorch's.
        numba.config.THREADING_LAYER = "omp"  # type: ignore[attr-defined]
        try:
            numba.set_num_threads(1)  # which starts them
        finally:
            torch.set_num_threads(wanted)  # starting them tells that library another number
        _started_in = os.getpid()
    most: int = numba.config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]
    numba.set_num_threads(min(wanted, most))
    return min(wanted, most)
