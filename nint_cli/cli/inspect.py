"""``nint inspect``: what the NTK of a run says, and a diagnosis."""

from pathlib import Path
from typing import Annotated

import typer

from nint_cli.cli import console
from nint_cli.cli.signals_and_outcome import shown


def inspect(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="DIR", help="RUN/inspect if not given."),
    ] = None,
    baseline: Annotated[
        Path | None,
        typer.Option(metavar="RUN", help="A run to hold it to, such as one of uniform batches."),
    ] = None,
    points: Annotated[
        int, typer.Option(metavar="N", min=16, help="Points that the kernel is computed at.")
    ] = 16_384,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Decides which points.")] = 0,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show errors only.")] = False,
    json: Annotated[
        bool, typer.Option("--json", help="Print inspect.json instead of the folder.")
    ] = False,
) -> int:
    """Look at a run's kernel, scores and batches, and say in words what stands in its way."""
    console.set_loudness(quiet=quiet, verbose=False)
    from nint_cli.inspection import files
    from nint_cli.inspection.examine import inspect_run
    from nint_cli.inspection.text import diagnosis_rows, rows

    folder = run / "inspect" if output is None else output
    files.refuse_what_is_in_the_way(folder)
    found = inspect_run(run, points=points, seed=seed, baseline=baseline, note=console.note)
    document = files.write(folder, found)
    console.table("kernel", rows(found.evidence))
    console.table("diagnosis", diagnosis_rows(found.evidence))
    console.result(document if json else shown(folder))
    return 0
