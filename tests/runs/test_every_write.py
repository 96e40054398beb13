"""Every write of a small run fails, or is cut off by SIGKILL, half done: nothing is lost by it."""

import json
import subprocess
import sys
from contextlib import contextmanager

import pytest
import soundfile
import trimesh

from nint_cli import atomic
from tests.cli.test_cli import nint
from tests.fuzz.inputs import SMALL_SHAPE
from tests.modalities.audio.test_files import waves
from tests.runs.test_kill import KILLED

SHORT = ("--steps", "6", "--set", "checkpoint.every=3", "--set", "evaluation.every=3")

BROKEN = """
import json, shutil
from nint_cli import atomic

last = sorted(os.listdir(root + "/through/checkpoints"))[-1]
replace = atomic._replace

def broken(words, number, how):
    # In a child, the nth write of a command is half done; None: there are none so late.
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    left = [number]
    def breaking(path, writer, is_sound):
        left[0] -= 1
        if left[0] != 0:
            return replace(path, writer, is_sound)
        def half(file):
            file.write(b"half of it")
            file.flush()
            if how == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            raise OSError(28, "No space left on device")
        return replace(path, half, is_sound)
    atomic._replace = breaking
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    os._exit(cli.run(words))

def each_write():
    number = 1
    while True:
        yield number
        number += every

def check(path, fit, command, begin):
    for how in ("failed", "killed"):
        for number in each_write():
            shutil.rmtree(path, ignore_errors=True)
            if begin is not None:
                shutil.copytree(begin, path)
            code = broken(command, number, how)
            if code == 0:
                assert number > 1, "no write was broken"
                break
            assert code == {"failed": 4, "killed": -signal.SIGKILL}[how], (code, number)
            saved = os.path.isdir(path + "/checkpoints") and os.listdir(path + "/checkpoints")
            saved = [name for name in saved or () if name.startswith("step-")]
            goes_on = run(["resume", path])
            assert goes_on == (0 if saved else 3), (how, number, goes_on)
            if not saved:
                assert run([*fit, "--overwrite"]) == 0, (how, number)
            with open(f"{path}/checkpoints/{last}", "rb") as one:
                with open(f"{root}/through/checkpoints/{last}", "rb") as other:
                    assert one.read() == other.read(), (how, number)
            there = {
                os.path.relpath(os.path.join(folder, name), path)
                for folder, _, names in os.walk(path) for name in names
            }
            listed = json.load(open(path + "/manifest.json"))["files"]
            assert there - {".lock", "manifest.json"} == set(listed), (how, number)
            assert json.load(open(path + "/metrics.json"))["status"] == "complete"
            assert run(["eval", path]) == 0
            print(how, number)

path = root + "/run"
fit = [*words, "-o", path]
if kind == "fit":
    check(path, fit, fit, None)
else:
    begin = root + "/begun"
    shutil.copytree(root + "/through", begin)
    os.remove(f"{begin}/checkpoints/{last}")
    os.remove(begin + "/metrics.json")
    check(path, fit, ["resume", path], begin)
"""


@pytest.fixture
def inputs(tmp_path, picture):
    soundfile.write(tmp_path / "sound.wav", waves(400), 8_000)
    trimesh.creation.box((2, 1, 1)).export(tmp_path / "mesh.ply")
    small = ["--set", "siren.hidden_features=8"]
    return {
        "image": [picture, "--set", "image.size=16", *small],
        "audio": [tmp_path / "sound.wav", *small],
        "sdf": [tmp_path / "mesh.ply", *SMALL_SHAPE, *small],
    }


@pytest.mark.parametrize(
    ("modality", "kind", "every"),
    [
        ("image", "fit", 5),
        ("audio", "resume", 14),
        ("sdf", "fit", 23),
        *(
            pytest.param(modality, kind, 1, marks=pytest.mark.slow)
            for modality in ("image", "audio", "sdf")
            for kind in ("fit", "resume")
        ),
    ],
)
def test_a_write_that_is_half_done_loses_nothing(tmp_path, inputs, modality, kind, every):
    words = ["fit", modality, *map(str, inputs[modality]), "--preset", "smoke", *SHORT]
    script = f"{KILLED}\nevery, kind = {every}, {kind!r}\n{BROKEN}"
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path), *words],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    broken = [line for line in done.stdout.splitlines() if line.startswith(("failed ", "killed "))]
    assert len(broken) >= 2 * (9 // every)


@contextmanager
def failing_at(number):
    """Let the nth write fail half done; give how many there were."""
    count = []
    replace = atomic._replace

    def write(path, writer, is_sound):
        def half(file):
            file.write(b"half of it")
            raise OSError(28, "No space left on device")

        count.append(path)
        return replace(path, half if len(count) == number else writer, is_sound)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(atomic, "_replace", write)
        yield count


@pytest.mark.slow
def test_a_comparison_whose_writes_fail_goes_on_to_the_same_report(
    capsys, inputs, tmp_path, fits_within
):
    words = ["compare", "image", *inputs["image"], "--preset", "smoke", *SHORT]
    words += ["--sampler", "nint", "--sampler", "uniform", "--seeds", 1]

    def figures(root):
        report = json.loads((root / "compare.json").read_text())
        return [(run["variant"], run["status"], run["value"]) for run in report["runs"]]

    with failing_at(None) as writes:
        assert nint(capsys, *words, "-o", tmp_path / "whole")[0] == 0
    for number in (*range(1, len(writes) - 3, 11), *range(len(writes) - 3, len(writes) + 1)):
        root = tmp_path / str(number)
        with failing_at(number):
            assert nint(capsys, *words, "-o", root)[0] != 0
        assert nint(capsys, *words, "-o", root)[0] == 0
        assert figures(root) == figures(tmp_path / "whole")
        assert not list(root.rglob("*.tmp"))


def test_looking_at_a_run_writes_nothing_in_it_or_can_be_done_again(capsys, inputs, tmp_path):
    run = tmp_path / "run"
    nint(capsys, "fit", "image", *inputs["image"], "--preset", "smoke", *SHORT, "-o", run)
    with failing_at(None) as writes:
        assert nint(capsys, "eval", run)[0] == 0
    assert writes == []
    with failing_at(None) as writes:
        assert nint(capsys, "inspect", run, "--points", 16)[0] == 0
    assert {path.parent for path in writes} == {run / "inspect"}
    for number in range(1, len(writes) + 1):
        with failing_at(number):
            assert nint(capsys, "inspect", run, "--points", 16)[0] == 4
        assert nint(capsys, "inspect", run, "--points", 16)[0] == 0
