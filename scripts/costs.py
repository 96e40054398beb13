"""What a scoring pass, a step's passes by precision, and guidance by the NTK's diagonal cost.

What is compared is timed in turn, again and again, in one process, and medians are divided.
"""

import argparse
import statistics
from collections.abc import Callable, Mapping
from typing import Any

import tables
import torch
from timing import interleaved, medians, picture, siren
from torch import Tensor

from nint_cli.config.layers import Layer, Setting, resolve
from nint_cli.config.presets import preset_layer
from nint_cli.config.schema import FIELD_NAMES
from nint_cli.derivatives.engine import Engine
from nint_cli.derivatives.ntk import ntk_residual_product
from nint_cli.derivatives.sweep import predict, pull_residual, push_residual, pushforward
from nint_cli.fields.base import Field
from nint_cli.fields.kernels import loading as kernels
from nint_cli.fields.table import field_class
from nint_cli.runs.build import build_trainer
from nint_cli.schedules.clock import Clock
from nint_cli.signals.base import GridSignal
from nint_cli.training.divergence import Rescue
from nint_cli.training.trainer import Step, Trainer

STEP_POINTS = 8192
WAYS = {
    "full": "float32, ms",
    "plain": "without kernels",
    "rounded": "bf16, ms",
    "plain rounded": "without kernels",
}
"""How passes are timed, with the heads of their columns."""

CHAINS = ("siren", "finer", "gauss", "mlp", "ffn", "pemlp", "hashgrid")
"""Every field that is a chain of layers."""


def fresh(name: str) -> Field:
    """Make a field of its default size from seed 0, for 256 x 256 pixels where that matters."""
    kind: Any = field_class(name)
    generator = torch.Generator().manual_seed(0)
    found: Field = kind((256, 256) if name == "hashgrid" else 2, 3, generator=generator)
    return found


def bench_scoring(options: argparse.Namespace) -> dict[str, Any]:
    """Compare a NINT scoring pass, and its halves, with a plain forward sweep."""
    field, signal = siren(), picture(options.rows)
    gradient, _ = pull_residual(field, signal)
    jobs = {
        "forward": lambda: predict(field, signal),
        "scoring": lambda: ntk_residual_product(field, signal),
        "by_moment": lambda: push_residual(field, signal, gradient),
        "vjp": lambda: pull_residual(field, signal),
        "jvp": lambda: pushforward(field, signal, gradient),
    }
    found = medians(interleaved(jobs, options.repeats))
    return {
        "coordinates": len(signal),
        **{f"{name}_s": seconds for name, seconds in found.items()},
        **{f"{name}_over_forward": each / found["forward"] for name, each in found.items()},
    }


def without_kernels(job: Callable[[], object]) -> None:
    """Do something as where Numba cannot be loaded."""
    known = kernels.why_not
    kernels.why_not = lambda: "for comparison"  # type: ignore[assignment]
    try:
        job()
    finally:
        kernels.why_not = known


def bench_passes(options: argparse.Namespace) -> dict[str, Any]:
    """Time forward and backward of a step in float32 and by bfloat16 products, by field.

    Each with compiled kernels, and with PyTorch alone.

    The error is that of the gradient of a fresh network by bfloat16, relative to its norm, on
    average over the parameters.
    """
    points = min(options.rows, STEP_POINTS)
    generator = torch.Generator().manual_seed(0)
    stored = torch.randint(0, 256, (points, 3), generator=generator, dtype=torch.uint8)
    signal = GridSignal(stored, (1, points), scale=255.0)
    fields = {}
    for name in CHAINS:
        field = fresh(name)

        def gradient(products: torch.dtype | None, field: Field = field) -> list[Tensor]:
            return pull_residual(field, signal, engine=Engine(products))[0]

        pairs = zip(gradient(torch.bfloat16), gradient(None), strict=True)
        error = statistics.mean(float((a - b).norm() / b.norm()) for a, b in pairs)
        jobs = {
            "full": lambda: gradient(None),
            "rounded": lambda: gradient(torch.bfloat16),
            "plain": lambda: without_kernels(lambda: gradient(None)),
            "plain rounded": lambda: without_kernels(lambda: gradient(torch.bfloat16)),
        }
        fields[name] = {"s": medians(interleaved(jobs, options.repeats)), "error": error}
    return {"points": points, "fields": fields}


class Steps:
    """Lets a fit do some steps and stops it."""

    def __init__(self, count: int) -> None:
        self.left = count

    def after_step(self, trainer: Trainer, step: Step) -> str | None:
        """Stop once they are done."""
        self.left -= 1
        return None if self.left else "enough"

    def after_rescue(self, trainer: Trainer, rescue: Rescue) -> None:
        """Let it go on."""


def guided(name: str, score: str, signal: GridSignal) -> Trainer:
    """Make a trainer of the default preset in which guidance has begun."""
    own = {"field": name, "nint_diagonal.score": score, "nint_diagonal.start": 0.0,
           "nint_diagonal.max_chosen": 1.0}  # fmt: skip
    settings = Layer({key: Setting(value, "--set") for key, value in own.items()})
    config = resolve([preset_layer("default"), settings]).config
    trainer = build_trainer(config, signal, Clock())
    trainer.fit(Steps(3))
    return trainer


def bench_guidance(options: argparse.Namespace) -> dict[str, Any]:
    """Time whole steps of the default preset, guided by the error and by the NTK's diagonal."""
    signal = picture(min(options.rows, 1 << 16))
    fields = {}
    for name in FIELD_NAMES:
        trainers = {score: guided(name, score, signal) for score in ("error", "diagonal")}
        jobs = {
            score: lambda trainer=trainer: trainer.fit(Steps(4))
            for score, trainer in trainers.items()
        }
        seconds = interleaved(jobs, options.repeats)
        ratios = [b / a for a, b in zip(seconds["error"], seconds["diagonal"], strict=True)]
        each = {score: found / 4 for score, found in medians(seconds).items()}
        fields[name] = {"s": each, "more": statistics.median(ratios) - 1}
    return {"points": len(signal), "fields": fields}


def guidance_table(found: Mapping[str, Any]) -> str:
    """Write milliseconds of a step by what guides it, and what the diagonal adds."""
    rows = [
        [name, *(f"{1000 * each['s'][score]:.1f}" for score in ("error", "diagonal")),
         f"{100 * each['more']:+.1f} %"]
        for name, each in found["fields"].items()
    ]  # fmt: skip
    table = tables.markdown(["field", "by error, ms", "by diagonal, ms", "more"], rows)
    return f"A whole step of the default preset on {found['points']:,} pixels.\n\n{table}"


def scoring_table(found: Mapping[str, Any]) -> str:
    """Write what a scoring pass costs in sweeps."""
    rows = [
        [name, f"{found[f'{name}_s']:.3f}", f"{found[f'{name}_over_forward']:.2f}"]
        for name in ("forward", "scoring", "by_moment", "vjp", "jvp")
    ]
    header = ["pass", f"s for {found['coordinates']:,} points", "in sweeps"]
    return tables.markdown(header, rows)


def passes_table(found: Mapping[str, Any]) -> str:
    """Write milliseconds by precision, and what rounding loses."""
    rows = [
        [name, *(f"{1000 * each['s'][way]:.1f}" for way in WAYS),
         f"{100 * each['error']:.2f} %"]
        for name, each in found["fields"].items()
    ]  # fmt: skip
    table = tables.markdown(["field", *WAYS.values(), "error of bf16"], rows)
    return f"A step's passes over {found['points']:,} points.\n\n{table}"
