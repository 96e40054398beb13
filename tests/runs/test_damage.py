"""What is damaged or left behind in a run folder: refused, passed over or mended."""

import json
import os

import pytest
import torch

from nint_cli.config.schema import SAMPLER_NAMES
from nint_cli.runs import checkpoint
from nint_cli.runs.folder import RunFolder
from tests.cli.test_cli import nint
from tests.runs.test_resume import LAST, stopping_at


def test_a_damaged_checkpoint_is_passed_over(capsys, smoke, tmp_path):
    nint(capsys, *smoke, "-o", tmp_path / "a")
    whole = (tmp_path / "a" / LAST).read_bytes()
    for position in (3, 200, len(whole) // 2):  # length, header, body
        damaged = bytearray(whole)
        damaged[position] ^= 0xFF
        (tmp_path / "a" / LAST).write_bytes(damaged[: len(whole) - 5])
        (tmp_path / "a/metrics.json").unlink(missing_ok=True)
        code, _, err = nint(capsys, "eval", tmp_path / "a")
        assert (code, "; measuring the checkpoint before it" in err) == (0, True)
        code, _, err = nint(capsys, "resume", tmp_path / "a")
        assert code == 0
        assert "going on from the checkpoint before it" in err
        assert "going on from step 20 of 30" in err
        assert (tmp_path / "a" / LAST).read_bytes() == whole
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1  # of a number, which stays finite
    (tmp_path / "a" / LAST).write_bytes(flipped)
    (tmp_path / "a/metrics.json").unlink()
    _, _, err = nint(capsys, "resume", tmp_path / "a")
    assert "it is damaged, for its SHA-256 is not that of its content; going on from" in err
    assert (tmp_path / "a" / LAST).read_bytes() == whole
    for path in (tmp_path / "a").glob("checkpoints/*"):
        path.write_bytes(b"rubbish")
    code, _, err = nint(capsys, "resume", tmp_path / "a")
    assert (code, "no sound checkpoint" in err) == (3, True)
    assert nint(capsys, "eval", tmp_path / "a")[0] == 3


def test_a_checkpoint_of_another_samplers_state_is_refused(capsys, smoke, tmp_path):
    nint(capsys, *smoke, "-o", tmp_path / "a")
    for path in (tmp_path / "a/checkpoints").iterdir():
        saved = checkpoint.read(path)
        saved.state.tensors["sampler.what"] = torch.zeros(9)
        path.write_bytes(checkpoint.encode(saved))
    code, _, err = nint(capsys, "resume", tmp_path / "a", "--steps", 40)
    assert (code, "the checkpoint does not fit its config" in err) == (3, True)


@pytest.mark.parametrize(
    ("sampler", "settings"),
    [
        *((name, []) for name in SAMPLER_NAMES),
        ("int", ["--set", "int.interval=dense2"]),
        ("nint", ["--set", "nint.interval=dense2"]),
    ],
)
def test_a_checkpoint_of_points_that_are_not_there_is_refused(
    capsys, smoke, tmp_path, sampler, settings
):
    nint(capsys, *smoke, "--sampler", sampler, *settings, "-o", tmp_path / "a")
    whole = (tmp_path / "a" / LAST).read_bytes()
    files = list((tmp_path / "a/checkpoints").iterdir())
    indices = {
        key
        for key, tensor in checkpoint.read(files[0]).state.tensors.items()
        if key.startswith(("sampler.", "selection.")) and tensor.dtype == torch.int64
    } - {"sampler.sizes", "sampler.began"}
    assert indices >= {"selection.first", "selection.last"}
    for key in indices:
        for path in files:
            path.write_bytes(whole)
            saved = checkpoint.read(path)
            saved.state.tensors[key] = saved.state.tensors[key] + 24 * 32
            path.write_bytes(checkpoint.encode(saved))
        code, _, err = nint(capsys, "resume", tmp_path / "a", "--steps", 40)
        assert code == 3
        assert f"{key} names points that the signal does not have" in err
        assert len(err.splitlines()) == 1


def test_a_torn_log_is_mended(capsys, smoke, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        stopping_at(patch, 15)
        nint(capsys, *smoke, "-o", tmp_path / "a")
    with (tmp_path / "a/log.jsonl").open("a") as file:
        file.write('{"step": 17, "loss": 1}\n{"step": 1')
    assert nint(capsys, "resume", tmp_path / "a")[0] == 0
    rows = [json.loads(line) for line in (tmp_path / "a/log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [10, 15, 20, 30]


# Locks


def test_two_processes_do_not_share_a_folder(capsys, smoke, tmp_path):
    path = tmp_path / "run"
    with RunFolder.create(path, "x.png"):
        for words in ([*smoke, "-o", path, "--overwrite"], ["resume", path]):
            code, _, err = nint(capsys, *words)
            assert code == 4
            assert f"is in use by process {os.getpid()} on " in err
    assert nint(capsys, *smoke, "-o", path, "--overwrite")[0] == 0


def test_a_dead_process_leaves_no_lock_and_its_litter_is_swept(capsys, smoke, tmp_path):
    path = tmp_path / "run"
    nint(capsys, *smoke, "-o", path)
    (path / "metrics.json").unlink()
    litter = path / "checkpoints" / ".step-0000000040.safetensors.123-0a1b2c3d.tmp"
    litter.write_bytes(b"half")
    (path / ".mine.tmp").write_text("a user's own")
    code, _, err = nint(capsys, "resume", path)
    assert code == 0
    assert f"was left unfinished by process {os.getpid()}" in err
    assert not litter.exists()
    assert (path / ".mine.tmp").exists()
