"""The shipped presets: YAML files under ``configs/``."""

from functools import cache
from pathlib import Path

from nint_cli.config.layers import Layer
from nint_cli.config.yaml_text import parse_yaml
from nint_cli.errors import ConfigError, did_you_mean


@cache
def _folder() -> Path:
    """Find ``configs``: inside an installed wheel, or beside the package in a checkout."""
    package = Path(__file__).resolve().parent.parent
    shipped = package / "configs"
    return shipped if shipped.is_dir() else package.parent / "configs"


def preset_names() -> list[str]:
    """List the presets.

    Returns:
        Their names, sorted.
    """
    return sorted(path.stem for path in _folder().glob("*.yaml"))


def preset_layer(name: str) -> Layer:
    """Read a preset.

    Args:
        name: One of `preset_names`.

    Returns:
        Its settings; the origin is the preset's name with line and column.

    Raises:
        ConfigError: If there is no such preset.
    """
    names = preset_names()
    if name not in names:
        hint = did_you_mean(name, names)
        raise ConfigError(f"--preset {name}: no such preset{hint}; there are {', '.join(names)}")
    text = (_folder() / f"{name}.yaml").read_text(encoding="utf-8")
    return parse_yaml(text, f"preset {name}")


def preset_summary(name: str) -> str:
    """Give the comment that a preset begins with.

    Args:
        name: One of `preset_names`.

    Returns:
        Its text, as one line.
    """
    words = []
    for line in (_folder() / f"{name}.yaml").read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        words += line.lstrip("# ").split()
    return " ".join(words)
