"""``nint fit``: fit a field to a signal."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from nint_cli.cli import console, names
from nint_cli.cli.steering import seconds, shown, steered, tell
from nint_cli.errors import ConfigError

if TYPE_CHECKING:
    from nint_cli.config import Resolved

fit_app = typer.Typer(
    help="Fit a field to a signal.", invoke_without_command=True, rich_markup_mode=None
)

ProgressMode = Literal["auto", "always", "never"]


@fit_app.callback()
def _fit(context: typer.Context) -> None:
    """Fit a field to a signal."""
    if context.invoked_subcommand is None:
        console.result(context.get_help())


@fit_app.command("image")
def fit_image(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT...",
            help="PNG, JPEG, TIFF, BMP or WebP files, or sample:NAME for a built-in picture "
            "(sample:astronaut, sample:camera, sample:coffee, ...).",
            autocompletion=names.inputs,
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="DIR",
            help="Run folder, runs/<input>/<sampler> if not given; with several inputs, the "
            "folder of their run folders.",
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an earlier run in that folder.")
    ] = False,
    skip_existing: Annotated[
        bool,
        typer.Option(
            "--skip-existing",
            help="Keep an earlier run that is complete and has the same input and settings.",
        ),
    ] = False,
    preset: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Shipped settings: default, paper or smoke.",
            autocompletion=names.presets,
        ),
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
            help="One setting, such as nint.alpha=20 or image.size=256; may be repeated.",
            autocompletion=names.keys,
        ),
    ] = None,
    sampler: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="full, uniform, egra, expansive, soft_mining, int, evos, nint or nint_released.",
            autocompletion=names.samplers,
        ),
    ] = None,
    field: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="mlp, pemlp, ffn, siren, finer, gauss, wire or hashgrid.",
            autocompletion=names.fields,
        ),
    ] = None,
    steps: Annotated[int | None, typer.Option(metavar="N", help="Optimiser steps.")] = None,
    time_budget: Annotated[
        str | None,
        typer.Option(metavar="T", help="Stop after that much training time: 90s, 5m, 1h."),
    ] = None,
    target_psnr: Annotated[
        float | None,
        typer.Option(metavar="DB", help="Stop when an evaluation reaches that PSNR in dB."),
    ] = None,
    require_target: Annotated[
        bool, typer.Option("--require-target", help="Exit with code 7 if the target is missed.")
    ] = False,
    batch_fraction: Annotated[
        float | None, typer.Option(metavar="SHARE", help="Share of the coordinates per step.")
    ] = None,
    lr: Annotated[float | None, typer.Option(metavar="RATE", help="Learning rate.")] = None,
    seed: Annotated[int | None, typer.Option(metavar="N", help="Seed of all randomness.")] = None,
    device: Annotated[
        str | None, typer.Option(metavar="NAME", help="auto, cpu, cuda or cuda:N.")
    ] = None,
    jobs: Annotated[
        int, typer.Option(metavar="N", min=1, help="Fit that many inputs at once.")
    ] = 1,
    fail_fast: Annotated[
        bool, typer.Option("--fail-fast", help="Stop at the first input that fails.")
    ] = False,
    progress: Annotated[
        ProgressMode,
        typer.Option(help="A bar, or lines where stderr is no terminal; always a bar; nothing."),
    ] = "auto",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show errors only.")] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Show tracebacks of unexpected errors.")
    ] = False,
    json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document instead of run folders.")
    ] = False,
    print_config: Annotated[
        bool,
        typer.Option("--print-config", help="Show every setting and where it comes from; no fit."),
    ] = False,
) -> int:
    """Fit a field to each picture and write its run folder; the path goes to stdout."""
    console.set_loudness(quiet=quiet, verbose=verbose)
    flags: dict[str, tuple[str, object]] = {
        "sampler": ("--sampler", sampler),
        "field": ("--field", field),
        "steps": ("--steps", steps),
        "stop.time_budget_s": ("--time-budget", seconds(time_budget, "--time-budget")),
        "stop.target_psnr_db": ("--target-psnr", target_psnr),
        "batch.fraction": ("--batch-fraction", batch_fraction),
        "optimiser.lr": ("--lr", lr),
        "seed": ("--seed", seed),
        "device": ("--device", device),
    }
    resolved = resolve_layers(preset, config or [], set_ or [], flags)
    if require_target and resolved.config.stop.target_psnr_db is None:
        raise ConfigError("--require-target: there is no target; add --target-psnr")
    if overwrite and skip_existing:
        raise ConfigError("--skip-existing keeps what --overwrite replaces; give one of them")
    if print_config:
        console.result(commented(resolved))
        return 0
    if len(sources) > 1:
        from nint_cli.cli.batch import Batch

        return Batch(
            sources,
            resolved,
            root=output,
            settings=[
                f"--preset={preset}",
                *(f"--config={path}" for path in config or []),
                *(f"--set={text}" for text in set_ or []),
                *(f"{flag}={value}" for flag, value in flags.values() if value is not None),
            ],
            options=[
                *(["--overwrite"] if overwrite else []),
                *(["--skip-existing"] if skip_existing else []),
                *(["--require-target"] if require_target else []),
                *(["--verbose"] if verbose else []),
            ],
            progress="never" if quiet else progress,
        ).run(jobs=jobs, fail_fast=fail_fast, json=json)

    from nint_cli import run

    with steered("never" if quiet else progress, require_target=require_target) as control:
        outcome = run.fit_image(
            sources[0],
            resolved,
            output,
            overwrite=overwrite,
            skip_existing=skip_existing,
            control=control,
        )
    code = tell(outcome, "nint fit image")
    console.result(metrics_document(outcome.path) if json else shown(outcome.path))
    return code


def resolve_layers(
    preset: str,
    files: list[Path],
    assignments: list[str],
    flags: dict[str, tuple[str, object]],
) -> "Resolved":
    """Stack the layers: preset, files, --set, flags.

    Args:
        preset: Name of the preset.
        files: YAML files, the strongest last.
        assignments: Texts of ``--set``.
        flags: Named flags by dotted key; None was not given.

    Returns:
        The configuration with origins.
    """
    from nint_cli.config import file_layer, flag_layer, preset_layer, resolve, set_layer

    settings = set_layer(assignments)
    layers = [preset_layer(preset), *map(file_layer, files), settings, flag_layer(flags, settings)]
    return resolve(layers)


def commented(resolved: "Resolved") -> str:
    """Write every setting as YAML with its origin as a comment.

    Args:
        resolved: The configuration.

    Returns:
        A YAML document.
    """
    lines, section = [], ""
    for key, value in resolved.values().items():
        head, dot, name = key.rpartition(".")
        if head != section:
            lines.append(f"{head}:")
            section = head
        origin = console.printable(resolved.origins[key])
        lines.append(f"{'  ' if dot else ''}{name}: {_scalar(value)}  # {origin}")
    return "\n".join(lines)


def _scalar(value: object) -> str:
    """Write a scalar as YAML reads it."""
    if value is None:
        return "null"
    if isinstance(value, str) and not re.fullmatch(r"[A-Za-z/][\w./-]*", value):
        import json

        return json.dumps(value)  # a file may be called anything
    return str(value).lower() if isinstance(value, bool) else str(value)


def metrics_document(path: Path) -> str:
    """Give a run's metrics.json for stdout.

    Args:
        path: The run folder.

    Returns:
        A JSON document.
    """
    import json

    from nint_cli.runfolder import RunFolder

    return json.dumps(RunFolder(path).metrics(), indent=2)
