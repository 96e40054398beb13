"""What signals do to a process of nint, from its first line to its last.

SIGINT, SIGTERM and SIGHUP end it: in order where there is something to save (`in_order`), and
anywhere else by an exception. Where that does not get through, because the process waits in C for
a pipe that never ends, it ends all the same a second later. A second signal ends it at once.
SIGUSR1 asks for a checkpoint and ends nothing.

Python runs handlers in the main thread alone, between its instructions. So a thread watches, which
the descriptor that Python writes each signal's number to wakes at once.
"""

import contextlib
import os
import select
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from types import FrameType

STOPS = {
    number: name
    for name in ("SIGINT", "SIGTERM", "SIGHUP")
    if (number := getattr(signal, name, None)) is not None
}
"""Names of the signals that end a process, by number."""

SAVE: int | None = getattr(signal, "SIGUSR1", None)
"""The signal that asks for a checkpoint; None on a system without it."""

_GRACE_S = 1.0
_SAME_HANG_UP_S = 1.0  # a terminal that closes sends one, and its shell another


class Stopped(BaseException):
    """Ends what goes on where nothing is lost by that; no library takes it for its own."""


class Interrupts:
    """The signals that a process was sent.

    Attributes:
        stopped_by: The one that ends it; None while there is none.
        listeners: Called by the watching thread with the number of each signal.
        last_words: Called with the number before the process ends at once.
        orphaned: Whether it ends because the process that started it has.
        done: Whether the process has its exit code, which no signal changes any more.
        ordered: Whether a first signal is asked for (`stopped_by`) rather than an exception.
    """

    def __init__(self) -> None:
        self.stopped_by: int | None = None
        self.listeners: list[Callable[[int], None]] = []
        self.last_words: list[Callable[[int], None]] = []
        self.orphaned = False
        self.done = False
        self.ordered = False
        self._wants_save = False
        self._installed = False

    def install(self) -> None:
        """Take the signals over, for good; the second call does nothing."""
        if self._installed:
            return
        self._installed = True
        handlers: dict[int, Callable[[int, FrameType | None], None]] = {}
        if SAVE is not None:
            handlers[SAVE] = _pass
        handlers |= dict.fromkeys(STOPS, self._stop)
        for number, handler in handlers.items():
            ignored = signal.getsignal(number) == signal.SIG_IGN
            if not (ignored and STOPS.get(number) == "SIGHUP"):  # that is nohup
                signal.signal(number, handler)
        from nint_cli.cli import console

        console.open_standard_streams()  # or a socket would take a standard stream's number
        theirs, ours = socket.socketpair()
        ours.setblocking(False)
        signal.set_wakeup_fd(ours.fileno(), warn_on_full_buffer=False)
        threading.Thread(target=self._watch, args=(theirs, ours), daemon=True).start()
        if hasattr(signal, "pthread_sigmask"):  # whoever made this process may hold them back
            signal.pthread_sigmask(signal.SIG_UNBLOCK, handlers)

    def wants_save(self) -> bool:
        """Tell whether a checkpoint was asked for since the last call."""
        wanted, self._wants_save = self._wants_save, False
        return wanted

    def _stop(self, number: int, _frame: FrameType | None) -> None:
        if self.stopped_by is None and not self.done:
            self.stopped_by = number
            if not self.ordered:
                raise Stopped

    def _watch(self, theirs: socket.socket, _ours: socket.socket) -> None:
        """See to it that signals count, whatever the main thread does."""
        from nint_cli.cli import console

        if hasattr(signal, "pthread_sigmask"):  # so that the main thread's waiting ends
            signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
        first, since, waited = 0, 0.0, True
        while True:
            left = None if waited else max(0.0, since + _GRACE_S - time.monotonic())
            if not select.select([theirs], [], [], left)[0]:
                waited = True
                if not (self.ordered or self.done):
                    self._end(first)
                continue
            for number in theirs.recv(64):
                for listener in list(self.listeners):
                    listener(number)
                if number == SAVE:
                    self._wants_save = True
                elif number in STOPS and not first:
                    first, since, waited = number, time.monotonic(), False
                    if self.ordered and not self.done:
                        console.note(
                            f"{STOPS[number]}: stopping as soon as what is under way is saved; "
                            "a second one ends it at once"
                        )
                elif number in STOPS and not (
                    STOPS[number] == STOPS[first] == "SIGHUP"
                    and time.monotonic() < since + _SAME_HANG_UP_S
                ):
                    self._end(number)

    def interrupted(self) -> int:
        """Say that an exception has ended what was going on; return the exit code."""
        number = self.stopped_by or signal.SIGINT
        from nint_cli.cli import console

        console.error(f"interrupted by {STOPS[number]}")
        return 128 + number

    def _end(self, number: int) -> None:
        """End the process at once."""
        from nint_cli.cli import console

        for say in list(self.last_words):
            with contextlib.suppress(Exception):
                say(number)
        console.error(f"ended at once by {STOPS[number]}")
        os._exit(128 + number)

    @contextmanager
    def in_order(self, *, wanted: bool = True) -> Iterator[None]:
        """Let a first signal be asked for (`stopped_by`) rather than raise an exception.

        Args:
            wanted: False lets it raise again, within.

        Raises:
            Stopped: If it is not wanted and a signal has come already.
        """
        before, self.ordered = self.ordered, wanted
        try:
            if not wanted and self.stopped_by is not None:
                raise Stopped
            yield
        finally:
            self.ordered = before

    def ending_with(self, last_words: Callable[[int], None]) -> AbstractContextManager[None]:
        """Call something, in another thread, before the process ends at once."""
        return _among(self.last_words, last_words)

    def heard_by(self, listener: Callable[[int], None]) -> AbstractContextManager[None]:
        """Tell of signals, in another thread."""
        return _among(self.listeners, listener)

    def end_with(self, wait: Callable[[], object]) -> None:
        """End this process as SIGTERM would when another has ended.

        Args:
            wait: Returns at the end of that one.
        """

        def watch() -> None:
            wait()
            self.orphaned = True
            if self.stopped_by is None:  # or this would be the second one
                os.kill(os.getpid(), signal.SIGTERM)

        threading.Thread(target=watch, daemon=True).start()


@contextmanager
def _among(calls: list[Callable[[int], None]], one: Callable[[int], None]) -> Iterator[None]:
    calls.append(one)
    try:
        yield
    finally:
        calls.remove(one)


def _pass(_number: int, _frame: FrameType | None) -> None:
    """Do nothing, unlike the system, which would end the process."""


interrupts = Interrupts()
"""Those of this process, which are taken over where it is a command's alone."""
