"""The inputs that a command line means: folders and patterns name all of their kind in them."""

import glob
from collections.abc import Iterable
from pathlib import Path

from nint_cli.cli import console
from nint_cli.errors import InputError
from nint_cli.modalities.modality import Modality
from nint_cli.signals.elsewhere import is_elsewhere, plain
from nint_cli.signals.source import SAMPLE_PREFIX


def expanded(kind: Modality, sources: list[str]) -> tuple[list[str], bool]:
    """Put the files of folders and patterns in their place, in order of their names.

    It leaves out hidden files, and passes over files whose names are not of the modality, which it
    counts in a note.

    Args:
        kind: What is wanted.
        sources: Inputs, folders, and patterns such as ``*.png`` and ``**/*.png``.

    Returns:
        The inputs, and whether there was a folder or a pattern among them.

    Raises:
        InputError: If a folder or a pattern has none.
    """
    found: list[str] = []
    for source in map(plain, sources):
        inside = _inside(source)
        if inside is None:
            found.append(source)
            continue
        wanted = [path for path in inside if path.suffix.lower() in kind.suffixes()]
        wanted = [path for path in wanted if not path.is_dir()]
        others = len(inside) - len(wanted)
        if not wanted:
            passed = f"; {others:,} others are there" if others else ""
            raise InputError(f"cannot read '{source}': there is no {kind.noun} in it{passed}")
        passed = f"; {others:,} others, no {kind.plural} by their names, passed over"
        count = f"{len(wanted):,} {kind.noun if len(wanted) == 1 else kind.plural}"
        console.note(f"'{source}': {count}{passed if others else ''}")
        found += map(str, wanted)
    return found, found != [*map(plain, sources)]


def _inside(source: str) -> list[Path] | None:
    """Give what a folder holds, or a pattern matches; None for anything else."""
    if source.startswith(SAMPLE_PREFIX) or is_elsewhere(source):
        return None
    try:
        if Path(source).is_dir():
            return _shown(Path(source).iterdir())
        if glob.has_magic(source) and not Path(source).exists():
            return _shown(map(Path, glob.iglob(source, recursive=True)))  # noqa: PTH207 (of any root)
    except (OSError, ValueError):
        return None  # the reader says why
    return None


def _shown(paths: Iterable[Path]) -> list[Path]:
    return sorted(path for path in paths if not path.name.startswith("."))
