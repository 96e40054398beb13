"""A comparison of runs that are there already."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nint_cli import __version__
from nint_cli.comparison.plan import differing
from nint_cli.comparison.reading import HEADLINES, Metrics, read_metrics, read_run
from nint_cli.comparison.record import Comparison, InputEntry, RunEntry, VariantEntry
from nint_cli.comparison.summary import compare, default_baseline
from nint_cli.config.layers import flatten
from nint_cli.errors import ConfigError, InputError
from nint_cli.results import AudioInput, ImageInput, SdfInput
from nint_cli.runfolder import source_stem

# Settings that decide what is measured, and by what; runs that differ in them cannot be compared.
_MEASURES = ("metrics.", "evaluation.points", "sdf.iou_resolution", "sdf.surface_samples",
             "sdf.mc_resolution", "sdf.watch_resolution")  # fmt: skip
# Settings that say how a run is watched and saved, and make no method another.
_BESIDES = ("seed", "metrics.", "evaluation.", "checkpoint.", "sdf.watch_resolution")


def compare_finished(
    folders: Sequence[Path],
    root: Path,
    *,
    baseline: str | None,
    targets: Sequence[float] | None,
    force: bool,
    command: str,
) -> Comparison:
    """Compare runs that are there already.

    Args:
        folders: Their folders.
        root: The folder of the report.
        baseline: Name of a variant; None chooses.
        targets: Values of the headline; None chooses.
        force: Whether to compare what was fitted to other inputs or measured otherwise, too.
        command: What makes the report again.

    Returns:
        The comparison. Variants are called by sampler, field, and what else tells them apart.

    Raises:
        ConfigError: If the baseline is none of the variants, or there are fewer than two runs.
        InputError: If a run is not finished or damaged, or they cannot be compared.
    """
    if len(folders) < 2:
        raise ConfigError("there is nothing to compare; name two or more run folders")
    metrics = {folder: read_metrics(folder) for folder in folders}
    kinds = {each.input.kind for each in metrics.values()}
    if len(kinds) > 1:
        raise InputError(f"runs of {' and '.join(sorted(kinds))} cannot be compared")
    notes = _incomparable(metrics)
    if notes and not force:
        raise InputError(f"{notes[0]}; --force compares them all the same")
    named = _variant_names(metrics)
    inputs = _inputs(metrics)
    runs = [
        read_run(folder, name=inputs[each.input.sha256].name, variant=named[folder], root=root)
        for folder, each in metrics.items()
    ]
    _refuse_repetition(runs, folders)
    variants = list(dict.fromkeys(named.values()))
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
        HEADLINES[kind],
        list(inputs.values()),
        [_variant(name, metrics[first[name]], apart[name]) for name in variants],
        runs,
        baseline=chosen,
        targets=targets,
        nint_version=__version__,
        command=command,
        notes=notes,
    )


def _incomparable(metrics: Mapping[Path, Metrics]) -> list[str]:
    """Say why runs should not be compared."""
    found = []
    by_method: dict[str, set[str]] = {}
    for each in metrics.values():
        by_method.setdefault(str(_method(each)), set()).add(each.input.sha256)
    if len(set(map(frozenset, by_method.values()))) > 1:
        found.append("the runs are of different inputs, or of different sizes of one")
    (first, one), *others = metrics.items()
    wanted = _measures(one)
    for folder, each in others:
        theirs = _measures(each)
        apart = [key for key in wanted if wanted[key] != theirs.get(key)]
        if apart:
            found.append(
                f"'{first}' and '{folder}' were measured otherwise: {apart[0]} is "
                f"{wanted[apart[0]]!r} in one and {theirs.get(apart[0])!r} in the other"
            )
    return found


def _measures(metrics: Metrics) -> dict[str, Any]:
    settings = flatten(metrics.config)
    return {key: value for key, value in settings.items() if key.startswith(_MEASURES)}


def _method(metrics: Metrics) -> dict[str, Any]:
    """Give the settings that make a method, the input's size left out, which its hash has."""
    settings = flatten(metrics.config)
    return {key: value for key, value in settings.items() if not key.startswith(_BESIDES)}


def _variant_names(metrics: Mapping[Path, Metrics]) -> dict[Path, str]:
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


def _inputs(metrics: Mapping[Path, Metrics]) -> dict[str, InputEntry]:
    """Give the inputs by the hash of their content."""
    found: dict[str, InputEntry] = {}
    for each in metrics.values():
        record = each.input
        if record.sha256 in found:
            continue
        stem, taken = source_stem(record.source), {entry.name for entry in found.values()}
        name = stem if stem not in taken else f"{stem}-{record.sha256[:8]}"
        found[record.sha256] = InputEntry(
            name=name, source=record.source, sha256=record.sha256, described=_described(record)
        )
    return found


def _described(record: ImageInput | AudioInput | SdfInput) -> str:
    match record:
        case ImageInput(shape=[height, width]):
            return f"{width}x{height} pixels"
        case AudioInput():
            return f"{record.duration_s:.2f} s at {record.sample_rate_hz} Hz"
        case SdfInput():
            return f"{record.faces:,} triangles"
    raise TypeError(f"no description of {type(record).__name__}")


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


def _variant(name: str, metrics: Metrics, apart: dict[str, Any]) -> VariantEntry:
    config = metrics.config
    return VariantEntry(
        name=name,
        sampler=config["sampler"],
        field=config["field"],
        settings=apart,
        lr=config["optimiser"]["lr"],
    )
