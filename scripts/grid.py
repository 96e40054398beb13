"""Many fits for one table: run what is missing, and read the logs back.

Every fit is a `nint fit` of its own, in a folder of its own, so that a table that was interrupted
goes on where it stopped, and anyone can look at any of its runs.
"""

import json
import math
import os
import statistics
import sys
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

from nint_cli.cli.children import Children

HEADLINES = {"image": "psnr_db", "audio": "si_snr_db", "sdf": "iou"}
"""The figure that a fit is known by, in its log and its metrics."""


@dataclass(frozen=True)
class Fit:
    """One fit.

    Attributes:
        folder: Its run folder.
        source: Its input.
        arguments: What else `nint fit` is told.
        modality: What the input is.
    """

    folder: Path
    source: str
    arguments: tuple[str, ...]
    modality: str = "image"

    def command(self) -> list[str]:
        """Give the command that runs it, or goes on with it."""
        begun = (self.folder / "manifest.json").exists()
        if begun and not self.metrics() and any((self.folder / "checkpoints").glob("step-*")):
            return self.going_on()
        return [*self.anew(), "--skip-existing"]

    def anew(self) -> list[str]:
        """Give the command that begins it, without what becomes of a run that is there."""
        return [
            *(sys.executable, "-m", "nint_cli", "fit", self.modality, self.source),
            *("-o", str(self.folder), "--progress", "never", *self.arguments),
        ]

    def going_on(self) -> list[str]:
        """Give the command that resumes it."""
        nint = [sys.executable, "-m", "nint_cli"]
        return [*nint, "resume", str(self.folder), "--progress", "never"]

    def metrics(self) -> dict[str, Any]:
        """Read its metrics; empty while there are none."""
        try:
            found: dict[str, Any] = json.loads((self.folder / "metrics.json").read_bytes())
        except (OSError, ValueError):
            return {}
        return found

    def series(self) -> list[dict[str, Any]]:
        """Read its log, a row per evaluation."""
        text = (self.folder / "log.jsonl").read_text(encoding="utf-8")
        rows = (json.loads(line) for line in text.splitlines())
        return [row for row in rows if "event" not in row]

    def finished(self) -> bool:
        """Tell whether it needs no command any more; nint itself looks where this says no."""
        return False

    def execute(
        self, environment: Mapping[str, str], stop: Event, children: Children
    ) -> tuple[int, str]:
        """Run its command to the end.

        Args:
            environment: Variables of the process, where it is started as one of its own.
            stop: Set when no fit is wanted any more.
            children: Starts it as a copy of a process that has loaded PyTorch.

        Returns:
            The exit code, and what it said on stderr.
        """
        ended = children.run(self.command()[3:])
        return ended.code, "\n".join(ended.lines)


def run(fits: Sequence[Fit], jobs: int = 1) -> None:
    """Run the fits in order, several at once, and tell how far they are.

    Args:
        fits: The fits; neighbours share what the machine does meanwhile, so those that are to be
            compared stand side by side.
        jobs: How many at once; they divide the cores, unless OMP_NUM_THREADS says otherwise.
    """
    environment = os.environ | {"OMP_NUM_THREADS": str(threads(jobs))}
    stop, children = Event(), Children(threads(jobs))

    def one(item: tuple[int, Fit]) -> None:
        number, fit = item
        code, said = (0, "") if fit.finished() else fit.execute(environment, stop, children)
        if code not in {0, 5}:  # a divergence is a result too
            last = (said.strip().splitlines() or [f"exit code {code}"])[-1]
            raise SystemExit(f"{fit.folder}: {last}")
        key = HEADLINES[fit.modality]
        text = shown(fit.metrics().get(key), 4)
        print(f"{number + 1}/{len(fits)} {fit.folder}: {key} {text}", file=sys.stderr, flush=True)

    with children.at_work(), ThreadPoolExecutor(jobs) as pool:
        try:
            list(pool.map(one, enumerate(fits)))
        finally:
            stop.set()


def threads(jobs: int) -> int:
    """Give how many threads each of several fits at once has: its share, unless told."""
    told = os.environ.get("OMP_NUM_THREADS", "")
    return int(told) if told.isdecimal() else max(1, (os.cpu_count() or 1) // jobs)


def at_step(series: Sequence[dict[str, Any]], step: int, key: str = "psnr_db") -> float | None:
    """Give a figure after a number of steps; None where the run has no evaluation there."""
    return next((row.get(key) for row in series if row["step"] == step), None)


def at_time(
    series: Sequence[dict[str, Any]], seconds: float, key: str = "psnr_db"
) -> float | None:
    """Give a figure after some training time, between two evaluations by a straight line.

    A run that ended earlier gives None, and so does one that had no evaluation yet.
    """
    before: dict[str, Any] | None = None
    for row in series:
        if row["train_s"] >= seconds:
            if before is None or before[key] is None or row[key] is None:
                return None
            share = (seconds - before["train_s"]) / (row["train_s"] - before["train_s"])
            found: float = before[key] + share * (row[key] - before[key])
            return found
        before = row
    return None


def cost_to(series: Iterable[dict[str, Any]], psnr: float, key: str) -> float | None:
    """Give the `key` (step, train_s or passes) of the first evaluation at a PSNR; or None."""
    for row in series:
        if row["psnr_db"] is not None and row["psnr_db"] >= psnr:
            return float(row[key])
    return None


def mean(values: Iterable[float | None]) -> float | None:
    """Average what is there; None if anything is missing, which no average should hide."""
    found = list(values)
    if not found or any(value is None or not math.isfinite(value) for value in found):
        return None
    return statistics.mean(value for value in found if value is not None)


def shown(value: float | None, digits: int = 2) -> str:
    """Write a figure for a table."""
    return "-" if value is None else f"{value:.{digits}f}"


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write a table in Markdown, the first column to the left and the others to the right."""
    lines = [" | ".join(header), " | ".join(["---", *["---:"] * (len(header) - 1)])]
    lines += [" | ".join(row) for row in rows]
    return "".join(f"| {line} |\n" for line in lines)
