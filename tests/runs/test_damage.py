"""What is damaged or left behind in a run folder: refused, passed over or mended."""

import hashlib
import json
import os
import pathlib
import shutil
from dataclasses import replace

import pytest
import torch
from PIL import Image
from safetensors.torch import save

from nint_cli.config.schema import SAMPLER_NAMES
from nint_cli.errors import InputError
from nint_cli.runs import checkpoint, selections
from nint_cli.runs.folder import RunFolder
from nint_cli.training.trainer import TrainerState
from tests.cli.test_cli import nint
from tests.conftest import smooth_pixels
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


@pytest.mark.parametrize("told", [True, False], ids=["of_today", "of_an_earlier_version"])
def test_a_checkpoint_of_another_samplers_state_is_refused(capsys, smoke, told, tmp_path):
    nint(capsys, *smoke, "-o", tmp_path / "a")
    for path in (tmp_path / "a/checkpoints").iterdir():
        saved = checkpoint.read(path)
        saved.state.tensors["sampler.what"] = torch.zeros(9)
        if not told:
            del saved.state.numbers["sampler"]
        path.write_bytes(checkpoint.encode(saved))
    code, _, err = nint(capsys, "resume", tmp_path / "a", "--steps", 40)
    why = (
        "sampler.what is nothing that its sampler remembers"
        if told
        else "the checkpoint does not fit its config"
    )
    assert (code, why in err) == (3, True)


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


# What is of another run


@pytest.fixture
def tiny(capsys, tmp_path):
    """Fit a picture into a folder; give the folder."""

    def fit(name, pixels=None, *more):
        path = tmp_path / f"{name}.png"
        Image.fromarray(smooth_pixels() if pixels is None else pixels).save(path)
        words = ("--preset", "smoke", "--steps", 20, "--set", "image.size=24", *more)
        code, _, err = nint(capsys, "fit", "image", path, *words, "-o", tmp_path / name)
        assert code == 0, err
        return tmp_path / name

    return fit


def contents(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("which", ["all", "newest", "an earlier version's"])
def test_checkpoints_of_another_input_are_refused_and_nothing_is_changed(
    capsys, tiny, tmp_path, which
):
    run, other = tiny("a"), tiny("b", smooth_pixels()[::-1].copy())
    uniform = tiny("u", None, "--sampler", "uniform")
    own = max((run / "checkpoints").iterdir())
    for path in (run / "checkpoints").iterdir():
        if which == "all" or path == own:
            shutil.copy(other / "checkpoints" / path.name, path)
    if which == "an earlier version's":  # which wrote neither hash nor name of the run
        manifest = json.loads((run / "manifest.json").read_text())
        kept = {key: manifest[key] for key in ("written_by", "input", "files", "owner")}
        (run / "manifest.json").write_text(json.dumps(kept))
        saved = replace(checkpoint.read(own), run_id=None)
        own.write_bytes(checkpoint.encode(saved))
    before = contents(run)
    for words in (
        ["eval", run],
        ["resume", run, "--steps", 25],
        ["inspect", run],
        ["compare", "runs", run, uniform, "-o", tmp_path / "report"],
    ):
        code, _, err = nint(capsys, *words)
        assert (code, "is of another input than the run; remove it" in err) == (3, True), words
        assert contents(run) == before


def test_checkpoints_of_another_run_on_the_input_are_refused(capsys, tiny):
    run, other = tiny("a"), tiny("b", None, "--seed", 1)
    shutil.copytree(other / "checkpoints", run / "checkpoints", dirs_exist_ok=True)
    code, _, err = nint(capsys, "eval", run)
    assert (code, "is of another run; remove it" in err) == (3, True)
    (run / "checkpoints/step-0000000020.safetensors").unlink()
    (run / "checkpoints/step-0000000010.safetensors").unlink()
    code, _, err = nint(capsys, "resume", run)
    assert (code, "no checkpoint in" in err) == (3, True)


def test_metrics_of_another_input_are_refused(capsys, tiny, tmp_path):
    run, other = tiny("a"), tiny("b", smooth_pixels()[::-1].copy())
    uniform = tiny("u", None, "--sampler", "uniform")
    shutil.copy(other / "metrics.json", run)
    code, _, err = nint(capsys, "compare", "runs", run, uniform, "-o", tmp_path / "report")
    assert (code, "a/metrics.json' is of another input than the run" in err) == (3, True)


def test_equal_runs_have_one_identity_and_it_goes_with_the_run(capsys, tiny):
    run, again, longer = tiny("a"), tiny("b"), tiny("c", None, "--seed", 1)
    first, second, third = (RunFolder(path) for path in (run, again, longer))
    assert first.run_id == second.run_id != third.run_id
    assert first.input_sha256 == third.input_sha256
    assert nint(capsys, "resume", run, "--steps", 25)[0] == 0
    for path in (run / "checkpoints").iterdir():
        assert checkpoint.identity(path) == (first.run_id, first.input_sha256)
    assert json.loads((run / "manifest.json").read_text())["run_id"] == second.run_id


# Rows, documents and states that nint did not write so

DEEP = ("[" * 100_000, "[" * 2000 + "]" * 2000, '{"a":' * 2000 + "1" + "}" * 2000)
ODD_ROWS = (
    '{"train_s": 1}',
    '{"step": [1], "train_s": 1, "passes": 1, "psnr_db": 1}',
    '{"step": 20, "train_s": 1, "passes": 1, "psnr_db": "high"}',
    '{"step": 20, "train_s": 1, "psnr_db": 9}',
    '{"step": 20, "train_s": 1, "passes": 1, "loss": NaN, "psnr_db": 9}',
    '{"step": 20, "train_s": 1, "passes": 1, "loss": 1e400, "psnr_db": 9}',
    '{"step": true, "train_s": 1, "passes": 1, "psnr_db": 9}',
    '{"step": -1, "train_s": 1, "passes": 1, "psnr_db": 9}',
    '{"step": 20.5, "train_s": 1, "passes": 1, "psnr_db": 9}',
    '{"step": 20, "train_s": "long", "passes": 1, "psnr_db": 9}',
    '{"step": 20, "train_s": 1, "passes": [], "psnr_db": 9}',
    '{"step": 20, "train_s": 1, "passes": 1, "psnr_db": [9]}',
    '{"step": 20, "train_s": 1, "passes": 1, "loss": "low", "psnr_db": 9}',
    '{"step": 20, "train_s": 1, "passes": 1, "psnr_db": 9, "clock": {"load_s": "long"}}',
    '{"step": 20, "train_s": 1, "passes": 1, "psnr_db": 9, "clock": 7}',
    '{"step": ' + "9" * 400 + ', "train_s": 1, "passes": 1, "psnr_db": 9}',
    '{"event": 7, "step": 20}',
    '{"event": "diverged", "step": "late"}',
    "[]",
    "7",
    "\x00\x1b",
    *DEEP,
)


def test_odd_rows_of_a_log_are_passed_over_everywhere(capsys, tiny, tmp_path):
    run, uniform = tiny("a"), tiny("u", None, "--sampler", "uniform")
    log = run / "log.jsonl"
    whole = log.read_text()
    log.write_text(whole + "\n".join(ODD_ROWS) + "\n")
    report = tmp_path / "report"
    assert nint(capsys, "compare", "runs", run, uniform, "-o", report)[0] == 0
    curves = [each["curve"] for each in json.loads((report / "compare.json").read_text())["runs"]]
    assert [curve["step"] for curve in curves] == [[10, 20], [10, 20]]
    figures = [json.loads(line)["psnr_db"] for line in whole.splitlines()]
    assert curves[0]["value"] == figures
    assert nint(capsys, "inspect", run, "--points", 16)[0] == 0
    assert nint(capsys, "resume", run, "--steps", 25)[0] == 0
    lines = log.read_text().splitlines()
    assert lines[:2] == whole.splitlines()
    assert [json.loads(line)["step"] for line in lines[2:-1]] == [20, 20]  # other figures odd
    assert json.loads(lines[-1])["step"] == 25


@pytest.mark.parametrize("odd", [*DEEP, '{"psnr_db": NaN}', '{"steps": 1e400}', "[]"])
def test_odd_documents_are_damage_like_other_damage(capsys, tiny, odd, tmp_path):
    run = tiny("a")
    (run / "manifest.json").write_text(odd)
    code, _, err = nint(capsys, "eval", run)
    assert code == 0
    assert "had no sound manifest.json; rebuilt from the checkpoint of step 20" in err
    (run / "metrics.json").write_text(odd)
    code, _, err = nint(capsys, "compare", "runs", run, run, "-o", tmp_path / "report")
    assert (code, "not finished: " in err) == (3, True)
    code, _, err = nint(capsys, "resume", run)
    assert (code, "training is over; measuring what it came to" in err) == (0, True)
    assert json.loads((run / "metrics.json").read_text())["status"] == "complete"


@pytest.mark.parametrize("odd", DEEP)
def test_a_deep_description_of_a_checkpoint_has_the_one_before_taken(capsys, tiny, odd):
    run = tiny("a")
    newest = max((run / "checkpoints").iterdir())
    newest.write_bytes(save(checkpoint.read(newest).state.tensors, {"nint": odd}))
    code, _, err = nint(capsys, "eval", run)
    assert (code, "nested too deep; measuring the checkpoint before it" in err) == (0, True)


@pytest.mark.parametrize("best", [[], [1], [1, 2, 3], ["high", 1], [1, -1], [10**400, 1], {}, 7])
def test_a_best_figure_that_is_none_is_damage(capsys, tiny, best):
    run = tiny("a")
    for path in (run / "checkpoints").iterdir():
        path.write_bytes(checkpoint.encode(replace(checkpoint.read(path), best=best)))
    before = contents(run)
    code, _, err = nint(capsys, "resume", run, "--steps", 25)
    assert (code, "no sound checkpoint" in err) == (3, True)
    assert contents(run) == before


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda state: {}, "is missing"),
        (lambda state: state | {"sampler.x": torch.zeros(3)}, "sampler.x is nothing that its"),
        (lambda state: {key: each[:0].clone() for key, each in state.items()}, "] was of ["),
    ],
)
@pytest.mark.parametrize("sampler", ["nint", "soft_mining"])
def test_a_sampler_without_its_memory_is_refused_before_training(
    capsys, tiny, sampler, change, fault
):
    run = tiny("a", None, "--sampler", sampler, "--set", "batch.fraction=0.6")
    for path in (run / "checkpoints").iterdir():
        saved = checkpoint.read(path)
        tensors = saved.state.tensors
        own = {key: each for key, each in tensors.items() if key.startswith("sampler.")}
        assert own
        rest = {key: each for key, each in tensors.items() if key not in own}
        state = TrainerState(rest | change(own), saved.state.numbers)
        path.write_bytes(checkpoint.encode(replace(saved, state=state)))
    before = contents(run)
    code, _, err = nint(capsys, "resume", run, "--steps", 25)
    assert code == 3
    assert fault in err
    assert contents(run) == before


def test_odd_selections_are_left_out(capsys, tiny, tmp_path):
    run = tiny("a", None, "--set", "evaluation.selections=true")
    uniform = tiny("u", None, "--sampler", "uniform")
    paths = sorted((run / "selections").iterdir())
    sound, slots = torch.tensor([0, 1]), '[["high", 2]]'
    for indices, names in (
        (sound.float(), slots),
        (torch.tensor([2**64 - 1, 0], dtype=torch.uint64), slots),
        (sound - 1, slots),
        (sound[None], slots),
        (sound, '[["high", 1]]'),
        (sound, '[["high", -1], ["low", 3]]'),
        (sound, '[["high", 2.0]]'),
        (sound, "[" * 100_000),
        (sound, "7"),
        (sound, '[["high", 1e400]]'),
    ):
        paths[0].write_bytes(save({"indices": indices}, {"slots": names}))
        with pytest.raises(InputError, match="is damaged"):
            selections.read(paths[0])
    paths[0].write_bytes(save({"indices": sound.float()}, {"slots": slots}))
    report = ("compare", "runs", run, uniform, "-o", tmp_path / "report")
    assert nint(capsys, *report)[0] == 0
    code, _, err = nint(capsys, "inspect", run, "--points", 16)
    assert (code, f"'{paths[0]}' is damaged" in err) == (0, True)


# A manifest that is gone


def test_a_lost_manifest_is_rebuilt_from_the_checkpoint_and_said(capsys, tiny, tmp_path):
    run, uniform = tiny("a"), tiny("u", None, "--sampler", "uniform")
    whole = json.loads((run / "manifest.json").read_text())
    (run / "notes.txt").write_text("mine")
    words = ("fit", "image", tmp_path / "a.png", "--preset", "smoke", "-o", run)
    for command in (
        ["eval", run],
        ["resume", run],
        ["inspect", run, "--points", 16],
        ["compare", "runs", run, uniform, "-o", tmp_path / "report"],
    ):
        (run / "manifest.json").unlink()
        code, _, err = nint(capsys, *words, "--overwrite")
        assert (code, "or if it is a run that lost its manifest.json, `nint eval`" in err) == (
            4,
            True,
        )
        code, _, err = nint(capsys, *command)
        assert code == 0, command
        assert "had no sound manifest.json; rebuilt from the checkpoint of step 20" in err
        found = json.loads((run / "manifest.json").read_text())
        assert {key: found[key] for key in ("input", "input_sha256", "run_id")} == {
            key: whole[key] for key in ("input", "input_sha256", "run_id")
        }
        assert sorted(found["files"]) == sorted(whole["files"])
    assert nint(capsys, *words, "--overwrite")[0] == 0
    assert (run / "notes.txt").exists()
    for path in (run / "checkpoints").iterdir():
        path.unlink()
    (run / "manifest.json").unlink()
    code, _, err = nint(capsys, "eval", run)
    assert (code, "nor a checkpoint to rebuild that from; fit into another" in err) == (3, True)


def test_a_lost_manifest_of_a_run_that_cannot_be_written_is_said(capsys, tiny):
    run = tiny("a")
    (run / "manifest.json").unlink()
    with RunFolder.create(run.parent / "other", "x.png") as other:
        pathlib.Path(other.path / ".lock").replace(run / ".lock")  # somebody works there
        code, _, err = nint(capsys, "eval", run)
        assert (code, "has no sound manifest.json: '" in err) == (0, True)
        assert nint(capsys, "resume", run)[0] == 4


@pytest.mark.parametrize("stopped", [None, 15])
def test_the_manifest_lists_what_is_there(capsys, smoke, tmp_path, monkeypatch, stopped):
    run = tmp_path / "a"
    with monkeypatch.context() as patch:
        if stopped:
            stopping_at(patch, stopped)
        nint(capsys, *smoke, "-o", run, "--set", "evaluation.selections=true")
    for steps in (None, 40):
        if steps:
            nint(capsys, "resume", run, "--steps", steps)
        listed = json.loads((run / "manifest.json").read_text())["files"]
        assert sorted(listed) == sorted(contents(run).keys() - {".lock", "manifest.json"})
