"""``nint decompress``: the picture, sound or shape of a compressed field."""

from pathlib import Path
from typing import Annotated

import typer

from nint_cli.cli import console
from nint_cli.cli.options import OutputFile, Overwrite, Progress
from nint_cli.cli.signals_and_outcome import shown, steered
from nint_cli.errors import InputError


def decompress(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file that nint compress wrote.")],
    output: OutputFile,
    overwrite: Overwrite = False,
    progress: Progress = "auto",
) -> int:
    """Write the reconstruction that a compressed file stands for, in the input's size."""
    from nint_cli.fitted.compression import container
    from nint_cli.fitted.fitted import open_fitted
    from nint_cli.fitted.output import refuse_existing
    from nint_cli.fitted.rendering import render
    from nint_cli.modalities.render_request import RenderRequest

    refuse_existing(output, overwrite=overwrite)
    with steered(progress) as control:
        if file.is_file() and not container.is_one(file):
            raise InputError(f"'{file}' is no file of nint compress; nint render takes others")
        if file.is_dir():
            raise InputError(f"'{file}' is a folder; nint render takes runs")
        fitted = open_fitted(file, note=control.note)
        render(fitted, output, RenderRequest(), control, overwrite=overwrite)
    console.result(shown(output))
    return 0
