"""The fields by name: the one place that lists them.

Nothing is loaded before it is asked for, so that the command line can name them at once.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nint_cli.fields.base import Field

FIELDS: Mapping[str, str] = {
    "mlp": "mlp:Mlp",
    "pemlp": "pemlp:Pemlp",
    "ffn": "ffn:Ffn",
    "siren": "siren:Siren",
    "finer": "finer:Finer",
    "gauss": "gauss:Gauss",
    "wire": "wire:Wire",
    "hashgrid": "hashgrid:HashGrid",
}
"""Name, module of this package and class."""


def field_class(name: str) -> "type[Field]":
    """Load a field.

    Args:
        name: One of `FIELDS`.

    Returns:
        Its class.
    """
    module, _, kind = FIELDS[name].partition(":")
    found: type[Field] = getattr(import_module(f"nint_cli.fields.{module}"), kind)
    return found
