"""A fitted field as the start of another fit, and the settings that go with it."""

from collections.abc import Callable, Iterable
from pathlib import Path

from nint_cli.config.layers import Layer, Setting
from nint_cli.fitted.description import decided_settings
from nint_cli.fitted.fitted import open_fitted
from nint_cli.runs.start import Start

ORIGIN = "--from"
"""Where the settings of such a field come from."""


def open_start(path: Path, kind: str, note: Callable[[str], None] = lambda _: None) -> Start:
    """Open a fitted field as the start of another fit; see `open_fitted`.

    Args:
        path: A run folder, one of its checkpoints, or an exported file.
        kind: The modality of the fit.
        note: Told of damaged checkpoints that are passed over.

    Returns:
        The start. A ConfigError is raised where it is of another modality.
    """
    found = open_fitted(path, note=note)
    start = Start(str(path), found.config, found.signal, found.field, found.step)
    start.refuse_other_kind(kind)
    return start


def field_layer(start: Start, given: Iterable[Layer]) -> Layer:
    """Return the field of a start and its settings, to be laid over all others.

    What its signal decided, where a setting was null, is given as a number, so that the same
    field is built for a signal of another size.

    Args:
        start: The start.
        given: The layers that a user gave; what in them contradicts is a fault.

    Returns:
        The layer.
    """
    field = start.config.field
    decided = decided_settings(start.config, start.signal)
    values = {"field": field} | {f"{field}.{key}": value for key, value in decided.items()}
    faults = [
        f"{_place(setting, key)} contradicts {ORIGIN} '{start.path}', whose {key} is "
        f"{values[key]}; leave one of them out"
        for layer in given
        for key, setting in layer.settings.items()
        if key in values and setting.value is not None and setting.value != values[key]
    ]
    return Layer({key: Setting(value, ORIGIN) for key, value in values.items()}, tuple(faults))


def _place(setting: Setting, key: str) -> str:
    if setting.origin == "--set":
        return f"--set {key}={setting.value}"
    if setting.origin.startswith("--"):
        return f"{setting.origin} {setting.value}"
    return f"{setting.origin}: {key}={setting.value}"
