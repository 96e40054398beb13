"""The shipped presets: YAML files under ``configs/``, in a folder per modality.

The schema is loaded only when a preset is read, so that the shell can complete names at once.
"""

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from nint_cli.errors import ConfigError, did_you_mean
from nint_cli.modalities.table import MODALITIES

if TYPE_CHECKING:
    from nint_cli.config.layers import Layer


@cache
def _folder() -> Path:
    """Find ``configs``: inside an installed wheel, or beside the package in a checkout."""
    package = Path(__file__).resolve().parent.parent
    shipped = package / "configs"
    return shipped if shipped.is_dir() else package.parent / "configs"


def preset_names(modality: str = "image") -> list[str]:
    """List the presets.

    Args:
        modality: What is fitted.

    Returns:
        Their names, sorted.
    """
    return sorted(path.stem for path in (_folder() / modality).glob("*.yaml"))


def preset_layer(name: str, modality: str = "image") -> "Layer":
    """Read a preset.

    Args:
        name: One of `preset_names`.
        modality: What is fitted.

    Returns:
        Its settings; the origin is the preset's name with line and column.

    Raises:
        ConfigError: If there is no such preset, or no such modality.
    """
    from nint_cli.config.yaml_text import parse_yaml

    if modality not in MODALITIES:
        hint = did_you_mean(modality, MODALITIES)
        raise ConfigError(
            f"modality {modality}: no such modality{hint}; there are {', '.join(MODALITIES)}"
        )
    names = preset_names(modality)
    if name not in names:
        hint = did_you_mean(name, names)
        raise ConfigError(f"--preset {name}: no such preset{hint}; there are {', '.join(names)}")
    text = _text(name, modality)
    return parse_yaml(text, f"preset {name}")


def preset_summary(name: str, modality: str = "image") -> str:
    """Give the comment that a preset begins with.

    Args:
        name: One of `preset_names`.
        modality: What is fitted.

    Returns:
        Its text, as one line.
    """
    words = []
    for line in _text(name, modality).splitlines():
        if not line.startswith("#"):
            break
        words += line.lstrip("# ").split()
    return " ".join(words)


def _text(name: str, modality: str) -> str:
    return (_folder() / modality / f"{name}.yaml").read_text(encoding="utf-8")
