"""How close J (J^T R) by a small step comes to the exact one, on fields that have trained a while.

Prints Markdown: by field, what it came to, the root mean square of the difference as a share of
the exact J v, how many of the exact fifth with the highest scores the small step finds, and
whether it is taken or given away by the points that it is compared on.

    python scripts/small_step.py image photo.png --seconds 25 --set image.size=128
    python scripts/small_step.py audio speech.wav --fields siren hashgrid
"""

import argparse
import math
import sys
from typing import Any

import grid
import torch
from torch import Tensor

from nint_cli.build import build_trainer
from nint_cli.clock import Clock
from nint_cli.config import FIELD_NAMES, preset_layer, resolve, set_layer
from nint_cli.guard import Rescue
from nint_cli.modalities import modality
from nint_cli.small_step import small_step
from nint_cli.sweep import pull_residual, pushforward
from nint_cli.trainer import Step, Trainer


class Alone:
    """An observer of a run that nobody looks at while it trains."""

    def after_step(self, trainer: Trainer, step: Step) -> str | None:
        """Go on."""
        return None

    def after_rescue(self, trainer: Trainer, rescue: Rescue) -> None:
        """Go on."""


def trained(options: argparse.Namespace, field: str) -> Trainer:
    """Train a field by its default recipe."""
    given = [f"field={field}", "device=cpu", f"stop.time_budget_s={options.seconds}", *options.set]
    layers = [preset_layer("default", options.modality), set_layer(given)]
    config = resolve(layers, modality=options.modality).config
    subject: Any = modality(options.modality).read(options.source, config, torch.device("cpu"))
    trainer = build_trainer(config, subject.signal, Clock())
    trainer.fit(Alone())
    return trainer


def row(field: str, trainer: Trainer) -> list[str]:
    """Compare a small step along J^T R with the tangent, over all points."""
    direction, residual = pull_residual(trainer.field, trainer.signal)
    exact = pushforward(trainer.field, trainer.signal, direction)
    taken = small_step(trainer.field, trainer.signal, direction)
    step = taken or small_step(trainer.field, trainer.signal, direction, tolerance=math.inf)
    if step is None:
        return [field, f"{float(residual.square().mean()):.2g}", "-", "-", "no"]
    blocks = step.blocks(trainer.signal, residual=residual)
    product = torch.cat([rows for _, rows, _ in blocks])
    shared = torch.isin(_top(product), _top(exact)).double().mean()
    return [
        field,
        f"{float(residual.square().mean()):.2g}",
        f"{100 * float((product - exact).norm() / exact.norm()):.2f} %",
        f"{100 * float(shared):.1f} %",
        "yes" if taken else "no",
    ]


def _top(product: Tensor) -> Tensor:
    highest: Tensor = torch.linalg.vector_norm(product, dim=1).topk(max(1, len(product) // 5))[1]
    return highest


def main() -> None:
    """Train every field, compare, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("modality", choices=grid.HEADLINES)
    parser.add_argument("source", metavar="INPUT")
    parser.add_argument("--fields", nargs="+", choices=FIELD_NAMES, default=list(FIELD_NAMES))
    parser.add_argument("--seconds", type=float, default=25.0, help="of training, 25")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    options = parser.parse_args()
    rows = [row(field, trained(options, field)) for field in options.fields]
    header = ["field", "mean square error", "difference", "of the highest fifth", "taken"]
    sys.stdout.write(grid.markdown(header, rows))


if __name__ == "__main__":
    main()
