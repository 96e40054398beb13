"""What PyTorch is told before it computes."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Literal

import torch
from pydantic import Field as Setting

from nint_cli.device.cpu import usable_cores
from nint_cli.errors import ConfigError
from nint_cli.settings import Circumstances, Section

PrecisionName = Literal["auto", "full", "tf32", "bf16"]


class EngineSettings(Section):
    """How fast, and how exactly, a fit computes; never what it computes."""

    threads: int | None = Setting(
        None,
        ge=1,
        le=4096,
        description="threads of a CPU; null: PyTorch's own number (OMP_NUM_THREADS), but no more "
        "than this process may use",
    )
    precision: PrecisionName = Setting(
        "full",
        description="matrix products of training: full; tf32, on CUDA only; bf16, in wide layers "
        "and, but for finer, their activations, with all else in float32; or auto: bf16 on a CPU "
        "that has instructions for it, by fields that take it, until the loss comes within 5 dB "
        "of where rounding ends it (43 dB by gauss and mlp, 58 to 68 by others), else full",
    )

    def unused(self, around: Circumstances) -> Mapping[str, str]:
        """Return what device and field leave without effect; see `Section.unused`."""
        if self.precision == "tf32" and around.device != "cuda":
            return {"precision": "the fit is on a CPU; on CUDA tf32 counts, on a CPU bf16"}
        if self.precision == "bf16" and not around.by_hand:
            return {"precision": f"field {around.field} has no products to round; siren has"}
        return {}


def products(settings: EngineSettings, device: torch.device) -> torch.dtype | None:
    """Return the type of the matrix products of training, in its first steps.

    Args:
        settings: How to compute.
        device: Where.

    Returns:
        The type; None for that of the parameters. Under ``auto`` it follows from the processor
        alone, so that a machine always chooses alike; whether a field takes it, and until when,
        is up to `PrecisionSwitch`.
    """
    if settings.precision == "bf16":
        return torch.bfloat16
    if settings.precision == "auto" and device.type == "cpu":
        able = torch.cpu.get_capabilities()
        if able.get("avx512_bf16") or able.get("amx_bf16"):
            return torch.bfloat16
    return None


@contextmanager
def prepared(settings: EngineSettings, device: torch.device) -> Iterator[None]:
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


def resolve_device(name: str) -> torch.device:
    """Find a device.

    Args:
        name: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.

    Returns:
        The device.

    Raises:
        ConfigError: If it is not there; a CUDA device is never replaced by the CPU.
    """
    if name == "cpu":
        return torch.device("cpu")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        return torch.device("cuda", 0) if count else torch.device("cpu")
    index = int(name.partition(":")[2] or 0)
    if index >= count:
        built = "" if torch.backends.cuda.is_built() else "; this PyTorch is built without CUDA"
        raise ConfigError(
            f"device {name}: {count} usable CUDA devices{built}; use --device cpu or auto"
        )
    return torch.device("cuda", index)


def device_kind(name: str) -> str:
    """Return ``cpu`` or ``cuda`` for a device by its name, whether or not it is there.

    Args:
        name: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
    """
    return name.partition(":")[0] if name != "auto" else resolve_device(name).type
