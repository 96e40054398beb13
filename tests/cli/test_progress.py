"""How a fit is shown: what is left counts evaluations, and the end has a bar of its own."""

import io

import pytest

from nint_cli.cli import progress
from nint_cli.runs.control import Control, Silent
from nint_cli.runs.observer import RunObserver
from nint_cli.runs.request import fit_input
from tests.config.test_every_setting import resolved


class Time:
    """A clock that stands still unless it is told to go on."""

    def __init__(self):
        self.now = 0.0

    def monotonic(self):
        return self.now


class Watching(Silent):
    """Notes what it is told."""

    def __init__(self):
        self.left, self.shares, self.seconds, self.closed = [], [], [], 0

    def step(self, number, loss, total_steps, left_s):
        self.left.append((number, left_s))

    def begin_end(self, seconds):
        self.seconds.append(seconds)

    def end(self, share):
        self.shares.append(share)

    def finish_end(self):
        self.closed += 1


def test_what_is_left_counts_the_evaluations_that_are_to_come(tmp_path, monkeypatch):
    """Steps of 1 s and evaluations of 10 s, at every fifth of 20 steps."""
    clock, shown = Time(), Watching()
    monkeypatch.setattr("nint_cli.runs.observer.time", clock)
    evaluate, after = RunObserver.evaluate, RunObserver.after_step

    def slow(self, trainer):
        monkeypatch.setattr(self._subject, "evaluate", wait(self._subject.evaluate))
        return evaluate(self, trainer)

    def wait(call):
        def waiting(*arguments):
            clock.now += 10
            return call(*arguments)

        return call if getattr(call, "__name__", "") == "waiting" else waiting

    def step(self, trainer, done):
        clock.now += 1
        return after(self, trainer, done)

    monkeypatch.setattr(RunObserver, "evaluate", slow)
    monkeypatch.setattr(RunObserver, "after_step", step)
    found = resolved({"steps": 20, "evaluation.every": 5, "checkpoint.every": None}, "image")
    fit_input("image", "sample:camera", found, tmp_path / "run", control=Control(shown))
    left = dict(shown.left)
    assert left[6] == pytest.approx(14 + 2 * 10, abs=3)
    assert left[11] == pytest.approx(9 + 10, abs=3)
    assert left[19] == pytest.approx(1, abs=3)
    assert left[20] == 0


def test_the_end_is_shown_from_its_beginning_to_its_end(tmp_path):
    shown = Watching()
    found = resolved({"image.size": 24}, "image")
    fit_input("image", "sample:camera", found, tmp_path / "run", control=Control(shown))
    assert len(shown.seconds) == shown.closed == 1
    assert shown.seconds[0] > 0
    assert shown.shares == sorted(shown.shares)
    assert 0.9 < shown.shares[-1] <= 1


def test_lines_tell_what_is_left(monkeypatch, capsys):
    clock = Time()
    monkeypatch.setattr(progress, "time", clock)
    lines = progress.Lines()
    lines.start(100, 0)
    clock.now = 5.0
    lines.step(10, 0.5, 100, 55.0)
    lines.step(20, 0.5, 100, None)
    lines.begin_end(42.4)
    clock.now = 10.0
    lines.end(0.2)
    clock.now = 25.0
    lines.end(0.5)
    lines.finish_end()
    said = capsys.readouterr().err
    assert "step 10/100, loss 5.00e-01, 2.0 steps/s, 55 s left" in said
    assert "step 20/100, loss 5.00e-01, 4.0 steps/s\n" in said
    assert "measuring and drawing take about 42 s" in said
    assert "measured and drawn 50%, 20 s left" in said
    assert "20%" not in said


def test_the_bar_draws_what_is_left(monkeypatch):
    drawn = io.StringIO()
    monkeypatch.setattr(progress.console, "Stderr", lambda: drawn)
    bar = progress.Bar()
    bar.start(100, 0)
    bar.step(10, 0.5, 100, 600.0)
    bar._bar.refresh()
    assert "<10:00" in drawn.getvalue()
    bar.finish()
    bar.begin_end(120.0)
    assert "measuring" in drawn.getvalue()
    assert "<02:00" in drawn.getvalue()
    bar.end(0.5)
    bar._end.refresh()
    assert " 50%" in drawn.getvalue()
    bar.finish_end()
