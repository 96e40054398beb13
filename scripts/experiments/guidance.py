"""(g) Guidance by the kernel's diagonal against remembered errors and uniform batches.

Fits every input by every field with its tuned recipe at equal training time and prints a row per
field: what the diagonal gains over both, with 95 % intervals over inputs, seeds averaged. Finished
runs are kept in --output.

    python scripts/experiments/guidance.py image a.png b.png c.png d.png --seconds 5 --seeds 3
"""

import argparse
import sys
from pathlib import Path

import experiment
import tables

from nint_cli.comparison.record import Comparison, Interval
from nint_cli.comparison.statistics import mean_difference
from nint_cli.config.schema import FIELD_NAMES

VARIANTS = {
    "uniform": "sampler=uniform",
    "error": "sampler=nint_diagonal,nint_diagonal.score=error",
    "diagonal": "sampler=nint_diagonal,nint_diagonal.score=diagonal",
}
QUIET = ("evaluation.every=1000000", "evaluation.selections=false", "checkpoint.every=null")


def compare(options: argparse.Namespace, field: str) -> Comparison:
    """Fit all inputs by a field with all seeds, each kind of guidance in turn."""
    words = ["--preset=default", f"--field={field}", f"--time-budget={options.seconds}s"]
    words += [f"--seeds={options.seeds}", f"--jobs={options.jobs}"]
    words += [f"--variant={name}:{settings}" for name, settings in VARIANTS.items()]
    words += [f"--set={setting}" for setting in (*QUIET, *options.set)]
    return tables.compare(options.modality, options.sources, options.output / field, *words)


def lead(found: Comparison, ours: str, theirs: str) -> tuple[Interval | None, float]:
    """Compute how far one kind of guidance is ahead of another, and its least lead of an input."""
    values: dict[tuple[str, str], dict[int, float]] = {}
    for run in found.runs:
        if run.value is not None:
            values.setdefault((run.input, run.variant), {})[run.seed] = run.value
    groups = []
    for name in dict.fromkeys(run.input for run in found.runs):
        left, right = values.get((name, ours), {}), values.get((name, theirs), {})
        groups.append([(left[seed], right[seed]) for seed in left.keys() & right.keys()])
    least = min(
        (sum(a - b for a, b in group) / len(group) for group in groups if group), default=0.0
    )
    return mean_difference(groups, "input"), least


def shown(interval: Interval | None, digits: int) -> str:
    """Write a mean difference with its interval."""
    if interval is None:
        return "-"
    text = f"{interval.value:+.{digits}f}"
    if interval.low is None or interval.high is None:
        return text
    return f"{text} [{interval.low:+.{digits}f}, {interval.high:+.{digits}f}]"


def main() -> None:
    """Run what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("modality", choices=["image", "audio", "sdf"])
    parser.add_argument("sources", nargs="+", metavar="INPUT")
    parser.add_argument("-o", "--output", type=Path, default=Path("runs/experiments/guidance"))
    parser.add_argument("--fields", nargs="+", choices=FIELD_NAMES, default=list(FIELD_NAMES))
    parser.add_argument("--seconds", type=float, default=5.0, help="of training")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--jobs", type=int, default=1, help="fits at once")
    options = parser.parse_args()
    header = [
        "field",
        "runs",
        *VARIANTS,
        "diagonal over uniform",
        "over error",
        "least of an input",
    ]
    rows = []
    for field in options.fields:
        found = compare(options, field)
        digits = 2 if found.headline.endswith("_db") else 4
        means = [
            tables.shown(experiment.summary(found, name, None).value.mean, digits)
            for name in VARIANTS
        ]
        over, least = lead(found, "diagonal", "error")
        gain, _ = lead(found, "diagonal", "uniform")
        rows.append([field, str(len(found.runs)), *means, shown(gain, digits), shown(over, digits),
                     f"{least:+.{digits}f}"])  # fmt: skip
        sys.stdout.write(tables.markdown(header, rows[-1:]))
        sys.stdout.flush()
    sys.stdout.write("\n" + tables.markdown(header, rows))


if __name__ == "__main__":
    main()
