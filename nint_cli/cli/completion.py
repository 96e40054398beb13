"""Names for the shell to complete; none of this loads PyTorch, so that TAB answers at once."""

from collections.abc import Callable, Iterator
from typing import Any

from nint_cli.modalities.table import MODALITIES
from nint_cli.signals.source import SAMPLE_PREFIX


def presets(incomplete: str) -> list[str]:
    """Complete a preset."""
    from nint_cli.config.presets import preset_names

    return [name for name in preset_names() if name.startswith(incomplete)]


def samplers(incomplete: str) -> list[str]:
    """Complete a sampler."""
    from nint_cli.samplers.table import SAMPLERS

    return [name for name in SAMPLERS if name.startswith(incomplete)]


def fields(incomplete: str) -> list[str]:
    """Complete a field."""
    from nint_cli.fields.table import FIELDS

    return [name for name in FIELDS if name.startswith(incomplete)]


def keys(incomplete: str) -> list[str]:
    """Complete the key of a setting, from the schema that ships with nint."""
    import json
    from importlib.resources import files

    text = files("nint_cli.config").joinpath("settings.schema.json").read_text(encoding="utf-8")
    schema = json.loads(text)
    found = _leaves(schema, schema["$defs"])
    return [f"{key}=" for key in found if key.startswith(incomplete)]


def _leaves(section: dict[str, Any], sections: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield the dotted keys of a section of a JSON Schema and of the sections in it."""
    for name, entry in section["properties"].items():
        inner = sections.get(entry.get("$ref", "").rpartition("/")[2])
        if inner is None:
            yield prefix + name
        else:
            yield from _leaves(inner, sections, f"{prefix}{name}.")


def samples(kind: str) -> Callable[[str], list[str]]:
    """Return what completes the built-in inputs of a modality.

    Args:
        kind: Its name.

    Returns:
        A function that leaves it to the shell to complete a file.
    """

    def complete(incomplete: str) -> list[str]:
        if not incomplete.startswith(SAMPLE_PREFIX):
            return []
        names = [SAMPLE_PREFIX + name for name in MODALITIES[kind].samples().names()]
        return [name for name in names if name.startswith(incomplete)]

    return complete
