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
from nint_cli.fields.ffn import Ffn
from nint_cli.fields.finer import Finer
from nint_cli.fields.gauss import Gauss
from nint_cli.fields.hashgrid import HashGrid
from nint_cli.fields.mlp import Mlp
from nint_cli.fields.pemlp import Pemlp
from nint_cli.fields.siren import Siren
from nint_cli.fields.wire import Wire

__all__ = [
    "Activation",
    "Chain",
    "ChainField",
    "Encoding",
    "Ffn",
    "Field",
    "Finer",
    "Gauss",
    "HashGrid",
    "Layer",
    "Mlp",
    "Pemlp",
    "Siren",
    "Wire",
    "load_parameters",
]
