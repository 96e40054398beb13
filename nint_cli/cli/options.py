"""The options that the commands of `fit` and of `compare` share, and how one comes by them."""

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_type_hints

import typer

from nint_cli.cli import completion
from nint_cli.fields.table import FIELDS
from nint_cli.modalities.modality import Flag, Modality
from nint_cli.modalities.table import MODALITIES
from nint_cli.samplers.table import SAMPLERS

ProgressMode = Literal["auto", "always", "never"]
if TYPE_CHECKING:
    ModalityName = str
else:  # Typer names them all where one is misspelt
    ModalityName = Literal[tuple(MODALITIES)]

_HEADLINES = ", ".join(each.label for each in MODALITIES.values())
_MOST_SEEDS = 1000  # the two seeds after the last of them are those of tuning


def one_of(names: Iterable[str]) -> str:
    """Return names as a choice: ``a, b or c``."""
    *most, last = names
    return f"{', '.join(most)} or {last}"


# Options that `fit` and `compare` share.
Config = Annotated[
    list[Path] | None,
    typer.Option(metavar="FILE", help="YAML settings over the preset's; may be repeated."),
]
Steps = Annotated[int | None, typer.Option(metavar="N", help="Optimiser steps.")]
Device = Annotated[str | None, typer.Option(metavar="NAME", help="auto, cpu, cuda or cuda:N.")]
Precision = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Products in training: auto, full, tf32 or bf16."),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show errors only.")]
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", help="Show tracebacks of unexpected errors.")
]

Progress = Annotated[
    ProgressMode, typer.Option(metavar="WHEN", help="Show a bar: auto, always or never.")
]

# Options of the commands that use a fitted field.
FieldSource = Annotated[
    Path,
    typer.Argument(
        metavar="RUN|FILE", help="A run folder, a checkpoint, or a file with a fitted field."
    ),
]
KeptStep = Annotated[
    int | None,
    typer.Option(metavar="N", min=0, help="Of a kept checkpoint; the newest if not given."),
]
OutputFile = Annotated[
    Path, typer.Option("--output", "-o", metavar="FILE", help="Its suffix decides the kind.")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the output if it exists.")]


@dataclass(frozen=True)
class FitOptions:
    """What any modality is fitted by; each field is an option of the same name."""

    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="DIR",
            help="Run folder, runs/<input>/<sampler> if not given; with several inputs, the "
            "folder of their run folders.",
        ),
    ] = None
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an earlier run in that folder.")
    ] = False
    skip_existing: Annotated[
        bool,
        typer.Option(
            "--skip-existing",
            help="Keep an earlier run of the same input and settings that is done, and begin anew "
            "what was not finished; exit code 4 for a run of others.",
        ),
    ] = False
    continue_: Annotated[
        bool,
        typer.Option(
            "--continue",
            help="Bring the run to its end, whatever was done before: keep it where it is done, "
            "go on where it was stopped, begin it where there is none; exit code 4 for a run of "
            "another input or with other settings.",
        ),
    ] = False
    preset: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Shipped settings: default, paper or smoke.",
            autocompletion=completion.presets,
        ),
    ] = "default"
    config: Config = None
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="One setting, such as nint.alpha=20; may be repeated.",
            autocompletion=completion.keys,
        ),
    ] = None
    sampler: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help=f"{one_of(SAMPLERS)}.",
            autocompletion=completion.samplers,
        ),
    ] = None
    field: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help=f"{one_of(FIELDS)}.",
            autocompletion=completion.fields,
        ),
    ] = None
    steps: Steps = None
    time_budget: Annotated[
        str | None,
        typer.Option(metavar="T", help="Stop after that much training time: 90s, 5m, 1h."),
    ] = None
    final: Annotated[
        Literal["auto", "full", "sample"] | None,
        typer.Option(help="What the end measures: all that takes no longer than the training."),
    ] = None
    require_target: Annotated[
        bool, typer.Option("--require-target", help="Exit with code 7 if the target is missed.")
    ] = False
    batch_fraction: Annotated[
        float | None, typer.Option(metavar="SHARE", help="Share of the coordinates per step.")
    ] = None
    holdout: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            help="Keep that share of the points out of training, and report the PSNR there.",
        ),
    ] = None
    from_: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="RUN",
            help="Start from the weights of a run, a checkpoint or an exported file, with the "
            "field's settings.",
        ),
    ] = None
    lr: Annotated[float | None, typer.Option(metavar="RATE", help="Learning rate.")] = None
    seed: Annotated[int | None, typer.Option(metavar="N", help="Seed of all randomness.")] = None
    device: Device = None
    precision: Precision = None
    jobs: Annotated[
        int, typer.Option(metavar="N", min=1, help="Fit that many inputs at once.")
    ] = 1
    fail_fast: Annotated[
        bool, typer.Option("--fail-fast", help="Stop at the first input that fails.")
    ] = False
    progress: Annotated[
        ProgressMode,
        typer.Option(help="A bar, or lines where stderr is no terminal; always a bar; nothing."),
    ] = "auto"
    quiet: Quiet = False
    verbose: Verbose = False
    json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document instead of run folders.")
    ] = False
    print_config: Annotated[
        bool,
        typer.Option("--print-config", help="Show every setting and where it comes from; no fit."),
    ] = False


@dataclass(frozen=True)
class CompareOptions:
    """What any modality is compared by; each field is an option of the same name."""

    sampler: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="A sampler; repeat it.", autocompletion=completion.samplers
        ),
    ] = None
    field: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A field; repeat it.", autocompletion=completion.fields),
    ] = None
    variant: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME:KEY=VALUE,...",
            help="A method of its own, by its settings over the others; repeat it.",
        ),
    ] = None
    seeds: Annotated[
        int, typer.Option(metavar="N", min=1, max=_MOST_SEEDS, help="Seeds 0 to N - 1.")
    ] = 1
    steps: Steps = None
    time_budget: Annotated[
        str | None, typer.Option(metavar="T", help="Training time of each run: 90s, 5m.")
    ] = None
    tune: Annotated[
        Literal["lr"] | None,
        typer.Option(
            help="lr: give every variant its own best learning rate first, by runs on the first "
            "input, two per rate, with seeds that are not compared."
        ),
    ] = None
    baseline: Annotated[
        str | None,
        typer.Option(metavar="VARIANT", help="What the others are compared with."),
    ] = None
    target: Annotated[
        list[float] | None,
        typer.Option(metavar="VALUE", help=f"A value to time ({_HEADLINES}); repeat it."),
    ] = None
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="DIR", help="Folder of the report and its runs."),
    ] = Path("runs/compare")
    preset: Annotated[
        str,
        typer.Option(metavar="NAME", help="Shipped settings.", autocompletion=completion.presets),
    ] = "default"
    config: Config = None
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="One setting for all variants; may be repeated.",
            autocompletion=completion.keys,
        ),
    ] = None
    device: Device = None
    precision: Precision = None
    jobs: Annotated[
        int,
        typer.Option(
            metavar="N", min=1, help="Run that many at once; times then hold for shared cores."
        ),
    ] = 1
    quiet: Quiet = False
    verbose: Verbose = False
    json: Annotated[
        bool, typer.Option("--json", help="Print compare.json instead of the page's path.")
    ] = False


def sources_parameter(kind: Modality, text: str) -> inspect.Parameter:
    """Return the arguments of a command, one or more inputs.

    Args:
        kind: What they are.
        text: What help says of them.

    Returns:
        A parameter named ``sources``.
    """
    more = " A folder or a quoted pattern is all of them in it; - is standard input."
    argument = typer.Argument(
        metavar="INPUT...", help=text + more, autocompletion=completion.samples(kind.name)
    )
    return _parameter("sources", Annotated[list[str], argument], inspect.Parameter.empty)


def flag_parameter(flag: Flag) -> inspect.Parameter:
    """Return a flag of a modality as an option.

    Args:
        flag: The flag.

    Returns:
        A parameter of its name; its default is None where the flag sets a setting, and else
        False.
    """
    option = typer.Option(flag.names, metavar=flag.metavar, help=flag.help)
    if flag.key is None:
        return _parameter(flag.parameter, Annotated[bool, option], False)
    kind: Any = str if flag.kind == "seconds" else flag.kind
    return _parameter(flag.parameter, Annotated[kind | None, option], None)


def assembled(
    command: Callable[..., int],
    name: str,
    about: str,
    own: Iterable[inspect.Parameter],
    shared: type[Any],
) -> Callable[..., int]:
    """Make a command that takes its own parameters and the fields of a dataclass as options.

    Args:
        command: Takes its own parameters by name and, as `options`, an object of the dataclass.
        name: Of the function.
        about: What help says of it.
        own: Its own parameters.
        shared: The dataclass.

    Returns:
        A function in whose signature Typer finds them all.
    """
    hints = get_type_hints(shared, include_extras=True)

    def run(**words: Any) -> int:  # noqa: ANN401 (each as its option says)
        options = shared(**{name: words.pop(name) for name in hints})
        return command(**words, options=options)

    more = [_parameter(each.name, hints[each.name], each.default) for each in fields(shared)]
    parameters = [*own, *more]
    run.__name__, run.__doc__ = name, about
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined] # for Typer
    run.__annotations__ = {each.name: each.annotation for each in parameters}
    return run


def _parameter(name: str, annotation: object, default: object) -> inspect.Parameter:
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation
    )
