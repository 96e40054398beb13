"""What a user at a shell sees: exit codes, streams, files."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import torch
from PIL import Image

from nint_cli import cli
from nint_cli.config.schema import SAMPLER_NAMES, RunConfig
from nint_cli.metrics import schema
from nint_cli.modalities.image.files import read_picture
from nint_cli.modalities.image.png import encode_picture
from nint_cli.modalities.image.samples import picture_path
from nint_cli.modalities.image.schema import ImageMetrics
from nint_cli.runs.build import build_field
from nint_cli.runs.evaluate import evaluate_run
from nint_cli.runs.inputs import read_input
from tests.conftest import smooth_pixels


def nint(capsys, *arguments):
    """Run a command; give its exit code, stdout and stderr."""
    capsys.readouterr()
    code = cli.run([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def shell(*arguments, **options):
    done = subprocess.run(
        [sys.executable, "-m", "nint_cli", *map(str, arguments)],
        capture_output=True,
        check=False,
        timeout=120,
        **options,
    )
    done.stdout, done.stderr = done.stdout.decode(), done.stderr.decode()  # carriage returns kept
    return done


SCHEMA = json.loads((Path(schema.__file__).parent / "metrics.schema.json").read_text())


def strict(path: Path):
    """Read JSON that holds no NaN or Infinity, metrics.json by its shipped schema."""

    def refuse(constant):
        raise AssertionError(f"{constant} in {path}")

    document = json.loads(path.read_text(), parse_constant=refuse)
    if path.name == "metrics.json":
        jsonschema.validate(document, SCHEMA)
    return document


# A run


def test_a_fit_writes_a_whole_run_folder(capsys, smoke, tmp_path):
    code, out, err = nint(capsys, *smoke, "-o", tmp_path / "run")
    assert code == 0, err
    run = tmp_path / "run"
    assert out == f"{run}\n"
    assert "Traceback" not in err
    names = {str(p.relative_to(run)) for p in run.rglob("*") if p.is_file()}
    assert names == {
        ".lock",
        "config.yaml",
        "log.jsonl",
        "manifest.json",
        "metrics.json",
        "reconstruction.png",
        "selection.png",
        "checkpoints/step-0000000020.safetensors",
        "checkpoints/step-0000000030.safetensors",
    }
    metrics = ImageMetrics.model_validate(strict(run / "metrics.json"))
    assert (metrics.status, metrics.stop_reason, metrics.exit_code) == ("complete", "steps", 0)
    assert (metrics.steps, metrics.seed, metrics.schema_version) == (30, 0, "1.0")
    steps_s = metrics.sampler_s + metrics.update_s
    assert metrics.train_s == pytest.approx(metrics.prepare_s + steps_s)
    parts = (metrics.load_s, metrics.train_s, metrics.evaluation_s, metrics.save_s)
    assert all(seconds > 0 for seconds in parts)
    assert metrics.total_s == pytest.approx(sum(parts) + metrics.other_s)
    assert metrics.input.shape == [24, 32]
    assert metrics.environment.torch == torch.__version__
    assert metrics.memory.peak_rss_bytes > 1e8
    assert metrics.origins["steps"].startswith("preset smoke:")
    rows = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [10, 20, 30]
    assert rows[-1]["psnr_db"] == metrics.psnr_db
    assert rows[-1]["passes"] == pytest.approx(metrics.passes.total, abs=1e-5)
    for row in rows:
        assert row.keys() == {"step", "train_s", "passes", "loss", "psnr_db", "mse", "clock"}
    for earlier, later in pairwise(rows):
        assert later["train_s"] > earlier["train_s"]
        assert later["passes"] > earlier["passes"]
    # metrics.json is the commit mark: nothing is newer.
    newest = max(p.stat().st_mtime_ns for p in run.rglob("*") if p.is_file())
    assert (run / "metrics.json").stat().st_mtime_ns == newest


def test_the_reconstruction_is_what_the_metrics_say(capsys, smoke, picture, tmp_path):
    nint(capsys, *smoke, "-o", tmp_path / "run", "--set", "image.size=null", "--steps", 300)
    metrics = strict(tmp_path / "run" / "metrics.json")
    target = np.asarray(Image.open(picture)).astype(float)
    written = np.asarray(Image.open(tmp_path / "run" / "reconstruction.png")).astype(float)
    assert written.shape == target.shape
    psnr = 10 * np.log10(255**2 / ((written - target) ** 2).mean())
    assert psnr == pytest.approx(metrics["psnr_db"], abs=0.05)  # 8-bit rounding
    assert psnr > 20


@pytest.mark.parametrize("sampler", SAMPLER_NAMES)
def test_every_sampler_fits_and_the_same_seed_gives_the_same_bits(
    capsys, smoke, tmp_path, sampler
):
    runs = []
    for name in ("a", "b"):
        code, _, _ = nint(capsys, *smoke, "--sampler", sampler, "-o", tmp_path / name)
        assert code == 0
        runs.append(tmp_path / name)
    for file in ("checkpoints/step-0000000030.safetensors", "reconstruction.png", "selection.png"):
        assert (runs[0] / file).read_bytes() == (runs[1] / file).read_bytes(), file


@pytest.mark.parametrize(
    ("channels", "bits"), [(1, 8), (2, 8), (3, 8), (4, 8), (1, 16), (3, 16), (4, 16)]
)
def test_channels_and_depth_are_kept_to_the_end(capsys, tmp_path, channels, bits):
    source = tmp_path / "in.png"
    source.write_bytes(encode_picture(smooth_pixels(channels=channels, bits=bits)))
    code, _, err = nint(
        capsys, "fit", "image", source, "--preset", "smoke", "-o", tmp_path / "run"
    )
    assert code == 0, err
    pixels = read_picture(str(tmp_path / "run" / "reconstruction.png")).pixels
    assert pixels.shape == (24, 32, channels)
    assert pixels.dtype.itemsize * 8 == bits
    assert strict(tmp_path / "run" / "metrics.json")["input"]["bits_per_channel"] == bits


def test_eval_rebuilds_the_run_from_its_checkpoint_alone(capsys, smoke, picture, tmp_path):
    run = tmp_path / "run"
    nint(capsys, *smoke, "-o", run)
    metrics = strict(run / "metrics.json")
    for name in ("config.yaml", "metrics.json", "log.jsonl", "reconstruction.png"):
        (run / name).unlink()
    code, out, _ = nint(capsys, "eval", run, "--json")
    assert code == 0
    quality = json.loads(out)
    assert quality["psnr_db"] == pytest.approx(metrics["psnr_db"], abs=1e-6)
    assert quality["ssim"] == pytest.approx(metrics["ssim"], abs=1e-9)
    code, out, _ = nint(capsys, "eval", run)
    assert f"PSNR {metrics['psnr_db']:.4f} dB" in out
    other = tmp_path / "other.png"
    Image.fromarray(255 - smooth_pixels()).save(other)
    assert evaluate_run(run, str(other)).psnr_db < metrics["psnr_db"]
    Image.fromarray(smooth_pixels(9, 9)).save(other)
    code, _, err = nint(capsys, "eval", run, "--against", other)
    assert (code, "has height, width, channels" in err) == (3, True)
    Image.fromarray(255 - smooth_pixels()).save(picture)
    code, _, err = nint(capsys, "eval", run)
    assert (code, "has changed since the run" in err) == (3, True)
    picture.unlink()
    code, _, err = nint(capsys, "eval", run)
    assert (code, "name it with --against FILE" in err) == (3, True)
    for path in run.glob("checkpoints/*"):
        path.unlink()
    assert nint(capsys, "eval", run)[0] == 3


def test_json_output_is_the_metrics_file(capsys, smoke, tmp_path):
    code, out, _ = nint(capsys, *smoke, "-o", tmp_path / "run", "--json")
    assert code == 0
    assert json.loads(out) == strict(tmp_path / "run" / "metrics.json")


def test_a_one_pixel_picture_has_no_ssim_and_may_be_exact(capsys, tmp_path):
    source = tmp_path / "one.png"
    Image.fromarray(np.zeros((1, 1), np.uint8)).save(source)
    run = tmp_path / "run"
    code, _, err = nint(
        capsys, "fit", "image", source, "--preset", "smoke", "--steps", 1, "-o", run
    )
    assert code == 0, err
    metrics = ImageMetrics.model_validate(strict(run / "metrics.json"))
    assert metrics.ssim is None
    assert "7x7" in metrics.ssim_reason
    assert metrics.psnr_infinite == (metrics.mse == 0) == (metrics.psnr_db is None)


def test_an_exact_reconstruction_is_said_to_be_exact(monkeypatch):
    config = RunConfig.model_validate({"image": {"size": 16}})
    subject = read_input("image", "sample:cat", config, torch.device("cpu"))
    monkeypatch.setattr(
        "nint_cli.modalities.image.strips.predicted_blocks",
        lambda _field, signal, _size: ((0, values, values) for _, _, values in signal.blocks(999)),
    )
    field = build_field(config, (16, 16), 3)
    quality = subject.quality(field, subject.evaluate_fully(field))
    assert quality.figure("psnr_db") == math.inf
    assert quality.psnr_db is None
    assert quality.psnr_infinite
    assert quality.ssim == pytest.approx(1)


# Folders


def test_an_existing_run_is_not_touched_without_overwrite(capsys, smoke, tmp_path):
    run = tmp_path / "run"
    nint(capsys, *smoke, "-o", run)
    before = (run / "metrics.json").read_bytes()
    code, out, err = nint(capsys, *smoke, "-o", run)
    assert (code, out) == (4, "")
    assert "choose --continue to bring it to its end if it is this one, --overwrite" in err
    assert (run / "metrics.json").read_bytes() == before
    assert nint(capsys, *smoke, "-o", run, "--overwrite", "--seed", 5)[0] == 0
    assert strict(run / "metrics.json")["seed"] == 5


def test_the_default_folder_is_named_after_input_and_sampler(capsys, smoke):
    code, out, _ = nint(capsys, *smoke, "--sampler", "uniform")
    assert (code, out) == (0, f"{Path('runs') / 'picture' / 'uniform'}\n")
    assert Path("runs/picture/uniform/metrics.json").exists()


# Bad requests: one line, the right exit code, nothing written


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["missing.png"], 3, "cannot read 'missing.png': No such file"),
        (["empty.png"], 3, "the file is empty"),
        (["text.png"], 3, "no picture of a known kind"),
        (["sample:astronot"], 3, "did you mean 'astronaut'"),
        (["ok.png", "--sampler", "nnit"], 2, "did you mean 'nint'"),
        (["ok.png", "--field", "sirn"], 2, "did you mean 'siren'"),
        (["ok.png", "--preset", "papr"], 2, "did you mean 'paper'"),
        (["ok.png", "--set", "nint.alfa=3"], 2, "did you mean 'nint.alpha'"),
        (["ok.png", "--set", "nint.alpha"], 2, "expected key=value"),
        (["ok.png", "--steps", "0"], 2, "--steps: must be greater than or equal to 1"),
        (["ok.png", "--steps", "many"], 2, "Invalid value for '--steps'"),
        (["ok.png", "--steps", "3", "--set", "steps=4"], 2, "contradicts --set steps=4"),
        (["ok.png", "--lr", "-1"], 2, "must be greater than 0"),
        (["ok.png", "--lr", "nan"], 2, "--lr: must be"),
        (["ok.png", "--batch-fraction", "1.5"], 2, "must be less than or equal to 1"),
        (["ok.png", "--device", "gpu"], 2, "must be auto, cpu, cuda or cuda:N"),
        (["ok.png", "--device", "cuda:99"], 2, "usable CUDA devices"),
        (["ok.png", "--config", "missing.yaml"], 2, "cannot read config 'missing.yaml'"),
        (["ok.png", "--progress", "loud"], 2, "Invalid value for '--progress'"),
        (["ok.png", "--verbos"], 2, "No such option: --verbos"),
        (["--resume", "run"], 2, "No such option: --resume"),
        (["--resume", "run"], 2, "; to go on with a run there is `nint resume RUN`. See --help."),
        ([], 2, "Missing argument 'INPUT...'. See --help."),
        (["ok.png", "-o", "ok.png"], 4, "a file of that name is there"),
        (["ok.png", "-o", "ok.png/run"], 4, "cannot make the run folder"),
    ],
)
def test_a_bad_request_is_one_line_and_leaves_nothing(capsys, tmp_path, words, code, said):
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "text.png").write_text("hello")
    Image.fromarray(smooth_pixels()).save(tmp_path / "ok.png")
    before = sorted(tmp_path.rglob("*"))
    words = [*words, "--preset", "smoke"] if "--preset" not in words else words
    got, out, err = nint(capsys, "fit", "image", *words)
    assert got == code, err
    assert out == ""
    assert said in err
    lines = err.splitlines()
    assert lines[-1].startswith("nint: error: ")
    assert "Traceback" not in err
    if code != 4:
        assert len(lines) == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_unknown_commands_and_no_command(capsys):
    code, out, err = nint(capsys, "fitt")
    assert (code, out) == (2, "")
    assert err.startswith("nint: error: No such command 'fitt'")
    code, out, _ = nint(capsys)
    assert (code, out.startswith("Usage: nint")) == (0, True)
    code, out, _ = nint(capsys, "--version")
    assert (code, out) == (0, "nint 0.1.0\n")


def test_a_config_file_reports_every_fault_with_its_place(capsys, picture, tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("steps: -1\nnint:\n  alfa: 3\n")
    code, _, err = nint(capsys, "fit", "image", picture, "--config", path)
    assert code == 2
    assert err.splitlines() == [
        f"nint: error: {path}:1:1: steps: must be greater than or equal to 1; got -1",
        f"nint: error: {path}:3:3: nint.alfa: unknown key, did you mean 'nint.alpha'?",
    ]


def test_print_config_shows_values_and_origins_and_fits_nothing(capsys, tmp_path):
    code, out, _ = nint(capsys, "fit", "image", "x.png", "--print-config", "--set", "nint.alpha=3")
    assert code == 0
    lines = out.splitlines()
    assert "  alpha: 3  # --set" in lines[lines.index("nint:") :]
    assert "device: auto  # built-in" in lines
    assert any(line.startswith("steps: ") and "tuned recipe of siren" in line for line in lines)
    assert any(line.startswith("recipe: ") and "preset default" in line for line in lines)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "name", ["red\x1b[31m.png", "two\nlines.png", "[red]x[bold].png", "[WIP.png"]
)
def test_strange_file_names_are_shown_escaped(capsys, tmp_path, name):
    code, _, err = nint(capsys, "fit", "image", name)
    assert code == 3
    assert "\x1b" not in err
    assert len(err.splitlines()) == 1
    Image.fromarray(smooth_pixels()).save(tmp_path / name)
    code, out, err = nint(capsys, "fit", "image", name, "--preset", "smoke", "-o", f"{name}.run")
    assert code == 0, err
    assert "\x1b" not in out + err
    assert len(out.splitlines()) == 1
    assert "x[bold].png" in err or "[red]" not in name


def test_memory_that_runs_out_has_its_exit_code(capsys, smoke, monkeypatch):
    def exhausted(*_args, **_kwargs):
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried")

    monkeypatch.setattr("nint_cli.training.trainer.Trainer.fit", exhausted)
    code, _, err = nint(capsys, *smoke)
    assert code == 6
    assert "use a smaller picture" in err.splitlines()[-1]
    metrics = strict(Path("runs/picture/nint/metrics.json"))
    assert (metrics["status"], metrics["exit_code"]) == ("failed", 6)
    monkeypatch.setattr(
        "nint_cli.modalities.image.subject.read_picture", exhausted
    )  # before there is a folder
    assert nint(capsys, *smoke, "--overwrite")[0] == 6


def test_a_bug_is_called_a_bug(capsys, smoke, monkeypatch):
    def broken(*_args, **_kwargs):
        raise KeyError("oops")

    monkeypatch.setattr("nint_cli.training.trainer.Trainer.fit", broken)
    code, _, err = nint(capsys, *smoke)
    assert code == 1
    assert "internal error: KeyError" in err
    assert "Traceback" not in err
    monkeypatch.setenv("NINT_DEBUG", "1")
    assert "Traceback" in nint(capsys, *smoke, "--overwrite")[2]


def test_divergence_keeps_the_last_good_state(capsys, smoke, tmp_path, monkeypatch):
    """No halving helps against a rate of 1e30."""
    from nint_cli.schedules import laws

    monkeypatch.setattr(laws, "learning_rate", lambda *a, **k: 1e-3 if a[2] < 12 else 1e30)
    run = tmp_path / "run"
    code, _, err = nint(capsys, *smoke, "--steps", 80, "-o", run)
    assert code == 5
    assert "halving the learning rate did not help" in err
    assert err.count("back to the state of step 0") == 10
    metrics = ImageMetrics.model_validate(strict(run / "metrics.json"))
    assert (metrics.status, metrics.stop_reason, metrics.exit_code) == ("diverged", "diverged", 5)
    assert metrics.rescues == 10
    assert evaluate_run(run).mse == pytest.approx(metrics.mse)
    rows = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    events = [row for row in rows if "event" in row]
    assert [row["rate_factor"] for row in events] == [0.5**count for count in range(1, 11)]
    code, _, err = nint(capsys, *smoke, "-o", run, "--overwrite", "--set", "optimiser.rescue=off")
    assert code == 5
    assert "nint: error: the loss or its gradient was not finite" in err


# Processes


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (signal.SIGINT, 130),
        (signal.SIGHUP, 129),
        pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow),
    ],
)
def test_a_signal_ends_a_run_in_order(smoke, tmp_path, number, code):
    run = tmp_path / "run"
    process = subprocess.Popen(
        [sys.executable, "-m", "nint_cli", *smoke, "--steps", "1000000", "-o", str(run)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not list(run.glob("checkpoints/*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(number)
    try:
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()  # or it would go on for a million steps
    assert process.returncode == code, err
    assert "Traceback" not in err
    metrics = ImageMetrics.model_validate(strict(run / "metrics.json"))
    assert (metrics.status, metrics.exit_code) == ("interrupted", code)
    assert 0 < metrics.steps < 1_000_000
    assert evaluate_run(run).psnr_db == pytest.approx(metrics.psnr_db, abs=1e-6)


def bash(command):
    words = ["bash", "-o", "pipefail", "-c", command.replace("nint ", f"{NINT} ")]
    return subprocess.run(words, capture_output=True, text=True, check=False, timeout=120)


NINT = f"{sys.executable} -m nint_cli"


@pytest.mark.parametrize(
    ("command", "start"),
    [
        ("nint fit image x --print-config", "seed:"),
        ("nint list samplers", "full "),
        ("nint --help", "Usage:"),
        ("nint fit image picture.png --preset smoke -o run -q --json", "{"),
    ],
)
def test_a_reader_that_goes_away_is_no_error(picture, command, start):
    done = bash(f"{command} | head -1")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(start)


@pytest.mark.parametrize("progress", ["always", pytest.param("auto", marks=pytest.mark.slow)])
def test_a_fit_goes_on_when_nobody_reads_its_stderr(picture, progress):
    done = bash(
        f"nint fit image picture.png --preset smoke -o run --steps 90 --progress {progress} "
        "2>&1 >/dev/null | true"
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert strict(Path("run/metrics.json"))["status"] == "complete"


ALONE = [pytest.param(stream, marks=pytest.mark.slow) for stream in ("<&-", ">&-", "2>&-")]


@pytest.mark.parametrize("closed", [*ALONE, "<&- >&- 2>&-", "2>/dev/full"])
def test_closed_streams_are_no_obstacle(picture, closed):
    done = bash(f"nint fit image picture.png --preset smoke -o run {closed}")
    assert done.returncode == 0, done.stderr
    assert strict(Path("run/metrics.json"))["status"] == "complete"


def test_a_stdout_that_takes_nothing_has_its_exit_code(picture):
    done = bash("nint fit image picture.png --preset smoke -o run -q >/dev/full")
    assert (done.returncode, done.stderr) == (
        4,
        "nint: error: cannot write to stdout: No space left on device\n",
    )
    assert strict(Path("run/metrics.json"))["status"] == "complete"


def test_a_stream_that_knows_few_letters_shows_the_others_escaped(picture):
    done = bash("PYTHONIOENCODING=ascii nint fit image picture.png --preset smoke -o rün")
    assert (done.returncode, done.stdout) == (0, "r\\xfcn\n"), done.stderr


def test_progress_is_lines_in_a_pipe_and_a_bar_on_request(smoke, tmp_path):
    words = [word for word in smoke if word not in {"--progress", "never"}]
    lines = shell(*words, "-o", tmp_path / "a")
    assert lines.returncode == 0
    assert "nint: step 30/30, loss " in lines.stderr
    assert "\r" not in lines.stderr
    bar = shell(*words, "--progress", "always", "-o", tmp_path / "b")
    assert "\r" in bar.stderr
    assert "30/30" in bar.stderr
    quiet = shell(*words, "--progress", "never", "-o", tmp_path / "c")
    assert "step " not in quiet.stderr.replace("steps", "")


def test_python_dash_m_works_without_a_home(tmp_path):
    environment = {k: v for k, v in os.environ.items() if k != "HOME"}
    done = shell("--version", env=environment, stdin=subprocess.DEVNULL)
    assert (done.returncode, done.stdout) == (0, "nint 0.1.0\n")


def test_a_photograph_in_a_file_of_its_own(capsys, tmp_path):
    source = tmp_path / "cat.png"
    source.write_bytes(picture_path("cat").read_bytes())
    code, _, err = nint(capsys, "fit", "image", source, "--preset", "smoke", "-o", tmp_path / "r")
    assert code == 0, err
    assert strict(tmp_path / "r" / "metrics.json")["psnr_db"] > 10
