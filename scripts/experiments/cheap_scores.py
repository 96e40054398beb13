"""(f) Cheaper stand-ins for the NTK score: how alike they choose, and where they end.

Along one run that is trained by exact scores, every stand-in scores the same network, and its
highest 20 % are compared with the exact ones. Then each has a run of its own.

    python scripts/experiments/cheap_scores.py picture.png
"""

import argparse
import statistics
from collections.abc import Callable

import experiment
import numpy as np
import tables
import torch
from torch import Tensor

from nint_cli.config.layers import resolve
from nint_cli.config.presets import preset_layer
from nint_cli.config.yaml_text import set_layer
from nint_cli.derivatives.probe import Probe, ScoredBlocks
from nint_cli.derivatives.sweep import Passes
from nint_cli.random import Draws
from nint_cli.runs.build import build_trainer
from nint_cli.runs.inputs import read_input
from nint_cli.schedules.clock import Clock
from nint_cli.training.divergence import Rescue
from nint_cli.training.trainer import Step, Trainer

SCORES: dict[str, tuple[str, Callable[[Probe, np.random.Generator], ScoredBlocks]]] = {
    "exact": ("", lambda probe, _: probe.product_blocks()),
    "moment": ("nint.gradient=moment", lambda probe, _: probe.product_blocks(by_moment=True)),
    "diagonal": ("nint.score=self_leverage", lambda probe, _: probe.self_leverage_blocks()),
    "last layer": ("nint.score=last_layer", lambda probe, _: probe.last_layer_blocks()),
    "sketch of 4": (
        "nint.score=sketch,nint.sketches=4",
        lambda probe, stream: probe.sketched_blocks(stream, 4),
    ),
    "residual": ("nint.score=residual", lambda probe, _: probe.residual_score_blocks()),
}
"""Settings over NINT's, and how a probe gives it, by the score's name in the table."""

_ALWAYS = "nint.lambda=0,nint.xi=0.7"  # an NTK share of 0.3 to the end


class Observer:
    """Scores the network in every way, now and then."""

    def __init__(self, every: int) -> None:
        self._every = every
        self.overlaps: dict[str, list[float]] = {name: [] for name in SCORES}
        self.ranks: dict[str, list[float]] = {name: [] for name in SCORES}

    def after_step(self, trainer: Trainer, step: Step) -> str | None:
        """Compare."""
        if step.number % self._every:
            return None
        stream = Draws(0, step.number).stream("sketches")
        probe = Probe(trainer.field, trainer.signal, Passes(), trainer.optimiser.first_moment)
        scores = {
            name: torch.cat([part.norm(dim=1) for _, part, _ in score(probe, stream)])
            for name, (_, score) in SCORES.items()
        }
        top = {name: score.topk(len(score) // 5).indices for name, score in scores.items()}
        for name, score in scores.items():
            shared = torch.isin(top[name], top["exact"]).float().mean()
            self.overlaps[name].append(float(shared))
            self.ranks[name].append(_spearman(score, scores["exact"]))
        return None

    def after_rescue(self, trainer: Trainer, rescue: Rescue) -> None:
        """Go on."""


def _spearman(a: Tensor, b: Tensor) -> float:
    """Give the rank correlation."""
    ranks = torch.stack([each.argsort().argsort().double() for each in (a, b)])
    return float(torch.corrcoef(ranks)[0, 1])


def along_one_run(options: argparse.Namespace) -> Observer:
    """Train by exact scores and look at the others."""
    given = ["sampler=nint", f"steps={options.steps}", f"image.size={options.size}"]
    given += _ALWAYS.split(",") + options.set
    config = resolve([preset_layer("paper"), set_layer(given)]).config
    subject = read_input("image", options.source, config, torch.device("cpu"))
    observer = Observer(max(1, options.steps // 10))
    build_trainer(config, subject.signal, Clock()).fit(observer)
    return observer


def main() -> None:
    """Run it."""
    parser = experiment.arguments(__doc__, "cheap_scores", size=128, steps=300)
    options = parser.parse_args()
    observer = along_one_run(options)
    words = [
        f"--variant={name.replace(' ', '-')}:sampler=nint,{_ALWAYS}{',' * bool(own)}{own}"
        for name, (own, _) in SCORES.items()
    ]
    found = experiment.compare(options, "--sampler=uniform", *words)
    uniform = experiment.summary(found, "uniform")
    rows = [["uniform", "-", "-", f"{uniform.value.mean:.2f}", f"{uniform.train_s.mean:.0f}"]]
    ends = {}
    for name in SCORES:
        each = experiment.summary(found, name.replace(" ", "-"))
        ends[name] = each.value.mean or 0.0
        overlaps, ranks = observer.overlaps[name], observer.ranks[name]
        figures = (statistics.mean(overlaps), statistics.mean(ranks), ends[name])
        rows.append([name, *(f"{value:.2f}" for value in figures), f"{each.train_s.mean:.0f}"])
    cheap = max((name for name in SCORES if name != "exact"), key=ends.__getitem__)
    experiment.tell(
        options,
        claim="a stand-in that takes less than the exact score chooses as well: its run ends "
        "within 0.2 dB of the exact one's, or above.",
        setting=f"{options.size} pixels, paper preset with an NTK share of 0.3 to the end, "
        f"{options.steps} steps, {options.seeds} seed(s); overlap of the highest 20 % (by chance "
        "0.20) and rank correlation are means over ten moments of one run.",
        table=tables.markdown(
            ["score", "overlap", "rank correlation", "PSNR at the end, dB", "training, s"], rows
        ),
        held=ends[cheap] >= ends["exact"] - 0.2,
        says=f"{cheap} ends highest of the stand-ins, {ends[cheap] - ends['exact']:+.2f} dB from "
        "the exact score.",
    )


if __name__ == "__main__":
    main()
