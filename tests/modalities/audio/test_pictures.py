import io
import warnings

import matplotlib as mpl
import numpy as np
import pytest
import torch
from PIL import Image

from nint_cli.modalities.audio import pictures as audio_pictures
from nint_cli.modalities.audio.files import read_sound
from nint_cli.modalities.audio.pictures import selection_picture, sound_picture
from nint_cli.samplers.base import Selection
from nint_cli.samplers.table import all_slots


def pixels(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def near(picture, colour, tolerance=12):
    return np.abs(picture - np.array(colour)).max(axis=2) <= tolerance


@pytest.fixture
def drawn(monkeypatch):
    """The figures that were drawn, before they became bytes."""
    figures = []
    real = audio_pictures._png
    monkeypatch.setattr(
        audio_pictures, "_png", lambda figure: (figures.append(figure), real(figure))[1]
    )
    return figures


# A sound and its reconstruction


def test_the_picture_is_readable_and_says_what_it_shows(drawn):
    sound = read_sound("sample:chord")
    waveform = sound.waveform()
    png = sound_picture(waveform, 0.9 * waveform, sound.sample_rate_hz)
    assert pixels(png).shape == (1000, 1200, 3)
    axes = drawn[0].axes
    titles = [one.get_title(loc="left") for one in axes[:5]]
    assert titles == [
        "original",
        "reconstruction",
        "error, up to 0.08, 10 % of the original's peak",
        "spectrogram of the original",
        "spectrogram of the reconstruction",
    ]
    assert [one.get_ylabel() for one in axes[:3]] == ["amplitude"] * 3
    assert [one.get_ylabel() for one in axes[3:5]] == ["frequency / kHz"] * 2
    assert axes[4].get_xlabel() == "time / s"
    assert axes[0].get_xlim() == (0, 3)
    assert axes[0].get_ylim() == axes[1].get_ylim()
    assert axes[2].get_ylim()[1] == pytest.approx(0.1 * axes[0].get_ylim()[1])
    images = [one.images[0] for one in axes[3:5]]
    assert images[0].get_clim() == images[1].get_clim() == (-80, 0)


def test_the_same_sound_gives_the_same_bytes_and_no_global_state_changes():
    waveform = read_sound("sample:chirp").waveform()
    before = dict(mpl.rcParams)
    assert sound_picture(waveform, waveform, 16000) == sound_picture(waveform, waveform, 16000)
    assert dict(mpl.rcParams) == before


@pytest.mark.parametrize(
    ("frames", "channels", "rate"),
    [
        (1, 1, 16000),
        (2, 2, 16000),
        (40, 1, 8000),
        (400, 1, 1),
        (5000, 8, 768_000),
        (9, 1, 2**31 - 1),
    ],
)
def test_sounds_of_every_size(frames, channels, rate):
    rng = np.random.default_rng(0)
    original, reconstruction = rng.standard_normal((2, frames, channels))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert pixels(sound_picture(original, reconstruction, rate)).shape == (1000, 1200, 3)


def test_silence_and_an_exact_fit(drawn):
    silence = np.zeros((800, 1))
    sound_picture(silence, silence, 16000)
    sound_picture(silence, silence + 0.25, 16000)
    waveform = read_sound("sample:chirp").waveform()
    sound_picture(waveform, waveform, 16000)
    titles = [figure.axes[2].get_title(loc="left") for figure in drawn]
    assert titles == ["no error", "error, up to 0.25", "no error"]
    assert drawn[0].axes[4].get_xlabel() == "time / ms"
    assert (drawn[0].axes[3].images[0].get_array() == -80).all()


def test_the_range_of_a_long_sound_misses_no_sample(drawn):
    waveform = np.zeros((250_003, 2))
    waveform[123_456, 0], waveform[200_001, 1] = 0.75, -0.5
    sound_picture(waveform, waveform, 16000)
    path = drawn[0].axes[0].collections[0].get_paths()[0].vertices
    assert path[:, 1].max() == 0.75
    assert path[:, 1].min() == -0.5
    assert len(path) < 5000
    at_s = path[path[:, 1].argmax(), 0]
    assert at_s == pytest.approx(123_456 / 16000, abs=250_003 / 16000 / 1000)


def test_the_spectrogram_has_a_tone_where_it_is(drawn):
    rate = 8000
    waveform = np.sin(2 * np.pi * 1000 * np.arange(2 * rate) / rate)[:, None]
    waveform[: rate // 2] = 0
    sound_picture(waveform, 0.1 * waveform, rate)
    original, reconstruction = (one.images[0] for one in drawn[0].axes[3:5])
    assert original.get_extent() == [0, 2, 0, 4]
    levels = original.get_array()
    rows, columns = levels.shape
    row, column = np.unravel_index(levels.argmax(), levels.shape)
    assert (row + 0.5) / rows * 4 == pytest.approx(1, abs=0.05)
    assert levels.max() == 0
    assert (levels[:, : columns // 5] == -80).all()
    assert reconstruction.get_array()[row, column] == pytest.approx(-20, abs=1e-6)


def test_pooling_of_time_and_frequency_is_bounded(drawn):
    waveform = np.random.default_rng(0).standard_normal((200_000, 1))
    sound_picture(waveform, waveform, 96_000)
    assert drawn[0].axes[3].images[0].get_array().shape == (256, 195)
    waveform = np.random.default_rng(0).standard_normal((3_000_000, 1))
    sound_picture(waveform, waveform, 8000)
    assert drawn[1].axes[3].images[0].get_array().shape == (129, 1000)


# What was chosen


def shares(panel):
    """Heights of the stack in each bin, and colour, per slot."""
    return {
        patch.get_label().split()[0]: (
            patch.get_data().values - patch.get_data().baseline,
            tuple(round(255 * part) for part in patch.get_facecolor()[:3]),
        )
        for patch in panel.patches
    }


def test_the_share_of_each_slot_over_time(drawn):
    waveform = read_sound("sample:chord").waveform()[:1000]
    selection = Selection(
        torch.tensor([0, 1, 2, 999, 998, 500]),
        slots=(("ntk", 3), ("residual", 2), ("uniform", 1)),
    )
    png = selection_picture(waveform, {"last": selection}, {"last": 9}, 16000)
    picture = pixels(png)
    assert picture.shape == (400, 1200, 3)
    panel = drawn[0].axes[1]
    assert panel.get_title(loc="left") == "step 9"
    assert panel.get_ylabel() == "share chosen"
    assert drawn[0].axes[1].get_xlabel() == "time / ms"
    stacks = shares(panel)
    assert {slot: colour for slot, (_, colour) in stacks.items()} == {
        slot: all_slots()[slot].colour for slot in ("ntk", "residual", "uniform")
    }
    expected = {"ntk": {0: 0.75}, "residual": {249: 0.5}, "uniform": {125: 0.25}}
    for slot, places in expected.items():
        heights = np.zeros(250)
        heights[list(places)] = list(places.values())
        np.testing.assert_allclose(stacks[slot][0], heights, atol=1e-15)
    for slot in expected:
        assert near(picture, all_slots()[slot].colour).any()
    labels = [text.get_text() for text in panel.get_legend().get_texts()]
    assert labels == ["ntk 3", "residual 2", "uniform 1"]


def test_all_panels_stand_on_one_scale(drawn):
    waveform = read_sound("sample:chirp").waveform()
    everything = Selection(torch.arange(32000), slots=(("full", 32000),))
    half = Selection(torch.arange(0, 32000, 2), slots=(("uniform", 16000),))
    chosen = {"first": half, "middle": everything, "last": half}
    png = selection_picture(waveform, chosen, {"first": 1, "middle": 5, "last": 9}, 16000)
    assert pixels(png).shape == (800, 1200, 3)
    panels = drawn[0].axes[1:]
    assert [panel.get_title(loc="left") for panel in panels] == ["step 1", "step 5", "step 9"]
    assert {panel.get_ylim() for panel in panels} == {(0, 1.05)}
    np.testing.assert_allclose(shares(panels[0])["uniform"][0], 0.5)
    np.testing.assert_allclose(shares(panels[1])["full"][0], 1)


def test_a_point_that_is_chosen_twice_counts_twice(drawn):
    twice = Selection(torch.tensor([3, 3]), slots=(("mined", 2),))
    selection_picture(np.zeros((10, 1)), {"last": twice}, {"last": 1}, 1)
    np.testing.assert_array_equal(shares(drawn[0].axes[1])["mined"][0], 2.0 * (np.arange(10) == 3))


def test_a_selection_without_slots_is_drawn_empty(drawn):
    selection_picture(np.zeros((1, 1)), {"last": Selection(torch.tensor([0]))}, {"last": 1}, 16000)
    assert drawn[0].axes[1].get_ylim() == (0, 1)
