"""Names for the shell to complete; the configuration is loaded only when it asks."""


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


def pictures(incomplete: str) -> list[str]:
    """Complete a built-in picture; nothing leaves it to the shell to complete a file."""
    if not incomplete.startswith(_SAMPLE):
        return []
    from nint_cli.signals.samples import picture_names

    return _completed(picture_names(), incomplete)


def sounds(incomplete: str) -> list[str]:
    """Complete a built-in sound."""
    if not incomplete.startswith(_SAMPLE):
        return []
    from nint_cli.signals.samples import sound_names

    return _completed(sound_names(), incomplete)


def shapes(incomplete: str) -> list[str]:
    """Complete a built-in shape."""
    if not incomplete.startswith(_SAMPLE):
        return []
    from nint_cli.modalities.sdf.sample_meshes import solid_names

    return _completed(solid_names(), incomplete)


_SAMPLE = "sample:"


def _completed(names: list[str], incomplete: str) -> list[str]:
    return [name for each in names if (name := _SAMPLE + each).startswith(incomplete)]
