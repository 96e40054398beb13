"""``nint resume``: go on with a run exactly where it was saved."""

from pathlib import Path
from typing import Annotated

import typer

from nint_cli.cli import console
from nint_cli.cli.fit import metrics_document
from nint_cli.cli.options import Progress
from nint_cli.cli.signals_and_outcome import seconds, shown, steered, tell


def resume(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")],
    steps: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, help="A new number of steps, where no schedule depends on it."
        ),
    ] = None,
    time_budget: Annotated[
        str | None,
        typer.Option(
            metavar="T", help="A new budget of training time, earlier parts included: 90s, 5m, 1h."
        ),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(
            "--input", metavar="FILE", help="Where the input is now, if it is not where it was."
        ),
    ] = None,
    progress: Progress = "auto",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show errors only.")] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Show tracebacks of unexpected errors.")
    ] = False,
    json: Annotated[
        bool, typer.Option("--json", help="Print metrics.json instead of the run folder.")
    ] = False,
) -> int:
    """Go on with a stopped run, in its folder, to the bits it would have had without the stop."""
    console.set_loudness(quiet=quiet, verbose=verbose)
    budget = seconds(time_budget, "--time-budget")

    from nint_cli.runs.resume import resume as go_on

    with steered("never" if quiet else progress) as control:
        outcome = go_on(run, steps=steps, time_budget_s=budget, source=source, control=control)
    code = tell(outcome, "nint resume")
    console.result(metrics_document(outcome.path) if json else shown(outcome.path))
    return code
