"""How long inputs take to be read."""

import argparse
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tables
from PIL import Image
from timing import Job, interleaved, medians

from nint_cli.modalities.image.files import read_picture


def bench_read(options: argparse.Namespace) -> dict[str, Any]:
    """Time the reading of an input of each kind, which is made first."""
    with tempfile.TemporaryDirectory() as folder:
        jobs: dict[str, Job] = {"a JPEG of 24 megapixels": _jpeg(Path(folder))}
        seconds = medians(interleaved(jobs, options.repeats))
    return {"repeats": options.repeats, "seconds": seconds}


def _jpeg(folder: Path) -> Job:
    y, x = np.mgrid[0:4000, 0:6000]
    noise = np.random.default_rng(0).integers(0, 32, (4000, 6000))
    planes = [(x // 24 + noise) % 256, (y // 16 + noise) % 256, (x + y) // 40 % 256]
    path = folder / "picture.jpg"
    Image.fromarray(np.stack(planes, axis=2).astype(np.uint8)).save(path, quality=90)
    return lambda: read_picture(str(path))


def read_table(found: Mapping[str, Any]) -> str:
    """Write seconds by what was read."""
    rows = ([name, f"{seconds:.2f}"] for name, seconds in found["seconds"].items())
    return tables.markdown(["reading", "s"], rows)
