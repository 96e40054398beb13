"""Stopping, going on, and what is on disk in between."""

import json
import signal
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from PIL import Image

from nint_cli import cli
from nint_cli.config.schema import SAMPLER_NAMES
from nint_cli.runs import checkpoint, observer
from nint_cli.runs.fit import Fit
from tests.cli.test_cli import nint, strict
from tests.conftest import smooth_pixels

LAST = "checkpoints/step-0000000030.safetensors"


def stopping_at(monkeypatch, step):
    """Let a signal seem to arrive at a step."""
    original = observer.RunObserver.after_step

    def after_step(self, trainer, done):
        reason = original(self, trainer, done)
        if done.number == step:
            self.signal = signal.SIGTERM
            return "signal"
        return reason

    monkeypatch.setattr(observer.RunObserver, "after_step", after_step)


# Stopping


def test_a_time_budget_stops_a_run_and_counts_training_only(capsys, smoke, tmp_path):
    path = tmp_path / "run"
    code, _, _ = nint(capsys, *smoke, "--steps", 10**6, "--time-budget", "0.3s", "-o", path)
    metrics = strict(path / "metrics.json")
    assert (code, metrics["status"], metrics["stop_reason"]) == (0, "complete", "time_budget")
    assert 0.3 <= metrics["train_s"] < 3
    assert metrics["steps"] < 10**6
    code, _, err = nint(capsys, "resume", path)
    assert (code, "nothing to do" in err) == (0, True)
    code, _, _ = nint(capsys, "resume", path, "--time-budget", "0.5s")
    again = strict(path / "metrics.json")
    assert code == 0
    assert again["steps"] > metrics["steps"]
    assert again["train_s"] >= 0.5


def test_a_target_stops_a_run_and_can_be_required(capsys, smoke, tmp_path):
    path = tmp_path / "hit"
    target = ["--target-psnr", 9, "--require-target"]
    assert nint(capsys, *smoke, *target, "-o", path)[0] == 0
    metrics = strict(path / "metrics.json")
    assert (metrics["stop_reason"], metrics["target_reached"]) == ("target", True)
    assert metrics["steps"] < 30
    assert metrics["psnr_db"] >= 9
    path = tmp_path / "miss"
    target[1] = 99
    code, out, err = nint(capsys, *smoke, *target, "-o", path)
    metrics = strict(path / "metrics.json")
    assert (code, metrics["exit_code"], metrics["target_reached"]) == (7, 7, False)
    assert "the target was missed" in err.splitlines()[-1]
    assert out == f"{path}\n"
    assert nint(capsys, *smoke, "--require-target")[0] == 2


def test_a_required_target_is_missed_by_a_run_that_is_kept(capsys, smoke, tmp_path):
    path = tmp_path / "run"
    words = [*smoke, "--target-psnr", 99, "--skip-existing", "-o", path]
    assert nint(capsys, *words, "--require-target")[0] == 7
    before = (path / "metrics.json").stat().st_mtime_ns
    code, out, err = nint(capsys, *words, "--require-target")
    assert (code, out) == (7, f"{path}\n")
    assert "is complete; kept" in err
    assert "the target was missed by the run in" in err.splitlines()[-1]
    assert (path / "metrics.json").stat().st_mtime_ns == before
    assert nint(capsys, *words)[0] == 0


def test_a_run_that_cannot_be_written_can_be_kept(capsys, smoke, tmp_path, monkeypatch):
    path = tmp_path / "run"
    nint(capsys, *smoke, "-o", path)
    monkeypatch.setattr(Path, "touch", lambda *_: (_ for _ in ()).throw(OSError(30, "read-only")))
    code, _, err = nint(capsys, *smoke, "-o", path, "--skip-existing")
    assert (code, "is complete; kept" in err) == (0, True)


@pytest.mark.parametrize("text", ["", "5 parsecs", "-3s", "1e3"])
def test_nonsense_is_no_duration(capsys, smoke, text):
    code, _, err = nint(capsys, *smoke, f"--time-budget={text}")
    assert (code, "expected a duration" in err) == (2, True)


def test_the_best_evaluation_is_remembered(capsys, smoke, tmp_path):
    path = tmp_path / "run"
    nint(capsys, *smoke, "-o", path)
    rows = [json.loads(line) for line in (path / "log.jsonl").read_text().splitlines()]
    best = max(rows, key=lambda row: row["psnr_db"])
    metrics = strict(path / "metrics.json")
    assert (metrics["best_psnr_db"], metrics["best_step"]) == (best["psnr_db"], best["step"])


def test_a_failed_run_says_so(capsys, smoke, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "nint_cli.training.trainer.Trainer.fit",
        lambda *_: (_ for _ in ()).throw(RuntimeError("oh\nno")),
    )
    path = tmp_path / "run"
    assert nint(capsys, *smoke, "-o", path)[0] == 1
    metrics = strict(path / "metrics.json")
    assert (metrics["status"], metrics["stop_reason"]) == ("failed", "error")
    assert (metrics["psnr_db"], metrics["quality_reason"]) == (None, "the run failed")
    monkeypatch.undo()
    code, _, err = nint(capsys, *smoke, "-o", path, "--skip-existing")
    assert (code, "the run in it is failed; fitted anew" in err) == (0, True)


# Going on


@pytest.fixture(scope="module")
def through(tmp_path_factory):
    """Gives, for a sampler, a run that nobody stopped, and the words that made it."""
    folder = tmp_path_factory.mktemp("through")
    picture = folder / "picture.png"
    Image.fromarray(smooth_pixels()).save(picture)

    @cache
    def fitted(sampler):
        words = ["fit", "image", str(picture), "--preset", "smoke", "--sampler", sampler]
        words += ["--progress", "never"]
        assert cli.run([*words, "-o", str(folder / sampler)]) == 0
        return folder / sampler, words

    return fitted


# All of one sampler, and two of each; test_trainer.py stops all of them at every step.
STOPS = [
    pytest.param(
        sampler,
        stop,
        marks=() if sampler == "nint" or stop in {9, 20} else pytest.mark.slow,
    )
    for sampler in SAMPLER_NAMES
    for stop in (1, 9, 10, 11, 19, 20, 21, 29)
]


@pytest.mark.parametrize(("sampler", "stop"), STOPS)
def test_resumed_equals_uninterrupted(capsys, tmp_path, monkeypatch, through, sampler, stop):
    whole, words = through(sampler)
    with monkeypatch.context() as patch:
        stopping_at(patch, stop)
        assert nint(capsys, *words, "-o", tmp_path / "stopped")[0] == 143
    metrics = strict(tmp_path / "stopped" / "metrics.json")
    assert (metrics["status"], metrics["exit_code"], metrics["steps"]) == (
        "interrupted",
        143,
        stop,
    )
    code, out, err = nint(capsys, "resume", tmp_path / "stopped")
    assert (code, out) == (0, f"{tmp_path / 'stopped'}\n")
    assert "Traceback" not in err
    for name in (LAST, "reconstruction.png", "selection.png", "config.yaml"):
        assert (whole / name).read_bytes() == (tmp_path / "stopped" / name).read_bytes(), name
    assert strict(tmp_path / "stopped" / "metrics.json")["status"] == "complete"
    rows = [json.loads(x) for x in (tmp_path / "stopped/log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == sorted({10, 20, 30, stop})
    for earlier, later in pairwise(rows):
        assert later["train_s"] > earlier["train_s"]
        assert later["passes"] > earlier["passes"]


@pytest.mark.parametrize(
    "settings",
    [
        ["nint.residual_every=20", "nint.alpha=20"],
        ["nint.residual_every=7", "nint.interval=dense2", "nint.every=9"],
    ],
)
def test_a_longer_run_equals_one_that_was_as_long_from_the_start(
    capsys, smoke, tmp_path, settings
):
    words = [*smoke, *(word for text in settings for word in ("--set", text))]
    nint(capsys, *words, "-o", tmp_path / "a")
    assert nint(capsys, "resume", tmp_path / "a", "--steps", 39)[0] == 0
    nint(capsys, *words, "--steps", 39, "-o", tmp_path / "b")
    name = "checkpoints/step-0000000039.safetensors"
    saved = [checkpoint.read(tmp_path / which / name).state.tensors for which in "ab"]
    assert all(tensor.equal(saved[1][key]) for key, tensor in saved[0].items())


def test_a_finished_run_is_left_alone_or_extended(capsys, smoke, tmp_path):
    nint(capsys, *smoke, "-o", tmp_path / "a")
    before = (tmp_path / "a/metrics.json").read_bytes()
    code, _, err = nint(capsys, "resume", tmp_path / "a")
    assert (code, "complete after 30 steps; nothing to do" in err) == (0, True)
    assert (tmp_path / "a/metrics.json").read_bytes() == before
    assert nint(capsys, "resume", tmp_path / "a", "--steps", 44)[0] == 0
    nint(capsys, *smoke, "--steps", 44, "-o", tmp_path / "b")
    name = "checkpoints/step-0000000044.safetensors"
    saved = [checkpoint.read(tmp_path / which / name) for which in "ab"]
    for key, tensor in saved[0].state.tensors.items():
        assert tensor.equal(saved[1].state.tensors[key]), key


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        (["optimiser.schedule=cosine"], "optimiser.schedule = cosine"),
        (["optimiser.warmup=0.1"], "optimiser.warmup = 0.1"),
        (["batch.schedule=linear"], "batch.schedule = linear"),
        (["nint.start=0.5"], "nint.start = 0.5"),
        (["nint.interval=incremental"], "nint.interval = incremental"),
        (["sampler=int", "int.interval=decremental"], "int.interval = decremental"),
        (["sampler=expansive", "expansive.loss=expanded"], "expansive.loss = expanded"),
        (["sampler=evos"], "sampler = evos"),
    ],
)
def test_steps_that_a_schedule_depends_on_cannot_change(capsys, smoke, tmp_path, settings, key):
    words = [word for text in settings for word in ("--set", text)]
    nint(capsys, *smoke, *words, "-o", tmp_path / "a")
    code, _, err = nint(capsys, "resume", tmp_path / "a", "--steps", 40)
    assert code == 2
    assert f"steps was 30 and is now 40, but {key} depends on it" in err
    assert nint(capsys, "resume", tmp_path / "a", "--steps", 30)[0] == 0
    code, _, err = nint(capsys, "resume", tmp_path / "a", "--steps", 4)
    assert (code, "30 steps are done" in err) == (2, True)


def test_an_edited_configuration_is_refused(capsys, smoke, tmp_path):
    path = tmp_path / "a"
    nint(capsys, *smoke, "-o", path)
    written = (path / "config.yaml").read_text()
    (path / "config.yaml").write_text(written.replace("lr: 0.001", "lr: 0.01"))
    code, _, err = nint(capsys, "resume", path, "--steps", 40)
    assert code == 2
    assert "optimiser.lr was 0.001 and is now 0.01" in err
    assert (path / "metrics.json").exists()


def test_an_edited_configuration_may_say_how_long_and_how_often(capsys, smoke, tmp_path):
    path = tmp_path / "a"
    nint(capsys, *smoke, "-o", path)
    written = (path / "config.yaml").read_text()
    changed = written.replace("every: 10", "every: 7").replace("steps: 30", "steps: 40")
    (path / "config.yaml").write_text(changed)
    assert nint(capsys, "resume", path)[0] == 0
    metrics = strict(path / "metrics.json")
    assert (metrics["steps"], metrics["config"]["evaluation"]["every"]) == (40, 7)
    assert metrics["origins"]["steps"].startswith(f"{path / 'config.yaml'}:")
    assert metrics["origins"]["optimiser.lr"].startswith("preset smoke:")
    assert nint(capsys, "resume", path, "--steps", 44, "--time-budget", "1h")[0] == 0
    metrics = strict(path / "metrics.json")
    assert (metrics["steps"], metrics["config"]["stop"]["time_budget_s"]) == (44, 3600)
    assert metrics["origins"]["steps"] == "--steps"
    assert metrics["origins"]["stop.time_budget_s"] == "--time-budget"


def test_a_target_that_was_reached_can_be_raised(capsys, smoke, tmp_path):
    path = tmp_path / "a"
    nint(capsys, *smoke, "--target-psnr", 9, "-o", path)
    assert strict(path / "metrics.json")["stop_reason"] == "target"
    assert "nothing to do" in nint(capsys, "resume", path)[2]
    written = (path / "config.yaml").read_text()
    (path / "config.yaml").write_text(written.replace("psnr_db: 9.0", "psnr_db: 99.0"))
    assert nint(capsys, "resume", path)[0] == 0
    metrics = strict(path / "metrics.json")
    assert (metrics["stop_reason"], metrics["target_reached"]) == ("steps", False)


@pytest.mark.parametrize("how", ["killed", "signal"])
def test_a_run_that_is_stopped_at_its_target_stays_there(
    capsys, smoke, tmp_path, monkeypatch, how
):
    words = [*smoke, "--target-psnr", 9]
    nint(capsys, *words, "-o", tmp_path / "through")
    after_step = observer.RunObserver.after_step

    def signalled(self, trainer, done):
        self._control.stop_signal = lambda: signal.SIGTERM if done.number == 20 else None
        return after_step(self, trainer, done)

    with monkeypatch.context() as patch:
        if how == "signal":
            patch.setattr(observer.RunObserver, "after_step", signalled)
            nint(capsys, *words, "-o", tmp_path / "stopped")
        else:
            patch.setattr(Fit, "_finish", lambda *_: (_ for _ in ()).throw(SystemExit))
            with pytest.raises(SystemExit):
                nint(capsys, *words, "-o", tmp_path / "stopped")
    assert nint(capsys, "resume", tmp_path / "stopped")[0] == 0
    through, stopped = (
        strict(tmp_path / name / "metrics.json") for name in ("through", "stopped")
    )
    assert through["stop_reason"] == "target"
    for key in ("stop_reason", "steps", "psnr_db", "best_psnr_db", "best_step", "passes"):
        assert stopped[key] == through[key], key
    name = "checkpoints/step-0000000020.safetensors"
    assert (tmp_path / "stopped" / name).read_bytes() == (tmp_path / "through" / name).read_bytes()


def test_a_continuation_that_was_killed_can_go_on(capsys, smoke, tmp_path, monkeypatch):
    path = tmp_path / "a"
    nint(capsys, *smoke, "-o", path)
    with monkeypatch.context() as patch:
        patch.setattr(
            "nint_cli.training.trainer.Trainer.fit", lambda *_: (_ for _ in ()).throw(SystemExit)
        )
        with pytest.raises(SystemExit):
            nint(capsys, "resume", path, "--steps", 44)
    assert nint(capsys, "resume", path)[0] == 0
    assert strict(path / "metrics.json")["steps"] == 44


def test_time_that_is_not_known_is_said(capsys, smoke, tmp_path):
    nint(capsys, *smoke, "-o", tmp_path / "a")
    (tmp_path / "a/log.jsonl").write_text('{"step": "x"}\n[]\n')
    code, _, err = nint(capsys, "resume", tmp_path / "a", "--steps", 40)
    assert code == 0
    assert "has no row for step 30: the time of some earlier steps is not counted" in err


def test_another_input_is_refused(capsys, smoke, picture, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        stopping_at(patch, 15)
        nint(capsys, *smoke, "-o", tmp_path / "a")
    data = picture.read_bytes()
    Image.new("RGB", (32, 24)).save(picture)
    code, _, err = nint(capsys, "resume", tmp_path / "a")
    assert (code, "has changed since the run; put the original back" in err) == (3, True)
    picture.write_bytes(data)
    assert nint(capsys, "resume", tmp_path / "a")[0] == 0


def test_another_torch_or_number_of_threads_is_said(capsys, smoke, tmp_path, monkeypatch):
    path, threads = tmp_path / "a", torch.get_num_threads()
    nint(capsys, *smoke, "-o", path)
    assert "may differ" not in nint(capsys, "resume", path, "--steps", 34)[2]
    with monkeypatch.context() as patch:
        torch.set_num_threads(threads + 1)
        patch.setattr(torch, "__version__", "9.9.0")
        assert "may differ" not in nint(capsys, "resume", path)[2]  # for nothing is left to do
        code, _, err = nint(capsys, "resume", path, "--steps", 37)
        assert code == 0
        notes = [line for line in err.splitlines() if "the bits may differ" in line]
        assert len(notes) == 1
    assert (
        f"began with torch {torch.__version__}, threads {threads} and goes on with "
        f"torch 9.9.0, threads {threads + 1}: the bits may differ"
    ) in notes[0]
    torch.set_num_threads(threads)
    saved = checkpoint.read(path / "checkpoints/step-0000000037.safetensors")
    assert saved.origin == checkpoint.Origin.here()  # that of the beginning, still
    with monkeypatch.context() as patch:
        patch.setattr("nint_cli.runs.checkpoint.__version__", "8.8")
        _, _, err = nint(capsys, "resume", path, "--steps", 38)
    assert "and goes on with nint 8.8: the bits may differ" in err


def test_nothing_to_resume(capsys, tmp_path):
    assert nint(capsys, "resume", tmp_path / "none")[0] == 3
    assert nint(capsys, "resume", tmp_path)[0] == 3


# Keeping what is there


def test_skip_existing_keeps_only_the_same_complete_run(capsys, smoke, tmp_path):
    path = tmp_path / "run"
    words = [*smoke, "-o", path, "--skip-existing"]
    assert nint(capsys, *words)[0] == 0
    before = (path / "metrics.json").read_bytes()
    code, out, err = nint(capsys, *words)
    assert (code, out, "is complete; kept" in err) == (0, f"{path}\n", True)
    assert nint(capsys, *words, "--set", "evaluation.every=3")[0] == 0
    assert (path / "metrics.json").read_bytes() == before
    code, _, err = nint(capsys, *words, "--seed", 4)
    assert (code, "holds a run of other settings (seed 0, not 4)" in err) == (4, True)
    assert (path / "metrics.json").read_bytes() == before
    (path / "metrics.json").unlink()
    code, _, err = nint(capsys, *words)
    assert (code, "no run in it that was finished; fitted anew" in err) == (0, True)
