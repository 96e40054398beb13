"""(h) The kernel along a run: whether its diagonal is larger at edges, and how long scores last.

At some moments of a run in the setting of the paper the kernel's diagonal is correlated with the
picture's local gradient, and the score ||K R|| with its own part ||K(x, x) R||, with the residual,
and with the score of ten steps later. All are rank correlations over all points.

    python scripts/experiments/kernel_in_training.py picture.png
"""

import statistics
from dataclasses import dataclass, field

import experiment
import tables
import torch
from torch import Tensor

from nint_cli.config.layers import resolve
from nint_cli.config.presets import preset_layer
from nint_cli.config.yaml_text import set_layer
from nint_cli.inspection import image_structure, kernel
from nint_cli.runs.build import build_trainer
from nint_cli.runs.inputs import read_input
from nint_cli.schedules.clock import Clock
from nint_cli.signals.base import GridSignal
from nint_cli.training.divergence import Rescue
from nint_cli.training.trainer import Step, Trainer

MOMENTS = (0, 10, 50, 100, 200)
LAG = 10
"""Steps between the paper's scorings."""

COLUMNS = ("diagonal, gradient", "coupling", "score, own part", "score, residual",
           "score, later", "top 20 %", "residual, later")  # fmt: skip


@dataclass
class Observer:
    """Looks at the kernel at the moments, and at the scores again `LAG` steps later."""

    steepness: Tensor
    found: dict[int, list[float]] = field(default_factory=dict)
    _before: tuple[Tensor, Tensor] = (torch.empty(0), torch.empty(0))

    def after_step(self, trainer: Trainer, step: Step) -> str | None:
        """Look, where it is time."""
        if step.number - LAG in self.found:
            self._look_again(trainer, step.number - LAG)
        if step.number in MOMENTS:
            self.look(trainer, step.number)
        return None

    def after_rescue(self, trainer: Trainer, rescue: Rescue) -> None:
        """Go on."""

    def look(self, trainer: Trainer, number: int) -> None:
        """Compute what a moment has."""
        diagonal = kernel.leverage(trainer.field, trainer.signal)
        product, residual = kernel.scores(trainer.field, trainer.signal, trainer.signal)
        part = kernel.coupling(product, residual, diagonal)
        self._before = score, error = product.norm(dim=1), residual.norm(dim=1)
        ranks = (kernel.spearman(diagonal.sum(1), self.steepness), part.spearman,
                 kernel.spearman(score, error))  # fmt: skip
        edges, own, errors = (rank or 0.0 for rank in ranks)
        self.found[number] = [edges, part.share, own, errors]

    def _look_again(self, trainer: Trainer, number: int) -> None:
        later = kernel.scores(trainer.field, trainer.signal, trainer.signal)
        score, error = (each.norm(dim=1) for each in later)
        (score_then, error_then), found = self._before, self.found[number]
        found.append(kernel.spearman(score_then, score) or 0.0)
        found.append(kernel.overlap(score_then, score))
        found.append(kernel.spearman(error_then, error) or 0.0)


def along_a_run(source: str, *settings: str) -> dict[int, list[float]]:
    """Return the figures of a run at each moment that is `LAG` steps before its end or earlier."""
    given = ["sampler=nint", *settings]
    config = resolve([preset_layer("paper"), set_layer(given)]).config
    signal = read_input("image", source, config, torch.device("cpu")).signal
    assert isinstance(signal, GridSignal)
    steepness = image_structure.gradient_magnitude(image_structure.values_of(signal))
    trainer = build_trainer(config, signal, Clock())
    observer = Observer(torch.from_numpy(steepness.reshape(-1)))
    observer.look(trainer, 0)
    trainer.fit(observer)
    return {
        number: found for number, found in observer.found.items() if number + LAG <= config.steps
    }


def main() -> None:
    """Run it."""
    steps = MOMENTS[-1] + LAG
    parser = experiment.arguments(__doc__, "kernel_in_training", size=64, steps=steps)
    options = parser.parse_args()
    if options.steps < LAG:
        parser.error(f"--steps {options.steps} ends before scores are {LAG} steps old; give more")
    given = [f"steps={options.steps}", f"image.size={options.size}", *options.set]
    runs = [along_a_run(options.source, *given, f"seed={seed}") for seed in range(options.seeds)]
    rows, edges = [], []
    for moment in runs[0]:
        columns = zip(*(run[moment] for run in runs), strict=True)
        means = [statistics.mean(column) for column in columns]
        edges.append(means[0])
        rows.append([str(moment), *(f"{mean:.2f}" for mean in means)])
    experiment.tell(
        options,
        claim="edges have larger diagonals: at every moment the rank correlation of K(x, x) with "
        "the picture's local gradient is 0.3 and more.",
        setting=f"{options.size} pixels, paper preset, {options.seeds} seed(s). 'coupling' is "
        f"the share of a score that comes from other points, 'later' is {LAG} steps later, and "
        "'top 20 %' is what the highest scores then and later have in common.",
        table=tables.markdown(["step", *COLUMNS], rows),
        held=min(edges) >= 0.3,
        says=f"It is from {min(edges):.2f} to {max(edges):.2f}.",
    )


if __name__ == "__main__":
    main()
