"""One safetensors file holds everything that a run needs to go on; nothing is ever unpickled."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from nint_cli.config import RunConfig
from nint_cli.errors import InputError
from nint_cli.trainer import TrainerState

FORMAT = 1
_KEY = "nint"


class SignalRecord(BaseModel):
    """What is kept of the signal: enough to rebuild the field's output, and to find the input.

    Attributes:
        kind: The modality.
        source: The input as an absolute path, or ``sample:NAME``.
        sha256: Hash of its decoded content.
        shape: Size of the grid.
        channels: C.
        dtype: Type of the stored values, which fixes their scale.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str = Field(pattern="^image$")
    source: str
    sha256: str
    shape: tuple[int, int]
    channels: int = Field(ge=1, le=64)
    dtype: str = Field(pattern="^uint(8|16)$")


@dataclass(frozen=True)
class Checkpoint:
    """A run at one step.

    Attributes:
        config: Its resolved configuration.
        signal: What it is fitted to.
        state: Its trainer's state.
    """

    config: RunConfig
    signal: SignalRecord
    state: TrainerState


def encode(checkpoint: Checkpoint) -> bytes:
    """Turn a checkpoint into a file's content.

    Args:
        checkpoint: The checkpoint.

    Returns:
        A safetensors file; all that is no tensor is JSON in its metadata.
    """
    about = {
        "format": FORMAT,
        "config": checkpoint.config.model_dump(mode="json"),
        "signal": checkpoint.signal.model_dump(mode="json"),
        "numbers": checkpoint.state.numbers,
    }
    tensors = {
        name: tensor.detach().cpu().contiguous()
        for name, tensor in checkpoint.state.tensors.items()
    }
    return bytes(save(tensors, metadata={_KEY: json.dumps(about, allow_nan=False)}))


def read(path: Path) -> Checkpoint:
    """Read a checkpoint and check all that can be checked without building anything.

    Args:
        path: The file.

    Returns:
        The checkpoint, with its tensors on the CPU.

    Raises:
        InputError: If it is damaged, foreign, or of a newer format.
    """
    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads((file.metadata() or {})[_KEY])
            tensors = {name: file.get_tensor(name) for name in file.keys()}
        return _checked(about, tensors)
    except (SafetensorError, OSError) as error:
        raise InputError(f"cannot read checkpoint '{path}': {error}") from error
    except (KeyError, TypeError, ValueError) as error:
        reason = _first_fault(error)
        raise InputError(f"'{path}' is no sound checkpoint of nint: {reason}") from error


def _checked(about: dict[str, Any], tensors: dict[str, Tensor]) -> Checkpoint:
    if about["format"] != FORMAT:
        raise ValueError(f"format {about['format']}, this nint reads {FORMAT}; update nint")
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise ValueError(f"{name} holds NaN or infinity")
    config = RunConfig.model_validate(about["config"])
    signal = SignalRecord.model_validate(about["signal"])
    return Checkpoint(config, signal, TrainerState(tensors, dict(about["numbers"])))


def _first_fault(error: Exception) -> str:
    if isinstance(error, ValidationError):
        fault = error.errors()[0]
        return f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}"
    if isinstance(error, KeyError):
        return f"no {error} in it"
    return " ".join(str(error).split())
