"""Fits as copies of one process: they run, end and are signalled as processes of their own."""

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from nint_cli.cli.children import Children
from nint_cli.cli.template import Template

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="copies are made on Linux alone")


@pytest.fixture(scope="module")
def template():
    template = Template(1)
    yield template
    template.close()


def run(template, *words):
    code, said = template.copy([str(word) for word in words]).end()
    return code, said.decode()


def test_a_copy_fits_with_the_threads_it_may_use(template, smoke, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # not where the template was started
    assert run(template, *smoke, "--quiet", "-o", "run") == (0, "")
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["environment"]["threads"] == 1


def test_a_copy_ends_with_the_code_and_the_line_of_a_process(template, tmp_path):
    """By a name that is no text, too."""
    name = os.fsdecode(b"gone-\xff.png")
    code, said = run(template, "fit", "image", tmp_path / name)
    assert code == 3
    assert said.startswith("nint: error: ")
    assert "gone-" in said
    assert len(said.splitlines()) == 1


def pids(parent):
    found = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return [int(pid) for pid in found]


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGKILL, -9)]
)
def test_a_signal_reaches_a_copy_alone(template, smoke, tmp_path, number, code):
    run_folder = tmp_path / "run"
    copy = template.copy([*smoke, "--steps", "1000000", "-o", str(run_folder)])
    deadline = time.monotonic() + 60
    while not list(run_folder.glob("checkpoints/*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    copy.send_signal(number)
    assert copy.end()[0] == code
    copy.send_signal(signal.SIGKILL)  # its number may be another's by now
    assert run(template, "--version")[0] == 0


def test_where_no_copy_can_be_had_a_process_takes_its_place(tmp_path):
    children = Children(threads=1)
    with children.at_work():
        assert children.run(["--version"]).code == 0
        children._template._process.kill()
        children._template._process.wait()
        ended = children.run(["fit", "image", str(tmp_path / "gone.png")])
    assert ended.code == 3
    assert "gone.png" in ended.error


def test_nothing_is_left_of_it_after_work():
    children = Children(threads=1)
    before = set(pids(os.getpid()))
    with children.at_work():
        threads = [threading.Thread(target=children.run, args=(["--version"],)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(set(pids(os.getpid())) - before) == 1  # one for all three
    assert set(pids(os.getpid())) <= before


def test_it_ends_when_nobody_can_ask_it_any_more():
    template = Template(1)
    assert run(template, "--version")[0] == 0
    template._requests.close()
    assert template._process.wait(timeout=60) == 0
