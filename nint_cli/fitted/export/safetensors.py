"""The field alone as safetensors, the format that nint opens again."""

from nint_cli.fitted import safetensors_file
from nint_cli.fitted.export.format import Note
from nint_cli.fitted.fitted import Fitted


def encode(fitted: Fitted, note: Note) -> bytes:
    """Return the content of a safetensors file; see `safetensors_file.encode`.

    Args:
        fitted: The field.
        note: Told nothing, for nothing is lost.

    Returns:
        The content.
    """
    return safetensors_file.encode(fitted.config, fitted.signal, fitted.field, fitted.step)
