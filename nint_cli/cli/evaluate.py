"""``nint eval``: measure a finished run again, from its checkpoint."""

import math
from pathlib import Path
from typing import Annotated

import typer

from nint_cli.cli import console
from nint_cli.cli.options import FieldSource, Progress
from nint_cli.cli.signals_and_outcome import steered
from nint_cli.errors import ConfigError


def evaluate(
    run: FieldSource,
    against: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Compare with this file instead of the run's input."),
    ] = None,
    scale: Annotated[
        float | None,
        typer.Option(
            metavar="S",
            help="Measure a picture between its pixels: --against is S times as large.",
        ),
    ] = None,
    lpips_weights: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Weights of LPIPS instead of those of the run."),
    ] = None,
    lpips_sha256: Annotated[
        str | None,
        typer.Option(metavar="HEX", help="What the SHA-256 of that file must be."),
    ] = None,
    flip: Annotated[
        bool | None,
        typer.Option("--flip/--no-flip", help="Compute FLIP, or not, whatever the run says."),
    ] = None,
    reconstruct: Annotated[
        bool,
        typer.Option(
            "--reconstruct",
            help="Write the reconstruction and its pictures into the run folder, too.",
        ),
    ] = False,
    progress: Progress = "auto",
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> int:
    """Rebuild the field of a run from its checkpoint alone, or a file's, and measure it."""
    from nint_cli.config.layers import Layer, flag_layer
    from nint_cli.fitted.evaluate import evaluate_file
    from nint_cli.runs.evaluate import evaluate_run

    flags: dict[str, tuple[str, object]] = {
        "metrics.lpips_weights": ("--lpips-weights", lpips_weights and str(lpips_weights)),
        "metrics.lpips_sha256": ("--lpips-sha256", lpips_sha256),
        "metrics.flip": ("--flip", flip),
    }
    if reconstruct and against is not None:
        raise ConfigError("--reconstruct shows the run beside its own input; leave out --against")
    if reconstruct and run.is_file():
        raise ConfigError("--reconstruct writes into a run's folder; name the folder")
    if scale is not None and against is None:
        raise ConfigError("--scale needs the larger picture; name it with --against FILE")
    if scale is not None and not (math.isfinite(scale) and scale > 0):
        raise ConfigError(f"--scale {scale}: expected a number above 0")
    changes = flag_layer(flags, Layer())
    with steered(progress) as control:
        quality = (
            evaluate_file(run, against, changes, scale=scale, control=control)
            if run.is_file()
            else evaluate_run(
                run, against, changes, scale=scale, reconstruct=reconstruct, control=control
            )
        )
    if json:
        console.result(quality.model_dump_json(indent=2))
        return 0
    rows = quality.rows(fine=True)
    console.result("\n".join(f"{name} {console.printable(text)}" for name, text in rows))
    return 0
