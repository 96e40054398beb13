"""Measure speed and memory of sweeps, scoring passes, samplers and large pictures, as JSON.

All ratios come from one process: what is compared is timed in turn, again and again, and medians
are divided. Run it on a quiet machine:

    python scripts/bench.py            # 1M coordinates, some minutes on two cores
    python scripts/bench.py --rows 65536 --repeats 3
    python scripts/bench.py --only size    # a picture of 16384x16384, on request only
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import torch

from nint_cli.build import build_sampler, build_trainer
from nint_cli.clock import Clock
from nint_cli.config import SAMPLER_NAMES, RunConfig
from nint_cli.fields import Siren
from nint_cli.ntk import ntk_residual_product
from nint_cli.probe import Probe
from nint_cli.samplers import Observation, Sampler
from nint_cli.signals import GridSignal, Pixels, read_picture
from nint_cli.sweep import Passes, block_size, predict, pull_residual, pullback, pushforward
from nint_cli.trainer import Step, Trainer

HAND_PICKED = [256, 512, 1024, 2048, 4096, 8192, 16_384, 32_768, 65_536, 131_072, 262_144]


def picture(rows: int) -> GridSignal:
    """Make a colour picture of about that many pixels, 1024 wide."""
    height = max(1, rows // 1024)
    generator = torch.Generator().manual_seed(0)
    stored = torch.randint(0, 256, (height * 1024, 3), generator=generator, dtype=torch.uint8)
    return GridSignal(stored, (height, 1024), scale=255.0)


def siren() -> Siren:
    """Make the paper's network for colour pictures."""
    return Siren(2, 3, generator=torch.Generator().manual_seed(0))


def interleaved(
    jobs: dict[str, Callable[[], object]], repeats: int, warm: bool = True
) -> dict[str, list[float]]:
    """Time each job in turn, several times over."""
    seconds: dict[str, list[float]] = {name: [] for name in jobs}
    for round_number in range(repeats + warm):
        for name, job in jobs.items():
            start = time.perf_counter()
            job()
            if round_number or not warm:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def medians(seconds: dict[str, list[float]]) -> dict[str, float]:
    """Give the median of each job."""
    return {name: statistics.median(values) for name, values in seconds.items()}


def bench_sweep(rows: int, repeats: int) -> dict[str, object]:
    """Compare the chosen block size with every size tried by hand."""
    field, signal = siren(), picture(rows)
    jobs: dict[str, Callable[[], object]] = {"chosen": lambda: predict(field, signal)}
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


def bench_scoring(rows: int, repeats: int) -> dict[str, object]:
    """Compare a NINT scoring pass, and its halves, with a plain forward sweep."""
    field, signal = siren(), picture(rows)
    gradient, _ = pull_residual(field, signal)
    found = medians(
        interleaved(
            {
                "forward": lambda: predict(field, signal),
                "scoring": lambda: ntk_residual_product(field, signal),
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
        "scoring_over_forward": found["scoring"] / forward,
        "vjp_over_forward": found["vjp"] / forward,
        "jvp_over_forward": found["jvp"] / forward,
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


def bench_samplers(rows: int, repeats: int) -> dict[str, object]:
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


def scoring_growth(rows: int) -> int:
    """Give the bytes by which a scoring pass raises the process's peak memory."""
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


def bench_memory(rows: int) -> dict[str, object]:
    """Measure peak memory of a scoring pass, each size in a process of its own."""
    found = []
    for count in (rows // 4, rows):
        command = [sys.executable, __file__, "--growth", str(count)]
        growth = int(subprocess.run(command, check=True, capture_output=True).stdout)
        vectors = 4 * count * (3 + 3 + 1)  # residual and product (N, 3), score (N,), float32
        found.append({
            "coordinates": count,
            "peak_growth_bytes": growth,
            "residual_product_score_bytes": vectors,
            "beyond_the_vectors_bytes": growth - vectors,
        })
    return {"runs": found}


def bench_help(repeats: int) -> dict[str, object]:
    """Time `nint --help` as a whole process."""
    command = [sys.executable, "-m", "nint_cli", "--help"]
    seconds = interleaved(
        {"help": lambda: subprocess.run(command, check=True, capture_output=True)}, repeats
    )["help"]
    loads = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "nint_cli", "--help"],
        check=True,
        capture_output=True,
        text=True,
    ).stderr
    return {"median_s": statistics.median(seconds), "imports_torch": "| torch\n" in loads}


SMALL_SIDE, LARGE_SIDE, TILE = 512, 16_384, 256
BATCH = 8192
# A narrow network for a run from file to result, whose memory the network's width hardly changes.
NARROW = ["siren.hidden_features=32", "siren.hidden_layers=2"]
# In a process of its own, whose peak is that of the run alone.
WHOLE_RUN = """
import re, sys
from pathlib import Path
from typing import Any
from nint_cli.cli import run
code = run(sys.argv[1:])
print(re.search(r"VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())[1])
sys.exit(code)
"""


def tiles(side: int) -> Iterator[Pixels]:
    """Make the tiles of a colour picture with both coarse and fine structure."""
    rng = np.random.default_rng(0)
    for top in range(0, side, TILE):
        for left in range(0, side, TILE):
            rows, columns = np.ogrid[top : top + TILE, left : left + TILE]
            smooth = 128 + 60 * np.sin(rows / 97) * np.cos(columns / 61)
            levels = smooth[..., None] + rng.integers(-40, 40, (TILE, TILE, 3))
            yield levels.astype(np.uint8)


def write_picture(path: Path, side: int, *, compressed: bool) -> None:
    """Write it, in compressed tiles or as it is."""
    if compressed:
        options: dict[str, Any] = {"tile": (TILE, TILE), "compression": "zlib"}
        tifffile.imwrite(
            path, tiles(side), shape=(side, side, 3), dtype=np.uint8, photometric="rgb", **options
        )
        return
    pixels = tifffile.memmap(path, shape=(side, side, 3), dtype=np.uint8, photometric="rgb")
    for number, tile in enumerate(tiles(side)):
        row, column = (TILE * at for at in divmod(number, side // TILE))
        pixels[row : row + TILE, column : column + TILE] = tile
    pixels.flush()


class _OneStep:
    """An observer that ends a fit after its step."""

    def after_step(self, trainer: Trainer, step: Step) -> str:
        return "signal"


def step_seconds(paths: dict[str, Path], repeats: int) -> dict[str, float]:
    """Time the steps of the paper's network on each picture, in turn."""
    config = RunConfig.model_validate({"sampler": "uniform", "batch": {"size": BATCH}})
    jobs: dict[str, Callable[[], object]] = {}
    for name, path in paths.items():
        signal = read_picture(str(path), max_pixels=1 << 30).signal()
        trainer = build_trainer(config, signal, Clock())
        jobs[name] = lambda trainer=trainer: trainer.fit(_OneStep())  # type: ignore[misc]
    return medians(interleaved(jobs, repeats))


def whole_run(source: Path, folder: Path) -> dict[str, object]:
    """Fit a picture from its file to metrics.json, and give peak memory and where time went."""
    settings = [f"batch.size={BATCH}", "image.max_pixels=300000000", *NARROW]
    words = ["fit", "image", source, "-o", folder, "--sampler", "uniform", "--steps", 20, "-q"]
    for setting in settings:
        words += ["--set", setting]
    command = [sys.executable, "-c", WHOLE_RUN, *map(str, words)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    metrics = json.loads((folder / "metrics.json").read_bytes())
    print(f"{source.name}: done", file=sys.stderr)
    height, width = metrics["input"]["shape"]
    pixels, peak = height * width * 3, 1024 * int(done.stdout.split()[-1])
    kept = ("psnr_db", "ssim", "flip_reason", "load_s", "train_s", "evaluation_s", "save_s")
    return {
        "pixel_bytes": pixels,
        "peak_rss_bytes": peak,
        "beyond_the_pixels_bytes": peak - pixels,
        **{key: metrics[key] for key in kept},
    }


def bench_size(side: int, repeats: int) -> dict[str, object]:
    """Compare a large picture with a small one: time of a step, and memory of a whole run."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = {
            f"{SMALL_SIDE}": folder / "small.tif",
            f"{side}": folder / "large.tif",
            f"{side}, compressed tiles": folder / "tiles.tif",
        }
        for (name, path), size in zip(paths.items(), (SMALL_SIDE, side, side), strict=True):
            write_picture(path, size, compressed="tiles" in name)
        seconds = step_seconds(paths, repeats)
        small = seconds[f"{SMALL_SIDE}"]
        return {
            "batch": BATCH,
            "step_s": seconds,
            "step_over_small": {name: found / small for name, found in seconds.items()},
            "runs": {name: whole_run(path, folder / path.stem) for name, path in paths.items()},
        }


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=1 << 20, help="coordinates to sweep over")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument(
        "--only", choices=["sweep", "scoring", "samplers", "memory", "help", "size"]
    )
    parser.add_argument("--side", type=int, default=LARGE_SIDE, help="of the large picture")
    parser.add_argument("--growth", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.growth:
        print(scoring_growth(options.growth))
        return
    benches: dict[str, Callable[[], dict[str, object]]] = {
        "sweep": lambda: bench_sweep(options.rows, options.repeats),
        "scoring": lambda: bench_scoring(options.rows, options.repeats),
        "samplers": lambda: bench_samplers(options.rows, options.repeats),
        "memory": lambda: bench_memory(options.rows),
        "help": lambda: bench_help(4 * options.repeats),
        "size": lambda: bench_size(options.side, options.repeats),
    }
    report: dict[str, object] = {
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "field": "SIREN 5x256, 264,707 parameters",
    }
    for name, bench in benches.items():
        if options.only == name or (options.only is None and name != "size"):
            report[name] = bench()
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
