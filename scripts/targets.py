"""How long fits take to a target: every method on every picture, a process of its own for each.

The outer loops are seed and picture and the inner ones field and method, so that a machine whose
pace drifts hurts all methods alike. Times and passes are those of the first evaluation that is at
the target, without what evaluations take. A run that uses up `cap_s` seconds of training is ended
by SIGTERM: a time budget of nint's own would change the schedules.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

import yaml
from target_tables import Run, target_summary

from nint_cli.comparison.reading import read_run, with_targets
from nint_cli.config.layers import resolve
from nint_cli.config.presets import preset_layer
from nint_cli.config.yaml_text import set_layer

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
class Fit:
    """A `nint fit` that is ended after so much training, and known again by its settings.

    Attributes:
        folder: Its run folder.
        source: Its input.
        arguments: Further words of its command line.
        settings: All of them, as config.yaml has them.
        cap_s: Seconds of training.
    """

    folder: Path
    source: str
    arguments: tuple[str, ...]
    settings: Mapping[str, Any]
    cap_s: float

    def metrics(self) -> dict[str, Any]:
        """Read its metrics; return none where no run of these settings has come to an end."""
        try:
            text = (self.folder / "config.yaml").read_text(encoding="utf-8")
            found: dict[str, Any] = json.loads((self.folder / "metrics.json").read_bytes())
        except (OSError, ValueError):
            return {}
        return found if yaml.safe_load(text) == self.settings else {}

    def finished(self) -> bool:
        """Tell whether it came to its own end, or to the cap."""
        found = self.metrics()
        status = found.get("status")
        capped = status == "interrupted" and found["train_s"] >= self.cap_s
        return capped or status in {"complete", "diverged"}

    def command(self) -> list[str]:
        """Return the command that runs it, or goes on with it where it was interrupted."""
        nint = [sys.executable, "-m", "nint_cli"]
        if self.metrics().get("status") == "interrupted":
            return [*nint, "resume", str(self.folder), "--progress", "never"]
        words = ["-o", str(self.folder), "--overwrite", "--progress", "never", *self.arguments]
        return [*nint, "fit", "image", self.source, *words]

    def execute(self, threads: int, stop: Event) -> tuple[int, str]:
        """Run its command to its end or its cap.

        Args:
            threads: How many it has.
            stop: Set when no fit is wanted any more.

        Returns:
            The exit code, 0 at the cap, and what it said on stderr.
        """
        if not self.metrics():  # what another run logged there is not this one's time
            (self.folder / "log.jsonl").unlink(missing_ok=True)
        environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
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


def run(fits: Sequence[Fit], jobs: int) -> None:
    """Run the fits that are not finished, several at once, and tell how far they are.

    Args:
        fits: The fits, those to be compared side by side, for neighbours share what else the
            machine does.
        jobs: How many at once; they divide the cores, unless OMP_NUM_THREADS says otherwise.
    """
    told = os.environ.get("OMP_NUM_THREADS", "")
    threads = int(told) if told.isdecimal() else max(1, (os.cpu_count() or 1) // jobs)
    stop = Event()

    def one(item: tuple[int, Fit]) -> None:
        number, fit = item
        code, said = (0, "") if fit.finished() else fit.execute(threads, stop)
        if code not in {0, 5}:  # a divergence is a result too
            last = (said.strip().splitlines() or [f"exit code {code}"])[-1]
            raise SystemExit(f"{fit.folder}: {last}")
        print(f"{number + 1}/{len(fits)} {fit.folder}", file=sys.stderr, flush=True)

    with ThreadPoolExecutor(jobs) as pool:
        try:
            list(pool.map(one, enumerate(fits)))
        finally:
            stop.set()


def method_cap(text: str) -> tuple[str, float]:
    """Read METHOD=SECONDS, as a type of argparse."""
    method, _, seconds = text.partition("=")
    if method not in METHODS:
        raise argparse.ArgumentTypeError(f"{method} is none of {', '.join(METHODS)}")
    return method, float(seconds)


def plan(options: argparse.Namespace) -> dict[Key, Fit]:
    """List the fits in the order to run them."""
    names = [Path(source.replace(":", "-")).stem for source in options.pictures]
    if len(set(names)) < len(names):
        sys.exit("--pictures: two have one name, and so would their runs; rename one")
    return {
        (network, method, name, seed): _fit(options, source, (network, method, name, seed))
        for seed in range(options.seeds)
        for source, name in zip(options.pictures, names, strict=True)
        for network in options.fields
        for method in options.methods
    }


def _fit(options: argparse.Namespace, source: str, key: Key) -> Fit:
    network, method, name, seed = key
    preset, sampler = METHODS[method]
    given = [
        *(f"field={network}", f"sampler={sampler}", f"seed={seed}", f"device={options.device}"),
        *(f"image.size={options.size}", f"evaluation.every={options.every or EVERY[preset]}"),
        *(f"stop.target_psnr_db={max(options.targets)}", "metrics.flip=false"),
        *([f"steps={options.steps}"] if options.steps else []),
    ]
    config = resolve([preset_layer(preset), set_layer(given)]).config
    return Fit(
        options.runs / f"{name}-{network}-{method}-{seed}",
        source,
        ("--preset", preset, *(f"--set={setting}" for setting in given)),
        settings=config.model_dump(mode="json"),
        cap_s=dict(options.caps).get(method, options.cap),
    )


def record(key: Key, fit: Fit, targets: Sequence[float]) -> Run:
    """Read what a finished run took, as plain JSON data."""
    found = read_run(fit.folder, name=key[2], variant=key[1], root=fit.folder)
    costs = with_targets(found, targets).to_target
    return {
        **dict(zip(("field", "method", "picture", "seed"), key, strict=True)),
        **found.model_dump(include={"status", "stop_reason", "steps", "train_s"}),
        "best_psnr_db": found.best,
        "peak_rss_bytes": found.peak_rss_bytes,
        "threads": found.environment["threads"],
        "to_db": {target: cost and cost.model_dump() for target, cost in costs.items()},
    }


def bench_targets(options: argparse.Namespace) -> dict[str, Any]:
    """Run what is missing and read all logs."""
    fits = plan(options)
    options.runs.mkdir(parents=True, exist_ok=True)
    run(list(fits.values()), options.jobs)
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
