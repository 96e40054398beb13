"""``nint list``: what there is, by name."""

import inspect
import re
from collections.abc import Callable
from typing import Annotated, Literal, NamedTuple

import typer

from nint_cli.cli import console
from nint_cli.modalities.image import MODALITY as PICTURES
from nint_cli.modalities.table import MODALITIES
from nint_cli.signals.source import SAMPLE_PREFIX

Kind = Literal["samplers", "fields", "presets", "samples"]


class Entry(NamedTuple):
    """Something with a name.

    Attributes:
        name: As flags take it.
        summary: One line.
        source: Citation; empty where there is none.
        figures: Size and cost of the default; empty where there is none.
    """

    name: str
    summary: str
    source: str = ""
    figures: str = ""


def list_names(
    kind: Annotated[Kind, typer.Argument(help="What to list.")],
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> int:
    """List samplers, fields, presets or samples: name, one line, citation, size and cost."""
    entries = _ENTRIES[kind]()
    if json:
        import json as codec

        console.result(codec.dumps([entry._asdict() for entry in entries], indent=2))
        return 0
    width = max(len(entry.name) for entry in entries)
    for name, summary, *more in entries:
        console.result(f"{name:<{width}}  {summary}".rstrip())
        for text in filter(None, more):
            console.result(f"{'':<{width}}  {text}")
    return 0


def _samplers() -> list[Entry]:
    from nint_cli.samplers.table import SAMPLERS, sampler_class

    return [_documented(name, sampler_class(name)) for name in SAMPLERS]


def _fields() -> list[Entry]:
    from nint_cli.fields.table import FIELDS, field_class

    entries = [_documented(name, field_class(name)) for name in FIELDS]
    return [entry._replace(figures=_size(entry.name)) for entry in entries]


def _size(field: str) -> str:
    """Say how large a field is by default, and how it is trained."""
    import torch

    from nint_cli.config.schema import RunConfig
    from nint_cli.fields.table import field_class
    from nint_cli.runs.build import build_field

    with torch.device("meta"):
        network = build_field(RunConfig.model_validate({"field": field}), _PICTURE, 3)
    rates = ", ".join(
        f"{recipe} {found.settings['optimiser.lr']:g}"
        for recipe, found in field_class(field).recipes.get(PICTURES.name, {}).items()
    )
    height, width = _PICTURE
    size = (
        f"{network.parameter_count():,} parameters and {network.multiply_adds():,} multiply-adds "
        f"per pixel for {width}x{height} in colour"
    )
    return f"{size}; learning rate: {rates}" if rates else size


_PICTURE = (512, 512)


def _presets() -> list[Entry]:
    from nint_cli.config.presets import preset_names, preset_summary

    return [
        Entry(name, f"{kind}: {preset_summary(name, kind)}")
        for kind in MODALITIES
        for name in preset_names(kind)
    ]


def _samples() -> list[Entry]:
    every = [each.samples() for each in MODALITIES.values()]
    return [
        Entry(SAMPLE_PREFIX + name, samples.summary(name))
        for samples in every
        for name in samples.names()
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
