"""Count what every sampler costs per step, and set it beside the theory.

Runs each sampler for all its steps on a small field, counts the network passes that it asked for,
and prints them in full steps (a forward and a backward over all points) beside what its rule says.
The share of time that the sampler takes is measured on a field of the paper's size.

    python scripts/cost_table.py --steps 5000
"""

import argparse
import math
import sys
from collections.abc import Callable

import grid
import torch

from nint_cli.build import build_trainer
from nint_cli.clock import Clock
from nint_cli.config import RunConfig
from nint_cli.guard import Rescue
from nint_cli.signals import GridSignal
from nint_cli.trainer import Step, Trainer

FRACTION = 0.2
# A backward costs two forwards, so a full step three, by matrix products.
STEP = 3.0


class Anything:
    """An observer that lets a fit go on."""

    def after_step(self, trainer: Trainer, step: Step) -> str | None:
        """Go on."""
        return None

    def after_rescue(self, trainer: Trainer, rescue: Rescue) -> None:
        """Go on."""


def batches(extra_forwards: float = 0.0, extra_batches: float = 0.0) -> float:
    """Give the cost per step, in full steps, of a batch and what comes on top."""
    return FRACTION + extra_batches + extra_forwards / STEP


def incremental(steps: int) -> float:
    """Give the share of INT's steps that refresh: all of a quarter, then 1 in 10 to 1 in 50."""
    first = int(steps / 4)
    phase = (steps - first) // 5
    refreshed = 0
    for step in range(steps):
        if step < first or step // phase == 0:
            refreshed += 1
        else:
            refreshed += step % (10 * (max(1, step - first) // phase + 1)) == 0
    return refreshed / steps


def fitness(steps: int) -> float:
    """Give the share of EVOS' steps that are full ones."""
    full = sum(t % int(100 - 50 * t / steps) == 1 for t in range(1, steps + 1))
    return full / steps


def scorings(steps: int) -> float:
    """Give the share of NINT's steps that score: every tenth while 0.3 exp(-t/10) >= 0.001."""
    return len([t for t in range(0, steps, 10) if 0.3 * math.exp(-t / 10) >= 1e-3]) / steps


THEORY: dict[str, tuple[dict[str, object], Callable[[int], float]]] = {
    "full": ({"sampler": "full"}, lambda steps: 1.0),
    "uniform": ({"sampler": "uniform"}, lambda steps: batches()),
    "egra": ({"sampler": "egra"}, lambda steps: batches()),
    "expansive": ({"sampler": "expansive"}, lambda steps: batches()),
    "soft_mining": ({"sampler": "soft_mining"}, lambda steps: batches()),
    "int, dense": ({"sampler": "int"}, lambda steps: batches(1.0)),
    "int, every 2nd": (
        {"sampler": "int", "int": {"interval": "dense2", "every": 2}},
        lambda steps: batches(0.5),
    ),
    "int, incremental": (
        {"sampler": "int", "int": {"interval": "incremental"}},
        lambda steps: batches(incremental(steps)),
    ),
    "evos": (
        {"sampler": "evos"},
        lambda steps: batches(0.0, (1 - FRACTION) * fitness(steps)),
    ),
    "nint_released": ({"sampler": "nint_released"}, lambda steps: batches(1.0)),
    # A scoring pass is a VJP and a JVP, three forwards each, and yields the residual too.
    "nint": ({"sampler": "nint"}, lambda steps: batches(1.0 + 5 * scorings(steps))),
    "nint, every 5th": (
        {"sampler": "nint", "nint": {"interval": "dense2", "every": 5}},
        lambda steps: batches(0.2 + 5 * scorings(steps)),
    ),
}


def run(settings: dict[str, object], side: int, steps: int, width: int, layers: int) -> Trainer:
    """Fit noise and give the trainer, with its passes and its clock."""
    stored = torch.randint(
        0, 256, (side * side, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8
    )
    config = RunConfig.model_validate({
        **settings,
        "steps": steps,
        "batch": {"fraction": FRACTION},
        "siren": {"hidden_features": width, "hidden_layers": layers},
    })
    trainer = build_trainer(config, GridSignal(stored, (side, side), scale=255.0), Clock())
    trainer.fit(Anything())
    return trainer


def main() -> None:
    """Count, time and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--steps", type=int, default=1000, help="steps to count over")
    parser.add_argument("--side", type=int, default=64, help="side of the picture to count on")
    parser.add_argument("--timed-side", type=int, default=512, help="side to time on")
    parser.add_argument("--timed-steps", type=int, default=20, help="steps to time; 0: none")
    parser.add_argument("--only", help="names, separated by semicolons")
    options = parser.parse_args()
    rows = []
    for name, (settings, theory) in THEORY.items():
        if options.only and name not in options.only.split(";"):
            continue
        counted = run(settings, options.side, options.steps, 4, 1).passes
        share = "-"
        if options.timed_steps:
            clock = run(settings, options.timed_side, options.timed_steps, 256, 5).clock
            share = f"{clock.sampler_s / clock.train_s:.3f}"
        rows.append([
            name,
            *(f"{getattr(counted, kind) / options.steps:.4f}" for kind in vars(counted)),
            f"{counted.total / options.steps / STEP:.4f}",
            f"{theory(options.steps):.4f}",
            share,
        ])
    header = ["sampler", "forward", "backward", "VJP", "JVP", "cost", "theory", "sampler's time"]
    sys.stdout.write(grid.markdown(header, rows))


if __name__ == "__main__":
    main()
