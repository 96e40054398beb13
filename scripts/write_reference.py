"""Write docs/settings.md, the reference page of all settings, from the schema of a run."""

from pathlib import Path
from typing import Any

from nint_cli.config import RunConfig

PAGE = Path(__file__).parents[1] / "docs" / "settings.md"

_HEAD = """\
# Settings

Every setting by its dotted key, as `--set key=value` takes it; in a file, a dot opens a section.
`nint config show` prints the values in use, `nint config schema` the same as below as JSON Schema.
Written by scripts/write_reference.py; change the descriptions in nint_cli/config/schema.py.
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


def _table(rows: list[str]) -> str:
    return "| key | default | values | meaning |\n|---|---|---|---|\n" + "".join(rows)


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
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page_text(), encoding="utf-8")
    print(PAGE)
