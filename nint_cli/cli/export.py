"""``nint export``: a fitted field for other programs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from nint_cli.cli import console
from nint_cli.cli.options import FieldSource, KeptStep, Overwrite, Quiet
from nint_cli.cli.signals_and_outcome import shown
from nint_cli.fitted.export.table import FORMATS

if TYPE_CHECKING:
    FormatName = str
else:  # Typer names them all where one is misspelt
    FormatName = Literal[tuple(FORMATS)]

_SUMMARIES = "; ".join(f"{each.name}: {each.summary}" for each in FORMATS.values())


def export(
    source: FieldSource,
    format_: Annotated[FormatName, typer.Option("--format", help=f"{_SUMMARIES}.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="PATH",
            help="What to write; the input's name with the format's suffix, in this folder, if "
            "not given.",
        ),
    ] = None,
    step: KeptStep = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> int:
    """Write a fitted field in a format that other programs read."""
    console.set_loudness(quiet=quiet, verbose=False)
    from nint_cli.fitted.fitted import open_fitted
    from nint_cli.signals.source import source_stem

    chosen = FORMATS[format_]
    if output is not None:
        chosen.refuse(output, overwrite=overwrite)
    fitted = open_fitted(source, step, console.note)
    path = output or Path(source_stem(fitted.signal.source) + chosen.suffix)
    chosen.write(fitted, path, console.note, overwrite=overwrite)
    if chosen.reopens:
        console.note(f"'{path}' opens again: nint eval, render, view and export take it")
    console.result(shown(path))
    return 0
