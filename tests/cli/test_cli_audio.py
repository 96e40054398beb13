"""Sounds at the command line: exit codes, streams, files."""

import json
import struct
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import nint_cli
from nint_cli.config.schema import SAMPLER_NAMES
from nint_cli.modalities.audio.files import read_sound
from nint_cli.modalities.audio.schema import AudioMetrics
from tests.cli.test_cli import nint, strict
from tests.modalities.audio.test_files import riff, save, sparse, tagged, waves, write
from tests.runs.test_resume import stopping_at

LAST = "checkpoints/step-0000000030.safetensors"
FAST = ["--preset", "smoke", "--progress", "never"]


@pytest.fixture
def no_pictures(monkeypatch):
    """They take most of the time of so short a fit, and have tests of their own."""
    for name in ("sound_picture", "selection_picture"):
        monkeypatch.setattr(f"nint_cli.modalities.audio.subject.{name}", lambda *_: b"a picture")


def fit(capsys, source, *words, output="run"):
    """Fit a sound; give exit code, stderr and, where there is one, metrics.json."""
    code, out, err = nint(capsys, "fit", "audio", source, *FAST, "-o", output, *words)
    path = Path(output, "metrics.json")
    assert out == (f"{output}\n" if code == 0 else out)
    assert "Traceback" not in err
    return code, err, strict(path) if path.exists() else None


# A run


def test_a_fit_writes_a_whole_run_folder(capsys, tmp_path):
    source = save(tmp_path / "a.wav", waves(1000, 2))
    code, err, document = fit(capsys, source)
    assert code == 0, err
    run = Path("run")
    names = {str(p.relative_to(run)) for p in run.rglob("*") if p.is_file()}
    assert names == {
        ".lock",
        "config.yaml",
        "log.jsonl",
        "manifest.json",
        "metrics.json",
        "preview.png",
        "reconstruction.wav",
        "selection.png",
        "checkpoints/step-0000000020.safetensors",
        LAST,
    }
    for name in ("preview.png", "selection.png"):
        assert (run / name).read_bytes().startswith(b"\x89PNG")
        assert name in err
    metrics = AudioMetrics.model_validate(document)
    assert (metrics.status, metrics.stop_reason, metrics.exit_code) == ("complete", "steps", 0)
    entry = metrics.input
    assert (entry.kind, entry.samples, entry.channels) == ("audio", 1000, 2)
    assert (entry.sample_rate_hz, entry.subtype, entry.start_s) == (16000, "PCM_16", 0)
    assert entry.duration_s == 1000 / 16000
    assert metrics.field.bits_per_sample == 8 * metrics.field.bytes / 2000
    assert metrics.field.bits_per_pixel is None
    rows = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [10, 20, 30]
    for row in rows:
        assert {"si_snr_db", "psnr_db", "mse"} <= row.keys()
    assert rows[-1]["si_snr_db"] == metrics.si_snr_db
    best = max(rows, key=lambda row: row["si_snr_db"])
    assert (metrics.best_si_snr_db, metrics.best_step) == (best["si_snr_db"], best["step"])
    assert "SI-SNR" in err
    assert "1,000 samples at 16000 Hz, 2 channels" in err


def test_the_reconstruction_is_what_the_metrics_say(capsys, tmp_path, no_pictures):
    source = save(tmp_path / "a.wav", waves(400), subtype="DOUBLE")
    words = ["--steps", 300, "--sampler", "full", "--lr", "3e-3"]
    code, err, metrics = fit(capsys, source, *words)
    assert code == 0, err
    target, _ = soundfile.read(source)
    written, _ = soundfile.read("run/reconstruction.wav")
    error = ((written - target) ** 2).mean()
    assert metrics["snr_db"] == pytest.approx(10 * np.log10((target**2).mean() / error), abs=1e-6)
    centred, heard = target - target.mean(), written - written.mean()
    kept = (heard @ centred) / (centred @ centred) * centred
    ratio = (kept @ kept) / ((heard - kept) @ (heard - kept))
    assert metrics["si_snr_db"] == pytest.approx(10 * np.log10(ratio), abs=1e-6)
    clipped = written.clip(-1, 1)
    psnr = 10 * np.log10(4 / ((clipped - target) ** 2).mean())
    assert metrics["psnr_db"] == pytest.approx(psnr, abs=1e-6)
    assert metrics["si_snr_db"] > 10


@pytest.mark.parametrize(
    ("channels", "subtype"),
    [
        (2, "PCM_16"),
        (8, "PCM_16"),
        (1, "PCM_U8"),
        (1, "PCM_24"),
        (2, "PCM_32"),
        (2, "FLOAT"),
        (1, "DOUBLE"),
    ],
)
def test_rate_channels_and_depth_are_kept_to_the_end(
    capsys, tmp_path, no_pictures, channels, subtype
):
    source = save(tmp_path / "a.wav", waves(200, channels), rate=22050, subtype=subtype)
    code, err, metrics = fit(capsys, source)
    assert code == 0, err
    assert (metrics["input"]["channels"], metrics["input"]["subtype"]) == (channels, subtype)
    with soundfile.SoundFile("run/reconstruction.wav") as file:
        assert (file.samplerate, file.channels, file.frames) == (22050, channels, 200)
        assert file.subtype == ("PCM_16" if subtype == "PCM_U8" else subtype)
    run = nint_cli.load_run("run")
    assert run.field(torch.zeros(1, 1)).shape == (1, channels)


@pytest.mark.parametrize(("subtype", "bits"), [("PCM_24", 24), ("FLOAT", 24), ("DOUBLE", 24)])
def test_the_field_is_trained_on_every_bit(tmp_path, subtype, bits):
    """A difference in the last of 24 bits reaches the values, which float32 holds."""
    level = round(0.5 * 2 ** (bits - 1)) + 1
    waveform = np.array([[1.0 - 2.0 ** (1 - bits)], [level / 2 ** (bits - 1)], [0.5]])
    sound = read_sound(save(tmp_path / "a.wav", waveform, subtype=subtype))
    _, values = sound.signal().slice(0, 3)
    assert values[1] > values[2]


def test_channels_are_mixed_on_request(capsys, tmp_path, no_pictures):
    source = save(tmp_path / "a.wav", waves(200, 2), subtype="FLOAT")
    code, err, metrics = fit(capsys, source, "--mono")
    assert code == 0, err
    assert "2 channels mixed to one, their mean" in err
    assert metrics["input"]["conversions"][-1] == "2 channels mixed to one, their mean"
    assert (metrics["input"]["channels"], metrics["origins"]["audio.mono"]) == (1, "--mono")
    assert soundfile.read("run/reconstruction.wav")[0].shape == (200,)
    before = json.loads(nint(capsys, "eval", "run", "--json")[1])
    assert before["si_snr_db"] == pytest.approx(metrics["si_snr_db"], abs=1e-6)


def test_what_is_beyond_full_scale_is_kept_by_floating_point(capsys, tmp_path, no_pictures):
    source = save(tmp_path / "a.wav", waves(200, amplitude=3.0), subtype="FLOAT")
    code, err, metrics = fit(capsys, source, "--steps", 200, "--lr", "1e-2", "--sampler", "full")
    assert (code, metrics["clipped_samples"]) == (0, 0)
    assert "values beyond full scale kept, up to 3" in err
    assert np.abs(soundfile.read("run/reconstruction.wav")[0]).max() > 1.5


def test_what_integers_cannot_hold_is_clipped_and_said(capsys, tmp_path, no_pictures):
    square = np.sign(waves(200)) * 0.9999
    code, err, metrics = fit(
        capsys, save(tmp_path / "a.wav", square), "--steps", 100, "--sampler", "full"
    )
    assert code == 0
    written = nint_cli.load_run("run").reconstruction()
    levels = np.round(written * 2**15)
    expected = int(((levels > 2**15 - 1) | (levels < -(2**15))).sum())
    assert metrics["clipped_samples"] == expected > 0
    assert f"{expected} samples beyond full scale, in the file only" in err
    assert np.abs(soundfile.read("run/reconstruction.wav")[0]).max() <= 1


def test_silence_fits_and_its_ratios_are_null_with_reasons(capsys, tmp_path, no_pictures):
    source = save(tmp_path / "a.wav", np.zeros((8000, 1)))
    code, err, metrics = fit(capsys, source, "--set", "audio.duration_s=null")
    assert code == 0, err
    for key in ("si_snr_db", "snr_db", "stoi", "pesq", "best_si_snr_db"):
        assert metrics[key] is None, key
    for key in ("si_snr_reason", "snr_reason", "stoi_reason", "pesq_reason"):
        assert metrics[key], key
    assert "silent" in metrics["si_snr_reason"]
    assert metrics["psnr_db"] > 10
    code, _, metrics = fit(capsys, source, "--target-si-snr", -99, "--require-target", output="b")
    assert (code, metrics["target_reached"]) == (7, False)  # no figure is no target reached


def test_one_sample_is_a_sound_and_none_is_not(capsys, tmp_path):
    code, err, metrics = fit(capsys, save(tmp_path / "a.wav", np.full((1, 1), 0.5)))
    assert code == 0, err
    assert metrics["input"]["samples"] == 1
    assert metrics["si_snr_db"] is None
    assert metrics["si_snr_reason"]
    code, err, metrics = fit(capsys, save(tmp_path / "b.wav", waves(0)), output="b")
    assert (code, metrics, len(err.splitlines())) == (3, None, 1)
    assert "it holds no samples" in err


@pytest.mark.parametrize("rate", [1, 768_000])
def test_any_sample_rate(capsys, tmp_path, no_pictures, rate):
    source = save(tmp_path / "a.wav", waves(40), rate=rate)
    code, err, metrics = fit(capsys, source, "--set", "audio.duration_s=null")
    assert code == 0, err
    assert metrics["input"]["duration_s"] == 40 / rate
    assert metrics["pesq"] is None
    assert metrics["stoi"] is None
    assert f"{rate} Hz" in metrics["stoi_reason"]
    assert soundfile.info("run/reconstruction.wav").samplerate == rate


def test_a_picture_of_a_sound_at_any_rate(capsys, tmp_path):
    """The same with the pictures, whose axes are seconds and hertz."""
    assert (
        fit(capsys, save(tmp_path / "a.wav", waves(3), rate=1), "--set", "audio.duration_s=null")[
            0
        ]
        == 0
    )


def test_a_damaged_file_gives_what_is_there_and_says_so(capsys, tmp_path, no_pictures):
    whole = Path(save(tmp_path / "whole.wav", waves(400))).read_bytes()
    source = write(tmp_path / "cut.wav", whole[: len(whole) // 2])
    code, err, metrics = fit(capsys, source)
    assert code == 0
    assert "its header promises" in err
    assert metrics["input"]["samples"] < 400
    assert any("its header promises" in text for text in metrics["input"]["conversions"])
    lying = write(tmp_path / "lying.wav", riff(bytes(800), promised=0x7FFFF000))
    code, err, metrics = fit(capsys, lying, output="b")
    assert (code, metrics["input"]["samples"]) == (0, 400), err


def test_speakers_are_kept_to_the_end(capsys, tmp_path, no_pictures):
    source = save(tmp_path / "a.wav", waves(200, 6), 48000, format="WAVEX", subtype="PCM_24")
    code, err, _ = fit(capsys, source)
    assert code == 0, err
    assert tagged(Path("run/reconstruction.wav").read_bytes()) == (0xFFFE, 24, 0x3F)
    info = soundfile.info("run/reconstruction.wav")
    assert (info.subtype, info.channels, info.samplerate, info.frames) == ("PCM_24", 6, 48000, 200)


def test_a_duration_beyond_floats_goes_on_to_the_end(capsys, tmp_path, no_pictures):
    code, err, metrics = fit(
        capsys, save(tmp_path / "a.wav", waves(400)), "--set", "audio.duration_s=1e305"
    )
    assert (code, metrics["input"]["samples"]) == (0, 400), err


# Bad requests: one line, the right exit code, nothing written


def inputs(folder):
    (folder / "bare").mkdir()
    save(folder / "ok.wav", waves(400))
    save(folder / "nan.wav", np.array([[0.0], [np.nan]]), subtype="FLOAT")
    write(folder / "song.m4a", b"\0\0\0 ftypM4A " + bytes(64))
    write(folder / "empty.wav", b"")
    write(folder / "text.wav", b"hello, this is no sound at all")
    header = riff(b"", promised=10 * 3600 * 16000 * 2)
    sparse(folder / "long.wav", header, 10 * 3600 * 16000 * 2)
    write(
        folder / "adpcm.wav",
        riff(bytes(64), tag=2, bits=4, align=0xFFFF, extra=struct.pack("<H", 0)),
    )
    write(folder / "photo.png", b"\x89PNG\r\n\x1a\n" + bytes(64))


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["missing.wav"], 3, "cannot read 'missing.wav': No such file"),
        (["bare"], 3, "cannot read 'bare': there is no sound in it"),
        (["empty.wav"], 3, "the file is empty"),
        (["text.wav"], 3, "text.wav'"),
        (["nan.wav"], 3, "1 samples are NaN, infinite or beyond 32-bit floats"),
        (["song.m4a"], 3, "ffmpeg -i song.m4a song.wav"),
        (["adpcm.wav"], 3, "adpcm.wav'"),
        (
            ["long.wav", "--set", "audio.duration_s=null"],
            3,
            "samples, all channels counted, are more than audio.max_samples = 100,000,000; cut it",
        ),
        (["sample:chrod"], 3, "did you mean 'chord'"),
        (["photo.png"], 3, "it seems to be a picture, which is for nint fit image"),
        (["sample:astronaut"], 3, "it seems to be a picture, which is for nint fit image"),
        (["sample:torus"], 3, "it seems to be a shape, which is for nint fit sdf"),
        (["ok.wav", "--start", "1s"], 3, "it lasts 0.025 s, and --start is 1 s"),
        (["ok.wav", "--set", "audio.start_s=1e308"], 3, "and --start is 1e+308 s"),
        (["ok.wav", "--start", "soon"], 2, "--start soon: expected a duration"),
        (["ok.wav", "--duration", "-3s"], 2, "--duration -3s: expected a duration"),
        (["ok.wav", "--duration", "0s"], 2, "--duration: must be greater than 0"),
        (["ok.wav", "--duration", "0.00001s"], 3, "less than one sample at 16000 Hz"),
        (["ok.wav", "--time-budget", "1 parsec"], 2, "expected a duration"),
        (["ok.wav", "--set", "audio.rang=unit"], 2, "did you mean 'audio.range'"),
        (["ok.wav", "--set", "audio.range=loud"], 2, "audio.range"),
        (["ok.wav", "--set", "audio.half_range=0"], 2, "must be greater than 0"),
        (["ok.wav", "--set", "stop.target_iou=0.9"], 2, "nint fit audio has no such figure"),
        (["ok.wav", "--require-target"], 2, "there is no target; add --target-si-snr"),
        (["ok.wav", "--target-iou", "1"], 2, "No such option: --target-iou"),
        (["ok.wav", "--preset", "papr"], 2, "did you mean 'paper'"),
    ],
)
def test_a_bad_request_is_one_line_and_leaves_nothing(
    capsys, tmp_path, monkeypatch, words, code, said
):
    monkeypatch.setattr("nint_cli.modalities.audio.ffmpeg.shutil.which", lambda _: None)
    inputs(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    words = [*words, "--preset", "smoke"] if "--preset" not in words else words
    got, out, err = nint(capsys, "fit", "audio", *words)
    assert (got, out) == (code, ""), err
    assert said in err
    assert len(err.splitlines()) == 1
    assert err.startswith("nint: error: ")
    assert sorted(tmp_path.rglob("*")) == before


def test_the_command_for_a_sound_is_named_by_the_others(capsys, tmp_path):
    source = save(tmp_path / "a.wav", waves(400))
    for name in (source, "sample:chord"):
        code, _, err = nint(capsys, "fit", "image", name)
        assert (code, len(err.splitlines())) == (3, 1)
        assert "it seems to be a sound, which is for nint fit audio" in err
    code, _, err = nint(capsys, "fit", "image", save(tmp_path / "none", waves(400), format="WAV"))
    assert code == 3
    assert "seems" not in err


@pytest.mark.parametrize(
    "name", ["red\x1b[31m.wav", "two\nlines.wav", "[red]x[bold].wav", "-o.wav", "a b'c.wav"]
)
def test_strange_file_names_are_shown_escaped(capsys, tmp_path, no_pictures, name):
    code, _, err = nint(capsys, "fit", "audio", "--", name)
    assert (code, len(err.splitlines())) == (3, 1)
    assert "\x1b" not in err
    save(tmp_path / name, waves(100))
    code, out, err = nint(capsys, "fit", "audio", *FAST, "-q", "--", name)
    assert (code, len(out.splitlines())) == (0, 1), err
    assert "\x1b" not in out + err


# Stretches and targets


def test_a_stretch_is_fitted_and_told(capsys, tmp_path, no_pictures):
    source = save(tmp_path / "a.wav", waves(8000))
    words = ["--start", "0.1s", "--duration", "0.05s"]
    code, err, metrics = fit(capsys, source, *words)
    assert code == 0
    entry = metrics["input"]
    assert (entry["samples"], entry["start_s"], entry["duration_s"]) == (800, 0.1, 0.05)
    assert "cut to 800 of 8,000 frames, from frame 1,600" in err
    assert metrics["origins"]["audio.start_s"] == "--start"
    assert json.loads(nint(capsys, "eval", "run", "--json")[1])["si_snr_db"] == pytest.approx(
        metrics["si_snr_db"], abs=1e-6
    )


@pytest.mark.parametrize(
    ("flag", "figure"), [("--target-si-snr", "si_snr_db"), ("--target-psnr", "psnr_db")]
)
def test_a_target_stops_a_run_and_can_be_required(capsys, tmp_path, no_pictures, flag, figure):
    source = save(tmp_path / "a.wav", waves(400))
    reached = {"si_snr_db": -60, "psnr_db": 3}[figure]
    code, err, metrics = fit(capsys, source, flag, reached, "--require-target")
    assert (code, metrics["stop_reason"], metrics["target_reached"]) == (0, "target", True), err
    assert metrics["steps"] < 30
    assert metrics[figure] >= reached
    code, err, metrics = fit(capsys, source, flag, 199, output="missed")
    assert (code, metrics["target_reached"]) == (0, False)
    code, err, metrics = fit(
        capsys, source, flag, 199, "--require-target", "--overwrite", output="missed"
    )
    assert (code, metrics["exit_code"]) == (7, 7)
    assert "the target was missed" in err.splitlines()[-1]
    assert figure.split("_db")[0].replace("_", "-").upper() in err.splitlines()[-1]


# Measuring again


def test_eval_rebuilds_the_run_from_its_checkpoint_alone(capsys, tmp_path, no_pictures):
    source = save(tmp_path / "a.wav", waves(400))
    _, _, metrics = fit(capsys, source)
    for name in ("config.yaml", "metrics.json", "log.jsonl", "reconstruction.wav"):
        Path("run", name).unlink()
    code, out, _ = nint(capsys, "eval", "run", "--json")
    assert code == 0
    quality = json.loads(out)
    for key in ("si_snr_db", "snr_db", "psnr_db", "lsd_db"):
        assert quality[key] == pytest.approx(metrics[key], abs=1e-6), key
    assert f"SI-SNR {metrics['si_snr_db']:.4f} dB" in nint(capsys, "eval", "run")[1]
    other = save(tmp_path / "other.wav", waves(400)[::-1] * 0.3)
    code, out, _ = nint(capsys, "eval", "run", "--json", "--against", other)
    assert code == 0
    heard = nint_cli.load_run("run").reconstruction().clip(-1, 1)  # scaled as the run's own input
    error = np.square(heard - soundfile.read(other, always_2d=True)[0]).mean()
    assert json.loads(out)["mse"] == pytest.approx(error, rel=1e-5)
    for wrong in (waves(399), waves(400, 2)):
        save(tmp_path / "other.wav", wrong)
        code, _, err = nint(capsys, "eval", "run", "--against", other)
        assert (code, "where the run has (400, 1)" in err) == (3, True)
    save(tmp_path / "other.wav", waves(400), rate=44056)
    code, _, err = nint(capsys, "eval", "run", "--against", other)
    assert (code, "has 44056 Hz where the run has 16000 Hz" in err) == (3, True)
    save(tmp_path / "a.wav", waves(400) * 0.5)
    code, _, err = nint(capsys, "eval", "run")
    assert (code, "has changed since the run" in err) == (3, True)
    Path(source).unlink()
    code, _, err = nint(capsys, "eval", "run")
    assert (code, "name it with --against FILE" in err) == (3, True)


# Many


@pytest.mark.parametrize("jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_bad_sound_does_not_stop_the_others(capsys, tmp_path, no_pictures, jobs):
    save(tmp_path / "a.wav", waves(200, 2))
    write(tmp_path / "bad.wav", b"no sound, whatever its name says")
    words = ["bad.wav", "a.wav", "-o", "out", "--jobs", jobs, "--mono", *FAST]
    code, out, err = nint(capsys, "fit", "audio", *words)
    assert (code, out) == (8, f"{Path('out/a')}\n"), err
    items = strict(Path("out/batch.json"))["items"]
    assert [item["status"] for item in items] == ["failed", "complete"]
    assert [item["exit_code"] for item in items] == [3, 0]
    metrics = strict(Path("out/a/metrics.json"))
    assert metrics["input"]["channels"] == 1
    assert metrics["config"]["audio"]["mono"] is True


def test_what_is_there_is_kept(capsys, tmp_path, no_pictures):
    source = save(tmp_path / "a.wav", waves(200))
    fit(capsys, source)
    before = Path("run/metrics.json").read_bytes()
    code, err, _ = fit(capsys, source)
    assert (code, "choose --continue" in err) == (4, True)
    code, err, _ = fit(capsys, source, "--skip-existing")
    assert (code, "is complete; kept" in err) == (0, True)
    assert Path("run/metrics.json").read_bytes() == before
    words = ["--skip-existing", "--duration", "0.01s"]
    code, err, _ = fit(capsys, source, *words)
    assert (code, "a run of other settings" in err) == (4, True)
    save(tmp_path / "a.wav", waves(200) * 0.5)
    code, err, _ = fit(capsys, source, "--skip-existing")
    assert (code, "a run of another input" in err) == (4, True)
    assert Path("run/metrics.json").read_bytes() == before


# Going on


@pytest.mark.parametrize("sampler", SAMPLER_NAMES)
def test_resumed_equals_uninterrupted(capsys, tmp_path, monkeypatch, no_pictures, sampler):
    source = save(tmp_path / "a.wav", waves(150, 2))
    words = ["--sampler", sampler, "--set", "audio.range=unit", "--set", "audio.half_range=5"]
    assert fit(capsys, source, *words, output="through")[0] == 0
    with monkeypatch.context() as patch:
        stopping_at(patch, 13)
        assert fit(capsys, source, *words, output="stopped")[0] == 143
    code, _, err = nint(capsys, "resume", "stopped")
    assert code == 0, err
    for name in (LAST, "reconstruction.wav", "config.yaml"):
        assert Path("through", name).read_bytes() == Path("stopped", name).read_bytes(), name
    rows = [json.loads(x) for x in Path("stopped/log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [10, 13, 20, 30]
    for earlier, later in pairwise(rows):
        assert later["train_s"] > earlier["train_s"]


def test_limits_may_change_for_a_continuation_and_the_stretch_may_not(
    capsys, tmp_path, no_pictures
):
    fit(capsys, save(tmp_path / "a.wav", waves(200)))
    written = Path("run/config.yaml").read_text()
    Path("run/config.yaml").write_text(
        written.replace("max_samples: 100000000", "max_samples: 1000").replace(
            "steps: 30", "steps: 33"
        )
    )
    code, _, err = nint(capsys, "resume", "run")
    assert code == 0, err
    metrics = strict(Path("run/metrics.json"))
    assert (metrics["steps"], metrics["config"]["audio"]["max_samples"]) == (33, 1000)
    written = Path("run/config.yaml").read_text()
    Path("run/config.yaml").write_text(written.replace("mono: false", "mono: true"))
    code, _, err = nint(capsys, "resume", "run", "--steps", 40)
    assert (code, "audio.mono was False and is now True" in err) == (2, True)


# From Python


def test_from_python_a_sound_comes_back_as_a_waveform(tmp_path, capsys, no_pictures):
    source = save(tmp_path / "a.wav", waves(200, 2), subtype="DOUBLE")
    run = nint_cli.fit(source, modality="audio", preset="smoke", output="run")
    assert capsys.readouterr() == ("", "")
    assert run.metrics.input.kind == "audio"
    waveform = nint_cli.load_run("run").reconstruction()
    assert (waveform.shape, waveform.dtype) == ((200, 2), np.float64)
    np.testing.assert_array_equal(waveform, soundfile.read("run/reconstruction.wav")[0])
    assert nint_cli.resume("run", steps=33).metrics.steps == 33
