import builtins
import math
import sys
from types import ModuleType

import numpy as np
import pystoi
import pytest
import scipy.signal
from pystoi.utils import resample_oct

from nint_cli.metrics.measured import Measured
from nint_cli.modalities.audio import metrics as audio_metrics
from nint_cli.modalities.audio import speech
from nint_cli.modalities.audio.metrics import (
    log_spectral_distance_db,
    mean_squared_error,
    psnr_db,
    si_snr_db,
    snr_db,
)

SILENT = Measured(None, "the sound is silent")


def pair(frames=3000, channels=2, noise=0.05, seed=0):
    """A prediction and a sound, with offsets, so that means matter."""
    rng = np.random.default_rng(seed)
    values = 0.3 * rng.standard_normal((frames, channels)) + 0.02
    return 0.8 * values + noise * rng.standard_normal(values.shape) - 0.01, values


# Some samples at a time


class Seen:
    """A waveform that counts how many samples are asked for at once."""

    def __init__(self, waveform):
        self.waveform, self.shape, self.most = waveform, waveform.shape, 0

    def __getitem__(self, rows):
        found = self.waveform[rows]
        self.most = max(self.most, len(found))
        return found


@pytest.mark.parametrize(
    "measure",
    [
        lambda p, v: snr_db(p, v).value,
        lambda p, v: si_snr_db(p, v).value,
        mean_squared_error,
        lambda p, v: log_spectral_distance_db(p, v).value,
    ],
)
def test_no_measure_holds_the_whole_sound(monkeypatch, measure):
    prediction, values = pair(60_000)
    expected = measure(prediction, values)
    monkeypatch.setattr(audio_metrics, "_ROWS_AT_ONCE", 1000)
    monkeypatch.setattr(audio_metrics, "_FRAMES_AT_ONCE", 3)
    seen = Seen(prediction), Seen(values)
    assert measure(*seen) == pytest.approx(expected, rel=1e-12)
    assert all(each.most <= 2048 + 2 * 512 for each in seen)


@pytest.mark.parametrize(
    ("start", "stop"), [(-5, -2), (-3, 4), (2, 5), (8, 15), (12, 14), (-2, 14)]
)
def test_padded_rows_are_zero_outside(start, stop):
    waveform = 1.0 + np.arange(20.0).reshape(10, 2)
    expected = np.zeros((stop - start, 2))
    for row in range(start, stop):
        if 0 <= row < 10:
            expected[row - start] = waveform[row]
    np.testing.assert_array_equal(audio_metrics.padded_rows(waveform, start, stop), expected)


# By samples


@pytest.mark.parametrize("channels", [1, 3])
def test_snr_by_its_formula(channels):
    prediction, values = pair(channels=channels)
    signal = noise = 0.0
    for p, v in zip(prediction.ravel().tolist(), values.ravel().tolist(), strict=True):
        signal += v * v
        noise += (p - v) ** 2
    assert snr_db(prediction, values).value == pytest.approx(10 * math.log10(signal / noise))


def test_snr_of_known_errors():
    values = np.array([[0.5, -0.5]])
    assert snr_db(values * 0.9, values).value == pytest.approx(20)
    assert snr_db(values, values) == Measured(math.inf)
    assert snr_db(np.zeros_like(values), values).value == 0
    assert snr_db(values, np.zeros_like(values)) == SILENT


@pytest.mark.parametrize("channels", [1, 3])
def test_si_snr_by_its_formula(channels):
    prediction, values = pair(channels=channels)
    signal = noise = 0.0
    for channel in range(channels):
        p = prediction[:, channel] - prediction[:, channel].mean()
        v = values[:, channel] - values[:, channel].mean()
        scaled = (p @ v) / (v @ v) * v
        signal += scaled @ scaled
        noise += (p - scaled) @ (p - scaled)
    assert si_snr_db(prediction, values).value == pytest.approx(10 * math.log10(signal / noise))


def test_si_snr_is_that_of_the_released_code_but_for_its_floors():
    prediction, values = pair(channels=1)
    p, v = (prediction - prediction.mean()).ravel(), (values - values.mean()).ravel()
    floor = 1e-8
    s = p @ v / (v @ v + floor) * v
    released = 10 * math.log10((s @ s + floor) / ((p - s) @ (p - s) + floor))
    assert si_snr_db(prediction, values).value == pytest.approx(released, abs=1e-6)


def test_si_snr_does_not_see_gain_and_offset():
    prediction, values = pair()
    expected = si_snr_db(prediction, values).value
    assert si_snr_db(-5 * prediction + 0.7, values).value == pytest.approx(expected)
    assert si_snr_db(prediction, 0.1 * values - 0.3).value == pytest.approx(expected)
    assert si_snr_db(values, values) == Measured(math.inf)
    assert si_snr_db(2 * values + 0.1, values).value > 250


def test_si_snr_where_it_is_not_defined():
    prediction, values = pair()
    constant = np.full_like(values, 0.3)  # whose mean is not exactly 0.3
    for still in (np.zeros_like(values), constant):
        assert si_snr_db(prediction, still).reason == "the sound is silent or constant"
        assert si_snr_db(still, values).reason == "the reconstruction holds nothing of the sound"
    one_channel = values * [1, 0]
    assert si_snr_db(prediction, one_channel).value is not None


def test_the_squared_error_clips_both():
    prediction, values = pair(noise=0.5)
    prediction, values = 3 * prediction, 3 * values
    expected = np.mean((np.clip(prediction, -1, 1) - np.clip(values, -1, 1)) ** 2)
    assert mean_squared_error(prediction, values) == pytest.approx(expected)
    assert mean_squared_error(np.array([[1.5]]), np.array([[1.0]])) == 0


def test_psnr_has_a_range_of_two():
    assert psnr_db(1e-4) == pytest.approx(20 * math.log10(2 / 1e-2))
    assert psnr_db(4) == 0
    assert psnr_db(0) == math.inf


# By spectra


def slow_distance(prediction, values):
    """Log-spectral distance, frame by frame, with the discrete Fourier transform as a matrix."""
    window = scipy.signal.get_window("hann", audio_metrics.WINDOW)
    n = np.arange(audio_metrics.WINDOW)
    matrix = np.exp(
        -2j * np.pi * np.outer(n[: audio_metrics.WINDOW // 2 + 1], n) / audio_metrics.WINDOW
    )

    def powers(channel):
        for centre in range(0, len(channel) + 1, audio_metrics.HOP):
            frame = np.zeros(audio_metrics.WINDOW)
            for place in range(audio_metrics.WINDOW):
                index = centre - audio_metrics.WINDOW // 2 + place
                if 0 <= index < len(channel):
                    frame[place] = channel[index]
            yield np.abs(matrix @ (window * frame)) ** 2

    top = max(power.max() for channel in values.T for power in powers(channel))
    floor = top / 1e8
    distances = []
    for p, v in zip(prediction.T, values.T, strict=True):
        for power_p, power_v in zip(powers(p), powers(v), strict=True):
            levels = [
                10 * np.log10(np.maximum(power, floor)) for power in (power_p, power_v)
            ]  # fmt: skip
            distances.append(math.sqrt(np.mean((levels[0] - levels[1]) ** 2)))
    return np.mean(distances)


@pytest.mark.parametrize(("frames", "channels"), [(1, 1), (700, 2), (2048, 1), (3000, 2)])
def test_log_spectral_distance_by_its_formula(frames, channels):
    prediction, values = pair(frames, channels)
    values[: frames // 2] *= 1e-5  # below the floor
    expected = slow_distance(prediction, values)
    assert log_spectral_distance_db(prediction, values).value == pytest.approx(expected, abs=1e-8)


def test_log_spectral_distance_does_not_depend_on_blocks(monkeypatch):
    prediction, values = pair(9000)
    expected = log_spectral_distance_db(prediction, values).value
    monkeypatch.setattr(audio_metrics, "_FRAMES_AT_ONCE", 2)
    assert log_spectral_distance_db(prediction, values).value == pytest.approx(expected)


def test_log_spectral_distance_is_of_the_documented_frames():
    """Another window or hop would give figures that cannot be compared."""
    assert (audio_metrics.WINDOW, audio_metrics.HOP, audio_metrics.FLOOR_DB) == (2048, 512, 80)
    shapes = [power.shape for power in audio_metrics.power_spectra(np.ones((5120, 1)), 0)]
    assert shapes == [(1 + 5120 // 512, 1025)]


def test_log_spectral_distance_of_known_differences():
    _, values = pair(20000, 1)
    assert log_spectral_distance_db(values, values).value == 0
    # A gain of 10 is 20 dB in every bin.
    assert log_spectral_distance_db(10 * values, values).value == pytest.approx(20, abs=1e-6)
    assert log_spectral_distance_db(-values, values).value == pytest.approx(0, abs=1e-9)
    assert log_spectral_distance_db(values, 0 * values) == SILENT
    # Its unit does not matter.
    prediction, values = pair(5000)
    expected = log_spectral_distance_db(prediction, values).value
    assert log_spectral_distance_db(1e-3 * prediction, 1e-3 * values).value == pytest.approx(
        expected
    )


# By models of listeners


def speech_like(seconds=1.5, rate=16000, channels=1, seed=0):
    """Noise in syllables, of which STOI and PESQ can make something."""
    rng = np.random.default_rng(seed)
    time = np.arange(int(seconds * rate)) / rate
    syllables = np.clip(np.sin(2 * np.pi * 3 * time), 0, None)[:, None]
    return 0.3 * syllables * rng.standard_normal((len(time), channels)) + 1e-4


def noisy(values, level, seed=1):
    return values + level * np.random.default_rng(seed).standard_normal(values.shape)


def test_stoi_is_one_for_equals_and_falls_with_noise():
    values = speech_like()
    figures = [speech.stoi(noisy(values, level), values, 16000).value for level in (0, 0.1, 0.5)]
    assert figures[0] == pytest.approx(1)
    assert 1 > figures[1] > figures[2] > 0


@pytest.mark.parametrize("rate", [8000, 11025, 44100, 48000])
def test_stoi_brings_any_rate_to_ten_kilohertz(rate):
    values = speech_like(rate=rate)
    prediction = noisy(values, 0.1)
    at_ten = [resample_oct(w[:, 0], 10_000, rate)[:, None] for w in (prediction, values)]
    expected = speech.stoi(*at_ten, 10_000).value
    assert speech.stoi(prediction, values, rate).value == pytest.approx(expected, abs=1e-12)


def test_stoi_is_the_mean_over_channels():
    values = speech_like(channels=2)
    prediction = noisy(values, 0.2)
    each = [
        speech.stoi(prediction[:, [c]], values[:, [c]], 16000).value for c in range(2)
    ]  # fmt: skip
    assert speech.stoi(prediction, values, 16000).value == pytest.approx(np.mean(each))
    assert speech.stoi(prediction, values * [1, 0], 16000) == Measured(
        None, "channel 2: the sound is silent"
    )


def test_stoi_where_it_is_not_defined():
    values = speech_like()
    too_short = "STOI needs 0.4 s that are not silent"
    assert speech.stoi(values, 0 * values, 16000) == SILENT
    assert speech.stoi(values[:6000], values[:6000], 16000).reason == too_short
    assert speech.stoi(values[:1], values[:1], 16000).reason == too_short
    click = np.zeros_like(values)
    click[5000:5100] = 0.5
    assert speech.stoi(click, click, 16000).reason == too_short
    for rate in (1, 7999, 192_001, 768_000):
        assert speech.stoi(values, values, rate).reason == (
            f"STOI is for rates from 8000 to 192000 Hz, and this is {rate} Hz"
        )
    long = np.ones((120 * 8000 + 1, 1))
    assert "longer than 120 s; cut it with --duration" in speech.stoi(long, long, 8000).reason
    assert speech.stoi(0 * values, values, 16000).value == pytest.approx(0, abs=1e-6)


def test_stoi_is_defined_at_the_very_bounds(monkeypatch):
    values = speech_like(3)
    assert speech.stoi(values[:12000], values[:12000], 192_000).value is None  # 0.06 s of it
    shortest = np.ones((256 + 30 * 128, 1)) + speech_like(1)[: 256 + 30 * 128]
    asked = []
    monkeypatch.setattr("pystoi.stoi", lambda *_, **__: asked.append(1) or 0.5)
    assert speech.stoi(shortest, shortest, 10_000).value == 0.5
    assert speech.stoi(shortest[:-1], shortest[:-1], 10_000).value is None
    assert speech.stoi(values, values, 8000).value == 0.5
    long = np.ones((speech.LONGEST_STOI_S * 8000, 1))
    assert speech.stoi(long, long, 8000).value == 0.5
    highest = np.ones((192_000, 1))
    assert speech.stoi(highest, highest, 192_000).value == 0.5
    assert len(asked) == 4


class FakePesqError(RuntimeError):
    pass


@pytest.fixture
def fake_pesq(monkeypatch):
    """Stand in for the package, which is compiled when it is installed; records its calls."""
    package = ModuleType("pesq")
    calls = []

    def score(rate, reference, degraded, mode):
        calls.append((rate, reference, degraded, mode))
        outcome = answers.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    answers: list[object] = []
    package.pesq = score  # type: ignore[attr-defined]
    package.PesqError = FakePesqError  # type: ignore[attr-defined]
    package.calls, package.answers = calls, answers  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pesq", package)
    return package


@pytest.mark.parametrize(("rate", "mode"), [(8000, "nb"), (16000, "wb")])
def test_pesq_asks_for_the_band_of_the_rate_reference_first_and_clipped(fake_pesq, rate, mode):
    values = speech_like(rate=rate, channels=2)
    values[0] = 1.5, -1.5
    prediction = noisy(values, 0.2)
    fake_pesq.answers += [2.0, 3.0]
    assert speech.pesq(prediction, values, rate) == Measured(2.5)
    for channel, call in enumerate(fake_pesq.calls):
        assert (call[0], call[3]) == (rate, mode)
        np.testing.assert_array_equal(call[1], values[:, channel].clip(-1, 1))
        np.testing.assert_array_equal(call[2], prediction[:, channel].clip(-1, 1))


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [
        (FakePesqError(b"No utterances detected"), "PESQ: no utterances detected"),
        (FakePesqError("Too short"), "PESQ: too short"),
        (FakePesqError(), "PESQ: no figure"),
        (ValueError("cannot convert float NaN to integer"), "PESQ has no figure for it"),
        (math.nan, "PESQ has no figure for it"),
    ],
)
def test_what_the_package_says_is_a_reason(fake_pesq, outcome, reason):
    values = speech_like()
    fake_pesq.answers.append(outcome)
    assert speech.pesq(values, values, 16000) == Measured(None, reason)


def test_pesq_where_it_is_not_defined(fake_pesq):
    values = speech_like()
    assert speech.pesq(values, 0 * values, 16000) == SILENT
    for rate in (1, 44100, 768_000):
        assert speech.pesq(values, values, rate).reason == (
            f"PESQ is for 8000 and 16000 Hz, and this is {rate} Hz"
        )
    long = np.ones((20 * 16000 + 1, 1))
    assert "longer than 20 s; cut it with --duration" in speech.pesq(long, long, 16000).reason
    assert fake_pesq.calls == []
    fake_pesq.answers.append(2.0)
    assert speech.pesq(long[:-1], long[:-1], 16000) == Measured(2.0)


def test_pesq_without_its_extra_says_how_to_get_it(monkeypatch):
    real = builtins.__import__

    def without(name, *rest):
        if name == "pesq":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    values = speech_like()
    reason = speech.pesq(values, values, 16000).reason
    assert reason == "needs the extra: pip install 'nint[pesq]'"


def test_pesq_by_the_real_package():
    pytest.importorskip("pesq", exc_type=ImportError)
    values = speech_like(3)
    assert speech.pesq(values, values, 16000).value == pytest.approx(4.64, abs=0.01)
    assert speech.pesq(values, values, 8000).value == pytest.approx(4.55, abs=0.01)
    assert 1 < speech.pesq(noisy(values, 0.2), values, 16000).value < 3
    assert speech.pesq(0 * values, values, 16000).reason == "PESQ has no figure for it"
    short = speech.pesq(values[:3000], values[:3000], 16000)
    assert short.reason == "PESQ: buffer needs to be at least 1/4 of a second long"


def voice(rate=16000):
    """Vowels of a falling pitch with pauses between them, each of its own resonances."""
    time = np.arange(int(1.6 * rate)) / rate
    pitch = 120 - 20 * time
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    vowels = [(730, 1090, 2440), (270, 2290, 3010), (300, 870, 2240), (660, 1720, 2410)]
    said = np.zeros(len(time))
    for number, resonances in enumerate(vowels):
        within = np.clip(np.sin(np.pi * (time / 0.4 - number)), 0, None)
        within *= (time >= 0.4 * number) & (time < 0.4 * (number + 1))
        for harmonic in range(1, 30):
            strength = sum(np.exp(-(((harmonic * pitch - f) / 150) ** 2)) for f in resonances)
            said += within * strength * np.sin(harmonic * phase)
    return 0.3 * (said / np.abs(said).max())[:, None]


def test_stoi_is_that_of_the_plain_measure_and_falls_with_noise_on_a_voice():
    values = voice()
    figures = []
    for level in (0.003, 0.03, 0.3):
        prediction = noisy(values, level)
        figures.append(speech.stoi(prediction, values, 16000).value)
        plain = pystoi.stoi(values[:, 0], prediction[:, 0], 16000, extended=False)
        assert figures[-1] == pytest.approx(plain, abs=1e-12)
    assert 1 > figures[0] > 0.9 > figures[1] > figures[2] > 0
