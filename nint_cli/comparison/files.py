"""The files of a report: compare.json, compare.csv and report.html."""

import csv
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from nint_cli.atomic import write_whole
from nint_cli.comparison.page.document import render
from nint_cli.comparison.record import Comparison
from nint_cli.errors import OutputError
from nint_cli.signals.json_text import parsed

JSON, CSV, PAGE = "compare.json", "compare.csv", "report.html"
MARK = "comparison.json"
"""Says that a folder is one of `nint compare`, and what is compared in it."""

RUNS, TUNING = "runs", "tuning"
_FOLDERS = (RUNS, TUNING)
_MARK = {"written_by": "nint compare"}

_PLAIN = ("input", "variant", "seed", "status", "stop_reason", "steps", "train_s", "prepare_s",
          "sampler_s", "update_s", "passes", "lr", "parameters", "peak_rss_bytes", "rescues",
          "best", "best_step", "folder", "error", "left_out")  # fmt: skip


def claim(root: Path, of: str) -> None:
    """Make a folder for a report, and see before any work that it can be one.

    Args:
        root: The folder.
        of: What is compared: a modality, or ``runs`` that are there already.

    Raises:
        OutputError: If it cannot be made or written, holds a file or a folder of a comparison's
            name that nint compare did not write, or the comparison of something else.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise OutputError(
            f"cannot make the folder '{root}': a file of that name is there"
        ) from None
    except OSError as error:
        raise OutputError(f"cannot make the folder '{root}': {error.strerror}") from error
    found = _mark(root)
    if found is not None and found != of:
        raise OutputError(
            f"'{root}' holds a report of nint compare {found}; choose another folder with -o"
        )
    if found is None:
        # Runs below it are replaced where their settings differ, so they must be its own.
        folders = () if of == "runs" else _FOLDERS
        for name in (MARK, JSON, CSV, PAGE, *folders):
            if (root / name).exists() or (root / name).is_symlink():
                raise OutputError(
                    f"'{root}' holds a '{name}' that nint compare did not write; choose another "
                    "folder with -o"
                )
        write_whole(root / MARK, json.dumps(_MARK | {"of": of}).encode() + b"\n")


def _mark(root: Path) -> str | None:
    """Say what a folder holds a comparison of; None where it holds none."""
    try:
        found = parsed((root / MARK).read_bytes())
    except (OSError, ValueError):
        return None
    if not isinstance(found, dict) or not found.items() >= _MARK.items():
        return None
    return str(found.get("of"))


@contextmanager
def locked(root: Path) -> Iterator[None]:
    """Keep other comparisons out of a folder while one is made in it.

    Args:
        root: The folder, claimed.

    Yields:
        Nothing.

    Raises:
        OutputError: If another has it.
    """
    lock = FileLock(root / ".lock", blocking=False)
    try:
        lock.acquire()
    except Timeout:
        raise OutputError(
            f"'{root}' is in use by another nint compare; wait for it, or choose another folder"
        ) from None
    except OSError as error:
        raise OutputError(f"cannot write in '{root}': {error.strerror}") from error
    try:
        yield
    finally:
        lock.release()


def write_report(comparison: Comparison, root: Path) -> None:
    """Write all files of a report, the page last.

    Args:
        comparison: What they say.
        root: Their folder, claimed; an OutputError is raised where it cannot be written.
    """
    document = comparison.model_dump(mode="json")
    text = json.dumps(document, indent=2, allow_nan=False)
    write_whole(root / JSON, text.encode() + b"\n")
    write_whole(root / CSV, csv_text(comparison).encode())
    write_whole(root / PAGE, render(comparison, root).encode())


def csv_text(comparison: Comparison) -> str:
    """Write the runs as a table for spreadsheets.

    Args:
        comparison: The comparison.

    Returns:
        A row per run, a column for every measure and what each target cost. A text that a
        spreadsheet would take for a formula gets an apostrophe in front.
    """
    measures = list(dict.fromkeys(key for run in comparison.runs for key in run.figures))
    targets = list(dict.fromkeys(key for run in comparison.runs for key in run.to_target))
    parts = ("step", "train_s", "passes", "at_most")
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([
        *_PLAIN,
        *measures,
        *(f"{part}_to_{target}" for target in targets for part in parts),
    ])
    for run in comparison.runs:
        costs = [run.to_target[target] for target in targets]
        writer.writerow([
            *(_cell(getattr(run, name)) for name in _PLAIN),
            *(_cell(run.figures.get(key)) for key in measures),
            *(_cell(getattr(cost, part, None)) for cost in costs for part in parts),
        ])
    return file.getvalue()


def _cell(value: Any) -> Any:  # noqa: ANN401 (whatever a run has)
    if isinstance(value, str) and value[:1] in {"=", "+", "-", "@", "\t", "\r"}:
        return "'" + value
    return value
