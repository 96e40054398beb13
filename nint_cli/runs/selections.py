"""What single steps were trained on, a safetensors file for each."""

import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from nint_cli.errors import InputError
from nint_cli.samplers.base import Selection
from nint_cli.signals.json_text import parsed


def encode(selection: Selection) -> bytes:
    """Write a selection's indices and slots; what else a loss needs is left out.

    Args:
        selection: What a step was trained on.

    Returns:
        A file's content.
    """
    slots = json.dumps([list(slot) for slot in selection.slots])
    return save({"indices": selection.indices.cpu().contiguous()}, {"slots": slots})


def read(path: Path) -> tuple[int, Selection]:
    """Read what `encode` wrote.

    Args:
        path: One of `RunFolder.selections()`.

    Returns:
        The step, counted from 1, and its selection.

    Raises:
        InputError: If the file is damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            indices = file.get_tensor("indices")
            slots = parsed((file.metadata() or {})["slots"])
        found = Selection(indices, slots=tuple((str(slot), count) for slot, count in slots))
        _check(found)
        return int(path.stem.removeprefix("step-")), found
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"'{path}' is damaged: {error}") from error


def _check(selection: Selection) -> None:
    indices, counts = selection.indices, [count for _, count in selection.slots]
    if indices.dtype != torch.int64 or indices.ndim != 1 or bool((indices < 0).any()):
        raise ValueError(f"indices of {indices.dtype} and shape {tuple(indices.shape)}")
    whole = all(type(count) is int and count >= 0 for count in counts)
    if not whole or sum(counts) != len(indices):
        raise ValueError(f"slots do not make up {len(indices)} indices")
