"""Whether a picture's size costs anything: steps and memory of a large one beside a small one."""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tables
import tifffile
from rates import Pause
from timing import Job, interleaved, medians

from nint_cli.config.schema import RunConfig
from nint_cli.modalities.image.files import read_picture
from nint_cli.modalities.image.settings import ImageSettings
from nint_cli.modalities.image.signal import Pixels
from nint_cli.runs.build import build_trainer
from nint_cli.schedules.clock import Clock

SMALL_SIDE, LARGE_SIDE, TILE = 512, 16_384, 256
BATCH = 8192
# A narrow network for a run from file to result, whose memory the network's width hardly changes.
NARROW = ["siren.hidden_features=32", "siren.hidden_layers=2", f"batch.size={BATCH}",
          "image.max_pixels=300000000"]  # fmt: skip


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


def step_seconds(paths: dict[str, Path], repeats: int) -> dict[str, float]:
    """Time the steps of the paper's network on each picture, in turn."""
    config = RunConfig.model_validate({"sampler": "uniform", "batch": {"size": BATCH}})
    jobs: dict[str, Job] = {}
    for name, path in paths.items():
        signal = read_picture(str(path), ImageSettings(max_pixels=1 << 30)).signal()
        trainer = build_trainer(config, signal, Clock())
        jobs[name] = lambda trainer=trainer: trainer.fit(Pause(1))  # type: ignore[misc]
    return medians(interleaved(jobs, repeats))


def whole_run(source: Path, folder: Path) -> dict[str, object]:
    """Fit a picture from its file to metrics.json, and return peak memory and where time went."""
    words = ["fit", "image", str(source), "-o", str(folder), "--sampler", "uniform", "-q"]
    words += ["--steps", "20", *(f"--set={setting}" for setting in NARROW)]
    subprocess.run([sys.executable, "-m", "nint_cli", *words], check=True, capture_output=True)
    metrics = json.loads((folder / "metrics.json").read_bytes())
    print(f"{source.name}: done", file=sys.stderr)
    height, width = metrics["input"]["shape"]
    pixels, peak = height * width * 3, metrics["memory"]["peak_rss_bytes"]
    kept = ("psnr_db", "ssim", "flip_reason", "load_s", "train_s", "evaluation_s", "save_s")
    return {
        "pixel_bytes": pixels,
        "peak_rss_bytes": peak,
        "beyond_the_pixels_bytes": peak - pixels,
        **{key: metrics[key] for key in kept},
    }


def bench_size(options: argparse.Namespace) -> dict[str, object]:
    """Compare a large picture with a small one: time of a step, and memory of a whole run."""
    side = options.side
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        paths = {
            f"{SMALL_SIDE}": folder / "small.tif",
            f"{side}": folder / "large.tif",
            f"{side}, compressed tiles": folder / "tiles.tif",
        }
        for (name, path), size in zip(paths.items(), (SMALL_SIDE, side, side), strict=True):
            write_picture(path, size, compressed="tiles" in name)
        seconds = step_seconds(paths, options.repeats)
        small = seconds[f"{SMALL_SIDE}"]
        return {
            "batch": BATCH,
            "step_s": seconds,
            "step_over_small": {name: found / small for name, found in seconds.items()},
            "runs": {name: whole_run(path, folder / path.stem) for name, path in paths.items()},
        }


def size_table(found: Mapping[str, Any]) -> str:
    """Write what a step and a whole run take at each size."""
    header = ["picture", "ms per step", "of the small one's", "MB of pixels", "MB of peak memory"]
    rows = (
        [
            name,
            f"{1000 * found['step_s'][name]:.1f}",
            f"{found['step_over_small'][name]:.2f}",
            *(f"{run[key] / 1e6:.0f}" for key in ("pixel_bytes", "peak_rss_bytes")),
        ]
        for name, run in found["runs"].items()
    )
    return tables.markdown(header, rows)
