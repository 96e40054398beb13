"""(d) What one NTK recomputation costs, by the picture's size, and what that leaves to gain.

Times a scoring pass, a forward sweep and a training step on 20 % of the points in turn, and gives
medians. The paper scores every 10 steps and selects by fresh residuals in every step.

    python scripts/experiments/ntk_cost.py --sides 64 128 256 512 1024
"""

import argparse
from pathlib import Path

import experiment
import tables
import torch
from timing import Job, interleaved, medians

from nint_cli.config.schema import RunConfig
from nint_cli.derivatives.engine import EXACT
from nint_cli.derivatives.ntk import ntk_residual_product
from nint_cli.derivatives.sweep import predict, pullback
from nint_cli.runs.build import build_field
from nint_cli.signals.base import GridSignal

SHARE, ALPHA = 0.2, 10


def seconds(side: int, repeats: int) -> dict[str, float]:
    """Time the three on a random picture, in turn."""
    field = build_field(RunConfig.model_validate({"field": "siren"}), (side, side), 3)
    values = torch.randint(0, 256, (side * side, 3), dtype=torch.uint8)
    signal = GridSignal(values, (side, side))
    batch = torch.randperm(len(signal))[: int(SHARE * len(signal))]
    size = EXACT.block_size(field)

    def step() -> object:
        blocks = ((at, *signal.at(batch[at : at + size])) for at in range(0, len(batch), size))
        return pullback(field, blocks, lambda _, prediction, true: prediction - true)

    jobs: dict[str, Job] = {
        "scoring": lambda: ntk_residual_product(field, signal),
        "forward": lambda: predict(field, signal),
        "step": step,
    }
    return medians(interleaved(jobs, repeats))


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sides", type=int, nargs="+", default=[64, 128, 256, 512])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("-o", "--output", type=Path, default=Path("runs/experiments/ntk_cost"))
    options = parser.parse_args()
    rows, worst = [], 0.0
    for side in options.sides:
        found = seconds(side, options.repeats)
        guided = found["step"] + found["scoring"] / ALPHA + found["forward"] * (1 - 1 / ALPHA)
        worst = max(worst, guided / (found["step"] / SHARE))
        scoring, step = found["scoring"], found["step"]
        row = [f"{side}x{side}", f"{scoring:.3f}", f"{scoring / found['forward']:.2f}"]
        row += [f"{scoring / step:.1f}", f"{guided / step:.2f}", f"{step / SHARE / guided:.2f}"]
        rows.append(row)
    header = ["picture", "scoring pass, s", "in forward sweeps", "in steps",
              "guided step over uniform step", "full step over guided step"]  # fmt: skip
    experiment.tell(
        options,
        claim="a step that is guided as in the paper, with its share of the scoring passes and a "
        "forward sweep for the residuals, takes less time than a full-batch step.",
        setting=f"SIREN 5x256 on random pictures, {torch.get_num_threads()} thread(s), batches of "
        f"20 %, scoring every {ALPHA} steps, medians of {options.repeats}. A full-batch step is "
        "taken as five times a step on 20 %. Adam and the draw are left out.",
        table=tables.markdown(header, rows),
        held=worst < 1,
        says="What that allows at most is the last column, if guided steps are worth as much "
        "as full ones; the column before says how many uniform steps it must be worth.",
    )


if __name__ == "__main__":
    main()
