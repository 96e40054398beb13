"""`nint inspect`: its figures against slow ways to the same, its rules, and that it only looks."""

import hashlib
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from nint_cli import cli
from nint_cli.derivatives import ntk
from nint_cli.inspection import drawing, image_structure, kernel
from nint_cli.inspection.record import Inspection
from nint_cli.runs import selections
from nint_cli.runs.folder import RunFolder
from nint_cli.samplers.base import Selection
from nint_cli.signals.points import PointSignal
from tests import oracles
from tests.conftest import smooth_pixels, tiny_field, tiny_signal

SIGNAL = tiny_signal((6, 7))


def dense() -> torch.Tensor:
    coords, _ = SIGNAL.slice(0, len(SIGNAL))
    return oracles.dense_ntk(tiny_field(3), coords)


def test_leverage_and_blocks_are_those_of_the_slow_kernel():
    field = tiny_field(3)
    coords, _ = SIGNAL.slice(0, len(SIGNAL))
    slow = dense()
    diagonal = kernel.leverage(field, SIGNAL)
    torch.testing.assert_close(diagonal, torch.einsum("icic->ic", slow))
    torch.testing.assert_close(kernel.block(field, coords), torch.einsum("icjc->ij", slow))
    found = kernel.summary(diagonal)
    trace = diagonal.sum(1)
    assert found.mean == pytest.approx(float(trace.mean()))
    assert found.variation == pytest.approx(float(trace.std(correction=0) / trace.mean()))
    assert sum(found.histogram) == len(SIGNAL)


def test_coupling_is_what_the_diagonal_leaves():
    field = tiny_field(3)
    product, residual = kernel.scores(field, SIGNAL, SIGNAL)
    slow = dense()
    own = torch.einsum("icic->ic", slow) * residual
    rest = torch.einsum("icjd,jd->ic", slow, residual) - own
    norms = [torch.linalg.vector_norm(part, dim=1) for part in (own, rest)]
    expected = float((norms[1] / (norms[0] + norms[1])).mean())
    found = kernel.coupling(product, residual, kernel.leverage(field, SIGNAL))
    assert found.share == pytest.approx(expected)


def test_scores_of_some_points_sum_over_all():
    field, some = tiny_field(3), torch.tensor([1, 17, 40])
    coords, values = SIGNAL.slice(0, len(SIGNAL))
    left = field(coords).detach() - values
    product, residual = kernel.scores(field, SIGNAL, PointSignal(*SIGNAL.at(some)))
    torch.testing.assert_close(product, torch.einsum("icjd,jd->ic", dense()[some], left))
    torch.testing.assert_close(residual, left[some])


def test_ranks_share_what_is_equal():
    a, b = torch.tensor([1.0, 2.0, 2.0, 5.0]), torch.tensor([10.0, 30.0, 20.0, 90.0])
    ranks = [[1, 2.5, 2.5, 4], [1, 3, 2, 4]]
    assert kernel.spearman(a, b) == pytest.approx(np.corrcoef(ranks)[0, 1])
    assert kernel.spearman(a, torch.ones(4)) is None
    assert kernel.pearson(a, 3 * a + 1) == pytest.approx(1)
    assert kernel.pearson(torch.full((1000,), 0.1), torch.arange(1000.0)) is None


def test_overlap_counts_what_both_tops_have():
    a = torch.arange(10.0)
    assert kernel.overlap(a, a) == 1
    assert kernel.overlap(a, -a) == 0
    assert kernel.overlap(a, a.roll(1)) == 0.5


def test_effective_rank_runs_from_one_to_all():
    assert kernel.effective_rank(3 * torch.eye(5)) == pytest.approx(5)
    assert kernel.effective_rank(torch.ones(5, 5)) == pytest.approx(1, abs=1e-6)
    assert kernel.off_diagonal(torch.ones(5, 5)) == 1
    assert kernel.off_diagonal(torch.eye(5)) == 0


def sinusoid(frequency: float) -> float:
    rows = np.arange(200)[:, None]
    values = 0.5 + 0.4 * np.sin(frequency * rows) * np.ones((1, 20))
    return float(np.median(image_structure.local_frequency(values[..., None])[20:-20, 10]))


@pytest.mark.parametrize("frequency", [0.7, 1.0, 1.3])
def test_the_local_frequency_of_a_sinusoid_is_its_own(frequency):
    """But for differences, which see 2 sin(w / 2) for w, and the ends of the window."""
    assert sinusoid(frequency) == pytest.approx(2 * math.sin(frequency / 2), rel=0.15)


def test_local_frequency_rises_with_the_frequency_and_is_0_where_nothing_is():
    found = [sinusoid(frequency) for frequency in (0.1, 0.2, 0.5, 1.0, 1.6, 2.4, 3.1)]
    assert found == sorted(found)
    assert image_structure.local_frequency(np.full((20, 20, 1), 0.3)).max() == 0


def test_density_is_relative_to_all_points():
    measure = np.arange(100.0).reshape(10, 10)
    top = Selection(torch.arange(90, 100))
    even = Selection(torch.arange(0, 100, 10))
    found = image_structure.density(measure, [(1, top), (5, even)], "x")
    assert found.deciles[0] == [0] * 9 + [10]
    assert found.deciles[1] == [1] * 10
    assert found.steps == [1, 5]


def test_points_of_one_measure_share_their_density_and_their_figures():
    assert image_structure.density(
        np.zeros((6, 5)), [(1, Selection(torch.arange(3)))], "x"
    ).deciles == [pytest.approx([1] * 10)]
    halves = image_structure.Tenths(np.repeat([0.0, 1.0], 10))
    assert halves.mean(np.arange(20)) == [4.5] * 5 + [14.5] * 5


def test_patches_are_the_smoothest_and_the_steepest():
    steep = np.ones((16, 24))
    steep[8:, 8:16], steep[:8, 16:] = 9, 0
    assert image_structure.patches(steep, 8) == {"smooth": (0, 16), "edges": (8, 8)}
    assert image_structure.patch_indices(8, 8, 2, 24).tolist() == [200, 201, 224, 225]


@pytest.mark.parametrize(("height", "width"), [(1, 10_000), (3, 21), (400, 300), (4, 4)])
def test_a_stride_leaves_no_more_points_than_asked_for(height, width):
    every = image_structure.stride(height, width, 16)
    assert -(-height // every) * -(-width // every) <= 16
    assert every == 1 or -(-height // (every - 1)) * -(-width // (every - 1)) > 16


def test_figures_that_are_all_but_alike_have_a_histogram():
    figures = np.ones(100, np.float32)
    figures[3] = np.nextafter(np.float32(1), np.float32(2))
    assert drawing.leverage_picture(figures, (10, 10)).startswith(b"\x89PNG")


# From the command line

SMALL = ["--preset=smoke", "--set=siren.hidden_features=8", "--progress=never", "--steps=30"]
KEPT = ["--set=checkpoint.every=10", "--set=evaluation.selections=true", "--set=nint.alpha=5"]


@pytest.fixture
def photo(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(smooth_pixels()).save("photo.png")


def fit(kind: str, source: str, *words: str) -> None:
    assert cli.run(["fit", kind, source, "-o", "run", "-q", *SMALL, *words]) == 0


def hashes(folder: str) -> dict[str, str]:
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(Path(folder).rglob("*"))
        if path.is_file()
    }


def inspected(capsys, *words: str) -> Inspection:
    capsys.readouterr()
    assert cli.run(["inspect", "run", "-o", "out", "--json", *words]) == 0
    found = Inspection.model_validate_json(capsys.readouterr().out)
    assert {path.name for path in Path("out").iterdir()} == {*found.files, "inspect.json"}
    return found


@pytest.mark.parametrize("sampler", ["nint", "uniform"])
def test_a_run_on_a_picture_is_looked_at_and_left_alone(photo, capsys, sampler):
    fit("image", "photo.png", "--set=image.size=20", *KEPT, f"--sampler={sampler}")
    before = hashes("run")
    found = inspected(capsys)
    assert hashes("run") == before
    assert found.points == found.population
    assert found.step == 30
    assert found.coupling is not None
    assert 0 < found.coupling.share < 1
    assert [block.name for block in found.blocks] == ["smooth", "edges"]
    assert found.staleness is not None
    assert found.staleness.from_step == 20
    assert found.staleness.lags == [1, 2, 5]
    assert found.density is not None
    assert set(found.files) == {"self-leverage.png", "score.png", "blocks.png", "density.png"}
    assert inspected(capsys) == found


def test_some_of_many_points_stand_for_all(photo, capsys):
    fit("image", "photo.png", "--set=image.size=20", "--set=checkpoint.every=null")
    found = inspected(capsys, "--points=64")
    assert found.points <= 64 < found.population
    assert found.density is None
    assert "evaluation.selections=true" in (found.density_reason or "")
    assert found.staleness is None
    assert "checkpoint.keep=null" in (found.staleness_reason or "")


def test_sounds_and_shapes_say_what_they_lack(photo, capsys):
    fit("audio", "sample:chirp", "--duration=0.05s", *KEPT)
    found = inspected(capsys)
    assert found.gradient is not None
    assert "pictures only" in (found.blocks_reason or "")
    few = ["sdf.points=500", "sdf.mc_resolution=16", "sdf.iou_resolution=16",
           "sdf.watch_resolution=8", "sdf.surface_samples=100"]  # fmt: skip
    words = [f"--set={setting}" for setting in few]
    fit("sdf", "sample:torus", "--overwrite", "--sampler=nint", *KEPT, *words)
    assert cli.run(["inspect", "run", "-o", "shape", "--json"]) == 0
    shape = Inspection.model_validate_json(Path("shape/inspect.json").read_text())
    assert "no grid" in (shape.gradient_reason or "")
    assert shape.coupling is not None


def test_scores_of_a_shape_go_stale_over_the_points_that_it_has(photo, capsys):
    few = ["sdf.points=500", "sdf.mc_resolution=16", "sdf.iou_resolution=16", "sdf.resample=7",
           "sdf.watch_resolution=8", "sdf.surface_samples=100"]  # fmt: skip
    fit("sdf", "sample:torus", "--sampler=nint", *KEPT, *(f"--set={each}" for each in few))
    found = inspected(capsys).staleness
    assert found is not None
    assert found.from_step == 20
    assert found.lags == [1]  # step 22 has other points, and ranks anew
    assert (found.spearman[0] or 0) > 0.8


def test_an_input_that_is_gone_leaves_the_kernel(photo, capsys):
    fit("image", "photo.png", "--set=image.size=20", *KEPT)
    Path("photo.png").unlink()
    found = inspected(capsys)
    assert found.leverage is not None
    assert found.coupling is found.gradient is found.staleness is None
    assert "photo.png" in (found.coupling_reason or "")


def test_a_baseline_tells_whether_scoring_pays(photo, capsys):
    fit("image", "photo.png", "--set=image.size=20", "--sampler=nint")
    Path("run").rename("guided")
    fit("image", "photo.png", "--set=image.size=20", "--sampler=uniform")
    capsys.readouterr()
    words = ["inspect", "guided", "--baseline", "run", "-o", "out", "--json"]
    assert cli.run(words) == 0
    found = json.loads(capsys.readouterr().out)
    rule = next(each for each in found["diagnoses"] if each["rule"] == "cost of scoring")
    assert rule["finding"] in {"ok", "warning"}


def test_a_picture_of_few_pixels_has_no_tenths(photo, capsys):
    Image.fromarray(smooth_pixels(3, 3)).save("photo.png")
    fit("image", "photo.png", *KEPT)
    found = inspected(capsys)
    assert found.density is None
    assert "fewer than 10" in (found.density_reason or "")


def test_a_kernel_that_overflows_is_told_of(photo, capsys):
    wild = ["mlp.hidden_features=64", "mlp.hidden_layers=10", "optimiser.rescue=false",
            "optimiser.warmup=0", "image.size=16"]  # fmt: skip
    words = ["--field=mlp", "--lr=10", *(f"--set={setting}" for setting in wild)]
    assert cli.run(["fit", "image", "photo.png", "-o", "run", "-q", *SMALL, *words]) == 5
    found = inspected(capsys)
    assert found.leverage is found.gradient is found.coupling is None
    assert not found.blocks
    for reason in (found.leverage_reason, found.coupling_reason, found.blocks_reason):
        assert "diverged" in (reason or "")


def test_an_inspection_takes_the_place_of_an_earlier_one_and_of_nothing_else(photo, capsys):
    fit("image", "photo.png", "--set=image.size=20", *KEPT)
    assert "density.png" in inspected(capsys).files
    fit("image", "photo.png", "--set=image.size=20", "--overwrite")
    assert "density.png" not in inspected(capsys).files
    Path("mine").mkdir()
    Path("mine/score.png").write_text("my own")
    assert cli.run(["inspect", "run", "-o", "mine"]) == 4
    assert "did not write" in capsys.readouterr().err
    assert hashes("mine") == {"mine/score.png": hashlib.sha256(b"my own").hexdigest()}


def test_scores_go_stale_in_runs_that_time_or_a_target_ended(photo, capsys):
    fit("image", "photo.png", "--set=image.size=20", "--set=stop.target_psnr_db=1", *KEPT)
    found = inspected(capsys)
    assert found.step == 10
    assert found.staleness is not None
    assert found.staleness.from_step == 10
    budget = ["--preset=smoke", "--set=siren.hidden_features=8", "--time-budget=0.5s",
              "--set=checkpoint.every=10", "--set=checkpoint.keep=null", "--overwrite", "-q",
              "--set=steps=20", "--set=stop.at_steps=false"]  # fmt: skip
    assert cli.run(["fit", "image", "photo.png", "-o", "run", "--set=image.size=12", *budget]) == 0
    found = inspected(capsys)
    assert found.step > 40
    assert found.staleness is not None
    assert found.staleness.from_step > 20


def test_patches_of_a_large_field_are_smaller(photo, capsys, monkeypatch):
    fit("image", "photo.png", "--set=image.size=20")
    monkeypatch.setattr(ntk, "_DENSE_NUMBERS", 20_000)
    assert [block.side for block in inspected(capsys).blocks] == [4, 4]


def test_selections_of_another_picture_are_passed_over(photo, capsys):
    fit("image", "photo.png", "--set=image.size=20", *KEPT)
    for path in RunFolder(Path("run")).selections():
        path.write_bytes(selections.encode(Selection(torch.tensor([5, 1000]))))
    found = inspected(capsys)
    assert found.density is None
    assert "no sound selections" in (found.density_reason or "")


def test_a_baseline_on_another_signal_is_refused(photo, capsys):
    fit("image", "photo.png", "--set=image.size=20")
    Path("run").rename("other")
    fit("image", "photo.png", "--set=image.size=16")
    assert cli.run(["inspect", "run", "--baseline", "other"]) == 3
    assert "another signal" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["nowhere"], ["photo.png"], ["run", "--baseline", "nowhere"]])
def test_what_is_no_run_is_told_of(photo, capsys, words):
    fit("image", "photo.png", "--set=image.size=20")
    assert cli.run(["inspect", *words]) == 3
    assert "nint: error: " in capsys.readouterr().err
