"""Many inputs, and the commands that tell what there is."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import torch
from PIL import Image

import nint_cli
from nint_cli import api
from nint_cli.cli import completion
from nint_cli.config.presets import preset_names
from nint_cli.config.schema import FIELD_NAMES, SAMPLER_NAMES, RunConfig, dotted_keys
from nint_cli.errors import (
    ConfigError,
    DivergedError,
    InputError,
    NintError,
    OutputError,
)
from nint_cli.modalities.table import MODALITIES
from nint_cli.runs import environment
from tests.cli.test_cli import nint, strict
from tests.conftest import smooth_pixels

FAST = ["--preset", "smoke", "--progress", "never"]


@pytest.fixture
def pictures(tmp_path):
    """Three pictures, two of them with one name, and something that is none."""
    for name in ("a.png", "b.png", "other/a.png"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(np.roll(smooth_pixels(), len(name), axis=0)).save(path)
    (tmp_path / "bad.png").write_text("no picture")
    return tmp_path


# Many inputs


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_bad_input_does_not_stop_the_others(capsys, pictures, jobs):
    words = ["a.png", "bad.png", "b.png", "-o", "out", "--jobs", jobs, *FAST]
    code, out, err = nint(capsys, "fit", "image", *words)
    assert code == 8, err
    assert out.splitlines() == [str(Path("out/a")), str(Path("out/b"))]
    document = strict(Path("out/batch.json"))
    assert [item["status"] for item in document["items"]] == ["complete", "failed", "complete"]
    assert [item["exit_code"] for item in document["items"]] == [0, 3, 0]
    assert "no picture of a known kind" in document["items"][1]["error"]
    assert strict(Path("out/a/metrics.json"))["status"] == "complete"
    assert "no picture of a known kind" in err
    # Once more does only the rest.
    before = Path("out/a/metrics.json").read_bytes()
    Image.fromarray(smooth_pixels()).save("bad.png")
    code, _, err = nint(capsys, "fit", "image", *words, "--skip-existing")
    assert code == 0, err
    assert Path("out/a/metrics.json").read_bytes() == before
    assert strict(Path("out/bad/metrics.json"))["status"] == "complete"


def test_jobs_change_no_bits(capsys, pictures, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    for jobs in (1, 2):
        words = ["a.png", "b.png", "-o", f"out{jobs}", "--jobs", jobs, "--seed", 3, *FAST]
        assert nint(capsys, "fit", "image", *words)[0] == 0
    for name in ("a", "b"):
        file = f"{name}/reconstruction.png"
        assert Path("out1", file).read_bytes() == Path("out2", file).read_bytes()
        metrics = [strict(Path(f"out{jobs}", name, "metrics.json")) for jobs in (1, 2)]
        for key in ("config", "origins"):
            assert metrics[0][key] == metrics[1][key]
        assert metrics[1]["origins"]["seed"] == "--seed"
        assert metrics[1]["environment"]["threads"] == 1


def test_fail_fast_stops_at_the_first_failure(capsys, pictures):
    code, _, _ = nint(
        capsys, "fit", "image", "bad.png", "a.png", "-o", "out", "--fail-fast", *FAST
    )
    assert code == 8
    items = strict(Path("out/batch.json"))["items"]
    assert [item["status"] for item in items] == ["failed", "waiting"]
    assert not Path("out/a").exists()


def test_inputs_of_one_name_get_folders_of_their_own(capsys, pictures):
    code, out, _ = nint(capsys, "fit", "image", "a.png", "other/a.png", "./a.png", "b.png", *FAST)
    assert code == 0
    folders = out.splitlines()
    assert len(set(folders)) == len(folders) == 3
    assert str(Path("runs/b/nint")) in folders
    inputs = {strict(Path(folder, "metrics.json"))["input"]["source"] for folder in folders}
    assert inputs == {str(pictures / name) for name in ("a.png", "b.png", "other/a.png")}


@pytest.mark.parametrize("words", [["-o", "out"], []])
def test_a_run_on_another_input_is_not_replaced(capsys, pictures, words):
    nint(capsys, "fit", "image", "a.png", "b.png", *words, *FAST)
    code, out, err = nint(
        capsys, "fit", "image", "other/a.png", "b.png", *words, *FAST, "--skip-existing"
    )
    assert code == 0, err
    other, same = out.splitlines()
    assert Path(other).parts[1].startswith("a-")
    assert strict(Path(other, "metrics.json"))["input"]["source"] == str(pictures / "other/a.png")
    assert f"'{same}' is complete; kept" in err


def test_a_folder_that_takes_no_batch_is_found_out_before_the_fits(capsys, pictures):
    Path("out").mkdir()
    Path("out/batch.json").write_text('{"mine": 1}')
    for root, said in (
        ("out", "holds a 'batch.json' that nint did not write"),
        ("a.png", "cannot make the folder 'a.png': a file of that name is there"),
        ("a.png/x", "cannot make the folder 'a.png/x': Not a directory"),
    ):
        code, _, err = nint(capsys, "fit", "image", "a.png", "b.png", "-o", root, *FAST)
        assert (code, said in err, len(err.splitlines())) == (4, True, 1), err
    Path("out/batch.json").write_text("no JSON")
    assert nint(capsys, "fit", "image", "a.png", "b.png", "-o", "out", *FAST)[0] == 4
    assert Path("out/batch.json").read_text() == "no JSON"


def test_batch_results_as_json(capsys, pictures):
    code, out, _ = nint(capsys, "fit", "image", "a.png", "b.png", "-o", "out", "--json", *FAST)
    assert code == 0
    assert json.loads(out) == strict(Path("out/batch.json"))


def test_a_bug_in_one_item_is_that_items(capsys, pictures, monkeypatch):
    from nint_cli.runs import request as run

    original = run.fit_input

    def sometimes(kind, source, *args, **kwargs):
        if source == "a.png":
            raise KeyError("oops")
        return original(kind, source, *args, **kwargs)

    monkeypatch.setattr(run, "fit_input", sometimes)
    code, _, err = nint(capsys, "fit", "image", "a.png", "b.png", "-o", "out", *FAST)
    assert (code, "internal error: KeyError" in err) == (8, True)
    assert [i["exit_code"] for i in strict(Path("out/batch.json"))["items"]] == [1, 0]


def test_an_interrupted_batch_keeps_what_is_finished(pictures):
    words = [*FAST, "--set", "checkpoint.every=null", "-o", "out"]
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "nint_cli", "fit", "image", "a.png", "b.png", "other/a.png"),
            *(*words, "--steps", "1000"),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    deadline = time.monotonic() + 200
    while not Path("out/b/config.yaml").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err.decode()
    statuses = [item["status"] for item in strict(Path("out/batch.json"))["items"]]
    assert statuses in (
        ["complete", "interrupted", "waiting"],
        ["complete", "complete", "waiting"],
    )


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow)],
)
def test_a_signal_to_a_batch_of_processes_ends_each_in_order(pictures, number, code):
    words = ["a.png", "b.png", "other/a.png", "-o", "out", "--jobs", "2", "--steps", "1000000"]
    process = subprocess.Popen(
        [sys.executable, "-m", "nint_cli", "fit", "image", *words, *FAST],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    deadline = time.monotonic() + 60
    saving: set[Path] = set()
    while len(saving) < 2 and time.monotonic() < deadline:
        saving = {path.parents[1] for path in Path("out").glob("*/checkpoints/step-*")}
        time.sleep(0.05)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code, err.decode()
    assert b"Traceback" not in err
    items = strict(Path("out/batch.json"))["items"]
    assert sorted(item["status"] for item in items) == ["interrupted", "interrupted", "waiting"]
    for item in items:
        if item["status"] == "interrupted":
            assert strict(Path(item["path"], "metrics.json"))["exit_code"] == code


# What there is


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("samplers", SAMPLER_NAMES),
        ("fields", FIELD_NAMES),
        (
            "presets",
            [name for kind in MODALITIES for name in preset_names(kind)],
        ),
        (
            "samples",
            [f"sample:{name}" for m in MODALITIES.values() for name in m.samples().names()],
        ),
    ],
)
def test_lists_name_everything(capsys, kind, expected):
    code, out, _ = nint(capsys, "list", kind, "--json")
    entries = json.loads(out)
    assert code == 0
    assert [entry["name"] for entry in entries] == list(expected)
    assert all(entry["summary"] for entry in entries)
    _, out, _ = nint(capsys, "list", kind)
    assert all(name in out for name in expected)


def test_what_can_be_listed_is_listed(capsys):
    code, out, _ = nint(capsys, "list")
    assert code == 0
    for line in out.splitlines():
        command = line.split("  ")[0]
        assert nint(capsys, *command.split()[1:])[0] == 0, line
    assert [entry["name"] for entry in json.loads(nint(capsys, "list", "--json")[1])] == [
        f"nint list {kind}" for kind in ("samplers", "fields", "presets", "samples")
    ]


def test_samples_and_presets_say_what_they_are_for(capsys):
    samples = json.loads(nint(capsys, "list", "samples", "--json")[1])
    kinds = {entry["name"]: entry["summary"].partition(",")[0] for entry in samples}
    assert kinds["sample:astronaut"] == "picture"
    assert kinds["sample:chord"] == "sound"
    assert kinds["sample:torus"] == "shape"
    assert set(kinds.values()) == {"picture", "sound", "shape"}
    presets = json.loads(nint(capsys, "list", "presets", "--json")[1])
    paper = [entry["summary"] for entry in presets if entry["name"] == "paper"]
    assert [summary.partition(":")[0] for summary in paper] == list(MODALITIES)
    assert "INT's release for sounds" in paper[1]


def test_methods_are_cited(capsys):
    entries = json.loads(nint(capsys, "list", "samplers", "--json")[1])
    sources = {entry["name"]: entry["source"] for entry in entries}
    assert "arXiv 2511.15487" in sources["nint"]
    assert "arXiv 2405.10531" in sources["int"]
    fields = json.loads(nint(capsys, "list", "fields", "--json")[1])
    for entry in fields:
        assert "arXiv" in entry["source"], entry["name"]
    figures = {entry["name"]: entry["figures"] for entry in fields}
    assert "264,707 parameters and 263,424 multiply-adds" in figures["siren"]
    assert "published 0.0001" in figures["siren"]


def test_list_of_nothing_known(capsys):
    code, _, err = nint(capsys, "list", "smplers")
    assert (code, err.startswith("nint: error: ")) == (2, True)


def test_doctor_is_well(capsys):
    code, out, _ = nint(capsys, "doctor", "--json")
    facts = json.loads(out)
    assert (code, facts["self_test"]) == (0, "passed")
    assert facts["torch"] == torch.__version__
    assert "missing" not in facts["packages"].values()
    assert "self_test: passed" in nint(capsys, "doctor")[1]


def test_doctor_notices_what_is_wrong(capsys, monkeypatch):
    monkeypatch.setattr(
        environment, "ntk_residual_product", lambda *_: (torch.zeros(64, 3).double(),) * 2
    )
    monkeypatch.setattr(environment, "dense_ntk", lambda *_: torch.ones(64, 3, 64, 3).double())
    monkeypatch.setattr(environment, "_LEAST_PSNR_DB", 99.0)
    code, _, err = nint(capsys, "doctor")
    assert code == 1
    assert "a small fit ended by steps" in err


def test_config_show_schema_and_validate(capsys, tmp_path):
    code, out, _ = nint(capsys, "config", "show", "--preset", "paper", "--set", "seed=4")
    assert (code, "seed: 4  # --set" in out) == (0, True)
    (tmp_path / "shown.yaml").write_text(out)
    code, out, err = nint(capsys, "config", "validate", "shown.yaml")
    assert (code, out, "shown.yaml: valid" in err) == (0, "", True)
    (tmp_path / "bad.yaml").write_text("steps: 2\nsteps: 1\nnint: {alfa: 1}\n")
    code, _, err = nint(capsys, "config", "validate", "bad.yaml", "shown.yaml", "none.yaml")
    lines = [line for line in err.splitlines() if "error" in line]
    assert code == 2
    assert [line.split("error: ")[1].partition(": ")[0] for line in lines] == [
        "bad.yaml:2:1",
        "bad.yaml:3:8",
        "cannot read config 'none.yaml'",
    ]
    code, out, _ = nint(capsys, "config", "schema")
    schema = json.loads(out)
    assert code == 0
    jsonschema.validate(RunConfig().model_dump(mode="json"), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"steps": 0}, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"stepz": 1}, schema)


def test_names_are_completed():
    assert completion.samplers("nint") == ["nint", "nint_diagonal", "nint_released"]
    assert completion.fields("") == list(FIELD_NAMES)
    assert completion.presets("p") == ["paper"]
    assert completion.keys("nint.al") == ["nint.alpha="]
    assert completion.keys("") == [f"{key}=" for key in dotted_keys()]
    assert completion.samples("image")("sample:co") == ["sample:coffee", "sample:coins"]
    assert completion.samples("audio")("sample:c") == ["sample:chirp", "sample:chord"]
    assert completion.samples("sdf")("sample:to") == ["sample:torus"]
    for kind in MODALITIES:
        assert completion.samples(kind)("co") == []


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("nint fit image --sampler nint", ["nint", "nint_diagonal", "nint_released"]),
        ("nint fit image sample:as", ["sample:astronaut"]),
        pytest.param(
            "nint fit audio sample:", ["sample:chirp", "sample:chord"], marks=pytest.mark.slow
        ),
        pytest.param("nint fit sdf sample:kn", ["sample:knot"], marks=pytest.mark.slow),
        ("nint list s", ["samplers", "samples"]),
    ],
)
def test_the_shell_completes(words, expected):
    done = subprocess.run(
        [sys.executable, "-m", "nint_cli"],
        env=os.environ
        | {
            "_NINT_COMPLETE": "complete_bash",
            "COMP_WORDS": words,
            "COMP_CWORD": str(words.count(" ")),
        },
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == expected


def test_quiet_says_nothing_but_errors(capsys, pictures):
    code, out, err = nint(capsys, "fit", "image", "a.png", "--preset", "smoke", "-q")
    assert (code, out, err) == (0, f"{Path('runs/a/nint')}\n", "")
    code, _, err = nint(capsys, "fit", "image", "bad.png", "--preset", "smoke", "-q")
    assert (code, len(err.splitlines())) == (3, 1)
    nint(capsys, "fit", "image", "b.png", *FAST)  # loudness is per command
    assert "nint fit image" in nint(capsys, "fit", "image", "b.png", *FAST, "--overwrite")[2]


# From Python


def test_the_python_interface_leaves_the_world_alone(pictures, capsys):
    rng, handler = torch.get_rng_state(), signal.getsignal(signal.SIGINT)
    run = nint_cli.fit("a.png", preset="smoke", settings={"seed": 2}, output="runs/a")
    assert torch.equal(torch.get_rng_state(), rng)
    assert signal.getsignal(signal.SIGINT) is handler
    assert capsys.readouterr() == ("", "")
    assert run.metrics.status == "complete"
    assert run.metrics.seed == run.config.seed == 2
    again = nint_cli.load_run("runs/a")
    assert again == run
    assert again.field(torch.zeros(1, 2)).shape == (1, 3)
    written = np.asarray(Image.open("runs/a/reconstruction.png"))
    np.testing.assert_array_equal(again.reconstruction(), written)
    assert nint_cli.resume("runs/a", steps=33).metrics.steps == 33


def test_the_python_interface_raises_what_the_command_line_exits_with(pictures, monkeypatch):
    for error, call in (
        (InputError, lambda: nint_cli.fit("none.png")),
        (InputError, lambda: nint_cli.load_run("nothing")),
        (ConfigError, lambda: nint_cli.fit("a.png", settings={"nint.alfa": 1})),
        (ConfigError, lambda: nint_cli.fit("a.png", config="none.yaml")),
        (OutputError, lambda: nint_cli.fit("a.png", output="bad.png")),
    ):
        with pytest.raises(error):
            call()
    with monkeypatch.context() as patch:
        patch.setattr("nint_cli.training.trainer.Trainer.fit", lambda *_: "diverged")
        with pytest.raises(DivergedError, match="was not finite after 0 steps"):
            nint_cli.fit("a.png", preset="smoke", output="runs/diverged")
    assert nint_cli.load_run("runs/diverged").metrics.status == "diverged"
    run = nint_cli.fit("a.png", preset="smoke", output="runs/a")
    (run.path / "metrics.json").unlink()
    with pytest.raises(NintError, match="did not end; go on with nint resume"):
        _ = run.metrics
    with pytest.raises(AttributeError, match="no attribute 'fitt'"):
        _ = nint_cli.fitt
    assert set(nint_cli.__all__) == {"Run", "fit", "load_run", "resume"}
    assert all(callable(getattr(api, name)) for name in nint_cli.__all__)


# From a Makefile

RULES = """
PICTURES := $(wildcard *.png)
all: $(PICTURES:%.png=runs/%/metrics.json)
.DELETE_ON_ERROR:
runs/%/metrics.json: %.png
\t$(NINT) fit image $< -o $(@D) --skip-existing --preset smoke --quiet $(EXTRA)
"""


@pytest.mark.skipif(shutil.which("make") is None, reason="no make here")
def test_a_pattern_rule_makes_runs(pictures):
    Path("bad.png").unlink()
    Path("Makefile").write_text(RULES)
    command = ["make", "-j2", f"NINT={sys.executable} -m nint_cli"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert {p.parent.name for p in Path("runs").glob("*/metrics.json")} == {"a", "b"}
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "Nothing to be done" in done.stdout
    before = Path("runs/b/metrics.json").stat().st_mtime_ns
    missing = [*command, "EXTRA=--target-psnr 99 --require-target", "runs/a/metrics.json"]
    os.utime("a.png")
    for _ in range(2):  # what is of other settings is neither taken for made nor replaced
        done = subprocess.run(missing, capture_output=True, text=True, check=False)
        assert done.returncode != 0
        assert "Error 4" in done.stderr
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "a.png" in done.stdout
    assert "b.png" not in done.stdout
    assert Path("runs/b/metrics.json").stat().st_mtime_ns == before
    Path("c.png").write_text("no picture")
    assert subprocess.run(command, capture_output=True, check=False).returncode != 0
    Path("c.png").unlink()
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "Nothing to be done" in done.stdout  # a run that was kept counts as made anew
