"""Freed memory: that a block's is there for the next one."""

import ctypes
import os
import subprocess
import sys

import pytest

from nint_cli import heap

FAULTS = """
import resource, sys, torch
from nint_cli.config import EngineConfig
from nint_cli.engine import prepare
from nint_cli.fields import Siren
from nint_cli.signals import GridSignal
from nint_cli.sweep import pull_residual

if "prepared" in sys.argv:
    prepare(EngineConfig(threads=1), torch.device("cpu"))
field = Siren(2, 3, generator=torch.Generator().manual_seed(0))
signal = GridSignal(torch.zeros(4096, 3, dtype=torch.uint8), (64, 64), scale=255.0)
pull_residual(field, signal)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
pull_residual(field, signal)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
UNSET = {k: v for k, v in os.environ.items() if not k.startswith(("MALLOC_", "GLIBC_TUNABLES"))}


def pages_mapped(*words: str, **env: str) -> int:
    """Count what four blocks of SIREN 5x256 map anew, after as many before them."""
    command = [sys.executable, "-c", FAULTS, *words]
    done = subprocess.run(command, env=UNSET | env, capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's heap is on Linux")
def test_a_fit_maps_the_memory_of_its_blocks_once():
    usual = pages_mapped()
    if usual < 1000:
        pytest.skip("this C library keeps it by itself")
    assert pages_mapped("prepared") < usual / 10
    # What the user has settled stays.
    assert pages_mapped("prepared", MALLOC_TRIM_THRESHOLD_="131072") > usual / 2


@pytest.mark.parametrize(
    "variable", [("MALLOC_ARENA_MAX", "2"), ("GLIBC_TUNABLES", "glibc.malloc.trim_threshold=1")]
)
def test_nothing_is_told_where_the_environment_says_how_it_should_be(monkeypatch, variable):
    monkeypatch.setenv(*variable)
    monkeypatch.setattr(ctypes, "CDLL", lambda _: pytest.fail("asked the C library"))
    assert not heap.keep_freed_memory()


@pytest.mark.parametrize("error", [OSError, AttributeError])
def test_another_c_library_is_left_alone(monkeypatch, error):
    for name in set(os.environ) - set(UNSET):
        monkeypatch.delenv(name)

    def none(_):
        raise error

    monkeypatch.setattr(ctypes, "CDLL", none)
    assert not heap.keep_freed_memory()
