"""Sound files to samples.

libsndfile decodes, through soundfile, with a short list of formats. The file is streamed: what is
kept is bounded by `max_samples` before anything is decoded, and a header that promises more than
there is costs nothing.
"""

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from nint_cli.errors import InputError
from nint_cli.modalities.audio.signal import Sound
from nint_cli.modalities.audio.stream import Stream, Unsupported, opened, quiet, to_wav

FORMATS = {
    "WAV": (".wav", ".wave", ".bwf"),
    "WAVEX": (".wav", ".wave", ".bwf"),
    "RF64": (".wav", ".wave", ".bwf", ".rf64"),
    "W64": (".w64",),
    "FLAC": (".flac",),
    "OGG": (".ogg", ".oga", ".opus"),
    "MP3": (".mp3", ".mp2", ".mp1", ".mpga"),
    "AIFF": (".aif", ".aiff", ".aifc"),
    "AU": (".au", ".snd"),
    "CAF": (".caf",),
}
SUFFIXES = frozenset(suffix for kind in FORMATS.values() for suffix in kind)

# What holds a file's samples without loss; other encodings decode to at most 16 bits.
_WIDE = {
    "PCM_24": np.int32,
    "PCM_32": np.int32,
    "ALAC_20": np.int32,
    "ALAC_24": np.int32,
    "ALAC_32": np.int32,
    "DWVW_24": np.int32,
    "FLOAT": np.float32,
    "DOUBLE": np.float64,
    # Transforms that decode to numbers without a depth, and beyond full scale.
    "VORBIS": np.float32,
    "OPUS": np.float32,
    "MPEG_LAYER_I": np.float32,
    "MPEG_LAYER_II": np.float32,
    "MPEG_LAYER_III": np.float32,
}

_SAMPLES_AT_ONCE = 1 << 20
_UNKNOWN_LENGTH = 1 << 62
_SHORTENED = re.compile(r": (\d+) \(should be (\d+)\)")  # in libsndfile's log of a header

# A stream is read up to what a sound within the limit of samples can have: 64 bits each, and as
# much again for tags and pictures.
_MOST_BYTES_PER_SAMPLE = 8
_MOST_BYTES_BESIDE = 1 << 26


def read_sound(
    source: str,
    *,
    start_s: float = 0.0,
    duration_s: float | None = None,
    mono: bool = False,
    max_samples: int = 100_000_000,
) -> Sound:
    """Read a sound, or a stretch of it, with all its channels and bits.

    Args:
        source: A file of one of `FORMATS`, or ``sample:NAME``.
        start_s: Where the stretch starts.
        duration_s: How long it is at most; None goes on to the end.
        mono: Replace the channels by their mean.
        max_samples: Refuse a longer stretch, all channels counted, by the header, before decoding.

    Returns:
        The sound.

    Raises:
        InputError: If it cannot be read; says why and, where there is a way, what to do.
    """
    most = max_samples * _MOST_BYTES_PER_SAMPLE + _MOST_BYTES_BESIDE
    try:
        with opened(source, most) as stream, quiet(stream):
            sound = _decode(stream, start_s, duration_s, max_samples)
    except Unsupported as error:
        raise InputError(f"cannot use '{source}': {error}") from None
    except IsADirectoryError:
        raise InputError(f"cannot read '{source}': it is a folder; name a sound") from None
    except soundfile.LibsndfileError as error:
        raise InputError(
            f"cannot read '{source}': damaged, cut short or unsupported ({_reason(error)})"
        ) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"cannot read '{source}': {reason}") from error
    return _mixed(sound) if mono and sound.channels > 1 else sound


def _reason(error: soundfile.LibsndfileError) -> str:
    text = str(error.error_string).strip(" .").removeprefix("Error : ")
    # This is what it says where mpg123 finds nothing to decode.
    return "no frame of MPEG audio" if "not a regular file" in text else text


def _decode(stream: Stream, start_s: float, duration_s: float | None, max_samples: int) -> Sound:
    with _decoder(stream) as file:
        rate, promised = file.samplerate, file.frames
        stretch = _Stretch(start_s, duration_s, rate)
        stretch.check(promised)
        size = (min(promised, stretch.stop) - stretch.first) * file.channels
        if size > max_samples:
            raise Unsupported(
                f"{size:,} samples, all channels counted, are more than audio.max_samples = "
                f"{max_samples:,}; cut it with --duration, or raise that limit if the machine has "
                "the memory"
            )
        kept, there, digest = _stream_through(file, stretch)
        conversions = list(_remarks(file, stream, there))
        subtype = file.subtype
    stretch.check(there)
    _refuse_non_finite(kept, stretch.first, rate)
    if len(kept) < there:
        conversions.append(
            f"cut to {len(kept):,} of {there:,} frames, from frame {stretch.first:,}"
        )
    if duration_s is not None and stretch.stop > there:
        conversions.append(
            f"{duration_s:g} s are asked for, and it ends after {len(kept) / rate:.6g} s"
        )
    sound = Sound(kept, rate, subtype, digest, tuple(conversions))
    if sound.peak > 1:
        note = f"values beyond full scale kept, up to {sound.peak:.4g}"
        sound = replace(sound, conversions=(*sound.conversions, note))
    return sound


@dataclass(frozen=True)
class _Stretch:
    """What part of a file is asked for, in seconds."""

    start_s: float
    duration_s: float | None
    rate: int

    @property
    def first(self) -> int:
        """The first frame."""
        return round(self.start_s * self.rate)

    @property
    def stop(self) -> int:
        """One past the last frame; far beyond any file where no duration is given."""
        if self.duration_s is None:
            return _UNKNOWN_LENGTH
        return round((self.start_s + self.duration_s) * self.rate)

    def check(self, frames: int) -> None:
        """Refuse a stretch that a file of so many frames does not have.

        Raises:
            Unsupported: If there is nothing in the file, or the stretch is not inside it.
        """
        length = f"it lasts {frames / self.rate:.6g} s"
        if frames <= 0:
            raise Unsupported("it holds no samples")
        if not 0 <= self.first < frames:
            raise Unsupported(f"{length}, and --start is {self.start_s:g} s")
        if self.stop <= self.first:
            raise Unsupported(f"--duration is less than one sample at {self.rate} Hz")


@contextmanager
def _decoder(stream: Stream) -> Iterator[soundfile.SoundFile]:
    """Open the decoder, for a kind that is on the list and says how long it is."""
    try:
        file = soundfile.SoundFile(stream.file, closefd=False)
    except soundfile.LibsndfileError as error:
        if foreign := stream.foreign():
            raise Unsupported(foreign) from error
        if "not recognised" in error.error_string:
            kinds = ", ".join(FORMATS)
            raise Unsupported(f"no sound of a known kind ({kinds})") from error
        raise
    with file:
        if file.format not in FORMATS:
            raise Unsupported(f"files of kind {file.format} are not read; {to_wav(stream.name)}")
        if file.frames >= _UNKNOWN_LENGTH:
            raise Unsupported(f"its header does not say how long it is; {to_wav(stream.name)}")
        yield file


def _stream_through(file: soundfile.SoundFile, stretch: _Stretch) -> tuple[NDArray[Any], int, str]:
    """Decode all of a file, block by block.

    Returns:
        The stretch (T, C), the number of frames in the file, and the hash of them all.
    """
    dtype = np.dtype(_WIDE.get(file.subtype, np.int16))
    block = np.empty((max(1, _SAMPLES_AT_ONCE // file.channels), file.channels), dtype)
    digest, there = hashlib.sha256(), 0
    kept = [block[:0]]
    while count := file.buffer_read_into(block, dtype.name):
        digest.update(block[:count].data)
        inside = slice(max(0, stretch.first - there), max(0, min(count, stretch.stop - there)))
        kept.append(block[inside].copy())
        there += count
    digest.update(f"{(there, file.channels)} {dtype.str} {file.samplerate}".encode())
    return np.concatenate(kept), there, digest.hexdigest()


def _remarks(file: soundfile.SoundFile, stream: Stream, there: int) -> Iterator[str]:
    """Say what the file promised and did not keep."""
    if Path(stream.name).suffix.lower() not in FORMATS[file.format]:
        yield f"read as {file.format}, whatever its name says"
    if stream.left_open:
        yield f"its header says that it holds nothing; read to its end, {there:,} frames"
    if there < file.frames:
        yield f"its header promises {file.frames:,} frames, {there:,} are there"
        return
    shortened = [(int(a), int(b)) for a, b in _SHORTENED.findall(file.extra_info)]
    for promised, bytes_there in shortened[-1:]:
        if promised > bytes_there + 1:  # one may be padding that was left out
            yield (
                f"its header promises {promised:,} bytes, {bytes_there:,} are there; "
                f"{there:,} frames used"
            )


def _refuse_non_finite(samples: NDArray[Any], first: int, rate: int) -> None:
    if samples.dtype.kind == "i":
        return
    bad = ~(np.abs(samples) <= np.finfo(np.float32).max)
    if not bad.any():
        return
    row, channel = np.unravel_index(int(bad.argmax()), bad.shape)
    frame = first + int(row)
    raise Unsupported(
        f"{int(bad.sum()):,} samples are NaN, infinite or beyond 32-bit floats, the first in "
        f"frame {frame:,} ({frame / rate:.6g} s) of channel {int(channel) + 1}"
    )


def _mixed(sound: Sound) -> Sound:
    """Replace the channels by their mean, in a type that holds it."""
    narrow = sound.samples.dtype in (np.int16, np.float32)
    mean = sound.waveform().mean(axis=1, keepdims=True)
    note = f"{sound.channels} channels mixed to one, their mean"
    return replace(
        sound,
        samples=mean.astype(np.float32 if narrow else np.float64),
        conversions=(*sound.conversions, note),
    )
