"""What must be equal in all that is compared: the signal, and how a result is measured."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

from nint_cli.config.layers import flatten
from nint_cli.errors import ConfigError
from nint_cli.metrics.schema import InputRecord
from nint_cli.modalities.table import setting_keys

# Settings that decide what is measured, and by what.
_MEASURES = ("metrics.", "evaluation.points", "holdout", *setting_keys(lambda each: each.measures))
# Settings that decide which part of an input is fitted, at which size.
_EXTENT = setting_keys(lambda each: each.extent)
# Settings that say how a run is watched and saved, and make no method another.
_BESIDES = (
    *("seed", "metrics.", "evaluation.", "checkpoint."),
    *setting_keys(lambda each: each.watched),
)

Signal = tuple[str, ...]
"""What a run was fitted to: equal for equal numbers, whatever file they came from."""


def signal(record: InputRecord) -> Signal:
    """Tell which signal a run was fitted to.

    Args:
        record: What its metrics.json says of its input. The hash is of the whole file's content,
            so the part and the size that were fitted belong to it.
    """
    return (record.sha256, *map(str, record.extent()))


def method(config: Mapping[str, Any]) -> dict[str, Any]:
    """Give the settings that make a method, by dotted key.

    Args:
        config: All settings of a run, nested.
    """
    apart = (*_BESIDES, *_EXTENT)
    return {key: value for key, value in flatten(config).items() if not key.startswith(apart)}


def measures(config: Mapping[str, Any]) -> dict[str, Any]:
    """Give the settings by which a run is measured, by dotted key.

    Args:
        config: All settings of a run, nested.
    """
    return {key: value for key, value in flatten(config).items() if key.startswith(_MEASURES)}


def difference(
    one: Mapping[str, Any], other: Mapping[str, Any], names: tuple[str, str]
) -> str | None:
    """Say in what two sets of settings differ.

    Args:
        one: By dotted key.
        other: The same keys.
        names: What the two are called.

    Returns:
        Their first difference; None where they are equal.
    """
    for key, value in one.items():
        if value != other.get(key):
            return f"{key} is {value!r} for '{names[0]}' and {other.get(key)!r} for '{names[1]}'"
    return None


def mixed_samples(runs: Iterable[tuple[str, Hashable, int | None]]) -> str | None:
    """Say which runs of one signal were measured at different numbers of points.

    Args:
        runs: What each is called, its signal, and of how many points its figures are; None for
            all.

    Returns:
        The first two; None where there are none.
    """
    first: dict[Hashable, tuple[str, int | None]] = {}
    for name, of, points in runs:
        other, theirs = first.setdefault(of, (name, points))
        if points != theirs:
            return (
                f"{other} was measured at {_in_words(theirs)} and {name} at {_in_words(points)}; "
                "fits with --final full are measured alike"
            )
    return None


def _in_words(points: int | None) -> str:
    return "all points" if points is None else f"{points:,} points"


def refuse_unequal(variants: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
    """Refuse variants that would be fitted to other signals, or measured otherwise.

    Args:
        variants: Name and flat settings of each.

    Raises:
        ConfigError: If two are not on equal terms; names the setting.
    """
    (first, settings), *others = variants
    equal = {k: v for k, v in settings.items() if k.startswith((*_MEASURES, *_EXTENT))}
    for name, theirs in others:
        found = difference(equal, theirs, (first, name))
        if found:
            raise ConfigError(f"not on equal terms: {found}; give it to all by --set")
