"""How fast this machine multiplies matrices, and how much of that a step and a sweep reach.

Only matrix products are counted, with a multiply-add as two operations. A layer of n inputs and m
outputs takes 2 B n m for B points forwards (z = h W^T + b), as many again for the gradient by the
weight (delta^T h), and as many for the gradient by its input (delta W), which the first layer does
not need. So SIREN 5x256 for colour pictures takes 526,848 operations per point of a sweep and
1,579,520 per point of a step.
"""

import argparse
import math
import statistics
import time
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import tables
import torch
from timing import Job, interleaved, picture, siren

from nint_cli.config.layers import resolve
from nint_cli.config.presets import preset_layer
from nint_cli.config.yaml_text import set_layer
from nint_cli.derivatives.engine import EXACT
from nint_cli.derivatives.sweep import predict
from nint_cli.fields.siren import Siren
from nint_cli.runs.build import build_trainer
from nint_cli.schedules.clock import Clock
from nint_cli.signals.base import GridSignal
from nint_cli.training.divergence import Rescue
from nint_cli.training.trainer import Step, Trainer

WIDTH = 256
PUBLISHED_BATCH = 8192
STEPS_AT_ONCE = 3


def layer_sizes(field: Siren) -> list[tuple[int, int]]:
    """Return (inputs n, outputs m) of each layer."""
    return [(weight.shape[1], weight.shape[0]) for weight in field.weights]


def forward_operations(layers: Iterable[tuple[int, int]], rows: int) -> int:
    """Count the operations of a forward."""
    return sum(2 * rows * n * m for n, m in layers)


def step_operations(layers: Sequence[tuple[int, int]], rows: int) -> int:
    """Count those of a forward and a backward."""
    n, m = layers[0]
    return 3 * forward_operations(layers, rows) - 2 * rows * n * m


def products(rows: int, generator: torch.Generator) -> dict[str, Job]:
    """Make the three products of a hidden layer by kind, into memory that is there already."""
    h = torch.randn(rows, WIDTH, generator=generator)
    delta = torch.randn(rows, WIDTH, generator=generator)
    weight = torch.randn(WIDTH, WIDTH, generator=generator) / WIDTH
    bias = torch.randn(WIDTH, generator=generator)
    out, total = torch.empty(rows, WIDTH), torch.zeros(WIDTH, WIDTH)
    return {
        "forward": lambda: torch.addmm(bias, h, weight.T, out=out),
        "by_input": lambda: torch.mm(delta, weight, out=out),
        "by_weight": lambda: total.addmm_(delta.T, h),
    }


def sustained(job: Job, seconds: float) -> tuple[Job, int]:
    """Repeat a job so often that it takes about so long; return that, and how often."""
    job()
    start = time.perf_counter()
    job()
    once = max(time.perf_counter() - start, 1e-6)
    count = max(1, math.ceil(seconds / once))

    def often() -> None:
        for _ in range(count):
            job()

    return often, count


class Pause:
    """An observer that stops a trainer after some steps, so that it can be timed and go on."""

    REASON = "paused"

    def __init__(self, steps: int) -> None:
        self._steps = steps

    def after_step(self, trainer: Trainer, step: Step) -> str | None:
        """Stop where enough steps are done."""
        return self.REASON if step.number % self._steps == 0 else None

    def after_rescue(self, trainer: Trainer, rescue: Rescue) -> None:
        """Go on."""


def trainer(signal: GridSignal, batch: int | None = None) -> tuple[Trainer, int]:
    """Build the trainer of `--preset default --field siren --sampler uniform`, without an end.

    Its products are in float32, as those that its rate is related to. Batches are the recipe's
    unless a size is given.

    Returns:
        The trainer, and the points of a step.
    """
    settings = [
        *("field=siren", "sampler=uniform", "device=cpu", "steps=1000000"),
        "engine.precision=full",
    ]
    if batch is not None:
        settings.append(f"batch.size={batch}")
    config = resolve([preset_layer("default"), set_layer(settings)]).config
    size = config.batch.size or round(config.batch.fraction * len(signal))
    return build_trainer(config, signal, Clock()), min(size, len(signal))


def step_jobs(rows: int) -> dict[str, tuple[Job, int]]:
    """Make jobs of some training steps, each with the operations it takes."""
    signal, jobs = picture(rows), dict[str, tuple[Job, int]]()
    for wanted in (None, PUBLISHED_BATCH):
        fit, batch = trainer(signal, wanted)
        layers = layer_sizes(siren())
        assert [tuple(weight.shape[::-1]) for weight in fit.field.weights] == layers  # type: ignore[union-attr]

        def steps(fit: Trainer = fit) -> None:
            reason = fit.fit(Pause(STEPS_AT_ONCE))
            assert reason == Pause.REASON, reason

        jobs[f"step {batch}"] = steps, STEPS_AT_ONCE * step_operations(layers, batch)
    return jobs


def sweep_jobs(rows: int) -> dict[str, tuple[Job, int]]:
    """Make jobs of a sweep over all points, and over a quarter of them."""
    field, jobs = siren(), dict[str, tuple[Job, int]]()
    for signal in (picture(rows // 4), picture(rows)):
        operations = forward_operations(layer_sizes(field), len(signal))
        jobs[f"sweep {len(signal)}"] = partial(predict, field, signal), operations
    return jobs


def gemm_jobs(row_counts: Iterable[int], seconds: float) -> dict[str, tuple[Job, int]]:
    """Make jobs of one product over and over, by kind and rows."""
    generator = torch.Generator().manual_seed(0)
    jobs = {}
    for rows in row_counts:
        for kind, job in products(rows, generator).items():
            often, count = sustained(job, seconds)
            jobs[f"{kind} {rows}"] = often, count * 2 * rows * WIDTH**2
    return jobs


def gemm_rates(rates: Mapping[str, float]) -> dict[str, Any]:
    """Sum up GFLOP/s by ``kind rows``.

    A sweep does forward products alone, so that the best of these bounds it. A step does as many
    of each kind, so that the harmonic mean of the best of each does.
    """
    best: dict[str, float] = {}
    for name, rate in rates.items():
        kind = name.split()[0]
        best[kind] = max(best.get(kind, 0.0), rate)
    return {
        "gflops": dict(rates),
        "best_gflops": best,
        "sweep_gflops": best["forward"],
        "step_gflops": statistics.harmonic_mean(best.values()),
        "peak_gflops": max(best.values()),
    }


def bench_rates(options: argparse.Namespace) -> dict[str, Any]:
    """Measure products, and the steps and sweeps that are wanted, in turn."""
    rows, seconds, wanted = options.rows, options.gemm_seconds, options.only
    steps, field = step_jobs(rows // 4), siren()
    batches = [int(name.split()[1]) for name in steps]
    blocks = {EXACT.block_size(field), EXACT.block_size(field, forward_only=True)}
    jobs = gemm_jobs(sorted(blocks | set(batches)), seconds)
    jobs |= steps if "step" in wanted else {}
    jobs |= sweep_jobs(rows) if "sweep" in wanted else {}
    taken = interleaved({name: job for name, (job, _) in jobs.items()}, options.repeats)
    rates = {
        name: statistics.median(operations / 1e9 / each for each in taken[name])
        for name, (_, operations) in jobs.items()
    }
    of_products = {k: v for k, v in rates.items() if k.split()[0] not in {"step", "sweep"}}
    gemm = gemm_rates(of_products)
    found: dict[str, Any] = {"gemm": gemm | {"rounds": options.repeats, "seconds_each": seconds}}
    for part in ("step", "sweep"):
        if part in wanted:
            found[part] = [
                share(name, rate, statistics.median(taken[name]), gemm)
                for name, rate in rates.items()
                if name.startswith(f"{part} ")
            ]
    return found


def share(name: str, rate: float, seconds: float, gemm: Mapping[str, Any]) -> dict[str, Any]:
    """Relate the rate of a step or a sweep to that of its products."""
    part, points = name.split()
    return {
        "points": int(points),
        "seconds": seconds / (STEPS_AT_ONCE if part == "step" else 1),
        "gflops": rate,
        "share_of_gemm": rate / gemm[f"{part}_gflops"],
        "share_of_peak": rate / gemm["peak_gflops"],
    }


def gemm_table(found: Mapping[str, Any]) -> str:
    """Write the rates of the products, a row per number of rows."""
    kinds = list(found["best_gflops"])
    counts = dict.fromkeys(name.split()[1] for name in found["gflops"])
    rows = [
        [count, *(tables.shown(found["gflops"][f"{kind} {count}"], 1) for kind in kinds)]
        for count in counts
    ]
    rows.append(["best", *(tables.shown(found["best_gflops"][kind], 1) for kind in kinds)])
    table = tables.markdown(["rows", *(f"{kind}, GFLOP/s" for kind in kinds)], rows)
    return (
        f"{table}\nProducts alone would make a sweep run at {found['sweep_gflops']:.1f} GFLOP/s "
        f"and a step at {found['step_gflops']:.1f}; the peak is {found['peak_gflops']:.1f}.\n"
    )


def share_table(found: Sequence[Mapping[str, Any]]) -> str:
    """Write what steps or sweeps reach."""
    header = ["points", "ms", "GFLOP/s", "share of its products' rate", "share of the peak"]
    rows = (
        [
            f"{row['points']:,}",
            f"{1000 * row['seconds']:.1f}",
            f"{row['gflops']:.1f}",
            *(f"{100 * row[key]:.0f} %" for key in ("share_of_gemm", "share_of_peak")),
        ]
        for row in found
    )
    return tables.markdown(header, rows)
