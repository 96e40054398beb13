"""The composition root: configuration and input to a fitted field and its run folder."""

import hashlib
import json
import math
import time
from collections.abc import Callable
from typing import Protocol

import yaml
from torch import Tensor

from nint_cli import __version__, checkpoint, environment, report, results, runfolder
from nint_cli.build import build_trainer, resolve_device
from nint_cli.clock import Clock, device_synchroniser
from nint_cli.config import Resolved
from nint_cli.evaluation import image_quality
from nint_cli.metrics.image import mean_squared_error, psnr_db
from nint_cli.runfolder import RunFolder
from nint_cli.signals import encode_picture, read_picture, to_pixels
from nint_cli.sweep import predict
from nint_cli.trainer import Step, Trainer

_EVALUATIONS = 10


class Progress(Protocol):
    """Who shows a fit while it goes on."""

    def start(self, total_steps: int, done: int) -> None:
        """See how long it will be."""

    def step(self, number: int, loss: float) -> None:
        """See a step."""

    def evaluated(self, psnr: float) -> None:
        """See an evaluation, in dB."""

    def finish(self) -> None:
        """See the end, whatever it is."""


class FitImage:
    """A fit of one picture, from its configuration to its run folder.

    Args:
        source: A picture file, or ``sample:NAME``.
        resolved: The configuration.

    Raises:
        InputError: If the picture cannot be read.
        ConfigError: If the device is not there.
    """

    def __init__(self, source: str, resolved: Resolved) -> None:
        config = resolved.config
        self._started = time.monotonic()
        self.resolved = resolved
        self.source = source
        self.device = resolve_device(config.device)
        self.clock = Clock(synchronise=device_synchroniser(self.device))
        with self.clock.measure("load_s"):
            self.picture = read_picture(
                source, size=config.image.size, max_pixels=config.image.max_pixels
            )
            self.signal = self.picture.signal(self.device)
            self.trainer = build_trainer(config, self.signal, self.clock)

    def run(
        self,
        folder: RunFolder,
        progress: Progress,
        stop_signal: Callable[[], int | None] = lambda: None,
    ) -> results.RunMetrics:
        """Train, and write everything that a run folder holds; metrics.json last.

        Args:
            folder: A folder made for this run.
            progress: Shows it.
            stop_signal: Asked after every step; the number of a signal ends the run early and
                orderly.

        Returns:
            What metrics.json says.
        """
        config = self.resolved.config
        with self.clock.measure("save_s"):
            text = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)
            folder.write(runfolder.CONFIG, text.encode())
        observer = _Recorder(self, folder, progress, stop_signal)
        progress.start(config.steps, self.trainer.step)
        try:
            reason = self.trainer.fit(observer)
        finally:
            progress.finish()
        return self._finish(folder, observer, reason)

    def evaluate(self) -> tuple[Tensor, float]:
        """Predict all values afresh; give them (N, C) and their mean squared error."""
        with self.clock.measure("evaluation_s"):
            prediction = predict(self.trainer.field, self.signal)
            return prediction, mean_squared_error(prediction, self.signal.blocks(1 << 20))

    def save_checkpoint(self, folder: RunFolder) -> None:
        """Write the state of the run."""
        record = checkpoint.SignalRecord(
            kind="image",
            source=runfolder.identity(self.source),
            sha256=self.picture.sha256,
            shape=self.picture.pixels.shape[:2],
            channels=self.picture.pixels.shape[2],
            dtype=str(self.picture.pixels.dtype),
        )
        with self.clock.measure("save_s"):
            saved = checkpoint.Checkpoint(self.resolved.config, record, self.trainer.state_dict())
            folder.write_checkpoint(self.trainer.step, checkpoint.encode(saved))

    def _finish(self, folder: RunFolder, observer: "_Recorder", reason: str) -> results.RunMetrics:
        prediction, mse = self.evaluate()
        observer.log(mse)
        self.save_checkpoint(folder)
        with self.clock.measure("evaluation_s"):
            quality = image_quality(prediction, mse, self.picture)
        with self.clock.measure("save_s"):
            pixels = to_pixels(prediction, self.signal.shape, self.picture.pixels.dtype)
            folder.write(runfolder.RECONSTRUCTION, encode_picture(pixels))
            steps = {"first": 1, "last": self.trainer.step}
            if self.trainer.selections:
                chosen = report.selection_picture(
                    self.picture.pixels, self.trainer.selections, steps
                )
                folder.write(runfolder.SELECTION, encode_picture(chosen))
        exit_code = {"steps": 0, "diverged": 5}.get(reason, 128 + (observer.signal or 0))
        metrics = self._metrics(quality, reason, exit_code)
        folder.write_json(runfolder.METRICS, metrics.model_dump(mode="json"))
        return metrics

    def _metrics(
        self, quality: results.ImageQuality, reason: str, exit_code: int
    ) -> results.RunMetrics:
        config = self.resolved.config
        settings = config.model_dump(mode="json")
        pixels = self.picture.pixels
        parameters = self.trainer.field.parameter_count()
        return results.RunMetrics(
            **quality.model_dump(),
            nint_version=__version__,
            status=_STATUS[reason],
            stop_reason=reason,
            exit_code=exit_code,
            steps=self.trainer.step,
            seed=config.seed,
            **self.clock.seconds(),
            total_s=time.monotonic() - self._started,
            input=results.InputRecord(
                kind="image",
                source=runfolder.identity(self.source),
                sha256=self.picture.sha256,
                shape=list(pixels.shape[:2]),
                channels=pixels.shape[2],
                bits_per_channel=8 * pixels.dtype.itemsize,
                conversions=list(self.picture.conversions),
            ),
            field=results.FieldRecord(
                name=config.field,
                parameters=parameters,
                bits_per_pixel=32 * parameters / len(self.signal),
            ),
            passes=results.PassCount(**vars(self.trainer.passes), total=self.trainer.passes.total),
            memory=environment.peak_memory(self.device),
            environment=environment.describe(self.device),
            series=runfolder.LOG,
            config_sha256=hashlib.sha256(
                json.dumps(settings, sort_keys=True).encode()
            ).hexdigest(),
            config=settings,
            origins=self.resolved.origins,
        )


_STATUS = {"steps": "complete", "signal": "interrupted", "diverged": "diverged"}


class _Recorder:
    """Evaluates, logs, saves and shows a run while it goes on."""

    def __init__(
        self,
        fit: FitImage,
        folder: RunFolder,
        progress: Progress,
        stop_signal: Callable[[], int | None],
    ) -> None:
        config = fit.resolved.config
        self._fit = fit
        self._folder = folder
        self._progress = progress
        self._stop_signal = stop_signal
        self._evaluate_every = config.evaluation.every or max(1, config.steps // _EVALUATIONS)
        self._save_every = config.checkpoint.every
        self._loss: float | None = None
        self.signal: int | None = None

    def after_step(self, trainer: Trainer, step: Step) -> str | None:
        self._loss = step.loss
        self._progress.step(step.number, step.loss)
        last = step.number == trainer.total_steps  # the end of the run evaluates and saves anyway
        save = bool(self._save_every) and step.number % (self._save_every or 1) == 0
        if (save or step.number % self._evaluate_every == 0) and not last:
            self.log(self._fit.evaluate()[1])  # so every checkpoint has its row in the log
        if save and not last:
            self._fit.save_checkpoint(self._folder)
        self.signal = self._stop_signal()
        return "signal" if self.signal else None

    def log(self, mse: float) -> None:
        trainer = self._fit.trainer
        psnr = psnr_db(mse)
        self._progress.evaluated(psnr)
        self._folder.append_log({
            "step": trainer.step,
            "train_s": self._fit.clock.train_s,
            "passes": trainer.passes.total,
            "loss": self._loss,
            "psnr_db": psnr if math.isfinite(psnr) else None,
            "mse": mse,
            "clock": {kind: getattr(self._fit.clock, kind) for kind in Clock.KINDS},
        })
