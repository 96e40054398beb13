"""Where a run starts from, if not from random numbers: the weights of another."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from nint_cli.config.schema import RunConfig
from nint_cli.errors import ConfigError
from nint_cli.fields.base import Field, load_parameters
from nint_cli.metrics.schema import StartRecord
from nint_cli.runs.checkpoint import digest
from nint_cli.signals.record import SignalRecord
from nint_cli.signals.source import bare_name


@dataclass(frozen=True)
class Start:
    """A field that others start from.

    Attributes:
        path: Where it is from, as it was named.
        config: The settings of its run.
        signal: What it was fitted to.
        field: The field, on the CPU.
        step: The step it is of; None where nobody knows.
    """

    path: str
    config: RunConfig
    signal: SignalRecord
    field: Field
    step: int | None

    @cached_property
    def record(self) -> StartRecord:
        """What metrics.json and checkpoints say of it."""
        tensors = {name: each.contiguous() for name, each in self.field.state_dict().items()}
        return StartRecord(
            path=self.path,
            step=self.step,
            sha256=digest({}, tensors),
            fitted_to=bare_name(self.signal.source),
        )

    def describe(self) -> str:
        """Describe in a line what it is."""
        step = "" if self.step is None else f", step {self.step:,}"
        record = self.record
        return (
            f"starting from the weights of '{self.path}'{step}, fitted to '{record.fitted_to}' "
            f"(SHA-256 {record.sha256[:12]}), with the settings of its field {self.config.field}"
        )

    def refuse_other_kind(self, kind: str) -> None:
        """See that it is of the modality of the run that is to start from it.

        Args:
            kind: That modality.

        Raises:
            ConfigError: If it is not.
        """
        if self.signal.kind != kind:
            raise ConfigError(
                f"cannot start from '{self.path}': it was fitted by nint fit {self.signal.kind}, "
                f"and this is nint fit {kind}"
            )

    def load_into(self, field: Field, config: RunConfig, half_range: float) -> None:
        """Load the weights into a new field of the same shape.

        Args:
            field: As it was built for a run.
            config: The settings of that run.
            half_range: Its coords lie in [-half_range, half_range].

        Raises:
            ConfigError: If they differ in shape; names in what.
        """
        fault = self._difference(field, config, half_range)
        if fault is not None:
            raise ConfigError(f"cannot start from '{self.path}': {fault}")
        load_parameters(field, self.field.state_dict())

    def _difference(self, field: Field, config: RunConfig, half_range: float) -> str | None:
        theirs = self.field
        if self.config.field != config.field:
            return f"its field is {self.config.field}, and this one {config.field}"
        ours = config.field_settings.model_dump()
        for key, value in self.config.field_settings.model_dump().items():
            if value != ours[key] and None not in (value, ours[key]):
                return f"its {config.field}.{key} is {value}, and this one's {ours[key]}"
        if theirs.value_dim != field.value_dim:
            return f"it gives {theirs.value_dim} channels, and the input has {field.value_dim}"
        if self.signal.half_range != half_range:
            return (
                f"its coords run to {self.signal.half_range:g}, and these to {half_range:g}; set "
                f"{self.signal.kind}.half_range={self.signal.half_range:g}"
            )
        shapes = {name: tuple(each.shape) for name, each in field.state_dict().items()}
        for name, each in theirs.state_dict().items():
            if shapes.pop(name, None) != tuple(each.shape):
                return (
                    f"its {name} has shape {tuple(each.shape)}, and that of this field another; "
                    f"give {config.field} the same settings, or leave them out"
                )
        if shapes:
            return f"it lacks {min(shapes)}, which this field has"
        if not _same_layout(theirs, field):
            size = "x".join(map(str, reversed(self.signal.grid)))
            return (
                f"its tables are laid out for a signal of {size} points, and those of this input "
                "otherwise; a hash grid needs an input of the same proportions"
            )
        return None


def _same_layout(one: Field, other: Field) -> bool:
    """Return whether two fields of the same shapes read their parameters alike."""
    fixed, theirs = (_unsaved(each) for each in (one, other))
    return fixed.keys() == theirs.keys() and all(
        torch.equal(tensor, theirs[name].cpu()) for name, tensor in fixed.items()
    )


def _unsaved(field: Field) -> dict[str, Tensor]:
    """Return the buffers that no file keeps, for the field's settings decide them."""
    saved = field.state_dict().keys()
    return {name: each for name, each in field.named_buffers() if name not in saved}
