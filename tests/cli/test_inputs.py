"""Inputs that are no plain files: folders, patterns, standard input, addresses."""

import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import nint_cli
from tests.cli.test_cli import nint
from tests.modalities.audio.test_files import save, waves

FAST = ["--preset", "smoke", "--steps", 3, "--progress", "never", "--set", "image.size=16"]
KEPT = Path("run/input")


@pytest.fixture
def folder(tmp_path):
    """Two pictures, and what is none."""
    path = tmp_path / "many"
    (path / "deeper").mkdir(parents=True)
    for index, name in enumerate(["b.png", "a.PNG", ".hidden.png", "deeper/c.png"]):
        Image.new("RGB", (8, 8), (40 * index, 0, 0)).save(path / name, format="PNG")
    (path / "notes.txt").write_text("nothing")
    (path / "folder.png").mkdir()
    return path


@pytest.fixture
def no_pictures(monkeypatch):
    for name in ("sound_picture", "selection_picture"):
        monkeypatch.setattr(f"nint_cli.modalities.audio.subject.{name}", lambda *_: b"a picture")


def given(monkeypatch, content):
    """Let standard input be these bytes."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))


def png(colour=(10, 200, 30)):
    file = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(file, format="PNG")
    return file.getvalue()


# Folders and patterns


def test_a_folder_names_its_pictures_in_order_and_says_what_it_passes_over(capsys, folder):
    code, out, err = nint(capsys, "fit", "image", folder, *FAST, "-o", "runs")
    assert code == 0, err
    assert out.splitlines() == ["runs/a", "runs/b"]
    assert (
        f"nint: '{folder}': 2 pictures; 3 others, no pictures by their names, passed over" in err
    )
    items = json.loads(Path("runs/batch.json").read_text())["items"]
    assert [Path(item["source"]).name for item in items] == ["a.PNG", "b.png"]


def test_a_pattern_names_what_it_matches(capsys, folder, monkeypatch):
    monkeypatch.chdir(folder)
    code, out, err = nint(capsys, "fit", "image", "**/*.png", *FAST, "-o", "runs")
    assert (code, out.splitlines()) == (0, ["runs/b", "runs/c"]), err
    assert "'**/*.png': 2 pictures; 1 others" in err
    code, out, err = nint(capsys, "fit", "image", "b.*", "deeper", *FAST, "-o", "two")
    assert (code, out.splitlines()) == (0, ["two/b", "two/c"]), err
    assert "'b.*': 1 picture\n" in err


def test_a_folder_of_one_is_a_batch_all_the_same(capsys, folder):
    code, out, _ = nint(capsys, "fit", "image", folder / "deeper", *FAST, "-o", "runs")
    assert (code, out) == (0, "runs/c\n")
    assert Path("runs/batch.json").exists()


def test_a_file_whose_name_looks_like_a_pattern_is_itself(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("[a].png", "a.png"):
        Path(name).write_bytes(png())
    code, out, _ = nint(capsys, "fit", "image", "[a].png", *FAST, "-o", "run")
    assert (code, out) == (0, "run\n")
    assert json.loads(Path("run/metrics.json").read_text())["input"]["source"].endswith("[a].png")


def test_where_there_is_none_it_is_said(capsys, folder):
    for source, others in ((folder, "; 5 others are there"), (f"{folder}/*.wav", "")):
        code, _, err = nint(capsys, "fit", "audio", source, *FAST[:-2])
        assert (code, len(err.splitlines())) == (3, 1)
        assert f"cannot read '{source}': there is no sound in it{others}" in err


def test_a_comparison_takes_folders_too(capsys, folder):
    code, _, err = nint(
        capsys, "compare", "image", folder, "--sampler", "uniform", "--sampler", "full", *FAST[:4],
        "--set", "image.size=16", "-o", "report",
    )  # fmt: skip
    assert code == 0, err
    names = [
        each["name"] for each in json.loads(Path("report/compare.json").read_text())["inputs"]
    ]
    assert names == ["a", "b"]
    code, _, err = nint(
        capsys, "compare", "image", "-", "--sampler", "uniform", "--sampler", "full"
    )
    assert (code, "'-' is standard input, which many runs cannot read" in err) == (2, True)


# Standard input


def test_a_picture_from_standard_input_is_kept_and_goes_on(capsys, monkeypatch):
    given(monkeypatch, png())
    code, out, err = nint(capsys, "fit", "image", "-", *FAST, "-o", "run")
    assert (code, out) == (0, "run\n"), err
    metrics = json.loads(Path("run/metrics.json").read_text())
    assert metrics["input"]["source"] == "-"
    assert not [note for note in metrics["input"]["conversions"] if "whatever its name" in note]
    assert KEPT.read_bytes() == png()
    assert "input" in json.loads(Path("run/manifest.json").read_text())["files"]
    before = json.loads(nint(capsys, "eval", "run", "--json")[1])
    assert before["psnr_db"] == pytest.approx(metrics["psnr_db"], abs=1e-4)
    code, _, err = nint(capsys, "resume", "run", "--steps", 5)
    assert code == 0, err
    assert json.loads(Path("run/metrics.json").read_text())["steps"] == 5
    given(monkeypatch, png((255, 0, 0)))
    code, out, _ = nint(capsys, "eval", "run", "--json", "--against", "-")
    assert code == 0
    assert json.loads(out)["psnr_db"] != before["psnr_db"]
    KEPT.unlink()
    code, _, err = nint(capsys, "eval", "run")
    assert (code, "came from standard input and was not kept" in err) == (3, True)


def test_a_run_has_the_bits_of_one_that_read_the_file(capsys, tmp_path, monkeypatch):
    (tmp_path / "a.png").write_bytes(png())
    assert nint(capsys, "fit", "image", tmp_path / "a.png", *FAST, "-o", "file")[0] == 0
    assert nint(capsys, "fit", "image", f"file://{tmp_path}/a.png", *FAST, "-o", "url")[0] == 0
    given(monkeypatch, png())
    assert nint(capsys, "fit", "image", "-", *FAST, "-o", "stdin")[0] == 0
    found = [nint_cli.load_run(name).reconstruction() for name in ("file", "url", "stdin")]
    for each in found[1:]:
        np.testing.assert_array_equal(each, found[0])
    sources = [
        json.loads(Path(name, "manifest.json").read_text())["input"] for name in ("file", "url")
    ]
    assert sources == [str(tmp_path / "a.png")] * 2


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "MP3"])
def test_a_sound_from_standard_input(capsys, tmp_path, monkeypatch, no_pictures, kind):
    given(monkeypatch, Path(save(tmp_path / "a", waves(16000), format=kind)).read_bytes())
    words = [*FAST[:-2], "--duration", "0.01s"]
    code, out, err = nint(capsys, "fit", "audio", "-", *words)
    assert (code, out) == (0, "runs/stdin/nint\n"), err
    assert nint(capsys, "eval", "runs/stdin/nint")[0] == 0


def test_a_shape_from_standard_input(capsys, monkeypatch):
    import trimesh

    given(monkeypatch, trimesh.creation.box().export(file_type="ply"))
    words = ["--set", "sdf.mc_resolution=8", "--set", "sdf.points=64"]
    code, _, err = nint(capsys, "fit", "sdf", "-", *FAST[:-2], *words, "-o", "run")
    assert code == 0, err


def test_what_is_too_much_to_be_kept_is_said(capsys, monkeypatch):
    monkeypatch.setattr("nint_cli.runs.inputs._MOST_KEPT", 10)
    given(monkeypatch, png())
    code, _, err = nint(capsys, "fit", "image", "-", *FAST, "-o", "run")
    assert (code, KEPT.exists()) == (0, False)
    assert "too many to be kept beside the run" in err
    code, _, err = nint(capsys, "resume", "run", "--steps", 5)
    assert (code, "nint resume RUN --input FILE" in err) == (3, True)


def test_a_file_of_that_name_is_not_replaced(capsys, monkeypatch):
    KEPT.parent.mkdir()
    KEPT.write_text("mine")
    given(monkeypatch, png())
    code, _, err = nint(capsys, "fit", "image", "-", *FAST, "-o", "run")
    assert (code, "'run' holds a 'input' that nint did not write" in err) == (4, True)
    assert KEPT.read_text() == "mine"


def test_standard_input_that_cannot_be_used(capsys, monkeypatch):
    given(monkeypatch, b"")
    code, _, err = nint(capsys, "fit", "image", "-", *FAST)
    assert (code, "cannot read standard input: it is empty" in err) == (3, True)
    given(monkeypatch, b"no picture at all")
    code, _, err = nint(capsys, "fit", "image", "-", *FAST)
    assert (code, "cannot read '-': no picture of a known kind" in err) == (3, True)
    code, _, err = nint(capsys, "fit", "image", "-", "b.png", "--jobs", 2, *FAST)
    assert (code, "one fit alone can read; leave out --jobs" in err) == (2, True)
    monkeypatch.setattr("nint_cli.signals.elsewhere._MOST", 10)
    given(monkeypatch, png())
    code, _, err = nint(capsys, "fit", "image", "-", *FAST)
    assert (code, "cannot use standard input: more than 10 bytes" in err) == (3, True)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    code, _, err = nint(capsys, "fit", "image", "-", *FAST)
    assert (code, "which is a terminal here; add < FILE" in err) == (3, True)


def test_the_shell_can_pass_a_picture_on(tmp_path):
    (tmp_path / "a.png").write_bytes(png())
    words = [sys.executable, "-m", "nint_cli", "fit", "image", "-", *map(str, FAST), "-o", "run"]
    with (tmp_path / "a.png").open("rb") as file:
        done = subprocess.run(words, stdin=file, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "run\n"), done.stderr


def test_a_password_comes_to_no_record(capsys):
    for others in ([], ["b.png"]):
        code, _, err = nint(capsys, "fit", "image", "https://me:secret@x.org/a.png", *others)
        assert (code, len(err.splitlines()), "secret" in err) == (3, 1, False)
    assert not Path("runs").exists()


# Names that begin with a dash


def test_a_name_that_begins_with_a_dash_gets_a_hint(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("-x.png").write_bytes(png())
    code, _, err = nint(capsys, "fit", "image", "-x.png", *FAST)
    assert (code, len(err.splitlines())) == (2, 1)
    assert "before a file whose name begins with a dash put --" in err
    code, _, err = nint(capsys, "fit", "image", "-y.png", *FAST)
    assert (code, "put --" in err) == (2, False)
    code, out, _ = nint(capsys, "fit", "image", *FAST, "--", "-x.png")
    assert (code, out) == (0, "runs/x/nint\n")
    assert [path.name for path in Path("runs").iterdir()] == ["x"]
