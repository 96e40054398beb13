"""`nint compare` from the command line to the page."""

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from statistics import fmean

import pytest
from PIL import Image

from nint_cli import cli
from nint_cli.cli import console
from nint_cli.comparison.comparable import mixed_samples
from nint_cli.comparison.plan import Variant
from nint_cli.comparison.record import Comparison
from nint_cli.config.layers import resolve
from nint_cli.config.presets import preset_layer
from nint_cli.config.yaml_text import set_layer
from nint_cli.runs.folder import RunFolder
from tests.conftest import smooth_pixels

TINY = ["--preset=smoke", "--set=image.size=16", "--set=siren.hidden_features=8"]
TWO = ["--sampler", "nint", "--sampler", "uniform"]


@pytest.fixture(autouse=True)
def photo(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(smooth_pixels()).save("photo.png")


def compare(*words: str) -> int:
    return cli.run(["compare", *words])


def made(*words: str, kind: str = "image", source: str = "photo.png") -> Comparison:
    assert compare(kind, source, *TINY, "--steps=4", "-o", "out", *words) == 0
    return Comparison.model_validate_json(Path("out/compare.json").read_text())


def written(below: str = "out/runs") -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in Path(below).rglob("metrics.json")}


class Figures(HTMLParser):
    """Collects what a page says of each figure of compare.json."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, str]] = []

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        if "data-path" in given:
            self.found.append((given["data-path"], given["data-value"]))


def looked_up(document, path: str):
    for key in path.split("/")[1:]:
        document = document[int(key)] if isinstance(document, list) else document[key]
    return document


@pytest.mark.usefixtures("fits_within")
def test_every_figure_of_the_page_is_one_of_the_json(capsys):
    made(*TWO, "--seeds", "2", "--target", "5")
    assert capsys.readouterr().out == "out/report.html\n"
    page = Path("out/report.html").read_text()
    document = json.loads(Path("out/compare.json").read_text())
    figures = Figures()
    figures.feed(page)
    assert len(figures.found) > 12
    for path, value in figures.found:
        assert looked_up(document, path) == float(value), path


@pytest.mark.usefixtures("fits_within")
def test_a_second_call_only_renders(capsys):
    made(*TWO, "--seeds", "2")
    before, page = written(), Path("out/report.html").read_bytes()
    assert len(before) == 4
    Path("out/report.html").unlink()
    made(*TWO, "--seeds", "2")
    assert written() == before
    assert Path("out/report.html").read_bytes() == page


@pytest.mark.usefixtures("fits_within")
def test_more_seeds_keep_the_runs_there_are():
    made(*TWO)
    before = written()
    found = made(*TWO, "--seeds", "2")
    assert before.items() <= written().items()
    assert [(run.variant, run.seed) for run in found.runs] == [
        *(("nint", 0), ("uniform", 0), ("nint", 1), ("uniform", 1)),
    ]


@pytest.mark.usefixtures("fits_within")
def test_other_settings_replace_a_run(capsys):
    made(*TWO)
    before = written()
    found = made(*TWO, "--set=optimiser.lr=0.002")
    assert not before.items() & written().items()
    assert "has other settings, or the input was changed; made anew" in capsys.readouterr().err
    assert {run.lr for run in found.runs} == {0.002}


@pytest.mark.usefixtures("fits_within")
def test_runs_on_what_a_file_held_before_are_made_anew(capsys):
    made(*TWO)
    before = written()
    Image.fromarray(255 - smooth_pixels()).save("photo.png")
    found = made(*TWO)
    assert not before.items() & written().items()
    hashes = {json.loads(path.read_text())["input"]["sha256"] for path in written()}
    assert hashes == {found.inputs[0].sha256}


@pytest.mark.usefixtures("fits_within")
def test_a_run_that_saved_nothing_is_made_again_without_a_word_of_settings(capsys):
    made(*TWO)
    folder = Path("out/runs/photo/nint/0")
    (folder / "metrics.json").unlink()
    for path in folder.glob("checkpoints/*"):
        path.unlink()
    made(*TWO)
    assert (folder / "metrics.json").exists()
    assert "other settings" not in capsys.readouterr().err


def test_a_run_that_another_process_works_on_is_waited_for(request, monkeypatch):
    request.getfixturevalue("fits_within")
    made(*TWO)
    before = written()
    notes = []
    with RunFolder.open(Path("out/runs/photo/uniform/0"), lock=True) as folder:

        def note(message):
            notes.append(message)
            if "waiting" in message:
                folder.close()

        monkeypatch.setattr(console, "note", note)
        made(*TWO)
    (waiting,) = notes
    assert waiting.startswith("2/2 uniform on photo, seed 0: waiting for process ")
    assert waiting.endswith(", which works on it")
    assert written() == before


def wait_for(path: Path) -> None:
    for _ in range(600):
        if path.exists():
            return
        time.sleep(0.1)
    raise AssertionError(f"no {path}")


@pytest.mark.parametrize(
    "number", [signal.SIGKILL, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_what_was_finished_is_kept_when_it_is_ended(number, request):
    words = ["compare", "image", "photo.png", *TINY, *TWO, "--steps=4", "-o", "out"]
    process = subprocess.Popen(
        [sys.executable, "-m", "nint_cli", *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    wait_for(Path("out/runs/photo/nint/0/metrics.json"))
    process.send_signal(number)
    code = process.wait(60)
    assert code == (-9 if number == signal.SIGKILL else 143)
    first = Path("out/runs/photo/nint/0/metrics.json").stat().st_ino
    request.getfixturevalue("fits_within")
    # A run whose parent was killed goes on by itself, and is waited for.
    assert cli.run(words) == 0
    assert Path("out/runs/photo/nint/0/metrics.json").stat().st_ino == first
    assert len(written()) == 2


@pytest.mark.usefixtures("fits_within")
def test_a_run_that_fails_is_told_of_and_the_others_count(capsys):
    words = [*TWO, "--variant", "broken:image.max_pixels=10"]
    assert compare("image", "photo.png", *TINY, "--steps=4", "-o", "out", *words) == 8
    found = Comparison.model_validate_json(Path("out/compare.json").read_text())
    broken = next(run for run in found.runs if run.variant == "broken")
    assert broken.status == "missing"
    assert "photo.png" in (broken.error or "")
    assert "broken on photo, seed 0: no result" in Path("out/report.html").read_text()


@pytest.mark.usefixtures("fits_within")
def test_variants_have_their_own_settings():
    found = made(
        *TWO, "--variant", "late:nint.start=0.5,nint.xi=0.5,sampler=nint", "--field=siren"
    )
    assert [each.name for each in found.variants] == ["nint", "uniform", "late"]
    late = found.variants[2]
    assert late.settings["nint.start"] == late.settings["nint.xi"] == 0.5
    assert "siren.hidden_features" not in late.settings


@pytest.mark.usefixtures("fits_within")
def test_fields_are_compared_too():
    words = ["--field=siren", "--field=hashgrid", "--baseline=siren", "--time-budget=0.05s"]
    assert compare("image", "photo.png", *TINY, *words, "-o", "out") == 0
    found = Comparison.model_validate_json(Path("out/compare.json").read_text())
    assert [each.name for each in found.variants] == ["siren", "hashgrid"]
    assert found.baseline == "siren"


def test_a_rate_that_is_tried_is_what_its_run_is_given():
    preset = preset_layer("default")
    tried = Variant("nint", (), resolve([preset])).at_rate(1e-3)
    assert tried.words == ("--set=optimiser.lr=0.001",)
    assert tried.resolved.config == resolve([preset, set_layer(["optimiser.lr=0.001"])]).config


@pytest.mark.usefixtures("fits_within")
def test_every_variant_gets_its_own_learning_rate():
    found = made(*TWO, "--tune", "lr")
    for each in found.variants:
        worth = {}
        for rate in {trial.lr for trial in each.tuning}:
            of = [trial for trial in each.tuning if trial.lr == rate]
            if all(trial.value is not None for trial in of):
                steady = not any(trial.rescues for trial in of)
                worth[rate] = steady, fmean(trial.value or 0 for trial in of)
        assert each.lr == max(worth, key=worth.__getitem__)
        seeds = Counter((trial.lr, trial.seed) for trial in each.tuning)
        assert len(seeds) == len(each.tuning) >= 10
        # No comparison gets to these, and every rate has both.
        assert Counter(seed for _, seed in seeds) == dict.fromkeys((1000, 1001), len(seeds) // 2)
        assert {run.lr for run in found.runs if run.variant == each.name} == {each.lr}
    assert found.tuned == "lr"
    assert "chosen" in Path("out/report.html").read_text()
    trials, runs = written("out/tuning"), written()
    made(*TWO, "--tune", "lr", "--seeds=2")
    assert written("out/tuning") == trials
    assert runs.items() <= written().items()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--sampler", "nint"], "there is nothing to compare"),
        ([*TWO, "--variant", "nint:seed=0"], "two variants are called 'nint'"),
        ([*TWO, "--variant", "same:sampler=nint"], "'nint' and 'same' have the same settings"),
        ([*TWO, "--variant", "a b"], "expected a name, a colon and settings"),
        ([*TWO, "--baseline", "full"], "--baseline full: there is no such variant"),
        ([*TWO, "--time-budget=1s"], "--steps and --time-budget: give one"),
        (["--sampler", "nint", "--sampler", "unform"], "did you mean 'uniform'"),
        ([*TWO, "photo.png"], "an input is named twice"),
        ([*TWO, "--variant", "small:image.size=8"], "image.size is 16 for 'nint' and 8 for"),
        ([*TWO, "--variant", "blind:metrics.flip=false"], "not on equal terms: metrics.flip is"),
    ],
)
@pytest.mark.usefixtures("fits_within")
def test_what_cannot_be_compared_is_refused(capsys, words, message):
    assert compare("image", "photo.png", *TINY, "--steps=4", "-o", "out", *words) == 2
    assert message in capsys.readouterr().err
    assert not Path("out/runs").exists()


@pytest.mark.usefixtures("fits_within")
def test_a_foreign_folder_is_left_alone(capsys):
    Path("out").mkdir()
    Path("out/report.html").write_text("mine")
    assert compare("image", "photo.png", *TINY, *TWO, "--steps=4", "-o", "out") == 4
    assert "holds a 'report.html' that nint compare did not write" in capsys.readouterr().err
    assert Path("out/report.html").read_text() == "mine"


@pytest.mark.usefixtures("fits_within")
def test_runs_that_are_not_its_own_are_left_alone(capsys):
    fitted("runs/photo/nint/0", "--sampler=nint")
    before = Path("runs/photo/nint/0/metrics.json").read_bytes()
    assert compare("image", "photo.png", *TINY, *TWO, "--steps=5", "-o", ".") == 4
    assert "'.' holds a 'runs' that nint compare did not write" in capsys.readouterr().err
    assert Path("runs/photo/nint/0/metrics.json").read_bytes() == before


@pytest.mark.usefixtures("fits_within")
def test_a_report_of_something_else_is_left_alone(capsys):
    made(*TWO)
    before = Path("out/compare.json").read_bytes()
    runs = [f"out/runs/photo/{name}/0" for name in ("nint", "uniform")]
    assert compare("runs", *runs, "-o", "out") == 4
    assert "'out' holds a report of nint compare image" in capsys.readouterr().err
    assert Path("out/compare.json").read_bytes() == before


@pytest.mark.parametrize(
    ("kind", "source", "words"),
    [
        ("audio", "sample:chirp", ["--set=audio.duration_s=0.05"]),
        ("sdf", "sample:torus", ["--set=sdf.points=500", "--set=sdf.mc_resolution=16",
                                 "--set=sdf.iou_resolution=16", "--set=sdf.watch_resolution=8",
                                 "--set=sdf.surface_samples=100"]),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("fits_within")
def test_sounds_and_shapes_are_compared(kind, source, words):
    assert compare(kind, source, "--preset=smoke", "--steps=4", *TWO, "-o", "out", *words) == 0
    page = Path("out/report.html").read_text()
    assert ("<audio" in page) == (kind == "audio")
    assert "data:image/webp" in page


# Of runs that are there


def fitted(folder: str, *words: str) -> str:
    run = ["fit", "image", "photo.png", *TINY, "--steps=4", "-q", "-o", folder, *words]
    assert cli.run(run) == 0
    return folder


@pytest.mark.usefixtures("fits_within")
def test_finished_runs_are_compared(capsys):
    runs = [
        fitted("a", "--sampler=nint"),
        fitted("b", "--sampler=uniform"),
        fitted("c", "--sampler=uniform", "--lr=0.01"),
        fitted("d", "--sampler=nint", "--seed=1"),
    ]
    capsys.readouterr()
    assert compare("runs", *runs, "-o", "out", "--json") == 0
    found = Comparison.model_validate_json(capsys.readouterr().out)
    assert [each.name for each in found.variants] == [
        "nint", "uniform optimiser.lr=0.001", "uniform optimiser.lr=0.01",
    ]  # fmt: skip
    assert [(run.variant, run.seed) for run in found.runs][-1] == ("nint", 1)


@pytest.mark.usefixtures("fits_within")
def test_runs_of_other_inputs_are_refused_unless_forced(capsys):
    Image.fromarray(255 - smooth_pixels()).save("other.png")
    fitted("a", "--sampler=nint")
    words = ["fit", "image", "other.png", *TINY, "--steps=4", "-q", "-o", "b"]
    assert cli.run([*words, "--sampler=uniform"]) == 0
    assert compare("runs", "a", "b", "-o", "out") == 3
    assert "the runs are of different inputs" in capsys.readouterr().err
    assert compare("runs", "a", "b", "-o", "out", "--force") == 0
    assert "different inputs" in Path("out/report.html").read_text()


@pytest.mark.usefixtures("fits_within")
def test_runs_that_were_measured_otherwise_are_refused(capsys):
    fitted("a", "--sampler=nint")
    fitted("b", "--sampler=uniform", "--set=metrics.flip=false")
    assert compare("runs", "a", "b", "-o", "out") == 3
    assert (
        "were measured otherwise: metrics.flip is True for 'a' and False"
        in capsys.readouterr().err
    )


@pytest.mark.usefixtures("fits_within")
@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        ("image.range=data", "image.range is 'type' for 'a' and 'data' for 'b'"),
        ("image.alpha=drop", "image.alpha is 'keep' for 'a' and 'drop' for 'b'"),
    ],
)
def test_runs_by_other_ranges_or_without_alpha_are_refused(capsys, setting, reason):
    """For their PSNR is of other numbers: 60 dB of all that 16 bits hold are 33 of 12."""
    fitted("a", "--sampler=nint")
    fitted("b", "--sampler=uniform", f"--set={setting}")
    assert compare("runs", "a", "b", "-o", "out") == 3
    assert f"were measured otherwise: {reason}" in capsys.readouterr().err


@pytest.mark.usefixtures("fits_within")
def test_runs_at_other_sizes_are_refused_and_two_inputs_when_forced(capsys):
    fitted("a", "--sampler=nint")
    fitted("b", "--sampler=uniform", "--set=image.size=8")
    assert compare("runs", "a", "b", "-o", "out") == 3
    assert "different sizes or parts of one" in capsys.readouterr().err
    assert compare("runs", "a", "b", "-o", "out", "--force") == 0
    found = Comparison.model_validate_json(Path("out/compare.json").read_text())
    assert [(each.name, each.described) for each in found.inputs] == [
        ("photo", "16x12 pixels"), ("photo-2", "8x6 pixels"),
    ]  # fmt: skip
    assert all(each.gain is None for each in found.summaries)  # no pair is of one signal


@pytest.mark.usefixtures("fits_within")
def test_runs_of_one_method_are_reported_with_a_note(capsys):
    runs = [fitted("a", "--seed=0"), fitted("b", "--seed=1")]
    assert compare("runs", *runs, "-o", "out") == 0
    assert "All runs are of one method, nint" in capsys.readouterr().err
    found = Comparison.model_validate_json(Path("out/compare.json").read_text())
    assert [each.name for each in found.variants] == ["nint"]


@pytest.mark.usefixtures("fits_within")
def test_runs_that_were_measured_at_other_numbers_of_points_are_refused(capsys):
    runs = [fitted("a", "--sampler=nint"), fitted("b", "--sampler=uniform", "--final=sample")]
    capsys.readouterr()
    assert compare("runs", *runs, "-o", "out") == 3
    assert (
        "'a' was measured at all points and 'b' at 192 points; fits with --final full are "
        "measured alike; --force compares"
    ) in capsys.readouterr().err
    assert compare("runs", *runs, "-o", "out", "--force") == 0
    found = Comparison.model_validate_json(Path("out/compare.json").read_text())
    assert [run.measured_points for run in found.runs] == [None, 192]
    (note,) = found.notes
    assert "uniform on photo, seed 0, at 192 points" in note


@pytest.mark.parametrize(
    ("runs", "found"),
    [
        ([("a", 1, None), ("b", 1, None), ("c", 2, 9), ("d", 2, 9)], None),
        ([("a", 1, 7), ("b", 2, None), ("c", 1, 8)], "a was measured at 7 points and c at 8"),
        ([("a", 1, None), ("b", 1, 4096)], "a was measured at all points and b at 4,096 points"),
    ],
)
def test_samples_are_mixed_where_one_signal_has_two_sizes(runs, found):
    mixed = mixed_samples(runs)
    assert mixed is None if found is None else found in mixed


@pytest.mark.usefixtures("fits_within")
def test_unfinished_and_repeated_runs_are_refused(capsys):
    for name in ("a", "b", "c"):
        fitted(name, "--sampler=nint")
    assert compare("runs", "a", "b", "-o", "out") == 3
    assert "are the same run" in capsys.readouterr().err
    Path("b/metrics.json").unlink()
    metrics = json.loads(Path("c/metrics.json").read_text())
    Path("c/metrics.json").write_text(json.dumps(metrics | {"status": "interrupted"}))
    assert compare("runs", "a", "b", "c", "-o", "out") == 3
    assert "not finished: 'b', 'c'; go on with nint resume" in capsys.readouterr().err
    assert compare("runs", "a", "-o", "out") == 2
