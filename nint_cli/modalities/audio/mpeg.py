"""The frames of MPEG audio, counted by their headers.

An MP3 file has no length but the one that its encoder may note in a first frame without sound,
the Xing or Info frame. Where that is missing, wrong, or of the first of several files that were
joined, decoders guess and stop early. Here each frame is found by its header, and such a note is
made.

Source: ISO/IEC 11172-3 and 13818-3; the Xing frame as LAME documents it.
"""

import re
import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from mmap import mmap

Bytes = bytes | mmap

# Bit rates in kbit/s by index; of MPEG-1 by layer, and of the lower rates of MPEG-2 and 2.5.
_KBITS_1 = {
    1: (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    2: (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    3: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
}
_KBITS_2 = {
    1: (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    2: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    3: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}

_NOTES = (b"Xing", b"Info")
_BEGINNING = re.compile(rb"\xff[\xe0-\xff]|ID3|APETAGEX|TAG")  # of a frame or a tag
_LEAST_NOTE = 64  # bytes of a frame that has room for a note
_MOST_SEARCHES = 1000  # for the size of a frame of free bit rate, among bytes that are none
_SEARCHED = 1 << 12  # a free-format frame is shorter
_NO_CHANCE = 8  # frames of another kind than most; bytes that are no sound look like fewer


@dataclass(frozen=True)
class Header:
    """What four bytes at the start of a frame say.

    Attributes:
        kind: Version, layer and rate; frames of one stream have the same.
        layer: 1, 2 or 3.
        rate: Samples per second.
        channels: 1 or 2.
        samples: Per channel.
        size: Bytes of the frame with its header; of free format, 0, for it does not say.
        note_at: Where the note of a length begins, after the header and what tells of the sound.
    """

    kind: int
    layer: int
    rate: int
    channels: int
    samples: int
    size: int
    note_at: int


@dataclass
class Stretch:
    """Frames of one encoder, one after the other.

    Attributes:
        header: Of its first frame.
        head: Those four bytes.
        ranges: Where its frames are, from which byte to which; what lies between is no sound.
        frames: How many there are, without the note.
        noted: How many the note says; None where there is none that says it.
        has_note: Whether the first frame is a note.
        cut: Whether a frame begins after these that the file does not hold whole.
    """

    header: Header
    head: bytes
    ranges: list[tuple[int, int]] = field(default_factory=list)
    frames: int = 0
    noted: int | None = None
    has_note: bool = False
    cut: bool = False

    @property
    def sound(self) -> list[tuple[int, int]]:
        """The ranges without the note."""
        if not self.has_note:
            return self.ranges
        (start, stop), *rest = self.ranges
        return [(start + self.header.size, stop), *rest]

    def note(self) -> bytes:
        """Make the frame that tells decoders how long this is; empty where its layer has none."""
        if self.header.layer != 3 or not self.header.size:
            return b""
        for index in range(1, 15):
            third = self.head[2] & 0x0D | index << 4  # of another bit rate, and without padding
            head = bytes((0xFF, self.head[1] | 1, third, self.head[3]))
            header = header_of(head)
            if header is not None and header.size >= _LEAST_NOTE:
                note = b"Info" + struct.pack(">II", 1, self.frames)
                return (head.ljust(header.note_at, b"\0") + note).ljust(header.size, b"\0")
        return b""


def header_of(head: Bytes) -> Header | None:
    """Read a frame's header.

    Args:
        head: Its first four bytes, or more.

    Returns:
        What it says; None for anything else.
    """
    if len(head) < 4 or head[0] != 0xFF:
        return None
    return _header(head[1], head[2], head[3] >> 6 == 3)


@cache
def _header(first: int, second: int, mono: bool) -> Header | None:
    version, layer = first >> 3 & 3, 4 - (first >> 1 & 3)
    index, rate_index, padding = second >> 4, second >> 2 & 3, second >> 1 & 1
    if first < 0xE0 or version == 1 or layer == 4 or index == 15 or rate_index == 3:
        return None
    rate = _RATES[version][rate_index]
    bits = 1000 * (_KBITS_1 if version == 3 else _KBITS_2)[layer][index]
    if layer == 1:
        samples, size = 384, (12 * bits // rate + padding) * 4
    else:
        samples = 576 if layer == 3 and version != 3 else 1152
        size = samples // 8 * bits // rate + padding
    beside = {(3, False): 32, (3, True): 17, (2, False): 17, (2, True): 9}
    checked = 0 if first & 1 else 2  # bytes of a checksum
    note_at = 4 + checked + beside[3 if version == 3 else 2, mono]
    kind = (version << 4 | layer << 2 | rate_index) << 1 | mono
    channels = 1 if mono else 2
    return Header(kind, layer, rate, channels, samples, size if index else 0, note_at)


def stretches(data: Bytes) -> list[Stretch]:
    """Find all frames of a file.

    A new stretch begins with a note of a length, after a tag, where frames are of another kind,
    and after as many frames as the note before says, if the next needs nothing of them.

    Args:
        data: The file.

    Returns:
        The stretches in order; those without a frame of sound are left out.
    """
    found: list[Stretch] = []
    current: Stretch | None = None
    stop = 0
    for place, size, header in _frames(data):
        if header is None:  # a tag
            current = None
            continue
        if place + size > len(data):
            if current is not None:
                current.cut = True
            break
        has_note, noted = _note_in(data, place, header)
        if (
            current is None
            or has_note
            or header.kind != current.header.kind
            or (current.frames == current.noted and _needs_nothing(data, place, header))
        ):
            current = Stretch(header, bytes(data[place : place + 4]))
            current.has_note, current.noted = has_note, noted
            found.append(current)
        current.frames += not has_note
        if current.ranges and stop == place:
            current.ranges[-1] = (current.ranges[-1][0], place + size)
        else:
            current.ranges.append((place, place + size))
        stop = place + size
    usual = Counter({each.header.kind: each.frames for each in found}).most_common(1)
    return [
        each
        for each in found
        if each.frames and (each.header.kind == usual[0][0] or each.frames >= _NO_CHANCE)
    ]


def _frames(data: Bytes) -> Iterator[tuple[int, int, Header | None]]:
    """Give place, size and header of every frame, and without header tags between them.

    The last may be longer than the file.
    """
    free: dict[int, int] = {}  # size without padding, by kind
    searches = _MOST_SEARCHES
    place, end, in_step = 0, len(data) - 3, False
    while place < end:
        header = size = None
        if data[place] == 0xFF:
            header = _header(data[place + 1], data[place + 2], data[place + 3] >> 6 == 3)
        if header is not None:
            size = header.size
            if not size:
                padding = (data[place + 2] >> 1 & 1) * (4 if header.layer == 1 else 1)
                if header.kind not in free and searches:
                    searches -= 1
                    if without_padding := _free_size(data, place, header):
                        free[header.kind] = without_padding
                size = free.get(header.kind, -padding) + padding
            if size and (in_step or _goes_on(data, place + size, header)):
                yield place, size, header
                place, in_step = place + size, True
                continue
        in_step = False
        if size := tag_size(data, place):
            yield place, size, None
            place += size
        else:
            found = _BEGINNING.search(data, place + 1)
            place = end if found is None else found.start()


def _goes_on(data: Bytes, place: int, header: Header) -> bool:
    """Tell whether a frame of the same kind, a tag, or the file's end is at a place."""
    following = header_of(data[place : place + 4])
    if following is not None:
        return following.kind >> 1 == header.kind >> 1
    return place >= len(data) - 3 or bool(tag_size(data, place))


def tag_size(data: Bytes, place: int) -> int:
    """Give the size of an ID3 or APE tag.

    Args:
        data: The file.
        place: Where it would begin.

    Returns:
        Bytes; 0 where there is none.
    """
    head = bytes(data[place : place + 32])
    if head[:3] == b"ID3" and len(head) >= 10 and max(head[6:10]) < 0x80:
        size = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
        return 10 + size + (10 if head[5] & 0x10 else 0)
    if head[:8] == b"APETAGEX" and len(head) == 32:
        (size,) = struct.unpack_from("<I", head, 12)
        return int(size) + (32 if head[23] & 0x20 else 0)
    return 128 if head[:3] == b"TAG" else 0


def _free_size(data: Bytes, place: int, header: Header) -> int:
    """Give the size, without padding, of a frame whose bit rate is free; 0 if none follows."""
    piece = bytes(data[place : place + _SEARCHED])
    at = 4
    while (at := piece.find(b"\xff", at)) >= 0:
        following = header_of(piece[at : at + 4])
        if following is not None and (following.kind, following.size) == (header.kind, 0):
            return at - (piece[2] >> 1 & 1) * (4 if header.layer == 1 else 1)
        at += 1
    return 0


def _note_in(data: Bytes, place: int, header: Header) -> tuple[bool, int | None]:
    """Tell whether a frame is a note of a length, and how many frames it says."""
    at = place + header.note_at
    if data[at : at + 4] in _NOTES and header.layer == 3:
        flags, frames = struct.unpack(">II", data[at + 4 : at + 12].ljust(8, b"\0"))
        return True, frames if flags & 1 else None
    return header.layer == 3 and data[place + 36 : place + 40] == b"VBRI", None


def _needs_nothing(data: Bytes, place: int, header: Header) -> bool:
    """Tell whether a frame of layer III refers to no data of the frames before it."""
    if header.layer != 3:
        return True
    at = place + (4 if data[place + 1] & 1 else 6)
    back = int.from_bytes(bytes(data[at : at + 2]))
    return (back >> 7 if data[place + 1] & 8 else back >> 8) == 0
