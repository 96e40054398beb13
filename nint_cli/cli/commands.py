"""All commands. Nothing here imports torch before one of them runs, so help is instant."""

import contextlib
import os
import sys
from pathlib import Path

import typer
from typer.main import get_command

from nint_cli.cli import console
from nint_cli.cli.compare import compare_app
from nint_cli.cli.compress import compress
from nint_cli.cli.decompress import decompress
from nint_cli.cli.doctor import doctor
from nint_cli.cli.evaluate import evaluate
from nint_cli.cli.export import export
from nint_cli.cli.fit import fit_app
from nint_cli.cli.inspect import inspect
from nint_cli.cli.interrupts import Stopped, interrupts
from nint_cli.cli.listing import list_names
from nint_cli.cli.processes import ENDS_WITH_STDIN
from nint_cli.cli.render import render
from nint_cli.cli.resume import resume
from nint_cli.cli.settings import config_app
from nint_cli.cli.view import view
from nint_cli.device.cpu import keep_freed_memory
from nint_cli.errors import NintError
from nint_cli.version import __version__

app = typer.Typer(
    name="nint",
    help="Fit implicit neural representations to pictures, sounds and shapes.",
    invoke_without_command=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.add_typer(fit_app, name="fit")
app.command("resume")(resume)
app.command("eval")(evaluate)
app.command("export")(export)
app.command("render")(render)
app.command("compress")(compress)
app.command("decompress")(decompress)
app.add_typer(compare_app, name="compare")
app.command("inspect")(inspect)
app.command("view")(view)
app.add_typer(config_app, name="config")
app.command("list")(list_names)
app.command("doctor")(doctor)


def _show_version(wanted: bool) -> None:
    if wanted:
        console.result(f"nint {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    version: bool = typer.Option(
        False, "--version", callback=_show_version, is_eager=True, help="Show the version."
    ),
) -> None:
    """Fit implicit neural representations to pictures, sounds and shapes."""
    if context.invoked_subcommand is None:
        console.result(context.get_help())


def be_a_process(arguments: list[str]) -> int:
    """Run one command in a process that is there for it alone; see `run`."""
    if os.environ.pop(ENDS_WITH_STDIN, None):
        interrupts.end_with(sys.stdin.read)
    keep_freed_memory()
    code = run(arguments)
    if interrupts.orphaned:
        from nint_cli.cli.batch import note_orphan

        with contextlib.suppress(Exception):  # there is nobody to tell
            note_orphan(code)
    return code


def run(arguments: list[str]) -> int:
    """Run one command; every error becomes one line and its exit code.

    Args:
        arguments: Without the program's name.

    Returns:
        The exit code.
    """
    try:
        code = get_command(app).main(arguments, prog_name="nint", standalone_mode=False)
    except NintError as error:
        for line in error.lines:
            console.error(line)
        return error.exit_code
    except typer.TyperException as error:
        text = " ".join(error.format_message().split()).rstrip(".")
        if "--resume" in text:
            text += "; to go on with a run there is `nint resume RUN`"
        if any(word.startswith("-") and Path(word).exists() for word in arguments):
            text += "; before a file whose name begins with a dash put --"
        stop = "" if text.endswith("?") else "."
        console.error(f"{text}{stop} See --help.")
        return error.exit_code
    except (Stopped, KeyboardInterrupt, typer.Abort):
        return interrupts.interrupted()
    except Exception as error:
        return console.unexpected(error)
    return code if isinstance(code, int) else 0
