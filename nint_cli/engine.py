"""What PyTorch is told before it computes."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from nint_cli.cache import cache_folder
from nint_cli.config import EngineConfig
from nint_cli.cores import usable_cores
from nint_cli.derivatives.compiled import Pass, by_torch
from nint_cli.fields import Field

# Compiling takes up to 20 s, the next time three, and spares 8 % of a step's passes or more, on
# a CPU (docs/performance.md).
_LONG_S = 300.0


def compiles(settings: EngineConfig, field: Field, budget_s: float | None) -> bool:
    """Tell whether passes are to be compiled.

    Args:
        settings: How to compute.
        field: The network.
        budget_s: Training time of the run, or None where that is not known.

    Returns:
        Whether; under ``auto`` by the settings alone, so that a machine always chooses alike.
    """
    if settings.compile != "auto":
        return settings.compile == "always"
    chain = field.chain()
    layers = () if chain is None else chain.layers
    gains = any(layer.activation is not None and layer.activation.costly for layer in layers)
    on_cpu = next(field.parameters()).device.type == "cpu"
    return gains and on_cpu and budget_s is not None and budget_s >= _LONG_S


def compile_pass(work: Pass) -> Pass:
    """Compile a pass, and keep what comes of it for other runs.

    Args:
        work: The pass.

    Returns:
        The same, compiled at its first call.
    """
    # PyTorch runs what it finds there, so that it must be the user's own and no other's to write;
    # where PyTorch would keep it, all may.
    if "TORCHINDUCTOR_CACHE_DIR" not in os.environ:
        folder = cache_folder() / "compiled"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(folder)
    # Processes that PyTorch would have beside this one spare no time here.
    os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")
    return by_torch(work)


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


@contextmanager
def prepared(settings: EngineConfig, device: torch.device) -> Iterator[None]:
    """Set threads and precision for what is computed within, and put both back after it.

    Args:
        settings: How to compute.
        device: Where.
    """
    threads, matmul = torch.get_num_threads(), torch.backends.cuda.matmul
    precision = matmul.fp32_precision
    # PyTorch's own number obeys OMP_NUM_THREADS, and whoever set it from Python.
    wanted = settings.threads or min(threads, usable_cores())
    try:
        if wanted != threads:
            torch.set_num_threads(wanted)
        if device.type == "cuda":
            # By this name alone: the older `allow_tf32` forgets two of the states it may be in.
            matmul.fp32_precision = "tf32" if settings.precision == "tf32" else "ieee"
        yield
    finally:
        if wanted != threads:
            torch.set_num_threads(threads)
        matmul.fp32_precision = precision


def without_effect(settings: EngineConfig, device: torch.device) -> list[str]:
    """Say which settings have no effect on a device, a line each.

    Args:
        settings: How to compute.
        device: Where.

    Returns:
        The lines.
    """
    if device.type == "cuda":
        return []
    idle = {"precision tf32": settings.precision == "tf32", "graphs": settings.graphs}
    return [f"{name} has no effect on {device.type}" for name, asked in idle.items() if asked]
