"""Hold the default preset to the paper's: every field, at equal training time.

Prints Markdown: the figure that fits of that modality are known by (PSNR, SI-SNR or IoU) of both
presets after the same seconds of training, per field the mean over inputs and seeds, the least
lead of the default, and where it is behind. Finished runs are kept in --output.

    python scripts/presets.py image photo.png --size 256 --seconds 20 --seeds 3
"""

import argparse
import sys
from pathlib import Path

import grid

from nint_cli.config import FIELD_NAMES

PRESETS = ("default", "paper")
Key = tuple[str, str, int, str]


def fits(options: argparse.Namespace) -> dict[Key, grid.Fit]:
    """List the fits by field, input, seed and preset; the presets of a pair stand side by side."""
    found = {}
    for seed in range(options.seeds):
        for source in options.sources:
            for field in options.fields:
                for preset in PRESETS:
                    name = Path(source.replace(":", "-")).stem
                    settings = list(options.set)
                    if options.size is not None:
                        settings.append(f"image.size={options.size}")
                    found[field, source, seed, preset] = grid.Fit(
                        options.output / f"{name}-{options.size}-{field}-{seed}-{preset}",
                        source,
                        (
                            *("--preset", preset, "--field", field, "--seed", str(seed)),
                            *("--time-budget", f"{options.seconds}s"),
                            *("--set", "evaluation.every=1000000"),
                            *("--set", "checkpoint.every=null"),
                            *(f"--set={setting}" for setting in settings),
                        ),
                        options.modality,
                    )
    return found


def table(options: argparse.Namespace, runs: dict[Key, grid.Fit]) -> str:
    """Write the table; a run without a figure counts as behind any other."""
    key = grid.HEADLINES[options.modality]
    digits = 2 if key.endswith("_db") else 4
    figures = {run: fit.metrics().get(key) for run, fit in runs.items()}
    rows = []
    for field in options.fields:
        pairs = {
            (source, seed): [figures[field, source, seed, preset] for preset in PRESETS]
            for source in options.sources
            for seed in range(options.seeds)
        }
        leads = {run: lead(*pair) for run, pair in pairs.items()}
        behind = [f"{Path(source).stem} seed {seed}" for (source, seed), by in leads.items()
                  if by < 0]  # fmt: skip
        rows.append([
            field,
            *(
                grid.shown(grid.mean([pair[at] for pair in pairs.values()]), digits)
                for at in (0, 1)
            ),
            grid.shown(min(leads.values()), digits),
            ", ".join(behind) or "-",
        ])
    header = ["field", f"{key}, default", f"{key}, paper", "least lead", "behind on"]
    return grid.markdown(header, rows)


def lead(ours: float | None, theirs: float | None) -> float:
    """Give how far the default is ahead."""
    least = -1e9
    return (least if ours is None else ours) - (least if theirs is None else theirs)


def main() -> None:
    """Run what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("modality", choices=grid.HEADLINES)
    parser.add_argument("sources", nargs="+", metavar="INPUT")
    parser.add_argument("--output", type=Path, default=Path("presets"))
    parser.add_argument("--fields", nargs="+", choices=FIELD_NAMES, default=list(FIELD_NAMES))
    parser.add_argument("--size", type=int, help="longest side of a picture")
    parser.add_argument("--seconds", type=float, default=20.0, help="of training")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--jobs", type=int, default=1, help="fits at once")
    options = parser.parse_args()
    runs = fits(options)
    grid.run(list(runs.values()), options.jobs)
    sys.stdout.write(table(options, runs))


if __name__ == "__main__":
    main()
