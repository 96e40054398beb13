"""Forked fits run, end and are signalled as processes of their own, and are no one else's."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import forkserver
from pathlib import Path

import pytest
from PIL import Image

from nint_cli.cli.processes import Processes
from tests.cli.test_cli import strict
from tests.conftest import smooth_pixels

if sys.platform == "win32":
    pytest.skip("nothing can be forked here", allow_module_level=True)

from nint_cli.cli.forked import Forked


def run(*words):
    variables = {"OMP_NUM_THREADS": "1", **os.environ}
    code, said = Forked([str(word) for word in words], variables).end()
    return code, said.decode()


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_fit_has_the_threads_the_folder_and_the_variables_of_its_parent(
    smoke, tmp_path, monkeypatch
):
    assert run("--version") == (0, "")
    monkeypatch.chdir(tmp_path)  # the server is in another one, and has read other variables
    for told in (None, "2"):
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
        if told is not None:
            monkeypatch.setenv("OMP_NUM_THREADS", told)
        assert run(*smoke, "--quiet", "-o", "run", "--overwrite") == (0, "")
        threads = strict(Path("run/metrics.json"))["environment"]["threads"]
        assert threads == min(int(told or 1), os.cpu_count() or 1)


def test_no_number_of_threads_is_needed():
    others = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    assert Forked(["--version"], others).end() == (0, b"")


def test_it_ends_with_the_code_and_the_line_of_a_process(tmp_path):
    """By a name that is no text, too."""
    name = os.fsdecode(b"gone-\xff.png")
    code, said = run("fit", "image", tmp_path / name)
    assert code == 3
    assert said.startswith("nint: error: ")
    assert "gone-" in said
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGKILL, -9)]
)
def test_a_signal_reaches_it_alone(smoke, tmp_path, number, code):
    fit = Forked([*smoke, "--steps", "1000000", "-o", str(tmp_path / "run")], dict(os.environ))
    wait_until(lambda: bool(list(tmp_path.glob("run/checkpoints/*"))))
    fit.send_signal(number)
    assert fit.end()[0] == code
    fit.send_signal(signal.SIGKILL)  # its number may be another's by now
    assert run("--version")[0] == 0


@pytest.mark.parametrize(
    ("number", "codes"),
    [(signal.SIGINT, {130}), (signal.SIGTERM, {143, -15}), (signal.SIGUSR1, {0})],
)
def test_a_signal_is_kept_for_it_until_it_can_handle_it(number, codes, smoke, tmp_path):
    for index in (0, 3):
        fit = Forked([*smoke, "--quiet", "-o", str(tmp_path / str(index))], dict(os.environ))
        time.sleep(index / 200)
        fit.send_signal(number)
        code, said = fit.end()
        assert code in codes, said
        assert b"Traceback" not in said


def test_many_at_once_all_tell_how_they_ended(monkeypatch):
    """Though multiprocessing, which starts one, looks whether others have ended."""
    read = forkserver.read_signed

    def read_slowly(descriptor: int) -> int:
        time.sleep(0.02)
        return read(descriptor)

    monkeypatch.setattr(forkserver, "read_signed", read_slowly)
    with ThreadPoolExecutor(8) as pool:
        ended = list(pool.map(lambda _: run("--version"), range(24)))
    assert set(ended) == {(0, "")}


def test_where_none_can_be_forked_a_process_takes_its_place(tmp_path, monkeypatch):
    def fail() -> None:
        raise OSError

    monkeypatch.setattr(forkserver, "ensure_running", fail)
    children = Processes(threads=1)
    with children.at_work():
        ended = children.run(["fit", "image", str(tmp_path / "gone.png")])
    assert ended.code == 3
    assert ended.error is not None
    assert "gone.png" in ended.error


def test_who_asks_for_forks_loads_nothing():
    script = "import sys, nint_cli.cli.forked; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True)


SCRIPT = """
import sys
from pathlib import Path
from nint_cli import cli
with Path("read").open("a") as file:
    file.write("once ")
code = cli.run(["fit", "image", *sys.argv[1:], "--preset", "smoke", "-q", "--jobs", "2"])
print(code, __spec__)
"""


def test_the_script_that_asked_for_it_is_not_run_again(picture, tmp_path):
    """Though nothing in it asks whether it is the main one."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, str(script), str(picture), "sample:cat", "-o", "out"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    assert done.stdout.splitlines()[-1] == "0 None"
    assert Path("read").read_text() == "once "


def batch(tmp_path: Path, *words: str) -> "subprocess.Popen[bytes]":
    """Start two fits at once, in a session of their own."""
    for name in "ab":
        Image.fromarray(smooth_pixels()).save(tmp_path / f"{name}.png")
    command = ["fit", "image", "a.png", "b.png", "--preset", "smoke", "--jobs", "2", "-o", "out"]
    return subprocess.Popen(
        [sys.executable, "-m", "nint_cli", *command, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        env=os.environ | {"NINT_TEST_MARK": str(tmp_path)},
    )


def marked(tmp_path: Path) -> set[int]:
    """Find the processes that came of a batch."""
    mark = f"NINT_TEST_MARK={tmp_path}\0".encode()
    found = set()
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (path / "environ").read_bytes():
                found.add(int(path.name))
        except OSError:
            continue
    return found


linux = pytest.mark.skipif(sys.platform != "linux", reason="there is no /proc to look in")


@linux
@pytest.mark.parametrize("after_s", [0.0, 0.05, 0.5])
def test_a_ctrl_c_while_the_server_loads_is_no_error(after_s, tmp_path):
    process = batch(tmp_path, "--steps", "1000000")
    wait_until(lambda: len(marked(tmp_path)) >= 3)  # with the tracker and the server
    time.sleep(after_s)
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130, said
    assert b"Traceback" not in said
    items = json.loads(Path("out/batch.json").read_text())["items"]
    assert {item["status"] for item in items} <= {"interrupted", "waiting"}
    wait_until(lambda: not marked(tmp_path))


@linux
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGHUP])
def test_fits_end_with_their_parent_and_go_on_with_the_same_command(number, tmp_path):
    process = batch(tmp_path, "--steps", "1000000", "--set", "checkpoint.every=1000000")
    # Not only where there is a checkpoint: they save one before they end.
    wait_until(lambda: len(list(Path("out").glob("*/log.jsonl"))) == 2)
    process.send_signal(number)
    process.communicate(timeout=60)
    wait_until(lambda: not marked(tmp_path))  # the server and the tracker have gone, too
    assert process.returncode == (-9 if number == signal.SIGKILL else 129)
    for item in json.loads(Path("out/batch.json").read_text())["items"]:
        metrics = strict(Path(item["path"], "metrics.json"))
        assert metrics["status"] == item["status"] == "interrupted"
        assert metrics["exit_code"] == item["exit_code"]
        name = {143: "SIGTERM", 129: "SIGHUP"}[item["exit_code"]]
        steps = metrics["steps"]
        assert item["error"] == f"stopped by {name} after {steps} steps; --continue goes on"
        assert len(list(Path(item["path"]).glob("checkpoints/*"))) == 1
