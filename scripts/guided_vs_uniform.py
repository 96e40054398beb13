"""Measure what NINT gains over uniform sampling at equal steps, in the setting of the paper.

Runs `nint fit image INPUT --preset paper --set image.size=128 --steps 500` with and without
`--sampler uniform` for several seeds, and prints the PSNR of every run and the mean gain as JSON.
Exit code 7 if the gain is below --target.

    python scripts/guided_vs_uniform.py picture.png --seeds 3
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path


def fit(source: str, sampler: str, seed: int, size: int, steps: int, folder: Path) -> float:
    """Run one fit and give its PSNR in dB."""
    command = [
        *(sys.executable, "-m", "nint_cli", "fit", "image", source),
        *("--preset", "paper", "--set", f"image.size={size}", "--steps", str(steps)),
        *("--sampler", sampler, "--seed", str(seed), "--progress", "never", "--json"),
        *("-o", str(folder / f"{sampler}-{seed}")),
    ]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return float(json.loads(done.stdout)["psnr_db"])


def main() -> int:
    """Run all fits and report."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("source", nargs="?", default="sample:astronaut")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--samplers", default="nint,uniform", help="the last one is the baseline")
    parser.add_argument("--target", type=float, default=2.0, help="least mean gain in dB")
    options = parser.parse_args()
    samplers = options.samplers.split(",")
    psnr_db: dict[str, list[float]] = {sampler: [] for sampler in samplers}
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(options.seeds):
            for sampler in samplers:
                psnr = fit(
                    options.source, sampler, seed, options.size, options.steps, Path(folder)
                )
                psnr_db[sampler].append(psnr)
                print(f"seed {seed}, {sampler}: {psnr:.2f} dB", file=sys.stderr)
    means = {sampler: statistics.mean(values) for sampler, values in psnr_db.items()}
    gain_db = {sampler: means[sampler] - means[samplers[-1]] for sampler in samplers[:-1]}
    print(
        json.dumps(
            {
                "source": options.source,
                "size": options.size,
                "steps": options.steps,
                "psnr_db": psnr_db,
                "mean_psnr_db": means,
                "gain_db": gain_db,
                "target_db": options.target,
            },
            indent=2,
        )
    )
    return 0 if min(gain_db.values()) >= options.target else 7


if __name__ == "__main__":
    sys.exit(main())
