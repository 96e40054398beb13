"""Layers of settings, the later over the earlier: built-in, preset, files, --set, flags."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from nint_cli.config.removed import (
    FORMER,
    MOVED,
    REMOVED,
    RENAMED,
    by_its_name,
    removed_keys,
)
from nint_cli.config.schema import RunConfig, dotted_keys
from nint_cli.errors import ConfigError, did_you_mean
from nint_cli.fields.table import FIELDS, field_class


class Setting(NamedTuple):
    """A value as it was given, and where."""

    value: Any
    origin: str


@dataclass(frozen=True)
class Layer:
    """What one source sets.

    Attributes:
        settings: By dotted key.
        faults: What is wrong with the source itself, a line each; reported together with what is
            wrong with its values.
        notes: What is worth knowing of it, a line each.
    """

    settings: dict[str, Setting] = field(default_factory=dict)
    faults: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def of_today(self) -> "Layer":
        """Return it without removed keys that are as they were by default, noted.

        So the config.yaml of an earlier version serves, unless it asks for what is gone.
        """
        given = {key: setting.value for key, setting in self.settings.items()}
        named = by_its_name(given)
        settings, notes = {}, []
        for key, setting in self.settings.items():
            if named and key in {f"nint.{name}" for name in MOVED} | {"nint.scoring", "sampler"}:
                continue
            if key in removed_keys() and setting.value == FORMER[key]:
                notes.append(f"{setting.origin}: {key} was removed, and is passed over")
            else:
                settings[key] = setting
        if named:
            origin = self.settings["nint.scoring"].origin
            notes.append(f"{origin}: nint.scoring=pool is sampler nint_diagonal now")
            sampler = {key: given[key] for key in ("sampler",) if key in given}
            settings |= {key: Setting(each, origin) for key, each in (sampler | named).items()}
        return Layer(settings, self.faults, (*self.notes, *notes))


Origins = dict[str, str]
"""Where the value of each dotted key comes from."""

BUILT_IN = "built-in"
_RECIPE = re.compile(r"\w+ recipe of \w+")

# What belongs to a size of batches.
_BY_SIZE = ("batch.least_steps", "batch.full_steps")
# Other ways to say one thing: the later layer's wins, and the others fall back to their defaults.
_ALTERNATIVES = {
    "batch.size": ("batch.fraction", *_BY_SIZE),
    "batch.fraction": ("batch.size", *_BY_SIZE),
    "optimiser.lr": ("optimiser.lr_side",),
    "optimiser.beta1": ("optimiser.beta1_steps",),
}


class Undone(NamedTuple):
    """A value that another key's, given later, made void.

    Attributes:
        setting: What was given.
        by: The other key.
        origin: Where that was given.
    """

    setting: Setting
    by: str
    origin: str


@dataclass(frozen=True)
class Resolved:
    """A valid configuration and the origin of each of its values.

    Attributes:
        config: The configuration.
        origins: By dotted key.
        undone: What was given and made void by another key, by dotted key.
    """

    config: RunConfig
    origins: Origins
    undone: Mapping[str, Undone] = field(default_factory=dict)

    def values(self) -> dict[str, Any]:
        """Give every value by its dotted key, in the order of the schema."""
        return flatten(self.config.model_dump(mode="json"))


def resolve(layers: Iterable[Layer], modality: str = "image") -> Resolved:
    """Combine layers over the built-in defaults and validate the result.

    Between the two stands the recipe of the field that they choose; see `recipes`.

    Args:
        layers: From the weakest to the strongest.
        modality: What is fitted.

    Returns:
        The configuration, with origins.

    Raises:
        ConfigError: If any value is unknown or invalid; names every one of them.
    """
    layers = list(layers)
    merged: dict[str, Setting] = {}
    undone: dict[str, Undone] = {}
    broken: list[str] = []
    recipe = _recipe_layer(layers, modality)
    for layer in [recipe, *layers]:
        broken += layer.faults
        for key, setting in layer.settings.items():
            for other in _ALTERNATIVES.get(key, ()):
                if other in merged and other not in layer.settings and setting.value is not None:
                    undone[other] = Undone(merged.pop(other), key, setting.origin)
            merged[key] = setting
            undone.pop(key, None)
    nested, faults = _nest(merged)
    faults = broken + faults
    try:
        config = RunConfig.model_validate(nested)
    except ValidationError as error:
        faults += [_describe(detail, merged) for detail in error.errors()]
    if faults:
        raise ConfigError(*dict.fromkeys(faults))
    origins = {key: merged[key].origin if key in merged else BUILT_IN for key in dotted_keys()}
    if config.stop.time_budget_s is not None and config.stop.at_steps is None:
        given = merged.get("steps") is not recipe.settings.get("steps")
        stop = config.stop.model_copy(update={"at_steps": given})
        config = config.model_copy(update={"stop": stop})
    return Resolved(config, origins, undone)


def is_given(origin: str, presets: Iterable[str]) -> bool:
    """Return whether a value of an origin was given for this run, by flag, setting or file.

    Args:
        origin: Where the value comes from.
        presets: Names of the presets.
    """
    ours = any(origin.startswith(f"preset {name}:") for name in presets)
    return not (ours or origin in {BUILT_IN, "checkpoint"} or _RECIPE.fullmatch(origin))


def _recipe_layer(layers: Iterable[Layer], modality: str) -> Layer:
    """Give what the chosen field is trained with unless somebody says otherwise."""
    chosen = {"field": RunConfig.model_fields["field"].default}
    chosen["recipe"] = RunConfig.model_fields["recipe"].default
    for layer in layers:
        for key in chosen:
            if key in layer.settings:
                chosen[key] = layer.settings[key].value
    field, recipe = str(chosen["field"]), str(chosen["recipe"])
    recipes = field_class(field).recipes.get(modality, {}) if field in FIELDS else {}
    found = recipes.get(recipe)
    if found is None:  # a misspelt name, which validation reports, or a field without recipes
        return Layer()
    origin = f"{recipe} recipe of {field}"
    return Layer({key: Setting(value, origin) for key, value in found.settings.items()})


def flag_layer(flags: Mapping[str, tuple[str, Any]], settings: Layer) -> Layer:
    """Turn named flags into settings.

    Args:
        flags: The flag's name and value by dotted key; a value of None was not given.
        settings: The layer of ``--set``.

    Returns:
        The layer; a flag that contradicts ``--set`` is a fault.
    """
    given = {
        key: Setting(value, flag) for key, (flag, value) in flags.items() if value is not None
    }
    faults = tuple(
        f"{flag} {value} contradicts --set {key}={settings.settings[key].value}; give one of them"
        for key, (value, flag) in given.items()
        if key in settings.settings and settings.settings[key].value != value
    )
    return Layer(given, faults)


def _nest(merged: Mapping[str, Setting]) -> tuple[dict[str, Any], list[str]]:
    """Turn dotted keys into nested mappings; a value where a section belongs is a fault."""
    sections = {key.partition(".")[0] for key in dotted_keys() if "." in key}
    nested: dict[str, Any] = {}
    faults = []
    for key, setting in merged.items():
        value, origin = setting.value, setting.origin
        head, dot, tail = key.partition(".")
        if dot and head in sections and "." not in tail:
            nested.setdefault(head, {})[tail] = value
        elif not dot and head in sections:
            if value is not None:
                faults.append(
                    f"{_where(origin, key)}: must be a section of keys; got {_shown(value)}"
                )
        elif not dot and key in dotted_keys():
            nested[key] = value
        else:
            faults.append(_unknown(key, origin))
    return nested, faults


def _describe(detail: ErrorDetails, merged: Mapping[str, Setting]) -> str:
    """Say one validation error in one line, with its place."""
    if detail["type"] == "value_error":  # of several keys, which the message names
        return detail["msg"].removeprefix("Value error, ")
    key = ".".join(str(part) for part in detail["loc"])
    while key not in merged and "." in key:  # inside a list or union: name the key that holds it
        key = key.rpartition(".")[0]
    setting = merged.get(key, Setting(detail.get("input"), BUILT_IN))
    value, origin = setting.value, setting.origin
    if detail["type"] == "extra_forbidden":
        return _unknown(key, origin)
    reason = detail["msg"].replace("Input should be", "must be").partition(",")[0]
    if detail["type"] == "literal_error":
        expected = [choice.strip("'") for choice in _choices(detail)]
        reason = f"must be one of {', '.join(expected)}"
        return (
            f"{_where(origin, key)}: {reason}; got '{value}'{did_you_mean(str(value), expected)}"
        )
    if detail["type"] == "string_pattern_mismatch" and key == "device":
        reason = "must be auto, cpu, cuda or cuda:N"
    if detail["type"] == "string_pattern_mismatch" and key.endswith("sha256"):
        reason = "must be 64 hexadecimal digits"
    return f"{_where(origin, key)}: {reason}; got {_shown(value)}"


def _choices(detail: ErrorDetails) -> list[str]:
    expected = str(detail.get("ctx", {}).get("expected", ""))
    return [part.strip() for part in expected.replace(" or ", ", ").split(",") if part.strip()]


def _unknown(key: str, origin: str) -> str:
    if key in removed_keys():
        return f"{_where(origin, key)} was removed: {REMOVED[key]}; leave the key out"
    if key in RENAMED:
        return f"{_where(origin, key)} is now {RENAMED[key]}; give that key"
    known = dotted_keys()
    hint = did_you_mean(key, known)
    if not hint:  # the right name under the wrong section, or under none
        leaf = key.rpartition(".")[2]
        hint = did_you_mean(leaf, [name.rpartition(".")[2] for name in known])
        by_leaf = {name.rpartition(".")[2]: name for name in reversed(known)}
        for short, full in by_leaf.items():
            hint = hint.replace(f"'{short}'", f"'{full}'")
    return f"{_where(origin, key)}: unknown key{hint}"


def _where(origin: str, key: str) -> str:
    """Name the place and the key; a named flag names both."""
    if origin == "--set":
        return f"--set {key}"
    return origin if origin.startswith("--") else f"{origin}: {key}"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def flatten(nested: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Give the leaves of nested mappings by their dotted keys.

    Args:
        nested: Such as a configuration in plain data.
        prefix: Of all keys, ending in a dot.

    Returns:
        A flat mapping, in the same order.
    """
    flat: dict[str, Any] = {}
    for key, value in nested.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat
