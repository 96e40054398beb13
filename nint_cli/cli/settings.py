"""``nint config``: look at settings, and check files of them."""

import re
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nint_cli.cli import completion, console
from nint_cli.cli.options import ModalityName
from nint_cli.modalities.table import MODALITIES

if TYPE_CHECKING:
    from nint_cli.config.layers import Layer, Resolved
    from nint_cli.runs.start import Start

config_app = typer.Typer(
    help="Show, describe and check settings.", invoke_without_command=True, rich_markup_mode=None
)

Files = Annotated[list[Path], typer.Argument(metavar="FILE...", help="YAML files of settings.")]


@config_app.callback()
def _config(context: typer.Context) -> None:
    """Show, describe and check settings."""
    if context.invoked_subcommand is None:
        console.result(context.get_help())


@config_app.command()
def show(
    modality: Annotated[
        ModalityName, typer.Option("--for", help="The modality whose presets and recipes count.")
    ] = "image",
    preset: Annotated[
        str,
        typer.Option(metavar="NAME", help="Shipped settings.", autocompletion=completion.presets),
    ] = "default",
    config: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="YAML settings over the preset's; may be repeated."),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="One setting.", autocompletion=completion.keys
        ),
    ] = None,
) -> int:
    """Show every setting, as YAML, with where it comes from."""
    resolved = resolve_layers(modality, preset, config or [], set_ or [], {})
    tell_unused(resolved, modality)
    console.result(commented(resolved))
    return 0


@config_app.command()
def schema() -> int:
    """Print the JSON Schema of the settings, with meanings, units and ranges."""
    import json

    from nint_cli.config.schema import RunConfig

    console.result(json.dumps(RunConfig.model_json_schema(by_alias=True), indent=2))
    return 0


@config_app.command()
def validate(
    files: Files,
    modality: Annotated[
        ModalityName | None,
        typer.Option(
            "--for", help="What they are for; else a setting counts if it does for any modality."
        ),
    ] = None,
    preset: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="What they are laid over.", autocompletion=completion.presets
        ),
    ] = "default",
) -> int:
    """Check files of settings, each for itself; name faults, and what has no effect."""
    from nint_cli.config.layers import resolve
    from nint_cli.config.yaml_text import file_layer
    from nint_cli.errors import ConfigError

    faults: list[str] = []
    for path in files:
        try:
            layer = file_layer(path).of_today()
            resolve([layer])
        except ConfigError as error:
            faults += error.lines
        else:
            console.note(f"{path}: valid")
            for line in layer.notes:
                console.note(line)
            for line in _dead_for_all(layer, preset, [modality] if modality else [*MODALITIES]):
                console.note(line)
    if faults:
        raise ConfigError(*faults)
    return 0


def _dead_for_all(layer: "Layer", preset: str, modalities: list[str]) -> list[str]:
    """Return a line for each setting of a file that has no effect, whatever is fitted."""
    from nint_cli.config.layers import resolve
    from nint_cli.config.presets import preset_layer
    from nint_cli.config.unused import unused
    from nint_cli.errors import ConfigError

    found = []
    for modality in modalities:
        below = preset_layer(preset, modality)
        with suppress(ConfigError):  # it contradicts the preset, and a fit will say so
            found.append(unused(resolve([below, layer], modality), modality))
    first, *others = found or [{}]
    return [
        f"{line} (over --preset {preset})"
        for key, line in first.items()
        if all(key in each for each in others)
    ]


def resolve_layers(
    modality: str,
    preset: str,
    files: list[Path],
    assignments: list[str],
    flags: dict[str, tuple[str, object]],
    start: "Start | None" = None,
) -> "Resolved":
    """Stack the layers: preset, files, --set, flags.

    Args:
        modality: What is fitted.
        preset: Name of the preset.
        files: YAML files, the strongest last.
        assignments: Texts of ``--set``.
        flags: Named flags by dotted key; None was not given.
        start: What the fit starts from, whose field is laid over all of them; or None.

    Returns:
        The configuration with origins.
    """
    from nint_cli.config.layers import flag_layer, resolve
    from nint_cli.config.presets import preset_layer
    from nint_cli.config.yaml_text import file_layer, set_layer

    settings = set_layer(assignments)
    preset_settings = preset_layer(preset, modality)
    given = [file_layer(path).of_today() for path in files]
    for line in (note for layer in given for note in layer.notes):
        console.note(line)
    own = [*given, settings, flag_layer(flags, settings)]
    if start is None:
        return resolve([preset_settings, *own], modality)
    from nint_cli.fitted.start import field_layer

    return resolve([preset_settings, *own, field_layer(start, own)], modality)


def tell_unused(
    resolved: "Resolved",
    modality: str,
    *,
    about: str = "",
    replaced: Mapping[str, str] | None = None,
    passed_over: Collection[str] = (),
) -> None:
    """Write to stderr a line for each setting that was given and has no effect.

    Args:
        resolved: The configuration.
        modality: What is fitted.
        about: Before each line, such as the name of a variant.
        replaced: See `unused`.
        passed_over: Dotted keys that a command has set by itself.
    """
    from nint_cli.config.unused import unused

    for key, line in unused(resolved, modality, replaced).items():
        if key not in passed_over:
            console.note(f"{about}{line}")


def commented(resolved: "Resolved") -> str:
    """Write every setting as YAML with its origin as a comment.

    Args:
        resolved: The configuration.

    Returns:
        A YAML document.
    """
    lines, section = [], ""
    for key, value in resolved.values().items():
        head, dot, name = key.rpartition(".")
        if head != section:
            lines.append(f"{head}:")
            section = head
        origin = console.printable(resolved.origins[key])
        lines.append(f"{'  ' if dot else ''}{name}: {_scalar(value)}  # {origin}")
    return "\n".join(lines)


def _scalar(value: object) -> str:
    """Write a scalar as YAML reads it."""
    if value is None:
        return "null"
    if isinstance(value, str) and not re.fullmatch(r"[A-Za-z/][\w./-]*", value):
        import json

        return json.dumps(value)  # a file may be called anything
    return str(value).lower() if isinstance(value, bool) else str(value)
