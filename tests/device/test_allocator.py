"""Freed memory: that a block's is there for the next one."""

import ctypes
import os
import subprocess
import sys

import pytest

from nint_cli import cli
from nint_cli.cli import commands
from nint_cli.device import cpu

FAULTS = """
import resource, statistics, torch
from nint_cli.fields.siren import Siren
from nint_cli.device.cpu import keep_freed_memory
from nint_cli.signals.base import GridSignal
from nint_cli.derivatives.sweep import pull_residual

torch.set_num_threads(1)
keep_freed_memory()
field = Siren(2, 3, generator=torch.Generator().manual_seed(0))
signal = GridSignal(torch.zeros(4096, 3, dtype=torch.uint8), (64, 64), scale=255.0)
counts = []
for _ in range(10):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    pull_residual(field, signal)
    counts.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
print(int(statistics.median(counts[1:])))
"""
UNSET = {k: v for k, v in os.environ.items() if not k.startswith(("MALLOC_", "GLIBC_TUNABLES"))}


def pages_mapped(**env: str) -> int:
    """Count what a sweep of SIREN 5x256 over four blocks maps anew: the median of nine, as the
    heap may still grow by a block's piece in any one of them."""
    command = [sys.executable, "-c", FAULTS]
    done = subprocess.run(command, env=UNSET | env, capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="glibc's heap is on Linux")
def test_a_fit_maps_the_memory_of_its_blocks_once():
    # What the user has settled stays, so here all of it is given back, every time.
    given_back = pages_mapped(MALLOC_TRIM_THRESHOLD_="131072")
    if given_back < 1000:
        pytest.skip("this C library keeps it by itself")
    assert pages_mapped() < given_back / 10


@pytest.mark.parametrize(
    "variable", [("MALLOC_ARENA_MAX", "2"), ("GLIBC_TUNABLES", "glibc.malloc.trim_threshold=1")]
)
def test_nothing_is_told_where_the_environment_says_how_it_should_be(monkeypatch, variable):
    monkeypatch.setenv(*variable)
    monkeypatch.setattr(ctypes, "CDLL", lambda _: pytest.fail("asked the C library"))
    assert not cpu.keep_freed_memory()


@pytest.mark.parametrize("error", [OSError, AttributeError])
def test_another_c_library_is_left_alone(monkeypatch, error):
    for name in set(os.environ) - set(UNSET):
        monkeypatch.delenv(name)

    def none(_):
        raise error

    monkeypatch.setattr(ctypes, "CDLL", none)
    assert not cpu.keep_freed_memory()


def test_the_command_line_asks_for_it(monkeypatch):
    """And nothing that Python calls does, which `test_caller` sees to."""
    asked = []
    monkeypatch.setattr(cli.interrupts, "install", lambda: None)
    monkeypatch.setattr(commands, "keep_freed_memory", lambda: asked.append(True))
    monkeypatch.setattr(sys, "argv", ["nint", "--version"])
    with pytest.raises(SystemExit, match="0"):
        cli.main()
    assert asked == [True]
