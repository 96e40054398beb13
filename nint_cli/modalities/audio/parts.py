"""Files that decoders read only in part, put in order: joined end to end, or of unknown length.

libsndfile reads the first of several streams and stops without a word, and so it does where an MP3
file does not say how long it is. Here such a file is divided into parts, each of which it reads to
its end.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from mmap import mmap

from nint_cli.modalities.audio import mpeg, ogg, riff
from nint_cli.modalities.audio.riff import Piece

_FLAC = (b"fLaC\0\0\0\x22", b"fLaC\x80\0\0\x22")
_ID3V1 = 128
_AIFF_HEADER = 1 << 12

_LEAST_FRAMES = 2  # one may be chance


class Unreadable(Exception):
    """The file lacks what no decoder can do without; says what, as a clause."""


@dataclass(frozen=True)
class Division:
    """How a file is to be read.

    Attributes:
        parts: What each part is put together from; none where the file is to be read as it is.
        notes: What is worth saying of it.
        counted: How many samples per channel were counted, where decoders only guess.
    """

    parts: Sequence[Sequence[Piece]] = ()
    notes: tuple[str, ...] = ()
    counted: int | None = None


def divided(data: bytes | mmap, *, named_mpeg: bool = False) -> Division:
    """Find the parts of a file.

    Args:
        data: The file.
        named_mpeg: Whether it is MPEG audio by its name.

    Returns:
        How to read it; `Unreadable` is raised if nothing of it can be decoded.
    """
    head = bytes(data[:12])
    if head[:4] == b"FORM":
        return _of_aiff(data)
    if riff.is_wave(head):
        return _of_wave(data)
    after_tag = mpeg.tag_size(data, 0)
    if data[after_tag : after_tag + 4] == b"OggS":
        return _of_ogg(data)
    if data[after_tag : after_tag + 4] == b"fLaC":
        return _of_flac(data, after_tag)
    if named_mpeg or after_tag or mpeg.header_of(head) is not None:
        return _of_mpeg(data, after_tag)
    return Division()


def _of_wave(data: bytes | mmap) -> Division:
    found = riff.waves(data)
    notes = _joined(len(found))
    for wave in found:
        if (fault := wave.fault(data)) is not None:
            raise Unreadable(fault)
        if wave.left_open(data):
            notes += ["its header says that it holds nothing; read to its end"]
        elif (disorder := wave.disorder()) is not None:
            notes += [disorder]
    return Division([wave.in_order(data) for wave in found] if notes else (), tuple(notes))


def _of_aiff(data: bytes | mmap) -> Division:
    place = data.find(b"COMM", 12, _AIFF_HEADER)
    if place >= 0 and data[place + 16 : place + 26] == bytes(10):  # which libsndfile takes for 1
        raise Unreadable("its header says that it has 0 samples per second")
    return Division()


def _of_ogg(data: bytes | mmap) -> Division:
    found = ogg.links(data)
    whole = [link for link in found if link.sounds]
    notes = _joined(len(whole))
    if found and found[-1].cut:
        if not whole:
            raise Unreadable("it is cut short before its first page of sound is whole")
        rest = len(data) - whole[-1].stop
        notes += [f"it is cut short: its last page is not there, or but {rest:,} bytes of it"]
    if len(found) < 2 and not (whole and whole[0].start):
        return Division(notes=tuple(notes))
    return Division([[(link.start, link.stop)] for link in whole], tuple(notes))


def _of_flac(data: bytes | mmap, start: int) -> Division:
    starts = [start]
    while (place := min(_places(data, starts[-1] + 4), default=-1)) >= 0:
        starts.append(place)
    end = len(data)
    if data[end - _ID3V1 : end - _ID3V1 + 3] == b"TAG":
        end -= _ID3V1
    if starts == [0] and end == len(data):
        return Division()
    ranges = zip(starts, [*starts[1:], end], strict=True)
    return Division([[piece] for piece in ranges], tuple(_joined(len(starts))))


def _places(data: bytes | mmap, start: int) -> list[int]:
    return [place for magic in _FLAC if (place := data.find(magic, start)) >= 0]


def _of_mpeg(data: bytes | mmap, start: int) -> Division:
    found = mpeg.stretches(data)
    if sum(each.frames for each in found) < _LEAST_FRAMES:
        return Division()
    only, notes = found[0], _joined(len(found))
    for gap, where in (
        (only.ranges[0][0] - start, "before its first MPEG frame"),
        (sum(map(_gaps, found)), "between its MPEG frames"),
    ):
        if gap:
            notes += [f"{gap:,} bytes {where} are no sound; passed over"]
    notes += [
        "it is cut short within an MPEG frame, which is left out" for each in found if each.cut
    ]
    if len(found) == 1 and only.ranges == [(start, only.ranges[0][1])]:
        if not only.note():
            return Division((), tuple(notes), counted=only.frames * only.header.samples)
        if only.noted is not None and only.noted >= only.frames:
            return Division()  # what it promises and has not is said when it has been read
    notes += [_count(each) for each in found if each.noted != each.frames]
    return Division([_noted(each) for each in found], tuple(notes))


def _noted(stretch: mpeg.Stretch) -> list[Piece]:
    """Give frames with a note that says how many they are."""
    if stretch.noted != stretch.frames and (note := stretch.note()):
        return [note, *stretch.sound]
    return [*stretch.ranges]


def _gaps(stretch: mpeg.Stretch) -> int:
    ranges = stretch.ranges
    return sum(after[0] - before[1] for before, after in pairwise(ranges))


def _count(stretch: mpeg.Stretch) -> str:
    said = "does not say how long it is"
    if stretch.noted is not None:
        said = f"says {stretch.noted:,}"
    return f"its header {said}; {stretch.frames:,} MPEG frames were counted"


def _joined(count: int) -> list[str]:
    return [f"{count} streams joined end to end, read one after the other"] if count > 1 else []
