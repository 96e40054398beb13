"""Many inputs: each fitted into its own folder, whatever becomes of the others."""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nint_cli.cli import console
from nint_cli.cli.steering import shown, steered, tell
from nint_cli.errors import NintError
from nint_cli.runfolder import METRICS, identity, source_stem, write_whole

if TYPE_CHECKING:
    from nint_cli.config import Resolved

BATCH = "batch.json"
_SOME_FAILED = 8
_INTERRUPTED = {130, 143}


@dataclass
class Item:
    """One input of a batch.

    Attributes:
        source: As it was given.
        path: Its run folder.
        status: ``waiting``, ``complete``, ``failed`` or ``interrupted``.
        exit_code: What a run of its own would have exited with.
        error: Why it failed.
    """

    source: str
    path: str
    status: str = "waiting"
    exit_code: int | None = None
    error: str | None = None


class Batch:
    """Fits of many inputs under one configuration.

    Args:
        sources: The inputs; one that is named twice is fitted once.
        resolved: The configuration.
        root: The folder of their run folders; None puts each where a run of its own would be.
        options: Flags that concern folders and targets.
        progress: As `--progress` gives it.
    """

    def __init__(
        self,
        sources: list[str],
        resolved: "Resolved",
        *,
        root: Path | None,
        options: list[str],
        progress: str,
    ) -> None:
        self._resolved = resolved
        self._options = options
        self._progress = progress
        self._root = root or Path("runs")
        sampler = resolved.config.sampler
        self.items = [
            Item(source, str(folder if root is not None else folder / sampler))
            for source, folder in _folders(sources, self._root).items()
        ]

    def run(self, *, jobs: int, fail_fast: bool, json: bool) -> int:
        """Fit all inputs and tell how it went.

        Args:
            jobs: How many at once; more than one makes each a process of its own.
            fail_fast: Start no more after a failure.
            json: Print batch.json instead of the run folders.

        Returns:
            0, 8 if any failed, or the code of the signal that ended it.
        """
        fit = self._fit_here if jobs == 1 else self._fit_apart
        with tempfile.TemporaryDirectory() as scratch:
            self._settings = Path(scratch) / "settings.json"
            self._settings.write_text(self._resolved.config.model_dump_json(), encoding="utf-8")
            self._threads = max(1, (os.cpu_count() or 1) // jobs)
            with ThreadPoolExecutor(jobs) if jobs > 1 else _InTurn() as pool:
                list(pool.map(lambda item: self._fit(item, fit, fail_fast=fail_fast), self.items))
        self._write()
        if json:
            console.result(self._document().strip())
        else:
            for item in self.items:
                if item.status == "complete":
                    console.result(shown(Path(item.path)))
        rows = [(item.source, item.error or item.status) for item in self.items]
        console.table(f"{sum(i.status == 'complete' for i in self.items)} of {len(rows)}", rows)
        codes = {item.exit_code for item in self.items}
        if codes & _INTERRUPTED:
            return max(code for code in codes & _INTERRUPTED if code)
        return 0 if all(item.status == "complete" for item in self.items) else _SOME_FAILED

    def _fit(self, item: Item, fit: Callable[[Item], int], *, fail_fast: bool) -> None:
        """Fit one input, unless the batch has come to its end."""
        over = any(other.exit_code in _INTERRUPTED for other in self.items)
        if over or (fail_fast and any(other.status == "failed" for other in self.items)):
            return
        item.exit_code = fit(item)
        if item.exit_code == 0:
            item.status = "complete"
        else:
            item.status = "interrupted" if item.exit_code in _INTERRUPTED else "failed"
            item.error = item.error or f"exit code {item.exit_code}"
        self._write()

    def _fit_here(self, item: Item) -> int:
        from nint_cli import run

        try:
            with steered(
                self._progress, require_target="--require-target" in self._options
            ) as control:
                outcome = run.fit_image(
                    item.source,
                    self._resolved,
                    Path(item.path),
                    overwrite="--overwrite" in self._options,
                    skip_existing="--skip-existing" in self._options,
                    control=control,
                )
            return tell(outcome, item.source)
        except NintError as error:
            item.error = str(error)
            console.error(item.error)
            return error.exit_code
        except Exception as error:
            from nint_cli.cli import unexpected

            item.error = f"{type(error).__name__}: {error}"
            return unexpected(error)

    def _fit_apart(self, item: Item) -> int:
        done = subprocess.run(
            [
                *(sys.executable, "-m", "nint_cli", "fit", "image"),
                *("--config", str(self._settings), "-o", item.path, "--quiet", *self._options),
                *("--", item.source),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=os.environ | {"OMP_NUM_THREADS": str(self._threads)},
            check=False,
        )
        lines = done.stderr.decode(errors="replace").splitlines()
        if done.returncode:
            item.error = lines[-1].removeprefix("nint: error: ") if lines else None
        for line in lines:
            console.pass_on(line)
        if done.returncode == 0:
            console.note(f"'{item.source}': {METRICS} in '{item.path}'")
        return done.returncode if done.returncode >= 0 else 128 - done.returncode

    def _document(self) -> str:
        document = {"schema_version": "1.0", "items": [asdict(item) for item in self.items]}
        return json.dumps(document, indent=2) + "\n"

    def _write(self) -> None:
        self._root.mkdir(parents=True, exist_ok=True)
        write_whole(self._root / BATCH, self._document().encode())


class _InTurn:
    """A pool of the calling thread, where signals arrive."""

    def __enter__(self) -> "_InTurn":
        return self

    def __exit__(self, *_: object) -> None:
        return

    map = staticmethod(map)


def _folders(sources: list[str], root: Path) -> dict[str, Path]:
    """Give each input a folder of its own; inputs of one name are told apart by their path."""
    unique = {identity(source): source for source in reversed(sources)}
    wanted = [source for source in dict.fromkeys(sources) if source in set(unique.values())]
    count = Counter(source_stem(source) for source in wanted)
    folders = {}
    for source in wanted:
        stem = source_stem(source)
        if count[stem] > 1:
            name = identity(source).encode("utf-8", "surrogateescape")
            stem = f"{stem}-{hashlib.sha256(name).hexdigest()[:8]}"
        folders[source] = root / stem
    return folders
