"""A comparison of runs that are there already."""

from collections.abc import Callable, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

from nint_cli.comparison import comparable
from nint_cli.comparison.plan import differing
from nint_cli.comparison.reading import measured_points, read_metrics, read_run
from nint_cli.comparison.record import Comparison, InputEntry, RunEntry, VariantEntry
from nint_cli.comparison.summary import compare, default_baseline
from nint_cli.errors import ConfigError, InputError
from nint_cli.metrics.schema import RunMetrics
from nint_cli.modalities.table import MODALITIES
from nint_cli.runs.opening import open_run, refuse_foreign_checkpoints
from nint_cli.signals.source import source_stem
from nint_cli.version import __version__


def compare_finished(
    folders: Sequence[Path],
    root: Path,
    *,
    baseline: str | None,
    targets: Sequence[float] | None,
    force: bool,
    command: str,
    note: Callable[[str], None] = lambda _: None,
) -> Comparison:
    """Compare runs that are there already.

    Args:
        folders: Their folders.
        root: The folder of the report.
        baseline: Name of a variant; None chooses.
        targets: Values of the headline; None chooses.
        force: Whether to compare what was fitted to other inputs or measured otherwise, too.
        command: What makes the report again.
        note: Told what was mended in a run folder, a line each.

    Returns:
        The comparison. Variants are called by sampler, field, and what else tells them apart.

    Raises:
        ConfigError: If the baseline is none of the variants, or there are fewer than two runs.
        InputError: If a run is not finished or damaged, or they cannot be compared.
    """
    if len(folders) < 2:
        raise ConfigError("there is nothing to compare; name two or more run folders")
    _refuse_unfinished(folders, note)
    metrics = {folder: read_metrics(folder) for folder in folders}
    kinds = {each.input.kind for each in metrics.values()}
    if len(kinds) > 1:
        raise InputError(f"runs of {' and '.join(sorted(kinds))} cannot be compared")
    notes = _faults(metrics, force=force)
    named = _variant_names(metrics)
    inputs = _inputs(metrics)
    runs = [
        read_run(
            folder,
            name=inputs[comparable.signal(each.input)].name,
            variant=named[folder],
            root=root,
        )
        for folder, each in metrics.items()
    ]
    _refuse_repetition(runs, folders)
    variants = list(dict.fromkeys(named.values()))
    if len(variants) < 2:
        notes.append(f"All runs are of one method, {variants[0]}.")
    chosen = baseline or default_baseline(variants)
    if chosen not in variants:
        raise ConfigError(
            f"--baseline {chosen}: there is no such variant; there is {', '.join(variants)}"
        )
    first = {name: next(f for f in folders if named[f] == name) for name in variants}
    apart = differing({name: _method(metrics[folder]) for name, folder in first.items()})
    (kind,) = kinds
    return compare(
        kind,
        MODALITIES[kind].headline,
        list(inputs.values()),
        [_variant(name, metrics[first[name]], apart[name]) for name in variants],
        runs,
        baseline=chosen,
        targets=targets,
        nint_version=__version__,
        command=command,
        notes=notes,
    )


def _method(of: RunMetrics) -> dict[str, Any]:
    started = {} if of.started_from is None else {"started_from": of.started_from.path}
    return comparable.method(of.config) | started


def _refuse_unfinished(folders: Sequence[Path], note: Callable[[str], None]) -> None:
    """Name all runs that can still go on: what they have is no result."""
    begun = []
    for folder in folders:
        opened = open_run(folder, note=note)
        refuse_foreign_checkpoints(opened)
        if opened.metrics().get("status", "interrupted") == "interrupted":
            begun.append(f"'{folder}'")
    if begun:
        raise InputError(f"not finished: {', '.join(begun)}; go on with nint resume")


def _faults(metrics: Mapping[Path, RunMetrics], *, force: bool) -> list[str]:
    """Say why runs should not be compared, and refuse that unless it is forced.

    Returns:
        Notes for the report, which itself says where samples differ in size.

    Raises:
        InputError: If there is something, and it is not forced.
    """
    found = _incomparable(metrics)
    mixed = comparable.mixed_samples(
        (f"'{folder}'", comparable.signal(each.input), measured_points(each))
        for folder, each in metrics.items()
    )
    for fault in [*found, *([mixed] if mixed else [])]:
        if not force:
            raise InputError(f"{fault}; --force compares them all the same")
    return found


def _incomparable(metrics: Mapping[Path, RunMetrics]) -> list[str]:
    """Say why runs should not be compared."""
    found = []
    by_method: dict[str, set[comparable.Signal]] = {}
    for each in metrics.values():
        signals = by_method.setdefault(str(_method(each)), set())
        signals.add(comparable.signal(each.input))
    if len(set(map(frozenset, by_method.values()))) > 1:
        found.append("the runs are of different inputs, or of different sizes or parts of one")
    (first, one), *others = metrics.items()
    for folder, each in others:
        apart = comparable.difference(
            comparable.measures(one.config),
            comparable.measures(each.config),
            (str(first), str(folder)),
        )
        if apart:
            found.append(f"the runs were measured otherwise: {apart}")
    return found


def _variant_names(metrics: Mapping[Path, RunMetrics]) -> dict[Path, str]:
    """Name each run's method: sampler, field, and the settings that still tell two apart."""
    methods: dict[str, dict[str, Any]] = {}
    of: dict[Path, str] = {}
    for folder, each in metrics.items():
        method = _method(each)
        of[folder] = str(method)
        methods[str(method)] = method
    fields = {method["field"] for method in methods.values()}
    short = {
        key: method["sampler"] if len(fields) == 1 else f"{method['sampler']}-{method['field']}"
        for key, method in methods.items()
    }
    names = {}
    for key, name in short.items():
        alike = {other: methods[other] for other in short if short[other] == name}
        own = differing(alike)[key]
        names[key] = " ".join([name, *(f"{k}={v}" for k, v in own.items())])
    return {folder: names[key] for folder, key in of.items()}


def _inputs(metrics: Mapping[Path, RunMetrics]) -> dict[comparable.Signal, InputEntry]:
    """Give the inputs by the signal that was fitted; those of one name are numbered."""
    found: dict[comparable.Signal, InputEntry] = {}
    for each in metrics.values():
        record, signal = each.input, comparable.signal(each.input)
        if signal in found:
            continue
        stem, taken = source_stem(record.source), {entry.name for entry in found.values()}
        free = (name for n in count(1) if (name := stem if n == 1 else f"{stem}-{n}") not in taken)
        found[signal] = InputEntry(
            name=next(free),
            source=record.source,
            sha256=record.sha256,
            described=record.describe(),
        )
    return found


def _refuse_repetition(runs: Sequence[RunEntry], folders: Sequence[Path]) -> None:
    seen: dict[tuple[str, str, int], Path] = {}
    for run, folder in zip(runs, folders, strict=True):
        key = run.input, run.variant, run.seed
        if key in seen:
            raise InputError(
                f"'{seen[key]}' and '{folder}' are the same run: {run.variant} on {run.input}, "
                f"seed {run.seed}; leave one out"
            )
        seen[key] = folder


def _variant(name: str, metrics: RunMetrics, apart: dict[str, Any]) -> VariantEntry:
    config = metrics.config
    return VariantEntry(
        name=name,
        sampler=config["sampler"],
        field=config["field"],
        settings=apart,
        lr=config["optimiser"]["lr"],
    )
