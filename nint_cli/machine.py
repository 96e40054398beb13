"""What is measured on this machine once, and remembered for its next runs.

Times decide what is fastest, and the next measurement might decide otherwise: so that a machine
always chooses alike, its first answer stays.
"""

import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Generic, TypeVar

import torch
from filelock import FileLock, Timeout
from pydantic import TypeAdapter, ValidationError

from nint_cli.cache import cache_folder
from nint_cli.cores import processor_name
from nint_cli.errors import OutputError
from nint_cli.fields import Field
from nint_cli.runfolder import write_whole

_LEAST_ROUNDS = 3
_WAIT_S = 60.0


Answer = TypeVar("Answer")


class Memory(Generic[Answer]):
    """A file with an answer for each network that was measured here.

    Args:
        name: Of the file, in the cache folder.
        entries: Reads and writes what is in it, answers by what decided them.
        about: What it is about, for people, such as "block sizes".
        said: Gives an answer's words.
    """

    def __init__(
        self,
        name: str,
        entries: TypeAdapter[dict[str, Answer]],
        about: str,
        said: Callable[[Answer], str],
    ) -> None:
        self._name = name
        self._entries = entries
        self._about = about
        self._said = said

    def recall(
        self, key: str, measure: Callable[[], Answer], note: Callable[[str], None]
    ) -> Answer:
        """Give what is remembered, or measure it and remember that.

        Of several processes that ask at once, one measures and the others wait for it.

        Args:
            key: All that decides the answer.
            measure: Gives it.
            note: Told of a measurement, and of a memory that cannot be read or written, a line
                each.

        Returns:
            The answer; the same one for the same key, as long as the memory is there.
        """
        try:
            path = cache_folder() / self._name
        except RuntimeError as error:  # a user without a home
            return self._forgotten(measure(), f"~/.cache: {error}", note)
        found: Answer | None = None
        try:
            found = self._read(path, note).get(key)
            if found is not None:
                return found
            path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(path.with_suffix(".lock"), timeout=_WAIT_S):
                entries = self._read(path, lambda _: None)  # another may have measured meanwhile
                found = entries.get(key)
                if found is None:
                    found = entries[key] = measure()
                    write_whole(path, self._entries.dump_json(entries, indent=2))
                    note(f"measured {self._about}, {self._said(found)}; remembered in '{path}'")
        except (OSError, OutputError, Timeout) as error:
            found = measure() if found is None else found
            return self._forgotten(found, f"'{path}': {error}", note)
        return found

    def _forgotten(self, found: Answer, why: str, note: Callable[[str], None]) -> Answer:
        note(f"measured {self._about}, {self._said(found)}; cannot remember them in {why}")
        return found

    def _read(self, path: Path, note: Callable[[str], None]) -> dict[str, Answer]:
        if not path.exists():
            return {}
        try:
            return self._entries.validate_json(path.read_bytes())
        except ValidationError:
            note(f"'{path}' is no memory of {self._about}; begun anew")
            return {}


def kind_of_work(field: Field, products: torch.dtype | None) -> str:
    """Name what decides how fast passes are: processor, threads, PyTorch, network, products.

    Args:
        field: The network, on its device.
        products: Type of the matrix products; None: the parameters'.

    Returns:
        A line, by which a memory tells answers apart.
    """
    parameter = next(field.parameters())
    where = [processor_name(), f"{torch.get_num_threads()} threads"]
    if parameter.device.type == "cuda":
        where = [torch.cuda.get_device_name(parameter.device)]
        where += ["tf32"] * (torch.backends.cuda.matmul.fp32_precision == "tf32")
    words = [
        *where,
        f"torch {torch.__version__}",
        type(field).__name__,
        f"{field.coord_dim} to {field.value_dim}, width {field.width}",
        f"{sum(each.numel() for each in field.parameters())} parameters",
        str(products or parameter.dtype),
    ]
    return ", ".join(words)


def waiting_for(device: torch.device) -> Callable[[], None]:
    """Give what waits until a device has done all that it was asked for."""
    if device.type == "cuda":
        return lambda: torch.cuda.synchronize(device)
    return lambda: None


def seconds_in_turn(
    work: Callable[[int], None],
    sizes: Iterable[int],
    wait: Callable[[], None],
    budget_s: float,
) -> dict[int, list[float]]:
    """Time work of several sizes, one after another, again and again.

    Args:
        work: Does it; each size was done once before, which allocates and tunes.
        sizes: The sizes.
        wait: Waits for the device.
        budget_s: Seconds that all of it may take, but three rounds at least.

    Returns:
        The times of each size.
    """
    seconds: dict[int, list[float]] = {size: [] for size in sizes}
    wait()
    rounds, begun = 0, time.perf_counter()
    while rounds < _LEAST_ROUNDS or time.perf_counter() - begun < budget_s:
        for size, times in seconds.items():
            before = time.perf_counter()
            work(size)
            wait()
            times.append(time.perf_counter() - before)
        rounds += 1
    return seconds


def medians(seconds: Mapping[int, Sequence[float]]) -> dict[int, float]:
    """Give the median time of each size."""
    return {size: statistics.median(times) for size, times in seconds.items()}
