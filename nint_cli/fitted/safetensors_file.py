"""A field alone in a safetensors file, with the description that rebuilds it."""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from nint_cli.config.schema import RunConfig
from nint_cli.errors import InputError
from nint_cli.fields.base import Field, load_parameters
from nint_cli.fitted.description import (
    Description,
    describe,
    field_without_memory,
    refuse_other_shapes,
    settings_of,
)
from nint_cli.runs.build import build_field
from nint_cli.runs.checkpoint import first_fault
from nint_cli.signals.json_text import parsed
from nint_cli.signals.record import SignalRecord

_KEY = "nint.field"


def is_one(path: Path) -> bool:
    """Return whether a file is a safetensors file with a described field, and no checkpoint.

    Args:
        path: The file.

    Returns:
        False for damaged files, too.
    """
    try:
        with safe_open(path, framework="pt") as file:
            return _KEY in (file.metadata() or {})
    except (SafetensorError, OSError):
        return False


def encode(config: RunConfig, signal: SignalRecord, field: Field, step: int | None) -> bytes:
    """Return the content of a safetensors file that holds a field.

    Args:
        config: The settings of its run.
        signal: What it was fitted to.
        field: The field.
        step: The step it is of.

    Returns:
        Its `state_dict` in float32, and the description in the metadata. Equal fields give equal
        bytes.
    """
    about = describe(config, signal, step).model_dump_json()
    tensors = {name: each.detach().cpu().contiguous() for name, each in field.state_dict().items()}
    return bytes(save(tensors, metadata={_KEY: about}))


def read(path: Path) -> tuple[RunConfig, SignalRecord, Field, int | None]:
    """Read a file that `encode` made.

    Args:
        path: The file.

    Returns:
        Settings, record, field and step.

    Raises:
        InputError: If it is damaged or foreign.
    """
    try:
        with safe_open(path, framework="pt") as file:
            description = Description.model_validate(parsed((file.metadata() or {})[_KEY]))
            config, signal = settings_of(description)
            shapes = {name: file.get_slice(name).get_shape() for name in file.keys()}
            refuse_other_shapes(field_without_memory(config, signal), shapes)
            tensors = {name: file.get_tensor(name) for name in file.keys()}
        _refuse_nan(tensors)
        field = build_field(config, signal.grid, signal.channels, half_range=signal.half_range)
        load_parameters(field, tensors)
    except (SafetensorError, OSError) as error:
        raise InputError(f"cannot read '{path}': {error}") from error
    except (KeyError, TypeError, ValueError, ArithmeticError, RecursionError) as error:
        raise InputError(f"'{path}' holds no sound field of nint: {first_fault(error)}") from error
    return config, signal, field, description.step


def _refuse_nan(tensors: Mapping[str, Tensor]) -> None:
    for name, tensor in tensors.items():
        if not bool(torch.isfinite(tensor).all()):
            raise ValueError(f"{name} holds NaN or infinity")
