"""How long inputs take to be read."""

import argparse
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import tables
import trimesh
from PIL import Image
from timing import Job, interleaved, medians

from nint_cli.modalities.audio.files import read_sound
from nint_cli.modalities.image.files import read_picture
from nint_cli.modalities.sdf.formats import gltf
from nint_cli.modalities.sdf.formats.reading import Reading


def bench_read(options: argparse.Namespace) -> dict[str, Any]:
    """Time the reading of an input of each kind, which is made first."""
    with tempfile.TemporaryDirectory() as folder:
        jobs: dict[str, Job] = {
            "a JPEG of 24 megapixels": _jpeg(Path(folder)),
            "a minute of MP3": _mp3(Path(folder)),
            "a GLB of a million faces, decoded": _glb(),
        }
        seconds = medians(interleaved(jobs, options.repeats))
    return {"repeats": options.repeats, "seconds": seconds}


def _jpeg(folder: Path) -> Job:
    y, x = np.mgrid[0:4000, 0:6000]
    noise = np.random.default_rng(0).integers(0, 32, (4000, 6000))
    planes = [(x // 24 + noise) % 256, (y // 16 + noise) % 256, (x + y) // 40 % 256]
    path = folder / "picture.jpg"
    Image.fromarray(np.stack(planes, axis=2).astype(np.uint8)).save(path, quality=90)
    return lambda: read_picture(str(path))


def _mp3(folder: Path) -> Job:
    """Make stereo like music, at a variable bit rate."""
    rate = 44_100
    times = np.arange(60 * rate)[:, None] / rate
    tones = np.sin(2 * np.pi * np.array([220.0, 277.2]) * times * (1 + 0.01 * np.sin(times)))
    noise = np.random.default_rng(0).normal(0, 0.02, tones.shape)
    path = folder / "minute.mp3"
    soundfile.write(path, 0.4 * tones * (1 + np.sin(0.3 * times)) / 2 + noise, rate)
    return lambda: read_sound(str(path))


def _glb() -> Job:
    """Make a torus; what follows the decoding is the same for every format."""
    i, j = np.mgrid[0:1000, 0:500]
    u, v = i * (np.pi / 500), j * (np.pi / 250)
    around = 2 + np.cos(v)
    vertices = np.stack([around * np.cos(u), around * np.sin(u), np.sin(v)], axis=2)
    a, b, c, d = (
        (i + k) % 1000 * 500 + (j + m) % 500 for k, m in ((0, 0), (1, 0), (1, 1), (0, 1))
    )
    faces = np.concatenate([np.stack([a, b, c], axis=2), np.stack([a, c, d], axis=2)])
    mesh = trimesh.Trimesh(vertices.reshape(-1, 3), faces.reshape(-1, 3), process=False)
    data = mesh.export(file_type="glb")
    assert isinstance(data, bytes)
    return lambda: gltf.read(data, Reading(max_faces=1_000_000))


def read_table(found: Mapping[str, Any]) -> str:
    """Write seconds by what was read."""
    rows = ([name, f"{seconds:.2f}"] for name, seconds in found["seconds"].items())
    return tables.markdown(["reading", "s"], rows)
