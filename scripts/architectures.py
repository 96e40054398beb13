"""Compare NINT with uniform and full batches on every field: the paper's table of architectures.

Every field is trained by its published learning rate in the setting of the paper, or by its tuned
recipe with --preset default. Prints Markdown: the PSNR after equal steps, and after equal training
time, which is what uniform batches took for those steps; and the training time to a target.
Finished runs are kept in --output, so the table can be interrupted and extended.

    python scripts/architectures.py picture.png --output architectures
"""

import argparse
import sys
from pathlib import Path

import grid

FIELDS = "mlp,pemlp,ffn,siren,finer,gauss,wire,hashgrid"


def fits(options: argparse.Namespace) -> dict[tuple[str, str, int], grid.Fit]:
    """List the fits by field, sampler and seed, in the order to run them."""
    found = {}
    for seed in range(options.seeds):
        for field in options.fields.split(","):
            for sampler in options.samplers.split(","):
                folder = options.output / f"{field}-{sampler}-{seed}"
                found[field, sampler, seed] = grid.Fit(
                    folder,
                    options.source,
                    (
                        *("--preset", options.preset, "--steps", str(options.steps)),
                        *("--field", field, "--sampler", sampler, "--seed", str(seed)),
                        *("--set", f"image.size={options.size}"),
                        *("--set", f"evaluation.every={max(1, options.steps // 50)}"),
                    ),
                )
    return found


def table(options: argparse.Namespace, runs: dict[tuple[str, str, int], grid.Fit]) -> str:
    """Write the table from the logs of finished runs."""
    samplers = options.samplers.split(",")
    rows = []
    for field in options.fields.split(","):
        series = {
            (sampler, seed): runs[field, sampler, seed].series()
            for sampler in samplers
            for seed in range(options.seeds)
        }
        seeds = range(options.seeds)
        reference = "uniform" if "uniform" in samplers else samplers[0]
        time = {seed: series[reference, seed][-1]["train_s"] for seed in seeds}
        steps = [
            grid.mean(grid.at_step(series[sampler, seed], options.steps) for seed in seeds)
            for sampler in samplers
        ]
        # The reference ends at that very time.
        times = [
            value
            if sampler == reference
            else grid.mean(grid.at_time(series[sampler, seed], time[seed]) for seed in seeds)
            for sampler, value in zip(samplers, steps, strict=True)
        ]
        seconds = grid.mean(time[seed] for seed in seeds)
        targets = [
            grid.mean(
                grid.cost_to(series[sampler, seed], options.target, "train_s") for seed in seeds
            )
            for sampler in samplers
        ]
        parameters = runs[field, samplers[0], 0].metrics()["field"]["parameters"]
        rows.append([
            field,
            f"{parameters:,}",
            *map(grid.shown, steps),
            grid.shown(seconds, 1),
            *map(grid.shown, times),
            *map(grid.shown, targets),
        ])
    header = ["field", "parameters", *(f"{s}, equal steps" for s in samplers), "seconds"]
    header += [f"{s}, equal time" for s in samplers]
    header += [f"{s}, s to {options.target:g} dB" for s in samplers]
    return grid.markdown(header, rows)


def main() -> None:
    """Run what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("source", nargs="?", default="sample:astronaut")
    parser.add_argument("--output", type=Path, default=Path("architectures"))
    parser.add_argument("--preset", default="paper")
    parser.add_argument("--fields", default=FIELDS)
    parser.add_argument("--samplers", default="nint,uniform,full")
    parser.add_argument("--size", type=int, default=128, help="longest side in pixels")
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--target", type=float, default=30.0, help="PSNR in dB to time")
    parser.add_argument("--jobs", type=int, default=1, help="fits at once; times need 1")
    options = parser.parse_args()
    runs = fits(options)
    grid.run(list(runs.values()), options.jobs)
    sys.stdout.write(table(options, runs))


if __name__ == "__main__":
    main()
