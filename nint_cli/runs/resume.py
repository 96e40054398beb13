"""Going on with a run exactly where it was saved."""

from collections.abc import Mapping, Set
from dataclasses import replace
from pathlib import Path
from typing import Any

from nint_cli.config.layers import Layer, Resolved, Setting, resolve
from nint_cli.config.removed import MOVED, RENAMED, by_its_name, removed_keys
from nint_cli.config.schema import RunConfig, dotted_keys
from nint_cli.config.unused import unused
from nint_cli.config.yaml_text import file_layer
from nint_cli.device.settings import prepared, resolve_device
from nint_cli.errors import ConfigError, InputError
from nint_cli.metrics.schema import RunMetrics
from nint_cli.modalities.table import metrics_document, setting_keys
from nint_cli.runs import checkpoint
from nint_cli.runs.checkpoint import Checkpoint, Origin
from nint_cli.runs.control import Control
from nint_cli.runs.fit import Fit, Outcome
from nint_cli.runs.folder import CONFIG, LOG, METRICS, RunFolder
from nint_cli.runs.opening import newest, open_run
from nint_cli.samplers.table import sampler_class

# What may differ between a run and its continuation: how long it goes on, how often it is looked
# at, measured and saved, and how large an input may be. All else would change the mathematics.
_FREE = (
    "stop.",
    "evaluation.",
    "checkpoint.",
    "metrics.",
    "engine.threads",
    *setting_keys(lambda each: (*each.limits, *each.measures)),
)


def resume(
    path: Path,
    *,
    steps: int | None = None,
    time_budget_s: float | None = None,
    source: str | None = None,
    control: Control | None = None,
) -> Outcome:
    """Go on with a run in its own folder.

    A run that is stopped and resumed gives the bits of one that was never stopped, on the same
    machine with the same number of threads and versions of nint and PyTorch; where these are
    others, a note says so. Not so under a budget of time, nor on a GPU where a fit has diverged,
    which a stop lets it notice sooner, or a hash grid's gradient is added up in any order.

    Args:
        path: The run folder.
        steps: A new number of steps; only where no schedule depends on the number.
        time_budget_s: A new budget of training time, earlier parts included.
        source: Where its input is now, which the run then remembers; None if it is where it was.
        control: Watches and steers it.

    Returns:
        The outcome; `kept` if there was nothing left to do.

    Raises:
        InputError: If there is nothing to go on from.
    """
    control = control or Control()
    with open_run(path, lock=True, note=control.note) as folder:
        if folder.taken_over:
            control.note(f"'{path}' was left unfinished by {folder.taken_over}, which is gone")
        if not folder.checkpoints():
            raise InputError(
                f"no checkpoint in '{path}': the run ended before its first one was due; the same "
                "nint fit with --continue begins it anew"
            )
        saved, faults = newest(folder)
        for fault in faults:
            control.note(f"{fault}; going on from the checkpoint before it")
        resolved, changed = settings_to_go_on_with(folder, saved, steps, time_budget_s)
        for key, line in unused(resolved, saved.signal.kind).items():
            if key in changed:
                control.note(line)
        with prepared(resolved.config.engine, resolve_device(resolved.config.device)):
            place = saved.signal.source if source is None else source
            fit = Fit(saved.signal.kind, place, resolved, saved, folder.read_saved)
            with control.in_order():
                if fit.subject.record() != saved.signal:
                    _remember_place(folder, fit, saved)
                return _go_on(folder, fit, saved, control)


def _go_on(folder: RunFolder, fit: Fit, saved: Checkpoint, control: Control) -> Outcome:
    """Run what is left of a fit."""
    path = folder.path
    finished = _finished(folder, fit)
    if finished is not None:
        control.note(f"'{path}' is complete after {finished.steps} steps; nothing to do")
        return Outcome(path, finished, kept=True)
    row = folder.rewind_log(fit.trainer.step)
    if row.get("step") != fit.trainer.step:
        control.note(
            f"'{path / LOG}' has no row for step {fit.trainer.step}: the time of "
            "some earlier steps is not counted"
        )
    fit.cut_off = "event" in row
    fit.logged_step = None if fit.cut_off else row.get("step")
    fit.loss = row.get("loss")
    if _is_to_be_ended(saved, fit.resolved.config, folder.metrics()):
        fit.ended = saved.ended
    if isinstance(seconds := row.get("clock"), dict):
        fit.clock.resume(seconds)
    folder.write_origins(fit.resolved.origins)
    folder.remove(METRICS)  # which would say that the run is over
    # Damaged checkpoints that were passed over, and steps that will be done again, or never.
    folder.forget_after(fit.trainer.step)
    if saved.state.numbers.get("compiled"):
        control.note(
            f"'{path}' began with compiled passes, which were removed: the bits may differ from "
            "those of a run that was never stopped"
        )
    elsewhere = _elsewhere(saved.origin)
    if elsewhere is not None:
        control.note(f"'{path}' {elsewhere}")
    control.note(
        f"'{path}': going on from step {fit.trainer.step}{_length(fit.resolved.config)}"
        if fit.ended is None
        else f"'{path}': training is over; measuring what it came to"
    )
    return Outcome(path, fit.run(folder, control), files=fit.subject.files)


def _is_to_be_ended(saved: Checkpoint, config: RunConfig, metrics: Mapping[str, object]) -> bool:
    """Tell whether only the end of a run is to be done, which was cut off.

    Where a run is to become longer, or has diverged and was measured, training goes on.
    """
    same = (config.steps, config.stop) == (saved.config.steps, saved.config.stop)
    return same and metrics.get("status") not in {"complete", "diverged"}


def _remember_place(folder: RunFolder, fit: Fit, saved: Checkpoint) -> None:
    """Write in all of a run's records where its input is now."""
    folder.note_input(fit.source)
    moved = replace(saved, signal=fit.subject.record())
    folder.write_checkpoint(fit.trainer.step, checkpoint.encode(moved), keep=None)
    metrics = folder.metrics()
    if isinstance(metrics.get("input"), dict):
        metrics["input"] = fit.subject.input_record().model_dump(mode="json")
        folder.write_json(METRICS, metrics)


def settings_to_go_on_with(
    folder: RunFolder,
    saved: Checkpoint,
    steps: int | None = None,
    time_budget_s: float | None = None,
) -> tuple[Resolved, Set[str]]:
    """Lay the requested changes over the checkpoint's settings, and refuse what they forbid.

    A change is asked for by flag, or by editing config.yaml; that file is also ahead of the
    checkpoint where an earlier continuation was killed before its first save.

    Returns:
        The configuration, and the dotted keys that are changed.

    Raises:
        ConfigError: If they would make it another run; names every one that would.
    """
    config = saved.config
    faults: list[str] = []
    changes, origins = _edits(folder, config, faults)
    if steps is not None:
        changes["steps"], origins["steps"] = steps, "--steps"
    if time_budget_s is not None:
        changes["stop.time_budget_s"] = time_budget_s
        origins["stop.time_budget_s"] = "--time-budget"
    steps = changes.get("steps", config.steps)
    if steps != config.steps:
        faults += [
            f"{origins['steps']}: steps was {config.steps} and is now {steps}, but {key} = "
            f"{value} depends on it; fit into another folder"
            for key, value in _bound_to_steps(config).items()
        ]
        if steps < saved.state.numbers["step"]:
            faults.append(
                f"{origins['steps']}: steps is {steps}, but {saved.state.numbers['step']} steps "
                "are done"
            )
    if faults:
        raise ConfigError(*faults)
    merged = config.model_dump(mode="json")
    for key, value in changes.items():
        section, _, name = key.rpartition(".")
        (merged[section] if section else merged)[name] = value
    known = folder.origins() or dict.fromkeys(dotted_keys(), "checkpoint")
    return Resolved(RunConfig.model_validate(merged), known | origins), changes.keys()


def _edits(
    folder: RunFolder, config: RunConfig, faults: list[str]
) -> tuple[dict[str, Any], dict[str, str]]:
    """Give what config.yaml has otherwise than the checkpoint, with origins; add what it may not.

    Where the file is gone, nothing has changed.
    """
    written = folder.path / CONFIG
    if not written.exists():
        return {}, {}
    edited = resolve([_of_today(file_layer(written))])
    values, changes = edited.values(), {}
    for key, old in Resolved(config, {}).values().items():
        if values[key] == old:
            continue
        if key == "steps" or key.startswith(_FREE):
            changes[key] = values[key]
        else:
            faults.append(
                f"{written}: {key} was {old} and is now {values[key]}; that would be another run, "
                "so put it back, or fit into another folder"
            )
    return changes, {key: edited.origins[key] for key in changes}


def _of_today(layer: Layer) -> Layer:
    """Return a layer by today's keys, without those that an earlier version had and this lacks."""
    gone = removed_keys()
    settings = {
        RENAMED.get(key, key): value for key, value in layer.settings.items() if key not in gone
    }
    given = {key: setting.value for key, setting in layer.settings.items()}
    named = by_its_name(given)
    for key in MOVED if named else ():
        settings.pop(f"nint.{key}", None)
    for key, value in named.items():
        settings[key] = Setting(value, layer.settings["nint.scoring"].origin)
    return Layer(settings, layer.faults)


def _length(config: RunConfig) -> str:
    """Say how long a run is, as the end of a sentence."""
    if config.stop.at_steps is False and config.stop.time_budget_s is not None:
        return f", {config.stop.time_budget_s:g} s of training in all"
    return f" of {config.steps}"


def _elsewhere(origin: Origin) -> str | None:
    """Say why a run may not reach the bits that it would have had; None if it does."""
    here = Origin.here().model_dump()
    changed = {key: value for key, value in origin.model_dump().items() if value != here[key]}
    if not changed:
        return None
    before, now = (
        ", ".join(f"{key} {values[key]}" for key in changed) for values in (changed, here)
    )
    return (
        f"began with {before} and goes on with {now}: the bits may differ from those of a run "
        "that was never stopped"
    )


def _bound_to_steps(config: RunConfig) -> dict[str, object]:
    """Give the settings in use that mean another thing when the number of steps changes."""
    found: dict[str, object] = {}
    if config.optimiser.schedule != "constant":
        found["optimiser.schedule"] = config.optimiser.schedule
    if config.optimiser.beta1_steps is not None:
        found["optimiser.beta1_steps"] = config.optimiser.beta1_steps
    if config.optimiser.warmup:
        found["optimiser.warmup"] = config.optimiser.warmup
    if config.batch.schedule != "constant" and config.batch.size is None:
        found["batch.schedule"] = config.batch.schedule
    sampler = sampler_class(config.sampler)
    return found | dict(sampler.depends_on_steps(config.sampler_settings))


def _finished(folder: RunFolder, fit: Fit) -> RunMetrics | None:
    """Give the metrics of a run that has nothing left to do; None if it goes on."""
    try:
        metrics = metrics_document().validate_python(folder.metrics())
    except ValueError:
        return None  # it never came to its end
    config = fit.resolved.config
    budget = config.stop.time_budget_s
    by_time_alone = budget is not None and config.stop.at_steps is False
    figures = {name: metrics.figure(name) for name in fit.targets.wanted}
    over = (
        (not by_time_alone and fit.trainer.step >= config.steps)
        or (metrics.stop_reason == "target" and fit.targets.reached(figures))
        or (budget is not None and metrics.train_s >= budget)
    )
    return metrics if over and metrics.status == "complete" else None
