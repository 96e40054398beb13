"""Many inputs: each fitted into its own folder, whatever becomes of the others."""

import contextlib
import json
import os
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from nint_cli.atomic import write_whole
from nint_cli.cli import console
from nint_cli.cli.interrupts import STOPS, Stopped, interrupts
from nint_cli.cli.processes import Processes, in_words
from nint_cli.cli.signals_and_outcome import shown, steered, tell
from nint_cli.device.cpu import usable_cores
from nint_cli.errors import NintError, OutputError
from nint_cli.runs.folder import LOCK, METRICS, RunFolder, is_of_another
from nint_cli.signals.json_text import parsed
from nint_cli.signals.source import distinct_stem, identity, source_stem

if TYPE_CHECKING:
    from nint_cli.config.layers import Resolved
    from nint_cli.runs.request import Existing
    from nint_cli.runs.start import Start

BATCH = "batch.json"
_SOME_FAILED = 8
_INTERRUPTED = {128 + number for number in STOPS}
_FLAGS: "Mapping[Existing, list[str]]" = {
    "refuse": [],
    "replace": ["--overwrite"],
    "skip": ["--skip-existing"],
    "continue": ["--continue"],
}
_OF = "NINT_BATCH"  # the variable that tells a fit of which batch it is


@dataclass
class Item:
    """One input of a batch.

    Attributes:
        source: As it was given.
        path: Its run folder.
        status: ``waiting``, ``complete``, ``failed`` or ``interrupted``.
        exit_code: What a run of its own would have exited with.
        error: Why it failed, was interrupted, or was not begun.
    """

    source: str
    path: str
    status: str = "waiting"
    exit_code: int | None = None
    error: str | None = None


class Batch:
    """Fits of many inputs under one configuration.

    Args:
        modality: What they are.
        sources: The inputs; one that is named twice is fitted once.
        resolved: The configuration.
        root: The folder of their run folders; None puts each where a run of its own would be.
        settings: The words of the command line that made the configuration.
        existing: What to do where a folder holds a run; see `fit_input`.
        options: Flags that concern loudness.
        demands: Attributes of `Control` that flags of their names set, such as `require_target`.
        progress: As `--progress` gives it.
        start: What each starts from; None: random weights.
    """

    def __init__(
        self,
        modality: str,
        sources: list[str],
        resolved: "Resolved",
        *,
        root: Path | None,
        settings: list[str],
        existing: "Existing",
        options: list[str],
        demands: Mapping[str, bool],
        progress: str,
        start: "Start | None" = None,
    ) -> None:
        self._modality = modality
        self._resolved = resolved
        self._settings = settings
        self._existing = existing
        self._options = options
        self._demands = demands
        self._progress = progress
        self._start = start
        self._root = root or Path("runs")
        below = "" if root is not None else resolved.config.sampler
        self.items = [
            Item(source, str(folder))
            for source, folder in _folders(sources, self._root, below).items()
        ]
        self._begun: list[Item] = []
        self._writing = threading.Lock()
        self._children = Processes(threads=1)

    def run(self, *, jobs: int, fail_fast: bool, json: bool) -> int:
        """Fit all inputs and tell how it went.

        Args:
            jobs: How many at once; more than one makes each a process of its own.
            fail_fast: Start no more after a failure.
            json: Print batch.json instead of the run folders.

        Returns:
            0, 8 if any failed, or the code of the signal that ended it.
        """
        self._claim()
        self._children = Processes(threads=max(1, usable_cores() // jobs))
        with self._children.at_work(), interrupts.ending_with(self._give_up):
            if jobs == 1:
                for item in self.items:
                    self._fit(item, self._fit_here, fail_fast=fail_fast)
            else:
                with ThreadPoolExecutor(jobs) as pool:
                    list(
                        pool.map(
                            lambda item: self._fit(item, self._fit_apart, fail_fast=fail_fast),
                            self.items,
                        )
                    )
            for item in self.items:
                if item.status == "waiting":
                    item.error = "not begun, for the batch was stopped before"
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
        if self._stopped_by is not None:
            return 128 + self._stopped_by
        if codes & _INTERRUPTED:
            return max(code for code in codes & _INTERRUPTED if code)
        return 0 if all(item.status == "complete" for item in self.items) else _SOME_FAILED

    @property
    def _stopped_by(self) -> int | None:
        return interrupts.stopped_by or self._children.stopped_by

    def _fit(self, item: Item, fit: Callable[[Item], int], *, fail_fast: bool) -> None:
        """Fit one input, unless the batch has come to its end."""
        over = self._stopped_by is not None or any(
            other.exit_code in _INTERRUPTED for other in self.items
        )
        if over or (fail_fast and any(other.status == "failed" for other in self.items)):
            return
        self._begun.append(item)
        _end(item, fit(item))
        with contextlib.suppress(NintError):  # the last one, at the end, tells
            self._write()

    def _give_up(self, number: int) -> None:
        """Note how it ends where no more can be done."""
        for item in self._begun:
            if item.status == "waiting":
                _end(item, 128 + number)
        if self._writing.acquire(timeout=1):  # who has it may never come to give it back
            write_whole(self._root / BATCH, self._document().encode())

    def _fit_here(self, item: Item) -> int:
        from nint_cli.runs.request import fit_input

        try:
            with steered(self._progress, self._demands) as control:
                outcome = fit_input(
                    self._modality,
                    item.source,
                    self._resolved,
                    Path(item.path),
                    existing=self._existing,
                    control=control,
                    start=self._start,
                )
            return tell(outcome, item.source)
        except Stopped:
            return interrupts.interrupted()
        except NintError as error:
            item.error = str(error)
            console.error(item.error)
            return error.exit_code
        except Exception as error:
            item.error = f"{type(error).__name__}: {error}"
            return console.unexpected(error)

    def _fit_apart(self, item: Item) -> int:
        demanded = [f"--{each.replace('_', '-')}" for each in self._demands if self._demands[each]]
        words = [
            *self._settings,
            *_FLAGS[self._existing],
            *self._options,
            *demanded,
            "--quiet",
            "-o",
            item.path,
            "--",
            item.source,
        ]
        place = {_OF: json.dumps([str((self._root / BATCH).absolute()), item.path])}
        ended = self._children.run(["fit", self._modality, *words], place)
        item.error = ended.error
        for line in ended.lines:
            console.pass_on(line)
        if ended.code == 0:
            console.note(f"'{item.source}': {METRICS} in '{item.path}'")
        return ended.code

    def _document(self) -> str:
        document = {"schema_version": "1.0", "items": [asdict(item) for item in self.items]}
        return json.dumps(document, indent=2) + "\n"

    def _claim(self) -> None:
        """Find out before any fit whether batch.json can be written, and is nobody else's."""
        path = self._root / BATCH
        try:
            self._root.mkdir(parents=True, exist_ok=True)
            found = path.read_bytes() if path.exists() else None
        except FileExistsError:
            raise OutputError(
                f"cannot make the folder '{self._root}': a file of that name is there"
            ) from None
        except OSError as error:
            raise OutputError(
                f"cannot make the folder '{self._root}': {error.strerror}"
            ) from error
        if found is not None and not _is_batch(found):
            raise OutputError(
                f"'{self._root}' holds a '{BATCH}' that nint did not write; choose another "
                "folder with -o"
            )
        self._write()

    def _write(self) -> None:
        with self._writing:
            write_whole(self._root / BATCH, self._document().encode())


def _end(item: Item, code: int) -> None:
    """Note how the fit of an input ended."""
    item.exit_code = code
    if code == 0:
        item.status, item.error = "complete", None
    elif code not in _INTERRUPTED:
        item.status, item.error = "failed", item.error or in_words(code)
    else:
        found = RunFolder(Path(item.path))
        steps = found.metrics().get("steps")
        saved = f"after {steps} steps" if steps is not None else "before its end"
        if not found.checkpoints():
            saved = "before anything was saved"
        item.status, item.error = "interrupted", f"{in_words(code)} {saved}; --continue goes on"


def note_orphan(code: int) -> None:
    """Write in its batch.json how this process's fit ended, if nobody else is there to do so.

    Args:
        code: The exit code.
    """
    of = os.environ.pop(_OF, None)
    if of is None or not interrupts.orphaned:
        return
    path, folder = json.loads(of)
    with FileLock(Path(path).with_name(LOCK)):  # against the other fits of the batch
        document = parsed(Path(path).read_bytes())
        for entry in document["items"]:
            if entry["path"] == folder and entry["status"] == "waiting":
                item = Item(**entry)
                _end(item, code)
                entry.update(asdict(item))
        write_whole(Path(path), (json.dumps(document, indent=2) + "\n").encode())


def _is_batch(data: bytes) -> bool:
    try:
        document = parsed(data)
    except ValueError:
        return False
    return isinstance(document, dict) and document.keys() == {"schema_version", "items"}


def _folders(sources: list[str], root: Path, below: str) -> dict[str, Path]:
    """Give each input a folder of its own; inputs of one name are told apart by their path."""
    unique = {identity(source): source for source in reversed(sources)}
    wanted = [source for source in dict.fromkeys(sources) if source in set(unique.values())]
    # Some file systems take names that differ only in case for the same.
    count = Counter(source_stem(source).casefold() for source in wanted)
    folders = {}
    for source in wanted:
        stem = source_stem(source)
        if count[stem.casefold()] > 1 or is_of_another(root / stem / below, source):
            stem = distinct_stem(source)
        folders[source] = root / stem / below
    return folders
