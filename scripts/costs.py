"""What sweeps in other blocks, scoring passes and samplers cost in time.

All ratios come from one process: what is compared is timed in turn, again and again, and medians
are divided.
"""

import statistics
import time
from collections.abc import Mapping
from typing import Any

import grid
import torch
from timing import Job, interleaved, medians, picture, siren

from nint_cli.build import build_sampler
from nint_cli.config import SAMPLER_NAMES, RunConfig
from nint_cli.fields import Siren
from nint_cli.probe import Probe
from nint_cli.samplers import Observation, Sampler
from nint_cli.signals import GridSignal
from nint_cli.sweep import (
    Passes,
    block_size,
    predict,
    pull_residual,
    pullback,
    pushforward,
)

_SCORING = ("forward", "scoring", "by_moment", "vjp", "jvp")
HAND_PICKED = [256, 512, 1024, 2048, 4096, 8192, 16_384, 32_768, 65_536, 131_072, 262_144]


def bench_blocks(rows: int, repeats: int) -> dict[str, Any]:
    """Compare the chosen block size with every size tried by hand."""
    field, signal = siren(), picture(rows)
    jobs: dict[str, Job] = {"chosen": lambda: predict(field, signal)}
    for block in HAND_PICKED:
        jobs[str(block)] = lambda block=block: predict(field, signal, block=block)  # type: ignore[misc]
    found = medians(interleaved(jobs, repeats))
    chosen = found.pop("chosen")
    best = min(found, key=lambda name: found[name])
    return {
        "coordinates": len(signal),
        "chosen_block": block_size(field, forward_only=True),
        "chosen_s": chosen,
        "by_hand_s": found,
        "best_by_hand": int(best),
        "chosen_over_best": chosen / found[best],
        "builds_a_graph": predict(field, signal).requires_grad,
    }


def bench_scoring(rows: int, repeats: int) -> dict[str, Any]:
    """Compare a NINT scoring pass, and its halves, with a plain forward sweep."""
    field, signal = siren(), picture(rows)
    gradient, _ = pull_residual(field, signal)

    def scored(*, by_moment: bool = False) -> object:
        probe = Probe(field, signal, Passes(), lambda: gradient)
        return list(probe.product_blocks(by_moment=by_moment))

    found = medians(
        interleaved(
            {
                "forward": lambda: predict(field, signal),
                "scoring": scored,
                "by_moment": lambda: scored(by_moment=True),
                "vjp": lambda: pull_residual(field, signal),
                "jvp": lambda: pushforward(field, signal, gradient),
            },
            repeats,
        )
    )
    forward = found["forward"]
    return {
        "coordinates": len(signal),
        **{f"{name}_s": seconds for name, seconds in found.items()},
        **{f"{name}_over_forward": found[name] / forward for name in _SCORING},
    }


class Answered(Probe):
    """A probe whose sweeps cost nothing, so that what is left of a step is bookkeeping."""

    def __init__(self, field: Siren, signal: GridSignal) -> None:
        super().__init__(field, signal, Passes())
        generator = torch.Generator().manual_seed(1)
        self._prediction = torch.rand(len(signal), 3, generator=generator)
        self._product = torch.randn(len(signal), 3, generator=generator)
        self.residual()


def bookkeeping(sampler: Sampler, signal: GridSignal, probe: Answered, steps: int) -> list[float]:
    """Give the seconds of each step in which no network pass runs."""
    generator = torch.Generator().manual_seed(0)
    seconds = []
    for step in range(steps):
        start = time.perf_counter()
        selection = sampler.select(step, probe, generator)
        taken = time.perf_counter() - start
        _, values = signal.at(selection.indices)
        prediction = probe.prediction()[selection.indices]
        slope = 1e-6 * torch.randn(len(values), 2, generator=generator)
        start = time.perf_counter()
        if selection.loss is not None:
            selection.loss(prediction, values)
        if sampler.observes:
            sampler.observe(step, Observation(selection, prediction, values, slope))
        seconds.append(taken + time.perf_counter() - start)
    return seconds


def bench_samplers(rows: int, repeats: int) -> dict[str, Any]:
    """Compare each sampler's bookkeeping with the network passes of a uniform step."""
    field, signal = siren(), picture(rows)
    probe, size = Answered(field, signal), block_size(field)
    batch = torch.randperm(len(signal))[: len(signal) // 5]

    def passes() -> object:
        blocks = ((at, *signal.at(batch[at : at + size])) for at in range(0, len(batch), size))
        return pullback(field, blocks, lambda _, prediction, values: prediction - values)

    step = medians(interleaved({"passes": passes}, repeats))["passes"]
    found: dict[str, dict[str, float]] = {}
    for name in SAMPLER_NAMES:
        start = time.perf_counter()
        sampler = build_sampler(RunConfig.model_validate({"sampler": name}), signal)
        built = time.perf_counter() - start
        first, *others = bookkeeping(sampler, signal, probe, 2 * repeats + 1)
        found[name] = {
            "build_s": built,
            "first_step_s": first,
            "step_s": statistics.median(others),
            "step_over_passes": statistics.median(others) / step,
        }
    return {
        "coordinates": len(signal),
        "batch": len(batch),
        "passes_of_a_uniform_step_s": step,
        "bookkeeping": found,
    }


def blocks_table(found: Mapping[str, Any]) -> str:
    """Write the time of a sweep by block size."""
    rows = [[f"{int(size):,}", f"{s:.3f}"] for size, s in found["by_hand_s"].items()]
    rows.append([f"chosen: {found['chosen_block']:,}", f"{found['chosen_s']:.3f}"])
    table = grid.markdown(["block", f"s for {found['coordinates']:,} points"], rows)
    return f"{table}\nChosen over best: {found['chosen_over_best']:.3f}.\n"


def scoring_table(found: Mapping[str, Any]) -> str:
    """Write what a scoring pass costs in sweeps."""
    rows = [
        [name, f"{found[f'{name}_s']:.3f}", f"{found[f'{name}_s'] / found['forward_s']:.2f}"]
        for name in _SCORING
    ]
    header = ["pass", f"s for {found['coordinates']:,} points", "in sweeps"]
    return grid.markdown(header, rows)


def samplers_table(found: Mapping[str, Any]) -> str:
    """Write what samplers do besides asking for passes."""
    rows = [
        [
            name,
            f"{1000 * own['step_s']:.1f}",
            f"{1000 * own['first_step_s']:.1f}",
            f"{100 * own['step_over_passes']:.2f} %",
        ]
        for name, own in found["bookkeeping"].items()
    ]
    table = grid.markdown(["sampler", "ms per step", "ms of the first", "share of passes"], rows)
    return (
        f"{table}\nThe passes of a uniform step of {found['batch']:,} points take "
        f"{found['passes_of_a_uniform_step_s']:.2f} s.\n"
    )
