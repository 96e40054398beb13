"""A process that has loaded everything once, and of which every fit is a copy.

Loading PyTorch takes seconds, which a batch or a comparison would pay for every one of its fits.
A copy of this process has it already; it computes nothing itself, so that a copy finds no threads
and no device in use. Requests come through a socket, one message each: the words of a command
line as JSON, with two files, where the copy's stderr goes and a socket for answers. These are,
one message each, the copy's process number and in the end its exit code, negative where a signal
ended it.
"""

import gc
import json
import os
import signal
import socket
import subprocess
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import NoReturn

_LONGEST = 1 << 20  # bytes of a request
_ANSWER = 64


class Copy:
    """A copy of the template at work.

    Args:
        pid: Its process number.
        answers: Where its exit code will come from.
        stderr: Where what it says on stderr can be read.
    """

    def __init__(self, pid: int, answers: socket.socket, stderr: int) -> None:
        self._pid = pid
        self._answers = answers
        self._stderr = stderr
        self._ended = False

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if not self._ended:
            with suppress(ProcessLookupError):
                os.kill(self._pid, number)

    def end(self) -> tuple[int, bytes]:
        """Wait for its end; give its exit code, negative for a signal, and its stderr."""
        with os.fdopen(self._stderr, "rb") as stderr, self._answers as answers:
            said = stderr.read()
            code = answers.recv(_ANSWER)
        self._ended = True
        # Whoever reports on it may have been killed, as where memory runs out.
        return int(code) if code else -signal.SIGKILL, said


class Template:
    """The process, seen by whoever wants copies.

    Args:
        threads: How many threads each copy may use, unless OMP_NUM_THREADS says otherwise.
    """

    def __init__(self, threads: int) -> None:
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={"OMP_NUM_THREADS": str(threads)} | os.environ,
                pass_fds=[theirs.fileno()],
                process_group=0,  # signals are for the copies, from whoever asked for them
            )

    def copy(self, words: Sequence[str]) -> Copy | None:
        """Start a copy that runs a command.

        Args:
            words: Of its command line, after ``nint``.

        Returns:
            The copy; None where there can be none, because the template could not load, say.
        """
        answers, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        stderr, written = os.pipe()
        try:
            message = json.dumps([str(Path.cwd()), *words]).encode()
            socket.send_fds(self._requests, [message], [written, theirs.fileno()])
        except OSError:
            pid = b""
        else:
            theirs.close()
            pid = answers.recv(_ANSWER)
        finally:
            os.close(written)
            theirs.close()
        if pid:
            return Copy(int(pid), answers, stderr)
        answers.close()
        os.close(stderr)
        return None

    def close(self) -> None:
        """End the template; copies of it go on."""
        self._requests.close()
        self._process.terminate()
        self._process.wait()


def _serve(requests: socket.socket) -> None:
    """Make copies until nobody can ask for more."""
    from nint_cli.modalities import KINDS, modality

    for name in ("nint_cli.cli.fit", "nint_cli.run"):
        import_module(name)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # who waits for copies need not be waited for
    gc.collect()
    gc.freeze()
    while True:
        message, files, _, _ = socket.recv_fds(requests, _LONGEST, 2)
        if not message:
            return
        folder, *words = json.loads(message)
        if words[0] == "fit" and words[1] in KINDS:
            modality(words[1])
        if os.fork() == 0:
            requests.close()
            stderr, answers = files
            _report(folder, words, stderr, socket.socket(fileno=answers))
        for file in files:
            os.close(file)


def _report(folder: str, words: list[str], stderr: int, answers: socket.socket) -> NoReturn:
    """Make a copy and tell of its beginning and its end."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    pid = os.fork()
    if pid == 0:
        answers.close()
        _run(folder, words, stderr)
    os.close(stderr)
    with suppress(OSError):  # nobody may be left to tell
        answers.send(str(pid).encode())
    _, status = os.waitpid(pid, 0)
    with suppress(OSError):
        answers.send(str(os.waitstatus_to_exitcode(status)).encode())
    os._exit(0)


def _run(folder: str, words: list[str], stderr: int) -> NoReturn:
    """Be the process of a command."""
    from nint_cli import cli

    code = 1
    try:
        os.setpgid(0, 0)
        os.dup2(stderr, sys.stderr.fileno())
        os.close(stderr)
        os.chdir(folder)
        code = cli.run(words)
        sys.stderr.flush()
    except KeyboardInterrupt:  # before anybody was there to handle it
        code = 128 + signal.SIGINT
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(code)  # nothing of the template's is to be cleaned up here


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))
