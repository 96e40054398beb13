"""What CI runs, and in which virtual environment."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.skipif(
    not (shutil.which("make") and shutil.which("bash")), reason="no make or no bash here"
)

MAKEFILE = """\
VENV ?= .venv
check:
	@echo $(VENV) > seen
	@test -d $(VENV) && test ! -e $(VENV)/.ready
	@touch $(VENV)/.ready
	@exit $(CODE)
"""


def own_environment(**more: str) -> dict[str, str]:
    """The environment without what a make around these tests hands on to a make within."""
    inherited = {"MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "VENV"}
    return {key: value for key, value in os.environ.items() if key not in inherited} | more


@pytest.mark.parametrize("code", [0, 2])
def test_ci_takes_a_fresh_virtual_environment_and_removes_it(tmp_path, code):
    """Even where the checkout has one, and a signal comes while it is removed.

    A check that fails makes CI fail.
    """
    checkout, temporary, bin_ = (tmp_path / name for name in ("checkout", "tmp", "bin"))
    (checkout / ".ci").mkdir(parents=True)
    temporary.mkdir()
    bin_.mkdir()
    (bin_ / "rm").write_text(f'#!/bin/sh\nkill -TERM $$\nexec {shutil.which("rm")} "$@"\n')
    (bin_ / "rm").chmod(0o755)
    path = f"{bin_}{os.pathsep}{os.environ['PATH']}"
    shutil.copy(ROOT / ".ci/run", checkout / ".ci/run")
    (checkout / "Makefile").write_text(MAKEFILE)
    (checkout / ".venv").mkdir()
    (checkout / ".venv/.ready").touch()
    for _ in range(2):
        done = subprocess.run(
            [checkout / ".ci/run"],
            env=own_environment(TMPDIR=str(temporary), CODE=str(code), PATH=path),
            capture_output=True,
            check=False,
        )
        assert done.returncode == code, done.stderr
        assert Path((checkout / "seen").read_text().strip()).parent == temporary
        assert not list(temporary.iterdir())
    assert (checkout / ".venv/.ready").exists()


def test_make_itself_stays_with_the_environment_of_the_checkout():
    planned = subprocess.run(
        ["make", "--dry-run", "test"],
        cwd=ROOT,
        env=own_environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert planned.stdout.splitlines()[-1].startswith(".venv/bin/python -m pytest")
