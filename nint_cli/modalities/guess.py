"""What an input seems to be, for one that was given to the wrong command."""

from collections.abc import Iterable, Mapping
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from nint_cli.modalities.audio import files as audio_files
from nint_cli.modalities.image import files as image_files
from nint_cli.modalities.sdf import headers, sample_meshes
from nint_cli.signals import samples


class _Kind(NamedTuple):
    noun: str
    suffixes: frozenset[str]
    samples: frozenset[str]


def _kind(noun: str, suffixes: Iterable[str], names: Iterable[str]) -> _Kind:
    return _Kind(noun, frozenset(suffixes), frozenset(names))


_KINDS: Mapping[str, _Kind] = {
    "image": _kind("picture", chain(*image_files.FORMATS.values()), samples.picture_names()),
    "audio": _kind("sound", chain(*audio_files.FORMATS.values()), samples.sound_names()),
    "sdf": _kind(
        "shape", (f".{name.lower()}" for name in headers.FORMATS), sample_meshes.solid_names()
    ),
}


def another_command(source: str, kind: str) -> str:
    """Say which command takes an input that could not be read, by its name.

    Args:
        source: A file, or ``sample:NAME``.
        kind: The modality that could not read it.

    Returns:
        A clause that starts with a semicolon; nothing where the name fits the modality, or none.
    """
    suffix, name = Path(source).suffix.lower(), source.removeprefix(samples.PREFIX)
    for other, (noun, suffixes, names) in _KINDS.items():
        if name in names if source.startswith(samples.PREFIX) else suffix in suffixes:
            if other == kind:
                return ""
            return f"; it seems to be a {noun}, which is for nint fit {other}"
    return ""
