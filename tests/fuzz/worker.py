"""A child process with limits of time and memory, which says how each case ended."""

import multiprocessing
import os
import random
import resource
import shutil
import signal
import tempfile
import traceback
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from nint_cli.errors import NintError
from tests.fuzz.targets import Target

CPU_S = 20
"""Seconds of computing that a case may take."""

MEMORY = 2 << 30
"""Bytes that a case may take beyond what the process has before any."""

_WAITING_S = 200  # on a busy machine, or for what computes nothing and never ends
_FORK = multiprocessing.get_context("fork")


@dataclass(frozen=True)
class Case:
    """One damaged input, which its target and its seed determine."""

    target: str
    seed: int

    def damaged(self, targets: dict[str, Target]) -> bytes:
        """Make it."""
        return targets[self.target].damaged(random.Random(f"{self.target} {self.seed}"))


class Worker:
    """Runs cases in a child, which is replaced where one ends it."""

    def __init__(self, targets: dict[str, Target]) -> None:
        self._targets = targets
        # In memory where there is such a place, for what is written is flushed to the disk.
        memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        self._folder = Path(tempfile.mkdtemp(prefix="nint-fuzz-", dir=memory))
        self._start()

    def _start(self) -> None:
        self._ours, theirs = _FORK.Pipe()
        self._child = _FORK.Process(
            target=_serve, args=(theirs, self._targets, self._folder), daemon=True
        )
        self._child.start()
        theirs.close()

    def fault(self, case: Case) -> str | None:
        """Run a case; say what is wrong, None where it is read or refused as it should be."""
        self._ours.send(case)
        try:
            if self._ours.poll(_WAITING_S):
                found: str | None = self._ours.recv()
            else:
                found = f"no end after {_WAITING_S} s"
        except (EOFError, ConnectionError):
            self._child.join()
            found = _cause(self._child.exitcode)
        if found is not None:  # its memory, and what it holds open, count no more
            self._stop()
            self._start()
        return found

    def _stop(self) -> None:
        self._child.kill()
        self._child.join()
        self._ours.close()

    def close(self) -> None:
        """End the child and remove its folder."""
        self._stop()
        shutil.rmtree(self._folder, ignore_errors=True)


def _cause(exit_code: int | None) -> str:
    if exit_code == -signal.SIGPROF:
        return f"more than {CPU_S} s of computing"
    if exit_code is not None and exit_code < 0:
        return f"killed by {signal.Signals(-exit_code).name}"
    return f"the process ended with {exit_code}"


def _serve(asked: Connection, targets: dict[str, Target], folder: Path) -> None:
    """Answer cases until there are no more, in a process that is limited from here on."""
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    os.chdir(folder)
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    while True:
        case: Case = asked.recv()
        signal.setitimer(signal.ITIMER_PROF, CPU_S)
        try:
            found = _fault(case, targets, folder)
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
        asked.send(found)


def _fault(case: Case, targets: dict[str, Target], folder: Path) -> str | None:
    data = case.damaged(targets)
    try:
        targets[case.target].read(data, folder)
    except NintError as error:
        if type(error) is NintError:
            return traceback.format_exc()
        return _swallowed(error)
    except BaseException:
        return traceback.format_exc()
    return None


def _swallowed(error: BaseException | None) -> str | None:
    """Find a lack of memory behind an error that calls it damage."""
    while error is not None:
        if isinstance(error, MemoryError):
            return f"more than {MEMORY >> 30} GB: {error!r}"
        error = error.__cause__ or error.__context__
    return None
