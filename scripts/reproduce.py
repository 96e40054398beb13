"""Reproduce the two main tables of NINT's paper (arXiv 2511.15487) for every sampler.

Fits every picture of a folder with every sampler and seed in the setting of the paper, and writes
results.csv (a row per evaluation of every run), results.md (quality at given steps; time and steps
to 30 and 35 dB; the published figures beside) and curves.png into --output. Finished runs are
kept, so it can be interrupted, repeated and extended.

    python scripts/reproduce.py --images pictures --scale small   # two pictures of 128 x 128
    python scripts/reproduce.py --images pictures --scale paper   # for a GPU
"""

import argparse
import csv
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grid

SUFFIXES = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp"}

# What each row of the tables is told, by name.
METHODS = {
    "full": ("--sampler", "full"),
    "uniform": ("--sampler", "uniform"),
    "egra": ("--sampler", "egra"),
    "expansive": ("--sampler", "expansive"),
    "soft_mining": ("--sampler", "soft_mining"),
    "int": ("--sampler", "int"),
    "int_incremental": ("--sampler", "int", "--set", "int.interval=incremental"),
    "evos": ("--sampler", "evos"),
    "evos_without_cfs": ("--sampler", "evos", "--set", "evos.supervision_weight=0"),
    "nint_released": ("--sampler", "nint_released"),
    "nint": ("--sampler", "nint"),
}

TARGETS = (30.0, 35.0)

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


@dataclass(frozen=True)
class Scale:
    """How large a reproduction is.

    Attributes:
        size: Longest side in pixels; None leaves pictures as they are.
        pictures: How many of the folder; None takes all.
        steps: Steps of every run, which all schedules refer to.
        at: Steps of the table.
        every: Steps between evaluations, and so the grain of times to a target.
        seeds: Seeds per picture.
        jobs: Runs at once.
    """

    size: int | None
    pictures: int | None
    steps: int
    at: tuple[int, ...]
    every: int
    seeds: int
    jobs: int


SCALES = {
    "small": Scale(128, 2, 500, (100, 250, 500), 10, 1, 2),
    "paper": Scale(None, None, 5000, (250, 1000, 5000), 50, 3, 1),
}

Key = tuple[str, str, int]
"""Method, picture, seed."""


def plan(options: argparse.Namespace, scale: Scale) -> dict[Key, grid.Fit]:
    """List the fits; the methods of one picture and seed stand side by side."""
    pictures = sorted(p for p in options.images.iterdir() if p.suffix.lower() in SUFFIXES)
    if not pictures:
        sys.exit(f"no picture in '{options.images}'")
    settings = [f"evaluation.every={scale.every}", "evaluation.ssim=true"]
    if scale.size is not None:
        settings.append(f"image.size={scale.size}")
    found = {}
    for seed in range(scale.seeds):
        for picture in pictures[: scale.pictures]:
            for method in options.methods.split(","):
                found[method, picture.stem, seed] = grid.Fit(
                    options.output / "runs" / f"{picture.stem}-{method}-{seed}",
                    str(picture),
                    (
                        *("--preset", "paper", "--steps", str(scale.steps)),
                        *("--seed", str(seed), "--device", options.device, *METHODS[method]),
                        *(word for setting in settings for word in ("--set", setting)),
                    ),
                )
    return found


class Results:
    """The logs of all runs, averaged over pictures and seeds.

    Args:
        runs: Finished runs.
    """

    def __init__(self, runs: dict[Key, grid.Fit]) -> None:
        self.series = {key: fit.series() for key, fit in runs.items()}
        self.metrics = {key: fit.metrics() for key, fit in runs.items()}
        self.methods = list(dict.fromkeys(method for method, _, _ in runs))

    def of(self, method: str) -> Iterator[tuple[list[dict[str, Any]], dict[str, Any]]]:
        """Go through the logs and metrics of one method."""
        for key, series in self.series.items():
            if key[0] == method:
                yield series, self.metrics[key]

    def quality(self, scale: Scale) -> str:
        """Write the table of quality at given steps."""
        header = ["method"]
        header += [f"{kind} at {step}" for step in scale.at for kind in ("PSNR", "SSIM")]
        header += ["FLIP", "LPIPS", "published PSNR at 250 / 1000 / 5000"]
        rows = []
        for method in self.methods:
            runs = list(self.of(method))
            cells = [method]
            for step in scale.at:
                for key, digits in (("psnr_db", 2), ("ssim", 4)):
                    values = (grid.at_step(series, step, key) for series, _ in runs)
                    cells.append(grid.shown(grid.mean(values), digits))
            for key in ("flip", "lpips"):
                cells.append(grid.shown(grid.mean(found.get(key) for _, found in runs), 4))
            published = PUBLISHED.get(method)
            cells.append(" / ".join(f"{v:.2f}" for v in published[0]) if published else "-")
            rows.append(cells)
        return grid.markdown(header, rows)

    def speed(self) -> str:
        """Write the table of time, steps and passes to each target."""
        header = ["method", "s per step", "passes per step", "sampler's share of time"]
        for target in TARGETS:
            header += [f"{unit} to {target:g} dB" for unit in ("s", "steps", "passes")]
        header.append("published s to 30 / 35 dB")
        rows = []
        for method in self.methods:
            runs = list(self.of(method))
            cells = [method]
            found = [metrics for _, metrics in runs]
            for values, digits in (
                ([m["train_s"] / m["steps"] for m in found], 4),
                ([m["passes"]["total"] / m["steps"] for m in found], 3),
                ([m["sampler_s"] / m["train_s"] for m in found], 2),
            ):
                cells.append(grid.shown(grid.mean(values), digits))
            for target in TARGETS:
                for key, digits in (("train_s", 1), ("step", 0), ("passes", 0)):
                    costs = (grid.cost_to(series, target, key) for series, _ in runs)
                    cells.append(grid.shown(grid.mean(costs), digits))
            seconds = PUBLISHED.get(method, ((), None))[1]
            cells.append(" / ".join(f"{v:.1f}" for v in seconds) if seconds else "-")
            rows.append(cells)
        return grid.markdown(header, rows)

    def write_csv(self, path: Path) -> None:
        """Write every evaluation of every run."""
        names = ["step", "train_s", "passes", "loss", "psnr_db", "ssim"]
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["method", "picture", "seed", *names])
            for key, series in self.series.items():
                writer.writerows([*key, *(row.get(name) for name in names)] for row in series)

    def plot(self, path: Path) -> None:
        """Draw mean PSNR against steps and against training time."""
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot

        figure, axes = pyplot.subplots(1, 2, figsize=(12, 5), layout="constrained")
        for method in self.methods:
            logs = [series for series, _ in self.of(method)]
            length = min(map(len, logs))
            rows = [[series[i] for series in logs] for i in range(length)]
            psnr = [sum(r["psnr_db"] for r in row) / len(row) for row in rows]
            for axis, key in zip(axes, ("step", "train_s"), strict=True):
                place = [sum(r[key] for r in row) / len(row) for row in rows]
                style = "-" if method.startswith("nint") else "--"
                axis.plot(place, psnr, style, label=method)
        for axis, label in zip(axes, ("steps", "seconds of training"), strict=True):
            axis.set_xlabel(label)
            axis.set_ylabel("PSNR in dB, mean over pictures and seeds")
            axis.grid(alpha=0.3)
        axes[0].legend()
        figure.savefig(path, dpi=120)
        pyplot.close(figure)


def report(options: argparse.Namespace, scale: Scale, results: Results) -> str:
    """Write results.md: what was run, on what, and both tables."""
    first = next(iter(results.metrics.values()))
    pictures = {picture for _, picture, _ in results.series}
    there = first["environment"]
    return (
        f"{len(pictures)} pictures ({', '.join(sorted(pictures))}) of "
        f"{first['input']['shape'][1]}x{first['input']['shape'][0]}, seeds 0 to "
        f"{scale.seeds - 1}, {scale.steps} steps, SIREN 5x256, Adam at 1e-4, batches of 20 %; "
        f"nint {there['nint']}, PyTorch {there['torch']}, {there['device']} with "
        f"{there['threads']} threads a run, {scale.jobs} runs at once.\n\n"
        f"Means over pictures and seeds; a dash where a run lacks the figure.\n\n"
        f"{results.quality(scale)}\n{results.speed()}"
    )


def main() -> None:
    """Run what is missing, write the tables and print them."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=Path, required=True, help="folder of pictures")
    parser.add_argument("--scale", choices=SCALES, default="small")
    parser.add_argument("--output", type=Path, default=Path("reproduction"))
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--device", default="auto")
    for name in ("size", "pictures", "steps", "every", "seeds", "jobs"):
        parser.add_argument(f"--{name}", type=int, help="instead of the scale's")
    options = parser.parse_args()
    given = {k: v for k, v in vars(options).items() if k in vars(SCALES["small"])}
    scale = SCALES[options.scale]
    scale = Scale(**vars(scale) | {k: v for k, v in given.items() if v is not None})
    if options.steps is not None:
        scale = Scale(**vars(scale) | {"at": (scale.steps,)})
    runs = plan(options, scale)
    grid.run(list(runs.values()), scale.jobs)
    results = Results(runs)
    text = report(options, scale, results)
    (options.output / "results.md").write_text(text, encoding="utf-8")
    results.write_csv(options.output / "results.csv")
    results.plot(options.output / "curves.png")
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
