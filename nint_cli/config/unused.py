"""Settings that were given and have no effect, each with what would make it count.

A section says itself what its own settings and the rest of the configuration leave without effect
(`Section.unused`). Here stands what no section can know: that nobody reads it.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from nint_cli.config.layers import BUILT_IN, Resolved, is_given
from nint_cli.config.presets import preset_names
from nint_cli.config.schema import RunConfig, dotted_keys
from nint_cli.device.settings import device_kind
from nint_cli.fields.base import ChainField
from nint_cli.fields.table import FIELDS, field_class
from nint_cli.modalities.table import MODALITIES
from nint_cli.samplers.drawing import UniformDraws
from nint_cli.samplers.table import SAMPLERS, sampler_class, section_of
from nint_cli.settings import Circumstances, Section


def unused(
    resolved: Resolved, modality: str, replaced: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Return a line for each setting that was given and has no effect.

    What nobody gave, because it is built in, or of a preset or a recipe, is passed over; and so is
    a built-in value in a file, for a run's config.yaml holds them all.

    Args:
        resolved: The configuration.
        modality: What is fitted.
        replaced: By dotted key, why a command sets others in place of what was given; or None.

    Returns:
        Lines by dotted key, in the order of the schema: what was given, where, that it has no
        effect, why, and what would make it count.
    """
    values, reasons = resolved.values(), without_effect(resolved.config, modality)
    reasons |= replaced or {}
    presets, built_in = preset_names(modality), _built_in()
    lines = {}
    for key in dotted_keys():
        value, origin, why = values[key], resolved.origins.get(key, BUILT_IN), reasons.get(key)
        undone = resolved.undone.get(key)
        if undone is not None and undone.setting.value != value:
            value, origin = undone.setting
            why = f"{undone.by} ({undone.origin}), given later, undoes it; give it last"
        in_file = not origin.startswith("--") and origin != "settings"
        if why is None or not is_given(origin, presets) or (in_file and value == built_in[key]):
            continue
        lines[key] = f"{key}={_shown(value)} ({origin}) has no effect: {why}"
    return lines


def without_effect(config: RunConfig, modality: str) -> dict[str, str]:
    """Return why settings have no effect, and what would make them count, by dotted key.

    Args:
        config: The configuration.
        modality: What is fitted.
    """
    around = circumstances(config, modality)
    found: dict[str, str] = {}
    if config.stop.time_budget_s is not None and config.stop.at_steps is False:
        found["steps"] = "stop.at_steps is false, so that time alone ends the run; set it to true"
    for name, section in _sections(config):
        keys = [each.alias or key for key, each in type(section).model_fields.items()]
        nobody = _nobody_reads(name, keys, config, modality)
        reasons = {**section.unused(around), **nobody}
        found |= {f"{name}.{key}": why for key, why in reasons.items()}
    return found


def circumstances(config: RunConfig, modality: str) -> Circumstances:
    """Return what sections must know of the rest of a configuration.

    Args:
        config: The configuration.
        modality: What is fitted.
    """
    batch, sampler = config.batch, sampler_class(config.sampler)
    return Circumstances(
        modality=modality,
        on_grid=MODALITIES[modality].on_grid,
        device=device_kind(config.device),
        field=config.field,
        by_hand=issubclass(field_class(config.field), ChainField),
        sampler=config.sampler,
        shrinks=sampler.sized,
        # A sampler that draws by epochs has their state.
        reshuffles=UniformDraws.host_entries <= sampler.host_entries,
        whole=config.sampler == "full" or (batch.size is None and batch.fraction == 1),
        timed=config.stop.time_budget_s is not None,
    )


def _sections(config: RunConfig) -> Iterator[tuple[str, Section]]:
    """Yield every section by its name in a file."""
    for name, field in type(config).model_fields.items():
        value = getattr(config, name)
        if isinstance(value, Section):
            yield field.alias or name, value


def _nobody_reads(
    name: str, keys: Sequence[str], config: RunConfig, modality: str
) -> dict[str, str]:
    """Return why this run does not read keys of a section, and who does, by key."""
    if name in MODALITIES:
        why = f"the input is a {MODALITIES[modality].noun}; nint fit {name} reads it"
        return {} if name == modality else dict.fromkeys(keys, why)
    if name in FIELDS:
        why = f"field is {config.field}; --field {name} reads it"
        return {} if name == config.field else dict.fromkeys(keys, why)
    readers = [each for each in SAMPLERS if section_of(each) == name]
    found = {}
    for key in keys:
        able = [each for each in readers if _reads(each, key)]
        if able and config.sampler not in able:
            why = f"sampler is {config.sampler}; --sampler {' or '.join(able)} reads it"
            found[key] = why
    return found


def _reads(sampler: str, key: str) -> bool:
    reads = sampler_class(sampler).reads
    return reads is None or key in reads


def _built_in() -> dict[str, Any]:
    return Resolved(RunConfig(), {}).values()


def _shown(value: object) -> str:
    """Write a value as ``--set`` takes it."""
    return value if isinstance(value, str) else json.dumps(value, default=str)
