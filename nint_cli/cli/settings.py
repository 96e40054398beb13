"""``nint config``: look at settings, and check files of them."""

from pathlib import Path
from typing import Annotated

import typer

from nint_cli.cli import console, names
from nint_cli.cli.fit import commented, resolve_layers

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
    preset: Annotated[
        str,
        typer.Option(metavar="NAME", help="Shipped settings.", autocompletion=names.presets),
    ] = "default",
    config: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="YAML settings over the preset's; may be repeated."),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="One setting.", autocompletion=names.keys),
    ] = None,
) -> int:
    """Show every setting, as YAML, with where it comes from."""
    console.result(commented(resolve_layers(preset, config or [], set_ or [], {})))
    return 0


@config_app.command()
def schema() -> int:
    """Print the JSON Schema of the settings, with meanings, units and ranges."""
    import json

    from nint_cli.config import RunConfig

    console.result(json.dumps(RunConfig.model_json_schema(by_alias=True), indent=2))
    return 0


@config_app.command()
def validate(files: Files) -> int:
    """Check files of settings, each for itself; name every fault with its place."""
    from nint_cli.config import file_layer, resolve
    from nint_cli.errors import ConfigError

    faults: list[str] = []
    for path in files:
        try:
            resolve([file_layer(path)])
        except ConfigError as error:
            faults += error.lines
        else:
            console.note(f"{path}: valid")
    if faults:
        raise ConfigError(*faults)
    return 0
