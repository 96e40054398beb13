"""Write what is derived from the code: pages of settings and metrics, JSON Schemas, tables.

`make reference` runs it. A test compares the files with what it would write.
"""

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import tables
from pydantic import BaseModel

from nint_cli.cli import listing
from nint_cli.config.schema import RunConfig
from nint_cli.metrics.schema import (
    Environment,
    FieldRecord,
    MemoryRecord,
    PassCount,
    RunMetrics,
)
from nint_cli.modalities.modality import Modality
from nint_cli.modalities.table import MODALITIES, metrics_document

ROOT = Path(__file__).parents[1]

_SETTINGS_HEAD = """\
# Settings

Every setting by its dotted key, as `--set key=value` takes it; in a file, a dot opens a section.
`nint config show` prints the values in use. An editor checks and completes a file of settings by
their JSON Schema, `nint_cli/config/settings.schema.json`, which `nint config schema` prints.
What is "built in" holds where neither a preset nor the field's recipe nor you say otherwise; a fit
has `--preset default`, which says much. What is given without effect is named when a fit starts.
`make reference` writes this page from the descriptions beside the classes that read the settings.
"""

_METRICS_HEAD = """\
# metrics.json

Version 1.0; readers ignore keys that they do not know, and a key that is removed or changes its
type raises the major version. A figure that was not computed is null, with a reason beside it,
never 0. The JSON Schema is `nint_cli/metrics/metrics.schema.json`. `make reference` writes this
page from nint_cli/metrics/schema.py and nint_cli/modalities/*/schema.py.
"""


def derived() -> Iterator[tuple[Path, str]]:
    """Yield each file that is derived, with the text that it should have."""
    settings = RunConfig.model_json_schema(by_alias=True)
    yield ROOT / "docs" / "settings.md", settings_page(settings)
    yield ROOT / "docs" / "metrics.md", metrics_page()
    package = ROOT / "nint_cli"
    yield package / "config" / "settings.schema.json", json_schema(settings)
    metrics = metrics_document().json_schema()
    yield package / "metrics" / "metrics.schema.json", json_schema(metrics)
    readme = ROOT / "README.md"
    yield readme, with_tables(readme.read_text(encoding="utf-8"))


def json_schema(content: dict[str, Any]) -> str:
    """Write a JSON Schema."""
    document = {"$schema": "https://json-schema.org/draft/2020-12/schema", **content}
    return json.dumps(document, indent=2) + "\n"


def with_tables(readme: str) -> str:
    """Return the README with the tables between its markers written anew."""
    end = "<!-- end -->"
    for name, table in (("samplers", samplers_table()), ("fields", fields_table())):
        before, start, rest = readme.partition(f"<!-- {name} -->\n")
        if not start or end not in rest:
            raise SystemExit(f"README.md: no {name} between '<!-- {name} -->' and '{end}'")
        readme = before + start + table + rest[rest.index(end) :]
    return readme


def samplers_table() -> str:
    """Write the samplers with what they train on and the passes that they ask for."""
    rows = (
        [f"`{name}`", _cell(summary) + _link(source), _cell(figures.partition(": ")[2])]
        for name, summary, source, figures in listing.samplers()
    )
    return _text_table(["`--sampler`", "trains on", "extra passes over all points"], rows)


def fields_table() -> str:
    """Write the fields with their size and their learning rates on pictures."""
    rows = []
    for name, summary, source, _ in listing.fields():
        size = listing.field_size(name)
        rates = [f"{size.rates[recipe]:g}" for recipe in ("published", "tuned")]
        rows.append([f"`{name}`", _cell(summary) + _link(source), f"{size.parameters:,}", *rates])
    return _text_table(["`--field`", "", "parameters", "lr, published", "lr, tuned"], rows)


def _cell(sentence: str) -> str:
    """Write a sentence of a docstring as a cell of a table."""
    return sentence.removesuffix(".").replace("``", "`").replace("|", "\\|")


def _link(source: str) -> str:
    """Return the first article of a citation as a link, else its first author and year."""
    if found := re.search(r"arXiv (\d+\.\d+)", source):
        return f" ([{found[0]}](https://arxiv.org/abs/{found[1]}))"
    year = re.search(r"\b(?:19|20)\d\d\b", source)
    return f" ({source.partition(',')[0]} et al., {year[0]})" if year else ""


def settings_page(schema: dict[str, Any]) -> str:
    """Write the page of all settings."""
    defaults = RunConfig().model_dump(mode="json")
    plain, sections = [], []
    for name, entry in schema["properties"].items():
        section = schema["$defs"].get(entry.get("$ref", "").rpartition("/")[2])
        if section is None:
            plain.append(_setting(name, entry, defaults[name]))
        else:
            rows = [
                _setting(f"{name}.{key}", each, defaults[name][key])
                for key, each in section["properties"].items()
            ]
            sections.append(f"\n## {name}\n\n{section['description']}\n\n{_settings(rows)}")
    return "".join([_SETTINGS_HEAD, "\n", _settings(plain), *sections])


def _settings(rows: Iterable[list[str]]) -> str:
    return _text_table(["key", "built in", "values", "meaning"], rows)


def _text_table(header: list[str], rows: Iterable[list[str]]) -> str:
    return tables.markdown(header, rows, others="---")


def _setting(key: str, entry: dict[str, Any], default: object) -> list[str]:
    shown = default
    if default is None or isinstance(default, bool):
        shown = {None: "null", True: "true", False: "false"}[default]  # as YAML writes them
    return [f"`{key}`", f"`{shown}`", _values(entry), entry.get("description", "")]


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


def _input_of(modality: Modality) -> type[BaseModel]:
    """Return the model of what metrics.json says of an input."""
    found = modality.metrics().model_fields["input"].annotation
    assert isinstance(found, type)
    assert issubclass(found, BaseModel)
    return found


def metrics_page() -> str:
    """Write the page of metrics.json."""
    every = MODALITIES.values()
    models: dict[str, type[BaseModel]] = {
        "Of every run": RunMetrics,
        **{f"Of a {each.noun}": each.metrics() for each in every},
        **{f"input, of a {each.noun}": _input_of(each) for each in every},
        "field": FieldRecord,
        "passes": PassCount,
        "memory": MemoryRecord,
        "environment": Environment,
    }
    parts = [_METRICS_HEAD]
    common = set(RunMetrics.model_fields)
    for title, model in models.items():
        rows = (
            [f"`{name}`", field.description or name.replace("_", " ")]
            for name, field in model.model_fields.items()
            if model is RunMetrics or name not in common
        )
        parts.append(f"\n## {title}\n\n{_text_table(['key', 'meaning'], rows)}")
    return "".join(parts)


if __name__ == "__main__":
    for path, text in derived():
        path.write_text(text, encoding="utf-8")
        print(path.relative_to(ROOT))
