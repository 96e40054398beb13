"""``nint fit``: fit a field to a signal."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from nint_cli.cli import console

if TYPE_CHECKING:
    from nint_cli.config import Resolved

fit_app = typer.Typer(
    help="Fit a field to a signal.", invoke_without_command=True, rich_markup_mode=None
)


@fit_app.callback()
def _fit(context: typer.Context) -> None:
    """Fit a field to a signal."""
    if context.invoked_subcommand is None:
        console.result(context.get_help())


@fit_app.command("image")
def fit_image(
    source: Annotated[
        str,
        typer.Argument(
            metavar="INPUT",
            help="A PNG, JPEG, TIFF, BMP or WebP file, or sample:NAME for a built-in picture "
            "(sample:astronaut, sample:camera, sample:coffee, ...).",
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="DIR",
            help="Run folder; runs/<input>/<sampler> if not given.",
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an earlier run in that folder.")
    ] = False,
    preset: Annotated[
        str, typer.Option(metavar="NAME", help="Shipped settings: default, paper or smoke.")
    ] = "default",
    config: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="YAML settings over the preset's; may be repeated."),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="One setting, such as nint.alpha=20 or image.size=256.",
        ),
    ] = None,
    sampler: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="full, uniform, int, nint or nint_released."),
    ] = None,
    field: Annotated[str | None, typer.Option(metavar="NAME", help="siren.")] = None,
    steps: Annotated[int | None, typer.Option(metavar="N", help="Optimiser steps.")] = None,
    batch_fraction: Annotated[
        float | None, typer.Option(metavar="SHARE", help="Share of the coordinates per step.")
    ] = None,
    lr: Annotated[float | None, typer.Option(metavar="RATE", help="Learning rate.")] = None,
    seed: Annotated[int | None, typer.Option(metavar="N", help="Seed of all randomness.")] = None,
    device: Annotated[
        str | None, typer.Option(metavar="NAME", help="auto, cpu, cuda or cuda:N.")
    ] = None,
    progress: Annotated[
        Literal["auto", "always", "never"],
        typer.Option(help="A bar, or lines where stderr is no terminal; always a bar; nothing."),
    ] = "auto",
    json: Annotated[
        bool, typer.Option("--json", help="Print metrics.json instead of the run folder.")
    ] = False,
    print_config: Annotated[
        bool,
        typer.Option("--print-config", help="Show every setting and where it comes from; no fit."),
    ] = False,
) -> int:
    """Fit a field to a picture and write a run folder; its path goes to stdout."""
    resolved = _resolve(
        preset,
        config or [],
        set_ or [],
        {
            "sampler": ("--sampler", sampler),
            "field": ("--field", field),
            "steps": ("--steps", steps),
            "batch.fraction": ("--batch-fraction", batch_fraction),
            "optimiser.lr": ("--lr", lr),
            "seed": ("--seed", seed),
            "device": ("--device", device),
        },
    )
    if print_config:
        for key, value in resolved.values().items():
            console.result(f"{key}: {_yaml(value)}  # {console.printable(resolved.origins[key])}")
        return 0

    from nint_cli import runfolder
    from nint_cli.cli.progress import choose
    from nint_cli.report import summary
    from nint_cli.run import FitImage

    fit = FitImage(source, resolved)
    for conversion in fit.picture.conversions:
        console.note(f"'{source}': {conversion}")
    path = output or runfolder.default_folder(source, resolved.config.sampler)
    folder = runfolder.RunFolder.create(path, source, overwrite=overwrite)
    console.note(
        f"{source}, {'x'.join(map(str, fit.signal.shape[::-1]))} pixels, "
        f"{resolved.config.field} with {fit.trainer.field.parameter_count():,} parameters, "
        f"sampler {resolved.config.sampler}, on {fit.device}"
    )
    with _signals_end_the_run() as caught:
        metrics = fit.run(folder, choose(progress), lambda: caught[0] if caught else None)
    if metrics.status == "diverged":
        console.error(
            f"the loss was not finite after {metrics.steps} steps; what is in '{path}' is the "
            "state before that; try a smaller --lr"
        )
    elif metrics.status == "interrupted":
        console.note(f"interrupted after {metrics.steps} steps; '{path}' holds what was reached")
    files = {
        name: str(path / file)
        for name, file in (
            ("reconstruction", runfolder.RECONSTRUCTION),
            ("selected coordinates", runfolder.SELECTION),
            ("metrics", runfolder.METRICS),
        )
        if (path / file).exists()
    }
    console.table("nint fit image", summary(metrics, files))
    console.result(metrics.model_dump_json(indent=2) if json else console.printable(str(path)))
    return metrics.exit_code


def _resolve(
    preset: str,
    files: list[Path],
    assignments: list[str],
    flags: dict[str, tuple[str, object]],
) -> "Resolved":
    """Stack the layers: preset, files, --set, flags."""
    from nint_cli.config import file_layer, flag_layer, preset_layer, resolve, set_layer

    settings = set_layer(assignments)
    layers = [preset_layer(preset), *map(file_layer, files), settings, flag_layer(flags, settings)]
    return resolve(layers)


def _yaml(value: object) -> str:
    """Write a scalar as YAML reads it."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)


@contextmanager
def _signals_end_the_run() -> Iterator[list[int]]:
    """Turn the first SIGINT or SIGTERM into an orderly end; a second one ends at once.

    Yields:
        A list that holds the signal's number once it came.
    """
    caught: list[int] = []
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def remember(number: int, _frame: FrameType | None) -> None:
        caught.append(number)
        for each in before:
            signal.signal(each, signal.SIG_DFL)

    for number in before:
        signal.signal(number, remember)
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
