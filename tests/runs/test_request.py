"""What `--continue` and `--skip-existing` make of what a folder holds, and inputs that moved."""

import hashlib
import shutil
import sys
from pathlib import Path

import pytest
import soundfile
from PIL import Image

from nint_cli.errors import ConfigError
from nint_cli.runs import checkpoint
from nint_cli.runs.evaluate import evaluate_run
from nint_cli.runs.request import wish
from tests.cli.test_cli import nint, strict
from tests.conftest import smooth_pixels
from tests.runs.test_resume import stopping_at

RUN = Path("run")


def digests(folder: Path) -> dict[str, str]:
    """Hash the files of a run; the lock's and the owner's are nobody's result."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and path.name not in {".lock", "manifest.json"}
    }


@pytest.fixture
def words(smoke) -> list[str]:
    return [*smoke, "--steps", "20", "-o", str(RUN)]


@pytest.fixture
def stopped(capsys, words, monkeypatch) -> Path:
    """A run that was stopped after 10 of 20 steps."""
    with monkeypatch.context() as patch:
        stopping_at(patch, 10)
        nint(capsys, *words)
    return RUN


@pytest.fixture
def whole(capsys, words) -> Path:
    """The same, that nobody stopped."""
    assert nint(capsys, *words[:-1], "whole")[0] == 0
    return Path("whole")


LAST = "checkpoints/step-0000000020.safetensors"


def test_nothing_is_fitted_what_was_stopped_goes_on_and_what_is_done_is_kept(
    capsys, words, stopped, whole
):
    expected = (whole / LAST).read_bytes()
    code, out, err = nint(capsys, *words, "--continue")
    assert (code, out, "going on from step 10 of 20" in err) == (0, "run\n", True)
    assert (stopped / LAST).read_bytes() == expected
    before = digests(stopped)
    code, out, err = nint(capsys, *words, "--continue")
    assert (code, out, "'run' is complete; kept" in err) == (0, "run\n", True)
    assert digests(stopped) == before
    shutil.rmtree(stopped)
    assert nint(capsys, *words, "--continue")[0] == 0
    assert (stopped / LAST).read_bytes() == expected


def test_make_takes_what_was_kept_for_made(capsys, words, whole):
    import os

    os.utime(whole / "metrics.json", (1, 1))
    assert nint(capsys, *words[:-1], "whole", "--continue")[0] == 0
    assert (whole / "metrics.json").stat().st_mtime > 1e9


@pytest.mark.parametrize("flag", ["--continue", "--skip-existing"])
@pytest.mark.parametrize("state", ["whole", "stopped"])
def test_another_run_is_left_as_it_is(capsys, words, picture, state, flag, request):
    folder = request.getfixturevalue(state)
    words[-1] = str(folder)
    before = digests(folder)
    for other, said in (
        (["--steps", "25"], "other settings (steps 20, not 25)"),
        (["--seed", "4", "--lr", "0.5"], "other settings (seed 0, not 4; optimiser.lr "),
    ):
        code, _, err = nint(capsys, *words, *other, flag)
        assert (code, said in err, "--overwrite" in err) == (4, True, True), err
        assert len(err.splitlines()) == 1
    Image.fromarray(smooth_pixels()[::-1].copy()).save(picture)
    if state == "whole" or flag == "--continue":  # else what was not finished is begun anew
        code, _, err = nint(capsys, *words, flag)
        assert (code, "a run of another input; choose --overwrite" in err) == (4, True), err
    soundfile.write("a.wav", smooth_pixels()[0].astype(float) / 255, 8000)
    sound = ["fit", "audio", "a.wav", *words[3:], flag]
    assert nint(capsys, *sound)[0] == 4
    assert digests(folder) == before


def test_how_often_a_run_is_looked_at_makes_it_no_other(capsys, words, whole):
    before = digests(whole)
    more = ["--set", "evaluation.every=3", "--set", "checkpoint.every=7"]
    assert nint(capsys, *words[:-1], "whole", *more, "--continue")[0] == 0
    assert digests(whole) == before


def test_what_saved_nothing_is_begun_anew(capsys, words, stopped, whole):
    """By whatever settings, for nothing is lost."""
    shutil.rmtree(stopped / "checkpoints")
    code, _, err = nint(capsys, "resume", stopped)
    assert (code, "--continue begins it anew" in err) == (3, True)
    code, _, err = nint(capsys, *words, "--seed", 4, "--continue")
    assert (code, "fitted anew" in err) == (0, True)
    assert strict(stopped / "metrics.json")["seed"] == 4


def test_a_run_that_went_on_to_more_steps_is_one_of_those(capsys, words, whole):
    """Even where it was killed before it had saved that anywhere but in config.yaml."""
    text = (whole / "config.yaml").read_text()
    (whole / "config.yaml").write_text(text.replace("steps: 20\n", "steps: 25\n"))
    (whole / "metrics.json").unlink()
    words[-1] = "whole"
    code, _, err = nint(capsys, *words, "--continue")
    assert (code, "steps 25, not 20" in err) == (4, True)
    assert nint(capsys, *words, "--steps", 25, "--continue")[0] == 0
    assert strict(whole / "metrics.json")["steps"] == 25


def test_a_run_that_diverged_would_again(capsys, words, monkeypatch):
    words += ["--set", "optimiser.rescue=off"]
    with monkeypatch.context() as patch:
        patch.setattr("nint_cli.training.trainer.Trainer._check", lambda _: False)
        assert nint(capsys, *words)[0] == 5
    before = digests(RUN)
    code, _, err = nint(capsys, *words, "--continue")
    assert (code, "holds this run, which diverged" in err) == (5, True)
    assert digests(RUN) == before


def test_a_missed_target_of_a_kept_run_is_told(capsys, words):
    words += ["--target-psnr", "90"]
    assert nint(capsys, *words)[0] == 0
    assert nint(capsys, *words, "--continue", "--require-target")[0] == 7


def test_two_wishes_are_refused(capsys, words):
    for pair in (["--overwrite", "--continue"], ["--continue", "--skip-existing"]):
        code, _, err = nint(capsys, *words, *pair)
        assert (code, "give one of them" in err) == (2, True)
    with pytest.raises(ConfigError):
        wish(overwrite=True, skip_existing=True, continue_existing=True)


@pytest.mark.parametrize("jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_each_input_of_many_goes_on_by_itself(capsys, picture, smoke, jobs):
    Image.fromarray(smooth_pixels()[::-1].copy()).save("b.png")
    many = ["fit", "image", picture, "b.png", *smoke[3:], "-o", "out", "--jobs", jobs]
    assert nint(capsys, *smoke, "-o", "out/picture")[0] == 0
    assert nint(capsys, *smoke[:2], "b.png", *smoke[3:], "--seed", 4, "-o", "out/b")[0] == 0
    assert nint(capsys, *many, "--continue")[0] == 8
    items = strict(Path("out/batch.json"))["items"]
    assert [(item["status"], item["exit_code"]) for item in items] == [
        ("complete", 0),
        ("failed", 4),
    ]
    assert items[1]["error"].startswith("'out/b' holds a run of other settings (seed 4, not 0)")
    assert nint(capsys, *many, "--overwrite")[0] == 0
    before = digests(Path("out"))
    assert nint(capsys, *many, "--continue")[0] == 0
    assert digests(Path("out")) == before


# Inputs that moved


@pytest.mark.parametrize("state", ["whole", "stopped"])
def test_a_run_remembers_where_its_input_is_now(capsys, picture, state, request):
    folder = request.getfixturevalue(state)
    picture.rename("moved.png")
    code, _, err = nint(capsys, "resume", folder)
    assert (code, "picture.png" in err) == (3, True)
    assert nint(capsys, "resume", folder, "--input", "moved.png")[0] == 0
    place = str(Path("moved.png").absolute())
    assert strict(folder / "manifest.json")["input"] == place
    assert strict(folder / "metrics.json")["input"]["source"] == place
    for path in folder.glob("checkpoints/*"):
        if path.name >= "step-0000000020":
            assert checkpoint.read(path).signal.source == place
    assert evaluate_run(folder).psnr_db == pytest.approx(
        strict(folder / "metrics.json")["psnr_db"]
    )
    assert "nothing to do" in nint(capsys, "resume", folder)[2]


def test_a_run_goes_on_by_continue_with_an_input_that_moved(capsys, words, picture, stopped):
    picture.rename("moved.png")
    words[2] = "moved.png"
    assert nint(capsys, *words, "--continue")[0] == 0
    assert strict(stopped / "manifest.json")["input"] == str(Path("moved.png").absolute())


def test_what_a_run_that_is_done_does_not_take_is_named(capsys, words, stopped):
    assert "'run' keeps to" not in nint(capsys, *words, "--continue")[2]
    err = nint(capsys, *words, "--final", "full", "--continue")[2]
    assert "'run' is done and kept without evaluation.final=full (--final)\n" in err
    assert " without " not in nint(capsys, *words, "--skip-existing")[2]


def test_what_a_stopped_run_does_not_take_is_named(capsys, words, stopped):
    more = [*words, "--final", "full", "--set", "checkpoint.keep=9"]
    code, _, err = nint(capsys, *more, "--continue")
    assert code == 0
    assert "'run' keeps to its config.yaml, which can be edited, without " in err
    assert "checkpoint.keep=9 (--set)" in err
    assert "evaluation.final=full (--final)" in err
    assert "evaluation.points" not in err  # of the preset, and the same


def test_another_file_is_not_where_the_input_is(capsys, stopped):
    Image.fromarray(smooth_pixels()[::-1].copy()).save("b.png")
    before = digests(stopped)
    code, _, err = nint(capsys, "resume", stopped, "--input", "b.png")
    assert (code, "'b.png' is not what the run is fitted to" in err) == (3, True)
    assert nint(capsys, "resume", stopped, "--input", "gone.png")[0] == 3
    assert digests(stopped) == before


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such names")
def test_the_place_of_an_input_may_have_any_name(capsys, picture, stopped):
    picture.rename("new\n\x1b[31m.png")
    code, _, err = nint(capsys, "resume", stopped, "--input", "new\n\x1b[31m.png")
    assert (code, "\x1b" in err) == (0, False)
