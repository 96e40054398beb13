"""Sound files to samples.

libsndfile decodes, through soundfile, with a short list of formats. The file is streamed: what is
kept is bounded by `max_samples` before anything is decoded, and a header that promises more than
there is costs nothing.
"""

import hashlib
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from nint_cli.errors import InputError
from nint_cli.modalities.audio import ffmpeg
from nint_cli.modalities.audio.ffmpeg import to_wav
from nint_cli.modalities.audio.parts import Division
from nint_cli.modalities.audio.signal import Sound
from nint_cli.modalities.audio.speakers import speakers
from nint_cli.modalities.audio.stream import (
    MPEG_SUFFIXES,
    Stream,
    Unsupported,
    opened,
    parts_of,
    quiet,
)

FORMATS = {
    "WAV": (".wav", ".wave", ".bwf"),
    "WAVEX": (".wav", ".wave", ".bwf"),
    "RF64": (".wav", ".wave", ".bwf", ".rf64"),
    "W64": (".w64",),
    "FLAC": (".flac",),
    "OGG": (".ogg", ".oga", ".opus"),
    "MP3": MPEG_SUFFIXES,
    "AIFF": (".aif", ".aiff", ".aifc"),
    "AU": (".au", ".snd"),
    "CAF": (".caf",),
}
SUFFIXES = ffmpeg.SUFFIXES.union(*FORMATS.values())

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
        with opened(source, most) as stream, parts_of(stream, most) as (parts, division):
            sound = _decode(stream, parts, division, _Wanted(start_s, duration_s, max_samples))
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


_REASONS = (
    ("not a regular file", "no frame of MPEG audio"),  # which it says of what mpg123 refuses
    ("lost sync", "its samples end before its header says"),
    ("SF_INFO struct incomplete", "its header gives no usable rate or number of channels"),
    ("unimplemented format", "its samples are coded in a way that is not known here"),
    ("unsupported encoding", "its samples are coded in a way that is not known here"),
    ("malformed", "its header and its content do not fit together"),
)


def _reason(error: soundfile.LibsndfileError) -> str:
    text = str(error.error_string).strip(" .").removeprefix("Error : ")
    return next((ours for theirs, ours in _REASONS if theirs in text), text)


@dataclass(frozen=True)
class _Wanted:
    """What part of a file is asked for, in seconds, and how many samples it may have."""

    start_s: float
    duration_s: float | None
    max_samples: int


def _decode(
    stream: Stream, parts: Sequence[int | io.BytesIO], division: Division, wanted: _Wanted
) -> Sound:
    with ExitStack() as stack:
        files = [stack.enter_context(_decoder(stream, part)) for part in parts]
        _refuse_unlike(files)
        file, rate = files[0], files[0].samplerate
        promised = sum(each.frames for each in files)
        stretch = _Stretch(wanted.start_s, wanted.duration_s, rate)
        stretch.check(promised)
        size = (min(promised, stretch.stop) - stretch.first) * file.channels
        if size > wanted.max_samples:
            raise Unsupported(
                f"{size:,} samples, all channels counted, are more than audio.max_samples = "
                f"{wanted.max_samples:,}; cut it with --duration, or raise that limit if the "
                "machine has the memory"
            )
        kept, there, digest = _stream_through(zip(parts, files, strict=True), stretch)
        conversions = [*division.notes, *_remarks(stream, files, there, division.counted)]
        subtype = file.subtype
        kept, mask, moved = speakers(file, kept)
        conversions += moved
    stretch.check(there)
    _refuse_non_finite(kept, stretch.first, rate)
    if len(kept) < there:
        conversions.append(
            f"cut to {len(kept):,} of {there:,} frames, from frame {stretch.first:,}"
        )
    if wanted.duration_s is not None and stretch.stop > there:
        conversions.append(
            f"{wanted.duration_s:g} s are asked for, and it ends after {len(kept) / rate:.6g} s"
        )
    sound = Sound(kept, rate, subtype, digest, tuple(conversions), mask)
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
        return self._frame(self.start_s)

    @property
    def stop(self) -> int:
        """One past the last frame; far beyond any file where no duration is given."""
        if self.duration_s is None:
            return _UNKNOWN_LENGTH
        return self._frame(self.start_s + self.duration_s)

    def _frame(self, seconds: float) -> int:
        """Give the frame at a time; far beyond any file where floats do not hold it."""
        return round(min(seconds * self.rate, _UNKNOWN_LENGTH))

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
def _decoder(stream: Stream, part: int | io.BytesIO) -> Iterator[soundfile.SoundFile]:
    """Open the decoder, for a kind that is on the list and says how long it is."""
    try:
        with quiet(part):
            file = soundfile.SoundFile(part, closefd=False)
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


def _refuse_unlike(files: Sequence[soundfile.SoundFile]) -> None:
    first, *others = files
    for other in others:
        if (other.samplerate, other.channels) != (first.samplerate, first.channels):
            raise Unsupported(
                "streams of two kinds are joined in it, one with "
                f"{first.channels} channels at {first.samplerate} Hz, another with "
                f"{other.channels} at {other.samplerate} Hz; fit them one by one"
            )


def _stream_through(
    parts: Iterable[tuple[int | io.BytesIO, soundfile.SoundFile]], stretch: _Stretch
) -> tuple[NDArray[Any], int, str]:
    """Decode all parts of a file, block by block.

    Returns:
        The stretch (T, C), the number of frames in the file, and the hash of them all.
    """
    digest, there = hashlib.sha256(), 0
    kept: list[NDArray[Any]] = []
    for source, file in parts:
        if not kept:
            dtype = np.dtype(_WIDE.get(file.subtype, np.int16))
            shape = (max(1, _SAMPLES_AT_ONCE // file.channels), file.channels)
            block = np.empty(shape, dtype)
            kept.append(block[:0])
            ending = f"{dtype.str} {file.samplerate}"
        stop = there + file.frames
        while True:
            # libFLAC fails at bytes after the last frame, and then gives nothing of the block.
            left = stop - there if file.format == "FLAC" else len(block)
            with quiet(source):
                count = file.buffer_read_into(block[:left], dtype.name)
            if not count:
                break
            digest.update(block[:count].data)
            inside = slice(max(0, stretch.first - there), max(0, min(count, stretch.stop - there)))
            kept.append(block[inside].copy())
            there += count
    digest.update(f"{(there, block.shape[1])} {ending}".encode())
    return np.concatenate(kept), there, digest.hexdigest()


def _remarks(
    stream: Stream, files: Sequence[soundfile.SoundFile], there: int, counted: int | None
) -> Iterator[str]:
    """Say what the file promised and did not keep."""
    name, suffixes = files[0].format, FORMATS[files[0].format]
    if (kind := ffmpeg.kind_of(stream.head)) is not None:
        name, suffixes = kind.name, (*kind.suffixes, *FORMATS.get(kind.demuxer.upper(), ()))
    if stream.suffix and stream.suffix not in suffixes:
        yield f"read as {name}, whatever its name says"
    promised = sum(file.frames for file in files) if counted is None else counted
    if there < promised:
        if counted is None:
            yield f"its header promises {promised:,} frames, {there:,} are there"
        else:
            yield f"{counted:,} frames are counted in it, of which {there:,} could be decoded"
        return
    log = "".join(file.extra_info for file in files)
    shortened = [(int(a), int(b)) for a, b in _SHORTENED.findall(log)]
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
        speakers=None,
        conversions=(*sound.conversions, note),
    )
