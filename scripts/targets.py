"""How long fits take to a target: every method on every picture, a process of its own for each.

The outer loops are seed and picture and the inner ones field and method, so that a machine whose
pace drifts hurts all methods alike. Times and passes are those of the first evaluation that is at
the target, without what evaluations take. A run that uses up `cap_s` seconds of training is ended
by SIGTERM: a time budget of nint's own would change the schedules.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any

import grid
import yaml
from target_tables import target_summary

from nint_cli.cli.children import Children
from nint_cli.config import preset_layer, resolve, set_layer

METHODS = {
    "paper-full": ("paper", "full"),
    "paper-uniform": ("paper", "uniform"),
    "paper-int": ("paper", "int"),
    "paper-evos": ("paper", "evos"),
    "paper-nint_released": ("paper", "nint_released"),
    "paper-nint": ("paper", "nint"),
    "default-uniform": ("default", "uniform"),
    "default-nint": ("default", "nint"),
}
"""Preset and sampler by the name in the tables."""

EVERY = {"paper": 10, "default": 2}
"""Steps between evaluations, and so the grain of the times."""

Key = tuple[str, str, str, int]
"""Field, method, picture, seed."""


@dataclass(frozen=True)
class TimedFit(grid.Fit):
    """A fit that is ended after so much training, and known again by its settings.

    Attributes:
        settings: All of them, as config.yaml has them.
        cap_s: Seconds of training.
    """

    settings: Mapping[str, Any] = field(default_factory=dict)
    cap_s: float = float("inf")

    def begun(self) -> bool | None:
        """Tell whether the run in the folder has these settings; None where there is no run."""
        try:
            text = (self.folder / "config.yaml").read_text(encoding="utf-8")
        except OSError:
            return None
        return bool(yaml.safe_load(text) == self.settings)

    def finished(self) -> bool:
        """Tell whether it came to its own end, or to the cap."""
        metrics = self.metrics()
        if not metrics or not self.begun():
            return False
        capped = metrics["status"] == "interrupted" and metrics["train_s"] >= self.cap_s
        return capped or metrics["status"] in {"complete", "diverged"}

    def command(self) -> list[str]:
        """Give the command that runs it, goes on with it, or replaces one of other settings."""
        begun, status = self.begun(), self.metrics().get("status")
        if begun and status == "interrupted":
            return self.going_on()
        if begun is False:
            return [*self.anew(), "--overwrite"]
        return super().command()

    def execute(
        self, environment: Mapping[str, str], stop: Event, children: Children
    ) -> tuple[int, str]:
        """Run it to its end or its cap; see `grid.Fit.execute`."""
        if not self.begun():  # what another run logged there is not this one's time
            (self.folder / "log.jsonl").unlink(missing_ok=True)
        capped = stopped = False
        with tempfile.TemporaryFile("w+", encoding="utf-8") as said:
            with subprocess.Popen(
                self.command(), env=environment, stdout=subprocess.DEVNULL, stderr=said
            ) as process:
                while process.poll() is None:
                    capped = capped or self.trained_s() >= self.cap_s
                    if not stopped and (capped or stop.is_set()):
                        process.terminate()  # once: a second signal ends it at once
                        stopped = True
                    try:
                        process.wait(timeout=0.5)
                    except subprocess.TimeoutExpired:
                        continue
            said.seek(0)
            code = process.returncode
            return (0 if capped and code == 143 else code), said.read()

    def trained_s(self) -> float:
        """Read from the end of the log how much training there was so far."""
        try:
            tail = (self.folder / "log.jsonl").read_bytes()[-4096:].splitlines()[-1]
            return float(json.loads(tail)["train_s"])
        except (OSError, ValueError, IndexError, KeyError):
            return 0.0  # nothing yet, half a line, or no evaluation


def method_cap(text: str) -> tuple[str, float]:
    """Read METHOD=SECONDS, as a type of argparse."""
    method, _, seconds = text.partition("=")
    if method not in METHODS:
        raise argparse.ArgumentTypeError(f"{method} is none of {', '.join(METHODS)}")
    return method, float(seconds)


def plan(options: argparse.Namespace) -> dict[Key, TimedFit]:
    """List the fits in the order to run them."""
    names = [Path(source.replace(":", "-")).stem for source in options.pictures]
    if len(set(names)) < len(names):
        sys.exit("--pictures: two have one name, and so would their runs; rename one")
    found = {}
    for seed in range(options.seeds):
        for source, name in zip(options.pictures, names, strict=True):
            for network in options.fields:
                for method in options.methods:
                    folder = options.runs / f"{name}-{network}-{method}-{seed}"
                    key = network, method, name, seed
                    found[key] = fit(options, folder, source, network, method, seed)
    return found


def fit(
    options: argparse.Namespace, folder: Path, source: str, network: str, method: str, seed: int
) -> TimedFit:
    """Give one fit."""
    preset, sampler = METHODS[method]
    given = [
        *(f"field={network}", f"sampler={sampler}", f"seed={seed}", f"device={options.device}"),
        *(f"image.size={options.size}", f"evaluation.every={options.every or EVERY[preset]}"),
        *(f"stop.target_psnr_db={max(options.targets)}", "metrics.flip=false"),
        *([f"steps={options.steps}"] if options.steps else []),
    ]
    config = resolve([preset_layer(preset), set_layer(given)]).config
    words = ("--preset", preset, *(f"--set={setting}" for setting in given))
    settings = config.model_dump(mode="json")
    cap_s = dict(options.caps).get(method, options.cap)
    return TimedFit(folder, source, words, settings=settings, cap_s=cap_s)


def record(key: Key, fit: TimedFit, targets: list[float]) -> dict[str, Any]:
    """Read what a finished run took, as plain JSON data."""
    network, method, picture, seed = key
    metrics, series = fit.metrics(), fit.series()
    costs: dict[str, dict[str, float] | None] = {}
    for target in targets:
        names = ("train_s", "passes", "step")
        cost = {name: grid.cost_to(series, target, name) for name in names}
        reached = {name: value for name, value in cost.items() if value is not None}
        costs[f"{target:g}"] = reached or None
    return {
        "field": network,
        "method": method,
        "picture": picture,
        "seed": seed,
        **{name: metrics[name] for name in ("status", "stop_reason", "steps", "train_s")},
        "best_psnr_db": metrics["best_psnr_db"],
        "peak_rss_bytes": metrics["memory"]["peak_rss_bytes"],
        "threads": metrics["environment"]["threads"],
        "to_db": costs,
    }


def bench_targets(options: argparse.Namespace) -> dict[str, Any]:
    """Run what is missing and read all logs."""
    fits = plan(options)
    options.runs.mkdir(parents=True, exist_ok=True)
    grid.run(list(fits.values()), options.jobs)
    runs = [record(key, fit, options.targets) for key, fit in fits.items()]
    return {
        **{name: getattr(options, name) for name in ("pictures", "seeds", "size", "targets")},
        "cap_s": options.cap,
        "caps_s": dict(options.caps),
        "jobs": options.jobs,
        "threads_of_each": sorted({run["threads"] for run in runs}),
        "evaluation_every": {preset: options.every or every for preset, every in EVERY.items()},
        "summary": target_summary(runs),
        "runs": runs,
    }
