"""The errors a user can meet; each knows the exit code of the command line.

A message is one line: what is wrong, where, and what to do. It may hold a file name as it is:
escaping for the terminal happens where it is printed.
"""

import difflib
from collections.abc import Iterable, Sequence
from typing import ClassVar


class NintError(Exception):
    """Root of every error that `nint` raises on purpose."""

    exit_code: ClassVar[int] = 1

    @property
    def lines(self) -> Sequence[str]:
        """The message, one entry per fault."""
        return [str(self)]


class ConfigError(NintError):
    """The command line or the configuration asks for something that cannot be done.

    Args:
        faults: One line per fault; all that are known, so that a user can correct them at once.
    """

    exit_code = 2

    def __init__(self, *faults: str) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults

    @property
    def lines(self) -> Sequence[str]:
        """The message, one entry per fault."""
        return self.faults


class InputError(NintError):
    """A file that was to be read is missing, damaged or of an unsupported kind."""

    exit_code = 3


class AnotherInputError(InputError):
    """A file is sound, but not the input that a run was fitted to."""


class OutputError(NintError):
    """The run folder is taken, or it cannot be written."""

    exit_code = 4


class DivergedError(NintError):
    """Training left the finite numbers."""

    exit_code = 5


class OutOfMemoryError(NintError):
    """The machine or the device has too little memory for the request."""

    exit_code = 6


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error, of Python or of PyTorch, means that memory ran out.

    Args:
        error: What was raised.

    Returns:
        PyTorch's are told by their text.
    """
    text = str(error)
    return (
        isinstance(error, MemoryError)
        or "out of memory" in text
        or "can't allocate memory" in text
        or "CUBLAS_STATUS_ALLOC_FAILED" in text
    )


def did_you_mean(name: str, choices: Iterable[str]) -> str:
    """Suggest the choice nearest to a misspelt name.

    Args:
        name: What was given.
        choices: What is allowed.

    Returns:
        A clause that starts with a comma, or nothing when no choice is near.

    Example:
        >>> did_you_mean("nnit", ["full", "nint"])
        ", did you mean 'nint'?"
        >>> did_you_mean("zebra", ["full", "nint"])
        ''
    """
    near = difflib.get_close_matches(name, list(choices), n=1, cutoff=0.6)
    return f", did you mean '{near[0]}'?" if near else ""
