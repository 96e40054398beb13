"""What metrics.json says of what chose the points."""

import json

import pytest

from nint_cli.api import fit
from nint_cli.cli import run
from nint_cli.config.schema import RunConfig
from nint_cli.errors import ConfigError
from nint_cli.fields.wire import Wire
from nint_cli.runs.build import build_trainer
from nint_cli.runs.resume import resume
from nint_cli.samplers import nint_diagonal
from nint_cli.schedules.clock import Clock
from tests.conftest import tiny_signal

SMALL = {
    "steps": 20,
    "siren.hidden_features": 16,
    "siren.hidden_layers": 2,
    "batch.size": 200,
}


def guidance_of(picture, folder, preset="default", **settings):
    given = SMALL | {key.replace("__", "."): value for key, value in settings.items()}
    return fit(picture, preset=preset, output=folder, settings=given).metrics.guidance.model_dump()


def test_by_default_the_points_are_ranked_by_the_kernel_and_that_takes_no_pass(picture, tmp_path):
    found = guidance_of(picture, tmp_path / "a", nint_diagonal__max_chosen=1)
    assert found["ranked_by"] == "squared error x NTK diagonal of points as they train"
    assert found["points"]["diagonal"] > 0
    assert sum(found["points"].values()) > found["points"]["diagonal"]
    assert found["passes"]["total"] == 0
    assert found["self_leverage_mean"] > 0
    assert found["self_leverage_variation"] > 0
    assert found["self_leverage_reason"] is None


@pytest.mark.parametrize(
    ("settings", "ranked_by", "passes"),
    [
        ({"sampler": "uniform"}, "nothing", {"forward": 0, "vjp": 0, "jvp": 0}),
        ({"sampler": "int"}, "|error| of all points", {"forward": 20, "vjp": 0, "jvp": 0}),
        (
            {"sampler": "nint", "nint__xi": 0.2},
            "||K error|| and |error| of all points",
            {"forward": 18, "vjp": 2, "jvp": 2},
        ),
        (
            {"sampler": "nint", "nint__min_share": 1.0},
            "|error| of all points, without the NTK: nint.min_share leaves it no share",
            {"forward": 20, "vjp": 0, "jvp": 0},
        ),
    ],
)
def test_other_samplers_say_what_they_rank_by_and_what_that_costs(
    picture, tmp_path, settings, ranked_by, passes
):
    found = guidance_of(picture, tmp_path / "a", **settings)
    assert found["ranked_by"] == ranked_by
    assert {key: found["passes"][key] for key in passes} == passes
    assert found["self_leverage_mean"] is None
    assert "does not use it" in found["self_leverage_reason"]


EVERY = {"batch__size": 4096}


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        (EVERY, "every point trains"),
        ({**EVERY, "sampler": "int"}, "every point trains"),
        ({"nint_diagonal__xi": 1}, "nint_diagonal.xi is 1"),
        ({"nint_diagonal__max_chosen": 1e-9}, "no batch chose points"),
        ({"sampler": "nint", "nint__xi": 1}, "nint.xi is 1"),
        ({"sampler": "nint_released", "nint__xi": 1}, "nint.xi is 1"),
        ({"sampler": "egra", "egra__p": 0}, "egra.p is 0"),
        ({"sampler": "expansive", "expansive__anchor_share": 0}, "expansive.anchor_share is 0"),
    ],
)
def test_where_nothing_was_ranked_that_is_said(picture, tmp_path, settings, why):
    found = guidance_of(picture, tmp_path / "a", **settings)
    assert found["ranked_by"] == f"nothing: {why}"


def test_the_first_line_says_so_too(picture, tmp_path, capsys):
    words = ["fit", "image", str(picture), "--steps=2", "-o", str(tmp_path / "a")]
    assert run([*words, "--set=siren.hidden_features=16", "--set=batch.size=4096"]) == 0
    line = "sampler nint_diagonal (every point trains)"
    assert line in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--sampler=full"], "sampler full (every point trains)"),
        (["--sampler=uniform"], "sampler uniform (points at random)"),
        (["--sampler=int"], "sampler int (ranked by |error| of all points)"),
        (["--sampler=egra", "--set=egra.p=0"], "sampler egra (points at random, for egra.p is 0)"),
    ],
)
def test_the_first_line_says_how_points_are_chosen(picture, tmp_path, capsys, words, said):
    small = ["--steps=2", "-o", str(tmp_path / "a"), "--preset=smoke", "--set=batch.size=64"]
    assert run(["fit", "image", str(picture), *small, *words]) == 0
    assert said in " ".join(capsys.readouterr().err.split())


def test_a_signal_too_large_to_be_guided_is_said_to_be(picture, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(nint_diagonal, "MOST_REMEMBERED", 100)
    small = ["--steps=3", "-o", str(tmp_path / "a"), "--set=siren.hidden_features=16"]
    assert run(["fit", "image", str(picture), *small, "--set=batch.size=64"]) == 0
    why = "the signal has more than 100 points, and a run comes back to few of them"
    line = f"sampler nint_diagonal (points at random, for {why})"
    assert line in " ".join(capsys.readouterr().err.split())
    guidance = json.loads((tmp_path / "a/metrics.json").read_text())["guidance"]
    assert guidance["ranked_by"] == f"nothing: {why}"
    assert guidance["points"] == {"uniform": 3 * 64}


def test_a_run_that_went_on_counts_as_one_that_never_stopped(picture, tmp_path):
    same = {
        "preset": "paper",
        "sampler": "nint_diagonal",
        "nint_diagonal__start": 0,
        "nint_diagonal__max_chosen": 1,
    }
    through = guidance_of(picture, tmp_path / "a", **same)
    guidance_of(picture, tmp_path / "b", steps=12, **same)
    went_on = resume(tmp_path / "b", steps=20).metrics.guidance.model_dump()
    assert went_on == through
    assert through["points"]["diagonal"] > 0


def test_a_field_that_does_not_yield_the_diagonal_is_refused_before_training(monkeypatch):
    monkeypatch.delattr(Wire, "linear_maps")
    config = RunConfig.model_validate({"sampler": "nint_diagonal", "field": "wire"})
    with pytest.raises(ConfigError, match=r"neither chain\(\) nor linear_maps\(\)"):
        build_trainer(config, tiny_signal(), Clock())
