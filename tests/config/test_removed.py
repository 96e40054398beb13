"""Settings that are gone: what a user is told, and what earlier versions wrote still serves."""

import json
import warnings
from pathlib import Path

import pytest
import torch
import yaml
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save

from nint_cli.api import fit
from nint_cli.cli import run
from nint_cli.comparison.reading import read_metrics
from nint_cli.config.removed import (
    FORMER,
    REMOVED,
    metrics_of_today,
    removed_keys,
    without_removed,
)
from nint_cli.errors import InputError
from nint_cli.runs import checkpoint
from nint_cli.runs.control import Control
from nint_cli.runs.evaluate import evaluate_run
from nint_cli.runs.resume import resume
from tests.cli.test_cli import nint
from tests.conftest import smooth_pixels

OLD = {
    "batch.fill": "auto",
    "engine.blocks": "usual",
    "engine.compile": "auto",
    "engine.graphs": False,
    "nint.pool": 4,
    "nint.scoring": "sweep",
    "nint.tangent": "exact",
}


def with_old_keys(config):
    """Settings as an earlier version wrote them."""
    found = {key: dict(part) if isinstance(part, dict) else part for key, part in config.items()}
    for key, value in OLD.items():
        head, _, name = key.partition(".")
        found[head][name] = value
    return found


def age_checkpoint(path, **more):
    """Rewrite a checkpoint as an earlier version would have."""
    with safe_open(path, framework="pt") as file:
        about = json.loads(file.metadata()["nint"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}
    numbers = about["numbers"] | more.pop("numbers", {})
    about |= {"config": with_old_keys(about["config"]), "numbers": numbers} | more
    about["sha256"] = checkpoint.digest(about, tensors)
    path.write_bytes(save(tensors, metadata={"nint": json.dumps(about)}))


def age(folder, **more):
    """Rewrite a run folder as an earlier version would have left it; give its last checkpoint."""
    written = folder / "config.yaml"
    config = with_old_keys(yaml.safe_load(written.read_text()))
    written.write_text(yaml.safe_dump(config, sort_keys=False))
    document = json.loads((folder / "metrics.json").read_text())
    document["config"] = config
    document["origins"] |= dict.fromkeys(OLD, "preset")
    document["config_sha256"] = "0" * 64
    document["environment"] |= {"compiled": False, "filled_batch": None}
    (folder / "metrics.json").write_text(json.dumps(document))
    for path in (folder / "checkpoints").glob("*.safetensors"):
        age_checkpoint(path, **more)
    return path


@pytest.fixture
def old_run(capsys, smoke, tmp_path) -> Path:
    folder = tmp_path / "a"
    assert nint(capsys, *smoke, "--steps", "4", "-o", str(folder))[0] == 0
    return folder


def test_a_reason_is_one_clause():
    assert OLD.keys() == REMOVED.keys()
    for reason in REMOVED.values():
        assert reason[0].islower() or reason.startswith("CUDA")
        assert not reason.endswith(".")
        assert "\n" not in reason


@pytest.mark.parametrize("key", sorted(removed_keys()))
def test_a_key_that_was_removed_is_refused_with_its_reason(capsys, smoke, tmp_path, key):
    message = f"{key} was removed: {REMOVED[key]}; leave the key out"
    code, _, err = nint(capsys, *smoke, "--set", f"{key}={json.dumps(OLD[key])}")
    assert (code, err.strip().splitlines()) == (2, [f"nint: error: --set {message}"])
    head, _, name = key.partition(".")
    path = tmp_path / "old.yaml"
    path.write_text(f"{head}:\n  {name}: always\n")
    code, _, err = nint(capsys, *smoke, "--config", str(path))
    assert (code, err.strip().splitlines()) == (2, [f"nint: error: {path}:2:3: {message}"])
    path.write_text(f"{head}:\n  {name}: {json.dumps(FORMER[key])}\n")
    code, _, err = nint(capsys, *smoke, "--config", str(path), "-o", "run", "--steps", "2")
    assert (code, f"{path}:2:3: {key} was removed, and is passed over" in err) == (0, True)


def test_the_settings_of_an_old_run_serve_again(capsys, smoke, tmp_path):
    """Of the former default, whose guidance has a name of its own now."""
    old = yaml.safe_load(nint(capsys, *smoke, "--print-config")[1])
    for key, value in FORMER.items():
        head, _, name = key.partition(".")
        old[head][name] = value
    old |= {"sampler": "nint"}
    old["nint"] |= {"scoring": "pool", "pool": 8, "xi": 0.4}
    Path("old.yaml").write_text(yaml.safe_dump(old))
    code, out, err = nint(capsys, *smoke, "--config", "old.yaml", "--print-config")
    assert (code, "nint.scoring=pool is sampler nint_diagonal now" in err) == (0, True)
    found = yaml.safe_load(out)
    assert found["sampler"] == "nint_diagonal"
    assert (found["nint_diagonal"]["pool"], found["nint_diagonal"]["xi"]) == (8, 0.4)
    assert nint(capsys, "config", "validate", "old.yaml")[0] == 0
    Image.fromarray(smooth_pixels()).save("a.png")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        fit("a.png", preset="smoke", config="old.yaml", settings={"steps": 2}, output="run")
    assert any("engine.graphs was removed, and is passed over" in str(each) for each in told)


def test_only_removed_keys_are_dropped():
    config = {"steps": 3, "engine": {"graphs": True, "threads": 2, "grahps": 1}, "batch": None}
    assert without_removed(config) == {
        "steps": 3, "engine": {"threads": 2, "grahps": 1}, "batch": None,
    }  # fmt: skip
    assert config["engine"] == {"graphs": True, "threads": 2, "grahps": 1}
    assert not removed_keys() & {"engine.threads", "engine.precision"}


@pytest.mark.parametrize(("fill", "stays"), [("never", False), ("auto", True), ("always", True)])
def test_a_run_of_larger_batches_is_of_another_method(fill, stays):
    config = {"batch": {"size": 8, "fill": fill}}
    document = {"config": config, "environment": {"threads": 1, "filled_batch": 16}}
    found = metrics_of_today(document)
    assert ("fill" in found["config"]["batch"]) == stays
    assert found["environment"] == {"threads": 1}
    document["environment"]["filled_batch"] = None
    assert metrics_of_today(document)["config"] == {"batch": {"size": 8}}


@pytest.mark.parametrize("document", [{}, {"config": 3}, {"environment": None, "origins": []}])
def test_damaged_metrics_stay_as_they_are(document):
    assert metrics_of_today(document) == document


def test_an_old_checkpoint_is_read_and_measured(old_run):
    before = evaluate_run(old_run)
    expected = checkpoint.read(next((old_run / "checkpoints").glob("*"))).config
    path = age(old_run)
    assert checkpoint.read(path).config == expected
    assert evaluate_run(old_run) == before
    assert read_metrics(old_run).config == expected.model_dump(mode="json")
    assert not removed_keys() & read_metrics(old_run).origins.keys()


def test_an_old_run_goes_on_to_the_same_bits(capsys, smoke, tmp_path, old_run):
    fresh = tmp_path / "b"
    assert nint(capsys, *smoke, "--steps", "8", "-o", str(fresh))[0] == 0
    age(old_run)
    outcome = resume(old_run, steps=8)
    assert outcome.metrics is not None
    assert not removed_keys() & outcome.metrics.origins.keys()
    pair = [max((folder / "checkpoints").glob("*")) for folder in (old_run, fresh)]
    old, new = (checkpoint.read(path).state.tensors for path in pair)
    assert old.keys() == new.keys()
    for name, tensor in old.items():
        assert tensor.equal(new[name]), name


REMEMBERED = ("sampler=nint_diagonal", "nint_diagonal.score=error", "nint_diagonal.start=0")


def by_the_old_name(config):
    """Settings of guidance by remembered errors as the last release wrote them."""
    found, own = dict(config), config["nint_diagonal"]
    rest = {key: own[key] for key in ("xi", "pool", "start", "weight", "max_chosen")}
    found["nint"] = dict(found["nint"]) | rest | {"scoring": "pool", "min_share": 1}
    found["sampler"] = "nint"
    del found["nint_diagonal"]
    return found


def test_a_run_by_guidances_old_name_is_measured_and_goes_on_to_the_same_bits(
    capsys, smoke, tmp_path
):
    """It was sampler nint with nint.scoring=pool, and remembered errors by that name."""
    changes = [word for each in REMEMBERED for word in ("--set", each)]
    old, fresh = tmp_path / "old", tmp_path / "fresh"
    for folder, steps in ((old, "12"), (fresh, "20")):
        assert nint(capsys, *smoke, *changes, "--steps", steps, "-o", str(folder))[0] == 0
    before = evaluate_run(old)
    written = old / "config.yaml"
    written.write_text(yaml.safe_dump(by_the_old_name(yaml.safe_load(written.read_text()))))
    for path in (old / "checkpoints").glob("*"):
        with safe_open(path, framework="pt") as file:
            about = json.loads(file.metadata()["nint"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}
        for name in ("scores", "trained"):
            assert f"sampler.{name}" in tensors
        tensors["sampler.errors"] = tensors.pop("sampler.scores")
        tensors["sampler.ntk"] = torch.empty(0, dtype=torch.int64)  # written, though unused
        about["config"] = by_the_old_name(about["config"])
        about["numbers"] = {
            key: value
            for key, value in about["numbers"].items()
            if key not in {"choosing_passes", "update_passes", "trained", "sampler"}
        } | {"passes": about["numbers"]["update_passes"]}
        names = {"error": "residual", "uniform": "uniform"}
        assert about["numbers"]["slots"]["last"][0][0] == "error"
        about["numbers"]["slots"] = {
            when: [("ntk", 0), *((names[rule], count) for rule, count in rules)]
            for when, rules in about["numbers"]["slots"].items()
        }
        about["sha256"] = checkpoint.digest(about, tensors)
        path.write_bytes(save(tensors, metadata={"nint": json.dumps(about)}))
    assert evaluate_run(old) == before
    outcome = resume(old, steps=20)
    assert outcome.metrics is not None
    guidance = outcome.metrics.guidance
    assert (guidance.points, guidance.passes.total) == (None, 0)
    pair = [max((folder / "checkpoints").glob("*")) for folder in (old, fresh)]
    ours, theirs = (checkpoint.read(path).state.tensors for path in pair)
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        assert tensor.equal(theirs[name]), name


def test_what_moved_with_guidances_name_is_in_one_place():
    own = {"xi": 0.4, "pool": 6, "start": 0.3, "weight": 0.7, "max_chosen": 0.2}
    old = by_the_old_name({"sampler": "nint_diagonal", "nint": {"alpha": 3}, "nint_diagonal": own})
    found = without_removed(old)
    assert found["nint_diagonal"] == own | {"score": "error"}
    built_in = {"xi": 0.7, "start": 0.0, "weight": 1.0, "max_chosen": 1.0}
    assert found["nint"] == built_in | {"alpha": 3, "min_share": 1}


def test_an_edit_of_an_old_folder_counts_all_the_same(old_run):
    age(old_run)
    written = old_run / "config.yaml"
    written.write_text(written.read_text().replace("steps: 4\n", "steps: 5\n"))
    outcome = resume(old_run)
    assert outcome.metrics is not None
    assert outcome.metrics.steps == 5


def test_an_old_run_that_is_the_same_is_kept(capsys, smoke, old_run):
    age(old_run)
    words = [*smoke, "--steps", "4", "-o", str(old_run), "--skip-existing"]
    assert "is complete; kept" in nint(capsys, *words)[2]
    document = json.loads((old_run / "metrics.json").read_text())
    document["environment"]["filled_batch"] = 1 << 14
    (old_run / "metrics.json").write_text(json.dumps(document))
    code, _, err = nint(capsys, *words)
    assert (code, "holds a run of other settings" in err) == (4, True)


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"batch_size": 16384}, "needs batches of a size that batch.fill measured"),
        ({"blocks": {"step": 8, "sweep": 12}}, "needs block sizes that engine.blocks measured"),
    ],
)
def test_a_checkpoint_that_needs_what_is_gone_is_refused(capsys, old_run, more, reason):
    path = age(old_run, **more)
    with pytest.raises(InputError, match=reason) as caught:
        checkpoint.read(path)
    assert "\n" not in str(caught.value)
    code, _, err = nint(capsys, "resume", str(old_run))
    assert code == InputError.exit_code
    assert f"'{path}' {reason}, which was removed" in err
    assert len(err.strip().splitlines()) == 1


def test_a_checkpoint_of_compiled_passes_goes_on_without(old_run):
    notes = []
    age(old_run, numbers={"compiled": True})
    outcome = resume(old_run, steps=6, control=Control(note=notes.append))
    assert outcome.metrics is not None
    assert any("began with compiled passes, which were removed" in note for note in notes)
    notes.clear()
    resume(old_run, steps=8, control=Control(note=notes.append))
    assert not any("with compiled passes" in note for note in notes)


def test_an_old_comparison_keeps_its_runs(capsys, picture, tmp_path, monkeypatch, fits_within):
    monkeypatch.chdir(tmp_path)
    words = ["compare", "image", str(picture), "--preset", "smoke", "--steps", "4"]
    words += ["--sampler", "full", "--sampler", "uniform", "-o", "c"]
    assert run(words) == 0
    for written in Path("c").rglob("config.yaml"):
        age(written.parent)
        text = written.read_text()
        assert "fill: auto" in text
        written.write_text(text.replace("fill: auto", "fill: never"))
    times = {path: path.stat().st_mtime_ns for path in Path("c").rglob("checkpoints/*")}
    assert len(times) == 2
    capsys.readouterr()
    assert run(words) == 0
    assert {path: path.stat().st_mtime_ns for path in Path("c").rglob("checkpoints/*")} == times
