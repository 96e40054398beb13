"""The samplers by name: the one place that lists them.

Nothing is loaded before it is asked for, so that the command line can name them at once.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nint_cli.samplers.base import Sampler, Slot

SAMPLERS: Mapping[str, str] = {
    "full": "full:Full",
    "uniform": "uniform:Uniform",
    "egra": "egra:Egra",
    "expansive": "expansive:Expansive",
    "soft_mining": "soft_mining:SoftMining",
    "int": "int:Int",
    "evos": "evos:Evos",
    "nint": "nint:Nint",
    "nint_diagonal": "nint_diagonal:NintDiagonal",
    "nint_released": "nint_released:NintReleased",
}
"""Name, module of this package and class."""


def sampler_class(name: str) -> "type[Sampler]":
    """Load a sampler.

    Args:
        name: One of `SAMPLERS`.

    Returns:
        Its class.
    """
    module, _, kind = SAMPLERS[name].partition(":")
    found: type[Sampler] = getattr(import_module(f"nint_cli.samplers.{module}"), kind)
    return found


def section_of(name: str) -> str | None:
    """Return the section of settings that a sampler reads; None if it has no settings."""
    kind = sampler_class(name)
    return (kind.section or name) if kind.Settings.model_fields else None


def all_slots() -> "dict[str, Slot]":
    """Return the rules of all samplers by name."""
    return {name: slot for each in SAMPLERS for name, slot in sampler_class(each).slots.items()}
