"""Looking inside a run: its own checkpoints, its own input, and nothing of it changed."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from nint_cli.comparison import comparable
from nint_cli.comparison.reading import read_metrics, read_run
from nint_cli.comparison.record import RunEntry
from nint_cli.derivatives.ntk import dense_fits
from nint_cli.errors import InputError, NintError
from nint_cli.fields.base import Field
from nint_cli.inspection import drawing, image_structure, kernel
from nint_cli.inspection.diagnosis import Facts, diagnose
from nint_cli.inspection.record import (
    Block,
    Correlation,
    Coupling,
    Density,
    Inspection,
    Leverage,
    Staleness,
)
from nint_cli.modalities.base import Subject
from nint_cli.runs import checkpoint, selections
from nint_cli.runs.build import build_trainer
from nint_cli.runs.checkpoint import Checkpoint
from nint_cli.runs.inputs import read_input
from nint_cli.runs.opening import newest, open_run, refuse_foreign_checkpoints
from nint_cli.samplers.base import Selection
from nint_cli.samplers.nint import NintSettings
from nint_cli.samplers.table import section_of
from nint_cli.schedules.clock import Clock
from nint_cli.signals.base import GridSignal, Signal
from nint_cli.signals.points import PointSignal
from nint_cli.signals.stratified import spread_indices
from nint_cli.training.divergence import Rescue
from nint_cli.training.trainer import Step, Trainer

PICTURES = ("self-leverage.png", "score.png", "blocks.png", "density.png")
"""Names of all pictures that there may be."""

_PATCH = 8
_PICTURE_AXES = 2
_DENSITIES = 6
_OVERFLOW = "it is beyond what numbers of 32 bits hold, as in a fit that diverged"


@dataclass(frozen=True)
class Inspected:
    """What was found.

    Attributes:
        evidence: What inspect.json says.
        pictures: PNG files by name.
    """

    evidence: Inspection
    pictures: dict[str, bytes]


def inspect_run(
    path: Path,
    *,
    points: int = 16_384,
    seed: int = 0,
    baseline: Path | None = None,
    note: Callable[[str], None] = lambda _: None,
) -> Inspected:
    """Look inside a run.

    The kernel's figures are computed at evenly spread points in place of all, and at all of a
    signal that has no more. What goes into a score is summed over all in any case, in one sweep.

    Args:
        path: The run folder; nothing in it is written.
        points: How many.
        seed: Decides which.
        baseline: A run to hold it to; None for none.
        note: Told what cannot be done, a line each.

    Returns:
        The evidence, and pictures of it. An InputError is raised if there is no run that came to
        an end, no sound checkpoint, or `baseline` is no such run on the same signal.
    """
    return _Examination(path, points, seed, baseline, note).run()


class _Misfit(NamedTuple):
    """The error over the variance of the values, and by decile of local gradient."""

    unexplained: float | None = None
    by_steepness: list[float] | None = None


class _Examination:
    """One look inside a run; figures are computed as they are asked for."""

    def __init__(
        self,
        path: Path,
        points: int,
        seed: int,
        baseline: Path | None,
        note: Callable[[str], None],
    ) -> None:
        self._folder = open_run(path, note=note)
        self._path = path
        self._points = points
        self._seed = seed
        self._note = note
        self._saved, faults = newest(self._folder)
        refuse_foreign_checkpoints(self._folder)
        for fault in faults:
            note(f"{fault}; looking at the checkpoint before it")
        self._entry = read_run(path, name="", variant="", root=path)
        if self._entry.status == "missing":
            raise InputError(f"'{path}' has no sound metrics.json; go on with nint resume first")
        self._baseline: RunEntry | None = None
        if baseline is not None:
            self._baseline = read_run(baseline, name="", variant="", root=baseline)
            if self._baseline.status == "missing":
                raise InputError(f"'{baseline}' holds no run that came to an end")
            ours, theirs = (
                comparable.signal(read_metrics(each).input) for each in (path, baseline)
            )
            if ours != theirs:
                raise InputError(f"'{baseline}' is of another signal than '{path}'")
        self._pictures: dict[str, bytes] = {}
        self._gone: str | None = None

    def run(self) -> Inspected:
        diagonal = kernel.leverage(self._field, self._some).double()
        leverage, no_leverage = self._leverage(diagonal)
        gradient, no_gradient = self._gradient(diagonal)
        blocks, no_blocks = self._blocks()
        coupling, no_coupling, misfit = self._coupling(diagonal)
        staleness, no_staleness = self._staleness()
        density, no_density = self._density()
        config = self._saved.config
        facts = Facts(
            run=self._entry,
            sampler=config.sampler,
            rate=config.optimiser.peak_rate(self._saved.signal.grid),
            xi=self._nint.xi if section_of(config.sampler) == "nint" else None,
            products=self._products(),
            floor_db=self._field.bf16_floor_db,
            leverage=leverage,
            staleness=staleness,
            errors=misfit.by_steepness,
            unexplained=misfit.unexplained,
            baseline=self._baseline,
        )
        evidence = Inspection(
            run=str(self._path),
            step=self._saved.state.numbers["step"],
            population=self._saved.signal.population,
            points=len(self._indices),
            leverage=leverage,
            leverage_reason=no_leverage,
            gradient=gradient,
            gradient_reason=no_gradient,
            blocks=blocks,
            blocks_reason=no_blocks,
            coupling=coupling,
            coupling_reason=no_coupling,
            staleness=staleness,
            staleness_reason=no_staleness,
            density=density,
            density_reason=no_density,
            diagnoses=diagnose(facts),
            files=sorted(self._pictures),
        )
        return Inspected(evidence, self._pictures)

    @cached_property
    def _field(self) -> Field:
        return checkpoint.rebuild_field(self._saved)

    @cached_property
    def _subject(self) -> Subject | None:
        """The input; None where it is gone."""
        record = self._saved.signal
        try:
            subject = read_input(
                record.kind,
                record.source,
                self._saved.config,
                torch.device("cpu"),
                record,
                self._folder.read_saved,
            )
        except NintError as error:
            self._gone = str(error)
            return None
        if subject.sha256 != record.sha256:
            self._gone = f"'{record.source}' has changed since the run"
            return None
        return subject

    @property
    def _nint(self) -> NintSettings:
        """The settings of the sampler nint, whichever sampler the run has."""
        settings = self._saved.config.section("nint")
        assert isinstance(settings, NintSettings)
        return settings

    @cached_property
    def _signal(self) -> Signal:
        """The run's signal; where its input is gone, its points without values."""
        if self._subject is not None:
            _draw_again(self._subject.signal, self._saved.state.numbers["step"])
            return self._subject.signal
        record = self._saved.signal
        if not record.on_grid:
            raise InputError(f"{self._gone}, and its points with it; nothing can be computed")
        stored = torch.zeros(1, record.channels).expand(record.population, -1)
        return GridSignal(stored, record.grid, half_range=record.half_range)

    @property
    def _plane(self) -> tuple[int, int] | None:
        """Height and width of a picture; None for any other signal."""
        record = self._saved.signal
        if not record.on_grid or len(record.grid) != _PICTURE_AXES:
            return None
        height, width = record.grid
        return height, width

    @cached_property
    def _indices(self) -> Tensor:
        """The points to look at; of a picture a grid of rows and columns."""
        population = self._saved.signal.population
        if population <= self._points:
            return torch.arange(population)
        if self._plane is not None:
            height, width = self._plane
            every = image_structure.stride(height, width, self._points)
            rows, columns = torch.arange(0, height, every), torch.arange(0, width, every)
            return (rows[:, None] * width + columns).reshape(-1)
        return spread_indices(population, self._points, self._seed)

    @property
    def _at(self) -> tuple[int, ...] | None:
        """Shape of the grid that the points make; None where they make none."""
        if self._plane is not None:
            height, width = self._plane
            every = image_structure.stride(height, width, self._points)
            return (-(-height // every), -(-width // every))
        record = self._saved.signal
        return (len(self._indices),) if record.on_grid and len(record.grid) == 1 else None

    @cached_property
    def _some(self) -> PointSignal:
        return PointSignal(*self._signal.at(self._indices))

    @cached_property
    def _maps(self) -> tuple[image_structure.Map, image_structure.Map] | str:
        """Local gradient and frequency of every point; or why there are none."""
        if self._subject is None:
            return self._gone or "the input is gone"
        if not isinstance(self._signal, GridSignal):
            return "a shape's points lie on no grid"
        if len(self._signal) > image_structure.MOST:
            return f"the signal has more than {image_structure.MOST:,} points"
        values = image_structure.values_of(self._signal)
        return image_structure.gradient_magnitude(values), image_structure.local_frequency(values)

    def _products(self) -> str | None:
        """Return the type of the products of the run's last steps; None for float32."""
        switch = self._saved.state.numbers.get("precision") or {}
        if switch.get("left_after") is not None:
            return None
        found: str | None = self._entry.environment.get("products")
        return found

    def _leverage(self, diagonal: Tensor) -> tuple[Leverage | None, str | None]:
        if not kernel.finite(diagonal):
            return None, _OVERFLOW
        self._pictures["self-leverage.png"] = drawing.leverage_picture(
            diagonal.sum(1).cpu().numpy(), self._at
        )
        return kernel.summary(diagonal), None

    def _gradient(self, diagonal: Tensor) -> tuple[Correlation | None, str | None]:
        if not kernel.finite(diagonal):
            return None, _OVERFLOW
        if isinstance(self._maps, str):
            return None, self._maps
        steep = torch.from_numpy(self._maps[0].reshape(-1))[self._indices]
        return kernel.correlation(diagonal.sum(1), steep), None

    def _blocks(self) -> tuple[list[Block], str | None]:
        """Build the kernels of patches: the smoothest, the one with most edges."""
        if self._plane is None:
            return [], "patches are of pictures only"
        if isinstance(self._maps, str):
            return [], self._maps
        height, width = self._plane
        side = min(_PATCH, height, width)
        while side > 1 and not dense_fits(self._field, side**2):
            side //= 2
        found, kernels = [], {}
        for name, (row, column) in image_structure.patches(self._maps[0], side).items():
            indices = image_structure.patch_indices(row, column, side, width)
            try:
                matrix = kernel.block(self._field, self._signal.at(indices)[0])
            except NintError as error:
                return [], str(error)
            if not kernel.finite(matrix):
                return [], _OVERFLOW
            kernels[f"{name}, row {row}, column {column}"] = matrix.numpy()
            found.append(
                Block(
                    name=name,
                    row=row,
                    column=column,
                    side=side,
                    off_diagonal=kernel.off_diagonal(matrix),
                    effective_rank=kernel.effective_rank(matrix),
                )
            )
        self._pictures["blocks.png"] = drawing.blocks_picture(kernels)
        return found, None

    def _coupling(self, diagonal: Tensor) -> tuple[Coupling | None, str | None, _Misfit]:
        """Tell what of the scores is coupling, and how large the error is where."""
        if self._subject is None:
            return None, self._gone, _Misfit()
        if len(self._signal) > image_structure.MOST:
            self._note(f"scores sum over all {len(self._signal):,} points, which takes its time")
        product, residual = kernel.scores(self._field, self._signal, self._some)
        if not kernel.finite(product, residual, diagonal):
            return None, _OVERFLOW, _Misfit()
        score = torch.linalg.vector_norm(product, dim=1).cpu().numpy()
        self._pictures["score.png"] = drawing.leverage_picture(score, self._at, "score")
        return kernel.coupling(product, residual, diagonal), None, self._misfit(residual)

    def _misfit(self, residual: Tensor) -> _Misfit:
        variance = self._some.values.var(0, correction=0).mean()
        unexplained = (residual.square().mean() / variance).item() if variance > 0 else None
        if isinstance(self._maps, str) or len(residual) < image_structure.FEWEST:
            return _Misfit(unexplained)
        steep = self._maps[0].reshape(-1)[self._indices.numpy()]
        errors = image_structure.Tenths(steep).mean(residual.square().mean(1).cpu().numpy())
        return _Misfit(unexplained, errors)

    def _staleness(self) -> tuple[Staleness | None, str | None]:
        """Train on from a checkpoint, in memory, and see how scores change."""
        if self._subject is None:
            return None, self._gone
        config = self._saved.config
        alpha, steps = self._nint.alpha, config.steps
        if config.stop.time_budget_s is not None:
            steps = self._entry.steps  # no schedule of the run went by the others
        saved = self._with_steps_left(alpha, steps)
        if saved is None:
            return None, (
                f"no checkpoint has {alpha} steps left before the end; fit with "
                "checkpoint.keep=null and a smaller checkpoint.every"
            )
        stop = config.stop.model_copy(update={"time_budget_s": None, "at_steps": None})
        config = config.model_copy(update={"stop": stop, "steps": steps})
        signal, step = self._subject.signal, saved.state.numbers["step"]
        lags = min(alpha, _draw_again(signal, step) or alpha)
        trainer = build_trainer(config, self._subject.training, Clock())
        try:
            trainer.load_state_dict(saved.state)
        except ValueError as error:
            return None, f"training does not go on from the checkpoint: {error}"
        observer = _Scores(trainer, PointSignal(*signal.at(self._indices)), lags)
        trainer.fit(observer)
        if len(observer.found) < 2:
            return None, "training does not go on from there"
        if not kernel.finite(*observer.found.values()):
            return None, _OVERFLOW
        first, *others = observer.found.values()
        return (
            Staleness(
                from_step=step,
                lags=list(observer.found)[1:],
                spearman=[kernel.spearman(first, other) for other in others],
                overlap=[kernel.overlap(first, other) for other in others],
            ),
            None,
        )

    def _with_steps_left(self, count: int, steps: int) -> Checkpoint | None:
        """Give the newest checkpoint from which so many steps follow in a run of `steps`."""
        for path in self._folder.checkpoints():
            try:
                saved = checkpoint.read(path)
            except InputError:
                continue
            if saved.state.numbers["step"] + count <= steps:
                return saved
        return None

    def _density(self) -> tuple[Density | None, str | None]:
        if isinstance(self._maps, str):
            return None, self._maps
        if len(self._signal) < image_structure.FEWEST:
            return None, f"fewer than {image_structure.FEWEST} points have no tenths"
        found = self._selections()
        if not found:
            return None, "the run kept no sound selections; fit with evaluation.selections=true"
        density = image_structure.density(
            self._maps[1], found, "local frequency, radians per step"
        )
        self._pictures["density.png"] = drawing.density_picture(density)
        return density, None

    def _selections(self) -> list[tuple[int, Selection]]:
        """Read what a few steps trained on, from early to late."""
        paths = self._folder.selections()
        if not paths:
            return []
        chosen = np.unique(np.geomspace(1, len(paths), _DENSITIES).round().astype(int)) - 1
        found = []
        for index in chosen:
            try:
                step, selection = selections.read(paths[index])
            except InputError as error:
                self._note(str(error))
                continue
            if _names_points(selection, self._saved.signal.population):
                found.append((step, selection))
            else:
                self._note(f"'{paths[index]}' names points that the signal does not have")
        return found


def _names_points(selection: Selection, population: int) -> bool:
    indices = selection.indices
    return indices.numel() > 0 and 0 <= int(indices.min()) and int(indices.max()) < population


def _draw_again(signal: Signal, step: int) -> int | None:
    """Give a signal the points that it had at a step; tell for how many more it keeps them."""
    every = signal.redraw_every
    if every is None:
        return None
    signal.redraw(step // every)
    return every - step % every


class _Scores:
    """Scores the points at the first step and after some, up to a number of steps."""

    def __init__(self, trainer: Trainer, points: Signal, most: int) -> None:
        self._points = points
        self._start = trainer.step
        self._most = most
        self.found: dict[int, Tensor] = {0: self._score(trainer)}

    def after_step(self, trainer: Trainer, step: Step) -> str | None:
        """Score at lags of 1, 2, 5, 10, 20, 50, ... and at the last."""
        lag = step.number - self._start
        round_ones = {lead * 10**power for lead in (1, 2, 5) for power in range(6)}
        if lag == self._most or lag in round_ones:
            self.found[lag] = self._score(trainer)
        return "enough" if lag >= self._most else None

    def after_rescue(self, trainer: Trainer, rescue: Rescue) -> None:
        """Go on."""

    def _score(self, trainer: Trainer) -> Tensor:
        product, _ = kernel.scores(trainer.field, trainer.signal, self._points)
        score: Tensor = torch.linalg.vector_norm(product, dim=1)
        return score
