"""Reading runs: what a comparison needs of a run folder."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nint_cli.comparison.record import Curve, RunEntry
from nint_cli.comparison.statistics import cost_to
from nint_cli.errors import InputError
from nint_cli.metrics.schema import Quality, RunMetrics
from nint_cli.modalities.table import MODALITIES, metrics_document
from nint_cli.runs.folder import LOG, METRICS
from nint_cli.runs.log import is_evaluation, is_number, sound_rows
from nint_cli.runs.opening import open_run


def read_metrics(folder: Path) -> RunMetrics:
    """Read the metrics.json of a run that has come to an end.

    Args:
        folder: The run folder.

    Returns:
        Its content.

    Raises:
        InputError: If there is no run, or it has none that is sound.
    """
    opened = open_run(folder)
    found = opened.metrics()
    if not found:
        raise InputError(
            f"'{folder}' has no sound {METRICS}: the run did not end; go on with nint resume"
        )
    try:
        metrics = metrics_document().validate_python(found)
        _check_config(metrics.config)
    except ValueError as error:
        raise InputError(f"'{folder}/{METRICS}' is damaged, or too new") from error
    if opened.input_sha256 not in {None, metrics.input.sha256}:
        raise InputError(f"'{folder}/{METRICS}' is of another input than the run; fit it anew")
    return metrics


def _check_config(config: Mapping[str, Any]) -> None:
    """See that there is what every comparison needs; other settings may be of any version."""
    match config:
        case {"sampler": str(), "field": str(), "optimiser": {"lr": int() | float()}}:
            return
    raise ValueError("its configuration is damaged")


def read_curve(folder: Path, headline: str) -> Curve:
    """Read a run's log.

    Args:
        folder: The run folder.
        headline: The figure to take.

    Returns:
        Its evaluations in order, without odd rows; empty where there is no log.
    """
    rows = {
        row["step"]: row
        for row in sound_rows(folder / LOG)
        if is_evaluation(row) and (row.get(headline) is None or is_number(row[headline]))
    }
    ordered = [rows[step] for step in sorted(rows)]
    return Curve(
        step=[row["step"] for row in ordered],
        train_s=[row["train_s"] for row in ordered],
        passes=[row["passes"] for row in ordered],
        value=[row.get(headline) for row in ordered],
    )


def read_run(
    folder: Path,
    *,
    name: str,
    variant: str,
    root: Path,
    command: str | None = None,
    error: str | None = None,
) -> RunEntry:
    """Read a run.

    Args:
        folder: Its folder; there need be nothing in it.
        name: Of its input within the comparison.
        variant: Its method.
        root: The folder of the report.
        command: What makes it again.
        error: Why it failed, where whoever ran it knows.

    Returns:
        What compare.json says of it, without targets; of status ``missing`` where there is none.
    """
    try:
        metrics = read_metrics(folder)
    except InputError:
        return _missing(folder, name, variant, root, command, error)
    modality = MODALITIES[metrics.input.kind]
    headline = modality.headline
    value = metrics.figure(headline)
    exact = value is not None and math.isinf(value) and value > 0
    return RunEntry(
        input=name,
        variant=variant,
        seed=metrics.seed,
        folder=_relative(folder, root),
        command=command,
        status=metrics.status,
        stop_reason=metrics.stop_reason,
        error=error or metrics.error,
        steps=metrics.steps,
        train_s=metrics.train_s,
        prepare_s=metrics.prepare_s,
        sampler_s=metrics.sampler_s,
        update_s=metrics.update_s,
        passes=metrics.passes.total,
        points=None if metrics.guidance is None else metrics.guidance.points,
        rescues=metrics.rescues,
        value=value if value is not None and math.isfinite(value) else None,
        exact=exact,
        measured_points=measured_points(metrics),
        best=getattr(metrics, f"best_{headline}"),
        best_step=metrics.best_step,
        figures=_figures(metrics, modality.quality()),
        parameters=metrics.field.parameters,
        peak_rss_bytes=metrics.memory.peak_rss_bytes,
        lr=metrics.config["optimiser"]["lr"],
        config_sha256=metrics.config_sha256,
        environment=metrics.environment.model_dump(mode="json"),
        nint_version=metrics.nint_version,
        curve=read_curve(folder, headline),
        to_target={},
    )


def measured_points(metrics: RunMetrics) -> int | None:
    """Tell of how many points a run's figures are; None where they are of all."""
    sampled = metrics.final is not None and metrics.final.measured == "sample"
    return metrics.final.points if sampled and metrics.final is not None else None


def with_targets(run: RunEntry, targets: Sequence[float]) -> RunEntry:
    """Add what a run had spent at each target.

    Args:
        run: The run.
        targets: Values of the headline.

    Returns:
        The run with them.
    """
    costs = {target_key(target): cost_to(run.curve, target) for target in targets}
    return run.model_copy(update={"to_target": costs})


def target_key(target: float) -> str:
    """Write a target as a key."""
    return f"{target:g}"


def _figures(metrics: RunMetrics, quality: type[Quality]) -> dict[str, float | None]:
    found = {name: getattr(metrics, name) for name in quality.model_fields}
    return {
        name: value
        for name, value in found.items()
        if value is None or (isinstance(value, int | float) and not isinstance(value, bool))
        if not name.endswith(("_reason", "_sha256"))
    }


def _relative(folder: Path, root: Path) -> str:
    absolute, base = folder.absolute(), root.absolute()
    return str(absolute.relative_to(base) if absolute.is_relative_to(base) else absolute)


def _missing(
    folder: Path, name: str, variant: str, root: Path, command: str | None, error: str | None
) -> RunEntry:
    seed = int(folder.name) if folder.name.isdecimal() else 0
    return RunEntry(
        input=name,
        variant=variant,
        seed=seed,
        folder=_relative(folder, root),
        command=command,
        status="missing",
        stop_reason=None,
        error=error,
        steps=0,
        train_s=None,
        sampler_s=None,
        update_s=None,
        passes=None,
        rescues=0,
        value=None,
        best=None,
        best_step=None,
        figures={},
        parameters=None,
        peak_rss_bytes=None,
        lr=None,
        config_sha256=None,
        environment={},
        nint_version=None,
        curve=Curve(step=[], train_s=[], passes=[], value=[]),
        to_target={},
    )
