"""What a run ran on: versions, device, memory."""

import os
import platform
import sys
from pathlib import Path

import numpy as np
import torch

from nint_cli import __version__, results


def peak_memory(device: torch.device) -> results.MemoryRecord:
    """Measure the most memory that this process has had so far.

    Args:
        device: Where the field is.

    Returns:
        Resident memory, and CUDA memory where there is a CUDA device; null where unknown.
    """
    peak = None
    if sys.platform == "linux":
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                peak = int(line.split()[1]) * 1024
    elif os.name == "posix":
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS
    cuda = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None
    return results.MemoryRecord(peak_rss_bytes=peak, peak_cuda_bytes=cuda)


def describe(device: torch.device) -> results.Environment:
    """Describe this process.

    Args:
        device: Where the field is.

    Returns:
        Versions, platform, device and threads.
    """
    cuda = device.type == "cuda"
    return results.Environment(
        nint=__version__,
        python=platform.python_version(),
        torch=torch.__version__,
        numpy=np.__version__,
        platform=platform.platform(),
        device=str(device),
        device_name=torch.cuda.get_device_name(device) if cuda else platform.machine(),
        threads=torch.get_num_threads(),
    )
