"""Batches as large as a device takes in hardly more time than small ones.

A few thousand points keep a CPU busy. A GPU waits for its next order meanwhile: there twice the
points cost next to nothing, and make the gradient a better one. How far that goes is measured.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated

import torch
from pydantic import Field as Setting
from pydantic import TypeAdapter

from nint_cli.adam import Adam
from nint_cli.build import UNSIZED
from nint_cli.config import RunConfig
from nint_cli.derivatives import products_in
from nint_cli.errors import is_out_of_memory
from nint_cli.fields import Field
from nint_cli.machine import Memory, kind_of_work, medians, seconds_in_turn, waiting_for
from nint_cli.sweep import block_size, pullback

_MOST = 16  # times the usual size
# A batch of twice the points is worth 2 to 52 % more steps, and next to nothing where it has more
# than a quarter of the signal (docs/recipe.md).
_WORTH = 1.1  # of the usual size's time
_HOPELESS = 3.0  # the same, for a single step, which may have been disturbed
_LEAST_BATCHES = 8  # of the signal's points
_BUDGET_S = 1.0

_MEMORY = Memory(
    "batches.json",
    TypeAdapter(dict[str, Annotated[int, Setting(ge=1)]]),
    "batches that fill this device",
    "{} coordinates".format,
)


def fills(config: RunConfig, device: torch.device) -> bool:
    """Tell whether batches may grow.

    Args:
        config: The settings.
        device: Where they are trained on.

    Returns:
        Whether. Under ``auto`` on a GPU, and only where nothing spares its launches, for which it
        would wait without.
    """
    if config.batch.size is None or config.sampler in UNSIZED:
        return False
    if config.batch.fill != "auto":
        return config.batch.fill == "always"
    spared = config.engine.graphs or config.engine.compile == "always"
    return device.type == "cuda" and not spared


def filled(
    field: Field,
    size: int,
    population: int,
    products: torch.dtype | None,
    note: Callable[[str], None],
) -> int:
    """Give the largest batch whose step takes hardly longer than one of the usual size.

    Args:
        field: The network, on its device; any of its kind, for its parameters change.
        size: The usual size.
        population: N, of which a larger batch has an eighth at most.
        products: Type of the matrix products of training; None: the parameters'.
        note: Told of a measurement, and of a memory that cannot be read or written, a line each.

    Returns:
        The size times a power of two; the same one for the same network on the same machine, as
        long as the memory is there.
    """
    most = size
    while 2 * most * _LEAST_BATCHES <= population:
        most *= 2
    if most == size:
        return size
    key = f"{kind_of_work(field, products)}, from {size}"
    return min(most, _MEMORY.recall(key, lambda: _measure(field, size, products), note))


def _measure(field: Field, size: int, products: torch.dtype | None) -> int:
    """Time steps with batches of several sizes in turn."""
    like = next(field.parameters())
    generator = torch.Generator().manual_seed(0)
    coords = 2 * torch.rand(size * _MOST, field.coord_dim, generator=generator) - 1
    coords, block, adam = coords.to(like), block_size(field), Adam(field)

    def step(rows: int) -> None:
        blocks = (
            (start, part, part)
            for start, part in zip(range(0, rows, block), coords[:rows].split(block), strict=True)
        )
        adam.step(pullback(field, blocks, lambda _, prediction, __: prediction), 1e-6)

    wait = waiting_for(like.device)
    with products_in(products):
        seconds = seconds_in_turn(step, _sizes(step, size, wait), wait, _BUDGET_S)
    if like.device.type == "cuda":  # or the run's own peak would be that of what was tried here
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(like.device)
    return choose(seconds, size)


def _sizes(step: Callable[[int], None], size: int, wait: Callable[[], None]) -> list[int]:
    """Do steps of each size until one is far too slow or has no room; give those worth a look."""
    usual_s, sizes = _second_s(step, size, wait), [size]
    while sizes[-1] < size * _MOST:
        try:
            seconds = _second_s(step, 2 * sizes[-1], wait)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            break
        if seconds > _HOPELESS * usual_s:
            break
        sizes.append(2 * sizes[-1])
    return sizes


def _second_s(step: Callable[[int], None], rows: int, wait: Callable[[], None]) -> float:
    """Time a step that is not the first of its size, which allocates and tunes."""
    step(rows)
    wait()
    before = time.perf_counter()
    step(rows)
    wait()
    return time.perf_counter() - before


def choose(seconds: Mapping[int, Sequence[float]], usual: int) -> int:
    """Choose a size by its times.

    Args:
        seconds: Times of each size, among them the usual one's.
        usual: What another size's time is held against.

    Returns:
        The largest size such that it and all below it take hardly longer than the usual one.
    """
    median = medians(seconds)
    found = usual
    for size in sorted(each for each in median if each > usual):
        if median[size] > _WORTH * median[usual]:
            break
        found = size
    return found
