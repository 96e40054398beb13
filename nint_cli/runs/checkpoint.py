"""One safetensors file holds everything that a run needs to go on; nothing is ever unpickled."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic import Field as Setting
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from nint_cli.config.removed import rules_by_name, without_removed
from nint_cli.config.schema import RunConfig
from nint_cli.errors import InputError
from nint_cli.fields.base import Field, load_parameters
from nint_cli.modalities.table import signal_record
from nint_cli.runs.build import build_field
from nint_cli.samplers.table import sampler_class
from nint_cli.schedules.batch_size import AdaptiveBatchSizeState
from nint_cli.schedules.duration import DurationState
from nint_cli.signals.json_text import parsed
from nint_cli.signals.record import SignalRecord
from nint_cli.training.average import AverageState
from nint_cli.training.divergence import DetectorState
from nint_cli.training.precision import PrecisionState
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
_AVERAGE = "average."
_SAMPLER = "sampler."
_MOMENTS = ("step", "exp_avg", "exp_avg_sq")
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
        threads: Threads that PyTorch splits sums over.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    nint: str
    torch: str
    numpy: str = np.__version__
    threads: int

    @classmethod
    def here(cls) -> Self:
        """Describe this process."""
        return cls(nint=__version__, torch=str(torch.__version__), threads=torch.get_num_threads())


class Ended(BaseModel):
    """How a run's training ended, which is measured and drawn after this is saved.

    Attributes:
        reason: Why, as metrics.json has it.
        units: What measuring may take under ``evaluation.final: auto``; see `Subject.cost_within`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    reason: Literal["steps", "time_budget", "target", "diverged"]
    units: int = Setting(ge=0)


class _Numbers(BaseModel):
    """What a trainer's state holds besides tensors."""

    model_config = ConfigDict(frozen=True, strict=True, allow_inf_nan=False)

    step: int = Setting(ge=0)
    passes: dict[str, float] | None = None  # of both kinds, as earlier versions had them
    update_passes: dict[str, float] | None = None
    choosing_passes: dict[str, float] | None = None
    trained: dict[str, int] | None = None
    sampler: dict[str, list[int]] | None = None  # shapes; earlier versions did not say
    slots: dict[str, list[tuple[str, Annotated[int, Setting(ge=0)]]]]
    detector: DetectorState | None = None
    average: AverageState | None = None
    duration: DurationState | None = None
    precision: PrecisionState | None = None
    adaptive_batch_size: AdaptiveBatchSizeState | None = None

    @model_validator(mode="after")
    def _counts_passes(self) -> Self:
        if self.passes is None and None in (self.update_passes, self.choosing_passes):
            raise ValueError("the passes of the run are missing")
        return self

    @property
    def restore_step(self) -> int | None:
        """The step whose state the detector keeps."""
        return (
            None
            if self.detector is None or self.detector.restore_point is None
            else self.detector.restore_point.step
        )

    @property
    def restarted(self) -> bool:
        """Whether the optimiser may be as at its start, because a detector went back there."""
        return self.detector is not None and self.detector.halvings > 0 and self.restore_step == 0


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
    """

    config: RunConfig
    signal: SignalRecord
    state: TrainerState
    best: tuple[float, int] | None = None
    origin: Origin = field(default_factory=Origin.here)
    run_id: str | None = None
    ended: Ended | None = None


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
        reason = _first_fault(error)
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
        mean = tensors.get(f"{_AVERAGE}{name}")
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
    numbers = _Numbers.model_validate_json(json.dumps(saved))
    _check_field(config, signal, tensors, numbers)
    _check_sampler(tensors, numbers)
    _check_indices(config, signal, tensors, numbers)
    return Checkpoint(
        config,
        signal,
        TrainerState(tensors, saved),
        _best(about["best"]),
        Origin.model_validate(about["origin"]),
        _run_id(about),
        None if about.get("ended") is None else Ended.model_validate(about["ended"]),
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


def _check_sampler(tensors: Mapping[str, Tensor], numbers: _Numbers) -> None:
    """See that all is there that the sampler remembers, and nothing else."""
    if numbers.sampler is None:
        return
    found = {
        name: list(tensor.shape) for name, tensor in tensors.items() if name.startswith(_SAMPLER)
    }
    for name in sorted(found.keys() ^ numbers.sampler.keys()):
        fault = "nothing that its sampler remembers" if name in found else "missing"
        raise ValueError(f"{name} is {fault}")
    for name, shape in sorted(found.items()):
        if shape != numbers.sampler[name]:
            raise ValueError(f"{name} of shape {shape} was of {numbers.sampler[name]}")


def _check_indices(
    config: RunConfig, signal: SignalRecord, tensors: dict[str, Tensor], numbers: _Numbers
) -> None:
    """Check that what was selected or ranked are points of the signal."""
    population = signal.population
    entries = sampler_class(config.sampler).index_entries
    for key, tensor in tensors.items():
        head, _, name = key.removeprefix("kept.").partition(".")
        if head == "selection":
            count = sum(size for _, size in numbers.slots.get(name, []))
            if tensor.dtype != torch.int64 or tensor.shape != (count,):
                raise ValueError(f"{key} does not fit its slots")
        elif head != "sampler" or name not in entries:
            continue
        elif tensor.dtype != torch.int64:
            raise ValueError(f"{key} is {tensor.dtype}, which is no index")
        if tensor.numel() and (int(tensor.min()) < 0 or int(tensor.max()) >= population):
            raise ValueError(f"{key} names points that the signal does not have")


def _check_field(
    config: RunConfig, signal: SignalRecord, tensors: dict[str, Tensor], numbers: _Numbers
) -> None:
    """Compare the saved parameters and moments with the configured field, without building it."""
    with torch.device("meta"):
        field = _field_of(config, signal)
    groups: dict[str, dict[str, Tensor]] = {"": {}, "kept.": {}}
    for name, tensor in tensors.items():
        prefix = "kept." if name.startswith("kept.") else ""
        groups[prefix][name.removeprefix(prefix)] = tensor
    _check_parameters(field, groups[""], "", begun=numbers.step > 0, fresh=numbers.restarted)
    _check_average(field, groups[""])
    if numbers.restore_step is not None:
        _check_parameters(field, groups["kept."], "kept.", begun=numbers.restore_step > 0)
    elif groups["kept."]:
        raise ValueError(f"kept.{min(groups['kept.'])} belongs to no restore point")


def _check_average(field: Field, tensors: Mapping[str, Tensor]) -> None:
    """Compare averaged parameters, where there are any, with a field."""
    found = {name for name in tensors if name.startswith(_AVERAGE)}
    shapes = {f"{_AVERAGE}{name}": p.shape for name, p in field.named_parameters()}
    for name in sorted(found ^ shapes.keys()) if found else ():
        fault = "no parameter of its field" if name in found else "missing"
        raise ValueError(f"{name} is {fault}")
    for name in sorted(found):
        tensor = tensors[name]
        if tensor.shape != shapes[name] or tensor.dtype != torch.float32:
            raise ValueError(f"{name}: {tensor.dtype} of shape {tuple(tensor.shape)} does not fit")


def _check_parameters(
    field: Field, tensors: Mapping[str, Tensor], prefix: str, *, begun: bool, fresh: bool = False
) -> None:
    """Compare parameters and moments with a field.

    Args:
        field: It, without memory.
        tensors: By name.
        prefix: Before these names, for messages.
        begun: Whether there must be moments.
        fresh: Whether there may be none all the same.

    Raises:
        ValueError: If one is missing, unknown, or of another shape or type.
    """
    shapes = {name: tensor.shape for name, tensor in field.state_dict().items()}
    given = {name for name in tensors if name.startswith("field.")}
    for name in sorted(given ^ {f"field.{name}" for name in shapes}):
        fault = "no parameter of its field" if name in given else "missing"
        raise ValueError(f"{prefix}{name} is {fault}")
    found = {name for name in tensors if name.startswith("optimiser.")}
    trained = [name for name, _ in field.named_parameters()]
    moments = {f"optimiser.{kind}.{name}" for kind in _MOMENTS for name in trained}
    if begun and (found or not fresh):
        for name in sorted(moments - found):
            raise ValueError(f"{prefix}{name} is missing")
    for key in sorted(given | found):
        tensor, (head, _, name) = tensors[key], key.partition(".")
        if head == "optimiser":
            kind, _, name = name.partition(".")
            if kind == "step" and name in shapes and tensor.ndim == 0:
                continue
        if tensor.shape != shapes.get(name) or tensor.dtype != torch.float32:
            raise ValueError(
                f"{prefix}{key}: {tensor.dtype} of shape {tuple(tensor.shape)} does not fit"
            )


def _first_fault(error: Exception) -> str:
    if isinstance(error, ValidationError):
        fault = error.errors()[0]
        return f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}"
    if isinstance(error, KeyError):
        return f"no {error} in it"
    return " ".join(str(error).split())
