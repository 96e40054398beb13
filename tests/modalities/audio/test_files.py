import io
import os
import resource
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from nint_cli.errors import InputError
from nint_cli.modalities.audio import wav as wavfile
from nint_cli.modalities.audio.files import read_sound
from nint_cli.modalities.audio.wav import encode_sound


def waves(frames=4000, channels=1, amplitude=0.6):
    """A tone per channel, each of its own pitch."""
    phase = np.arange(frames)[:, None] * 0.05 * (1 + np.arange(channels))
    return amplitude * np.sin(phase)


def save(path, waveform=None, rate=16000, **options):
    waveform = waves() if waveform is None else waveform
    with soundfile.SoundFile(path, "w", rate, waveform.shape[1], **options) as file:
        file.write(waveform)
    return str(path)


def content(tmp_path, waveform=None, **options):
    return Path(save(tmp_path / "whole", waveform, **options)).read_bytes()


def riff(
    data=b"", *, promised=None, tag=1, channels=1, rate=16000, bits=16, align=None, extra=b""
):
    """A WAV file byte by byte, so that its header can say anything."""
    align = channels * bits // 8 if align is None else align
    form = struct.pack("<HHIIHH", tag, channels, rate, rate * align & 0xFFFFFFFF, align, bits)
    form += extra
    size = len(data) if promised is None else promised
    body = b"WAVEfmt " + struct.pack("<I", len(form)) + form
    body += b"data" + struct.pack("<I", size) + data
    whole = len(body) - len(data) + size
    return b"RIFF" + struct.pack("<I", min(whole, 0xFFFFFFFF)) + body


def write(path, data):
    path.write_bytes(data)
    return str(path)


def refused(source, reason, **options):
    with pytest.raises(InputError, match=reason) as caught:
        read_sound(str(source), **options)
    assert "\n" not in str(caught.value)
    assert f"'{source}'" in str(caught.value)


# Sound files


@pytest.mark.parametrize("channels", [1, 2, 8])
@pytest.mark.parametrize(
    ("subtype", "dtype", "shift"),
    [
        ("PCM_U8", np.int16, 8),
        ("PCM_16", np.int16, 0),
        ("PCM_24", np.int32, 8),
        ("PCM_32", np.int32, 0),
    ],
)
def test_integers_of_every_depth_come_back_as_they_are(tmp_path, subtype, dtype, shift, channels):
    limits = np.iinfo(dtype)
    levels = np.random.default_rng(0).integers(
        limits.min >> shift, limits.max >> shift, (500, channels), dtype, endpoint=True
    )
    levels[:2, 0] = limits.min >> shift, limits.max >> shift
    path = save(tmp_path / "a.wav", levels << shift, subtype=subtype)
    sound = read_sound(path)
    assert sound.samples.dtype == dtype
    np.testing.assert_array_equal(sound.samples, levels << shift)
    assert (sound.sample_rate_hz, sound.subtype, sound.channels) == (16000, subtype, channels)
    np.testing.assert_array_equal(sound.waveform(), (levels << shift) / 2.0 ** (limits.bits - 1))
    assert sound.conversions == ()


@pytest.mark.parametrize(("subtype", "dtype"), [("FLOAT", np.float32), ("DOUBLE", np.float64)])
def test_floating_point_keeps_every_bit_and_what_is_beyond_full_scale(tmp_path, subtype, dtype):
    waveform = waves(channels=2, amplitude=2.5).astype(dtype)
    sound = read_sound(save(tmp_path / "a.wav", waveform, subtype=subtype))
    assert sound.samples.dtype == dtype
    np.testing.assert_array_equal(sound.samples, waveform)
    assert sound.peak == float(np.abs(waveform).max())
    assert sound.conversions == ("values beyond full scale kept, up to 2.5",)


@pytest.mark.parametrize(
    ("suffix", "options"),
    [
        ("flac", {"format": "FLAC", "subtype": "PCM_16"}),
        ("flac", {"format": "FLAC", "subtype": "PCM_24"}),
        ("wav", {"format": "RF64", "subtype": "PCM_16"}),
        ("wav", {"format": "WAVEX", "subtype": "PCM_16"}),
        ("w64", {"format": "W64", "subtype": "PCM_16"}),
        ("aiff", {"format": "AIFF", "subtype": "PCM_16"}),
        ("au", {"format": "AU", "subtype": "PCM_16"}),
        ("caf", {"format": "CAF", "subtype": "ALAC_16"}),
    ],
)
def test_lossless_formats_give_what_was_written(tmp_path, suffix, options):
    bits = 24 if "24" in options["subtype"] else 16
    levels = np.round(waves(channels=2) * 2 ** (bits - 1)).astype(np.int32)
    sound = read_sound(save(tmp_path / f"a.{suffix}", levels << (32 - bits), **options))
    expected = (levels << 8) if bits == 24 else levels
    np.testing.assert_array_equal(sound.samples, expected)
    assert sound.conversions == ()


@pytest.mark.parametrize(
    ("suffix", "rate", "options"),
    [
        ("ogg", 16000, {"format": "OGG", "subtype": "VORBIS"}),
        ("opus", 48000, {"format": "OGG", "subtype": "OPUS"}),
        ("mp3", 16000, {"format": "MP3", "subtype": "MPEG_LAYER_III"}),
        ("wav", 16000, {"subtype": "ULAW"}),
        ("wav", 16000, {"subtype": "IMA_ADPCM"}),
    ],
)
def test_lossy_formats_give_nearly_what_was_written(tmp_path, suffix, rate, options, capfd):
    waveform = waves(16000, channels=2)
    sound = read_sound(save(tmp_path / f"a.{suffix}", waveform, rate, **options))
    assert (sound.sample_rate_hz, sound.channels) == (rate, 2)
    error = sound.waveform()[:16000] - waveform
    assert np.square(error).mean() < 0.01 * np.square(waveform).mean()
    assert capfd.readouterr().err == ""


def test_what_is_read_does_not_depend_on_the_size_of_blocks(tmp_path, monkeypatch):
    path = save(tmp_path / "a.flac", waves(channels=3))
    whole = read_sound(path)
    monkeypatch.setattr("nint_cli.modalities.audio.files._SAMPLES_AT_ONCE", 100)
    pieces = read_sound(path)
    np.testing.assert_array_equal(pieces.samples, whole.samples)
    assert pieces.sha256 == whole.sha256
    stretch = read_sound(path, start_s=0.1, duration_s=0.05)
    np.testing.assert_array_equal(stretch.samples, whole.samples[1600:2400])


def test_seconds_beyond_what_floats_count_in_frames(tmp_path):
    path = save(tmp_path / "a.wav", waves(8000))
    for far in (1e305, 1.7e308):
        sound = read_sound(path, duration_s=far)
        assert len(sound.samples) == 8000
        assert sound.conversions == (f"{far:g} s are asked for, and it ends after 0.5 s",)
        assert len(read_sound(path, start_s=0.25, duration_s=far).samples) == 4000
        refused(path, rf"lasts 0.5 s, and --start is {far:g} s".replace("+", r"\+"), start_s=far)


@pytest.mark.parametrize("rate", [1, 8000, 44100, 768_000])
def test_any_sample_rate(tmp_path, rate):
    sound = read_sound(write(tmp_path / "a.wav", riff(bytes(200), rate=rate)))
    assert sound.sample_rate_hz == rate
    assert sound.duration_s == 100 / rate


def test_a_stretch_and_what_is_said_of_it(tmp_path):
    waveform = waves(8000)
    path = save(tmp_path / "a.wav", waveform, subtype="DOUBLE")
    sound = read_sound(path, start_s=0.125, duration_s=0.25)
    np.testing.assert_array_equal(sound.samples, waveform[2000:6000])
    assert sound.conversions == ("cut to 4,000 of 8,000 frames, from frame 2,000",)
    np.testing.assert_array_equal(read_sound(path, start_s=0.25).samples, waveform[4000:])
    np.testing.assert_array_equal(read_sound(path, duration_s=0.5).samples, waveform)
    assert read_sound(path, duration_s=0.5).conversions == ()


def test_a_stretch_that_is_not_there_is_refused_with_the_length(tmp_path):
    path = save(tmp_path / "a.wav", waves(8000))
    refused(path, r"lasts 0.5 s, and --start is 0.5 s", start_s=0.5)
    refused(path, r"lasts 0.5 s, and --start is -1 s", start_s=-1)
    refused(path, r"--duration is less than one sample at 16000 Hz", duration_s=1e-6)


def test_a_stretch_ends_where_the_file_does(tmp_path):
    path = save(tmp_path / "a.wav", waves(8000))
    sound = read_sound(path, duration_s=0.6)
    assert len(sound.samples) == 8000
    assert sound.conversions == ("0.6 s are asked for, and it ends after 0.5 s",)
    sound = read_sound(path, start_s=0.3, duration_s=0.25)
    assert len(sound.samples) == 3200
    assert sound.conversions[-1] == "0.25 s are asked for, and it ends after 0.2 s"


def test_mono_is_the_mean_without_rounding(tmp_path):
    levels = np.array([[0, 1], [-32768, -32768], [32767, -32768], [5, 7]], np.int16)
    sound = read_sound(save(tmp_path / "a.wav", levels), mono=True)
    assert sound.samples.dtype == np.float32
    np.testing.assert_array_equal(sound.waveform()[:, 0] * 32768, [0.5, -32768, -0.5, 6])
    assert sound.conversions == ("2 channels mixed to one, their mean",)
    assert sound.sha256 == read_sound(str(tmp_path / "a.wav")).sha256
    deep = read_sound(save(tmp_path / "b.wav", levels, subtype="PCM_32"), mono=True)
    assert deep.samples.dtype == np.float64
    one = read_sound(save(tmp_path / "c.wav", levels[:, :1]), mono=True)
    assert one.samples.dtype == np.int16
    assert one.conversions == ()


def test_the_hash_is_of_all_that_was_decoded(tmp_path):
    levels = np.arange(-300, 300, dtype=np.int16)[:, None]
    wav = read_sound(save(tmp_path / "a.wav", levels))
    flac = read_sound(save(tmp_path / "a.flac", levels))
    assert wav.sha256 == flac.sha256
    assert read_sound(str(tmp_path / "a.wav"), duration_s=0.01).sha256 == wav.sha256
    other = {
        read_sound(save(tmp_path / "b.wav", levels, rate=8000)).sha256,
        read_sound(save(tmp_path / "c.wav", levels.reshape(300, 2))).sha256,
        read_sound(save(tmp_path / "d.wav", levels[::-1].copy())).sha256,
        read_sound(save(tmp_path / "e.wav", levels[:-1])).sha256,
    }
    assert len(other | {wav.sha256}) == 5


def test_silence_and_a_single_sample(tmp_path):
    assert read_sound(save(tmp_path / "a.wav", np.zeros((50, 2)))).peak == 0
    one = read_sound(save(tmp_path / "b.wav", np.full((1, 1), 0.5)))
    assert one.samples.shape == (1, 1)
    assert one.peak == 0.5


def test_a_name_that_does_not_fit_is_said(tmp_path):
    path = save(tmp_path / "a.mp3", waves(), format="FLAC")
    assert read_sound(path).conversions == ("read as FLAC, whatever its name says",)


@pytest.mark.parametrize(
    "name", [b"a\x1b[31m.wav", b"[red]a.wav", b"new\nline.wav", b"\xff\xfe.wav"]
)
def test_names_of_all_kinds(tmp_path, name):
    path = os.fsdecode(os.fsencode(tmp_path) + b"/" + name)
    Path(path).write_bytes(riff(bytes(20)))
    assert len(read_sound(path).samples) == 10


def test_a_pipe_is_read_once(tmp_path):
    expected = read_sound(save(tmp_path / "a.flac", waves()))
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with subprocess.Popen(["/bin/sh", "-c", f"cat '{tmp_path}/a.flac' > '{pipe}'"]):
        sound = read_sound(str(pipe))
    np.testing.assert_array_equal(sound.samples, expected.samples)
    assert sound.sha256 == expected.sha256


def test_a_stretch_of_a_compressed_sound(tmp_path):
    levels = np.round(waves(48_000) * 2**15).astype(np.int16)
    path = save(tmp_path / "a.flac", levels, subtype="PCM_16")
    sound = read_sound(path, duration_s=2)
    assert sound.sample_rate_hz == 16000
    np.testing.assert_array_equal(sound.samples, levels[:32_000])
    np.testing.assert_array_equal(read_sound(path, start_s=1).samples, levels[16_000:])


# Bad files


def test_what_is_not_there_or_empty(tmp_path):
    refused(tmp_path / "no.wav", "No such file")
    refused(tmp_path, "it is a folder; name a sound")
    refused(write(tmp_path / "empty.wav", b""), "the file is empty")
    refused(write(tmp_path / "none.wav", riff()), "it holds no samples")
    refused("sound\0.wav", "null")
    with pytest.raises(InputError, match="no built-in sound 'sample:chrod', did you mean 'chord'"):
        read_sound("sample:chrod")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(tmp_path):
    path = Path(save(tmp_path / "a.wav"))
    path.chmod(0)
    refused(path, "Permission denied")


def test_what_is_no_sound(tmp_path):
    refused(write(tmp_path / "a.wav", b"no sound at all\n" * 20), "no sound of a known kind")
    refused(write(tmp_path / "b.mp3", b"<html></html>" * 20), "no sound of a known kind")
    refused(write(tmp_path / "c.wav", riff(bytes(50))[:30]), "there is no whole chunk")
    refused(write(tmp_path / "d.wav", riff(bytes(50), channels=0, align=2)), "0 channels")


@pytest.mark.parametrize(
    ("name", "start", "kind"),
    [
        ("a.wav", b"\0\0\0\x20ftypM4A \0\0\0\0", "MPEG-4"),
        ("a b.m4a", b"whatever it is", "MPEG-4"),
        ("a.aac", b"\xff\xf1\x50\x80", "AAC"),
        ("a.wma", b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "Windows Media"),
        ("a.webm", b"\x1a\x45\xdf\xa3", "Matroska"),
        ("a.amr", b"#!AMR\n", "AMR"),
    ],
)
def test_what_another_tool_must_convert(tmp_path, monkeypatch, name, start, kind):
    monkeypatch.setattr("nint_cli.modalities.audio.ffmpeg.shutil.which", lambda _: None)
    path = write(tmp_path / name, start + bytes(300))
    refused(path, f"{kind}.* is not read here; convert it first: ffmpeg -i ")
    with pytest.raises(InputError) as caught:
        read_sound(path)
    words = str(caught.value).split("ffmpeg -i ")[1]
    shown = subprocess.run(
        ["/bin/sh", "-c", f"printf '%s\\n' {words}"], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert shown == [path, str(Path(path).with_suffix(".new.wav" if name == "a.wav" else ".wav"))]


def test_formats_that_are_not_on_the_list(tmp_path):
    path = save(tmp_path / "a.mat", format="MAT5", subtype="PCM_16")
    refused(path, "files of kind MAT5 are not read; convert it first: ffmpeg")


def test_nothing_of_mpeg_audio_is_one_line(tmp_path, capfd):
    path = write(tmp_path / "a.mp3", b"\xff\xfb\x90\x00" + bytes(4000))
    refused(path, "no frame of MPEG audio")
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("closed", [pytest.param((2,), marks=pytest.mark.slow), (0, 2)])
def test_standard_error_that_is_closed_is_no_fault(tmp_path, closed):
    path = save(tmp_path / "a.mp3", waves(16000), format="MP3")
    script = (
        f"import os, sys; [os.close(number) for number in {closed}]\n"
        "from nint_cli.modalities.audio.files import read_sound\n"
        "print(read_sound(sys.argv[1]).samples.shape)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, path], stdout=subprocess.PIPE, text=True, check=True
    )
    assert done.stdout == "(16000, 1)\n"


@pytest.mark.parametrize("share", [0.25, 0.5, 0.99])
@pytest.mark.parametrize("kind", ["WAV", "RF64", "W64", "AIFF", "MP3"])
def test_a_truncated_file_gives_what_is_there_and_says_so(tmp_path, kind, share, capfd):
    suffix = {"RF64": "wav"}.get(kind, kind.lower())
    data = content(tmp_path, waves(48000), format=kind)
    path = write(tmp_path / f"a.{suffix}", data[: int(len(data) * share)])
    sound = read_sound(path)
    assert 0.3 * share * 48000 < len(sound.samples) < 48000
    assert any("its header promises" in note for note in sound.conversions)
    assert capfd.readouterr().err == ""
    if kind != "MP3":
        whole = read_sound(write(tmp_path / f"b.{suffix}", data)).samples
        np.testing.assert_array_equal(sound.samples, whole[: len(sound.samples)])


@pytest.mark.parametrize("share", [0.25, 0.5, 0.99])
@pytest.mark.parametrize("kind", ["FLAC", "OGG"])
def test_a_truncated_file_that_cannot_be_decoded_is_refused(tmp_path, kind, share):
    data = content(tmp_path, waves(16000), format=kind)
    path = write(tmp_path / f"a.{kind.lower()}", data[: int(len(data) * share)])
    refused(path, "cut short|holds no samples")


@pytest.mark.parametrize("promised", [10 * 3600 * 16000 * 2, 0xFFFFFFFF, 0x7FFFF000])
def test_a_header_of_ten_hours_over_little_data(tmp_path, promised):
    path = write(tmp_path / "a.wav", riff(bytes(2000), promised=promised))
    sound = read_sound(path)
    assert len(sound.samples) == 1000
    assert sound.conversions == (
        f"its header promises {promised:,} bytes, 2,000 are there; 1,000 frames used",
    )
    refused(path, "lasts 0.0625 s", start_s=3600)


@pytest.mark.parametrize("whole", [0, 8, 36, 0xFFFFFFFF])
def test_a_header_that_was_never_finished_is_read_to_the_end(tmp_path, whole):
    """As tools leave it that write to a pipe, where nobody can go back."""
    numbers = np.arange(1000, dtype="<i2")
    data = bytearray(riff(numbers.tobytes(), promised=0))
    data[4:8] = struct.pack("<I", whole)
    path = write(tmp_path / "a.wav", data)
    sound = read_sound(path)
    np.testing.assert_array_equal(sound.samples[:, 0], numbers)
    assert sound.conversions == ("its header says that it holds nothing; read to its end",)
    assert Path(path).read_bytes() == data
    os.mkfifo(tmp_path / "pipe")
    with subprocess.Popen(["cp", path, tmp_path / "pipe"]):
        assert read_sound(str(tmp_path / "pipe")).sha256 == sound.sha256


def test_nothing_but_what_is_told_beside_it_is_no_sound(tmp_path):
    tags = b"LIST" + struct.pack("<I", 4) + b"INFO"
    data = bytearray(riff(tags, promised=0))
    data[4:8] = struct.pack("<I", len(data) - 8)
    refused(write(tmp_path / "a.wav", data), "it holds no samples")
    refused(write(tmp_path / "b.wav", riff(b"")), "it holds no samples")


def test_a_missing_byte_of_padding_is_no_news(tmp_path):
    data = bytearray(riff(bytes(2001), bits=8))
    data[4:8] = struct.pack("<I", len(data) - 8 + 1)
    assert read_sound(write(tmp_path / "a.wav", bytes(data))).conversions == ()


def flac_of_length(tmp_path, frames):
    """A FLAC file with another number of frames in its header, where 36 bits hold it."""
    data = bytearray(content(tmp_path, format="FLAC"))
    field = int.from_bytes(data[18:26], "big")
    data[18:26] = (field >> 36 << 36 | frames).to_bytes(8, "big")
    return write(tmp_path / "a.flac", bytes(data))


def test_lengths_that_no_file_has(tmp_path):
    refused(flac_of_length(tmp_path, 0), "does not say how long it is; convert it first")
    path = flac_of_length(tmp_path, 2**36 - 1)
    refused(path, "68,719,476,735 samples, all channels counted, are more than audio.max_samples")
    refused(path, "damaged, cut short", duration_s=0.1)


@pytest.mark.parametrize(
    ("align", "per_block", "channels"),
    [(0xFFFF, 0xFFFF, 1), (0, 0, 1), (256, 1, 1), (0xFFFF, 0xFFFF, 0xFFFF), (4, 0xFFFF, 1)],
)
def test_absurd_blocks_of_adpcm(tmp_path, align, per_block, channels):
    data = riff(
        bytes(4000), tag=0x11, bits=4, align=align, channels=channels,
        extra=struct.pack("<HH", 2, per_block),
    )  # fmt: skip
    refused(write(tmp_path / "a.wav", data), "damaged, cut short or unsupported")


def sparse(path, header, size):
    """A file of any size that takes no room: zeros after its header."""
    path.write_bytes(header)
    os.truncate(path, size)
    return str(path)


def test_blocks_of_adpcm_whose_count_overflows(tmp_path):
    """CVE-2026-37555: samples per block times blocks, beyond 32 bits."""
    header = riff(
        tag=0x11, bits=4, align=1024, promised=0x7FFFFFF0, extra=struct.pack("<HH", 2, 2041)
    )
    path = sparse(tmp_path / "a.wav", header, 0x7FFFFFFF)
    refused(path, "damaged|holds no samples|more than audio.max_samples", duration_s=1)


def test_ten_hours_are_refused_by_the_header(tmp_path):
    size = 10 * 3600 * 16000 * 2
    path = sparse(tmp_path / "a.wav", riff(promised=size), 44 + size)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused(path, "576,000,000 samples, all channels counted, are more than audio.max_samples = "
            "100,000,000; cut it with --duration, or raise")  # fmt: skip
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000


def test_the_limit_counts_channels_and_only_what_is_kept(tmp_path):
    path = save(tmp_path / "a.wav", waves(1000, channels=2))
    assert len(read_sound(path, max_samples=2000).samples) == 1000
    refused(path, "2,000 samples", max_samples=1999)
    assert len(read_sound(path, duration_s=999 / 16000, max_samples=1999).samples) == 999
    assert len(read_sound(path, start_s=1 / 16000, max_samples=1999).samples) == 999


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e39])
def test_samples_that_are_no_numbers(tmp_path, bad):
    waveform = waves(channels=2)
    waveform[800, 1] = waveform[801, 0] = bad
    path = save(tmp_path / "a.wav", waveform, subtype="DOUBLE")
    refused(path, r"2 samples are NaN.*first in frame 800 \(0.05 s\) of channel 2")
    refused(path, "1 samples are NaN.*first in frame 801", start_s=801 / 16000)
    assert len(read_sound(path, duration_s=0.05).samples) == 800


def test_an_endless_stream_is_refused(tmp_path):
    refused("/dev/zero", "bytes, which no sound within audio.max_samples has", max_samples=10)
    refused("/dev/null", "the file is empty")


# Writing


@pytest.mark.parametrize("channels", [1, 2, 8])
@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_what_is_written_is_read_back_to_the_last_bit(tmp_path, subtype, channels):
    path = save(tmp_path / "a.wav", waves(channels=channels), rate=22050, subtype=subtype)
    sound = read_sound(path)
    data, clipped = encode_sound(sound.waveform(), sound.sample_rate_hz, sound.subtype)
    back = read_sound(write(tmp_path / "b.wav", data))
    assert clipped == 0
    assert (back.sha256, back.subtype, back.conversions) == (sound.sha256, sound.subtype, ())


@pytest.mark.parametrize(
    ("subtype", "written"),
    [
        ("PCM_U8", "PCM_16"),
        ("PCM_S8", "PCM_16"),
        ("ULAW", "PCM_16"),
        ("IMA_ADPCM", "PCM_16"),
        ("ALAC_24", "PCM_24"),
        ("VORBIS", "FLOAT"),
        ("MPEG_LAYER_III", "FLOAT"),
        ("OPUS", "FLOAT"),
    ],
)
def test_what_wav_keeps_each_encoding_in(subtype, written):
    data, _ = encode_sound(waves(), 16000, subtype)
    with soundfile.SoundFile(io.BytesIO(data)) as file:
        assert (file.format, file.subtype) == ("WAV", written)


def tagged(data):
    """Format tag, bits and mask of a WAV file, byte by byte."""
    place = data.index(b"fmt ") + 8
    tag, bits, extra, _, mask = struct.unpack_from("<H12xHHHI", data, place)
    return tag, bits, mask if tag == 0xFFFE and extra >= 22 else None


@pytest.mark.parametrize(("channels", "mask"), [(6, 0x3F), (6, 0x60F), (8, 0x63F), (2, 3), (1, 4)])
@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
@pytest.mark.parametrize("container", ["WAVEX", "RF64"])
def test_speakers_go_out_as_they_came(tmp_path, container, subtype, channels, mask):
    data = bytearray(content(tmp_path, waves(300, channels), format=container, subtype=subtype))
    struct.pack_into("<I", data, data.index(b"fmt ") + 28, mask)
    sound = read_sound(write(tmp_path / "a.wav", bytes(data)))
    assert sound.speakers == mask
    out, _ = encode_sound(sound.waveform(), sound.sample_rate_hz, sound.subtype, sound.speakers)
    bits = {"FLOAT": 32, "DOUBLE": 64}.get(subtype) or int(subtype[4:])
    assert tagged(out) == (0xFFFE, bits, mask)
    back = read_sound(write(tmp_path / "b.wav", out))
    assert (back.sha256, back.speakers, back.conversions) == (sound.sha256, mask, ())


def test_speakers_that_are_not_told_are_not_made_up(tmp_path):
    for channels in (1, 2, 6):
        sound = read_sound(save(tmp_path / "a.wav", waves(300, channels)))
        assert sound.speakers is None
        out, _ = encode_sound(sound.waveform(), 16000, sound.subtype, sound.speakers)
        assert tagged(out) == (1, 16, None)
    assert read_sound(save(tmp_path / "b.flac", waves(300, 2))).speakers is None
    six = save(tmp_path / "c.wav", waves(300, 6), format="WAVEX")
    assert read_sound(six, mono=True).speakers is None


def test_speakers_of_formats_whose_order_is_fixed(tmp_path):
    six = np.sin(0.05 * np.arange(9000))[:, None] * (0.1 + 0.1 * np.arange(6))
    flac = read_sound(save(tmp_path / "a.flac", six))
    assert (flac.speakers, flac.conversions) == (0x3F, ())
    ogg = read_sound(save(tmp_path / "a.ogg", six, format="OGG", subtype="VORBIS"))
    assert ogg.speakers == 0x3F
    assert ogg.conversions == ("its 6 channels put into the order of WAV",)
    loud = ogg.samples[2000:7000].std(axis=0) / np.sqrt(0.5)
    # Left, centre, right, two at the back, bass; then left, right, centre, bass, two at the back.
    np.testing.assert_allclose(loud, [0.1, 0.3, 0.2, 0.6, 0.4, 0.5], atol=0.02)


@pytest.mark.parametrize(("subtype", "bits"), [("PCM_16", 16), ("PCM_24", 24), ("PCM_32", 32)])
def test_integers_clip_and_count(tmp_path, subtype, bits):
    most = 1 - 2.0 ** (1 - bits)
    waveform = np.array([[most], [-1.0], [1.0], [1.5], [-1.5], [0.25]])
    data, clipped = encode_sound(waveform, 8000, subtype)
    assert clipped == 3
    back = read_sound(write(tmp_path / "a.wav", data)).waveform()
    np.testing.assert_array_equal(back[:, 0], [most, -1, most, most, -1, 0.25])


@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE"])
def test_floating_point_is_not_clipped_and_knows_no_time(tmp_path, subtype):
    waveform = np.array([[1.5], [-2.5]])
    data, clipped = encode_sound(waveform, 8000, subtype)
    assert clipped == 0
    np.testing.assert_array_equal(read_sound(write(tmp_path / "a.wav", data)).samples, waveform)
    assert data[data.index(b"PEAK") + 12 :][:4] == bytes(4)


def test_what_is_too_large_for_wav_goes_to_its_larger_sibling(tmp_path, monkeypatch):
    monkeypatch.setattr(wavfile, "_LARGEST_WAV", 100)
    data, _ = encode_sound(waves(), 16000, "PCM_16")
    assert data[:4] == b"RF64"
    assert len(read_sound(write(tmp_path / "a.wav", data)).samples) == 4000
