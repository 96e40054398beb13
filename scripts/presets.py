"""Hold the default preset to the paper's: every field, at equal training time.

Prints Markdown: the figure that fits of that modality are known by (PSNR, SI-SNR or IoU) of both
presets after the same seconds of training, per field the mean over inputs and seeds, the least
lead of the default, and where it is behind. Finished runs are kept in --output.

    python scripts/presets.py image photo.png --size 256 --seconds 20 --seeds 3
    python scripts/presets.py image *.png --size 128 256 512 --seconds 4 --seeds 3 --by-turns
"""

import argparse
import sys
from pathlib import Path

import grid

from nint_cli.config import FIELD_NAMES

PRESETS = ("default", "paper")
Case = tuple[str, int | None, int]
"""An input, its longest side where it is a picture that is made smaller, and a seed."""


def cases(options: argparse.Namespace) -> list[Case]:
    """List what every field is tried on: every input, size and seed, or one seed of each."""
    sizes = options.size or [None]
    found = []
    for number, source in enumerate(options.sources):
        for place, size in enumerate(sizes):
            turn = (number + place) % options.seeds
            seeds = [turn] if options.by_turns else range(options.seeds)
            found += [(source, size, seed) for seed in seeds]
    return found


def fits(options: argparse.Namespace) -> dict[tuple[str, Case, str], grid.Fit]:
    """List the fits by field, case and preset; the presets of a pair stand side by side."""
    return {
        (field, case, preset): fit(options, field, case, preset)
        for case in cases(options)
        for field in options.fields
        for preset in PRESETS
    }


def fit(options: argparse.Namespace, field: str, case: Case, preset: str) -> grid.Fit:
    """Give one fit."""
    source, size, seed = case
    name = Path(source.replace(":", "-")).stem
    settings = [*options.set, *([f"image.size={size}"] if size else [])]
    words = (
        *("--preset", preset, "--field", field, "--seed", str(seed)),
        *("--time-budget", f"{options.seconds}s"),
        *("--set", "evaluation.every=1000000", "--set", "checkpoint.every=null"),
        *(f"--set={setting}" for setting in settings),
    )
    folder = options.output / f"{name}-{size}-{field}-{seed}-{preset}"
    return grid.Fit(folder, source, words, options.modality)


def table(options: argparse.Namespace, runs: dict[tuple[str, Case, str], grid.Fit]) -> str:
    """Write the table; a run without a figure counts as behind any other."""
    key = grid.HEADLINES[options.modality]
    digits = 2 if key.endswith("_db") else 4
    figures = {run: fit.metrics().get(key) for run, fit in runs.items()}
    rows = []
    for field in options.fields:
        pairs = {
            case: [figures[field, case, preset] for preset in PRESETS] for case in cases(options)
        }
        leads = {case: lead(*pair) for case, pair in pairs.items()}
        behind = [f"{named(case)} ({by:.{digits}f})" for case, by in leads.items() if by < 0]
        rows.append([
            field,
            str(len(pairs)),
            *(
                grid.shown(grid.mean([pair[at] for pair in pairs.values()]), digits)
                for at in (0, 1)
            ),
            grid.shown(min(leads.values()), digits),
            ", ".join(behind) or "-",
        ])
    header = ["field", "pairs", f"{key}, default", f"{key}, paper", "least lead", "behind on"]
    return grid.markdown(header, rows)


def named(case: Case) -> str:
    """Say which case it is."""
    source, size, seed = case
    return " ".join([Path(source).stem, *(["at", str(size)] if size else []), f"seed {seed}"])


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
    parser.add_argument("--size", type=int, nargs="+", help="longest sides of pictures")
    parser.add_argument("--seconds", type=float, default=20.0, help="of training")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--by-turns", action="store_true",
        help="one seed for each input and size, the next one for the next")  # fmt: skip
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--jobs", type=int, default=1, help="fits at once")
    options = parser.parse_args()
    runs = fits(options)
    grid.run(list(runs.values()), options.jobs)
    sys.stdout.write(table(options, runs))


if __name__ == "__main__":
    main()
