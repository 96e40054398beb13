"""What processors there are, and how many of them this process may use."""

import os
import platform
import sys
from pathlib import Path

_MEMBERSHIP = Path("/proc/self/cgroup")
_GROUPS = Path("/sys/fs/cgroup")


def processor_name() -> str:
    """Give the processor's model as far as the system knows it."""
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()


def usable_cores() -> int:
    """Give the least of the processors that the process may run on and its group's quota."""
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:  # macOS and Windows
        cores = os.cpu_count() or 1
    quota = cpu_quota()
    return cores if quota is None else max(1, min(cores, int(quota)))


def cpu_quota(membership: Path = _MEMBERSHIP, groups: Path = _GROUPS) -> float | None:
    """Read how many processors' time the control groups of a process grant it.

    Args:
        membership: Names them, a line each, as Linux writes it; for version 2 the line begins
            with ``0::``, for version 1 it names the controller ``cpu``.
        groups: Where they are mounted.

    Returns:
        The least quota of any group from the process's own up to the root, in processors; None
        where there is none, or no such groups.
    """
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        return None
    quotas: list[float] = []
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, name = rest.partition(":")
        if controllers and "cpu" not in controllers.split(","):
            continue
        root = groups / controllers if controllers else groups
        own = root / name.lstrip("/")
        for folder in [own, *own.parents]:
            quota = _quota_v1(folder) if controllers else _quota_v2(folder)
            if quota is not None:
                quotas.append(quota)
            if folder == root:
                break
    return min(quotas, default=None)


def _quota_v2(folder: Path) -> float | None:
    return _ratio(*_words(folder / "cpu.max"))


def _quota_v1(folder: Path) -> float | None:
    return _ratio(*_words(folder / "cpu.cfs_quota_us"), *_words(folder / "cpu.cfs_period_us"))


def _words(path: Path) -> list[str]:
    try:
        return path.read_text().split()
    except OSError:
        return []


def _ratio(*words: str) -> float | None:
    """Give quota / period; None where the quota is ``max`` or -1, or anything is missing."""
    try:
        quota, period = map(int, words)
    except ValueError:
        return None
    return quota / period if quota > 0 and period > 0 else None


# From glibc's malloc.h: what is freed at the heap's end, beyond which it is given back, and the
# size from which a piece is mapped, and unmapped, by itself; 32 MiB is the most it takes.
_TRIM_THRESHOLD, _KEPT = -1, 256 << 20
_MMAP_THRESHOLD, _LARGE = -3, 32 << 20


def keep_freed_memory() -> bool:
    """Have glibc keep up to 256 MiB of freed memory, instead of giving it back to the system.

    A block's activations live for milliseconds. By itself glibc gives back all but twice the
    largest piece that was freed so far, so that on small inputs every block has its memory mapped
    and cleared anew, a page at a time.

    Returns:
        Whether it does. Not where there is another C library, and not where the environment says
        how it should be, by ``MALLOC_*`` or ``GLIBC_TUNABLES``.
    """
    settled = any(name.startswith("MALLOC_") for name in os.environ)
    if settled or "glibc.malloc" in os.environ.get("GLIBC_TUNABLES", ""):
        return False
    if sys.platform != "linux":
        return False
    import ctypes  # not at the top, for help loads this module and is to answer at once

    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(_MMAP_THRESHOLD, _LARGE) and mallopt(_TRIM_THRESHOLD, _KEPT))
