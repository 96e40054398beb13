"""Fields: coordinate networks that map coords (B, D) to values (B, C)."""

from nint_cli.fields.base import (
    Activation,
    Chain,
    ChainField,
    Encoding,
    Field,
    Layer,
    load_parameters,
)
from nint_cli.fields.siren import Siren

__all__ = [
    "Activation",
    "Chain",
    "ChainField",
    "Encoding",
    "Field",
    "Layer",
    "Siren",
    "load_parameters",
]
