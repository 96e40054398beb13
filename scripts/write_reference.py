"""Write the reference pages docs/settings.md and docs/metrics.md from the schemas they are of."""

from pathlib import Path
from typing import Any

from pydantic import BaseModel

from nint_cli.config.schema import RunConfig
from nint_cli.metrics.schema import (
    Environment,
    FieldRecord,
    MemoryRecord,
    PassCount,
    RunMetrics,
)
from nint_cli.modalities.modality import Modality
from nint_cli.modalities.table import MODALITIES

DOCS = Path(__file__).parents[1] / "docs"
PAGE, METRICS = DOCS / "settings.md", DOCS / "metrics.md"

_HEAD = """\
# Settings

Every setting by its dotted key, as `--set key=value` takes it; in a file, a dot opens a section.
`nint config show` prints the values in use, `nint config schema` the same as below as JSON Schema.
What is "built in" holds where neither a preset nor the field's recipe nor you say otherwise; a fit
has `--preset default`, which says much.
Written by scripts/write_reference.py from the descriptions beside the classes that read them.
"""


def page_text() -> str:
    """Give the page's content."""
    schema = RunConfig.model_json_schema(by_alias=True)
    defaults = RunConfig().model_dump(mode="json")
    plain, sections = [], []
    for name, entry in schema["properties"].items():
        section = schema["$defs"].get(entry.get("$ref", "").rpartition("/")[2])
        if section is None:
            plain.append(_row(name, entry, defaults[name]))
        else:
            rows = [
                _row(f"{name}.{key}", each, defaults[name][key])
                for key, each in section["properties"].items()
            ]
            sections.append(f"\n## {name}\n\n{section['description']}\n\n" + _table(rows))
    return "".join([_HEAD, "\n", _table(plain), *sections])


def _input_of(modality: Modality) -> type[BaseModel]:
    """Return the model of what metrics.json says of an input."""
    found = modality.metrics().model_fields["input"].annotation
    assert isinstance(found, type)
    assert issubclass(found, BaseModel)
    return found


_METRICS_HEAD = """\
# metrics.json

Version 1.0; readers ignore keys that they do not know, and a key that is removed or changes its
type raises the major version. A figure that was not computed is null, with a reason beside it,
never 0. The JSON Schema is `nint_cli/metrics/metrics.schema.json`. Written by
scripts/write_reference.py from nint_cli/metrics/schema.py and nint_cli/modalities/*/schema.py.
"""

_EVERY = MODALITIES.values()
_MODELS: dict[str, type[BaseModel]] = {
    "Of every run": RunMetrics,
    **{f"Of a {each.noun}": each.metrics() for each in _EVERY},
    **{f"input, of a {each.noun}": _input_of(each) for each in _EVERY},
    "field": FieldRecord,
    "passes": PassCount,
    "memory": MemoryRecord,
    "environment": Environment,
}


def metrics_text() -> str:
    """Give the content of the page on metrics.json."""
    parts = [_METRICS_HEAD]
    common = set(RunMetrics.model_fields)
    for title, model in _MODELS.items():
        names = [n for n in model.model_fields if model is RunMetrics or n not in common]
        rows = [f"| `{name}` | {_meaning(model, name)} |\n" for name in names]
        parts.append(f"\n## {title}\n\n| key | meaning |\n|---|---|\n" + "".join(rows))
    return "".join(parts)


def _meaning(model: type[BaseModel], name: str) -> str:
    """Give a key's description, or its name in words where that says all."""
    return model.model_fields[name].description or name.replace("_", " ")


def _table(rows: list[str]) -> str:
    return "| key | built in | values | meaning |\n|---|---|---|---|\n" + "".join(rows)


def _row(key: str, entry: dict[str, Any], default: object) -> str:
    shown = default
    if default is None or isinstance(default, bool):
        shown = {None: "null", True: "true", False: "false"}[default]  # as YAML writes them
    return f"| `{key}` | `{shown}` | {_values(entry)} | {entry.get('description', '')} |\n"


def _values(entry: dict[str, Any]) -> str:
    """Say in words what a setting may be."""
    if "anyOf" in entry:
        return " or ".join(_values(choice) for choice in entry["anyOf"])
    if "enum" in entry or "const" in entry:
        return ", ".join(f"`{name}`" for name in entry.get("enum", [entry.get("const")]))
    bounds = {
        "minimum": "≥",
        "exclusiveMinimum": ">",
        "maximum": "≤",
        "exclusiveMaximum": "<",
    }
    limits = [f"{sign} {entry[name]:,}" for name, sign in bounds.items() if name in entry]
    kind = {"string": "text", "boolean": "true or false"}.get(entry["type"], entry["type"])
    return ", ".join([kind, *limits])


if __name__ == "__main__":
    for page, text in ((PAGE, page_text()), (METRICS, metrics_text())):
        page.write_text(text, encoding="utf-8")
        print(page)
