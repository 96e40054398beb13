"""Whether the tensors and numbers of a checkpoint are those of its field and its sampler."""

from collections.abc import Mapping
from typing import Annotated, Self

import torch
from pydantic import BaseModel, ConfigDict, model_validator
from pydantic import Field as Setting
from torch import Tensor

from nint_cli.fields.base import Field
from nint_cli.samplers.table import sampler_class
from nint_cli.schedules.batch_size import AdaptiveBatchSizeState
from nint_cli.schedules.duration import DurationState
from nint_cli.training.average import AverageState
from nint_cli.training.divergence import DetectorState
from nint_cli.training.precision import PrecisionState

AVERAGE = "average."
"""What the names of averaged parameters begin with."""

_SAMPLER = "sampler."
_MOMENTS = ("step", "exp_avg", "exp_avg_sq")


class Numbers(BaseModel):
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


def check(
    tensors: dict[str, Tensor], numbers: Numbers, *, field: Field, sampler: str, population: int
) -> None:
    """See that a trainer's state is one that its run can go on with.

    A ValueError says what is missing, unknown, or of another shape or type.

    Args:
        tensors: Of the state.
        numbers: Of the state.
        field: The configured field, without memory.
        sampler: Name of the sampler.
        population: N.
    """
    _check_field(field, tensors, numbers)
    _check_sampler(tensors, numbers)
    _check_indices(sampler, population, tensors, numbers)


def _check_sampler(tensors: Mapping[str, Tensor], numbers: Numbers) -> None:
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
    sampler: str, population: int, tensors: dict[str, Tensor], numbers: Numbers
) -> None:
    """Check that what was selected or ranked are points of the signal."""
    entries = sampler_class(sampler).index_entries
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


def _check_field(field: Field, tensors: dict[str, Tensor], numbers: Numbers) -> None:
    """Compare the saved parameters and moments with the configured field."""
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
    found = {name for name in tensors if name.startswith(AVERAGE)}
    shapes = {f"{AVERAGE}{name}": p.shape for name, p in field.named_parameters()}
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
