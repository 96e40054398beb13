"""``nint compare``: methods on equal terms, and a report."""

import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nint_cli.cli import console
from nint_cli.cli.inputs import expanded
from nint_cli.cli.options import CompareOptions, assembled, sources_parameter
from nint_cli.cli.processes import Processes
from nint_cli.cli.signals_and_outcome import shown
from nint_cli.device.cpu import usable_cores
from nint_cli.errors import ConfigError
from nint_cli.modalities.modality import Modality
from nint_cli.modalities.table import MODALITIES
from nint_cli.signals.elsewhere import STDIN

if TYPE_CHECKING:
    from nint_cli.comparison.plan import Entry, Variant
    from nint_cli.comparison.record import Comparison, InputEntry, Trial, VariantEntry

compare_app = typer.Typer(
    help="Compare methods on equal terms.", invoke_without_command=True, rich_markup_mode=None
)

_SOME_FAILED = 8


@compare_app.callback()
def _compare(context: typer.Context) -> None:
    """Compare samplers, fields and settings on equal terms, and write a report."""
    if context.invoked_subcommand is None:
        console.result(context.get_help())


def _command(kind: Modality) -> Callable[..., int]:
    """Make the command that compares methods on inputs of a modality."""

    def compare(sources: list[str], options: CompareOptions) -> int:
        return _compare_methods(kind.name, sources, options)

    what = f"Compare methods on {kind.plural}, by {kind.label}"
    about = f"{what}; the path of the report goes to stdout."
    sources = sources_parameter(kind, f"{kind.files}, or sample:NAME.")
    return assembled(compare, f"compare_{kind.name}", about, [sources], CompareOptions)


for _each in MODALITIES.values():
    compare_app.command(_each.name)(_command(_each))


@compare_app.command("runs")
def compare_runs(
    folders: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders.")],
    baseline: Annotated[
        str | None, typer.Option(metavar="VARIANT", help="What the others are compared with.")
    ] = None,
    target: Annotated[
        list[float] | None, typer.Option(metavar="VALUE", help="A value to time; repeat it.")
    ] = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Folder of the report.")
    ] = Path("runs/compare"),
    force: Annotated[
        bool,
        typer.Option(
            "--force", help="Compare what was fitted to other inputs or measured otherwise, too."
        ),
    ] = False,
    json: Annotated[
        bool, typer.Option("--json", help="Print compare.json instead of the page's path.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show errors only.")] = False,
) -> int:
    """Report on runs that are there already."""
    console.set_loudness(quiet=quiet, verbose=False)
    from nint_cli.comparison import files
    from nint_cli.comparison.existing_runs import compare_finished

    command = shlex.join([
        *("nint", "compare", "runs", *map(str, folders), "-o", str(output)),
        *(["--baseline", baseline] if baseline else []),
        *(f"--target={value:g}" for value in target or []),
        *(["--force"] if force else []),
    ])
    comparison = compare_finished(
        folders,
        output,
        baseline=baseline,
        targets=target,
        force=force,
        command=command,
        note=console.note,
    )
    files.claim(output, "runs")
    return _report(comparison, output, as_json=json)


def _compare_methods(kind: str, sources: list[str], options: CompareOptions) -> int:
    """Make what is missing of the runs and report; give the exit code."""
    console.set_loudness(quiet=options.quiet, verbose=options.verbose)
    sources, _ = expanded(MODALITIES[kind], sources)
    if STDIN in sources:
        raise ConfigError("'-' is standard input, which many runs cannot read; save it to a file")
    if options.steps is not None and options.time_budget is not None:
        raise ConfigError("--steps and --time-budget: give one of them, so that it is equal")
    from nint_cli.cli.compare_runs import MissingRuns
    from nint_cli.cli.variants import variants
    from nint_cli.comparison import files, tuning
    from nint_cli.comparison.comparable import refuse_unequal
    from nint_cli.comparison.inputs import named_inputs
    from nint_cli.comparison.plan import entries, refuse_equals

    methods = variants(kind, options)
    refuse_equals(methods)
    refuse_unequal([(each.name, each.resolved.values()) for each in methods])
    _baseline(options, [each.name for each in methods])  # before any work
    inputs = named_inputs(kind, sources, methods[0].resolved.config)
    root = options.output
    files.claim(root, kind)
    children = Processes(threads=max(1, usable_cores() // options.jobs))
    making = MissingRuns(children, options.jobs)
    trials: dict[str, list[Trial]] = {}
    with files.locked(root), children.at_work():
        if options.tune is not None:
            source, about = next(iter(inputs.items()))

            def make_trials(planned: "Sequence[Entry]") -> bool:
                making.make(planned, "tuning, ")
                return children.stopped_by is None

            methods, trials = tuning.tune(
                kind, source, about, methods, root / files.TUNING, make_trials
            )
        planned = list(entries(kind, inputs, methods, range(options.seeds), root / files.RUNS))
        failures = making.make(planned)
        if children.stopped_by is not None:
            console.note("interrupted; the same command goes on")
            return 128 + children.stopped_by
        found = _comparison(kind, inputs, options, _described(methods, trials), planned, failures)
        code = _report(found, root, as_json=options.json)
    return code or (_SOME_FAILED if failures else 0)


def _baseline(options: CompareOptions, known: Sequence[str]) -> str:
    from nint_cli.comparison.summary import default_baseline

    baseline = options.baseline or default_baseline(known)
    if baseline not in known:
        raise ConfigError(
            f"--baseline {baseline}: there is no such variant; there is {', '.join(known)}"
        )
    return baseline


def _described(
    methods: "Sequence[Variant]", trials: "Mapping[str, list[Trial]]"
) -> "list[VariantEntry]":
    """Say of each method what it is, and what was tried for its learning rate."""
    from nint_cli.comparison.plan import differing
    from nint_cli.comparison.record import VariantEntry

    apart = differing({each.name: each.resolved.values() for each in methods})
    return [
        VariantEntry(
            name=each.name,
            sampler=each.resolved.config.sampler,
            field=each.resolved.config.field,
            settings=apart[each.name],
            lr=each.resolved.config.optimiser.lr,
            tuning=trials.get(each.name, []),
        )
        for each in methods
    ]


def _comparison(
    kind: str,
    inputs: "Mapping[str, InputEntry]",
    options: CompareOptions,
    described: "Sequence[VariantEntry]",
    planned: "Sequence[Entry]",
    failures: Mapping[Path, str],
) -> "Comparison":
    """Read what came of the runs, and compare."""
    from nint_cli.comparison.reading import read_run
    from nint_cli.comparison.summary import compare
    from nint_cli.version import __version__

    runs = [
        read_run(
            entry.folder,
            name=entry.input,
            variant=entry.variant.name,
            root=options.output,
            command=shlex.join(["nint", *entry.fit_words(), "--", entry.source]),
            error=failures.get(entry.folder),
        )
        for entry in planned
    ]
    notes = []
    if options.jobs > 1:
        notes.append(f"{options.jobs} runs at once shared the cores, so times are longer.")
    return compare(
        kind,
        MODALITIES[kind].headline,
        [*inputs.values()],
        described,
        runs,
        baseline=_baseline(options, [each.name for each in described]),
        targets=options.target,
        nint_version=__version__,
        command=_command_line(kind, [*inputs], options),
        tuned=options.tune is not None,
        notes=notes,
    )


def _command_line(kind: str, sources: Sequence[str], options: CompareOptions) -> str:
    """Give the command that makes this report."""
    words = ["nint", "compare", kind]
    for flag, values in (
        ("--sampler", options.sampler),
        ("--field", options.field),
        ("--variant", options.variant),
        ("--set", options.set_),
        ("--config", options.config),
        ("--target", options.target),
    ):
        words += [f"{flag}={value}" for value in values or []]
    for flag, value in (
        ("--steps", options.steps),
        ("--time-budget", options.time_budget),
        ("--tune", options.tune),
        ("--baseline", options.baseline),
        ("--device", options.device),
        ("--precision", options.precision),
    ):
        words += [] if value is None else [f"{flag}={value}"]
    words += [f"--preset={options.preset}", f"--seeds={options.seeds}"]
    return shlex.join([*words, "-o", str(options.output), "--", *sources])


def _report(comparison: "Comparison", root: Path, *, as_json: bool) -> int:
    """Write the files, show the table, and name the page."""
    from nint_cli.comparison import files
    from nint_cli.comparison.table import table

    files.write_report(comparison, root)
    title, header, rows = table(comparison)
    console.grid(title, header, rows)
    for note in comparison.notes:
        console.note(note)
    if as_json:
        console.result((root / files.JSON).read_text(encoding="utf-8").strip())
    else:
        console.result(shown(root / files.PAGE))
    return 0
