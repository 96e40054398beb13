"""What a modality is to the rest of nint: its names, its figures, its flags and its parts.

Nothing heavy is loaded here, so that the command line can show its help at once.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from nint_cli.metrics.schema import Quality, RunMetrics
    from nint_cli.modalities.samples import Samples
    from nint_cli.modalities.settings import ModalitySettings
    from nint_cli.signals.record import SignalRecord


@dataclass(frozen=True, kw_only=True)
class Target:
    """A figure that can end a run, and by which runs can be compared; larger is better.

    Attributes:
        label: The name by which people know it, such as ``PSNR``.
        metavar: What its flag takes.
        gt: What a target must be greater than; None for no bound.
        le: What a target must not exceed; None for no bound.
        marks: Round values that a comparison can time, rising.
    """

    label: str
    metavar: str = "DB"
    gt: float | None = None
    le: float | None = None
    marks: tuple[float, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Flag:
    """A flag of a command that is one modality's own.

    Attributes:
        names: As on the command line, such as ``--mono/--no-mono``.
        key: The setting that it sets, dotted; None for one that sets the attribute of `Control`
            of its name.
        kind: What it takes; ``seconds`` is a duration such as ``90s``.
        metavar: What help calls its value; None for a switch.
        help: A sentence.
    """

    names: str
    key: str | None
    kind: type[float] | type[int] | type[bool] | type[str] | Literal["seconds"]
    metavar: str | None = None
    help: str

    @property
    def name(self) -> str:
        """The flag that says yes, such as ``--mono``."""
        return self.names.partition("/")[0]

    @property
    def parameter(self) -> str:
        """Its name as an identifier, such as ``mono``."""
        return self.name.removeprefix("--").replace("-", "_")


@dataclass(frozen=True, kw_only=True)
class Modality:
    """A kind of input that fields are fitted to.

    Its parts are named ``module:name`` within its package, and loaded when they are asked for.

    Attributes:
        name: As `nint fit` takes it, and the name of its package and its section of settings.
        noun: What one input is called.
        plural: What several are called.
        summary: What `nint fit` does with them, a sentence.
        inputs: What the arguments of `nint fit` are, a sentence.
        files: What the files of such inputs are called, at the beginning of a sentence.
        size_by: What the size of a compressed file is told by, in the singular.
        size_count: The attribute of its `InputRecord` that counts them; None for the points of
            its grid.
        targets: The figures that can end a run, by key; the first is the headline, which decides
            what the best evaluation is and what runs are compared by.
        on_grid: Whether its points are those of a grid.
        own_flags: The flags of `nint fit`, besides those of the targets.
        exhibit: How a report shows results: the pictures themselves, sounds in players, or the
            previews that runs leave.
        page: What the page of a fitted field shows, see `fitted.export.html`; None: there is none.
        extras: What more can be installed for it: packages by the name of the extra.
        subject_part: Its `Subject`.
        settings_part: Its `ModalitySettings`.
        record_part: Its `SignalRecord`.
        metrics_part: Its `RunMetrics`.
        quality_part: Its `Quality`.
        suffixes_part: The suffixes of its files, with dots.
        samples_part: Its built-in inputs, `Samples`.
        rendering_part: What plans a rendering of its fields, see `RenderRequest`.
        rendered_by: The attributes of `RenderRequest` that it knows.
    """

    name: str
    noun: str
    plural: str
    summary: str
    inputs: str
    files: str
    size_by: str
    size_count: str | None = None
    targets: Mapping[str, Target]
    on_grid: bool = True
    own_flags: tuple[Flag, ...] = ()
    exhibit: Literal["pictures", "sounds", "previews"] = "previews"
    page: Literal["picture", "sound", "shape"] | None = None
    extras: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    subject_part: str
    settings_part: str
    record_part: str
    metrics_part: str
    quality_part: str
    suffixes_part: str
    samples_part: str
    rendering_part: str
    rendered_by: tuple[str, ...]

    @property
    def headline(self) -> str:
        """Key of the figure that its runs are known by."""
        return next(iter(self.targets))

    @property
    def label(self) -> str:
        """The name of that figure."""
        return self.targets[self.headline].label

    @property
    def flags(self) -> tuple[Flag, ...]:
        """All flags of `nint fit`, with one for each target."""
        return (*self.own_flags, *(_target_flag(*each) for each in self.targets.items()))

    def settings(self) -> "type[ModalitySettings]":
        """Load the class of its section of settings."""
        found: type[ModalitySettings] = self.part(self.settings_part)
        return found

    def record(self) -> "type[SignalRecord]":
        """Load the class of what checkpoints keep of its inputs."""
        found: type[SignalRecord] = self.part(self.record_part)
        return found

    def metrics(self) -> "type[RunMetrics]":
        """Load the class of its metrics.json."""
        found: type[RunMetrics] = self.part(self.metrics_part)
        return found

    def quality(self) -> "type[Quality]":
        """Load the class of its measures."""
        found: type[Quality] = self.part(self.quality_part)
        return found

    def suffixes(self) -> frozenset[str]:
        """Load the suffixes of its files."""
        found: frozenset[str] = self.part(self.suffixes_part)
        return found

    def samples(self) -> "Samples[Any]":
        """Load its built-in inputs."""
        found: Samples[Any] = self.part(self.samples_part)
        return found

    def part(self, place: str) -> Any:  # noqa: ANN401 (each caller knows which)
        """Load what lies at a place within its package, ``module:name``."""
        module, _, name = place.partition(":")
        return getattr(import_module(f"nint_cli.modalities.{self.name}.{module}"), name)


def in_decibels(figure: str) -> bool:
    """Tell by its key whether a figure is in dB."""
    return figure.endswith("_db")


def _target_flag(key: str, target: Target) -> Flag:
    unit = " in dB" * in_decibels(key)
    return Flag(
        names=f"--target-{key.removesuffix('_db').replace('_', '-')}",
        key=f"stop.target_{key}",
        kind=float,
        metavar=target.metavar,
        help=f"Stop when an evaluation reaches that {target.label}{unit}.",
    )
