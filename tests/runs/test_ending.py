"""The end of a run: cut off anywhere it is done again, to the same bits, and it is bounded."""

import json
import signal

import pytest
import torch

from nint_cli.config.layers import Resolved
from nint_cli.config.schema import RunConfig
from nint_cli.derivatives import analytic
from nint_cli.modalities.image import subject as image_subject
from nint_cli.modalities.table import modality
from nint_cli.runs import checkpoint, ending
from nint_cli.runs.control import Control
from nint_cli.runs.fit import Fit
from nint_cli.runs.folder import RunFolder
from nint_cli.runs.inputs import read_input
from nint_cli.runs.opening import newest
from nint_cli.training.trainer import Trainer
from tests.cli.test_cli import nint, strict

SMOKE = {
    "image": ["fit", "image", "sample:camera", "--set", "image.size=24"],
    "audio": ["fit", "audio", "sample:chirp", "--set", "audio.duration_s=0.05"],
    "sdf": ["fit", "sdf", "sample:gear", "--set", "sdf.points=300"],
}
ENDS = {"steps": [], "target": ["--require-target"], "diverged": []}
TARGET = {"image": "--target-psnr=1", "audio": "--target-si-snr=-90", "sdf": "--target-iou=1e-9"}
CLOCK = {
    *("train_s", "load_s", "prepare_s", "sampler_s", "update_s", "evaluation_s", "save_s"),
    *("other_s", "total_s", "memory"),
}


class Killed(BaseException):
    """Stands in for SIGKILL: nothing of nint's handles it."""


def words(kind, reason="steps"):
    found = [*SMOKE[kind], "--preset", "smoke", "--steps", "12", "--set", "evaluation.every=5"]
    found += ["--set", "checkpoint.every=5", "--progress", "never", *ENDS[reason]]
    return [*found, TARGET[kind]] if reason == "target" else found


def diverging(monkeypatch, step=7):
    """Let training find that it has diverged, after a step."""
    train = Trainer.fit

    def fit(self, observer):
        if self.step >= step:
            return "diverged"
        after, stop = (
            observer.after_step,
            lambda t, s: after(t, s) or ("diverged" if s.number == step else None),
        )
        observer.after_step = stop
        return train(self, observer)

    monkeypatch.setattr(Trainer, "fit", fit)


def killing(monkeypatch, kind, place):
    """Let the process die where the end does something."""

    def die(*_, **__):
        raise Killed

    target, name = (Fit, "_judged") if place == "metrics" else (modality(kind), place)
    monkeypatch.setattr(target, name, die)


def document(path):
    found = strict(path / "metrics.json")
    return {key: value for key, value in found.items() if key not in CLOCK}


def contents(path):
    found = {
        str(file.relative_to(path)): file.read_bytes()
        for file in sorted(path.rglob("*"))
        if file.is_file() and file.name not in {"metrics.json", "manifest.json", ".lock"}
    }
    rows = [json.loads(row) for row in found.pop("log.jsonl").splitlines()]
    for row in rows:
        row.pop("clock", None), row.pop("train_s", None)
    return found, rows


@pytest.mark.parametrize("place", ["evaluate_fully", "quality", "reconstruct", "metrics"])
@pytest.mark.parametrize("reason", ENDS)
@pytest.mark.parametrize("kind", SMOKE)
def test_an_end_that_is_cut_off_is_done_again(capsys, tmp_path, monkeypatch, kind, reason, place):
    """Of every modality, however the training ended, wherever the process was killed."""
    if (kind, place) not in {("image", "evaluate_fully"), ("image", "metrics")} and (
        reason != "steps"
    ):
        pytest.skip("as of a picture")
    through, killed = tmp_path / "through", tmp_path / "killed"
    if reason == "diverged":
        diverging(monkeypatch)
    code = {"steps": 0, "target": 0, "diverged": 5}[reason]
    assert nint(capsys, *words(kind, reason), "-o", through)[0] == code
    with monkeypatch.context() as patch:
        killing(patch, kind, place)
        with pytest.raises(Killed):
            nint(capsys, *words(kind, reason), "-o", killed)
    assert not (killed / "metrics.json").exists()
    last = document(through)["steps"]
    saved = checkpoint.read(killed / f"checkpoints/step-{last:010d}.safetensors")
    assert saved.ended is not None
    assert saved.ended.reason == reason
    assert nint(capsys, "eval", killed)[0] == 0
    found, _, err = nint(capsys, "resume", killed)
    assert (found, "training is over" in err) == (code, True), err
    assert contents(killed) == contents(through)
    assert document(killed) == document(through)


def test_a_timed_run_that_is_cut_off_ends_where_it_was(capsys, tmp_path, monkeypatch):
    """And not by its clock, of which the last part might be lost."""
    run = tmp_path / "run"
    timed = [*words("image"), "--steps", "1000000", "--time-budget", "0.3s"]
    with monkeypatch.context() as patch:
        killing(patch, "image", "evaluate_fully")
        with pytest.raises(Killed):
            nint(capsys, *timed, "-o", run)
    saved, _ = newest(RunFolder(run))
    assert saved.ended is not None
    assert saved.ended.reason == "time_budget"
    assert nint(capsys, "resume", run)[0] == 0
    metrics = strict(run / "metrics.json")
    assert metrics["steps"] == saved.state.numbers["step"]
    assert metrics["stop_reason"] == "time_budget"
    assert metrics["train_s"] >= 0.3
    rows = [json.loads(row) for row in (run / "log.jsonl").read_text().splitlines()]
    assert all("event" not in row for row in rows)
    assert rows[-1]["loss"] is not None


def test_a_run_that_was_cut_off_can_become_longer(capsys, tmp_path, monkeypatch):
    run, straight = tmp_path / "run", tmp_path / "straight"
    constant = ["--set", "optimiser.schedule=constant", "--set", "optimiser.warmup=0"]
    with monkeypatch.context() as patch:
        killing(patch, "image", "evaluate_fully")
        with pytest.raises(Killed):
            nint(capsys, *words("image"), *constant, "-o", run)
    code, _, err = nint(capsys, "resume", run, "--steps", 20)
    assert (code, "going on from step 12 of 20" in err) == (0, True), err
    nint(capsys, *words("image"), *constant, "--steps", 20, "-o", straight)
    name = "checkpoints/step-0000000020.safetensors"
    tensors = [checkpoint.read(each / name).state.tensors for each in (run, straight)]
    assert all(tensor.equal(tensors[1][key]) for key, tensor in tensors[0].items())
    rows = [json.loads(row) for row in (run / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [5, 10, 15, 20]


@pytest.mark.parametrize("kind", SMOKE)
def test_a_signal_stops_the_end_between_two_pieces(capsys, tmp_path, monkeypatch, kind):
    run, through, seen = tmp_path / "run", tmp_path / "through", []
    nint(capsys, *words(kind), "-o", through)

    def stopping(progress, demands=None):
        return Stopping(Control(stop_signal=lambda: seen and seen[0]))

    class Stopping:
        def __init__(self, control):
            self.control = control

        def __enter__(self):
            return self.control

        def __exit__(self, *_):
            return False

    piece = ending.Meter.__call__

    def later(self, units):
        seen.append(signal.SIGTERM)
        piece(self, units)

    with monkeypatch.context() as patch:
        patch.setattr("nint_cli.cli.fit.steered", stopping)
        patch.setattr(ending.Meter, "__call__", later)
        assert nint(capsys, *words(kind), "-o", run)[0] == 143
    metrics = strict(run / "metrics.json")
    assert (metrics["status"], metrics["stop_reason"]) == ("interrupted", "signal")
    assert "nint resume" in metrics["quality_reason"]
    assert metrics["final"] is None
    assert nint(capsys, "resume", run)[0] == 0
    assert contents(run) == contents(through)
    assert document(run) == document(through)


# How much is measured


@pytest.mark.parametrize(
    ("kind", "left_out", "files"),
    [
        ("image", ["ssim", "lpips", "flip", "reconstruction"], {"reconstruction.png"}),
        (
            "audio",
            [
                *("lsd_db", "stoi", "pesq", "clipped_samples"),
                *("reconstruction", "waveforms and spectra"),
            ],
            {"reconstruction.wav", "preview.png"},
        ),
        (
            "sdf",
            [
                *("chamfer_l1", "chamfer_squared", "f_score", "normal_consistency"),
                *("reconstruction", "both shapes"),
            ],
            {"preview.png"},
        ),
    ],
)
def test_a_sample_says_what_it_leaves_out_and_eval_does_the_rest(
    capsys, tmp_path, kind, left_out, files
):
    full, sample = tmp_path / "full", tmp_path / "sample"
    assert nint(capsys, *words(kind), "--final", "full", "-o", full)[0] == 0
    assert strict(full / "metrics.json")["final"] == {
        "measured": "full",
        "points": None,
        "left_out": [],
        "reason": None,
    }
    assert nint(capsys, *words(kind), "--final", "sample", "-o", sample)[0] == 0
    metrics = strict(sample / "metrics.json")
    final, figure = metrics["final"], modality(kind).modality.headline
    assert (final["measured"], final["left_out"]) == ("sample", left_out)
    assert final["points"] > 0
    assert "nint eval --reconstruct" in final["reason"]
    assert metrics[figure] == pytest.approx(strict(full / "metrics.json")[figure], abs=0.3)
    for name in left_out:
        if name in metrics:
            assert metrics[name] is None
    assert not files & {path.name for path in sample.iterdir()}
    code, out, err = nint(capsys, "eval", sample, "--reconstruct", "--json")
    assert code == 0, err
    measured = json.loads(out)
    whole = strict(full / "metrics.json")
    assert measured == {key: whole[key] for key in measured}
    assert contents(sample)[0].keys() == contents(full)[0].keys()
    for name in files & {path.name for path in full.iterdir()}:
        assert (sample / name).read_bytes() == (full / name).read_bytes()


def test_reconstructing_is_of_the_run_s_own_input(capsys, tmp_path):
    nint(capsys, *words("image"), "-o", tmp_path / "run")
    code, _, err = nint(
        capsys, "eval", tmp_path / "run", "--reconstruct", "--against", "sample:camera"
    )
    assert (code, "leave out --against" in err) == (2, True)


def trained(passes, points, *, train_s=0.0, total_s=0.0, step=1):
    """A trainer as far as its cost goes."""

    class Clock:
        pass

    class Signal:
        device = torch.device("cpu")

        def __len__(self):
            return points

    class Passes:
        total = passes

    class Costly:
        pass

    found = Costly()
    found.clock, found.signal, found.passes, found.step = Clock(), Signal(), Passes(), step
    found.clock.train_s, found.clock.total_s = train_s, total_s
    return found


def test_the_end_may_take_what_training_took():
    config = RunConfig()
    assert ending.units_allowed(trained(3, 1 << 20), config, 1 << 20) == 3 << 20
    assert ending.units_allowed(trained(1e-6, 1 << 20), config, 1 << 20) == ending.SMALL_UNITS
    timed = RunConfig.model_validate({"stop": {"time_budget_s": 20}})
    # 30 s in all, of which 22 are over and 2 are left for the process: 6 of the 20 of training.
    spent = trained(10, 1 << 20, train_s=20, total_s=22)
    assert ending.units_allowed(spent, timed, 2 << 20) == 3 << 20
    # What people look at may take what training took, and nothing does where that is too little.
    assert ending.units_allowed(spent, timed, 10 << 20) == 10 << 20
    assert ending.units_allowed(spent, timed, (10 << 20) + 1) == 3 << 20
    late = trained(10, 1 << 20, train_s=20, total_s=40)
    assert ending.units_allowed(late, timed, 0) == ending.SMALL_UNITS


@pytest.mark.parametrize(
    ("evaluation", "essential", "share"),
    [
        ({}, 0, 0.2),
        ({}, 2 << 20, 0.2),
        ({}, 3 << 20, 0.1),  # 10 s beyond the budget, without 2 for the process and 6 for the end
        ({}, 5 << 20, 0.0),
        ({"final": "full"}, 5 << 20, 0.2),
        ({"share": None}, 5 << 20, None),
    ],
)
def test_evaluations_leave_room_for_the_end_of_a_budget(evaluation, essential, share):
    timed = {"stop": {"time_budget_s": 20}, "evaluation": evaluation}
    spent = trained(10, 1 << 20, train_s=20, total_s=22)
    found = ending.evaluations_share(spent, RunConfig.model_validate(timed), essential)
    assert found == (None if share is None else pytest.approx(share))
    steps = RunConfig.model_validate({"evaluation": evaluation})
    assert ending.evaluations_share(spent, steps, essential) == steps.evaluation.share


@pytest.mark.parametrize(("final", "units"), [("auto", 17), ("full", None), ("sample", 0)])
def test_units_of_each_way_to_end(final, units):
    config = RunConfig.model_validate({"evaluation": {"final": final}})
    assert ending.units_of(config, 17) == units


@pytest.mark.slow
@pytest.mark.parametrize("kind", SMOKE)
def test_what_is_measured_in_the_end_fits_into_what_it_may_take(kind):
    """As the subject itself counts it, piece by piece; in full it comes near to `cost`."""
    config = RunConfig.model_validate({
        "image": {"size": 200},
        "metrics": {"flip": False},
        "evaluation": {"points": 1 << 14},
        "sdf": {"points": 2000, "mc_resolution": 64, "iou_resolution": 64, "preview_size": 64,
                "surface_samples": 3000},
    })  # fmt: skip
    subject = read_input(kind, SMOKE[kind][2], config, torch.device("cpu"))
    field = Fit(kind, SMOKE[kind][2], Resolved(config, {})).trainer.field
    done = []
    cost = subject.cost_within(None)
    for units in (None, cost, cost - 1, subject.essential, subject.essential - 1, 1 << 15):
        pieces = []
        found = subject.evaluate_fully(field, units=units, piece=pieces.append)
        subject.quality(field, found, pieces.append)
        subject.reconstruct(field, found, pieces.append)
        done.append(sum(pieces))
        everything = units in {None, cost}
        assert everything == (not found.left_out and not found.sampled)
        # The reconstruction is the last thing that is left out.
        lost = units is not None and units < subject.essential
        assert lost == ("reconstruction" in found.left_out)
        assert 0.4 <= sum(pieces) / subject.cost_within(units) <= 2
        assert subject.cost_within(units) <= max(1 << 16, cost if units is None else units)
    assert done[0] == done[1]
    assert done[-1] < done[0]


# Evaluations while a run goes on


@pytest.mark.parametrize("kind", SMOKE)
def test_evaluations_see_no_more_than_their_units(kind, monkeypatch):
    config = RunConfig.model_validate({"sdf": {"points": 5000}, "image": {"size": 200}})
    subject = read_input(kind, SMOKE[kind][2], config, torch.device("cpu"))
    field = Fit(kind, SMOKE[kind][2], Resolved(config, {})).trainer.field
    seen, forward = [], type(field).forward
    monkeypatch.setattr(
        type(field), "forward", lambda self, x: seen.append(len(x)) or forward(self, x)
    )
    predict = analytic.ByHand.predict
    monkeypatch.setattr(
        analytic.ByHand, "predict", lambda self, x: seen.append(len(x)) or predict(self, x)
    )
    everything = subject.evaluate(field)
    all_points = sum(seen)
    seen.clear()
    some = subject.evaluate(field, 20_000)
    assert 4000 < sum(seen) <= 20_000 / 2 < all_points
    assert some.sampled
    assert not everything.sampled
    again = subject.evaluate(field, 20_000)
    assert again.figures == some.figures
    name = "iou" if kind == "sdf" else "psnr_db"
    assert some.figures[name] == pytest.approx(everything.figures[name], abs=0.5)
    seen.clear()
    assert subject.evaluate(field, 10**9).figures == everything.figures


def test_evaluations_keep_to_their_share_of_the_passes(capsys, tmp_path, monkeypatch):
    """Whatever there are of them, at checkpoints too; null asks for no bound."""
    monkeypatch.setattr(image_subject, "_LEAST_SAMPLE", 1)
    base = [*SMOKE["image"][:3], "--preset", "smoke", "--set", "image.size=100", "--steps", 30]
    base += ["--set", "evaluation.every=5", "--set", "checkpoint.every=3", "--progress", "never"]
    base += ["--set", "sampler=uniform", "--set", "batch.size=1000", "--final", "sample"]
    nint(capsys, *base, "-o", tmp_path / "some")
    rows = [json.loads(row) for row in (tmp_path / "some/log.jsonl").read_text().splitlines()]
    seen = [row["evaluated_points"] for row in rows[:-1]]
    points = 100 * 100
    assert len(seen) == 13
    assert sum(seen) * image_subject._EVALUATION_COST <= 0.2 * rows[-1]["passes"] * points
    assert sum(seen) > 0.05 * rows[-1]["passes"] * points
    nint(capsys, *base, "--set", "evaluation.share=null", "-o", tmp_path / "all")
    rows = [json.loads(row) for row in (tmp_path / "all/log.jsonl").read_text().splitlines()]
    assert all("evaluated_points" not in row for row in rows[:-1])
