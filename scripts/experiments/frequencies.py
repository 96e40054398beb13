"""(e) Whether early sampling concentrates on high frequencies, on a signal that has known ones.

The picture is made here: vertical bands, flat and with sinusoids of few to many cycles, all of one
amplitude. A sampler's density on a band is its share of the chosen points over its share of the
picture, taken from what the run's first evaluations trained on.

    python scripts/experiments/frequencies.py
"""

from pathlib import Path

import experiment
import numpy as np
import tables
from PIL import Image

from nint_cli.runs import selections
from nint_cli.runs.folder import RunFolder

CYCLES = (0, 2, 8, 24)
"""Per band, over the picture's height."""

VARIANTS = {
    "uniform": "sampler=uniform",
    "ntk": "sampler=nint,nint.xi=0,nint.share_law=exponential,nint.lambda=0",
    "residual": "sampler=int",
    "nint": "sampler=nint",
}


def picture(side: int, path: Path) -> None:
    """Write the picture."""
    rows = (np.arange(side) + 0.5) / side
    bands = [128 + 100 * np.sin(2 * np.pi * cycles * rows) for cycles in CYCLES]
    columns = np.repeat(np.stack(bands, axis=1), side // len(CYCLES), axis=1)
    Image.fromarray(np.round(columns).astype(np.uint8)).save(path)


def densities(folder: Path, side: int, first: int) -> list[float]:
    """Give the density on each band over the first few evaluations of a run."""
    width = side // len(CYCLES)
    counts = np.zeros(len(CYCLES))
    for path in RunFolder(folder).selections()[:first]:
        _, selection = selections.read(path)
        columns = selection.indices.numpy() % (width * len(CYCLES))
        counts += np.bincount(columns // width, minlength=len(CYCLES))
    found: list[float] = (counts / counts.sum() * len(CYCLES)).tolist()
    return found


def main() -> None:
    """Run it."""
    parser = experiment.arguments(__doc__, "frequencies", size=96, steps=200)
    parser.add_argument("--first", type=int, default=10, help="evaluations that count as early")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    options.source = str(options.output / "bands.png")
    picture(options.size, Path(options.source))
    options.set.append("evaluation.every=5")
    words = [f"--variant={name}:{settings}" for name, settings in VARIANTS.items()]
    found = experiment.compare(options, *words)
    rows, density = [], {}
    for name in VARIANTS:
        run = next(run for run in found.runs if run.variant == name)
        density[name] = densities(options.output / run.folder, options.size, options.first)
        figures = [*density[name], experiment.psnr(found, name)]
        rows.append([name, *(f"{value:.2f}" for value in figures)])
    header = ["", *(f"{cycles} cycles" for cycles in CYCLES), "PSNR at the end, dB"]
    experiment.tell(
        options,
        claim="early on the points with the largest NTK score lie where frequencies are high: "
        "their density on the band of most cycles is 1.2 and more.",
        setting=f"{options.size} pixels, bands of one amplitude, paper preset, the first "
        f"{5 * options.first} of {options.steps} steps, {options.seeds} seed(s). 'ntk' chooses "
        "the whole batch by NTK score, 'residual' by residual (INT).",
        table=tables.markdown(header, rows),
        held=density["ntk"][-1] >= 1.2,
        says=f"The NTK score's density there is {density['ntk'][-1]:.2f}, that of the residual "
        f"{density['residual'][-1]:.2f}.",
    )


if __name__ == "__main__":
    main()
