"""A short search for what nint does not take; ``make fuzz MINUTES=60`` for a long one."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="no /proc here")
def test_damaged_inputs_are_read_or_refused_in_time_and_memory(tmp_path):
    words = ["--cases", "200", "--output", str(tmp_path / "kept")]
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz", *words],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    cases, _, targets = done.stdout.split()[:3]
    assert int(cases.replace(",", "")) >= 200 * 20, targets
