"""What single steps were trained on, a safetensors file for each."""

import json
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from nint_cli.errors import InputError
from nint_cli.samplers.base import Selection


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
            slots = json.loads(file.metadata()["slots"])
        named = tuple((str(slot), int(count)) for slot, count in slots)
        return int(path.stem.removeprefix("step-")), Selection(indices, slots=named)
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"'{path}' is damaged: {error}") from error
