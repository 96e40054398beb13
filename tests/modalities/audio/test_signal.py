import numpy as np
import pytest
import torch

from nint_cli.errors import InputError
from nint_cli.modalities.audio import sample_sounds
from nint_cli.modalities.audio.files import read_sound
from nint_cli.modalities.audio.signal import Scaling, Sound, difference, played, to_waveform


def sound(values, dtype=np.int16, rate=16000):
    return Sound(np.array(values, dtype).reshape(len(values), -1), rate, "PCM_16", "")


def fitted(signal):
    coords, values = signal.slice(0, len(signal))
    return coords.numpy(), values.numpy()


@pytest.mark.parametrize(
    ("dtype", "full"), [(np.int16, 2**15), (np.int32, 2**31), (np.float32, 1), (np.float64, 1)]
)
def test_values_fill_the_range_and_come_back(dtype, full):
    waveform = np.array([[0.25, -0.5], [0.125, 0.0], [-0.0625, 0.375]])
    one = sound(waveform * full, dtype)
    np.testing.assert_array_equal(one.waveform(), waveform)
    assert one.waveform().dtype == np.float64
    assert one.peak == 0.5
    signal = one.signal()
    coords, values = fitted(signal)
    np.testing.assert_array_equal(coords[:, 0], [-1, 0, 1])
    np.testing.assert_array_equal(values, 2 * waveform)
    assert values.dtype == np.float32
    back = to_waveform(torch.from_numpy(values), one.scaling())
    np.testing.assert_array_equal(back, waveform)
    assert back.dtype == np.float64


@pytest.mark.parametrize(
    ("dtype", "full"), [(np.int16, 2**15), (np.int32, 2**31), (np.float64, 1)]
)
def test_the_papers_range_is_zero_to_one(dtype, full):
    waveform = np.array([[0.25], [-0.5], [0.0]])
    one = sound(waveform * full, dtype)
    scaling = one.scaling("unit")
    _, values = fitted(one.signal(scaling=scaling))
    np.testing.assert_array_equal(values, (waveform + 1) / 2)
    np.testing.assert_array_equal(to_waveform(torch.from_numpy(values), scaling), waveform)


def test_integers_stay_in_their_own_type():
    assert sound([1, 2]).signal().stored.dtype == torch.int16
    assert sound([1, 2], np.int32).signal().stored.dtype == torch.int32
    assert sound([1, 2], np.float64).signal().stored.dtype == torch.float32


def test_the_most_negative_integer_is_a_peak_of_one():
    one = sound([-(2**15), 2**15 - 1])
    assert one.peak == 1
    np.testing.assert_array_equal(fitted(one.signal())[1][:, 0], [-1, 1 - 2.0**-15])


@pytest.mark.parametrize("dtype", [np.int16, np.float64])
def test_silence_is_zero(dtype):
    one = sound([0, 0, 0], dtype)
    assert one.scaling() == Scaling(1.0, 0.0)
    np.testing.assert_array_equal(fitted(one.signal())[1], 0)
    assert to_waveform(torch.zeros(3, 1), one.scaling()).tolist() == [[0.0]] * 3


@pytest.mark.parametrize("peak", [5e-324, 1e-300, 1e-45, 3e38])
def test_peaks_at_the_ends_of_the_numbers(peak):
    one = sound([peak, -peak, 0], np.float64)
    np.testing.assert_array_equal(fitted(one.signal())[1][:, 0], [1, -1, 0])


def test_coords_run_as_far_as_they_are_told():
    coords, _ = fitted(sound([1, 2, 3, 4, 5]).signal(half_range=5.0))
    np.testing.assert_array_equal(coords[:, 0], [-5, -2.5, 0, 2.5, 5])


def test_another_sound_takes_the_scaling_of_a_run():
    scaling = sound([100, -200]).scaling()
    _, values = fitted(sound([50, 400]).signal(scaling=scaling))
    np.testing.assert_allclose(values[:, 0], [0.25, 2.0])


def test_a_single_sample_is_a_signal():
    coords, values = fitted(sound([-7]).signal())
    assert coords.shape == values.shape == (1, 1)
    assert values[0, 0] == -1


# Built-in sounds


def test_built_in_sounds_are_inputs_like_files():
    assert sample_sounds.SAMPLES.names() == ["chirp", "chord"]
    for name in sample_sounds.SAMPLES.names():
        one = read_sound(f"sample:{name}")
        assert (one.sample_rate_hz, one.channels, one.subtype) == (16000, 1, "PCM_16")
        assert 2 <= one.duration_s <= 3
        assert one.conversions == ()
        assert one.peak == pytest.approx(0.8, abs=1e-4)
        assert one.samples[0, 0] == one.samples[-1, 0] == 0
        assert read_sound(f"sample:{name}").sha256 == one.sha256
        assert len(read_sound(f"sample:{name}", duration_s=0.5).samples) == 8000


def loudest_hz(one, start_s, duration_s=0.1):
    first = int(start_s * one.sample_rate_hz)
    stretch = one.waveform()[first : first + int(duration_s * one.sample_rate_hz), 0]
    power = np.abs(np.fft.rfft(stretch * np.hanning(len(stretch)), 1 << 16))
    return power.argmax() * one.sample_rate_hz / (1 << 16)


def test_the_chirp_rises_by_equal_ratios():
    chirp = read_sound("sample:chirp")
    for start_s in (0.95, 1.45):
        expected = 50 * 120 ** ((start_s + 0.05) / 2)
        assert loudest_hz(chirp, start_s, 0.1) == pytest.approx(expected, rel=0.1)


def test_the_chord_is_c_major():
    chord = read_sound("sample:chord")
    assert loudest_hz(chord, 0.05, 0.2) == pytest.approx(130.8, rel=0.02)
    power = np.abs(np.fft.rfft(chord.waveform()[16000:40000, 0], 1 << 18))
    for pitch_hz in (130.8, 164.8, 196.0, 261.6, 329.6):
        here = round(pitch_hz / 16000 * (1 << 18))
        assert power[here - 40 : here + 40].max() > 0.05 * power.max()


def test_a_picture_is_no_sound():
    with pytest.raises(InputError, match="no built-in sound 'sample:astronaut'; there are chirp"):
        sample_sounds.sound("astronaut")


def test_rows_are_those_of_the_whole_waveform():
    levels = np.arange(-30, 30, dtype=np.int16).reshape(30, 2) * 1000
    sound, scaling = Sound(levels, 8000, "PCM_16", ""), Scaling(0.5, 0.25)
    prediction = torch.linspace(-1, 1, 60).reshape(30, 2)
    whole, found = sound.waveform(), to_waveform(prediction, scaling)
    rows = sound.rows(), played(prediction, scaling)
    assert rows[0].shape == rows[1].shape == difference(*rows).shape == (30, 2)
    for part in (slice(0, 30), slice(7, 9), slice(28, 99)):
        np.testing.assert_array_equal(rows[0][part], whole[part])
        np.testing.assert_array_equal(rows[1][part], found[part])
        np.testing.assert_array_equal(difference(*rows)[part], whole[part] - found[part])
    np.testing.assert_array_equal(sound.waveform(np.array([3, 5])), whole[[3, 5]])
