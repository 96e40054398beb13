"""How long inputs take to be read, beside what their decoder takes alone."""

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import tables
from timing import Job, interleaved, medians

from nint_cli.modalities.audio.files import read_sound


def minute_of_mp3(folder: Path) -> tuple[Job, Job]:
    """Make a minute of music-like stereo at 44.1 kHz and variable bit rate."""
    rate = 44_100
    times = np.arange(60 * rate)[:, None] / rate
    tones = np.sin(2 * np.pi * np.array([220.0, 277.2]) * times * (1 + 0.01 * np.sin(times)))
    noise = np.random.default_rng(0).normal(0, 0.02, tones.shape)
    path = folder / "minute.mp3"
    soundfile.write(path, 0.4 * tones * (1 + np.sin(0.3 * times)) / 2 + noise, rate)
    return (lambda: read_sound(str(path))), (lambda: soundfile.read(path, dtype="float32"))


FILES: dict[str, Callable[[Path], tuple[Job, Job]]] = {"a minute of MP3": minute_of_mp3}
"""What is read: each makes its file in a folder, and gives how nint reads it and how its decoder
does alone."""


def bench_read(options: argparse.Namespace) -> dict[str, Any]:
    """Time reading, each kind of file in turn with its decoder."""
    found = {}
    for name, make in FILES.items():
        with tempfile.TemporaryDirectory() as folder:
            nint, alone = make(Path(folder))
            seconds = medians(interleaved({"nint": nint, "decoder": alone}, options.repeats))
        found[name] = {"nint_s": seconds["nint"], "decoder_s": seconds["decoder"]}
    return found


def read_table(found: dict[str, Any]) -> str:
    """Write the seconds, and their ratio."""
    rows = [
        (
            name,
            f"{each['nint_s']:.3f}",
            f"{each['decoder_s']:.3f}",
            f"{each['nint_s'] / each['decoder_s']:.2f}",
        )
        for name, each in found.items()
    ]
    return tables.markdown(("file", "nint, s", "its decoder, s", "ratio"), rows)
