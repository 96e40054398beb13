"""Fields: coordinate networks that map coords (B, D) to values (B, C)."""

from nint_cli.fields.base import Field, load_parameters
from nint_cli.fields.siren import Siren

__all__ = ["Field", "Siren", "load_parameters"]
