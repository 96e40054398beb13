"""What PyTorch is told before it computes."""

import torch

from nint_cli.config import EngineConfig
from nint_cli.cores import usable_cores


def prepare(settings: EngineConfig, device: torch.device) -> list[str]:
    """Set threads and precision, before anything is computed.

    Args:
        settings: How to compute.
        device: Where.

    Returns:
        What of the settings has no effect there, a line each.
    """
    # PyTorch's own number obeys OMP_NUM_THREADS, and whoever set it from Python.
    threads = settings.threads or min(torch.get_num_threads(), usable_cores())
    if threads != torch.get_num_threads():
        torch.set_num_threads(threads)
    if device.type == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = settings.precision == "tf32"
    elif settings.precision == "tf32":
        return [f"precision tf32 has no effect on {device.type}"]
    return []
