"""``nint list``: what there is, by name."""

import inspect
import re
from collections.abc import Callable, Mapping
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
        figures: Size and cost of the default, or the passes that it asks for; empty where there
            are none.
    """

    name: str
    summary: str
    source: str = ""
    figures: str = ""


def list_names(
    kind: Annotated[
        Kind | None, typer.Argument(help="What to list; what there is to list if not given.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> int:
    """List samplers, fields, presets or samples: name, one line, citation, size and cost."""
    entries = _kinds() if kind is None else _ENTRIES[kind]()
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


def samplers() -> list[Entry]:
    """Describe the samplers; their figures are the passes that they ask for."""
    from nint_cli.samplers.table import SAMPLERS, sampler_class

    return [_documented(name, sampler_class(name)) for name in SAMPLERS]


def fields() -> list[Entry]:
    """Describe the fields; their figures are size, cost and learning rates."""
    from nint_cli.fields.table import FIELDS, field_class

    return [
        _documented(name, field_class(name))._replace(figures=str(field_size(name)))
        for name in FIELDS
    ]


class FieldSize(NamedTuple):
    """How large a field is by default for a picture in colour, and how it is trained on one.

    Attributes:
        parameters: How many it has.
        multiply_adds: How many a prediction takes per pixel.
        rates: Its learning rate by recipe; empty where it has no recipes.
    """

    parameters: int
    multiply_adds: int
    rates: Mapping[str, float]

    def __str__(self) -> str:
        """Return it in words."""
        height, width = _PICTURE
        size = (
            f"{self.parameters:,} parameters and {self.multiply_adds:,} multiply-adds per pixel "
            f"for {width}x{height} in colour"
        )
        rates = ", ".join(f"{recipe} {rate:g}" for recipe, rate in self.rates.items())
        return f"{size}; learning rate: {rates}" if rates else size


def field_size(field: str) -> FieldSize:
    """Return how large a field is by default, and how it is trained."""
    import torch

    from nint_cli.config.schema import RunConfig
    from nint_cli.fields.table import field_class
    from nint_cli.runs.build import build_field

    with torch.device("meta"):
        network = build_field(RunConfig.model_validate({"field": field}), _PICTURE, 3)
    recipes = field_class(field).recipes.get(PICTURES.name, {})
    rates = {recipe: found.settings["optimiser.lr"] for recipe, found in recipes.items()}
    return FieldSize(network.parameter_count(), network.multiply_adds(), rates)


_PICTURE = (512, 512)


def _kinds() -> list[Entry]:
    return [Entry(f"nint list {kind}", summary) for kind, summary in _SUMMARIES.items()]


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
    """Take the first paragraph, the source and the passes of a class from its docstring."""
    text = inspect.getdoc(kind) or ""

    def paragraph(label: str) -> str:
        match = re.search(rf"^{label}: (.*?)(?:\n\n|\Z)", text, re.DOTALL | re.MULTILINE)
        return " ".join(match[1].split()) if match else ""

    summary, passes = " ".join(text.partition("\n\n")[0].split()), paragraph("Passes")
    figures = f"passes over all points: {passes}" if passes else ""
    return Entry(name, summary, paragraph("Source"), figures)


_SUMMARIES: dict[Kind, str] = {
    "samplers": "how the points of a step are chosen",
    "fields": "networks",
    "presets": "shipped settings",
    "samples": "built-in inputs",
}
_ENTRIES: dict[str, Callable[[], list[Entry]]] = {
    "samplers": samplers,
    "fields": fields,
    "presets": _presets,
    "samples": _samples,
}
