"""What PyTorch is told before it computes."""

import torch

from nint_cli.config import EngineConfig
from nint_cli.cores import usable_cores
from nint_cli.heap import keep_freed_memory


def products(settings: EngineConfig, device: torch.device) -> torch.dtype | None:
    """Give the type of the matrix products of training.

    Args:
        settings: How to compute.
        device: Where.

    Returns:
        The type; None for that of the parameters. Under ``auto`` it follows from the processor
        alone, so that a machine always chooses alike.
    """
    if settings.precision == "bf16":
        return torch.bfloat16
    if settings.precision == "auto" and device.type == "cpu":
        able = torch.cpu.get_capabilities()
        if able.get("avx512_bf16") or able.get("amx_bf16"):
            return torch.bfloat16
    return None


def prepare(settings: EngineConfig, device: torch.device) -> list[str]:
    """Set threads, precision, and what becomes of freed memory, before anything is computed.

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
    keep_freed_memory()
    if device.type == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = settings.precision == "tf32"
        return []
    if settings.precision == "tf32":
        return [f"precision tf32 has no effect on {device.type}"]
    return []
