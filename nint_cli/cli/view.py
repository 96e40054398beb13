"""``nint view``: a fitted field as a page in the browser."""

import os
import sys
import tempfile
import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from nint_cli.cli import console
from nint_cli.cli.options import FieldSource, KeptStep, Overwrite, Progress, Quiet
from nint_cli.cli.signals_and_outcome import shown, steered


def view(
    run: FieldSource,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Keep the page; a temporary file if not given."
        ),
    ] = None,
    step: KeptStep = None,
    original: Annotated[
        bool, typer.Option("--original/--no-original", help="Put the input beside the field.")
    ] = True,
    opened: Annotated[
        bool, typer.Option("--open/--no-open", help="Open the page in the browser.")
    ] = True,
    overwrite: Overwrite = False,
    progress: Progress = "auto",
    quiet: Quiet = False,
) -> int:
    """Make a page that shows a fitted field at any size, without a network, and open it."""
    console.set_loudness(quiet=quiet, verbose=False)
    from nint_cli.fitted.export import html
    from nint_cli.fitted.fitted import open_fitted
    from nint_cli.fitted.output import refuse_existing, write_output
    from nint_cli.modalities.base import unwatched
    from nint_cli.runs.ending import Meter
    from nint_cli.signals.source import source_stem

    if output is not None:
        refuse_existing(output, overwrite=overwrite)
    fitted = open_fitted(run, step, console.note)
    with steered(progress) as control:
        beside = html.original_of(fitted, console.note) if original else None
        piece = Meter(control, html.cost(fitted)) if html.cost(fitted) else unwatched
        try:
            page = html.page(fitted, beside, console.note, piece)
        finally:
            control.progress.finish_end()
    if output is None:
        folder = Path(tempfile.mkdtemp(prefix="nint-view-"))
        output = folder / f"{source_stem(fitted.signal.source)}.html"
    write_output(output, lambda file: file.write(page), overwrite=overwrite)
    if opened and not _opens(output):
        console.note("there is no browser to open here; open the page in one")
    console.result(shown(output))
    return 0


def _opens(page: Path) -> bool:
    """Open a page where there is a screen; a browser in the terminal would take that over."""
    screen = sys.platform in {"darwin", "win32"} or any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
    )
    try:
        return screen and webbrowser.open(page.absolute().as_uri())
    except webbrowser.Error:
        return False
