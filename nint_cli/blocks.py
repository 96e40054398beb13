"""Block sizes that were measured on this machine.

What is right for most processors is in `sweep`; here is what to do where somebody wants to know.
A run keeps those that it began with, for its bits depend on them.
"""

from collections.abc import Callable, Mapping, Sequence

import torch
from pydantic import TypeAdapter

from nint_cli.derivatives import derivatives_of, products_in
from nint_cli.fields import Blocks, Field
from nint_cli.machine import Memory, kind_of_work, medians, seconds_in_turn, waiting_for
from nint_cli.sweep import block_size

_TRIED = (0.25, 0.5, 1.0, 2.0, 4.0)  # times the usual size
_WORTH = 0.95  # of the usual size's time, or noise would decide
_BUDGET_S = 0.5


def _said(blocks: Blocks) -> str:
    return f"{blocks.step} coordinates in a step and {blocks.sweep} in a sweep"


_MEMORY = Memory("blocks.json", TypeAdapter(dict[str, Blocks]), "block sizes", _said)


def measured_blocks(
    field: Field, products: torch.dtype | None, note: Callable[[str], None]
) -> Blocks:
    """Give the block sizes that are fastest here, measuring them if nobody has.

    Args:
        field: The network, on its device.
        products: Type of the matrix products of training; None: the parameters'.
        note: Told of a measurement, and of a memory that cannot be read or written, a line each.

    Returns:
        The sizes; the same ones for the same network on the same machine, as long as the memory is
        there.
    """
    return _MEMORY.recall(kind_of_work(field, products), lambda: _measure(field, products), note)


def _measure(field: Field, products: torch.dtype | None) -> Blocks:
    """Time a step's passes, and a sweep, with several sizes in turn."""
    generator = torch.Generator().manual_seed(0)
    like = next(field.parameters())

    def coords_of(usual: int) -> torch.Tensor:
        rows = int(usual * max(_TRIED)), field.coord_dim
        return (2 * torch.rand(rows, generator=generator) - 1).to(like)

    usual, usual_forward = block_size(field), block_size(field, forward_only=True)
    batch, many = coords_of(usual), coords_of(usual_forward)

    def step(size: int) -> None:
        for part in batch.split(size):
            block = derivatives.linearise(part)
            block.pull(block.prediction)
        derivatives.pulled()

    def sweep(size: int) -> None:
        for part in many.split(size):
            derivatives.predict(part)

    wait = waiting_for(like.device)
    with products_in(products):
        derivatives = derivatives_of(field)
        found = _fastest(step, usual, wait)
    return Blocks(step=found, sweep=_fastest(sweep, usual_forward, wait))


def _fastest(work: Callable[[int], None], usual: int, wait: Callable[[], None]) -> int:
    """Give the size with the least median time; the usual one unless another is clearly ahead."""
    sizes = sorted({max(1, int(usual * times)) for times in _TRIED})
    for size in sizes:
        work(size)  # which allocates and tunes what the first time does
    return choose(seconds_in_turn(work, sizes, wait, _BUDGET_S), usual)


def choose(seconds: Mapping[int, Sequence[float]], usual: int) -> int:
    """Choose a size by its times.

    Args:
        seconds: Times of each size, among them the usual one's.
        usual: What stays unless another is ahead by more than noise.

    Returns:
        The size.
    """
    median = medians(seconds)
    best = min(median, key=lambda size: median[size])
    return best if median[best] < _WORTH * median[usual] else usual
