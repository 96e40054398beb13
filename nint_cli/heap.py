"""Memory that a block of coordinates has freed, kept for the next block."""

import ctypes
import os
import sys

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
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(_MMAP_THRESHOLD, _LARGE) and mallopt(_TRIM_THRESHOLD, _KEPT))
