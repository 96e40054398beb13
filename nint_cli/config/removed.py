"""Settings that earlier versions had: what became of each, and how to read what they wrote.

A user who gives one is told why it is gone. A run folder that an earlier version wrote still
loads, for none of these settings decides what its network computes.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from nint_cli.config.schema import RunConfig, dotted_keys

REMOVED: Mapping[str, str] = {
    "batch.fill": "larger batches for a GPU were never measured on one",
    "engine.blocks": "measured block sizes gained nothing that a second measurement found again",
    "engine.compile": "compiled passes gained a SIREN 0.1 to 0.3 dB in five minutes",
    "engine.graphs": "CUDA graphs were never run on a GPU",
    "nint.pool": "it belongs to a sampler of its own: nint_diagonal.pool",
    "nint.scoring": "guidance without sweeps is a sampler of its own: --sampler nint_diagonal",
    "nint.tangent": "no preset had a use for a difference in place of the JVP",
}
"""By dotted key, the reason in one clause."""

FORMER: Mapping[str, Any] = {
    "batch.fill": "never",
    "engine.blocks": "usual",
    "engine.compile": "never",
    "engine.graphs": False,
    "nint.pool": 4,
    "nint.scoring": "sweep",
    "nint.tangent": "exact",
}
"""By dotted key, what the removed ones were by default."""

RENAMED: Mapping[str, str] = {"optimiser.guard": "optimiser.rescue"}
"""By the old dotted key, the new one."""

MOVED = ("pool", "xi", "start", "weight", "max_chosen")
"""Keys of `nint` that guidance by remembered errors has in a section of its own."""

_OF_ENVIRONMENT = ("compiled", "filled_batch")  # what metrics.json said of their effect


def removed_keys() -> Collection[str]:
    """Return the removed keys, without those that the schema has."""
    return REMOVED.keys() - dotted_keys().keys()


def without_removed(config: Mapping[str, Any], *, filled: bool = False) -> dict[str, Any]:
    """Return settings that an earlier version wrote without those that are gone.

    Args:
        config: All settings of a run, nested.
        filled: Whether its batches may have been larger than their size. Then `batch.fill` stays,
            so that the run is not taken for one of the batches in its settings.

    Returns:
        A copy without the removed keys; what else is unknown stays, for validation to refuse.
    """
    found = _diagonal_by_its_name(config)
    for key in removed_keys():
        head, _, name = key.partition(".")
        section = found.get(head)
        if not isinstance(section, Mapping) or name not in section:
            continue
        if key == "batch.fill" and filled and section[name] != "never":
            continue
        found[head] = {each: value for each, value in section.items() if each != name}
    for old, new in RENAMED.items():
        head, _, name = old.partition(".")
        section = found.get(head)
        if isinstance(section, Mapping) and name in section:
            named = {new.partition(".")[2]: section[name]}
            rest = {each: value for each, value in section.items() if each != name}
            found[head] = named | rest
    return found


def by_its_name(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what guidance by remembered errors is called today.

    It was sampler nint with ``nint.scoring=pool``. What else that could do, an NTK slot by Adam's
    first moment, is gone: such a run evaluates, and its checkpoint is refused where it goes on.

    Args:
        values: Settings of a run by dotted key.

    Returns:
        Settings by dotted key that stand for them; empty where they are of today.
    """
    if values.get("nint.scoring") != "pool":
        return {}
    found = {
        f"nint_diagonal.{key}": values[f"nint.{key}"] for key in MOVED if f"nint.{key}" in values
    }
    found["nint_diagonal.score"] = "error"
    if values.get("sampler") == "nint":
        found["sampler"] = "nint_diagonal"
    return found


def rules_by_name(rules: Sequence[Sequence[Any]]) -> list[Sequence[Any]]:
    """Return what the rules of guidance by remembered errors are called today.

    Args:
        rules: (rule, points that it chose), as an earlier version or this one wrote them.

    Returns:
        The same without the NTK slot where that was empty, as it was by default.
    """
    kept = (each for each in rules if tuple(each) != ("ntk", 0))
    return [("error", each[1]) if each[0] == "residual" else each for each in kept]


def _diagonal_by_its_name(config: Mapping[str, Any]) -> dict[str, Any]:
    found, section = dict(config), config.get("nint")
    if not isinstance(section, Mapping):
        return found
    values = {f"nint.{key}": value for key, value in section.items()}
    named = by_its_name(values | {"sampler": config.get("sampler")})
    if named:
        found["sampler"] = named.pop("sampler", config.get("sampler"))
        # What moved is nobody's there any more, and no difference between two runs.
        built_in = RunConfig().model_dump(mode="json")["nint"]
        left = {key: built_in[key] for key in MOVED if key in section and key in built_in}
        found["nint"] = {**section, **left}
        found["nint_diagonal"] = {key.partition(".")[2]: value for key, value in named.items()}
    return found


def metrics_of_today(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Return what metrics.json says as this version would have written it.

    Args:
        metrics: The document; parts of it may be missing or damaged.

    Returns:
        A copy without the removed keys.
    """
    found, filled = dict(metrics), False
    environment = found.get("environment")
    if isinstance(environment, Mapping):
        filled = environment.get("filled_batch") is not None
        kept = {key: value for key, value in environment.items() if key not in _OF_ENVIRONMENT}
        found["environment"] = kept
    if isinstance(found.get("config"), Mapping):
        found["config"] = without_removed(found["config"], filled=filled)
    if isinstance(found.get("origins"), Mapping):
        gone = removed_keys()
        found["origins"] = {
            RENAMED.get(key, key): origin
            for key, origin in found["origins"].items()
            if key not in gone
        }
    return found
