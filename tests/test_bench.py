"""What the benchmark counts, keeps and concludes; it is run small in test_docs.py."""

import argparse
import importlib
import json
import sys
import threading
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from nint_cli import cli
from nint_cli.comparison.record import RunEntry
from nint_cli.fields.finer import Finer
from nint_cli.fields.siren import Siren
from tests.conftest import smooth_pixels, tiny_field

SCRIPTS = Path(__file__).parents[1] / "scripts"


@pytest.fixture
def script(monkeypatch):
    """Import a script by its name."""
    monkeypatch.syspath_prepend(SCRIPTS)
    return importlib.import_module


class Counted(float):
    """A number that counts how often one of its kind is multiplied."""

    multiplications = 0

    def __mul__(self, other):
        Counted.multiplications += 1
        return Counted(float(self) * float(other))

    def __add__(self, other):
        return Counted(float(self) + float(other))


def counted(rows, columns):
    return np.array([[Counted(1)] * columns for _ in range(rows)], dtype=object)


@pytest.mark.parametrize("rows", [1, 5])
def test_operations_are_those_of_products_done_number_by_number(script, rows):
    operations = script("rates")
    layers = operations.layer_sizes(tiny_field())
    assert layers == [(2, 7), (7, 7), (7, 3)]
    Counted.multiplications = 0
    inputs = [counted(rows, n) for n, _ in layers]
    for h, (n, m) in zip(inputs, layers, strict=True):
        assert (h @ counted(m, n).T).shape == (rows, m)
    assert operations.forward_operations(layers, rows) == 2 * Counted.multiplications
    for index, (h, (n, m)) in enumerate(zip(inputs, layers, strict=True)):
        delta = counted(rows, m)
        assert (delta.T @ h).shape == (m, n)
        if index:
            assert (delta @ counted(m, n)).shape == (rows, n)
    assert operations.step_operations(layers, rows) == 2 * Counted.multiplications


def test_the_paper_s_network_takes_what_is_said(script):
    operations = script("rates")
    layers = operations.layer_sizes(script("timing").siren())
    for count in (operations.forward_operations, operations.step_operations):
        assert f"{count(layers, 1):,}" in operations.__doc__.replace("\n", " ")


def test_a_step_is_compared_with_as_many_products_of_each_kind(script):
    rates = {"forward 8": 20.0, "by_input 8": 40.0, "by_weight 8": 30.0}
    found = script("rates").gemm_rates(rates | {"forward 16": 60.0, "by_weight 16": 10.0})
    assert found["best_gflops"] == {"forward": 60.0, "by_input": 40.0, "by_weight": 30.0}
    # A unit of each kind takes 1/60 + 1/40 + 1/30 s.
    assert found["step_gflops"] == pytest.approx(3 / (1 / 60 + 1 / 40 + 1 / 30))
    assert found["sweep_gflops"] == found["peak_gflops"] == 60.0
    share = script("rates").share
    step = share("step 8", 20.0, 3.0, found)
    assert step["share_of_gemm"] == pytest.approx(20 / 40)
    assert (step["seconds"], step["points"]) == (1.0, 8)
    assert share("sweep 8", 20.0, 3.0, found)["share_of_gemm"] == pytest.approx(1 / 3)


def test_products_have_the_shapes_of_a_layer_s(script):
    timing, rates = script("timing"), script("rates")
    generator = timing.torch.Generator().manual_seed(0)
    shapes = {kind: tuple(job().shape) for kind, job in rates.products(5, generator).items()}
    assert shapes == {"forward": (5, 256), "by_input": (5, 256), "by_weight": (256, 256)}
    often, count = rates.sustained(calls := [].clear, 1e-4)
    assert count >= 1
    assert calls() is often() is None


def test_a_trainer_pauses_after_its_steps_and_goes_on(script):
    rates, signal = script("rates"), script("timing").picture(1024)
    trainer, batch = rates.trainer(signal, 16)
    assert batch == 16
    for done in (3, 6):
        assert trainer.fit(rates.Pause(3)) == "paused"
        assert trainer.step == done
    assert trainer.passes.forward == pytest.approx(6 * 16 / 1024)


def run(method, picture, seconds, *, field="siren", given=100.0):
    cost = None if seconds is None else {"train_s": seconds, "passes": 2 * seconds, "step": 1.0}
    return {
        "field": field,
        "method": method,
        "picture": picture,
        "seed": 0,
        "status": "complete",
        "train_s": given,
        "peak_rss_bytes": 5,
        "to_db": {"30": cost},
    }


def test_a_median_counts_what_never_got_there_as_slowest(script):
    median = script("target_tables").median
    assert median([3.0, None, 1.0]) == 3.0
    assert median([None, None, 1.0]) is None
    assert median([None, 1.0]) is None
    assert median([]) is None


def test_a_speedup_is_of_pairs_and_says_where_it_is_a_bound(script):
    speedup = script("target_tables").speedup
    fast = [
        run("default-uniform", name, s) for name, s in zip("abc", (1.0, 2.0, 4.0), strict=True)
    ]
    slow = [run("paper-full", name, s) for name, s in zip("cab", (12.0, 10.0, 60.0), strict=True)]
    found = speedup(fast, slow, "30")
    assert found == {"paired": 10.0, "at_least": False, "of_medians": 6.0}  # of 10, 30, 3; 12 / 2
    never = [*slow[:2], run("paper-full", "b", None)]
    assert speedup(fast, never, "30") == {"paired": 10.0, "at_least": True, "of_medians": 6.0}
    missed = [*fast[:1], run("default-uniform", "b", None), run("default-uniform", "c", None)]
    assert speedup(missed, slow, "30")["paired"] is None
    assert speedup(fast, [], "30") is None


def test_the_tables_say_how_many_got_there(script):
    tables = script("target_tables")
    runs = [run("paper-full", name, s) for name, s in (("a", 40.0), ("b", 20.0))]
    runs += [run("default-uniform", name, s) for name, s in (("a", 2.0), ("b", None))]
    runs += [run("default-uniform", "a", 1.0, field="hashgrid")]
    summary = tables.target_summary(runs)
    assert [(row["reached"], row["runs"]) for row in summary] == [(2, 2), (1, 2), (1, 1)]
    assert summary[0]["median_train_s"] == 30.0
    assert summary[0]["median_passes"] == 60.0
    assert summary[1]["median_train_s"] is None
    assert summary[2]["speedup"]["siren paper-full"]["paired"] == 40.0
    assert summary[2]["speedup"]["hashgrid paper-full"] is None
    text = tables.targets_table({
        "pictures": ["a", "b"],
        "size": 8,
        "seeds": 1,
        "jobs": 1,
        "threads_of_each": [1],
        "evaluation_every": {"paper": 10, "default": 2},
        "cap_s": 9.0,
        "caps_s": {"paper-full": 100.0},
        "targets": [30.0],
        "summary": summary,
        "runs": runs,
    })
    assert "| siren | default-uniform | 1 of 2 | not reached in 100 s |" in text
    assert "| siren | paper-full | 40.0 | 20.0 |" in text
    assert "| siren | default-uniform | 2.0 | - |" in text


def options(**changed):
    given = {
        "pictures": ["sample:cat", "x/dog.png"],
        "seeds": 2,
        "fields": ["siren", "hashgrid"],
        "methods": ["paper-full", "default-nint"],
        "runs": Path("runs"),
        "size": 16,
        "device": "cpu",
        "every": None,
        "steps": None,
        "targets": [20.0, 30.0],
        "cap": 5.0,
        "caps": [],
    }
    return argparse.Namespace(**given | changed)


def test_methods_take_turns_within_a_picture_and_seed(script):
    fits = script("targets").plan(options())
    assert list(fits)[:5] == [
        ("siren", "paper-full", "sample-cat", 0),
        ("siren", "default-nint", "sample-cat", 0),
        ("hashgrid", "paper-full", "sample-cat", 0),
        ("hashgrid", "default-nint", "sample-cat", 0),
        ("siren", "paper-full", "dog", 0),
    ]
    assert list(fits)[8] == ("siren", "paper-full", "sample-cat", 1)
    settings = fits["hashgrid", "paper-full", "dog", 1].settings
    assert (settings["sampler"], settings["seed"], settings["steps"]) == ("full", 1, 5000)
    assert settings["stop"]["target_psnr_db"] == 30.0
    assert settings["evaluation"]["every"] == 10


def test_a_method_can_have_a_cap_of_its_own(script):
    targets = script("targets")
    fits = targets.plan(options(caps=[targets.method_cap("paper-full=7.5")]))
    caps = {key[1]: fit.cap_s for key, fit in fits.items()}
    assert caps == {"paper-full": 7.5, "default-nint": 5.0}
    for wrong in ("paper-half=7", "paper-full", "paper-full=soon"):
        with pytest.raises((argparse.ArgumentTypeError, ValueError)):
            targets.method_cap(wrong)


def test_two_pictures_of_one_name_are_refused(script):
    with pytest.raises(SystemExit, match="one name"):
        script("targets").plan(options(pictures=["a/x.png", "b/x.png"]))


def leave(fit, status, train_s, settings=None):
    fit.folder.mkdir(exist_ok=True, parents=True)
    (fit.folder / "config.yaml").write_text(yaml.safe_dump(settings or fit.settings))
    (fit.folder / "metrics.json").write_text(json.dumps({"status": status, "train_s": train_s}))


def test_what_came_to_its_end_is_not_repeated(script):
    fit = script("targets").plan(options())["siren", "default-nint", "dog", 0]
    assert not fit.finished()
    assert fit.command()[3] == "fit"
    for status in ("complete", "diverged"):
        leave(fit, status, 1.0)
        assert fit.finished()
    leave(fit, "interrupted", 5.0)
    assert fit.finished()
    leave(fit, "interrupted", 4.9)
    assert not fit.finished()
    assert fit.command()[3] == "resume"
    leave(fit, "complete", 1.0, fit.settings | {"steps": 3})
    assert not fit.finished()
    assert fit.command()[3] == "fit"
    assert "--overwrite" in fit.command()


def test_runs_are_read_back_and_kept(script, monkeypatch, capsys):
    """The fits run here, one after the other, instead of in processes of their own."""
    targets, ran = script("targets"), []

    def in_turn(fits, jobs):
        for fit in fits:
            if not fit.finished():
                ran.append(fit.folder.name)
                assert cli.run(fit.command()[3:]) == 0, capsys.readouterr().err

    monkeypatch.setattr(targets, "run", in_turn)
    Image.fromarray(smooth_pixels(16, 16)).save("photo.png")
    small = {"pictures": ["photo.png"], "seeds": 1, "fields": ["hashgrid"], "jobs": 1}
    small |= {"methods": ["paper-nint", "default-uniform"], "targets": [1.0, 99.0], "every": 2}
    for steps, new in ((4, 2), (4, 0), (6, 2)):
        ran.clear()
        found = targets.bench_targets(options(steps=steps, **small))
        assert len(ran) == new
        for run in found["runs"]:
            assert (run["steps"], run["status"]) == (steps, "complete")
            assert run["to_db"]["1"]["step"] == 2
            assert run["to_db"]["99"] is None
    text = script("target_tables").targets_table(found)
    assert "| hashgrid | default-uniform | 1 of 1 |" in text
    assert json.dumps(found, default=str)


def test_the_log_of_other_settings_counts_for_nothing(script, tmp_path):
    fit = capped_fit(script, tmp_path, 4.5, nap=0.1)
    leave(fit, "interrupted", 9.0, {"seed": 1})
    (tmp_path / "log.jsonl").write_text('{"train_s": 9.0}\n')
    assert fit.execute(1, threading.Event())[0] == 0  # its own end, and no signal's


def capped_fit(script, folder, train_s, nap=60):
    """A fit whose process logs that much training, and ends in order when it is told to."""
    targets = script("targets")
    program = (
        "import pathlib, signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))\n"
        f"pathlib.Path({str(folder / 'log.jsonl')!r}).write_text(sys.argv[1])\n"
        f"time.sleep({nap})\n"
    )

    class Stub(targets.Fit):
        def command(self):
            return [sys.executable, "-c", program, json.dumps({"train_s": train_s}) + "\n"]

    return Stub(folder, "x.png", (), {}, cap_s=5.0)


def test_a_run_is_ended_at_its_cap(script, tmp_path):
    code, _ = capped_fit(script, tmp_path, 5.5).execute(1, threading.Event())
    assert code == 0


def test_a_run_is_ended_when_nobody_wants_it(script, tmp_path):
    stop = threading.Event()
    threading.Timer(0.6, stop.set).start()
    code, _ = capped_fit(script, tmp_path, 4.5).execute(1, stop)
    assert code in {143, -15}  # -15 where the process had no time to listen


def test_half_a_line_of_the_log_is_no_time(script, tmp_path):
    fit = capped_fit(script, tmp_path, 0.0)
    assert fit.trained_s() == 0.0
    (tmp_path / "log.jsonl").write_text('{"train_s": 7.0}\n')
    assert fit.trained_s() == 7.0
    (tmp_path / "log.jsonl").write_text('{"train_s": 7.0}\n{"train')
    assert fit.trained_s() == 0.0


def test_no_mean_hides_what_is_missing(script):
    tables = script("tables")
    assert tables.mean([1.0, 3.0]) == 2.0
    assert tables.mean([1.0, None]) is None
    assert tables.mean([1.0, float("inf")]) is None
    assert tables.mean([]) is None
    assert tables.shown(None) == "-"


def test_a_table_has_as_many_columns_everywhere(script):
    lines = script("tables").markdown(["a", "b"], [["x", "1"], ["y", "2"]]).splitlines()
    assert lines == ["| a | b |", "| --- | ---: |", "| x | 1 |", "| y | 2 |"]


def test_a_comparison_that_fails_ends_the_script(script, tmp_path, capfd):
    with pytest.raises(SystemExit) as ended:
        script("tables").compare("image", ["absent.png"], tmp_path, "--field=mlp", "--field=siren")
    assert ended.value.code == 3
    assert "absent.png" in capfd.readouterr().err


def entry(value, name, variant="siren", *, exact=False):
    """Give a run of which only its figure counts."""
    return RunEntry.model_construct(input=name, variant=variant, seed=0, value=value, exact=exact)


def test_the_table_of_presets_says_where_the_default_is_behind(script):
    class Found:
        headline = "psnr_db"

        def __init__(self, *runs):
            self.runs = runs

    default = Found(entry(30.0, "x"), entry(10.0, "y"), entry(25.0, "z"), entry(1.0, "y", "mlp"))
    paper = Found(entry(12.5, "y"), entry(20.0, "x"), entry(None, "z"))
    row = script("presets").row
    assert row("siren", {"default": default, "paper": paper}) == [
        "siren", "3", "21.67", "-", "-2.50", "y seed 0 (-2.50)",
    ]  # fmt: skip
    exact = Found(entry(None, "x", exact=True))
    assert row("siren", {"default": exact, "paper": exact})[4:] == ["0.00", "-"]
    lost = row("siren", {"default": Found(entry(None, "x")), "paper": exact})
    assert lost[4:] == ["-inf", "x seed 0 (-inf)"]


def test_passes_are_timed_in_both_precisions(script, monkeypatch):
    costs = script("costs")
    small = {"hidden_features": 16, "hidden_layers": 3}
    assert {type(costs.fresh(name)).__name__.lower() for name in costs.CHAINS} == {*costs.CHAINS}
    kinds = {"finer": partial(Finer, **small), "siren": partial(Siren, **small)}
    monkeypatch.setattr(costs, "CHAINS", tuple(kinds))
    monkeypatch.setattr(costs, "field_class", kinds.__getitem__)
    found = costs.bench_passes(argparse.Namespace(rows=64, repeats=1))
    assert found["fields"].keys() == kinds.keys()
    for each in found["fields"].values():
        assert each["s"].keys() == costs.WAYS.keys()
        assert 0 < each["error"] < 0.05
    errors = {name: each["error"] for name, each in found["fields"].items()}
    assert len(set(errors.values())) == 2
    assert f"| {100 * errors['siren']:.2f} % |" in costs.passes_table(found)


def test_floors_are_those_of_bfloat16_and_wire_has_none(script, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    floors = script("floors")
    monkeypatch.setattr(floors, "FIELD_NAMES", ("hashgrid", "wire"))
    found = floors.bench_floors(argparse.Namespace(steps=2))
    grid, wire = found["fields"]["hashgrid"], found["fields"]["wire"]
    assert grid["floors"].keys() == {"picture", "sound", "shape"}
    assert all(figure > 40 for figure in grid["floors"].values())
    assert wire["floors"] == {"picture": None}
    assert wire["ends"]["auto"] == wire["ends"]["full"]
    assert wire["ends"]["bf16"] is None
    table = floors.floors_table(found)
    assert "| hashgrid |" in table
    assert "| wire | - | - | - | - | - |" in table


def test_a_floor_is_ten_for_a_tenth_of_the_squared_range(script):
    floors = script("floors")
    assert floors.decibels(torch.tensor([0.2, -0.2]), 2.0) == pytest.approx(20)
    assert floors.decibels(torch.zeros(2), 2.0) is None
    for _, make in floors.SIGNALS.values():
        signal = make()
        assert 0.9 < floors.value_range(signal) < 2.5


def test_reading_is_timed(script, monkeypatch):
    reading = script("reading")
    read = []
    for name in ("_jpeg", "_mp3", "_glb"):
        monkeypatch.setattr(reading, name, lambda *_, name=name: lambda: read.append(name))
    found = reading.bench_read(argparse.Namespace(repeats=3))
    assert read[:3] == ["_jpeg", "_mp3", "_glb"]
    assert len(read) >= 9
    assert len(found["seconds"]) == 3
    rows = reading.read_table(found).splitlines()
    assert [row.split("|")[1].strip() for row in rows[2:]] == list(found["seconds"])
