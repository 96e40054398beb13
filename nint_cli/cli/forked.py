"""A command of nint in a process that multiprocessing's fork server forks.

Loading PyTorch takes seconds. The server loads it once (`preload`), and a batch or a comparison
need not pay for it with every fit.
"""

import multiprocessing
import os
import runpy
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from multiprocessing import connection, forkserver, resource_tracker
from multiprocessing.connection import Connection
from threading import Lock

from nint_cli.cli.interrupts import STOPS, interrupts
from nint_cli.modalities.table import MODALITIES

# Several threads start processes and wait for them, which multiprocessing is not made for.
_one_at_a_time = Lock()
_HELD_BACK = {signal.SIGUSR1, *STOPS}


class Forked:
    """A process that runs a command.

    Args:
        words: Of its command line, after ``nint``.
        environment: Its variables; OMP_NUM_THREADS, if there, is how many threads it may use.

    Raises:
        OSError: If the fork server cannot be started, or does not live to fork.
        EOFError: Likewise.
    """

    def __init__(self, words: Sequence[str], environment: dict[str, str]) -> None:
        self._stderr, theirs = multiprocessing.Pipe(duplex=False)
        self._process = multiprocessing.get_context("forkserver").Process(
            target=_run, args=(list(words), environment, theirs)
        )
        try:
            with _one_at_a_time, _script_left_alone():
                _ensure_server(words)
                self._process.start()
        except BaseException:
            self._stderr.close()
            raise
        finally:
            theirs.close()
        assert self._process.pid is not None
        self._pid = self._process.pid
        self._ended = False

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if not self._ended:
            try:
                os.kill(self._pid, number)
            except ProcessLookupError:
                return

    def end(self) -> tuple[int, bytes]:
        """Wait for its end; return its exit code, negative for a signal, and its stderr."""
        with self._stderr, os.fdopen(self._stderr.fileno(), "rb", closefd=False) as stderr:
            said = stderr.read()
        connection.wait([self._process.sentinel])
        with _one_at_a_time:
            self._process.join()
        self._ended = True
        assert self._process.exitcode is not None
        return self._process.exitcode, said


def _ensure_server(words: Sequence[str]) -> None:
    """Start the fork server if it does not run, with signals held back in it for good.

    A Ctrl-C in the terminal would end it while it loads. What it forks inherits that, too, so
    that a signal waits until the command can handle it.
    """
    kind = [f"nint_cli.modalities.{name}.subject" for name in words[1:2] if name in MODALITIES]
    forkserver.set_forkserver_preload([*kind, "nint_cli.cli.preload"])
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP, signal.SIGUSR1})
    try:
        resource_tracker.ensure_running()  # before the rest, which it would let through in the end
        signal.pthread_sigmask(signal.SIG_BLOCK, _HELD_BACK)
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _script_left_alone() -> Iterator[None]:
    """Keep multiprocessing from running the script of this process in the new one again.

    It leaves out what a module of this name says that it is; a command needs nothing of it.
    """
    script = sys.modules["__main__"]
    before, script.__spec__ = script.__spec__, ModuleSpec("__main__", None)
    try:
        yield
    finally:
        script.__spec__ = before


def _run(words: list[str], environment: dict[str, str], stderr: Connection) -> None:
    """Be the process of a command."""
    _stand_alone(environment, stderr)
    parent = multiprocessing.parent_process()
    assert parent is not None
    interrupts.end_with(parent.join)
    sys.argv[1:] = words
    # Which lets the signals in, and exits with the command's code.
    runpy.run_module("nint_cli", run_name="__main__")


def _stand_alone(environment: dict[str, str], stderr: Connection) -> None:
    """Part from the process that asked for this one, so that signals come from it alone."""
    os.setpgid(0, 0)
    os.dup2(stderr.fileno(), 2)
    stderr.close()
    void = os.open(os.devnull, os.O_RDWR)
    # Or who reads what nint prints waits for multiprocessing's tracker as long as this lives.
    tracker = resource_tracker.getfd()
    assert tracker is not None
    for number in (0, 1, tracker):
        os.dup2(void, number)
    os.close(void)
    os.environ.clear()
    os.environ.update(environment)
    import torch

    from nint_cli.device.cpu import keep_freed_memory

    keep_freed_memory()
    threads = environment.get("OMP_NUM_THREADS", "")  # the server has read another one, or none
    if threads.isdecimal():
        torch.set_num_threads(int(threads))
