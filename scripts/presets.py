"""Compare the default preset with the paper's: every field, at equal training time.

Calls `nint compare` with all fields once for each preset and prints Markdown: by field the mean
figure over inputs and seeds (PSNR, SI-SNR or IoU), the least lead of the default in any pair of
runs, and where it is behind. Finished runs are kept in --output.

    python scripts/presets.py image photo.png --set image.size=256 --seconds 20 --seeds 3
"""

import argparse
import math
import sys
from collections.abc import Mapping
from pathlib import Path

import tables

from nint_cli.comparison.record import Comparison, RunEntry
from nint_cli.config.schema import FIELD_NAMES

PRESETS = ("default", "paper")
QUIET = ("evaluation.every=1000000", "evaluation.selections=false", "checkpoint.every=null")
"""Settings that keep a run from doing anything but training."""


def compare(options: argparse.Namespace, preset: str) -> Comparison:
    """Fit all inputs by all fields with all seeds by one preset."""
    words = ["--preset", preset, "--time-budget", f"{options.seconds}s"]
    words += ["--seeds", str(options.seeds), "--jobs", str(options.jobs)]
    words += [f"--field={field}" for field in options.fields]
    words += [f"--set={setting}" for setting in (*QUIET, *options.set)]
    return tables.compare(options.modality, options.sources, options.output / preset, *words)


def figure(run: RunEntry) -> float:
    """Return a run's figure; one that has none is behind any other."""
    if run.value is None:
        return math.inf if run.exact else -math.inf
    return run.value


def row(field: str, found: Mapping[str, Comparison]) -> list[str]:
    """Write the row of a field from the comparisons of both presets."""
    default, paper = (
        {(run.input, run.seed): figure(run) for run in found[preset].runs if run.variant == field}
        for preset in PRESETS
    )
    digits = 2 if found["default"].headline.endswith("_db") else 4
    leads = {key: 0.0 if ours == paper[key] else ours - paper[key]
             for key, ours in default.items()}  # fmt: skip
    behind = [
        f"{name} seed {seed} ({by:.{digits}f})" for (name, seed), by in leads.items() if by < 0
    ]
    means = (tables.shown(tables.mean(each.values()), digits) for each in (default, paper))
    least = tables.shown(min(leads.values()), digits)
    return [field, str(len(leads)), *means, least, ", ".join(behind) or "-"]


def main() -> None:
    """Run what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("modality", choices=["image", "audio", "sdf"])
    parser.add_argument("sources", nargs="+", metavar="INPUT")
    parser.add_argument("--output", type=Path, default=Path("runs/presets"))
    parser.add_argument("--fields", nargs="+", choices=FIELD_NAMES, default=list(FIELD_NAMES),
        help="two or more; default: all")  # fmt: skip
    parser.add_argument("--seconds", type=float, default=20.0, help="of training")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--jobs", type=int, default=1, help="fits at once")
    options = parser.parse_args()
    found = {preset: compare(options, preset) for preset in PRESETS}
    header = ["field", "pairs", *PRESETS, "least lead", "behind on"]
    rows = [row(field, found) for field in options.fields]
    sys.stdout.write(tables.markdown(header, rows))


if __name__ == "__main__":
    main()
