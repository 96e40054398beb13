import json
import os
from pathlib import Path

import pytest

from nint_cli.atomic import write_by, write_whole
from nint_cli.errors import InputError, OutputError
from nint_cli.inspection.files import refuse_what_is_in_the_way
from nint_cli.runs.folder import (
    CONFIG,
    METRICS,
    RunFolder,
    default_folder,
    in_use_by,
    is_of_another,
)


def names(path):
    return sorted(str(p.relative_to(path)) for p in path.rglob("*") if p.is_file())


def test_a_file_is_replaced_whole(tmp_path):
    path = tmp_path / "a.bin"
    write_whole(path, b"old")
    write_whole(path, b"new")
    assert path.read_bytes() == b"new"
    assert names(tmp_path) == ["a.bin"]


@pytest.mark.parametrize("failing", ["fsync", "replace", "write"])
def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path, monkeypatch, failing):
    path = tmp_path / "a.bin"
    write_whole(path, b"old")

    def fail(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    if failing == "fsync":
        monkeypatch.setattr(os, "fsync", fail)
    elif failing == "replace":
        monkeypatch.setattr(Path, "replace", fail)
    else:
        monkeypatch.setattr(Path, "read_bytes", lambda _self: b"rubbish")
    with pytest.raises(OutputError, match=r"No space left|reads back otherwise"):
        write_whole(path, b"new")
    monkeypatch.undo()
    if failing != "fsync" or path.read_bytes() == b"old":
        assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a.bin"]


def test_a_file_is_written_piece_by_piece_or_not_at_all(tmp_path):
    path = tmp_path / "a.bin"
    write_whole(path, b"old")

    def write(file):
        file.write(b"new ")
        file.seek(0)
        file.write(b"N")
        file.seek(0, 2)
        file.write(b"content")

    def fail(error):
        def writer(file):
            file.write(b"half of it")
            assert path.read_bytes() == b"New content"
            raise error

        return writer

    write_by(path, write)
    for error, raised in (
        (OSError(28, "No space left on device"), OutputError),
        (ValueError,) * 2,
    ):
        with pytest.raises(raised):
            write_by(path, fail(error))
        assert path.read_bytes() == b"New content"
        assert names(tmp_path) == ["a.bin"]
    with RunFolder.create(tmp_path / "run", "sample:cat") as folder:
        folder.write_by("reconstruction.tif", write)
    RunFolder.create(tmp_path / "run", "sample:cat", overwrite=True).close()
    assert names(tmp_path / "run") == [".lock", "manifest.json"]


def test_a_new_run_owns_its_files_and_overwrite_removes_only_them(tmp_path):
    path = tmp_path / "deep" / "run"
    folder = RunFolder.create(path, "sample:cat")
    folder.write(CONFIG, b"x")
    folder.append_log({"step": 1})
    folder.write_json(METRICS, {"a": None})
    for step in (1, 2, 3):
        folder.write_checkpoint(step, b"c")
    (path / "notes.txt").write_text("mine")
    (path / "checkpoints" / "mine.txt").write_text("mine")
    assert [p.name[5:15] for p in folder.checkpoints()] == ["0000000003", "0000000002"]
    folder.close()
    with pytest.raises(OutputError, match="holds a run; choose --continue"):
        RunFolder.create(path, "sample:cat")
    RunFolder.create(path, "sample:cat", overwrite=True).close()
    assert names(path) == [".lock", "checkpoints/mine.txt", "manifest.json", "notes.txt"]


def test_foreign_files_are_never_in_danger(tmp_path):
    (tmp_path / "metrics.json").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(OutputError, match=r"'metrics\.json' that nint did not write"):
            RunFolder.create(tmp_path, "a.png", overwrite=overwrite)
    assert names(tmp_path) == ["metrics.json"]
    victim = tmp_path / "victim.txt"
    victim.write_text("mine")
    run = tmp_path / "run"
    RunFolder.create(run, "a.png").close()
    manifest = json.loads((run / "manifest.json").read_text())
    manifest["files"] = ["../victim.txt", str(victim), "config.yaml"]
    (run / "manifest.json").write_text(json.dumps(manifest))
    RunFolder.create(run, "a.png", overwrite=True)
    assert victim.read_text() == "mine"


def test_copies_and_foreign_checkpoints_are_neither_counted_nor_removed(tmp_path):
    mine = [
        "checkpoints/step-best.safetensors",
        "checkpoints/step-0000000001-copy.safetensors",
        "checkpoints/step-0000000009.safetensors",
        "selections/step-0000000009.safetensors",
    ]
    with RunFolder.create(tmp_path / "run", "a.png") as folder:
        folder.write_selection(1, b"run")
        for name in mine:
            (folder.path / name).write_bytes(b"mine")
        for step in (1, 2, 3):
            folder.write_checkpoint(step, b"run", keep=1)
        assert [int(path.stem[5:]) for path in folder.checkpoints()] == [9, 3]
        folder.write_selection(3, b"run")
        folder.forget_after(2)
        assert [int(path.stem[5:]) for path in folder.checkpoints()] == [9]
        assert [int(path.stem[5:]) for path in folder.selections()] == [1, 9]
    assert all((tmp_path / "run" / name).read_bytes() == b"mine" for name in mine)
    for place in ("checkpoints", "selections"):
        found = tmp_path / place / place
        found.mkdir(parents=True)
        (found / "step-0000000002.safetensors").write_bytes(b"mine")
        for overwrite in (False, True):
            with pytest.raises(OutputError, match=f"'{place}/step-.*' that nint did not write"):
                RunFolder.create(tmp_path / place, "a.png", overwrite=overwrite)


def test_a_manifest_of_another_program_gives_no_leave_to_remove(tmp_path):
    (tmp_path / "manifest.json").write_text('{"files": ["index.html"]}')
    (tmp_path / "index.html").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(OutputError, match=r"'manifest\.json' that nint did not write"):
            RunFolder.create(tmp_path, "a.png", overwrite=overwrite)
    assert names(tmp_path) == ["index.html", "manifest.json"]
    with pytest.raises(InputError, match="holds no run"):
        RunFolder.open(tmp_path)


@pytest.mark.parametrize("name", ["checkpoints", "log.jsonl", "config.yaml"])
def test_links_that_lead_out_of_the_folder_are_not_followed(tmp_path, name):
    (tmp_path / "run").mkdir()
    (tmp_path / "outside").mkdir()
    target = tmp_path / "outside" if name == "checkpoints" else tmp_path / "outside" / "none"
    (tmp_path / "run" / name).symlink_to(target)
    for overwrite in (False, True):
        with pytest.raises(OutputError, match=f"holds a '{name}' that nint did not write"):
            RunFolder.create(tmp_path / "run", "a.png", overwrite=overwrite)
    assert not list((tmp_path / "outside").iterdir())


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="a file of that name is there"):
        RunFolder.create(tmp_path / "file", "a.png")
    with pytest.raises(OutputError, match="cannot make the run folder"):
        RunFolder.create(tmp_path / "file" / "run", "a.png")
    with pytest.raises(OutputError, match="cannot make the run folder"):
        RunFolder.create(tmp_path / ("x" * 300), "a.png")


def test_a_folder_that_goes_away_is_noticed(tmp_path):
    folder = RunFolder.create(tmp_path / "run", "a.png")
    folder.append_log({"step": 1})
    (tmp_path / "run").rename(tmp_path / "gone")
    with pytest.raises(OutputError, match="cannot write"):
        folder.write(CONFIG, b"x")
    with pytest.raises(OutputError, match="cannot write"):
        folder.append_log({"step": 2})


def test_only_a_run_can_be_opened(tmp_path):
    with pytest.raises(InputError, match="no run folder"):
        RunFolder.open(tmp_path / "none")
    with pytest.raises(InputError, match="holds no run"):
        RunFolder.open(tmp_path)


def test_json_never_holds_nan(tmp_path):
    folder = RunFolder.create(tmp_path / "run", "a.png")
    with pytest.raises(ValueError, match="not JSON compliant"):
        folder.write_json(METRICS, {"psnr_db": float("nan")})
    with pytest.raises(ValueError, match="not JSON compliant"):
        folder.append_log({"loss": float("inf")})


def test_default_folders_tell_inputs_and_samplers_apart(tmp_path):
    root = tmp_path / "runs"
    first = default_folder("a/photo.png", "nint", root)
    assert first == root / "photo" / "nint"
    RunFolder.create(first, "a/photo.png").close()
    assert default_folder("a/photo.png", "nint", root) == first
    assert default_folder("a/photo.png", "uniform", root) == root / "photo" / "uniform"
    other = default_folder("b/photo.png", "nint", root)
    assert other.parent.name.startswith("photo-")
    assert other == default_folder("b/photo.png", "nint", root)
    assert default_folder("sample:cat", "nint", root) == root / "cat" / "nint"


@pytest.mark.parametrize(
    ("source", "stem"),
    [
        ("...", "input"),
        ("-rf.png", "rf"),
        ("a\x1b[31m\nb.png", "a_31m_b"),
        ("[red]x[/red].png", "red"),
        ("ü.png", "ü"),
        ("$(touch x).png", "touch_x"),
        ("x" * 250 + ".png", "x" * 80),
        ("../../etc/passwd", "passwd"),
        ("?.png", "input"),
    ],
)
def test_strange_names_make_harmless_folders(source, stem, tmp_path):
    folder = default_folder(source, "nint", tmp_path)
    assert folder.parent.parent == tmp_path
    assert folder.parent.name == stem


# Links and names


PLACES = ("checkpoints", "selections", "log.jsonl", "metrics.json", "config.yaml", ".lock")


@pytest.mark.parametrize(
    "name",
    [*PLACES, "manifest.json", "preview.png", "checkpoints/step-0000000001.safetensors"],
)
def test_a_run_with_a_link_that_leads_out_is_neither_read_nor_written(tmp_path, name):
    """Whatever is there stays, and the way out is named."""
    run, outside = tmp_path / "run", tmp_path / "outside"
    with RunFolder.create(run, "a.png") as folder:
        folder.write(CONFIG, b"x")
        folder.append_log({"step": 1, "train_s": 0, "passes": 0})
        folder.write_json(METRICS, {"a": 1})
        folder.write_checkpoint(1, b"c")
        folder.write_selection(1, b"s")
        folder.write("preview.png", b"p")
    (run / name).rename(outside)
    litter = ".step-0000000040.safetensors.123-0a1b2c3d.tmp"
    if outside.is_dir():
        (outside / litter).write_bytes(b"half")
    (run / name).symlink_to(outside)
    everything = names(tmp_path)
    before = {path: (tmp_path / path).read_bytes() for path in everything}
    for lock in (False, True):
        with pytest.raises(InputError, match=f"{name}' is a link that leads out of the run"):
            RunFolder.open(run, lock=lock)
    assert RunFolder(run).read_saved(name) is None
    assert is_of_another(run, "a.png") is False
    assert in_use_by(run) is None
    if name in {"checkpoints", "selections", "manifest.json"}:
        with pytest.raises(OutputError, match="that nint did not write"):
            RunFolder.create(run, "a.png", overwrite=True)
    assert {path: (tmp_path / path).read_bytes() for path in names(tmp_path)} == before
    if name in {"log.jsonl", "metrics.json"}:
        RunFolder.create(run, "a.png", overwrite=True).close()
        assert outside.read_bytes() == before["outside"]
        assert not (run / name).exists()


def test_links_within_a_run_are_followed_and_circles_are_not(tmp_path):
    run = tmp_path / "run"
    with RunFolder.create(run, "a.png") as folder:
        folder.write_json(METRICS, {"a": 1})
    (run / "metrics.json").rename(run / "kept.json")
    (run / "metrics.json").symlink_to("kept.json")
    (tmp_path / "link").symlink_to(run)
    assert RunFolder.open(tmp_path / "link").metrics() == {"a": 1}
    (run / "kept.json").unlink()
    (run / "kept.json").symlink_to("metrics.json")
    with pytest.raises(InputError, match="leads out"):
        RunFolder.open(run)


@pytest.mark.parametrize("name", ["a\0b", "\ud800", 7, None])
def test_a_name_that_none_can_be_is_refused_before_anything_is_removed(tmp_path, name):
    run = tmp_path / "run"
    with RunFolder.create(run, "a.png") as folder:
        folder.write(CONFIG, b"x")
    manifest = json.loads((run / "manifest.json").read_text())
    manifest["files"].append(name)
    (run / "manifest.json").write_text(json.dumps(manifest))
    before = names(run)
    with pytest.raises(OutputError, match="that nint did not write"):
        RunFolder.create(run, "a.png", overwrite=True)
    assert names(run) == before


def test_names_of_folders_and_of_nothing_are_passed_over(tmp_path):
    run = tmp_path / "run"
    with RunFolder.create(run, "a.png") as folder:
        folder.write(CONFIG, b"x")
    (run / "mine").mkdir()
    manifest = json.loads((run / "manifest.json").read_text())
    manifest["files"] += ["", ".", "..", "mine", "checkpoints", "x" * 300, "none"]
    (run / "manifest.json").write_text(json.dumps(manifest))
    RunFolder.create(run, "a.png", overwrite=True).close()
    assert names(run) == [".lock", "manifest.json"]
    assert (run / "mine").is_dir()


def test_a_folder_that_was_opened_and_not_written_is_as_it_was(tmp_path):
    run = tmp_path / "run"
    RunFolder.create(run, "a.png").close()
    before = (run / "manifest.json").read_bytes().replace(str(os.getpid()).encode(), b"1")
    (run / "manifest.json").write_bytes(before)
    with RunFolder.open(run, lock=True):
        assert (run / "manifest.json").read_bytes() != before  # it names who works there
    assert (run / "manifest.json").read_bytes() == before
    with RunFolder.open(run, lock=True) as folder:
        folder.write(CONFIG, b"x")
    assert json.loads((run / "manifest.json").read_bytes())["files"] == [CONFIG]
    with RunFolder.open(run, lock=True) as folder:
        folder.remove(CONFIG)
    assert json.loads((run / "manifest.json").read_bytes())["files"] == []


def test_a_folder_of_an_inspection_that_leads_out_of_the_run_is_refused(tmp_path):
    run, outside = tmp_path / "run", tmp_path / "outside"
    outside.mkdir()
    RunFolder.create(run, "a.png").close()
    (run / "inspect").symlink_to(outside)
    with pytest.raises(OutputError, match="is a link that leads out of the run folder"):
        refuse_what_is_in_the_way(run / "inspect")
    (tmp_path / "link").symlink_to(outside)  # a link of the user's own, beside a run
    refuse_what_is_in_the_way(tmp_path / "link")
    (outside / "inspect.json").symlink_to(tmp_path / "none")
    with pytest.raises(OutputError, match="that nint inspect did not write"):
        refuse_what_is_in_the_way(tmp_path / "link")


def test_a_lock_that_leads_out_is_not_taken(tmp_path):
    run = tmp_path / "run"
    RunFolder.create(run, "a.png").close()
    (run / ".lock").unlink()
    (tmp_path / "victim").write_text("mine")
    (run / ".lock").symlink_to(tmp_path / "victim")
    with pytest.raises(OutputError, match="is a link that leads out of the run folder"):
        RunFolder.create(run, "a.png", overwrite=True)
    assert (tmp_path / "victim").read_text() == "mine"
