"""manifest.json, which says what in a folder is a run's, and reading that stays in the folder."""

import datetime
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nint_cli.signals.json_text import parsed

MANIFEST = "manifest.json"

MARK = {"written_by": "nint"}
"""Tells a manifest of nint from those of other programs: what it lists may be removed."""


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read a folder's manifest; empty where nint wrote none that can be read."""
    manifest = read_document(folder / MANIFEST, folder)
    if not isinstance(manifest, dict) or not manifest.items() >= MARK.items():
        return {}
    files = manifest.get("files")
    if not isinstance(files, list) or not all(_is_name(name) for name in files):
        return {}
    return manifest


def _is_name(name: object) -> bool:
    """Tell what a file can be called."""
    try:
        return isinstance(name, str) and b"\0" not in os.fsencode(name)
    except UnicodeEncodeError:
        return False


def read_document(path: Path, folder: Path) -> Any:  # noqa: ANN401 (whatever is in it)
    """Read a JSON file of a folder; None where it cannot be read, or is damaged."""
    data = read_within(path, folder)
    try:
        return None if data is None else parsed(data)
    except ValueError:
        return None


def read_within(path: Path, folder: Path) -> bytes | None:
    """Read a file of a folder; None where it cannot be read, or is a link that leads out."""
    try:
        return None if leads_out(path, folder) else path.read_bytes()
    except OSError:
        return None


def leads_out(path: Path, folder: Path) -> bool:
    """Tell whether a name in a folder is a link to what is not in it."""
    try:
        return path.is_symlink() and not path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError):  # in a circle
        return True


def text_of(value: object) -> str | None:
    """Give a value of a document that is to be text; None where it is none."""
    return value if isinstance(value, str) else None


def this_process() -> dict[str, Any]:
    """Describe this process, for others that find its folder locked."""
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    return {"pid": os.getpid(), "host": socket.gethostname(), "since": now}


def describe_owner(manifest: Mapping[str, Any]) -> str:
    """Say in words which process a manifest names."""
    owner = manifest.get("owner")
    if not isinstance(owner, dict):
        return "another process"
    return f"process {owner.get('pid')} on {owner.get('host')} since {owner.get('since')}"
