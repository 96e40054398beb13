"""Names for the shell to complete; the configuration is loaded only when it asks."""


def presets(incomplete: str) -> list[str]:
    """Complete a preset."""
    from nint_cli.config import preset_names

    return [name for name in preset_names() if name.startswith(incomplete)]


def samplers(incomplete: str) -> list[str]:
    """Complete a sampler."""
    from nint_cli.config import SAMPLER_NAMES

    return [name for name in SAMPLER_NAMES if name.startswith(incomplete)]


def fields(incomplete: str) -> list[str]:
    """Complete a field."""
    from nint_cli.config import FIELD_NAMES

    return [name for name in FIELD_NAMES if name.startswith(incomplete)]


def keys(incomplete: str) -> list[str]:
    """Complete the key of a setting."""
    from nint_cli.config import dotted_keys

    return [f"{key}=" for key in dotted_keys() if key.startswith(incomplete)]


def inputs(incomplete: str) -> list[str]:
    """Complete a built-in sample; nothing leaves it to the shell to complete a file."""
    if not incomplete.startswith("sample:"):
        return []
    from nint_cli.signals.samples import PREFIX, picture_names

    return [name for each in picture_names() if (name := PREFIX + each).startswith(incomplete)]
