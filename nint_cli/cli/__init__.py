"""The command line. Signals are taken over first, for all else takes a while to load."""

import sys

from nint_cli.cli.interrupts import Stopped, interrupts


def main() -> None:
    """Be the process of a command, and exit with its code."""
    try:
        interrupts.install()
        from nint_cli.cli import commands

        code = commands.be_a_process(sys.argv[1:])
    except Stopped:
        code = interrupts.interrupted()
    interrupts.done = True
    sys.exit(code)


def run(arguments: list[str]) -> int:
    """Run one command, under the signal handlers that there are.

    Args:
        arguments: Without the program's name.

    Returns:
        The exit code.
    """
    from nint_cli.cli import commands

    return commands.run(arguments)
