"""What every modality is: how its inputs are read, judged, and reproduced."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO, ClassVar, Self

import torch
from torch import Tensor

from nint_cli.fields.base import Field
from nint_cli.metrics.schema import FieldRecord, InputRecord, Quality
from nint_cli.modalities.modality import Modality
from nint_cli.modalities.settings import EvaluationSettings, MetricsSettings
from nint_cli.samplers.base import Selection
from nint_cli.signals.base import Signal
from nint_cli.signals.parts import Parts
from nint_cli.signals.record import SignalRecord

ReadSaved = Callable[[str], bytes | None]


SaveFile = Callable[[str, Callable[[BinaryIO], None]], None]
"""Writes one of a run's files, by its name and by what writes its content into an open file."""


Piece = Callable[[int], None]
"""Told after each piece of a long work how many units it had; may raise to stop the work.

A unit is about what the forward pass of one point costs; see `Subject.cost_within`.
"""


def unwatched(_units: int) -> None:
    """Let a work go on."""


def nothing_saved(_name: str) -> bytes | None:
    """Give None: there is no run yet."""
    return None


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What an input is read for, besides the settings of its modality.

    Attributes:
        device: Where the signal is kept.
        evaluation: How much of it evaluations see.
        metrics: Which measures are wanted that need more than nint.
        seed: Of the run.
        tuned: Whether the field is trained by the recipe that was tuned here.
        holdout: Share of the points that is kept out of training.
    """

    device: torch.device
    evaluation: EvaluationSettings
    metrics: MetricsSettings
    seed: int
    tuned: bool
    holdout: float = 0.0


@dataclass(frozen=True)
class Evaluation:
    """A look at the field while a run goes on.

    Attributes:
        figures: What the log keeps, by key; infinite where a fit is exact, None where a figure has
            no value. The modality's headline is among them.
        prediction: (N, C) at all points of the signal, where it was computed.
        points: At how many points the field was evaluated, where that is worth saying.
        sampled: Whether some points stand for all of them.
        left_out: What the end measurement leaves out, for it would take too long: figures of
            metrics.json, and files by the names that `Subject.files` has.
    """

    figures: Mapping[str, float | None]
    prediction: Tensor | None = None
    points: int | None = None
    sampled: bool = False
    left_out: tuple[str, ...] = ()


class Subject(ABC):
    """One input of a modality, decoded, as a run fits it and judges the result.

    Attributes:
        modality: What it is one of.
        smaller: What to do where memory runs out.
        files: Names of the files that `reconstruct` and `illustrate` may write.
        source: The input as it was named.
        signal: What the field is fitted to, on the device to train on.
        parts: Which of its points train, where not all of them do; else None.
        notes: What is worth knowing before a fit, a line each.
        kept: Files, by name, that a run keeps of an input that nobody can read again.
    """

    modality: ClassVar[Modality]
    smaller: ClassVar[str]
    files: ClassVar[Mapping[str, str]]
    source: str
    signal: Signal
    parts: Parts | None = None
    notes: tuple[str, ...] = ()
    kept: Mapping[str, bytes] = {}

    @classmethod
    @abstractmethod
    def read(
        cls,
        source: str,
        settings: Any,  # noqa: ANN401
        setup: Setup,
        like: SignalRecord | None = None,
        saved: ReadSaved = nothing_saved,
    ) -> Self:
        """Read an input.

        Args:
            source: A file, or ``sample:NAME``.
            settings: Of its modality: how to read and to judge it.
            setup: What it is read for.
            like: The record of a run whose scale and frame hold for this input; None makes its
                own.
            saved: Returns a file that `cache` left in the run's folder, or None; where another
                input than the run's is read, those alone that belong to the run.

        Returns:
            The input, ready to be fitted.
        """

    @property
    def mask_sha256(self) -> str | None:
        """Hash of what says where it is fitted; None where that is everywhere."""
        return None

    @classmethod
    def wanted_mask(cls, settings: Any) -> str | None:  # noqa: ANN401
        """Return the hash of the mask that settings name; see `mask_sha256`.

        Args:
            settings: Of its modality. An InputError is raised where the mask cannot be read.
        """
        return None

    @property
    def training(self) -> Signal:
        """The points that train: the signal, or a part of it."""
        return self.signal if self.parts is None else self.parts.training

    @property
    @abstractmethod
    def result(self) -> str:
        """Name of the file with the reconstruction."""

    @property
    @abstractmethod
    def sha256(self) -> str:
        """Hash of its decoded content."""

    @property
    @abstractmethod
    def conversions(self) -> tuple[str, ...]:
        """What was done to the file's content, in plain words."""

    @abstractmethod
    def mismatch(self, record: SignalRecord) -> str | None:
        """Say why a run's field cannot be compared with this input; None if it can."""

    @abstractmethod
    def describe(self) -> str:
        """Say what it is and how large, in a few words."""

    @abstractmethod
    def record(self) -> SignalRecord:
        """Give what checkpoints keep of it."""

    @abstractmethod
    def input_record(self) -> InputRecord:
        """Give what metrics.json says of it."""

    @abstractmethod
    def field_record(self, name: str, field: Field) -> FieldRecord:
        """Give what metrics.json says of a field that is fitted to it."""

    def cache(self) -> dict[str, bytes]:
        """Give files, by name, that spare a run which goes on what was computed in reading."""
        return {}

    @abstractmethod
    def evaluate(self, field: Field, units: int | None = None) -> Evaluation:
        """Look at a field during a run: what is cheap enough for that.

        Args:
            field: The field.
            units: About what it may cost, as `cost_within` counts it; None leaves it to the
                settings.
        """

    @abstractmethod
    def cost_within(self, units: int | None) -> int:
        """Tell about what measuring and reproducing a field comes to.

        Args:
            units: What may be spent on it, as for `evaluate_fully`.

        Returns:
            Units: each is a third of what training on a point costs, which a forward pass of one
            point comes near to. They are counted and not timed, so that what is measured in the
            end of a run does not depend on what else the machine does.
        """

    @property
    @abstractmethod
    def essential(self) -> int:
        """Units from which on the end has a reconstruction; other files and figures may lack."""

    @abstractmethod
    def evaluate_fully(
        self,
        field: Field,
        save: SaveFile | None = None,
        *,
        units: int | None = None,
        piece: Piece = unwatched,
    ) -> Evaluation:
        """Look at a field when its run is over.

        Args:
            field: The field.
            save: Writes those files of the result that do not fit into memory, and which
                `reconstruct` does not give; None writes none.
            units: What may be spent on it, `quality` and `reconstruct` together. What takes
                longer is left out, the reconstruction last, and `left_out` says so; the rest is
                measured by an even sample. None measures in full; 0 always takes the sample.
            piece: Told after each piece.

        Returns:
            The evaluation, for `quality` and, unless `save` is None, `reconstruct`.
        """

    def confirmed(
        self, field: Field, evaluation: Evaluation, units: int | None = None
    ) -> Mapping[str, float | None]:
        """Give the figures as `quality` will, where `evaluate` had only come near to them.

        Args:
            field: The field.
            evaluation: What `evaluate` gave for it, which reaches the run's targets.
            units: As for `evaluate_fully`.

        Returns:
            The figures that have to reach them, too.
        """
        return evaluation.figures

    @abstractmethod
    def quality(self, field: Field, evaluation: Evaluation, piece: Piece = unwatched) -> Quality:
        """Measure a field, as far as the evaluation does.

        Args:
            field: The field.
            evaluation: What `evaluate_fully` gave for it.
            piece: Told after each piece.

        Returns:
            The measures; those that have no value are null, with the reason.
        """

    @abstractmethod
    def reconstruct(
        self, field: Field, evaluation: Evaluation, piece: Piece = unwatched
    ) -> dict[str, bytes]:
        """Give the files that a run leaves of its result, by name.

        Args:
            field: The field.
            evaluation: What `evaluate_fully` gave for it; what it left out is not among the files.
            piece: Told after each piece.
        """

    @classmethod
    @abstractmethod
    def rebuild(
        cls,
        record: SignalRecord,
        settings: Any,  # noqa: ANN401
        field: Field,
    ) -> object:
        """Give what a field stands for, without its input.

        Args:
            record: What a checkpoint keeps of the input.
            settings: Of its modality, as the run had them.
            field: The field.

        Returns:
            The content in its natural form: pixels of a picture.
        """

    @abstractmethod
    def illustrate(
        self, selections: Mapping[str, Selection], steps: Mapping[str, int]
    ) -> dict[str, bytes]:
        """Draw what was chosen to train on.

        Args:
            selections: What was chosen, by panel.
            steps: The step of each panel, from 1.

        Returns:
            Files by name.
        """
