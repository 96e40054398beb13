"""Measure what fields do between the pixels they were fitted to, beside a cubic spline.

A built-in picture of 257 x 257 pixels is the truth; every second pixel of it is fitted.
The ends of both grids are the same points, so that nothing is shifted.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.ndimage import zoom

from nint_cli.modalities.image.samples import picture_path

FIELDS = ("siren", "hashgrid", "ffn", "mlp")


def nint(*words: str) -> str:
    """Run a command and return its stdout."""
    command = [sys.executable, "-m", "nint_cli", *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--picture", default="camera", help="a built-in picture")
    parser.add_argument("--steps", type=int, default=300)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with Image.open(picture_path(arguments.picture)) as opened:
            picture = opened.convert("L").resize((257, 257), Image.Resampling.BOX)
        truth = np.asarray(picture)
        small = np.ascontiguousarray(truth[::2, ::2])
        large_path, small_path = str(folder / "large.png"), str(folder / "small.png")
        picture.save(large_path)
        Image.fromarray(small).save(small_path)
        print("| field | PSNR on its 129x129 | PSNR on 257x257 |\n|---|---|---|")
        for field in FIELDS:
            run = str(folder / field)
            words = ("--field", field, "--sampler", "uniform", "--steps", str(arguments.steps))
            nint("fit", "image", small_path, *words, "--progress", "never", "-o", run)
            own = json.loads(nint("eval", run, "--json"))["psnr_db"]
            measured = nint("eval", run, "--scale", "2", "--against", large_path, "--json")
            between = json.loads(measured)["psnr_db"]
            print(f"| {field} | {own:.1f} dB | {between:.1f} dB |", flush=True)
        cubic = zoom(small.astype(float), 257 / 129, order=3).clip(0, 255)
        error = ((cubic - truth) ** 2).mean()
        print(f"| cubic spline | exact | {10 * np.log10(255**2 / error):.1f} dB |")


if __name__ == "__main__":
    main()
