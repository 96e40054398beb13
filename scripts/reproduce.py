"""Reproduce the two main tables of NINT's paper (arXiv 2511.15487) for every sampler.

Calls `nint compare` with every sampler in the setting of the paper, and writes results.md into its
folder: quality at given steps, time and steps to 30 and 35 dB, and the published figures beside.
report.html there has the curves. Finished runs are kept.

    python scripts/reproduce.py --images pictures --scale small   # two pictures of 128 x 128
    python scripts/reproduce.py --images pictures --scale paper   # for a GPU
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import tables

from nint_cli.comparison.record import Comparison, RunEntry

SUFFIXES = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp"}

# Settings of each row of the tables, by its name.
METHODS = {
    **{
        name: f"sampler={name}"
        for name in ("full", "uniform", "egra", "expansive", "soft_mining", "int")
    },
    "int_incremental": "sampler=int,int.interval=incremental",
    "evos": "sampler=evos",
    "evos_without_cfs": "sampler=evos,evos.supervision_weight=0",
    "nint_released": "sampler=nint_released",
    "nint": "sampler=nint",
}

TARGETS = ("30", "35")

# As reported for DIV2K crops of 512 x 512: PSNR in dB after 250, 1000 and 5000 steps, and seconds
# to 30 and 35 dB on the authors' GPU; None where no figure is known. Read from secondary sources.
PUBLISHED: dict[str, tuple[tuple[float, float, float], tuple[float, float] | None]] = {
    "full": ((27.90, 31.67, 39.76), (49.1, 184.8)),
    "uniform": ((27.66, 31.14, 37.14), None),
    "egra": ((27.67, 31.24, 37.39), None),
    "expansive": ((27.99, 32.15, 38.22), (29.2, 123.6)),
    "int": ((27.57, 31.19, 39.02), (33.0, 111.8)),
    "evos": ((28.02, 31.72, 37.56), (31.2, 143.2)),
    "nint": ((28.96, 32.64, 39.09), (25.1, 102.9)),
}


SCALES: dict[str, dict[str, Any]] = {
    "small": {"size": 128, "pictures": 2, "steps": 500, "at": [100, 250, 500], "every": 10,
              "seeds": 1, "jobs": 2},
    "paper": {"size": None, "pictures": None, "steps": 5000, "at": [250, 1000, 5000],
              "every": 50, "seeds": 3, "jobs": 1},
}  # fmt: skip
"""Options by scale: longest side, pictures of the folder (None: all), steps of every run, steps of
the table, steps between evaluations and so the grain of times, seeds, and runs at once."""


def compare(options: argparse.Namespace) -> Comparison:
    """Run what is missing."""
    pictures = sorted(p for p in options.images.iterdir() if p.suffix.lower() in SUFFIXES)
    if not pictures:
        sys.exit(f"no picture in '{options.images}'")
    settings = [f"evaluation.every={options.every}", "evaluation.ssim=true"]
    settings += ["evaluation.selections=false"]
    settings += [] if options.size is None else [f"image.size={options.size}"]
    words = ["--preset=paper", f"--steps={options.steps}", f"--seeds={options.seeds}"]
    words += [f"--jobs={options.jobs}", f"--device={options.device}"]
    words += [f"--set={setting}" for setting in settings]
    words += [f"--target={target}" for target in TARGETS]
    words += [f"--variant={name}:{METHODS[name]}" for name in options.methods.split(",")]
    sources = [str(path) for path in pictures[: options.pictures]]
    return tables.compare("image", sources, options.output, *words)


def log(root: Path, run: RunEntry) -> dict[int, dict[str, Any]]:
    """Read the evaluations of a run by step."""
    text = (root / run.folder / "log.jsonl").read_text(encoding="utf-8")
    rows = (json.loads(line) for line in text.splitlines())
    return {row["step"]: row for row in rows if "event" not in row}


def quality(found: Comparison, options: argparse.Namespace) -> str:
    """Write the table of quality at given steps."""
    kinds = {"PSNR": ("psnr_db", 2), "SSIM": ("ssim", 4)}
    header = ["method", *(f"{kind} at {step}" for step in options.at for kind in kinds)]
    header += ["FLIP", "LPIPS", "published PSNR at 250 / 1000 / 5000"]
    rows = []
    for method in found.variants:
        runs = [run for run in found.runs if run.variant == method.name]
        logs = [log(options.output, run) for run in runs]
        cells = [method.name]
        for step in options.at:
            for key, digits in kinds.values():
                value = tables.mean(each.get(step, {}).get(key) for each in logs)
                cells.append(tables.shown(value, digits))
        for key in ("flip", "lpips"):
            cells.append(tables.shown(tables.mean(run.figures.get(key) for run in runs), 4))
        published = PUBLISHED.get(method.name)
        cells.append(" / ".join(f"{v:.2f}" for v in published[0]) if published else "-")
        rows.append(cells)
    return tables.markdown(header, rows)


def speed(found: Comparison) -> str:
    """Write the table of time, steps and passes to each target."""
    header = ["method", "s per step", "passes per step", "sampler's share of time"]
    header += [f"{unit} to {to} dB" for to in TARGETS for unit in ("s", "steps", "passes")]
    header.append("published s to 30 / 35 dB")
    rows = []
    for method in found.variants:
        runs = [run for run in found.runs if run.variant == method.name]
        steps = [run.steps for run in runs]
        train, passes, sampler = (
            [getattr(run, name) or 0.0 for run in runs]
            for name in ("train_s", "passes", "sampler_s")
        )
        cells = [method.name]
        for parts, wholes, digits in ((train, steps, 4), (passes, steps, 3), (sampler, train, 2)):
            shares = (part / whole for part, whole in zip(parts, wholes, strict=True))
            cells.append(tables.shown(tables.mean(shares), digits))
        for target in TARGETS:
            costs = [run.to_target[target] for run in runs]
            for key, digits in (("train_s", 1), ("step", 0), ("passes", 0)):
                value = tables.mean(getattr(cost, key, None) for cost in costs)
                cells.append(tables.shown(value, digits))
        seconds = PUBLISHED.get(method.name, ((), None))[1]
        cells.append(" / ".join(f"{v:.1f}" for v in seconds) if seconds else "-")
        rows.append(cells)
    return tables.markdown(header, rows)


def report(found: Comparison, options: argparse.Namespace) -> str:
    """Write what was run, on what, and both tables."""
    there = found.runs[0].environment
    inputs = ", ".join(f"{each.name} ({each.described})" for each in found.inputs)
    return (
        f"{inputs}, seeds 0 to {options.seeds - 1}, {options.steps} steps, SIREN 5x256, "
        f"Adam at 1e-4, batches of 20 %; nint {found.nint_version}, PyTorch {there['torch']}, "
        f"{there['device']} with {there['threads']} threads a run, {options.jobs} at once.\n\n"
        "Means over pictures and seeds; a dash where a run lacks the figure.\n\n"
        f"{quality(found, options)}\n{speed(found)}"
    )


def main() -> None:
    """Run what is missing, write the tables and print them."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=Path, required=True, help="folder of pictures")
    parser.add_argument("--scale", choices=SCALES, default="small")
    parser.add_argument("--output", type=Path, default=Path("runs/reproduction"))
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--device", default="auto")
    for name in SCALES["small"]:
        nargs = "+" if name == "at" else None
        parser.add_argument(f"--{name}", type=int, nargs=nargs, help="instead of the scale's")
    options = parser.parse_args()
    if options.steps is not None and options.at is None:
        options.at = [options.steps]
    for name, value in SCALES[options.scale].items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    text = report(compare(options), options)
    (options.output / "results.md").write_text(text, encoding="utf-8")
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
