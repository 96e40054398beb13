"""Signals end a process at any moment, with a word and its code, and lose nothing."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nint_cli.cli.processes import ENDS_WITH_STDIN, in_words
from tests.cli.test_cli import strict

if sys.platform == "win32":
    pytest.skip("there are no such signals here", allow_module_level=True)

CODES = {signal.SIGTERM: 143, signal.SIGINT: 130, signal.SIGHUP: 129}


def started(*words: str, **options) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def ended(process: "subprocess.Popen[str]") -> tuple[int, str]:
    """Wait for a process; give its exit code and its stderr."""
    _, said = process.communicate(timeout=60)
    return process.returncode, said


@pytest.mark.parametrize(("kind", "number"), [*zip(("image", "audio", "sdf"), CODES, strict=True)])
def test_a_pipe_that_never_ends_holds_nobody(kind, number, tmp_path):
    os.mkfifo("pipe")
    process = started("-m", "nint_cli", "fit", kind, "pipe", "-o", "run")
    with Path("pipe").open("wb"):  # which waits until it is read
        process.send_signal(number)
        code, said = ended(process)
    assert code == CODES[number]
    assert said == f"nint: error: interrupted by {number.name}\n"
    assert not Path("run").exists()


def test_a_batch_says_what_became_of_an_input_that_never_ended(picture):
    os.mkfifo("pipe.png")
    words = [str(picture), "pipe.png", "sample:cat", "-o", "out", "--preset", "smoke"]
    process = started("-m", "nint_cli", "fit", "image", *words)
    with Path("pipe.png").open("wb"):
        process.send_signal(signal.SIGTERM)
        assert ended(process)[0] == 143
    items = strict(Path("out/batch.json"))["items"]
    assert [(item["status"], item["exit_code"], item["error"]) for item in items] == [
        ("complete", 0, None),
        ("interrupted", 143, "stopped by SIGTERM before anything was saved; --continue goes on"),
        ("waiting", None, "not begun, for the batch was stopped before"),
    ]


@pytest.mark.parametrize(
    ("number", "said"), [(signal.SIGUSR1, ""), (signal.SIGTERM, "interrupted by SIGTERM")]
)
def test_a_signal_of_the_first_moment_counts(number, said):
    """It is held back until the process has begun, and comes with the first chance."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {number})
    try:
        process = started("-m", "nint_cli", "--version")
        process.send_signal(number)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    code, told = ended(process)
    assert code == (143 if said else 0)
    assert said in told
    assert "Traceback" not in told


BEGIN = """
import ctypes, sys, time
from nint_cli.cli.interrupts import Stopped, interrupts
interrupts.install()
"""
IN_ORDER = """
with interrupts.in_order():
    print("ready", flush=True)
    while interrupts.stopped_by is None:
        time.sleep(0.01)
    time.sleep(0.5)
print("saved", flush=True)
"""
IN_C = """
libc, wanted = ctypes.CDLL(None), ctypes.create_string_buffer(128)
libc.sigemptyset(wanted)
libc.sigaddset(wanted, 12)
print("ready", flush=True)
libc.sigwait(wanted, ctypes.byref(ctypes.c_int()))
"""
DEAF = """
while True:
    try:
        print("ready", flush=True)
        time.sleep(10)
    except Stopped:
        pass
"""


def signalled(script: str, *numbers: int, **options) -> tuple[int, str, str]:
    """Send signals to a script that is ready; give its code, stdout and stderr."""
    process = started("-c", BEGIN + script, **options)
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(0.2)  # until it waits for what it waits for
    for number in numbers:
        process.send_signal(number)
        time.sleep(0.1)
    out, said = process.communicate(timeout=60)
    return process.returncode, out, said


@pytest.mark.parametrize("script", [IN_C, DEAF])
def test_what_does_not_listen_ends_all_the_same(script):
    if script is IN_C and sys.platform != "linux":
        pytest.skip("sigwait has another set of signals here")
    code, _, said = signalled(script, signal.SIGTERM)
    assert (code, said) == (143, "nint: error: ended at once by SIGTERM\n")


def test_the_first_signal_waits_for_what_is_under_way_and_says_so():
    code, out, said = signalled(IN_ORDER, signal.SIGHUP)
    assert (code, out) == (0, "saved\n")
    assert said.startswith("nint: SIGHUP: stopping as soon as what is under way is saved")


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_ends_it_at_once(second):
    code, out, said = signalled(IN_ORDER, signal.SIGTERM, second)
    assert (code, out) == (CODES[second], "")
    assert said.endswith(f"nint: error: ended at once by {second.name}\n")


def test_the_two_hang_ups_of_one_terminal_are_one():
    assert signalled(IN_ORDER, signal.SIGHUP, signal.SIGHUP)[:2] == (0, "saved\n")


def test_nohup_is_respected():
    def ignore() -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    script = "print('ready', flush=True); time.sleep(0.5); print(interrupts.stopped_by)"
    code, out, _ = signalled(script, signal.SIGHUP, preexec_fn=ignore)
    assert (code, out) == (0, "None\n")


def test_an_exit_code_that_nothing_else_explains_is_told_in_words():
    assert in_words(143) == "stopped by SIGTERM"
    assert in_words(137) == "killed by SIGKILL, perhaps for want of memory"
    assert in_words(139) == "killed by SIGSEGV"
    assert in_words(1) == "exit code 1"
    assert in_words(128 + 99) == "exit code 227"


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 60
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.05)


def test_a_process_of_another_ends_with_its_stdin(smoke):
    """Where none can be forked, that is how one sees that its parent is gone."""
    process = started(
        *("-m", "nint_cli", *smoke, "--steps", "1000000", "-o", "run"),
        stdin=subprocess.PIPE,
        env=os.environ | {ENDS_WITH_STDIN: "1"},
    )
    wait_for(Path("run/log.jsonl"))
    assert process.poll() is None
    assert ended(process)[0] == 143  # which closes it
    assert strict(Path("run/metrics.json"))["status"] == "interrupted"
    assert list(Path("run/checkpoints").glob("step-*"))


def test_a_batch_that_is_ended_at_once_says_so(picture):
    words = [str(picture), "sample:cat", "-o", "out", "--preset", "smoke", "--jobs", "2"]
    process = started("-m", "nint_cli", "fit", "image", *words, "--steps", "1000000")
    for name in ("picture", "cat"):
        wait_for(Path("out") / name / "log.jsonl")
    for _ in range(2):
        process.send_signal(signal.SIGTERM)
        time.sleep(0.01)
    assert ended(process)[0] == 143
    for item in strict(Path("out/batch.json"))["items"]:
        assert (item["status"], item["exit_code"]) == ("interrupted", 143)
        assert item["error"].startswith("stopped by SIGTERM ")


def test_a_terminal_that_is_gone_is_no_disk_that_is_full(smoke):
    """Its fit is saved and ends by the hang-up, though neither stream takes a word any more."""
    controller, terminal = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "nint_cli", *smoke, "--steps", "1000000", "-o", "run"],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
    )
    os.close(terminal)
    wait_for(Path("run/log.jsonl"))
    os.close(controller)
    process.send_signal(signal.SIGHUP)
    assert process.wait(60) == 129
    metrics = strict(Path("run/metrics.json"))
    assert (metrics["status"], metrics["exit_code"]) == ("interrupted", 129)
    assert json.loads(Path("run/manifest.json").read_text())["owner"]["pid"] == process.pid
