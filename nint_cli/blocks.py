"""Block sizes that were measured on this machine, and remembered for its next runs.

What is right for most processors is in `sweep`; here is what to do where somebody wants to know.
Sizes are told apart by all that decides them: processor, threads, PyTorch, network, type of
products. A run keeps those that it began with, for its bits depend on them.
"""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from filelock import FileLock, Timeout
from pydantic import TypeAdapter, ValidationError

from nint_cli.cache import cache_folder
from nint_cli.cores import processor_name
from nint_cli.derivatives import derivatives_of, products_in
from nint_cli.errors import OutputError
from nint_cli.fields import Blocks, Field
from nint_cli.runfolder import write_whole
from nint_cli.sweep import block_size

MEMORY = "blocks.json"
_TRIED = (0.25, 0.5, 1.0, 2.0, 4.0)  # times the usual size
_WORTH = 0.95  # of the usual size's time, or noise would decide
_BUDGET_S = 0.5
_LEAST_ROUNDS = 3
_WAIT_S = 60.0

_ENTRIES: TypeAdapter[dict[str, Blocks]] = TypeAdapter(dict[str, Blocks])


def measured_blocks(
    field: Field, products: torch.dtype | None, note: Callable[[str], None]
) -> Blocks:
    """Give the block sizes that are fastest here, measuring them if nobody has.

    Of several processes that ask at once, one measures and the others wait for it.

    Args:
        field: The network, on its device.
        products: Type of the matrix products of training; None: the parameters'.
        note: Told of a measurement, and of a memory that cannot be read or written, a line each.

    Returns:
        The sizes; the same ones for the same network on the same machine, as long as the memory is
        there.
    """
    path, key = cache_folder() / MEMORY, _kind(field, products)
    found: Blocks | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock"), timeout=_WAIT_S):
            entries = _read(path, note)
            found = entries.get(key)
            if found is None:
                found = entries[key] = _measure(field, products)
                write_whole(path, _ENTRIES.dump_json(entries, indent=2))
                note(f"measured block sizes, {_said(found)}; remembered in '{path}'")
    except (OSError, OutputError, Timeout) as error:
        found = found or _measure(field, products)
        note(f"measured block sizes, {_said(found)}; cannot remember them in '{path}': {error}")
    return found


def _said(blocks: Blocks) -> str:
    return f"{blocks.step} coordinates in a step and {blocks.sweep} in a sweep"


def _read(path: Path, note: Callable[[str], None]) -> dict[str, Blocks]:
    if not path.exists():
        return {}
    try:
        return _ENTRIES.validate_json(path.read_bytes())
    except ValidationError:
        note(f"'{path}' is no memory of block sizes; begun anew")
        return {}


def _kind(field: Field, products: torch.dtype | None) -> str:
    """Name all that decides how fast which size is."""
    parameter = next(field.parameters())
    cuda = parameter.device.type == "cuda"
    words = [
        torch.cuda.get_device_name(parameter.device) if cuda else processor_name(),
        f"{torch.get_num_threads()} threads",
        f"torch {torch.__version__}",
        type(field).__name__,
        f"{field.coord_dim} to {field.value_dim}, width {field.width}",
        f"{sum(each.numel() for each in field.parameters())} parameters",
        str(products or parameter.dtype),
    ]
    return ", ".join(words)


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

    def wait() -> None:
        if like.device.type == "cuda":
            torch.cuda.synchronize(like.device)

    with products_in(products):
        derivatives = derivatives_of(field)
        found = _fastest(step, usual, wait)
    return Blocks(step=found, sweep=_fastest(sweep, usual_forward, wait))


def _fastest(work: Callable[[int], None], usual: int, wait: Callable[[], None]) -> int:
    """Give the size with the least median time; the usual one unless another is clearly ahead."""
    sizes = sorted({max(1, int(usual * times)) for times in _TRIED})
    for size in sizes:
        work(size)  # which allocates and tunes what the first time does
    seconds: dict[int, list[float]] = {size: [] for size in sizes}
    wait()
    begun = time.perf_counter()
    while len(seconds[usual]) < _LEAST_ROUNDS or time.perf_counter() - begun < _BUDGET_S:
        for size in sizes:
            before = time.perf_counter()
            work(size)
            wait()
            seconds[size].append(time.perf_counter() - before)
    return choose(seconds, usual)


def choose(seconds: Mapping[int, Sequence[float]], usual: int) -> int:
    """Choose a size by its times.

    Args:
        seconds: Times of each size, among them the usual one's.
        usual: What stays unless another is ahead by more than noise.

    Returns:
        The size.
    """
    medians = {size: statistics.median(times) for size, times in seconds.items()}
    best = min(medians, key=lambda size: medians[size])
    return best if medians[best] < _WORTH * medians[usual] else usual
