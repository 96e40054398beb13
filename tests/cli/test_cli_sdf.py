"""What a user at a shell sees of shapes."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

from nint_cli import api
from nint_cli.modalities.sdf import subject as sdf_subject
from nint_cli.modalities.sdf import surface
from nint_cli.modalities.sdf.schema import SdfMetrics
from nint_cli.runs.evaluate import evaluate_run
from nint_cli.runs.inputs import read_input
from tests.cli.test_cli import nint, strict
from tests.modalities.sdf.test_files import textured
from tests.runs.test_resume import LAST, stopping_at

# Small enough for a second each.
FAST = ["--preset", "smoke", "--progress", "never"]
LEARN = [
    *FAST,
    *("--field", "hashgrid", "--sampler", "uniform", "--steps", 120, "--lr", "1e-2"),
    *("--set", "hashgrid.levels=2", "--set", "hashgrid.coarsest=4", "--set", "hashgrid.finest=10"),
    *("--set", "hashgrid.log2_entries=11", "--set", "hashgrid.hidden_features=16"),
    *("--set", "sdf.points=20000", "--set", "batch.size=3000", "--set", "evaluation.every=40"),
]
HALF, CENTRE = np.array([30.0, 20.0, 24.0]), np.array([1000.0, -500.0, 70.0])


def fit(capsys, source, run, *words, preset=FAST):
    return nint(capsys, "fit", "sdf", source, *preset, "-o", run, *words)


@pytest.fixture(autouse=True)
def _ball(_in_own_folder):
    Path("ball.ply").write_bytes(trimesh.creation.icosphere(2).export(file_type="ply"))


@pytest.fixture
def brick():
    mesh = trimesh.creation.box(2 * HALF)
    mesh.apply_translation(CENTRE)
    Path("brick.ply").write_bytes(mesh.export(file_type="ply"))
    return "brick.ply"


@pytest.fixture
def bowl():
    mesh = trimesh.creation.icosphere(2)
    mesh.update_faces(mesh.triangles_center[:, 2] < 0.9)
    Path("bowl.ply").write_bytes(mesh.export(file_type="ply"))
    return "bowl.ply"


def everywhere(monkeypatch, value):
    """Let every field be the same all over."""

    def distance(_field, _half_range, *_):
        return lambda coords: torch.full((len(coords),), value)

    monkeypatch.setattr("nint_cli.modalities.sdf.subject.field_distance", distance)


def test_a_fit_writes_a_whole_run_folder(capsys):
    code, out, err = fit(capsys, "sample:torus", "run")
    assert (code, out) == (0, "run\n"), err
    run = Path("run")
    names = {str(p.relative_to(run)) for p in run.rglob("*") if p.is_file()}
    assert names == {
        ".lock",
        "config.yaml",
        "log.jsonl",
        "manifest.json",
        "metrics.json",
        "pool.safetensors",
        "preview.png",
        "reconstruction.ply",
        "selection.png",
        "checkpoints/step-0000000020.safetensors",
        "checkpoints/step-0000000030.safetensors",
    }
    metrics = SdfMetrics.model_validate(strict(run / "metrics.json"))
    assert (metrics.status, metrics.steps, metrics.exit_code) == ("complete", 30, 0)
    assert (metrics.input.watertight, metrics.input.holes) == (True, 0)
    assert metrics.input.points == 4096
    assert metrics.iou_resolution == 32
    for name in ("iou", "sdf_error", "chamfer_l1", "chamfer_squared", "f_score"):
        assert getattr(metrics, name) is not None, name
    assert metrics.surface_reason is None
    rows = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [10, 20, 30]
    always = {"step", "train_s", "passes", "loss", "iou", "sdf_error", "clock"}
    for row in rows:  # a fit this short may leave no time for all cells
        assert row.keys() in (always, always | {"evaluated_points"})
    with Image.open(run / "preview.png") as picture:
        assert picture.size == (3 * 64 + 4 * 12, 64 + 60)
    with Image.open(run / "selection.png") as picture:
        assert picture.height == 64 + 16


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("flat.obj", b"v 0 0\nv 1 0\nv 0 1\nf 1 2 3\n", "line 1: a vertex of 2 numbers"),
        ("m.step", b"ISO-10303-21;\n", "a STEP file; convert it to triangles, as by 'gmsh"),
        ("cut.stl", bytes(80) + b"\x0c" + bytes(9), "12 faces promised, 0 found"),
        (
            "draco.gltf",
            b'{"asset":{"version":"2.0"},"extensionsRequired":["KHR_draco_mesh_compression"]}',
            "gltf-transform copy",
        ),
    ],
)
def test_a_mesh_that_is_not_read_is_refused_in_one_line(capsys, name, content, reason):
    Path(name).write_bytes(content)
    code, out, err = fit(capsys, name, "run")
    assert (code, out, err.count("\n")) == (3, "", 1)
    assert reason in err
    assert not Path("run").exists()


def test_the_mesh_is_in_the_units_and_the_place_of_the_input(capsys, brick):
    code, _, err = fit(capsys, brick, "run", "--mc-resolution", 48, preset=LEARN)
    assert code == 0, err
    metrics = strict(Path("run/metrics.json"))
    assert metrics["iou"] > 0.9
    assert metrics["chamfer_l1"] < 0.06
    mesh = trimesh.load_mesh("run/reconstruction.ply", process=False)
    step = 2 / 47 * 30 / 0.9  # of the grid, in the input's units
    np.testing.assert_allclose(mesh.bounds, [CENTRE - HALF, CENTRE + HALF], atol=2 * step)
    assert mesh.volume == pytest.approx(8 * HALF.prod(), rel=0.15)
    np.testing.assert_allclose(metrics["input"]["centre"], CENTRE, rtol=1e-6)
    assert metrics["input"]["scale"] == pytest.approx(30 / 0.9)
    # Measured again: from the checkpoint alone, and against others in the frame of the run.
    again = evaluate_run(Path("run"))
    for name in ("iou", "sdf_error", "chamfer_l1", "f_score", "normal_consistency"):
        assert getattr(again, name) == pytest.approx(metrics[name], abs=1e-9), name
    Path("run/pool.safetensors").unlink()
    assert evaluate_run(Path("run")) == again
    shifted = trimesh.load_mesh(brick, process=False)
    shifted.apply_translation([12.0, 0, 0])
    Path("shifted.ply").write_bytes(shifted.export(file_type="ply"))
    other = evaluate_run(Path("run"), "shifted.ply")
    assert other.iou == pytest.approx(48 / 72, abs=0.1)
    assert other.iou < metrics["iou"] - 0.1
    assert other.chamfer_l1 > metrics["chamfer_l1"] + 0.05
    code, out, _ = nint(capsys, "eval", "run", "--against", "shifted.ply", "--json")
    assert (code, json.loads(out)["iou"]) == (0, other.iou)
    # The same object in other units is elsewhere, and nothing of it is near the run's.
    shifted.apply_scale(10)
    Path("scaled.ply").write_bytes(shifted.export(file_type="ply"))
    assert evaluate_run(Path("run"), "scaled.ply").iou == pytest.approx(0, abs=0.05)
    code, _, err = nint(capsys, "eval", "run", "--against", "missing.ply")
    assert (code, "missing.ply" in err) == (3, True)


def test_a_mesh_that_has_changed_is_not_measured_against(capsys, brick):
    fit(capsys, brick, "run")
    trimesh.creation.box([1, 2, 3]).export(brick)
    code, _, err = nint(capsys, "eval", "run")
    assert code == 3
    assert "brick.ply' has changed since the run; name it with --against FILE" in err
    Path(brick).unlink()
    code, _, err = nint(capsys, "eval", "run")
    assert (code, "name it with --against FILE" in err) == (3, True)


FAR = np.array([500_000.0, 5_000_000.0, 100.0])


@pytest.mark.parametrize("kind", ["ply", "obj", "stl", "glb"])
def test_a_shape_in_the_coordinates_of_a_map_keeps_its_place(capsys, kind):
    mesh = trimesh.creation.icosphere(3)
    mesh.apply_translation(FAR)
    lines = [f"v {x!r} {y!r} {z!r}" for x, y, z in mesh.vertices.tolist()]
    lines += [f"f {a} {b} {c}" for a, b, c in (mesh.faces + 1).tolist()]
    Path("map.obj").write_text("\n".join(lines))
    words = ["--format", kind, "--mc-resolution", 48]
    assert fit(capsys, "map.obj", "run", *words, preset=LEARN)[0] == 0
    metrics = strict(Path("run/metrics.json"))
    np.testing.assert_allclose(metrics["input"]["bounds"], [FAR - 1, FAR + 1], atol=1e-8, rtol=0)
    found = trimesh.load_mesh(f"run/reconstruction.{kind}")
    np.testing.assert_allclose(found.bounds, [FAR - 1, FAR + 1], atol=0.15, rtol=0)
    assert len(np.unique(np.array(found.vertices)[:, 1])) > 100
    assert list(Path("run").glob("reconstruction.*")) == [Path(f"run/reconstruction.{kind}")]
    if kind == "ply":  # against itself, and against one that is a tenth of it beside
        same = evaluate_run(Path("run"), "map.obj")
        assert same.chamfer_l1 == metrics["chamfer_l1"]
        moved = [f"v {x + 0.2!r} {y!r} {z!r}" for x, y, z in mesh.vertices.tolist()]
        Path("beside.obj").write_text("\n".join(moved + lines[len(moved) :]))
        other = evaluate_run(Path("run"), "beside.obj")
        assert other.chamfer_l1 > metrics["chamfer_l1"] + 0.02
        assert 0.6 < other.iou < metrics["iou"]


def test_a_run_is_replaced_by_one_of_another_format(capsys):
    assert fit(capsys, "ball.ply", "run")[0] == 0
    code, _, err = fit(
        capsys, "ball.ply", "run", "--format", "glb", "--overwrite", "--require-mesh"
    )
    assert code == 0, err
    assert [path.name for path in Path("run").glob("reconstruction.*")] == ["reconstruction.glb"]
    assert "reconstruction.glb" in err


def test_walls_within_are_out_of_metrics_and_said(capsys):
    balls = [trimesh.creation.icosphere(2) for _ in range(2)]
    balls[1].apply_translation([1, 0, 0])
    Path("two.ply").write_bytes(trimesh.util.concatenate(balls).export(file_type="ply"))
    code, _, err = fit(capsys, "two.ply", "run", "--require-watertight")
    assert code == 0, err
    assert "'two.ply': bodies united that overlap or touch, and the walls within" in err
    given = strict(Path("run/metrics.json"))["input"]
    assert given["walls_removed"] == pytest.approx(0.25, abs=0.01)
    assert (given["walls_left"], given["watertight"]) == (0, True)


def test_walls_that_stay_are_said_and_not_compared(capsys):
    """A ball with a hole, and one that reaches into it: manifold3d unites closed ones only."""
    opened = trimesh.creation.icosphere(3)
    opened.update_faces(opened.triangles_center[:, 0] > -0.95)
    other = trimesh.creation.icosphere(3)
    other.apply_translation([1, 0, 0])
    Path("two.ply").write_bytes(trimesh.util.concatenate([opened, other]).export(file_type="ply"))
    code, _, err = fit(capsys, "two.ply", "run", "--set", "sdf.surface_samples=1000")
    assert code == 0, err
    metrics = strict(Path("run/metrics.json"))
    assert metrics["input"]["walls_left"] == pytest.approx(0.25, abs=0.05)
    assert "of the surface has the inside on both sides or on neither; distances count" in err
    subject = read_input("sdf", "two.ply", api.Run(Path("run")).config, torch.device("cpu"))
    mesh = surface.extract(sdf_subject.true_distance(subject._distance), 64)
    perfect = subject._surface_quality(mesh)
    noise = np.sqrt(18 * 0.81 / 1000) / 2
    assert perfect["chamfer_l1"] < 1.5 * noise
    monkey = dataclasses.replace(subject, walls_left=0.0)
    assert monkey._surface_quality(mesh)["chamfer_l1"] > 1.5 * perfect["chamfer_l1"]


def test_a_shape_of_which_nothing_is_the_boundary_has_no_distances(capsys, monkeypatch):
    monkeypatch.setattr(sdf_subject, "share_within", lambda _: 1.0)

    def nothing(*_):
        raise ValueError("nothing bounds anything")

    monkeypatch.setattr(sdf_subject, "sample_boundary", nothing)
    assert fit(capsys, "ball.ply", "run")[0] == 0
    metrics = strict(Path("run/metrics.json"))
    assert (metrics["chamfer_l1"], metrics["surface_reason"]) == (None, "nothing bounds anything")


def test_what_is_thinner_than_the_grid_is_said_before_the_fit(capsys):
    Path("thin.ply").write_bytes(trimesh.creation.box([2, 1, 0.002]).export(file_type="ply"))
    code, _, err = fit(capsys, "thin.ply", "run")
    assert code == 0
    assert "'thin.ply'" in err
    assert "0.002 thick, that are thinner than a step of the reconstruction's grid" in err
    assert "need 1926 points along each edge" in err.split("training is over")[0]
    assert "thinner" not in fit(capsys, "ball.ply", "other")[2]


def test_a_sliver_and_a_crack_are_closed_where_a_closed_mesh_is_required(capsys):
    mesh = trimesh.creation.box([2, 1, 1])
    corners = np.array(mesh.triangles).reshape(-1, 3)
    corners += np.random.default_rng(0).uniform(-1e-6, 1e-6, corners.shape)
    torn = trimesh.Trimesh(corners, np.arange(36).reshape(-1, 3), process=False)
    lines = [f"v {x!r} {y!r} {z!r}" for x, y, z in torn.vertices.tolist()]
    lines += [f"f {a} {b} {c}" for a, b, c in (torn.faces + 1).tolist()]
    Path("torn.obj").write_text("\n".join([*lines, "v 1 0 0", "f 37 1 37"]))
    assert fit(capsys, "torn.obj", "run", "--require-watertight")[0] == 3
    code, _, err = fit(capsys, "torn.obj", "run", "--require-watertight", "--weld", "1e-5")
    assert code == 0, err
    assert "28 vertices welded to others" in err
    code, _, err = fit(capsys, "torn.obj", "r", "--weld", "-1")
    assert (code, "--weld: must be greater than or equal to 0" in err) == (2, True)
    code, _, err = fit(capsys, "torn.obj", "r", "--weld", "5")
    assert (code, len(err.splitlines())) == (3, 1)
    assert "sdf.weld = 5 would weld half of its edges away" in err


@pytest.mark.parametrize(
    "value",
    [-0.3, *(pytest.param(value, marks=pytest.mark.slow) for value in (0.3, float("nan")))],
)
def test_a_field_without_a_surface_is_told_and_not_faked(capsys, monkeypatch, value):
    everywhere(monkeypatch, value)
    code, out, err = fit(capsys, "ball.ply", "run")
    assert (code, out) == (0, "run\n"), err
    metrics = SdfMetrics.model_validate(strict(Path("run/metrics.json")))
    assert metrics.status == "complete"
    assert metrics.chamfer_l1 is metrics.f_score is metrics.normal_consistency is None
    assert "no zero level" in metrics.surface_reason
    share = np.pi / 6 * 0.9**3  # of the ball in the box
    assert metrics.iou == pytest.approx(share if value == -0.3 else 0, abs=0.02)
    assert not Path("run/reconstruction.ply").exists()
    assert Path("run/preview.png").exists()
    code, out, _ = nint(capsys, "eval", "run")
    assert code == 0
    assert "no zero level" in out
    code, _, err = fit(capsys, "ball.ply", "run", "--overwrite", "--require-mesh")
    assert code == 5
    assert "no surface, so no mesh was written" in err.splitlines()[-1]
    assert strict(Path("run/metrics.json"))["exit_code"] == 5
    assert "Traceback" not in err


def test_a_fit_with_a_surface_has_the_mesh_that_is_required(capsys):
    assert fit(capsys, "ball.ply", "run", "--require-mesh")[0] == 0


def test_an_old_mesh_is_gone_when_the_new_fit_has_none(capsys, monkeypatch):
    assert fit(capsys, "ball.ply", "run")[0] == 0
    assert Path("run/reconstruction.ply").exists()
    everywhere(monkeypatch, 0.3)
    assert fit(capsys, "ball.ply", "run", "--overwrite")[0] == 0
    assert not Path("run/reconstruction.ply").exists()


def test_holes_are_noted_or_refused(capsys, bowl):
    code, _, err = fit(capsys, bowl, "run")
    assert code == 0
    assert "not watertight (1 hole)" in err
    metrics = strict(Path("run/metrics.json"))
    assert (metrics["input"]["watertight"], metrics["input"]["holes"]) == (False, 1)
    assert any("1 hole" in line for line in metrics["input"]["conversions"])
    code, out, err = fit(capsys, bowl, "refused", "--require-watertight")
    assert (code, out) == (3, "")
    assert "it is not watertight (1 hole)" in err
    assert not Path("refused").exists()
    code = fit(capsys, bowl, "r", "--allow-holes", "--set", "sdf.require_watertight=true")[0]
    assert code == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--set", "stop.target_psnr_db=30"], "target_psnr_db"),
        (["--set", "stop.target_si_snr_db=30"], "target_si_snr_db"),
        (["--target-iou", "1.5"], "--target-iou: must be less than or equal to 1"),
        (["--require-target"], "--target-iou"),
        (["--target-psnr", "30"], "No such option: --target-psnr"),
        (["--format", "dae"], "--format"),
        (["--mc-resolution", "7"], "--mc-resolution: must be greater than or equal to 8"),
        (["--set", "sdf.preview_size=15"], "sdf.preview_size"),
        (["--set", "sdf.fine_share=0.9", "--set", "sdf.coarse_share=0.2"], "share"),
        (["--sampler", "soft_mining"], "choose another sampler"),
        (["--sampler", "evos", "--set", "sdf.resample=5"], "evos holds on to points"),
        (["--set", "sdf.resample=5", "--set", "nint.interval=dense2"], "nint holds on to points"),
    ],
)
def test_a_bad_request_is_one_line(capsys, words, said):
    code, out, err = fit(capsys, "ball.ply", "run", *words)
    assert (code, out) == (2, ""), err
    assert said in err
    assert len(err.splitlines()) == 1
    assert not Path("run").exists()


def test_a_target_of_another_kind_of_signal_is_refused_for_pictures(capsys):
    words = ["fit", "image", "x.png", "--set", "stop.target_iou=0.5"]
    assert nint(capsys, *words)[0] == 2


def test_a_target_stops_a_run_and_can_be_required(capsys):
    words = ["--target-iou", "0.6", "--require-target"]
    assert fit(capsys, "ball.ply", "hit", *words, preset=LEARN)[0] == 0
    metrics = strict(Path("hit/metrics.json"))
    assert (metrics["stop_reason"], metrics["target_reached"]) == ("target", True)
    assert metrics["steps"] < 120
    assert fit(capsys, "ball.ply", "miss", "--target-iou", "0.999")[0] == 0
    assert strict(Path("miss/metrics.json"))["target_reached"] is False
    words[1] = "0.999"
    code, _, err = fit(capsys, "ball.ply", "miss", *words, "--overwrite")
    assert code == 7
    assert "the target was missed" in err.splitlines()[-1]


def test_what_only_the_coarse_grid_says_ends_no_run(capsys, monkeypatch):
    monkeypatch.setattr(sdf_subject.SdfSubject, "confirmed", lambda *_: {"iou": 0.5})
    assert fit(capsys, "ball.ply", "run", "--target-iou", "0.6", preset=LEARN)[0] == 0
    metrics = strict(Path("run/metrics.json"))
    assert (metrics["stop_reason"], metrics["steps"]) == ("steps", 120)


def pools(run, other):
    """What can have become of a pool while its run was stopped."""
    data = Path(run, "pool.safetensors").read_bytes()
    yield "kept", data
    yield "gone", None
    yield "damaged", data[:-4] + b"oops"
    yield "another", Path(other, "pool.safetensors").read_bytes()


@pytest.mark.parametrize(
    "words",
    [
        pytest.param([], id="fixed", marks=pytest.mark.slow),
        pytest.param(["--set", "sdf.resample=7"], id="redrawn"),
    ],
)
def test_resumed_equals_uninterrupted_whatever_became_of_the_pool(capsys, monkeypatch, words):
    fit(capsys, "ball.ply", "through", *words)
    with monkeypatch.context() as patch:
        stopping_at(patch, 14)
        assert fit(capsys, "ball.ply", "stopped", *words)[0] == 143
        assert fit(capsys, "ball.ply", "other", "--seed", 5)[0] == 143
    drawn = []
    original = sdf_subject.draw_pool
    monkeypatch.setattr(
        sdf_subject, "draw_pool", lambda *words: drawn.append(words[2:]) or original(*words)
    )
    for pool, data in pools("through", "other"):
        run = Path(pool)
        shutil.copytree("stopped", run)
        assert (run / "pool.safetensors").read_bytes() == next(pools("through", "other"))[1]
        if data is None:
            (run / "pool.safetensors").unlink()
        else:
            (run / "pool.safetensors").write_bytes(data)
        drawn.clear()
        code, _, err = nint(capsys, "resume", run)
        assert code == 0, err
        assert drawn.count(()) == (pool != "kept")
        for name in (
            LAST,
            "reconstruction.ply",
            "preview.png",
            "selection.png",
            "pool.safetensors",
        ):
            assert (run / name).read_bytes() == Path("through", name).read_bytes(), (pool, name)
        ours, theirs = (strict(Path(each, "metrics.json")) for each in (run, "through"))
        for name in ("iou", "sdf_error", "chamfer_l1", "normal_consistency"):
            assert ours[name] == theirs[name], (pool, name)
        assert ours["input"]["pool_sha256"] == theirs["input"]["pool_sha256"]


@pytest.mark.parametrize("sampler", ["full", "egra", "expansive", "evos", "int", "nint_released"])
def test_samplers_fit(capsys, sampler):
    code, _, err = fit(capsys, "ball.ply", "run", "--sampler", sampler)
    assert code == 0, err
    assert strict(Path("run/metrics.json"))["iou"] is not None


def test_the_panels_of_a_redrawn_pool_show_the_points_of_their_steps(capsys, monkeypatch):
    shown = []
    monkeypatch.setattr(
        "nint_cli.modalities.sdf.subject.selection_picture",
        lambda *words, **_: shown.append(words) or b"png",
    )
    assert fit(capsys, "ball.ply", "run", "--set", "sdf.resample=7")[0] == 0
    [(coords, selections, steps)] = shown
    assert list(selections) == ["first", "last"]
    assert (len(coords), steps) == (2 * 4096, {"first": 1, "last": 30})
    assert selections["first"].indices.max() < 4096 <= selections["last"].indices.min()
    assert not np.isin(coords[:4096, 0], coords[4096:, 0]).any()


def test_many_inputs_in_jobs_of_which_one_is_bad(capsys, brick, bowl):
    Path("bad.ply").write_text("no mesh")
    words = ["fit", "sdf", brick, "bad.ply", bowl, "-o", "out", "--jobs", 2, *FAST]
    code, out, err = nint(capsys, *words)
    assert code == 8, err
    assert out.splitlines() == [str(Path("out/brick")), str(Path("out/bowl"))]
    document = strict(Path("out/batch.json"))
    assert [item["exit_code"] for item in document["items"]] == [0, 3, 0]
    assert strict(Path("out/bowl/metrics.json"))["input"]["holes"] == 1


def test_shapes_from_python(capsys):
    settings = {"sdf.mc_resolution": 24, "steps": 12}
    run = api.fit("ball.ply", modality="sdf", preset="smoke", settings=settings, output="run")
    assert isinstance(run.metrics, SdfMetrics)
    assert run.metrics.steps == 12
    vertices, faces = run.reconstruction()
    written = trimesh.load_mesh("run/reconstruction.ply", process=False)
    np.testing.assert_array_equal(faces, written.faces)
    np.testing.assert_allclose(vertices, written.vertices, atol=1e-6)
    with torch.no_grad():
        assert run.field(torch.zeros(2, 3)).shape == (2, 1)


def test_a_run_without_a_surface_has_no_reconstruction(capsys, monkeypatch):
    run = api.fit("ball.ply", modality="sdf", preset="smoke", output="run")
    monkeypatch.setattr(surface, "extract", lambda *_: None)
    assert run.reconstruction() is None


def test_half_the_range_is_the_same_shape(capsys):
    runs = {}
    for half_range in (1.0, 0.5):
        words = ["--set", f"sdf.half_range={half_range}", "--mc-resolution", 40]
        assert fit(capsys, "ball.ply", f"run-{half_range}", *words, preset=LEARN)[0] == 0
        runs[half_range] = strict(Path(f"run-{half_range}/metrics.json"))
    for metrics in runs.values():
        assert metrics["iou"] > 0.9
    assert runs[1.0]["input"]["pool_sha256"] == runs[0.5]["input"]["pool_sha256"]
    bounds = [
        trimesh.load_mesh(f"run-{half_range}/reconstruction.ply", process=False).bounds
        for half_range in runs
    ]
    np.testing.assert_allclose(*bounds, atol=0.15)


def test_a_mesh_of_a_thousand_faces_with_textures(capsys):
    mesh = trimesh.creation.icosphere(3)
    code, _, err = fit(capsys, textured(mesh, "m.obj"), "run")
    assert code == 0, err
    given = strict(Path("run/metrics.json"))["input"]
    assert (given["watertight"], given["faces"]) == (True, 1280)
