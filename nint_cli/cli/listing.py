"""``nint list``: what there is, by name."""

import inspect
import re
from collections.abc import Callable
from typing import Annotated, Literal, NamedTuple

import typer

from nint_cli.cli import console

Kind = Literal["samplers", "fields", "presets", "samples"]


class Entry(NamedTuple):
    """Something with a name.

    Attributes:
        name: As flags take it.
        summary: One line.
        source: Citation; empty where there is none.
    """

    name: str
    summary: str
    source: str = ""


def list_names(
    kind: Annotated[Kind, typer.Argument(help="What to list.")],
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> int:
    """List samplers, fields, presets or built-in samples: name, one line, citation."""
    entries = _ENTRIES[kind]()
    if json:
        import json as codec

        console.result(codec.dumps([entry._asdict() for entry in entries], indent=2))
        return 0
    width = max(len(entry.name) for entry in entries)
    for name, summary, source in entries:
        console.result(f"{name:<{width}}  {summary}".rstrip())
        if source:
            console.result(f"{'':<{width}}  {source}")
    return 0


def _samplers() -> list[Entry]:
    from nint_cli.build import SAMPLERS

    return [_documented(name, kind) for name, kind in SAMPLERS.items()]


def _fields() -> list[Entry]:
    from nint_cli.build import FIELDS

    return [_documented(name, kind) for name, kind in FIELDS.items()]


def _presets() -> list[Entry]:
    from nint_cli.config.presets import preset_names, preset_summary

    return [Entry(name, preset_summary(name)) for name in preset_names()]


def _samples() -> list[Entry]:
    from nint_cli.signals.samples import PREFIX, picture_names, picture_path

    return [
        Entry(PREFIX + name, f"picture, {picture_path(name).name} of scikit-image")
        for name in picture_names()
    ]


def _documented(name: str, kind: type) -> Entry:
    """Take the first sentence and the source of a class from its docstring."""
    text = inspect.getdoc(kind) or ""
    summary = " ".join(text.partition("\n\n")[0].split())
    match = re.search(r"Source: (.*?)(?:\n\n|\Z)", text, re.DOTALL)
    return Entry(name, summary, " ".join(match[1].split()) if match else "")


_ENTRIES: dict[str, Callable[[], list[Entry]]] = {
    "samplers": _samplers,
    "fields": _fields,
    "presets": _presets,
    "samples": _samples,
}
