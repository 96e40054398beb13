"""SIGKILL at any moment and at every write: the folder loads, and resume reaches the same bits."""

import signal
import subprocess
import sys
import time

import pytest

from nint_cli.runs.evaluate import evaluate_run
from tests.cli.test_cli import strict

LAST = "checkpoints/step-0000000030.safetensors"

KILLED = """
import os, pathlib, random, signal, sys, time
import torch
from nint_cli import cli

torch.set_num_threads(1)  # a process with threads could not be forked
words, root = sys.argv[2:], sys.argv[1]
# Here and not in a child, so that the children have nothing left to load.
assert cli.run([*words, "-o", root + "/through"]) == 0
assert cli.run(["resume", root + "/through"]) == 0
sys.stdout.flush()

def child(words):
    pid = os.fork()
    if pid:
        return pid
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    os._exit(cli.run(words))

def run(words):
    return os.waitstatus_to_exitcode(os.waitpid(child(words), 0)[1])
"""


@pytest.mark.parametrize("times", [7, pytest.param(50, marks=pytest.mark.slow)])
def test_a_killed_run_always_goes_on_to_the_same_bits(times, smoke, tmp_path):
    """SIGKILL at random moments; every folder that has a checkpoint ends as if never killed."""
    script = (
        KILLED
        + f"times = {times}"
        + """
began = time.monotonic()
assert run([*words, "-o", root + "/timed"]) == 0
length = time.monotonic() - began
generator = random.Random(0)
for number in range(times):
    path = f"{root}/killed-{number}"
    pid = child([*words, "-o", path])
    time.sleep(generator.uniform(0, length))
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    while generator.random() < 0.3:  # and again, while it goes on
        pid = child(["resume", path])
        time.sleep(generator.uniform(0, length))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    code = run(["resume", path])
    print(number, code)
"""
    )
    words = [*smoke, "--steps", "60"]
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path), *words],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    codes = [int(line.split()[1]) for line in done.stdout.splitlines() if line[0].isdigit()]
    assert len(codes) == times
    last = "checkpoints/step-0000000060.safetensors"
    expected = (tmp_path / "through" / last).read_bytes()
    resumed = 0
    for number, code in enumerate(codes):
        path = tmp_path / f"killed-{number}"
        if code == 0:
            assert (path / last).read_bytes() == expected
            strict(path / "metrics.json")
            assert not list(path.rglob("*.tmp"))
            resumed += 1
        else:  # killed before there was anything to go on from: said so, and the folder is free
            assert code == 3
            assert not list(path.glob("checkpoints/step-*"))
    assert resumed >= 0.4 * times


@pytest.mark.parametrize("every", [9, pytest.param(1, marks=pytest.mark.slow)])
def test_death_at_every_write_sync_and_rename_loses_nothing(every, smoke, tmp_path):
    """It is killed at the nth such call, for each or each fifth n, until it gets by."""
    script = (
        KILLED
        + f"every = {every}"
        + """
def dying(number, words):
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    left = [number]
    def counted(call):
        def wrapper(*args, **kwargs):
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*args, **kwargs)
        return wrapper
    os.fsync = counted(os.fsync)
    pathlib.Path.replace = counted(pathlib.Path.replace)
    pathlib.Path.open = counted(pathlib.Path.open)
    pathlib.Path.unlink = counted(pathlib.Path.unlink)
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    os._exit(cli.run(words))

number = 0
while True:
    number += every
    path = f"{root}/dead-{number}"
    code = dying(number, [*words, "-o", path])
    if code == 0:
        break
    assert code == -signal.SIGKILL, code
    print(number, run(["resume", path]))
"""
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path), *smoke],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines() if line[0].isdigit()]
    found = {int(number): int(code) for number, code in lines}
    codes = list(found.values())
    assert len(codes) > 40 / every
    expected = (tmp_path / "through" / LAST).read_bytes()
    for number, code in found.items():
        path = tmp_path / f"dead-{number}"
        assert code in {0, 3}, number
        if code == 3:
            assert not list(path.glob("checkpoints/step-*")), number
        else:
            assert (path / LAST).read_bytes() == expected, number
            strict(path / "metrics.json")
            assert evaluate_run(path).psnr_db == strict(path / "metrics.json")["psnr_db"]
    assert codes.index(0) < len(codes) / 2
    assert 3 not in codes[codes.index(0) :]


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="no SIGUSR1 here")
def test_sigusr1_saves_and_goes_on_and_a_second_sigint_ends_at_once(smoke, tmp_path):
    path = tmp_path / "run"
    words = [*smoke, "--steps", "1000000", "--set", "checkpoint.every=null", "-o", str(path)]
    process = subprocess.Popen(
        [sys.executable, "-m", "nint_cli", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    deadline = time.monotonic() + 60
    while not (path / "config.yaml").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.2)
    process.send_signal(signal.SIGUSR1)
    while not list(path.glob("checkpoints/step-*")) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert len(list(path.glob("checkpoints/step-*"))) == 1
    assert process.poll() is None
    for _ in range(2):
        process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode in {130, -signal.SIGINT}
    assert evaluate_run(path).psnr_db > 0
