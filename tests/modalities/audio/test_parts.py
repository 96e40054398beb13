"""Files of which decoders read a part only, or in another order than they are in."""

import os
import shutil
import struct
import subprocess

import numpy as np
import pytest
import soundfile

from nint_cli.modalities.audio.files import SUFFIXES, read_sound
from nint_cli.modalities.audio.mpeg import header_of, stretches
from tests.modalities.audio.test_files import content, refused, riff, save, waves, write

ID3 = b"ID3\3\0\0\0\0\0\x0a" + bytes(10)
ID3V1 = b"TAG" + bytes(125)
APE = b"APETAGEX" + struct.pack("<IIII", 2000, 32, 0, 0xA0000000) + bytes(8) + bytes(32)
JOINED = "2 streams joined end to end, read one after the other"


def mp3(tmp_path, frames=44100, channels=2, rate=44100, **options):
    """An MP3 file of variable bit rate, in which loud and quiet alternate."""
    swell = 0.5 + 0.5 * np.sin(np.arange(frames) / 4000)[:, None]
    waveform = waves(frames, channels) * swell
    options = {"bitrate_mode": "VARIABLE", "compression_level": 0.3} | options
    return content(tmp_path, waveform, rate=rate, format="MP3", **options)


def by_hand(head):
    """Size and samples of a frame of layer III, by the tables of the standard."""
    kbits = [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320]
    lower = [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160]
    version = {3: 1, 2: 2, 0: 4}[head[1] >> 3 & 3]
    rate = [44100, 48000, 32000][head[2] >> 2 & 3] // version
    bits = 1000 * (kbits if version == 1 else lower)[head[2] >> 4]
    samples = 1152 if version == 1 else 576
    return samples // 8 * bits // rate + (head[2] >> 1 & 1), samples


def without_note(data):
    return data[by_hand(data)[0] :]


def count(data):
    """Frames of MPEG audio in bytes that hold nothing else."""
    place = frames = 0
    while place < len(data):
        place += by_hand(data[place : place + 4])[0]
        frames += 1
    assert place == len(data)
    return frames


def joined(tmp_path, name, *pieces):
    return read_sound(write(tmp_path / name, b"".join(pieces)))


# MPEG audio


@pytest.mark.parametrize(
    ("rate", "channels"), [(44100, 2), (44100, 1), (48000, 2), (22050, 2), (16000, 1), (8000, 1)]
)
def test_mpeg_audio_that_does_not_say_how_long_it_is_is_read_to_its_end(
    tmp_path, rate, channels, capfd
):
    data = mp3(tmp_path, rate, channels, rate)
    whole = joined(tmp_path, "whole.mp3", data)
    assert (len(whole.samples), whole.conversions) == (rate, ())
    bare = without_note(data)
    sound = joined(tmp_path, "bare.mp3", bare)
    frames = count(bare)
    assert sound.conversions == (
        f"its header does not say how long it is; {frames:,} MPEG frames were counted",
    )
    # All but the decoder's own delay, which it leaves out.
    samples = by_hand(bare)[1]
    assert len(sound.samples) == frames * samples - 529
    lag = len(sound.samples) - len(whole.samples)
    errors = [
        np.square(sound.samples[late : late + rate // 2] - whole.samples[: rate // 2]).mean()
        for late in range(lag)
    ]
    assert min(errors) < 1e-4 * np.square(whole.samples).mean()
    assert capfd.readouterr().err == ""
    assert len(read_sound(str(tmp_path / "bare.mp3"), start_s=0.9).samples) > 0.1 * rate


@pytest.mark.parametrize("front", [b"", ID3])
@pytest.mark.parametrize("back", [b"", ID3V1, APE + ID3V1, bytes(3000)])
def test_tags_around_mpeg_audio_are_no_sound(tmp_path, front, back, capfd):
    data = mp3(tmp_path, 20_000)
    whole = joined(tmp_path, "a.mp3", data)
    tagged = joined(tmp_path, "b.mp3", front, data, back)
    np.testing.assert_array_equal(tagged.samples, whole.samples)
    assert tagged.conversions == ()
    bare = joined(tmp_path, "c.mp3", front, without_note(data), back)
    assert len(bare.samples) == count(without_note(data)) * 1152 - 529
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("between", [b"", ID3V1, ID3, ID3V1 + ID3])
def test_mpeg_audio_that_was_joined_is_all_of_it(tmp_path, between):
    one, two = mp3(tmp_path, 20_000), mp3(tmp_path, 30_000)
    sound = joined(tmp_path, "a.mp3", one, between, two)
    parts = [
        joined(tmp_path, name, data).samples for name, data in (("b.mp3", one), ("c.mp3", two))
    ]
    np.testing.assert_array_equal(sound.samples, np.concatenate(parts))
    assert sound.conversions == (JOINED,)


def test_mpeg_audio_that_goes_on_after_what_its_note_counts(tmp_path):
    data = mp3(tmp_path, 20_000)
    bare = without_note(mp3(tmp_path, 30_000))
    sound = joined(tmp_path, "a.mp3", data, bare)
    assert len(sound.samples) == 20_000 + count(bare) * 1152 - 529
    assert sound.conversions[0] == JOINED


def test_a_note_that_counts_too_few_frames_is_corrected(tmp_path):
    data = bytearray(mp3(tmp_path))
    place = next(data.index(mark) for mark in (b"Info", b"Xing") if mark in data[:100]) + 8
    (frames,) = struct.unpack_from(">I", data, place)
    assert frames == count(without_note(data))
    struct.pack_into(">I", data, place, frames // 2)
    sound = joined(tmp_path, "a.mp3", bytes(data))
    assert len(sound.samples) == frames * 1152 - 529
    assert sound.conversions == (
        f"its header says {frames // 2:,}; {frames:,} MPEG frames were counted",
    )


def test_a_note_of_another_program_is_no_sound(tmp_path):
    data = mp3(tmp_path)
    size = by_hand(data)[0]
    vbri = data[:4] + bytes(32) + b"VBRI" + bytes(size - 40)
    sound = joined(tmp_path, "a.mp3", vbri, data[size:])
    assert len(sound.samples) == count(data[size:]) * 1152 - 529


def test_a_note_in_frames_with_checksums_is_found(tmp_path):
    """Two bytes further on."""
    data = mp3(tmp_path)
    size = by_hand(data)[0]
    checked = bytes((0xFF, data[1] & 0xFE, *data[2:4])) + bytes(2) + data[4 : size - 2]
    (found,) = stretches(checked + data[size:])
    assert (found.has_note, found.noted, found.frames) == (True, count(data[size:]), found.noted)


def test_what_is_no_sound_between_frames_is_passed_over_and_said(tmp_path, capfd):
    bare = without_note(mp3(tmp_path))
    middle = 0
    while middle < len(bare) // 2:
        middle += by_hand(bare[middle:])[0]
    noise = bytes(np.random.default_rng(0).integers(0, 255, 5000, np.uint8))
    sound = joined(tmp_path, "a.mp3", bare[:middle], noise, bare[middle:])
    assert len(sound.samples) == count(bare) * 1152 - 529
    assert "5,000 bytes between its MPEG frames are no sound; passed over" in sound.conversions
    sound = joined(tmp_path, "b.mp3", b"\0" + noise[:99], bare)
    assert "100 bytes before its first MPEG frame are no sound; passed over" in sound.conversions
    assert capfd.readouterr().err == ""


def test_mpeg_audio_cut_within_a_frame_says_so(tmp_path):
    bare = without_note(mp3(tmp_path))
    sound = joined(tmp_path, "a.mp3", bare[:-10])
    assert len(sound.samples) == (count(bare) - 1) * 1152 - 529
    assert "it is cut short within an MPEG frame, which is left out" in sound.conversions


@pytest.mark.parametrize(("channels", "rate"), [(1, 44100), (2, 48000)])
def test_streams_of_two_kinds_in_one_file_are_refused(tmp_path, channels, rate):
    data = mp3(tmp_path, 20_000) + mp3(tmp_path, 20_000, channels, rate)
    path = write(tmp_path / "a.mp3", data)
    refused(path, "two kinds are joined in it, one with 2 channels at 44100 Hz, another with "
            f"{channels} at {rate} Hz; fit them one by one")  # fmt: skip


def test_a_few_bytes_that_look_like_frames_are_no_stream(tmp_path):
    data = mp3(tmp_path, 20_000)
    head = bytes((0xFF, 0xF3, 0x18, 0xC4))  # of a lower rate, and mono
    frame = head.ljust(header_of(head).size, b"\0")
    sound = joined(tmp_path, "a.mp3", data, bytes(100), 3 * frame)
    assert (len(sound.samples), sound.channels) == (20_000, 2)


def test_the_frames_of_all_layers_and_of_a_free_bit_rate():
    layer_1 = bytes((0xFF, 0xFF, 0x50, 0x00))  # 160 kbit/s, 44,100 Hz
    layer_2 = bytes((0xFF, 0xFD, 0x90, 0x00))  # the same
    assert (header_of(layer_1).samples, header_of(layer_1).size) == (384, 172)
    assert (header_of(layer_2).samples, header_of(layer_2).size) == (1152, 522)
    free = bytes((0xFF, 0xFB, 0x00, 0x00))
    frames = b"".join(
        free[:2] + bytes((2 * (i % 2), 0)) + bytes(300 - 4 + i % 2) for i in range(9)
    )
    (found,) = stretches(frames)
    assert (found.frames, found.ranges, found.note()) == (9, [(0, len(frames))], b"")
    for nothing in (b"", b"\xff\xfb\x90", b"\xff\xe8\x90\0", b"\xff\xfb\xf0\0", b"\xff\xfb\x9c\0"):
        assert header_of(nothing) is None
    assert stretches(bytes(70_000) + b"\xff") == []


def test_frames_that_no_note_can_count_are_missed_by_decoders_and_that_is_said(tmp_path):
    """Layer II has no note of its length, so that decoders guess by the first bit rates."""
    slow, fast = bytes((0xFF, 0xFD, 0x40, 0x00)), bytes((0xFF, 0xFD, 0xE0, 0x00))
    slow, fast = (head.ljust(header_of(head).size, b"\0") for head in (slow, fast))
    even = joined(tmp_path, "a.mp2", 30 * slow)
    assert (len(even.samples), even.conversions) == (30 * 1152, ())
    sound = joined(tmp_path, "b.mp2", 100 * fast, 400 * slow)
    assert len(sound.samples) < 500 * 1152
    assert sound.conversions == (
        f"576,000 frames are counted in it, of which {len(sound.samples):,} could be decoded",
    )


# Ogg and FLAC


@pytest.mark.parametrize(
    ("suffix", "rate", "options"),
    [
        ("ogg", 16000, {"format": "OGG", "subtype": "VORBIS"}),
        ("opus", 48000, {"format": "OGG", "subtype": "OPUS"}),
        ("flac", 16000, {"format": "FLAC"}),
        ("wav", 16000, {"format": "WAV", "subtype": "PCM_24"}),
    ],
)
def test_streams_that_were_joined_are_read_one_after_the_other(tmp_path, suffix, rate, options):
    one = content(tmp_path, waves(9000, 2), rate=rate, **options)
    two = content(tmp_path, waves(5000, 2)[::-1].copy(), rate=rate, **options)
    sound = joined(tmp_path, f"a.{suffix}", one, two)
    parts = [
        joined(tmp_path, f"{name}.{suffix}", data).samples
        for name, data in zip("bc", (one, two), strict=True)
    ]
    np.testing.assert_array_equal(sound.samples, np.concatenate(parts))
    assert sound.conversions == (JOINED,)
    other = content(tmp_path, waves(5000, 1), rate=rate, **options)
    refused(write(tmp_path / f"d.{suffix}", one + other), "streams of two kinds are joined in it")


@pytest.mark.parametrize(("subtype", "rate"), [("VORBIS", 16000), ("OPUS", 48000)])
def test_ogg_that_was_cut_gives_what_is_there_and_says_so(tmp_path, subtype, rate):
    data = content(tmp_path, waves(20 * rate), rate=rate, format="OGG", subtype=subtype)
    whole = joined(tmp_path, "a.ogg", data)
    sound = joined(tmp_path, "b.ogg", data[: len(data) // 2])
    assert 0.2 * 20 * rate < len(sound.samples) < 0.8 * 20 * rate
    np.testing.assert_array_equal(sound.samples, whole.samples[: len(sound.samples)])
    (note,) = sound.conversions
    assert note.startswith("it is cut short: its last page is not there, or but ")
    refused(write(tmp_path / "c.ogg", data[:200]), "cut short before its first page of sound")
    chained = joined(tmp_path, "d.ogg", data, data[:200])
    np.testing.assert_array_equal(chained.samples, whole.samples)
    np.testing.assert_array_equal(joined(tmp_path, "e.ogg", ID3, data).samples, whole.samples)


def test_flac_between_tags(tmp_path):
    data = content(tmp_path, waves(9000), format="FLAC")
    whole = joined(tmp_path, "a.flac", data).samples
    sound = joined(tmp_path, "b.flac", ID3, data, ID3V1)
    np.testing.assert_array_equal(sound.samples, whole)
    assert sound.conversions == ()


@pytest.mark.parametrize("tail", [bytes(1000), b"\xff" * 9, APE, b"fLaC"])
@pytest.mark.parametrize("frames", [500, 4096, 9000])
def test_bytes_after_the_last_frame_of_flac_are_no_damage(tmp_path, monkeypatch, tail, frames):
    monkeypatch.setattr("nint_cli.modalities.audio.files._SAMPLES_AT_ONCE", 4096)
    data = content(tmp_path, waves(frames), format="FLAC")
    whole = joined(tmp_path, "a.flac", data)
    sound = joined(tmp_path, "b.flac", data, tail)
    np.testing.assert_array_equal(sound.samples, whole.samples)
    assert sound.sha256 == whole.sha256
    refused(write(tmp_path / "c.flac", data[:-20] + tail), "cut short")


def test_streams_beyond_number_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("nint_cli.modalities.audio.stream._MOST_PARTS", 2)
    data = content(tmp_path, waves(500), format="FLAC")
    assert len(joined(tmp_path, "a.flac", 2 * data).samples) == 1000
    refused(write(tmp_path / "b.flac", 3 * data), "3 streams joined end to end, more than 2")


# WAV


def chunk(name, data, order="<"):
    return name + struct.pack(f"{order}I", len(data)) + data


def wav(*chunks, magic=b"RIFF"):
    body = b"WAVE" + b"".join(chunks)
    return magic + struct.pack("<I" if magic == b"RIFF" else ">I", len(body)) + body


def form(channels=1, rate=16000, bits=16, order="<"):
    align = channels * bits // 8
    return chunk(
        b"fmt ", struct.pack(f"{order}HHIIHH", 1, channels, rate, rate * align, align, bits), order
    )


LEVELS = np.arange(-400, 400, dtype="<i2")
DATA = chunk(b"data", LEVELS.tobytes())
ODD = b"LIST" + struct.pack("<I", 3) + b"abc"


@pytest.mark.parametrize(
    ("data", "note"),
    [
        (wav(form(), chunk(b"LIST", b"INFO"), DATA), None),
        (wav(chunk(b"LIST", b"INFO"), chunk(b"JUNK", bytes(28)), form(), DATA), None),
        (wav(form(), ODD + b"\0", DATA, chunk(b"id3 ", bytes(30))), None),
        (wav(form(), DATA) + b"beyond its end", None),
        (wav(form(), ODD, DATA), "a chunk of odd length lacks its padding; read all the same"),
        (wav(DATA, form()), "its samples come before what says how to read them; read all "
            "the same"),
        (wav(form(), chunk(b"data", b""), DATA), "an empty chunk 'data' stands beside its "
            "samples; read all the same"),
        (wav(form(), form(rate=8), DATA), "it has 2 chunks 'fmt ', of which the first counts"),
        (
            wav(form(), DATA, chunk(b"data", bytes(500))),
            "it has 2 data chunks, of which the first is read; 500 bytes of samples are left out",
        ),
    ],
)  # fmt: skip
def test_chunks_of_wav_in_any_order(tmp_path, data, note):
    sound = joined(tmp_path, "a.wav", data)
    np.testing.assert_array_equal(sound.samples[:, 0], LEVELS)
    assert sound.conversions == (() if note is None else (note,))


def test_wav_of_the_other_byte_order(tmp_path):
    samples = chunk(b"data", LEVELS.astype(">i2").tobytes(), ">")
    sound = joined(tmp_path, "a.wav", wav(form(order=">"), samples, magic=b"RIFX"))
    np.testing.assert_array_equal(sound.samples[:, 0], LEVELS)
    sound = joined(tmp_path, "b.wav", wav(samples, form(order=">"), magic=b"RIFX"))
    np.testing.assert_array_equal(sound.samples[:, 0], LEVELS)
    bad = wav(form(rate=0, order=">"), samples, magic=b"RIFX")
    refused(write(tmp_path / "c.wav", bad), "it has 0 samples per second")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (wav(form(rate=0), DATA), "its header says that it has 0 samples per second"),
        (wav(form(channels=0), DATA), "its header says that it has 0 channels"),
        (wav(DATA), "there is no whole chunk 'fmt '"),
        (wav(chunk(b"fmt ", bytes(4)), DATA), "there is no whole chunk 'fmt '"),
        (wav(form()), "it has no samples: there is no chunk 'data'"),
        (wav(), "there is no whole chunk 'fmt '"),
        (wav(form(), chunk(b"data", b"")), "it holds no samples"),
        (wav(form(), DATA)[:44], "it is cut short before its first sample"),
        (wav(form(channels=2), DATA)[:47], "it is cut short before its first sample"),
        (wav(form(rate=2**31, bits=8), DATA), "it has 2,147,483,648 samples per second"),
        (wav(form(bits=0), DATA), "its samples are coded in a way that is not known here"),
    ],
)
def test_wav_that_lacks_something_is_refused_by_its_name(tmp_path, data, reason):
    refused(write(tmp_path / "a.wav", data), reason)


def test_a_long_silence_that_a_header_does_not_count_is_no_chunk(tmp_path):
    """As chunks of no length, a million bytes of zeros would be walked one by one."""
    data = bytearray(riff(bytes(1_000_000), promised=0))
    data[4:8] = bytes(4)
    assert len(joined(tmp_path, "a.wav", bytes(data)).samples) == 500_000
    assert len(joined(tmp_path, "b.wav", wav(form(), DATA) + bytes(100_000)).samples) == 800


@pytest.mark.parametrize("kind", ["AIFF", "AU", "CAF", "W64"])
def test_a_rate_of_zero_is_refused_in_every_format(tmp_path, kind):
    data = bytearray(content(tmp_path, format=kind))
    place, size = {
        "AIFF": (data.find(b"COMM") + 16, 10),
        "AU": (16, 4),
        "CAF": (data.find(b"desc") + 12, 8),
        "W64": (data.find(struct.pack("<I", 16000)), 4),
    }[kind]
    data[place : place + size] = bytes(size)
    refused(
        write(tmp_path / f"a.{kind.lower()}", bytes(data)), "0 samples per second|no usable rate"
    )


# Other kinds, by ffmpeg


M4A = b"\0\0\0\x20ftypM4A " + bytes(300)


def stand_in(tmp_path, monkeypatch, script):
    """A program called ffmpeg that writes down what it was called with."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "ffmpeg"
    program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > "{tmp_path}/words"\n{script}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return lambda: (tmp_path / "words").read_text().splitlines()


def test_ffmpeg_decodes_what_libsndfile_does_not_know(tmp_path, monkeypatch):
    made = save(tmp_path / "made.wav", waves(700, 2), subtype="FLOAT")
    words = stand_in(tmp_path, monkeypatch, f'for last; do :; done; cp "{made}" "${{last#file:}}"')
    path = write(tmp_path / "-a b$(c).m4a", M4A)
    sound = read_sound(path)
    np.testing.assert_array_equal(sound.samples, soundfile.read(made, dtype="float32")[0])
    assert sound.conversions == ("MPEG-4 (AAC or ALAC), decoded by ffmpeg",)
    given = words()
    assert {"-nostdin", "file,pipe", f"file:{path}"} <= set(given)
    assert given[given.index("-f") + 1] == "mov"
    renamed = read_sound(write(tmp_path / "a.wav", M4A))
    assert renamed.conversions[-1] == "read as MPEG-4 (AAC or ALAC), whatever its name says"


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("echo '[x @ 0x1] moov atom not found.' >&2; exit 1", r"\(moov atom not found\)"),
        ("exit 9", r"cannot decode it \(exit 9\)"),
        ("exit 0", r"cannot decode it \(exit 0\)"),
        ("echo \"Stream map '0:a:0' matches no streams.\" >&2; exit 1", "there is no sound in it"),
        ("sleep 5", "took more than 0.2 s"),
        ('for last; do :; done; head -c 90000000 /dev/zero > "${last#file:}"', "bytes, which no"),
    ],
)  # fmt: skip
def test_what_ffmpeg_cannot_decode_is_refused_with_its_reason(
    tmp_path, monkeypatch, capfd, script, reason
):
    monkeypatch.setattr(
        "nint_cli.modalities.audio.ffmpeg._SECONDS", 0.2 if "sleep" in script else 60
    )
    stand_in(tmp_path, monkeypatch, script)
    refused(write(tmp_path / "a.m4a", M4A), f"MPEG-4.*{reason}", max_samples=1000)
    assert capfd.readouterr().err == ""


def test_a_program_that_cannot_be_run_is_no_bug(tmp_path, monkeypatch):
    stand_in(tmp_path, monkeypatch, "")
    (tmp_path / "bin/ffmpeg").write_bytes(b"\x7fELF no program")
    refused(write(tmp_path / "a.m4a", M4A), "ffmpeg cannot be run")


def test_what_ffmpeg_says_of_a_sound_is_passed_on(tmp_path, monkeypatch):
    made = save(tmp_path / "made.wav", waves(700), subtype="FLOAT")
    script = f'for last; do :; done; cp "{made}" "${{last#file:}}"; echo "Invalid data" >&2'
    stand_in(tmp_path, monkeypatch, script)
    sound = read_sound(write(tmp_path / "a.m4a", M4A))
    assert sound.conversions[-1] == "ffmpeg says of it: Invalid data"


def test_ogg_with_what_libsndfile_does_not_know(tmp_path, monkeypatch):
    made = save(tmp_path / "made.wav", waves(700), subtype="FLOAT")
    packet = b"\x7fFLAC" + bytes(100)
    flac = struct.pack("<4sBBqIIIBB", b"OggS", 0, 6, 1, 7, 0, 0, 1, len(packet)) + packet
    with monkeypatch.context() as without:
        without.setattr("nint_cli.modalities.audio.ffmpeg.shutil.which", lambda _: None)
        refused(
            write(tmp_path / "a.oga", flac), "FLAC or Speex in Ogg, for which nint needs ffmpeg"
        )
    stand_in(tmp_path, monkeypatch, f'for last; do :; done; cp "{made}" "${{last#file:}}"')
    assert joined(tmp_path, "b.oga", flac).conversions == (
        "FLAC or Speex in Ogg, decoded by ffmpeg",
    )


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg")
@pytest.mark.parametrize(("suffix", "codec"), [("m4a", "alac"), ("m4a", "aac"), ("mka", "flac")])
def test_ffmpeg_itself(tmp_path, suffix, codec):
    made = save(tmp_path / "made.wav", waves(9000, 2))
    path = str(tmp_path / f"a.{suffix}")
    subprocess.run(["ffmpeg", "-v", "error", "-i", made, "-c:a", codec, path], check=True)
    sound = read_sound(path)
    assert (sound.sample_rate_hz, sound.channels, len(sound.samples)) == (16000, 2, 9000)
    if codec != "aac":
        np.testing.assert_array_equal(sound.samples, soundfile.read(made, dtype="float32")[0])
    refused(write(tmp_path / "b.m4a", M4A), "moov atom not found")


def test_ffmpeg_reads_a_pipe_too(tmp_path, monkeypatch):
    made = save(tmp_path / "made.wav", waves(700), subtype="FLOAT")
    stand_in(tmp_path, monkeypatch, f'for last; do :; done; cp "{made}" "${{last#file:}}"')
    path = write(tmp_path / "a.m4a", M4A)
    os.mkfifo(tmp_path / "pipe")
    with subprocess.Popen(["cp", path, tmp_path / "pipe"]):
        assert len(read_sound(str(tmp_path / "pipe")).samples) == 700


def test_a_film_is_no_sound_by_its_name():
    assert {".m4a", ".wma", ".mka"} < SUFFIXES
    assert not {".mp4", ".mkv", ".webm"} & SUFFIXES
