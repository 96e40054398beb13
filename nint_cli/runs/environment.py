"""What a run ran on: versions, device, memory."""

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from itertools import chain
from pathlib import Path

import numpy as np
import torch

from nint_cli.config.schema import RunConfig
from nint_cli.derivatives.engine import EXACT
from nint_cli.derivatives.ntk import dense_ntk, ntk_residual_product
from nint_cli.derivatives.sweep import predict
from nint_cli.fields.base import Field
from nint_cli.fields.kernels import loading as kernels
from nint_cli.fields.siren import Siren
from nint_cli.metrics.schema import Environment, MemoryRecord, PrecisionRecord
from nint_cli.modalities.image.metrics import mean_squared_error, psnr_db
from nint_cli.modalities.table import MODALITIES
from nint_cli.runs.build import build_trainer
from nint_cli.schedules.clock import Clock
from nint_cli.signals.base import GridSignal
from nint_cli.training.divergence import Rescue
from nint_cli.training.precision import MARGIN_DB
from nint_cli.training.trainer import Step, Trainer
from nint_cli.version import __version__


def peak_memory(device: torch.device) -> MemoryRecord:
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
    return MemoryRecord(peak_rss_bytes=peak, peak_cuda_bytes=cuda)


def describe(
    device: torch.device,
    products: torch.dtype | None = None,
    field: Field | None = None,
) -> Environment:
    """Describe this process.

    Args:
        device: Where the field is.
        products: Type of the products of training; None is float32.
        field: The network, if there is one.

    Returns:
        Versions, platform, device, threads, the type of products, and the network's block sizes.
    """
    cuda = device.type == "cuda"
    return Environment(
        nint=__version__,
        python=platform.python_version(),
        torch=torch.__version__,
        numpy=np.__version__,
        numba=kernels.version(),
        platform=platform.platform(),
        device=str(device),
        device_name=torch.cuda.get_device_name(device) if cuda else platform.machine(),
        threads=torch.get_num_threads(),
        products=_type_name(products),
        step_block=None if field is None else EXACT.block_size(field),
        sweep_block=None if field is None else EXACT.block_size(field, forward_only=True),
    )


def products_of(trainer: Trainer) -> torch.dtype | None:
    """Return the type of a trainer's products in its first steps; None for float32."""
    switch = trainer.precision
    return trainer.engine.products if switch is None else switch.products


def describe_precision(config: RunConfig, trainer: Trainer) -> PrecisionRecord:
    """Return the type of the products in training, until which step, and why.

    Args:
        config: Of the run.
        trainer: At its end.
    """
    switch, products = trainer.precision, products_of(trainer)
    chosen = config.engine.precision
    if switch is not None and switch.left_after is not None:
        reason = came_near(switch.floor_db)
    elif switch is not None:
        reason = f"auto: the loss stayed {MARGIN_DB:g} dB and more from {_floor(switch.floor_db)}"
    elif chosen == "auto" and trainer.field.bf16_floor_db is None:
        reason = f"auto: the field {config.field} never takes bfloat16"
    elif chosen == "auto":
        reason = "auto: no CPU with instructions for bfloat16"
    else:
        reason = f"engine.precision={chosen}"
    left_after = None if switch is None else switch.left_after
    return PrecisionRecord(products=_type_name(products), until_step=left_after, reason=reason)


def came_near(floor_db: float) -> str:
    """Return why a run has left bfloat16."""
    return (
        f"auto: the loss came within {MARGIN_DB:g} dB of {_floor(floor_db)}, where rounding ends"
    )


def _floor(floor_db: float) -> str:
    return f"{floor_db:g} dB below the range of the values"


def _type_name(products: torch.dtype | None) -> str | None:
    return None if products is None else str(products).removeprefix("torch.")


_PACKAGES = (
    "filelock imagecodecs jinja2 matplotlib numpy pillow pydantic pystoi pyyaml rich "
    "safetensors scikit-image scipy soundfile tifffile torch tqdm trimesh typer"
).split()


# Extras that belong to no modality.
_OTHER_EXTRAS = {"onnx": ("onnx", "onnxruntime")}


def package_versions() -> dict[str, str]:
    """Give the installed version of every package that nint stands on; absent ones say so."""
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "missing"
    return found


def extra_versions() -> dict[str, str]:
    """Say of each extra which versions of its packages are installed."""
    found = {}
    of_modalities = chain.from_iterable(m.extras.items() for m in MODALITIES.values())
    for extra, packages in (*of_modalities, *_OTHER_EXTRAS.items()):
        try:
            found[extra] = " ".join(f"{package} {version(package)}" for package in packages)
        except PackageNotFoundError:
            found[extra] = f"not installed (pip install 'nint[{extra}]')"
    return found


def self_test() -> list[str]:
    """Check the mathematics and a fit, on the CPU, within about two seconds.

    Returns:
        What is wrong, a line each; nothing if all is well.
    """
    faults = []
    generator = torch.Generator().manual_seed(0)
    stored = torch.randint(0, 256, (64, 3), generator=generator, dtype=torch.uint8)
    signal = GridSignal(stored, (8, 8), scale=255.0, dtype=torch.float64)
    field = Siren(2, 3, hidden_features=8, hidden_layers=2, generator=generator).double()
    product, residual = ntk_residual_product(field, signal)
    coords, _ = signal.slice(0, 64)
    dense = torch.einsum("icjd,jd->ic", dense_ntk(field, coords), residual)
    if not torch.allclose(product, dense, rtol=1e-9, atol=1e-9):
        faults.append("the matrix-free NTK product differs from the dense one")
    settings = {
        "steps": 200,
        "batch": {"fraction": 0.5},
        "optimiser": {"lr": 1e-3},
        "siren": {"hidden_features": 32, "hidden_layers": 2},
    }
    smooth = (127 + 100 * torch.sin(torch.linspace(0, 6, 256)))[:, None].byte()
    picture = GridSignal(smooth, (16, 16), scale=255.0)
    trainer = build_trainer(RunConfig.model_validate(settings), picture, Clock())
    reason = trainer.fit(_Nobody())
    prediction = predict(trainer.field, picture)
    psnr = psnr_db(mean_squared_error(prediction, picture.blocks(256)))
    if reason != "steps" or psnr < _LEAST_PSNR_DB:
        faults.append(f"a small fit ended by {reason} at {psnr:.1f} dB, expected {_LEAST_PSNR_DB}")
    return faults


_LEAST_PSNR_DB = 25.0


class _Nobody:
    """An observer that lets a fit go on."""

    def after_step(self, trainer: Trainer, step: Step) -> str | None:
        return None

    def after_rescue(self, trainer: Trainer, rescue: Rescue) -> None:
        return None
