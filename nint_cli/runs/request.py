"""A request to fit an input into a folder, where a run may be already."""

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from nint_cli.config.layers import BUILT_IN, Resolved, flatten
from nint_cli.device.settings import prepared, resolve_device
from nint_cli.errors import AnotherInputError, ConfigError, DivergedError, InputError, OutputError
from nint_cli.modalities.table import modality
from nint_cli.runs.control import Control
from nint_cli.runs.fit import WITHOUT_EFFECT, Fit, Outcome, config_digest, describe
from nint_cli.runs.folder import CONFIG, METRICS, RunFolder, default_folder
from nint_cli.runs.inputs import read_input
from nint_cli.runs.opening import newest, open_run, refuse_foreign_checkpoints
from nint_cli.runs.resume import resume, settings_to_go_on_with
from nint_cli.runs.start import Start

Existing = Literal["refuse", "replace", "skip", "continue"]
"""What to do where a folder holds a run: see `fit_input`."""

State = Literal["absent", "lost", "stopped", "done"]
_DONE = {"complete", "diverged"}  # to fit it again would give the same


def wish(*, overwrite: bool, skip_existing: bool, continue_existing: bool) -> Existing:
    """Return what three flags ask for together.

    Raises:
        ConfigError: If they contradict each other.
    """
    flags: dict[Existing, bool] = {
        "replace": overwrite,
        "skip": skip_existing,
        "continue": continue_existing,
    }
    given = [existing for existing in flags if flags[existing]]
    if len(given) > 1:
        raise ConfigError(
            "--overwrite replaces what --skip-existing keeps and --continue goes on with; give "
            "one of them"
        )
    return given[0] if given else "refuse"


def fit_input(
    kind: str,
    source: str,
    resolved: Resolved,
    path: Path | None = None,
    *,
    existing: Existing = "refuse",
    control: Control | None = None,
    start: Start | None = None,
) -> Outcome:
    """Fit an input into a run folder.

    Args:
        kind: The modality, one of `MODALITIES`.
        source: A file, or ``sample:NAME``.
        resolved: The configuration.
        path: The run folder; None chooses one by input and sampler.
        existing: Where the folder holds a run, ``replace`` replaces it, whatever it is, and
            ``refuse`` raises an OutputError. ``skip`` and ``continue`` keep one that is done, and
            replace one that has saved nothing; one that was stopped is replaced by ``skip`` and
            gone on with by ``continue``; and a run on another input or with other settings is an
            OutputError.
        control: Watches and steers it; None leaves it to itself.
        start: Whose weights it begins with; None: random ones. A run from another start counts
            as one with other settings.

    Returns:
        The outcome.

    Raises:
        OutputError: If the folder cannot be had so.
    """
    control = control or Control()
    path = path or default_folder(source, resolved.config.sampler)
    replaces = existing == "replace"
    if existing in {"skip", "continue"}:
        state = _state(path, kind, resolved, control, start, goes_on=existing == "continue")
        if state == "done":
            return _kept(path, kind, source, resolved, control)
        if state == "stopped" and existing == "continue":
            try:
                return resume(path, source=source, control=control)
            except AnotherInputError:
                raise OutputError(_other(path, "another input")) from None
        if state != "absent":
            status = RunFolder(path).metrics().get("status")
            what = f"the run in it is {status}" if status else "no run in it that was finished"
            control.note(f"'{path}': {what}; fitted anew")
            replaces = True
    with prepared(resolved.config.engine, resolve_device(resolved.config.device)):
        fit = Fit(kind, source, resolved, start=start)
        if start is not None:
            control.note(start.describe())
        return _fit_into(path, fit, control, overwrite=replaces)


def _fit_into(path: Path, fit: Fit, control: Control, *, overwrite: bool) -> Outcome:
    with contextlib.ExitStack() as stack:
        stack.enter_context(control.in_order())
        with fit.clock.measure("save_s"):
            claimed = RunFolder.create(
                path,
                fit.source,
                results=[*fit.subject.files.values(), *fit.subject.kept],
                origins=fit.resolved.origins,
                overwrite=overwrite,
                run_id=fit.run_id,
                input_sha256=fit.subject.sha256,
            )
        folder = stack.enter_context(claimed)
        if folder.taken_over:
            control.note(f"'{path}' was left unfinished by {folder.taken_over}, which is gone")
        for conversion in fit.subject.conversions:
            control.note(f"'{fit.source}': {conversion}")
        control.note(describe(fit))
        return Outcome(path, fit.run(folder, control), files=fit.subject.files)


def _state(
    path: Path,
    kind: str,
    resolved: Resolved,
    control: Control,
    start: Start | None,
    *,
    goes_on: bool,
) -> State:
    """Tell what a folder holds: no run, one that saved nothing, or this one, stopped or done.

    An InputError is raised if its checkpoints are another run's.

    Raises:
        OutputError: If it is one of another kind or with other settings.
    """
    try:
        folder = open_run(path, note=control.note)
    except InputError:
        return "absent"
    refuse_foreign_checkpoints(folder)
    metrics, wanted = folder.metrics(), resolved.config.model_dump(mode="json")
    done = metrics.get("status") in _DONE
    if done:
        before = metrics.get("config")
        began, record = metrics.get("started_from"), metrics.get("input")
        mask = record.get("mask_sha256") if isinstance(record, dict) else None
    else:
        try:
            saved, _ = newest(folder)
        except InputError:
            return "lost"
        if saved.signal.kind != kind:
            raise OutputError(_other(path, "another input"))
        going_on, _ = settings_to_go_on_with(folder, saved)
        before = going_on.config.model_dump(mode="json")
        began = None if saved.start is None else saved.start.model_dump()
        mask = getattr(saved.signal, "mask_sha256", None)
    # By the settings, for a digest in the folder may be of keys that are gone.
    if not isinstance(before, dict) or config_digest(before) != config_digest(wanted):
        raise OutputError(_other(path, f"other settings{_differences(before, wanted)}"))
    _refuse_other_start(path, began, start)
    if mask != modality(kind).wanted_mask(resolved.config.section(kind)):
        raise OutputError(_other(path, "another mask"))
    if done or goes_on:
        _tell_ignored(folder, before, resolved, control, done=done)
    return "done" if done else "stopped"


def _refuse_other_start(path: Path, began: object, start: Start | None) -> None:
    """See that a run began with the same weights as one that is to be.

    Args:
        path: Its folder.
        began: What it says of them; None where they were random.
        start: What the other is to begin with; None for random weights.

    Raises:
        OutputError: If they differ.
    """
    was = began.get("sha256") if isinstance(began, dict) else None
    if was == (None if start is None else start.record.sha256):
        return
    of = "random weights" if not isinstance(began, dict) else f"'{began.get('path')}'"
    wanted = "random weights" if start is None else f"'{start.path}'"
    raise OutputError(_other(path, f"another start (from {of}, not {wanted})"))


def _tell_ignored(
    folder: RunFolder, before: dict[str, Any], resolved: Resolved, control: Control, *, done: bool
) -> None:
    """Note settings that were given, make no run another, and a run that is there has not."""
    was = flatten(before)
    given = [
        f"{key}={value} ({resolved.origins[key]})"
        for key, value in resolved.values().items()
        if key.partition(".")[0] in WITHOUT_EFFECT
        if was.get(key, value) != value and resolved.origins[key] != BUILT_IN
    ]
    if given:
        way = "is done and kept" if done else f"keeps to its {CONFIG}, which can be edited,"
        control.note(f"'{folder.path}' {way} without {', '.join(given)}")


def _kept(path: Path, kind: str, source: str, resolved: Resolved, control: Control) -> Outcome:
    """Leave a run as it is.

    Raises:
        OutputError: If it is of another input.
        DivergedError: If it has diverged.
    """
    metrics = RunFolder(path).metrics()
    config = resolved.config
    subject = read_input(kind, source, config, resolve_device(config.device))
    record = metrics.get("input")
    if not isinstance(record, dict) or record.get("sha256") != subject.sha256:
        raise OutputError(_other(path, "another input"))
    if metrics.get("status") == "diverged":
        raise DivergedError(f"'{path}' holds this run, which diverged; try a smaller --lr")
    control.note(f"'{path}' is complete; kept")
    missed = control.require_target and not metrics.get("target_reached")
    if not missed:
        with contextlib.suppress(OSError):  # nothing else wants to write there
            (path / METRICS).touch()  # so that make takes it for made
    return Outcome(path, None, kept=True, target_missed=missed)


def _other(path: Path, of: str) -> str:
    return (
        f"'{path}' holds a run of {of}; choose --overwrite to replace it, or another folder with "
        "-o"
    )


def _differences(before: object, wanted: Mapping[str, Any]) -> str:
    """Name in brackets a few settings in which a run differs from what is wanted."""
    if not isinstance(before, dict):
        return ""
    found = []
    for key, value in wanted.items():
        if key in WITHOUT_EFFECT:
            continue
        if key == "holdout" and not value and not before.get(key):
            continue  # which an earlier version did not know
        old = before.get(key)
        pairs = (
            {f"{key}.{name}": (old.get(name), value[name]) for name in value}
            if isinstance(value, dict) and isinstance(old, dict)
            else {key: (old, value)}
        )
        found += [f"{name} {was}, not {now}" for name, (was, now) in pairs.items() if was != now]
    return f" ({'; '.join(found[:3])}{'; ...' if len(found) > 3 else ''})" if found else ""
