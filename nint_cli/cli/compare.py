"""``nint compare``: methods on equal terms, and a report."""

import re
import shlex
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from nint_cli.cli import console, names
from nint_cli.cli.children import Children, Ended
from nint_cli.cli.options import Modality, with_options
from nint_cli.cli.settings import resolve_layers
from nint_cli.cli.steering import seconds, shown
from nint_cli.cores import usable_cores
from nint_cli.errors import ConfigError, OutputError
from nint_cli.runfolder import in_use_by

if TYPE_CHECKING:
    from nint_cli.comparison.plan import Entry, Variant
    from nint_cli.comparison.record import Comparison, InputEntry, Trial
    from nint_cli.config import Resolved

compare_app = typer.Typer(
    help="Compare methods on equal terms.", invoke_without_command=True, rich_markup_mode=None
)

_SOME_FAILED = 8
_EVALUATIONS = 20
_TAKEN = OutputError.exit_code
_POLL_S = 0.2
_MOST_SEEDS = 1000
# Never compared, and the same however many are, so that more seeds leave the rates as they are.
_TUNING_SEED = _MOST_SEEDS
_INTERRUPTED = {130, 143}


@compare_app.callback()
def _compare(context: typer.Context) -> None:
    """Compare samplers, fields and settings on equal terms, and write a report."""
    if context.invoked_subcommand is None:
        console.result(context.get_help())


@dataclass(frozen=True)
class CompareOptions:
    """What any modality is compared by; each field is an option of the same name."""

    sampler: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A sampler; repeat it.", autocompletion=names.samplers),
    ] = None
    field: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A field; repeat it.", autocompletion=names.fields),
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
    steps: Annotated[int | None, typer.Option(metavar="N", help="Optimiser steps.")] = None
    time_budget: Annotated[
        str | None, typer.Option(metavar="T", help="Training time of each run: 90s, 5m.")
    ] = None
    tune: Annotated[
        Literal["lr"] | None,
        typer.Option(
            help="lr: give every variant its own best learning rate first, by runs on the first "
            "input with a seed that is not compared."
        ),
    ] = None
    baseline: Annotated[
        str | None,
        typer.Option(metavar="VARIANT", help="What the others are compared with."),
    ] = None
    target: Annotated[
        list[float] | None,
        typer.Option(metavar="VALUE", help="A value to time (PSNR, SI-SNR, IoU); repeat it."),
    ] = None
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="DIR", help="Folder of the report and its runs."),
    ] = Path("runs/compare")
    preset: Annotated[
        str, typer.Option(metavar="NAME", help="Shipped settings.", autocompletion=names.presets)
    ] = "default"
    config: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="YAML settings over the preset's; may be repeated."),
    ] = None
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="One setting for all variants; may be repeated.",
            autocompletion=names.keys,
        ),
    ] = None
    device: Annotated[
        str | None, typer.Option(metavar="NAME", help="auto, cpu, cuda or cuda:N.")
    ] = None
    precision: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Products in training: auto, full, tf32 or bf16."),
    ] = None
    jobs: Annotated[
        int,
        typer.Option(
            metavar="N", min=1, help="Run that many at once; times then hold for shared cores."
        ),
    ] = 1
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show errors only.")] = False
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Show tracebacks of unexpected errors.")
    ] = False
    json: Annotated[
        bool, typer.Option("--json", help="Print compare.json instead of the page's path.")
    ] = False


@compare_app.command("image")
@with_options(CompareOptions)
def compare_image(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT...",
            help="Picture files, or sample:NAME.",
            autocompletion=names.pictures,
        ),
    ],
    options: CompareOptions,
) -> int:
    """Compare methods on pictures, by PSNR; the path of the report goes to stdout."""
    return _Comparing("image", sources, options).run()


@compare_app.command("audio")
@with_options(CompareOptions)
def compare_audio(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT...", help="Sound files, or sample:NAME.", autocompletion=names.sounds
        ),
    ],
    options: CompareOptions,
) -> int:
    """Compare methods on sounds, by SI-SNR; the path of the report goes to stdout."""
    return _Comparing("audio", sources, options).run()


@compare_app.command("sdf")
@with_options(CompareOptions)
def compare_sdf(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT...", help="Mesh files, or sample:NAME.", autocompletion=names.shapes
        ),
    ],
    options: CompareOptions,
) -> int:
    """Compare methods on shapes, by IoU; the path of the report goes to stdout."""
    return _Comparing("sdf", sources, options).run()


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
    from nint_cli.comparison.finished import compare_finished

    command = shlex.join([
        *("nint", "compare", "runs", *map(str, folders), "-o", str(output)),
        *(["--baseline", baseline] if baseline else []),
        *(f"--target={value:g}" for value in target or []),
        *(["--force"] if force else []),
    ])
    comparison = compare_finished(
        folders, output, baseline=baseline, targets=target, force=force, command=command
    )
    files.claim(output, "runs")
    return _report(comparison, output, as_json=json)


class _Comparing:
    """A call of `nint compare` that makes its runs.

    Args:
        kind: The modality.
        sources: The inputs.
        options: All options.
    """

    def __init__(self, kind: Modality, sources: list[str], options: CompareOptions) -> None:
        self._kind = kind
        self._sources = sources
        self._options = options
        self._trials: dict[str, list[Trial]] = {}

    def run(self) -> int:
        """Make what is missing and report; give the exit code."""
        options = self._options
        console.set_loudness(quiet=options.quiet, verbose=options.verbose)
        if options.steps is not None and options.time_budget is not None:
            raise ConfigError("--steps and --time-budget: give one of them, so that it is equal")
        from nint_cli.comparison import files
        from nint_cli.comparison.fairness import refuse_unequal
        from nint_cli.comparison.plan import entries, refuse_equals
        from nint_cli.comparison.summary import default_baseline

        variants = self._variants()
        refuse_equals(variants)
        refuse_unequal([(each.name, each.resolved.values()) for each in variants])
        baseline = options.baseline or default_baseline([each.name for each in variants])
        if baseline not in {each.name for each in variants}:
            known = ", ".join(each.name for each in variants)
            raise ConfigError(f"--baseline {baseline}: there is no such variant; there is {known}")
        from nint_cli.comparison.inputs import named_inputs

        sources = named_inputs(self._kind, self._sources, variants[0].resolved.config)
        root = options.output
        files.claim(root, self._kind)
        self._children = Children(threads=max(1, usable_cores() // options.jobs))
        with files.locked(root), self._children.signals_passed_on():
            if options.tune is not None:
                variants = self._tuned(variants, sources)
            planned = list(
                entries(self._kind, sources, variants, range(options.seeds), root / files.RUNS)
            )
            failures = self._make(planned)
            if self._children.stopped_by is not None:
                console.note("interrupted; the same command goes on")
                return 128 + self._children.stopped_by
            comparison = self._comparison(
                [*sources.values()], variants, planned, failures, baseline
            )
            code = _report(comparison, root, as_json=options.json)
        return code or (_SOME_FAILED if failures else 0)

    def _variants(self) -> "list[Variant]":
        from nint_cli.comparison.plan import Variant

        options = self._options
        samplers: list[str | None] = [*(options.sampler or [])] or [None]
        fields: list[str | None] = [*(options.field or [])] or [None]
        found = []
        if options.sampler or options.field:
            for sampler in samplers:
                for field in fields:
                    parts = [part for part in (sampler, field) if part is not None]
                    name = parts[0] if len(samplers) == 1 or len(fields) == 1 else "-".join(parts)
                    if len(samplers) == 1 and field is not None and len(fields) > 1:
                        name = field
                    words = self._words(sampler, field, [])
                    found.append(Variant(name, *words))
        for text in options.variant or []:
            found.append(self._variant(text, samplers[0], fields[0]))
        return found

    def _variant(self, text: str, sampler: str | None, field: str | None) -> "Variant":
        from nint_cli.comparison.plan import Variant

        name, colon, rest = text.partition(":")
        if not colon or not re.fullmatch(r"[\w][\w.+-]{0,40}", name):
            raise ConfigError(
                f"--variant {text}: expected a name, a colon and settings, such as "
                "late:nint.start=0.6,nint.xi=0.5"
            )
        # A comma parts settings only where another key follows, for a value may hold one.
        settings = re.split(r",(?=[\w.]+=)", rest) if rest else []
        given = {}
        for key in ("sampler", "field"):
            chosen = [each for each in settings if each.startswith(f"{key}=")]
            settings = [each for each in settings if each not in chosen]
            given[key] = chosen[-1].partition("=")[2] if chosen else None
        words = self._words(given["sampler"] or sampler, given["field"] or field, settings)
        return Variant(name, *words)

    def _words(
        self, sampler: str | None, field: str | None, settings: Sequence[str]
    ) -> "tuple[tuple[str, ...], Resolved]":
        """Give the words that make a configuration, and the configuration."""
        options = self._options
        own = [*(options.set_ or []), *settings]
        keys = {text.partition("=")[0].strip() for text in own}
        if not keys & {"evaluation.every", "evaluation.count"}:
            own.append(f"evaluation.count={_EVALUATIONS}")
        if "evaluation.selections" not in keys:
            own.append("evaluation.selections=true")
        flags: dict[str, tuple[str, object]] = {
            "sampler": ("--sampler", sampler),
            "field": ("--field", field),
            "steps": ("--steps", options.steps),
            "stop.time_budget_s": (
                "--time-budget",
                seconds(options.time_budget, "--time-budget"),
            ),
            "device": ("--device", options.device),
            "engine.precision": ("--precision", options.precision),
        }
        resolved = resolve_layers(self._kind, options.preset, options.config or [], own, flags)
        words = (
            f"--preset={options.preset}",
            *(f"--config={path}" for path in options.config or []),
            *(f"--set={text}" for text in own),
            *(f"{flag}={value}" for flag, value in flags.values() if value is not None),
        )
        return words, resolved

    def _tuned(
        self, variants: "Sequence[Variant]", sources: "Mapping[str, InputEntry]"
    ) -> "list[Variant]":
        """Give every variant its best learning rate; all variants take turns."""
        from nint_cli.comparison import files
        from nint_cli.comparison.plan import Entry
        from nint_cli.comparison.reading import read_run
        from nint_cli.comparison.record import Trial
        from nint_cli.comparison.tuning import best_rate, rates_to_try

        options = self._options
        source, about = next(iter(sources.items()))
        root = options.output / files.TUNING
        tried: dict[str, dict[float, float | None]] = {each.name: {} for each in variants}
        self._trials = {each.name: [] for each in variants}
        while not self._children.stopped_by:
            ahead = {
                each.name: rates_to_try(each.resolved.config.optimiser.lr, tried[each.name])
                for each in variants
            }
            longest = max(map(len, ahead.values()))
            if longest == 0:
                break
            planned: list[tuple[float, Entry]] = []
            for index in range(longest):
                for variant in variants:
                    if index < len(ahead[variant.name]):
                        rate = ahead[variant.name][index]
                        folder = root / about.name / variant.name / f"lr-{rate:g}"
                        at_rate = self._at_rate(variant, rate)
                        entry = Entry(
                            *(self._kind, source, about.name, about.sha256, at_rate),
                            *(_TUNING_SEED, folder),
                        )
                        planned.append((rate, entry))
            self._make([entry for _, entry in planned], what="tuning, ")
            for rate, entry in planned:
                run = read_run(entry.folder, name=entry.input, variant="", root=options.output)
                value = run.value if run.status == "complete" else None
                tried[entry.variant.name][rate] = value
                self._trials[entry.variant.name].append(
                    Trial(
                        lr=rate,
                        input=entry.input,
                        seed=entry.seed,
                        folder=run.folder,
                        status=run.status,
                        value=value,
                    )
                )
        found = []
        for variant in variants:
            best = best_rate(tried[variant.name])
            found.append(variant if best is None else self._at_rate(variant, best))
        return found

    def _at_rate(self, variant: "Variant", rate: float) -> "Variant":
        """Give a variant another learning rate."""
        from nint_cli.comparison.plan import Variant
        from nint_cli.config import Resolved

        config = variant.resolved.config
        optimiser = config.optimiser.model_copy(update={"lr": rate})
        changed = config.model_copy(update={"optimiser": optimiser})
        origins = {**variant.resolved.origins, "optimiser.lr": "--tune lr"}
        return Variant(
            variant.name,
            (*variant.words, f"--set=optimiser.lr={rate!r}"),
            Resolved(changed, origins),
        )

    def _make(self, planned: "Sequence[Entry]", what: str = "") -> dict[Path, str]:
        """Bring runs to their ends; give those that failed, with why."""
        failures: dict[Path, str] = {}

        def make(item: "tuple[int, Entry]") -> None:
            number, entry = item
            title = f"{what}{number + 1}/{len(planned)} {entry.variant.name} on {entry.input}, "
            title += f"seed {entry.seed}" if not what else f"rate {entry.folder.name[3:]}"
            ended = self._bring_to_end(entry, title)
            if ended is None:
                return
            if ended.code in _INTERRUPTED:
                self._children.stop(ended.code - 128)
            elif ended.code not in {0, 5}:  # a divergence is a result
                failures[entry.folder] = ended.error or ""
                console.note(f"{title}: failed, {ended.error}")
            else:
                console.note(f"{title}: {_outcome(entry)}")

        if self._options.jobs == 1:
            for item in enumerate(planned):
                make(item)
        else:
            with ThreadPoolExecutor(self._options.jobs) as pool:
                list(pool.map(make, enumerate(planned)))
        return failures

    def _bring_to_end(self, entry: "Entry", title: str) -> Ended | None:
        """Run what is missing of a run; give how that ended, None where nothing was done."""
        while self._is_free(entry, title):
            state = entry.state()
            if state == "finished":
                return None
            if state == "other":
                console.note(
                    f"{title}: '{entry.folder}' has other settings, or the input was changed; "
                    "made anew"
                )
            ended = self._children.run(entry.command(state))
            if ended.code != _TAKEN or in_use_by(entry.folder) is None:
                return ended
        return None

    def _is_free(self, entry: "Entry", title: str) -> bool:
        """Wait for whoever works in a run's folder; False where a signal says to give up.

        A run whose nint compare was killed goes on by itself, and what it comes to counts.
        """
        told = False
        while self._children.stopped_by is None:
            owner = in_use_by(entry.folder)
            if owner is None:
                return True
            if not told:
                console.note(f"{title}: waiting for {owner}, which works on it")
                told = True
            time.sleep(_POLL_S)
        return False

    def _comparison(
        self,
        inputs: "Sequence[InputEntry]",
        variants: "Sequence[Variant]",
        planned: "Sequence[Entry]",
        failures: Mapping[Path, str],
        baseline: str,
    ) -> "Comparison":
        from nint_cli import __version__
        from nint_cli.comparison.plan import differing
        from nint_cli.comparison.reading import HEADLINES, read_run
        from nint_cli.comparison.record import VariantEntry
        from nint_cli.comparison.summary import compare

        options = self._options
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
        apart = differing({each.name: each.resolved.values() for each in variants})
        described = [
            VariantEntry(
                name=each.name,
                sampler=each.resolved.config.sampler,
                field=each.resolved.config.field,
                settings=apart[each.name],
                lr=each.resolved.config.optimiser.lr,
                tuning=self._trials.get(each.name, []),
            )
            for each in variants
        ]
        notes = []
        if options.jobs > 1:
            notes.append(f"{options.jobs} runs at once shared the cores, so times are longer.")
        return compare(
            self._kind,
            HEADLINES[self._kind],
            inputs,
            described,
            runs,
            baseline=baseline,
            targets=options.target,
            nint_version=__version__,
            command=self._command(),
            tuned=options.tune is not None,
            notes=notes,
        )

    def _command(self) -> str:
        """Give the command that makes this report."""
        options = self._options
        words = ["nint", "compare", self._kind]
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
        return shlex.join([*words, "-o", str(options.output), "--", *self._sources])


def _outcome(entry: "Entry") -> str:
    """Say in a few words what came of a run."""
    from nint_cli.comparison.reading import HEADLINES, read_run
    from nint_cli.report import shown as measure

    run = read_run(entry.folder, name=entry.input, variant=entry.variant.name, root=entry.folder)
    figure = "exact" if run.exact else measure(HEADLINES[entry.kind], run.value)
    text = f"{figure} in {run.train_s:.1f} s"
    return text if run.status == "complete" else f"{text}, {run.status}"


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
