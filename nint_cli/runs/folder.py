"""The folder of a run: its layout, who owns which file, and writes that are all or nothing."""

import contextlib
import json
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Self

from filelock import BaseFileLock, FileLock, Timeout

from nint_cli.atomic import Writer, write_by, write_whole
from nint_cli.config.removed import metrics_of_today
from nint_cli.errors import InputError, OutputError
from nint_cli.runs.log import sound_rows
from nint_cli.runs.manifest import (
    MANIFEST,
    MARK,
    describe_owner,
    leads_out,
    read_document,
    read_manifest,
    read_within,
    text_of,
    this_process,
)
from nint_cli.signals.source import distinct_stem, identity, source_stem

CONFIG = "config.yaml"
LOG = "log.jsonl"
METRICS = "metrics.json"
CHECKPOINTS = "checkpoints"
SELECTIONS = "selections"
LOCK = ".lock"
OVER = "training_over"
"""The event in the log that stands for a run's last row until that is measured."""


_NUMBERED = re.compile(r"step-\d{10}\.safetensors")
_TEMPORARY = re.compile(r"\..+\.\d+-[0-9a-f]{8}\.tmp")


def default_folder(source: str, sampler: str, root: Path = Path("runs")) -> Path:
    """Choose the folder of a run that was not given one.

    Args:
        source: The input.
        sampler: Name of the sampler.
        root: Where all runs are.

    Returns:
        ``root/<stem>/<sampler>``; where that holds a run on another input, the stem is extended
        by a hash of this input's path.
    """
    folder = root / source_stem(source) / sampler
    return root / distinct_stem(source) / sampler if is_of_another(folder, source) else folder


def is_of_another(folder: Path, source: str) -> bool:
    """Tell whether a folder holds a run on another input.

    Args:
        folder: The folder; it need not exist.
        source: The input.

    Returns:
        False, too, where there is no run.
    """
    owner = read_manifest(folder).get("input")
    return owner is not None and bool(owner != identity(source))


def in_use_by(folder: Path) -> str | None:
    """Say who works in a run folder.

    Args:
        folder: The folder; it need not exist.

    Returns:
        A process, in words; None where nobody does.
    """
    if not (folder / LOCK).exists() or leads_out(folder / LOCK, folder):
        return None
    lock = FileLock(folder / LOCK, blocking=False)
    try:
        lock.acquire()
    except Timeout:
        return describe_owner(read_manifest(folder))
    except OSError:
        return None  # whoever is to write there will say why that cannot be done
    lock.release()
    return None


class RunFolder:
    """A folder whose files are this run's, locked while a process works in it.

    The lock is the operating system's (through `filelock`), so it ends with its process, however
    that ends; who holds it is noted in the manifest. On a network file system it is as good as
    that system's own locks.

    Args:
        path: The folder.

    Attributes:
        taken_over: Who worked in the folder before and came to no end, or None.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.taken_over: str | None = None
        self._lock: BaseFileLock | None = None
        self._before: bytes | None = (
            None  # the manifest that was found, until another file changes
        )

    @classmethod
    def create(
        cls,
        path: Path,
        source: str,
        *,
        results: Iterable[str] = (),
        origins: Mapping[str, str] | None = None,
        overwrite: bool = False,
        run_id: str | None = None,
        input_sha256: str | None = None,
    ) -> Self:
        """Claim and lock a folder for a new run.

        Args:
            path: The folder; made, with its parents, if it is not there.
            source: The input, noted in the manifest.
            results: Names of further files that the run may write.
            origins: Where its settings come from, for metrics.json of a run that is cut off.
            overwrite: Remove the files of an earlier run, and only those.
            run_id: Tells the run from others; its checkpoints have it, too.
            input_sha256: Hash of the input's content.

        Returns:
            The folder, empty of runs.

        Raises:
            OutputError: If it holds a run and `overwrite` is off, if a file that nint did not
                write is in the way, if it is in use, or if it cannot be written.
        """
        folder = cls(path)
        names = {MANIFEST, CONFIG, LOG, METRICS, *results}
        folder._refuse_what_is_in_the_way(names, overwrite=overwrite)
        try:
            (path / CHECKPOINTS).mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            raise OutputError(
                f"cannot make the run folder '{path}': a file of that name is there"
            ) from None
        except OSError as error:
            raise OutputError(f"cannot make the run folder '{path}': {error.strerror}") from error
        folder._acquire()
        try:
            folder._refuse_what_is_in_the_way(names, overwrite=overwrite)
            folder._remove_run()
            manifest: dict[str, Any] = {
                "input": identity(source),
                "input_sha256": input_sha256,
                "run_id": run_id,
                "files": [],
                "owner": this_process(),
            }
            folder._write_manifest(manifest | ({"origins": dict(origins)} if origins else {}))
        except BaseException:
            folder.close()
            raise
        return folder

    def _refuse_what_is_in_the_way(self, names: Iterable[str], *, overwrite: bool) -> None:
        with contextlib.suppress(OSError):  # such as a name too long, which mkdir will report
            found = [name for name in sorted(names) if os.path.lexists(self.path / name)]
            # A link would lead out of the folder.
            within = (CHECKPOINTS, SELECTIONS)
            found += [name for name in within if (self.path / name).is_symlink()]
            # A run would take these for its own, or write over them.
            found += [f"{name}/{path.name}" for name in within for path in self._numbered(name)]
            manifest = read_manifest(self.path)
            if manifest and not overwrite:
                raise OutputError(
                    f"'{self.path}' holds a run; choose --continue to bring it to its end if it "
                    "is this one, --overwrite to replace it, or another folder with -o"
                )
            owned = {MANIFEST, *manifest["files"]} if manifest else set()
            foreign = [name for name in found if name not in owned]
            if foreign:
                begun = not manifest and bool(self.checkpoints())
                raise OutputError(
                    f"'{self.path}' holds a '{foreign[0]}' that nint did not write; choose "
                    "another folder with -o"
                    + f", or if it is a run that lost its {MANIFEST}, `nint eval` rebuilds that"
                    * begun
                )

    @classmethod
    def open(cls, path: Path, *, lock: bool = False) -> Self:
        """Open the folder of a run that was made before.

        Args:
            path: The folder.
            lock: Whether to write in it.

        Returns:
            The folder.

        Raises:
            InputError: If there is no run in it, or a link in it leads out of it.
        """
        folder = cls.found(path)
        if not folder.has_manifest:
            raise InputError(f"'{path}' holds no run: there is no sound {MANIFEST} in it")
        if lock:
            folder._acquire()
            folder._before = folder.read_saved(MANIFEST)
            folder._write_manifest(read_manifest(path) | {"owner": this_process()})
        return folder

    @classmethod
    def found(cls, path: Path) -> Self:
        """Look at a folder that may lack its manifest.

        Args:
            path: The folder.

        Returns:
            The folder, for reading.

        Raises:
            InputError: If it is none, or a link in it leads out of it.
        """
        if not path.is_dir():
            raise InputError(f"no run folder '{path}'")
        folder = cls(path)
        own = [MANIFEST, CONFIG, LOG, METRICS, CHECKPOINTS, SELECTIONS, LOCK]
        own += read_manifest(path).get("files", ())
        numbered = (*folder.checkpoints(), *folder.selections())
        for each in (*(path / name for name in folder._there(own)), *numbered):
            if leads_out(each, path):
                raise InputError(
                    f"'{each}' is a link that leads out of the run folder, which nint does not "
                    "follow; put what it points to in its place"
                )
        return folder

    def rebuild_manifest(
        self, source: str, results: Iterable[str], run_id: str | None, input_sha256: str
    ) -> None:
        """Write the manifest that a run has lost.

        Args:
            source: The input.
            results: Names of further files that the run may have written.
            run_id: As its checkpoint has it.
            input_sha256: Hash of the input's content.
        """
        self._acquire()
        try:
            numbered = [*self.checkpoints(), *self.selections()]
            files = [CONFIG, LOG, METRICS, *results]
            files += [path.relative_to(self.path).as_posix() for path in numbered]
            self._write_manifest({
                "input": identity(source),
                "input_sha256": input_sha256,
                "run_id": run_id,
                "files": [name for name in files if os.path.lexists(self.path / name)],
            })
        finally:
            self.close()

    @property
    def has_manifest(self) -> bool:
        """Whether there is a sound one, which says that the folder is a run's."""
        return bool(read_manifest(self.path))

    @property
    def run_id(self) -> str | None:
        """What tells the run from others; None where an earlier version began it."""
        return text_of(read_manifest(self.path).get("run_id"))

    @property
    def input_sha256(self) -> str | None:
        """Hash of the input's content; None where an earlier version began the run."""
        return text_of(read_manifest(self.path).get("input_sha256"))

    def why_foreign(self, run_id: str | None, input_sha256: str) -> str | None:
        """Say why a checkpoint is another run's; None where it may be this one's.

        Args:
            run_id: As it has it.
            input_sha256: Hash of its input's content.
        """
        own, known = self.run_id, self.input_sha256
        if known is None:
            record = self.metrics().get("input")
            known = text_of(record.get("sha256")) if isinstance(record, dict) else None
        if known is not None and known != input_sha256:
            return "of another input than the run"
        return "of another run" if own is not None and own != run_id else None

    def _acquire(self) -> None:
        """Lock the folder, and note whether its last owner left it locked."""
        if leads_out(self.path / LOCK, self.path):
            raise OutputError(f"'{self.path / LOCK}' is a link that leads out of the run folder")
        lock = FileLock(self.path / LOCK, blocking=False)
        try:
            lock.acquire()
        except Timeout:
            owner = describe_owner(read_manifest(self.path))
            raise OutputError(
                f"'{self.path}' is in use by {owner}; wait for it, or choose another folder"
            ) from None
        except OSError as error:
            raise OutputError(f"cannot write in '{self.path}': {error.strerror}") from error
        self._lock = lock
        manifest = read_manifest(self.path)
        if manifest.get("owner") and not (self.path / METRICS).exists():
            self.taken_over = describe_owner(manifest)
        # Whoever could still be writing holds the lock, so these were left behind by the dead.
        for folder in (self.path, self.path / CHECKPOINTS, self.path / SELECTIONS):
            for litter in folder.glob(".*.tmp"):
                if _TEMPORARY.fullmatch(litter.name):
                    litter.unlink(missing_ok=True)

    def close(self) -> None:
        """Bring the manifest up to date, and unlock the folder; it may be gone by now."""
        if self._lock is None:
            return
        try:
            self._settle_manifest()
        finally:
            self._lock.release()
            self._lock = None

    def _settle_manifest(self) -> None:
        """Have the manifest list what is there, or as it was where nothing was written."""
        manifest = read_manifest(self.path)
        with contextlib.suppress(OutputError):  # it is no worse off than after a kill
            if self._before is not None:
                write_whole(self.path / MANIFEST, self._before)
            elif manifest and (there := self._there(manifest["files"])) != manifest["files"]:
                self._write_manifest(manifest | {"files": there})
        self._before = None

    def _there(self, names: Iterable[str]) -> list[str]:
        return [name for name in names if os.path.lexists(self.path / name)]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def metrics(self) -> dict[str, Any]:
        """Read metrics.json as of today; empty where there is none that can be read."""
        found = read_document(self.path / METRICS, self.path)
        return metrics_of_today(found) if isinstance(found, dict) else {}

    def origins(self) -> dict[str, str]:
        """Return where the run's settings come from; empty where nobody noted it."""
        # Earlier versions had them in metrics.json alone.
        found = read_manifest(self.path).get("origins") or self.metrics().get("origins")
        if not isinstance(found, dict):
            return {}
        return {str(key): str(origin) for key, origin in found.items()}

    def write_origins(self, origins: Mapping[str, str]) -> None:
        """Note where the run's settings come from, if that has changed."""
        if origins != self.origins():
            self._write_manifest(read_manifest(self.path) | {"origins": dict(origins)})

    def read_saved(self, name: str) -> bytes | None:
        """Read one of the run's files; None where it cannot be read."""
        return read_within(self.path / name, self.path)

    def remove(self, name: str) -> None:
        """Remove one of the run's files, if it is there.

        Args:
            name: Its path within the folder.

        Raises:
            OutputError: If it cannot be removed.
        """
        self._before = None
        try:
            (self.path / name).unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(f"cannot remove '{self.path / name}': {error.strerror}") from error

    def note_input(self, source: str) -> None:
        """Write in the manifest where the input is now."""
        self._write_manifest(read_manifest(self.path) | {"input": identity(source)})

    def rewind_log(self, step: int) -> dict[str, Any]:
        """Drop all rows after a step, and odd ones, such as a last one that was torn.

        Args:
            step: The step to go on from.

        Returns:
            The newest row left that has the clock; empty where there is none.
        """
        rows = [row for row in sound_rows(self.path / LOG) if row["step"] <= step]
        text = "".join(json.dumps(row, allow_nan=False) + "\n" for row in rows)
        self.write(LOG, text.encode())
        return next((row for row in reversed(rows) if "clock" in row), {})

    def write(self, name: str, data: bytes) -> None:
        """Write one of the run's files whole.

        Args:
            name: Its path within the folder.
            data: Its content.
        """
        self._own(name)
        write_whole(self.path / name, data)

    def write_by(self, name: str, writer: Writer) -> None:
        """Write one of the run's files whole, piece by piece.

        Args:
            name: Its path within the folder.
            writer: Writes the content; see the function of this name.
        """
        self._own(name)
        write_by(self.path / name, writer)

    def write_json(self, name: str, document: Mapping[str, Any]) -> None:
        """Write a JSON document whole; it never holds NaN or Infinity.

        Args:
            name: Its path within the folder.
            document: Plain data.
        """
        text = json.dumps(document, indent=2, allow_nan=False, ensure_ascii=True)
        self.write(name, text.encode() + b"\n")

    def append_log(self, row: Mapping[str, Any]) -> None:
        """Append a row to the log.

        Args:
            row: Plain data.

        Raises:
            OutputError: If it cannot be written.
        """
        self._own(LOG)
        try:
            with (self.path / LOG).open("a", encoding="utf-8") as file:
                file.write(json.dumps(row, allow_nan=False) + "\n")
        except OSError as error:
            raise OutputError(f"cannot write '{self.path / LOG}': {error.strerror}") from error

    def end_log(self, row: Mapping[str, Any]) -> None:
        """Append a row to the log in place of those that `OVER` marks.

        Args:
            row: Plain data.
        """
        text = self.read_saved(LOG) or b""
        mark = json.dumps({"event": OVER})[1:-1].encode()
        rows = [line for line in text.splitlines(keepends=True) if mark not in line]
        self.write(LOG, b"".join([*rows, json.dumps(row, allow_nan=False).encode() + b"\n"]))

    def write_checkpoint(self, step: int, data: bytes, keep: int | None = 2) -> None:
        """Write a checkpoint, then drop all of the run's but the newest ones.

        Args:
            step: Steps done.
            data: Its content.
            keep: How many to keep; None for all.
        """
        self.write(f"{CHECKPOINTS}/step-{step:010d}.safetensors", data)
        if keep is not None:
            self._drop(self._owned(self.checkpoints())[keep:])

    def write_selection(self, step: int, data: bytes) -> None:
        """Write what a step was trained on.

        Args:
            step: Steps done.
            data: The content; see `selections`.

        Raises:
            OutputError: If it cannot be written.
        """
        try:
            (self.path / SELECTIONS).mkdir(exist_ok=True)
        except OSError as error:
            raise OutputError(f"cannot write in '{self.path}': {error.strerror}") from error
        self.write(f"{SELECTIONS}/step-{step:010d}.safetensors", data)

    def selections(self) -> list[Path]:
        """List what `write_selection` wrote, the oldest first."""
        return self._numbered(SELECTIONS)

    def checkpoints(self) -> list[Path]:
        """List the checkpoints, the newest first."""
        return self._numbered(CHECKPOINTS)[::-1]

    def forget_after(self, step: int) -> None:
        """Remove the run's checkpoints and selections of steps after one.

        Args:
            step: The step to go on from.
        """
        last = f"step-{step:010d}.safetensors"
        found = self._owned([*self.checkpoints(), *self.selections()])
        self._drop([path for path in found if path.name > last])

    def _numbered(self, folder: str) -> list[Path]:
        """List files that are named as those of steps, the oldest first; not copies of them."""
        found = (self.path / folder).glob("step-*.safetensors")
        return sorted(path for path in found if _NUMBERED.fullmatch(path.name))

    def _owned(self, paths: list[Path]) -> list[Path]:
        """Choose what nint wrote, which alone may be removed."""
        own = set(read_manifest(self.path).get("files", ()))
        return [path for path in paths if path.relative_to(self.path).as_posix() in own]

    def _drop(self, paths: list[Path]) -> None:
        for path in paths:
            self.remove(str(path.relative_to(self.path)))

    def _own(self, name: str) -> None:
        """Enter a file in the manifest before it is first written."""
        self._before = None
        manifest = read_manifest(self.path)
        if not manifest:
            raise OutputError(
                f"cannot write '{self.path / name}': the run's {MANIFEST} is gone or damaged"
            )
        if name not in manifest["files"]:
            self._write_manifest(manifest | {"files": [*self._there(manifest["files"]), name]})

    def _write_manifest(self, manifest: dict[str, Any]) -> None:
        text = json.dumps(MARK | manifest, indent=2)
        write_whole(self.path / MANIFEST, text.encode() + b"\n")

    def _remove_run(self) -> None:
        """Remove what the manifest says nint wrote; the manifest goes last."""
        manifest = read_manifest(self.path)
        if not manifest:
            return
        root = self.path.resolve()
        within = {root, root / CHECKPOINTS, root / SELECTIONS}
        for name in self._there([*manifest["files"], MANIFEST]):
            path = self.path / name
            if path.parent.resolve() in within and (path.is_symlink() or not path.is_dir()):
                self.remove(name)
