"""Names for the shell to complete; the configuration is loaded only when it asks."""

from collections.abc import Callable

from nint_cli.modalities.table import MODALITIES
from nint_cli.signals.source import SAMPLE_PREFIX


def presets(incomplete: str) -> list[str]:
    """Complete a preset."""
    from nint_cli.config.presets import preset_names

    return [name for name in preset_names() if name.startswith(incomplete)]


def samplers(incomplete: str) -> list[str]:
    """Complete a sampler."""
    from nint_cli.samplers.table import SAMPLERS

    return [name for name in SAMPLERS if name.startswith(incomplete)]


def fields(incomplete: str) -> list[str]:
    """Complete a field."""
    from nint_cli.fields.table import FIELDS

    return [name for name in FIELDS if name.startswith(incomplete)]


def keys(incomplete: str) -> list[str]:
    """Complete the key of a setting."""
    from nint_cli.config.schema import dotted_keys

    return [f"{key}=" for key in dotted_keys() if key.startswith(incomplete)]


def samples(kind: str) -> Callable[[str], list[str]]:
    """Return what completes the built-in inputs of a modality.

    Args:
        kind: Its name.

    Returns:
        A function that leaves it to the shell to complete a file.
    """

    def complete(incomplete: str) -> list[str]:
        if not incomplete.startswith(SAMPLE_PREFIX):
            return []
        names = [SAMPLE_PREFIX + name for name in MODALITIES[kind].samples().names()]
        return [name for name in names if name.startswith(incomplete)]

    return complete
