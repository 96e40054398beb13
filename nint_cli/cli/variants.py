"""Which methods a call of `nint compare` means, by their settings."""

import re
from collections.abc import Sequence

from nint_cli.cli.options import CompareOptions
from nint_cli.cli.settings import resolve_layers, tell_unused
from nint_cli.cli.signals_and_outcome import seconds
from nint_cli.comparison.plan import Variant
from nint_cli.config.yaml_text import file_layer
from nint_cli.errors import ConfigError

_EVALUATIONS = 20
# By evaluation.final=auto each run's end is measured at as many points as it had the time for.
_ALIKE = {"evaluation.selections": "true", "evaluation.final": "full"}
# What a comparison sets in place of what was given, and how to have a say in it.
_REPLACED = {"seed": "a comparison takes seeds from 0 on; --seeds says how many"}
_TUNED = {"optimiser.lr_side": "--tune lr finds the rate for any side; leave --tune out"}


def variants(kind: str, options: CompareOptions) -> list[Variant]:
    """Give every sampler with every field, and every variant that is spelt out.

    Args:
        kind: The modality.
        options: Of the command line.

    Returns:
        The methods, in the order of the command line. A ConfigError is raised for a setting that
        cannot be, and for a variant that cannot be read.
    """
    samplers: list[str | None] = [*(options.sampler or [])] or [None]
    fields: list[str | None] = [*(options.field or [])] or [None]
    found = []
    if options.sampler or options.field:
        for sampler in samplers:
            for field in fields:
                apart = (sampler if len(samplers) > 1 else None,
                         field if len(fields) > 1 else None)  # fmt: skip
                name = "-".join(filter(None, apart)) or sampler or field or ""
                found.append(_variant(kind, options, name, sampler, field))
    for text in options.variant or []:
        found.append(_spelt_out(kind, options, text, samplers[0], fields[0]))
    return found


def _spelt_out(
    kind: str, options: CompareOptions, text: str, sampler: str | None, field: str | None
) -> Variant:
    """Read ``NAME:KEY=VALUE,...``; a sampler or a field of its own goes before the given one."""
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
    return _variant(
        kind, options, name, given["sampler"] or sampler, given["field"] or field, settings
    )


def _variant(
    kind: str,
    options: CompareOptions,
    name: str,
    sampler: str | None,
    field: str | None,
    settings: Sequence[str] = (),
) -> Variant:
    """Make a method of its settings; those that watch it are the same for all."""
    own = [*(options.set_ or []), *settings]
    keys = {text.partition("=")[0].strip() for text in own}
    for path in options.config or []:
        keys |= file_layer(path).settings.keys()
    if not keys & {"evaluation.every", "evaluation.count"}:
        own.append(f"evaluation.count={_EVALUATIONS}")
    own += [f"{key}={value}" for key, value in _ALIKE.items() if key not in keys]
    flags: dict[str, tuple[str, object]] = {
        "sampler": ("--sampler", sampler),
        "field": ("--field", field),
        "steps": ("--steps", options.steps),
        "stop.time_budget_s": ("--time-budget", seconds(options.time_budget, "--time-budget")),
        "device": ("--device", options.device),
        "engine.precision": ("--precision", options.precision),
    }
    words = (
        f"--preset={options.preset}",
        *(f"--config={path}" for path in options.config or []),
        # Each run has a seed of its own, which one among the settings would contradict.
        *(f"--set={text}" for text in own if text.partition("=")[0].strip() != "seed"),
        *(f"{flag}={value}" for flag, value in flags.values() if value is not None),
    )
    resolved = resolve_layers(kind, options.preset, options.config or [], own, flags)
    tell_unused(
        resolved,
        kind,
        about=f"variant {name}: ",
        replaced=_REPLACED | (_TUNED if options.tune is not None else {}),
        passed_over={"evaluation.count", *_ALIKE} - keys,
    )
    return Variant(name, words, resolved)
