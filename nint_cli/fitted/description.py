"""The JSON that rebuilds a field, its coordinates and its values, without the run it is from."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict
from pydantic import Field as Setting

from nint_cli.config.schema import RunConfig
from nint_cli.fields.base import Field
from nint_cli.fields.table import field_class
from nint_cli.modalities.table import signal_record
from nint_cli.runs.build import build_field
from nint_cli.signals.record import SignalRecord
from nint_cli.signals.source import bare_name
from nint_cli.version import __version__


class Description(BaseModel):
    """What a file says of the field that it holds.

    Attributes:
        format: Version of this description.
        nint: Version of nint that wrote it.
        field: Name of the field, such as ``siren``.
        field_settings: Its section of the settings.
        reading: The section of the modality, as the run had it.
        signal: The record of the signal; its source is a bare name, for folders are private.
        step: The step the field is of; None if it was trained further since.
        seed: Of the run, which decides at which points a shape is measured.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    nint: str = Setting(max_length=64)
    field: str = Setting(max_length=64)
    field_settings: dict[str, Any]
    reading: dict[str, Any]
    signal: dict[str, Any]
    step: int | None = Setting(None, ge=0)
    seed: int = Setting(0, ge=0)


def describe(config: RunConfig, signal: SignalRecord, step: int | None) -> Description:
    """Describe a field.

    Args:
        config: The settings of its run.
        signal: What it was fitted to.
        step: The step it is of.

    Returns:
        The description. It names the input without its folder.
    """
    document = signal.model_dump(mode="json")
    document["source"] = bare_name(signal.source)
    reading = config.section(signal.kind).model_dump(mode="json")
    for key in reading.keys() & {"mask"}:  # which says where the field was fitted, not what it is
        reading[key] = document["mask_sha256"] = None
    return Description(
        nint=__version__,
        field=config.field,
        field_settings=decided_settings(config, signal),
        reading=reading,
        signal=document,
        step=step,
        seed=config.seed,
    )


def decided_settings(config: RunConfig, signal: SignalRecord) -> dict[str, Any]:
    """Return the field's settings with numbers where the signal decided.

    Whoever builds the field by them gets the same one, for another signal or by a later rule.

    Args:
        config: The settings of the run.
        signal: What it was fitted to.
    """
    chosen = field_class(config.field).from_shape(signal.grid, None)
    settings = config.field_settings.model_dump(mode="json")
    return {key: chosen.get(key) if value is None else value for key, value in settings.items()}


def settings_of(description: Description) -> tuple[RunConfig, SignalRecord]:
    """Return the settings and the record that a description stands for.

    Args:
        description: Of a file that may be damaged or foreign.

    Returns:
        A configuration whose other settings are the built-in ones, and the record. A value out of
        its range, or an unknown key, raises a ValueError.
    """
    signal = signal_record().validate_python(description.signal)
    config = RunConfig.model_validate({
        "field": description.field,
        description.field: description.field_settings,
        signal.kind: description.reading,
        "seed": description.seed,
    })
    return config, signal


def refuse_other_shapes(field: Field, found: Mapping[str, Sequence[int]]) -> None:
    """Compare the shapes of a file's tensors with those of its field, before memory is taken.

    Args:
        field: The field; see `field_without_memory`.
        found: Shapes by name.

    Raises:
        ValueError: If they differ; names the first one.
    """
    expected = {name: list(each.shape) for name, each in field.state_dict().items()}
    given = {name: list(shape) for name, shape in found.items()}
    for name in sorted(expected.keys() | given.keys()):
        if expected.get(name) != given.get(name):
            raise ValueError(f"{name}: expected {expected.get(name)}, found {given.get(name)}")


def field_without_memory(config: RunConfig, signal: SignalRecord) -> Field:
    """Build a field on PyTorch's meta device, to learn its shapes before anything is allocated.

    Args:
        config: Its settings.
        signal: What it was fitted to.

    Returns:
        The field, whose parameters hold no numbers.
    """
    with torch.device("meta"):
        return build_field(config, signal.grid, signal.channels, half_range=signal.half_range)
