"""The pages of Ogg, by which a file tells where a stream begins, and whether it is whole.

Source: RFC 3533.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from mmap import mmap

_MARK = b"OggS"
_HEADER = 27
_BEGINS, _ENDS = 2, 4


@dataclass
class Link:
    """One of the streams that lie in a file one after the other, a link of its chain.

    Attributes:
        start: Its first byte.
        stop: One past the last byte of its last whole page.
        sounds: Whether it has a page that ends with a sound.
        open: Serial numbers of its streams that have not come to their last page.
    """

    start: int
    stop: int
    sounds: bool = False
    open: set[int] = field(default_factory=set)

    @property
    def cut(self) -> bool:
        """Whether a stream in it has no last page."""
        return bool(self.open)


def links(data: bytes | mmap) -> list[Link]:
    """Find the streams that were chained in a file.

    Args:
        data: The file.

    Returns:
        They, in order; streams side by side, such as a film's, are one.
    """
    found: list[Link] = []
    begins_before = False
    for place, size, flags, position, serial in _pages(data):
        begins = bool(flags & _BEGINS)
        if not found or (begins and not begins_before):
            found.append(Link(place, place))
        link, begins_before = found[-1], begins
        link.stop = place + size
        if begins:
            link.open.add(serial)
        if flags & _ENDS:
            link.open.discard(serial)
        link.sounds |= position > 0
    return found


def _pages(data: bytes | mmap) -> Iterator[tuple[int, int, int, int, int]]:
    """Give place, size, flags, position in samples and serial number of every whole page."""
    place = 0
    while (place := data.find(_MARK, place)) >= 0:
        header = data[place : place + _HEADER + 255]
        if len(header) < _HEADER:
            return
        flags, position, serial = struct.unpack_from("<xBqI", header, 4)
        segments = header[26]
        size = _HEADER + segments + sum(header[_HEADER : _HEADER + segments])
        if place + size <= len(data):
            yield place, size, flags, position, serial
        place += size
