"""What libraries print and log, kept off the terminal."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

_SILENT = logging.NullHandler()  # without one, Python prints warnings that nobody handles


def silence(*loggers: str) -> None:
    """Let loggers print nothing where nobody handles them.

    Args:
        loggers: Their names.
    """
    for name in loggers:
        logging.getLogger(name).addHandler(_SILENT)


@contextmanager
def standard_error_closed() -> Iterator[None]:
    """Let the process's standard error lead nowhere, for C libraries that print to it themselves.

    For short calls alone: what others print meanwhile is lost, too.
    """
    try:
        kept = os.dup(2)
    except OSError:  # it is closed
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(nowhere)
        os.close(kept)
