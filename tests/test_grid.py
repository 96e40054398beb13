import importlib.util
import json
from pathlib import Path

import pytest

PATH = Path(__file__).parents[1] / "scripts" / "grid.py"
spec = importlib.util.spec_from_file_location("grid", PATH)
grid = importlib.util.module_from_spec(spec)
spec.loader.exec_module(grid)

SERIES = [
    {"step": 10, "train_s": 1.0, "passes": 5.0, "psnr_db": 20.0, "ssim": 0.5},
    {"step": 20, "train_s": 3.0, "passes": 9.0, "psnr_db": 30.0, "ssim": 0.6},
    {"step": 30, "train_s": 4.0, "passes": 12.0, "psnr_db": 29.0},
]


def test_figures_are_read_where_they_stand():
    assert grid.at_step(SERIES, 20) == 30.0
    assert grid.at_step(SERIES, 20, "ssim") == 0.6
    assert grid.at_step(SERIES, 30, "ssim") is None
    assert grid.at_step(SERIES, 15) is None


@pytest.mark.parametrize(
    ("seconds", "psnr"),
    [(0.5, None), (1.0, None), (2.0, 25.0), (3.0, 30.0), (4.0, 29.0), (5, None)],
)
def test_equal_time_is_read_between_evaluations_and_never_beyond_them(seconds, psnr):
    assert grid.at_time(SERIES, seconds) == psnr


def test_the_cost_of_a_target_is_that_of_the_first_evaluation_there():
    assert grid.cost_to(SERIES, 25, "step") == 20
    assert grid.cost_to(SERIES, 20, "train_s") == 1.0
    assert grid.cost_to(SERIES, 30, "passes") == 9.0
    assert grid.cost_to(SERIES, 31, "step") is None


def test_no_mean_hides_what_is_missing():
    assert grid.mean([1.0, 3.0]) == 2.0
    assert grid.mean([1.0, None]) is None
    assert grid.mean([]) is None
    assert grid.shown(None) == "-"


def test_a_table_has_as_many_columns_everywhere():
    lines = grid.markdown(["a", "b"], [["x", "1"], ["y", "2"]]).splitlines()
    assert lines == ["| a | b |", "| --- | ---: |", "| x | 1 |", "| y | 2 |"]


def test_what_is_finished_is_kept_and_what_was_begun_goes_on(tmp_path):
    fit = grid.Fit(tmp_path, "sample:cat", ("--steps", "3"))
    assert fit.command()[3:5] == ["fit", "image"]
    assert "--skip-existing" in fit.command()
    (tmp_path / "manifest.json").write_text("{}")
    assert fit.command()[3] == "fit"  # no checkpoint yet
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "step-0000000001.safetensors").touch()
    assert fit.command()[3] == "resume"
    (tmp_path / "metrics.json").write_text(json.dumps({"psnr_db": 1.0}))
    assert fit.command()[3] == "fit"
