"""The composition root: configuration and input to a fitted field and its run folder."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from nint_cli.atomic import Writer
from nint_cli.config.layers import Resolved
from nint_cli.derivatives.sweep import Passes
from nint_cli.device.settings import resolve_device
from nint_cli.errors import (
    AnotherInputError,
    InputError,
    NintError,
    OutOfMemoryError,
    is_out_of_memory,
)
from nint_cli.fields.base import Field
from nint_cli.fields.kernels import loading as kernels
from nint_cli.metrics.schema import (
    FinalRecord,
    GuidanceRecord,
    PassCount,
    Quality,
    RunMetrics,
    finite,
)
from nint_cli.modalities.base import Piece, ReadSaved, nothing_saved
from nint_cli.modalities.table import modality
from nint_cli.runs import checkpoint, environment
from nint_cli.runs.build import build_trainer
from nint_cli.runs.checkpoint import Checkpoint, Ended
from nint_cli.runs.control import Control
from nint_cli.runs.ending import HASTY_UNITS, CutOff, Meter, final_record, unit_seconds, units_of
from nint_cli.runs.folder import CONFIG, LOG, METRICS, RunFolder
from nint_cli.runs.inputs import read_input
from nint_cli.runs.observer import RunObserver, Targets
from nint_cli.runs.start import Start
from nint_cli.samplers.base import EVERY_POINT
from nint_cli.schedules.clock import device_clock
from nint_cli.training.trainer import Trainer
from nint_cli.version import __version__

WITHOUT_EFFECT = {"evaluation", "checkpoint", "metrics"}
"""Sections of the settings that have no effect on what is fitted."""

_CUT_OFF = "a signal came while it was measured; nint resume does that again"
_STATUS = {"signal": "interrupted", "diverged": "diverged", "error": "failed"}


def config_digest(settings: dict[str, Any]) -> str:
    """Hash what determines a fit, and not how often it is looked at or saved.

    Args:
        settings: A resolved configuration.

    Returns:
        A SHA-256 in hexadecimal.
    """
    relevant = {k: v for k, v in settings.items() if k not in WITHOUT_EFFECT}
    # A run is told from others by the content of its mask, wherever that lies; and what an
    # earlier version did not know counts if it is used.
    if isinstance(image := relevant.get("image"), dict):
        relevant["image"] = {k: v for k, v in image.items() if k != "mask"}
    if not relevant.get("holdout"):
        relevant.pop("holdout", None)
    return hashlib.sha256(json.dumps(relevant, sort_keys=True).encode()).hexdigest()


class Fit:
    """A fit of one input, from its configuration to its run folder.

    It is for use within `prepared`.

    Args:
        kind: The modality, one of `MODALITIES`.
        source: A file, or ``sample:NAME``.
        resolved: The configuration.
        saved: Where to go on from; None starts anew.
        saved_files: Gives files of the run's folder by name.
        start: Whose weights a new run begins with; None: random ones.

    Raises:
        ConfigError: If a target is set that the modality has no figure for, or the field is of
            another shape than that of `start`.
        InputError: If the input or the LPIPS weights cannot be read, or `saved` does not fit its
            own configuration.
        AnotherInputError: If the input is not the one of `saved`.
    """

    def __init__(
        self,
        kind: str,
        source: str,
        resolved: Resolved,
        saved: Checkpoint | None = None,
        saved_files: ReadSaved = nothing_saved,
        start: Start | None = None,
    ) -> None:
        config = resolved.config
        self.resolved = resolved
        self.source = source
        self.device = resolve_device(config.device)
        self.clock = device_clock(self.device)
        self.logged_step: int | None = None
        self.loss: float | None = None
        self.cut_off = False  # whether the log has an event in place of its last evaluation
        self.ended: Ended | None = None  # where a resumed run's end alone is to be done
        self._observer: RunObserver | None = None
        self._best = saved.best if saved is not None else None
        self.start = saved.start if saved is not None else None
        if start is not None and saved is None:
            self.start = start.record
        with self.clock.measure("load_s"):
            self.targets = Targets.of(config, modality(kind))  # which loads what it needs
            self.origin = saved.origin if saved is not None else checkpoint.Origin.here()
            like = saved.signal if saved is not None else None
            try:
                self.subject = read_input(kind, source, config, self.device, like, saved_files)
            except InputError as error:
                from nint_cli.modalities.guess import another_command

                raise InputError(f"{error}{another_command(source, kind)}") from error
            if saved is not None and self.subject.sha256 != saved.signal.sha256:
                same = self.subject.record().source == saved.signal.source
                fault = "has changed since the run" if same else "is not what the run is fitted to"
                raise AnotherInputError(
                    f"'{source}' {fault}; put the original back, or say where it is by "
                    "nint resume RUN --input FILE"
                )
            self.trainer = build_trainer(
                config, self.subject.training, self.clock, self._beginning(start)
            )
            if saved is not None:
                try:
                    self.trainer.load_state_dict(saved.state)
                except (ValueError, KeyError, TypeError, RuntimeError) as error:
                    raise InputError(f"the checkpoint does not fit its config: {error}") from error

    def _beginning(self, start: Start | None) -> Callable[[Field], None]:
        """Return what gives a new field its first weights."""
        if start is None:
            return lambda _: None
        start.refuse_other_kind(self.subject.modality.name)
        half_range = self.subject.signal.half_range
        return lambda field: start.load_into(field, self.resolved.config, half_range)

    @property
    def run_id(self) -> str:
        """What tells the fit from others: equal fits of equal inputs have the same."""
        settings = self.resolved.config.model_dump(mode="json")
        of = [self.subject.modality.name, self.subject.sha256, config_digest(settings)]
        if self.subject.mask_sha256 is not None:
            of.append(f"mask {self.subject.mask_sha256}")
        if self.start is not None:
            of.append(f"start {self.start.sha256}")
        return hashlib.sha256(json.dumps(of).encode()).hexdigest()[:32]

    def run(self, folder: RunFolder, control: Control) -> RunMetrics:
        """Train, and write everything that a run folder holds; metrics.json last.

        Args:
            folder: A folder made for this run, and locked.
            control: Watches and steers it.

        Returns:
            What metrics.json says. If anything fails, metrics.json says so and the error goes on.

        Raises:
            OutOfMemoryError: If memory runs out.
        """
        try:
            return self._run(folder, control)
        except Exception as error:
            text = str(error) or type(error).__name__
            if is_out_of_memory(error):
                self._note_failure(folder, text, OutOfMemoryError.exit_code)
                raise OutOfMemoryError(
                    f"out of memory ({text.strip().splitlines()[0]}); use {self.subject.smaller}, "
                    "or a smaller batch, --batch-fraction 0.05"
                ) from error
            self._note_failure(
                folder, text, error.exit_code if isinstance(error, NintError) else 1
            )
            raise

    def _run(self, folder: RunFolder, control: Control) -> RunMetrics:
        config = self.resolved.config
        with self.clock.measure("save_s"):
            text = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)
            folder.write(CONFIG, text.encode())
            for name, content in {**self.subject.cache(), **self.subject.kept}.items():
                folder.write(name, content)
        for note in self.subject.notes:
            control.note(note)
        if self.subject.signal.device.type == "cpu" and kernels.why_not() is not None:
            control.note(f"{kernels.why_not()}; PyTorch does its work, in more time")
        observer = self._observer = RunObserver(
            self.subject,
            config,
            self.targets,
            self.clock,
            folder,
            control,
            self.origin,
            best=self._best,
            logged_step=self.logged_step,
            loss=self.loss,
            over=self.cut_off,
            start=self.start,
        )
        self.trainer.duration.begin(self.trainer.step)
        if self.ended is not None:
            return self._finish(folder, observer, control, self.ended.reason)
        control.progress.start(self.trainer.duration.total, self.trainer.step)
        try:
            reason = "target" if observer.begin(self.trainer) else self.trainer.fit(observer)
        finally:
            control.progress.finish()
        self.ended = observer.end(self.trainer, reason)
        if reason == "time_budget" and self.trainer.step == 0:
            control.note(
                f"the time budget of {config.stop.time_budget_s:g} s was spent before the first "
                f"step: sampler {config.sampler} prepared for {self.clock.prepare_s:.2g} s; give "
                "more time, or choose another sampler"
            )
        return self._finish(folder, observer, control, reason)

    def _finish(
        self, folder: RunFolder, observer: RunObserver, control: Control, reason: str
    ) -> RunMetrics:
        """Measure and draw what a run came to; its last checkpoint is on the disk by now."""
        units = HASTY_UNITS if self.ended is None else self.ended.units
        bound = units_of(self.resolved.config, units)
        if self.ended is None and bound is None:
            bound = units  # whoever sent a signal does not wait for all of it
        meter = Meter(
            control,
            self.subject.cost_within(bound),
            unit_seconds(self.trainer),
            stoppable=self.ended is not None,
        )
        try:
            quality, final, made = self._measure(folder, observer, bound, meter, control)
        except CutOff as stopped:
            quality = self.subject.modality.quality()(quality_reason=_CUT_OFF)
            final, made, reason = None, True, "signal"
            observer.signal = stopped.number
        finally:
            control.progress.finish_end()
        metrics = self._judged(quality, final, reason, observer, control, made=made)
        folder.write_json(METRICS, metrics.model_dump(mode="json"))
        return metrics

    def _measure(
        self,
        folder: RunFolder,
        observer: RunObserver,
        bound: int | None,
        piece: Piece,
        control: Control,
    ) -> tuple[Quality, FinalRecord, bool]:
        """Measure, and write the files that show the result.

        Returns:
            The measures, how they were measured, and whether the reconstruction is there or was
            left out.
        """
        trainer, subject = self.trainer, self.subject
        streamed: list[str] = []

        def keep(name: str, writer: Writer) -> None:
            folder.write_by(name, writer)
            streamed.append(name)

        if control.require_mesh and self.ended is not None:
            bound = None
        with self.clock.measure("evaluation_s"), trainer.measured():
            evaluation = subject.evaluate_fully(trainer.field, keep, units=bound, piece=piece)
        before = observer.best
        if self.ended is not None:  # or a run that was stopped would differ from one that was not
            observer.consider_best(trainer, evaluation)
        if observer.logged_step != trainer.step:
            observer.log(trainer, evaluation)
        if observer.best != before:
            observer.save(trainer, self.ended)
        # First what people look at, for a signal may come.
        with self.clock.measure("save_s"):
            with trainer.measured():
                files = subject.reconstruct(trainer.field, evaluation, piece)
            for name, content in files.items():
                folder.write(name, content)
        with self.clock.measure("evaluation_s"), trainer.measured():
            quality = subject.quality(trainer.field, evaluation, piece)
        if trainer.selections:
            steps = {"first": 1, "last": trainer.step}
            with self.clock.measure("save_s"):
                for name, content in subject.illustrate(trainer.selections, steps).items():
                    folder.write(name, content)
        made = subject.result in files or bool(streamed) or "reconstruction" in evaluation.left_out
        return quality, final_record(subject, evaluation, bound), made

    def _judged(
        self,
        quality: Quality,
        final: FinalRecord | None,
        reason: str,
        observer: RunObserver,
        control: Control,
        *,
        made: bool,
    ) -> RunMetrics:
        """Give metrics.json, with the exit code that the outcome has."""
        reached = None
        if self.targets and final is not None:
            figures = {name: quality.figure(name) for name in self.targets.wanted}
            reached = self.targets.reached(figures)
        exit_code = {"diverged": 5, "signal": 128 + (observer.signal or 0)}.get(reason, 0)
        if exit_code == 0 and control.require_target and not reached:
            exit_code = 7
        if exit_code == 0 and control.require_mesh and not made:
            exit_code = 5
        return self._metrics(quality, reason, exit_code, final=final, target_reached=reached)

    def _note_failure(self, folder: RunFolder, error: str, exit_code: int) -> None:
        """Leave a metrics.json that says what happened, if the folder still takes one."""
        quality = self.subject.modality.quality()(quality_reason="the run failed")
        metrics = self._metrics(quality, "error", exit_code, error=error)
        try:
            folder.write_json(METRICS, metrics.model_dump(mode="json"))
        except NintError:
            return  # the disk that made the run fail has no room for the note either

    def _metrics(
        self, quality: Quality, reason: str, exit_code: int, **more: object
    ) -> RunMetrics:
        config = self.resolved.config
        settings = config.model_dump(mode="json")
        found = self._best if self._observer is None else self._observer.best
        best, best_step = found or (None, None)
        document: dict[str, Any] = {
            **quality.model_dump(),
            "nint_version": __version__,
            "status": _STATUS.get(reason, "complete"),
            "stop_reason": reason,
            "exit_code": exit_code,
            f"best_{self.subject.modality.headline}": best,
            "best_step": best_step,
            "steps": self.trainer.step,
            "rescues": self.trainer.detector.halvings if self.trainer.detector else 0,
            "seed": config.seed,
            **self.clock.seconds(),
            "input": self.subject.input_record(),
            "field": self.subject.field_record(config.field, self.trainer.field),
            "started_from": None if self.start is None else self.start.model_dump(),
            "passes": _counted(self.trainer.passes),
            "guidance": self._guidance(),
            "memory": environment.peak_memory(self.device),
            "precision": environment.describe_precision(config, self.trainer),
            "environment": environment.describe(
                self.device, environment.products_of(self.trainer), self.trainer.field
            ),
            "series": LOG,
            "config_sha256": config_digest(settings),
            "config": settings,
            "origins": self.resolved.origins,
            **more,
        }
        return self.subject.modality.metrics()(**document)

    def _guidance(self) -> GuidanceRecord:
        sampler = self.trainer.sampler
        found = sampler.self_leverage()
        return GuidanceRecord(
            ranked_by=_ranking(self.trainer),
            points=self.trainer.trained,
            passes=_counted(self.trainer.choosing),
            self_leverage_mean=None if found is None else finite(found.mean),
            self_leverage_variation=None if found is None else finite(found.variation),
            self_leverage_reason=None if found else "the sampler does not use it, or saw no error",
        )


def _counted(passes: Passes) -> PassCount:
    return PassCount(**vars(passes), total=passes.total)


@dataclass(frozen=True)
class Outcome:
    """What became of a request to fit.

    Attributes:
        path: The run folder.
        metrics: Its metrics.json; None where the run was there before and was kept.
        kept: Whether it was.
        target_missed: Whether the one that was kept missed a target that is required.
        files: Names of the files in it that people look at, by what they are.
    """

    path: Path
    metrics: RunMetrics | None
    kept: bool = False
    target_missed: bool = False
    files: Mapping[str, str] = field(default_factory=dict)


def describe(fit: Fit) -> str:
    """Say in a line what is fitted by what."""
    config = fit.resolved.config
    return (
        f"{fit.source}, {fit.subject.describe()}, {config.field} with "
        f"{fit.trainer.field.parameter_count():,} parameters, sampler {config.sampler} "
        f"({_choice(fit.trainer)}), on {fit.device}"
    )


def _choice(trainer: Trainer) -> str:
    """Return how points are chosen, in words, before any were."""
    why = trainer.sampler.unranked(len(trainer.signal))
    if why == EVERY_POINT:
        return why
    if why is not None:
        return f"points at random, for {why}"
    ranked_by = trainer.sampler.ranked_by
    return "points at random" if ranked_by is None else f"ranked by {ranked_by}"


def _ranking(trainer: Trainer) -> str:
    """Return what points are ranked by, in words, as far as is known or was seen."""
    sampler, trained = trainer.sampler, trainer.trained or {}
    why = sampler.unranked(len(trainer.signal))
    if why is not None:
        return f"nothing: {why}"
    if sampler.ranked_by is None:
        return "nothing"
    if trained and all(sampler.slots[rule].uniform for rule, count in trained.items() if count):
        return "nothing: no batch chose points"
    return sampler.ranked_by
