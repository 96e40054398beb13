"""The frequencies that a sound's field starts with."""

import math

import numpy as np
import pytest
import torch

from nint_cli.config.layers import Layer, Setting, resolve
from nint_cli.config.presets import preset_layer
from nint_cli.modalities.audio.subject import first_hertz
from nint_cli.modalities.audio.wav import encode_sound
from nint_cli.runs.build import field_for
from nint_cli.runs.inputs import read_input


@pytest.mark.parametrize(
    ("rate_hz", "samples", "expected"),
    [
        (44_100, 1000, 1000),
        (44_100, 308_207, 1000),
        (16_000, 1000, 1000),
        (16_000, 10_000_000, 1000),
        (8000, 1_000_000, 500),
        (8000, 100_000, 500),
        (8000, 80_000, 625),
        (8000, 62_500, 800),
        (8000, 50_000, 1000),
        (8000, 1, 1000),
        (4000, 200_000, 250),
        (4000, 1000, 500),
        (12_000, 80_000, 937.5),
        (12_000, 50_000, 1000),
    ],
)
def test_a_short_sound_of_a_low_rate_starts_up_to_an_octave_higher(rate_hz, samples, expected):
    assert first_hertz(rate_hz, samples) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("samples", "given", "expected_hz"),
    [(4000, {}, 1000), (104_000, {}, 500), (4000, {"siren.first_frequency": 77.0}, None)],
)
def test_the_first_weights_hold_that_frequency(tmp_path, samples, given, expected_hz):
    path = tmp_path / "sound.wav"
    times_s = np.arange(samples) / 8000
    path.write_bytes(encode_sound(np.sin(440 * times_s)[:, None], 8000, "PCM_16")[0])
    layer = Layer({key: Setting(value, "here") for key, value in given.items()})
    config = resolve([preset_layer("default", "audio"), layer], "audio").config
    signal = read_input("audio", str(path), config, torch.device("cpu")).signal
    # The sound spans two units of coords.
    wanted = 77.0 if expected_hz is None else 2 * math.pi * expected_hz * samples / 8000 / 2
    field = field_for(config, signal, torch.Generator().manual_seed(0))
    highest = field.scale * field.weights[0].detach().abs().max()
    assert 0.97 * wanted < highest <= 1.0001 * wanted
