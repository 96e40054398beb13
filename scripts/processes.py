"""What takes a process of its own to measure: peak memory, and what it takes to start."""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tables
import torch
from timing import Job, interleaved, medians, picture, siren

from nint_cli.derivatives.ntk import ntk_residual_product


def scoring_growth(rows: int) -> int:
    """Return the bytes by which a scoring pass raises the process's peak memory."""
    field, small, signal = siren(), picture(16_384), picture(rows)
    ntk_residual_product(field, small)  # libraries, threads and block buffers
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak of the imports
    before = status_bytes("VmRSS")
    product, residual = ntk_residual_product(field, signal)
    score = torch.linalg.vector_norm(product, dim=1)
    assert len(score) == len(residual) == len(signal)
    return status_bytes("VmHWM") - before


def status_bytes(name: str) -> int:
    """Read a figure of this process's memory; Linux only."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/self/status has no {name}")


def bench_memory(options: argparse.Namespace) -> dict[str, Any]:
    """Measure peak memory of a scoring pass, each size in a process of its own."""
    found = []
    for count in (options.rows // 4, options.rows):
        script = Path(__file__).with_name("bench.py")
        command = [sys.executable, str(script), "--growth", str(count)]
        growth = int(subprocess.run(command, check=True, capture_output=True).stdout)
        vectors = 4 * count * (3 + 3 + 1)  # residual and product (N, 3), score (N,), float32
        found.append({
            "coordinates": count,
            "peak_growth_bytes": growth,
            "residual_product_score_bytes": vectors,
            "beyond_the_vectors_bytes": growth - vectors,
        })
    return {"runs": found}


def bench_startup(options: argparse.Namespace) -> dict[str, Any]:
    """Time whole processes: `nint --help`, `import torch`, and a fit of one step.

    The fit is of 256 x 256 pixels by `--preset default`; what it takes before its first step is
    its process less what its metrics.json counts, plus what they count as reading.
    """
    nint = [sys.executable, "-m", "nint_cli"]
    before = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "run"
        one_step = [
            *(*nint, "fit", "image", "sample:astronaut", "--set", "image.size=256"),
            *("--steps", "1", "--progress", "never", "--overwrite", "-o", str(folder)),
        ]

        def fit() -> None:
            start = time.perf_counter()
            subprocess.run(one_step, check=True, capture_output=True)
            taken = time.perf_counter() - start
            metrics = json.loads((folder / "metrics.json").read_bytes())
            before.append(taken - metrics["total_s"] + metrics["load_s"])

        def process(*command: str) -> Job:
            return lambda: subprocess.run(command, check=True, capture_output=True)

        jobs = {
            "help": process(*nint, "--help"),
            "import_torch": process(sys.executable, "-c", "import torch"),
            "fit_of_one_step": fit,
        }
        found = medians(interleaved(jobs, options.repeats))
    return {
        **{f"{name}_s": seconds for name, seconds in found.items()},
        "before_the_first_step_s": statistics.median(before[1:]),
    }


def memory_table(found: Mapping[str, Any]) -> str:
    """Write how much memory a scoring pass takes."""
    header = ["points", "MB beyond what was there", "MB of residual, product, score", "MB beyond"]
    keys = ("peak_growth_bytes", "residual_product_score_bytes", "beyond_the_vectors_bytes")
    rows = (
        [f"{run['coordinates']:,}", *(f"{run[key] / 1e6:.1f}" for key in keys)]
        for run in found["runs"]
    )
    return tables.markdown(header, rows)


def startup_table(found: Mapping[str, Any]) -> str:
    """Write what it takes to start."""
    names = {
        "help_s": "`nint --help`",
        "import_torch_s": "`import torch` alone",
        "before_the_first_step_s": "`nint fit image` before its first step",
        "fit_of_one_step_s": "`nint fit image --steps 1`, whole",
    }
    return tables.markdown(["", "s"], ([text, f"{found[key]:.2f}"] for key, text in names.items()))
