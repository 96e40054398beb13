"""One safetensors file holds everything that a run needs to go on; nothing is ever unpickled."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic import Field as Setting
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from nint_cli.config.removed import rules_by_name, without_removed
from nint_cli.config.schema import RunConfig
from nint_cli.errors import InputError
from nint_cli.fields.base import Field, load_parameters
from nint_cli.fields.kernels import loading as kernels
from nint_cli.metrics.schema import StartRecord
from nint_cli.modalities.table import signal_record
from nint_cli.runs.build import build_field
from nint_cli.runs.checkpoint_state import AVERAGE, Numbers, check
from nint_cli.signals.json_text import parsed
from nint_cli.signals.record import SignalRecord
from nint_cli.training.trainer import TrainerState
from nint_cli.version import __version__

FORMAT = 5
_READABLE = {1, 2, 3, 4, 5}  # 1 had no detector, 2 no average
_RENAMING = 4  # the format that gave them new names
# Up to format 4: the generator of a device, and a uniform draw's epoch in its terms.
_OF_GENERATOR = {"generator", "sampler.seed", "sampler.place"}
# Up to format 3: what a level of the loss held besides, and what the parts were called.
_OLD_LEVEL = {"smoothed", "lowest", "above", "stuck", "early", "late"}
_RENAMED = {"guard": "detector", "pace": "duration", "brevity": "adaptive_batch_size"}
_KEY = "nint"
# What an earlier version kept of a run that this one cannot go on with.
_REMOVED = {
    "batch_size": "batches of a size that batch.fill measured",
    "blocks": "block sizes that engine.blocks measured",
}


class Origin(BaseModel):
    """What the bits of a run depend on besides its configuration and the machine.

    Attributes:
        nint: Version of nint.
        torch: Version of PyTorch.
        numpy: Version of NumPy, which draws; up to format 4 nobody needed it.
        numba: Version of Numba, if it compiled the loops of fields.
        threads: Threads that PyTorch splits sums over.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    nint: str
    torch: str
    numpy: str = np.__version__
    numba: str | None = None
    threads: int

    @classmethod
    def here(cls) -> Self:
        """Describe this process."""
        return cls(
            nint=__version__,
            torch=str(torch.__version__),
            numba=kernels.version(),
            threads=torch.get_num_threads(),
        )


class Ended(BaseModel):
    """How a run's training ended, which is measured and drawn after this is saved.

    Attributes:
        reason: Why, as metrics.json has it.
        units: What measuring may take under ``evaluation.final: auto``; see `Subject.cost_within`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    reason: Literal["steps", "time_budget", "target", "diverged"]
    units: int = Setting(ge=0)


@dataclass(frozen=True)
class Checkpoint:
    """A run at one step.

    Attributes:
        config: Its resolved configuration.
        signal: What it is fitted to.
        state: Its trainer's state.
        best: Highest finite figure of any evaluation, and its step; or None.
        origin: What the run began under.
        run_id: Tells the run from others, as its manifest.json has it; None where an earlier
            version began it.
        ended: How its training ended; None while it goes on, or after a signal.
        start: Whose weights it began with; None: random ones.
    """

    config: RunConfig
    signal: SignalRecord
    state: TrainerState
    best: tuple[float, int] | None = None
    origin: Origin = field(default_factory=Origin.here)
    run_id: str | None = None
    ended: Ended | None = None
    start: StartRecord | None = None


def encode(checkpoint: Checkpoint) -> bytes:
    """Turn a checkpoint into a file's content.

    Args:
        checkpoint: The checkpoint.

    Returns:
        A safetensors file; all that is no tensor is JSON in its metadata, with a SHA-256 over
        both. Equal checkpoints give equal bytes.
    """
    about: dict[str, Any] = {
        "format": FORMAT,
        "config": checkpoint.config.model_dump(mode="json"),
        "signal": checkpoint.signal.model_dump(mode="json"),
        "numbers": checkpoint.state.numbers,
        "best": checkpoint.best,
        "origin": checkpoint.origin.model_dump(),
        "run_id": checkpoint.run_id,
    }
    if checkpoint.ended is not None:
        about["ended"] = checkpoint.ended.model_dump()
    if checkpoint.start is not None:
        about["start"] = checkpoint.start.model_dump()
    tensors = {
        name: tensor.detach().cpu().contiguous()
        for name, tensor in checkpoint.state.tensors.items()
    }
    about["sha256"] = digest(about, tensors)
    # One key: safetensors writes several in an order that changes from one call to the next.
    return bytes(save(tensors, metadata={_KEY: json.dumps(about, allow_nan=False)}))


def digest(about: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> str:
    """Hash all that a checkpoint holds.

    Args:
        about: Its JSON document; a digest in it does not count.
        tensors: Its tensors, contiguous and on the CPU; they are not copied.

    Returns:
        A SHA-256 in hexadecimal, over the document, and each tensor's name, type, shape and bytes
        in the order of names.
    """
    document = {key: value for key, value in about.items() if key != "sha256"}
    found = hashlib.sha256(json.dumps(document, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        found.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        found.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


def read(path: Path) -> Checkpoint:
    """Read a checkpoint and check all that can be checked without building anything.

    Args:
        path: The file.

    Returns:
        The checkpoint, with its tensors on the CPU.

    Raises:
        InputError: If it is damaged, foreign, of a newer format, or needs what was removed.
    """
    try:
        with safe_open(path, framework="pt") as file:
            about = _document(file.metadata())
            tensors = {name: file.get_tensor(name) for name in file.keys()}
        found = _checked(about, tensors)
    except (SafetensorError, OSError) as error:
        raise InputError(f"cannot read checkpoint '{path}': {error}") from error
    except (KeyError, TypeError, ValueError, ArithmeticError, RecursionError) as error:
        reason = first_fault(error)
        raise InputError(f"'{path}' is no sound checkpoint of nint: {reason}") from error
    for key, what in _REMOVED.items():
        if about.get(key) is not None:
            raise InputError(
                f"'{path}' needs {what}, which was removed; fit it anew, or use the nint it is of"
            )
    return found


def identity(path: Path) -> tuple[str | None, str]:
    """Tell whose a checkpoint is, without reading its tensors.

    Args:
        path: The file.

    Returns:
        The run's `run_id` and its input's hash, as `Checkpoint` has them.

    Raises:
        InputError: If it is damaged or foreign.
    """
    try:
        with safe_open(path, framework="pt") as file:
            about = _document(file.metadata())
        return _run_id(about), str(about["signal"]["sha256"])
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"'{path}' is no sound checkpoint of nint: {error}") from error


def _document(metadata: Mapping[str, str] | None) -> dict[str, Any]:
    found = parsed((metadata or {})[_KEY])
    if not isinstance(found, dict):
        raise ValueError("its description is no mapping")
    return found


def _run_id(about: Mapping[str, Any]) -> str | None:
    found = about.get("run_id")
    if not isinstance(found, str | None):
        raise ValueError("run_id is no text")
    return found


def rebuild_field(saved: Checkpoint) -> Field:
    """Build the field of a checkpoint.

    Args:
        saved: The checkpoint.

    Returns:
        The field on the CPU, with its saved parameters, averaged where the run averages them.
    """
    field = _field_of(saved.config, saved.signal)
    tensors = saved.state.tensors
    parameters = {}
    for name in field.state_dict():
        mean = tensors.get(f"{AVERAGE}{name}")
        parameters[name] = tensors[f"field.{name}"] if mean is None else mean
    load_parameters(field, parameters)
    return field


def _field_of(config: RunConfig, signal: SignalRecord) -> Field:
    return build_field(config, signal.grid, signal.channels, half_range=signal.half_range)


def _checked(about: dict[str, Any], tensors: dict[str, Tensor]) -> Checkpoint:
    if about["format"] not in _READABLE:
        raise ValueError(f"format {about['format']}, this nint reads {FORMAT}; update nint")
    if about["sha256"] != digest(about, tensors):
        raise ValueError("it is damaged, for its SHA-256 is not that of its content")
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise ValueError(f"{name} holds NaN or infinity")
    config = RunConfig.model_validate(without_removed(about["config"]))
    signal = signal_record().validate_python(about["signal"])
    saved = dict(about["numbers"])
    if about["format"] < _RENAMING:
        saved = _upgraded(saved)
    if about["format"] < FORMAT:
        tensors = {name: each for name, each in tensors.items() if name not in _OF_GENERATOR}
    if config.sampler == "nint_diagonal":
        saved["slots"] = {when: rules_by_name(each) for when, each in saved["slots"].items()}
    with torch.device("meta"):  # which has no memory
        field = _field_of(config, signal)
    check(
        tensors,
        Numbers.model_validate_json(json.dumps(saved)),
        field=field,
        sampler=config.sampler,
        population=signal.population,
    )
    return Checkpoint(
        config,
        signal,
        TrainerState(tensors, saved),
        _best(about["best"]),
        Origin.model_validate(about["origin"]),
        _run_id(about),
        None if about.get("ended") is None else Ended.model_validate(about["ended"]),
        None if about.get("start") is None else StartRecord.model_validate(about["start"]),
    )


def _best(found: object) -> tuple[float, int] | None:
    if found is None:
        return None
    match found:
        case [int() | float() as figure, int() as step] if step >= 0:
            return float(figure), step
    raise ValueError("best is no figure and step")


def _upgraded(numbers: dict[str, Any]) -> dict[str, Any]:
    """Return the numbers of an earlier format by today's names.

    What a level of its loss held besides, before format 4, is left out.
    """
    found = {_RENAMED.get(key, key): value for key, value in numbers.items()}
    detector = found.get("detector")
    if isinstance(detector, dict):
        detector = _with_new_level(detector)
        if "kept" in detector:
            point = detector.pop("kept")
            detector["restore_point"] = _with_new_level(point) if point else None
        found["detector"] = detector
    return found


def _with_new_level(holder: Any) -> Any:  # noqa: ANN401 (it is validated later)
    if not isinstance(holder, dict) or not isinstance(holder.get("level"), dict):
        return holder if not isinstance(holder, dict) else dict(holder)
    level = {k: v for k, v in holder["level"].items() if k not in _OLD_LEVEL}
    return {**holder, "level": level}


def first_fault(error: Exception) -> str:
    """Return one line about what is wrong with a file's description.

    Args:
        error: What reading it raised.

    Returns:
        The first fault alone, by the place that pydantic found it at.
    """
    if isinstance(error, ValidationError):
        fault = error.errors()[0]
        return f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}"
    if isinstance(error, KeyError):
        return f"no {error} in it"
    return " ".join(str(error).split())
