"""Compare samplers on a picture, a sound or a shape, at equal steps and at equal training time.

Prints Markdown: the figure that fits of that modality are known by (PSNR, SI-SNR or IoU) after
equal steps, and after the training time that uniform batches took for those steps. Finished runs
are kept in --output, so the table can be interrupted and extended.

    python scripts/samplers.py audio sample:chord --preset paper --output samplers
"""

import argparse
import sys
from pathlib import Path

import grid

SAMPLERS = "full,uniform,int,evos,nint"


def fits(options: argparse.Namespace) -> dict[tuple[str, str, int], grid.Fit]:
    """List the fits by input, sampler and seed, in the order to run them."""
    found = {}
    for seed in range(options.seeds):
        for source in options.sources:
            for sampler in options.samplers.split(","):
                name = Path(source.replace(":", "-")).stem
                every = max(1, options.steps // options.evaluations)
                found[source, sampler, seed] = grid.Fit(
                    options.output / f"{name}-{sampler}-{seed}",
                    source,
                    (
                        *("--preset", options.preset, "--steps", str(options.steps)),
                        *("--sampler", sampler, "--seed", str(seed)),
                        *("--set", f"evaluation.every={every}", "--set", "checkpoint.every=null"),
                        *(f"--set={setting}" for setting in options.set),
                    ),
                    options.modality,
                )
    return found


def table(options: argparse.Namespace, runs: dict[tuple[str, str, int], grid.Fit]) -> str:
    """Write the table from the logs of finished runs."""
    key = grid.HEADLINES[options.modality]
    digits = 2 if key.endswith("_db") else 4
    series = {run: fit.series() for run, fit in runs.items()}
    rows = []
    for sampler in options.samplers.split(","):
        steps, times, seconds, passes = [], [], [], []
        for source in options.sources:
            for seed in range(options.seeds):
                log = series[source, sampler, seed]
                limit = series[source, "uniform", seed][-1]["train_s"]
                steps.append(grid.at_step(log, options.steps, key))
                # Uniform batches end at that very time, and so may what costs no more.
                ended = log[-1]["train_s"] <= limit
                times.append(log[-1][key] if ended else grid.at_time(log, limit, key))
                seconds.append(log[-1]["train_s"])
                passes.append(log[-1]["passes"])
        rows.append([
            sampler,
            grid.shown(grid.mean(steps), digits),
            grid.shown(grid.mean(times), digits),
            grid.shown(grid.mean(seconds), 1),
            grid.shown(grid.mean(passes), 1),
        ])
    header = ["sampler", f"{key}, equal steps", f"{key}, equal time", "seconds", "passes"]
    return grid.markdown(header, rows)


def main() -> None:
    """Run what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("modality", choices=grid.HEADLINES)
    parser.add_argument("sources", nargs="+", metavar="INPUT")
    parser.add_argument("--output", type=Path, default=Path("samplers"))
    parser.add_argument("--preset", default="paper")
    parser.add_argument("--samplers", default=SAMPLERS, help="uniform must be among them")
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--evaluations", type=int, default=25, help="over a run")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--jobs", type=int, default=1, help="fits at once; times need 1")
    options = parser.parse_args()
    runs = fits(options)
    grid.run(list(runs.values()), options.jobs)
    sys.stdout.write(table(options, runs))


if __name__ == "__main__":
    main()
