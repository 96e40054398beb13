"""What an input seems to be, for one that was given to the wrong command."""

from pathlib import Path

from nint_cli.modalities.table import MODALITIES
from nint_cli.signals.elsewhere import file_name
from nint_cli.signals.source import SAMPLE_PREFIX


def another_command(source: str, kind: str) -> str:
    """Say which command takes an input that could not be read, by its name.

    Args:
        source: A file, or ``sample:NAME``.
        kind: The modality that could not read it.

    Returns:
        A clause that starts with a semicolon; nothing where the name fits the modality, or none.
    """
    suffix, name = Path(file_name(source)).suffix.lower(), source.removeprefix(SAMPLE_PREFIX)
    built_in = source.startswith(SAMPLE_PREFIX)
    for other in MODALITIES.values():
        if name in other.samples().by_name if built_in else suffix in other.suffixes():
            if other.name == kind:
                return ""
            return f"; it seems to be a {other.noun}, which is for nint fit {other.name}"
    return ""
