"""The folder of a run: its layout, who owns which file, and writes that are all or nothing."""

import contextlib
import hashlib
import json
import os
import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nint_cli.errors import InputError, OutputError

CONFIG = "config.yaml"
LOG = "log.jsonl"
METRICS = "metrics.json"
RECONSTRUCTION = "reconstruction.png"
SELECTION = "selection.png"
CHECKPOINTS = "checkpoints"
MANIFEST = "manifest.json"

_KEEP_CHECKPOINTS = 2


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that its name shows the old content or the new, never a part.

    A temporary file in the same folder is written, flushed to the disk, read back and renamed;
    then the folder itself is flushed.

    Args:
        path: The file.
        data: Its content.

    Raises:
        OutputError: If it cannot be written; the old file, if any, is untouched.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if temporary.read_bytes() != data:
            raise OutputError(f"cannot write '{path}': it reads back otherwise")
        temporary.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise OutputError(f"cannot write '{path}': {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


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
    stem = Path(source.partition(":")[2] or source).stem if ":" in source else Path(source).stem
    stem = re.sub(r"[^\w.-]+", "_", stem).strip("._-")[:80] or "input"
    folder = root / stem / sampler
    owner = _read_manifest(folder).get("input")
    if owner is None or owner == identity(source):
        return folder
    digest = hashlib.sha256(identity(source).encode("utf-8", "surrogateescape")).hexdigest()
    return root / f"{stem}-{digest[:8]}" / sampler


def identity(source: str) -> str:
    """Name an input independently of the working folder.

    Args:
        source: A path, or ``sample:NAME``.

    Returns:
        The absolute path, or the sample as it is.
    """
    return source if source.startswith("sample:") else str(Path(source).absolute())


class RunFolder:
    """A folder whose files are this run's.

    Args:
        path: The folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(cls, path: Path, source: str, *, overwrite: bool = False) -> "RunFolder":
        """Claim a folder for a new run.

        Args:
            path: The folder; made, with its parents, if it is not there.
            source: The input, noted in the manifest.
            overwrite: Remove the files of an earlier run, and only those.

        Returns:
            The folder, empty of runs.

        Raises:
            OutputError: If it holds a run and `overwrite` is off, if a file that nint did not
                write is in the way, or if it cannot be written.
        """
        folder = cls(path)
        try:
            path.mkdir(parents=True, exist_ok=True)
        except FileExistsError:
            raise OutputError(
                f"cannot make the run folder '{path}': a file of that name is there"
            ) from None
        except OSError as error:
            raise OutputError(f"cannot make the run folder '{path}': {error.strerror}") from error
        if overwrite:
            folder._remove_run()
        taken = [
            name
            for name in (CONFIG, LOG, METRICS, RECONSTRUCTION, SELECTION, MANIFEST)
            if (path / name).exists()
        ]
        if MANIFEST in taken:
            raise OutputError(
                f"'{path}' holds a run; replace it with --overwrite, or choose another folder "
                "with -o"
            )
        if taken:
            raise OutputError(
                f"'{path}' holds a '{taken[0]}' that nint did not write; choose another folder "
                "with -o"
            )
        try:
            (path / CHECKPOINTS).mkdir(exist_ok=True)
        except OSError as error:
            raise OutputError(f"cannot make the run folder '{path}': {error.strerror}") from error
        folder._write_manifest({"input": identity(source), "files": []})
        return folder

    @classmethod
    def open(cls, path: Path) -> "RunFolder":
        """Open the folder of a run that was made before.

        Args:
            path: The folder.

        Returns:
            The folder.

        Raises:
            InputError: If there is no run in it.
        """
        if not path.is_dir():
            raise InputError(f"no run folder '{path}'")
        if not (path / MANIFEST).is_file():
            raise InputError(f"'{path}' holds no run: there is no {MANIFEST} in it")
        return cls(path)

    def write(self, name: str, data: bytes) -> None:
        """Write one of the run's files whole.

        Args:
            name: Its path within the folder.
            data: Its content.
        """
        self._own(name)
        write_whole(self.path / name, data)

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

    def write_checkpoint(self, step: int, data: bytes) -> None:
        """Write a checkpoint, then drop all but the newest two.

        Args:
            step: Steps done.
            data: Its content.
        """
        self.write(f"{CHECKPOINTS}/step-{step:010d}.safetensors", data)
        for path in self.checkpoints()[_KEEP_CHECKPOINTS:]:
            path.unlink(missing_ok=True)

    def checkpoints(self) -> list[Path]:
        """List the checkpoints, the newest first."""
        return sorted((self.path / CHECKPOINTS).glob("step-*.safetensors"), reverse=True)

    def _own(self, name: str) -> None:
        """Enter a file in the manifest before it is first written."""
        manifest = _read_manifest(self.path)
        if not manifest:
            raise OutputError(
                f"cannot write '{self.path / name}': the run's {MANIFEST} is gone or damaged"
            )
        if name not in manifest["files"]:
            manifest["files"].append(name)
            self._write_manifest(manifest)

    def _write_manifest(self, manifest: dict[str, Any]) -> None:
        write_whole(self.path / MANIFEST, json.dumps(manifest, indent=2).encode() + b"\n")

    def _remove_run(self) -> None:
        """Remove what the manifest says nint wrote; the manifest goes last."""
        root = self.path.resolve()
        for name in [*_read_manifest(self.path).get("files", []), MANIFEST]:
            path = self.path / name
            if path.parent.resolve() in {root, root / CHECKPOINTS}:
                try:
                    path.unlink(missing_ok=True)
                except OSError as error:
                    raise OutputError(f"cannot remove '{path}': {error.strerror}") from error


def _read_manifest(folder: Path) -> dict[str, Any]:
    """Read a folder's manifest; empty where there is none that can be read."""
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
    except (OSError, ValueError):
        return {}
    files = manifest.get("files") if isinstance(manifest, dict) else None
    if not isinstance(files, list) or not all(isinstance(name, str) for name in files):
        return {}
    return dict(manifest)
