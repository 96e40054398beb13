"""Fits in processes of their own, which signals steer as they would steer a single fit.

On Linux and macOS a server that has loaded PyTorch forks them (`forked`); elsewhere each loads it
for itself.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING

from nint_cli.cli.interrupts import STOPS, interrupts

if TYPE_CHECKING:
    from nint_cli.cli.forked import Forked

ENDS_WITH_STDIN = "NINT_ENDS_WITH_STDIN"
"""Name of the variable by which a process is told to end when its parent does, as stdin shows."""


@dataclass(frozen=True)
class Ended:
    """How a process ended.

    Attributes:
        code: Its exit code; 128 and more where a signal ended it.
        lines: What it said on stderr.
    """

    code: int
    lines: list[str]

    @property
    def error(self) -> str | None:
        """Why it failed; None where it did not."""
        if self.code == 0:
            return None
        last = self.lines[-1] if self.lines else in_words(self.code)
        return last.removeprefix("nint: error: ")


def in_words(code: int) -> str:
    """Say what an exit code means of which nothing else is known."""
    try:
        name = signal.Signals(code - 128).name
    except ValueError:
        return f"exit code {code}"
    if code - 128 in STOPS:
        return f"stopped by {name}"
    return f"killed by {name}" + (", perhaps for want of memory" if name == "SIGKILL" else "")


class Processes:
    """Processes of nint that one command starts.

    Args:
        threads: How many threads each may use, unless OMP_NUM_THREADS says otherwise.

    Attributes:
        stopped_by: The signal that ended them, or None.
    """

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._running: set[subprocess.Popen[bytes] | Forked] = set()
        self._signalling = Lock()
        self.stopped_by: int | None = None

    def run(self, words: Sequence[str], variables: Mapping[str, str] | None = None) -> Ended:
        """Run one to its end.

        Args:
            words: Of its command line, after ``nint``.
            variables: Of its environment, over those of this process.

        Returns:
            How it ended.
        """
        environment = {"OMP_NUM_THREADS": str(self._threads), **os.environ, **(variables or {})}
        child = self._forked(words, environment) or self._process(words, environment)
        with self._signalling:  # once and not twice, which would end it at once
            self._running.add(child)
            if self.stopped_by is not None:
                child.send_signal(self.stopped_by)
        code, said = _end(child) if isinstance(child, subprocess.Popen) else child.end()
        self._running.discard(child)
        lines = said.decode(errors="replace").splitlines()
        return Ended(code if code >= 0 else 128 - code, lines)

    def _forked(self, words: Sequence[str], environment: dict[str, str]) -> "Forked | None":
        """Start one from what has loaded PyTorch already, where that can be had."""
        if sys.platform not in {"linux", "darwin"}:
            return None
        from nint_cli.cli.forked import Forked

        try:
            return Forked(words, environment)
        except (OSError, EOFError):
            return None

    def _process(
        self, words: Sequence[str], environment: dict[str, str]
    ) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            [sys.executable, "-m", "nint_cli", *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=environment | {ENDS_WITH_STDIN: "1"},
            # A Ctrl-C reaches it through this process, or it would get two, which end it at once.
            process_group=0,
        )

    def stop(self, number: int) -> None:
        """Remember that a signal has ended one of them, and so all that were to follow.

        Args:
            number: The signal.
        """
        if self.stopped_by is None:
            self.stopped_by = number

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Pass signals on to the processes, for use around `run`; see `interrupts`."""

        def pass_on(number: int) -> None:
            with self._signalling:
                if number in STOPS:
                    self.stop(number)
                for child in self._running:
                    child.send_signal(number)

        with interrupts.in_order(), interrupts.heard_by(pass_on):
            yield


def _end(process: "subprocess.Popen[bytes]") -> tuple[int, bytes]:
    """Wait for a process to end; return its exit code and its stderr."""
    with process:
        assert process.stderr is not None
        said = process.stderr.read()
    return process.returncode, said
