"""The chunks of WAV files, which libsndfile wants in their usual order, and once each."""

import struct
from dataclasses import dataclass
from mmap import mmap

Piece = bytes | tuple[int, int]
"""Part of a file that is put together: bytes, or those of the original from one to another."""

_ORDER = {b"RIFF": "<", b"RIFX": ">"}
_LARGEST = 0xFFFFFFFF
_FORM, _SOUND = b"fmt ", b"data"
_FOLLOWING = {_FORM, _SOUND, b"LIST"}
_LEAST_FORM = 16
_MOST_RATE = 2**31 - 1
_MOST_CHUNKS = 1000


@dataclass(frozen=True)
class Chunk:
    """A chunk.

    Attributes:
        name: Four letters.
        start: Its first byte, that of its name.
        stop: One past its last byte, or past the file where that ends before.
    """

    name: bytes
    start: int
    stop: int

    @property
    def size(self) -> int:
        """Bytes of its content."""
        return self.stop - self.start - 8


@dataclass(frozen=True)
class Wave:
    """A WAV file.

    Attributes:
        magic: Its first four bytes.
        promised: How long its first line says that it is.
        chunks: Its chunks, in order.
        padded: Whether each of odd length is followed by a byte of padding, as it must be.
    """

    magic: bytes
    promised: int
    chunks: tuple[Chunk, ...]
    padded: bool

    @property
    def sounds(self) -> list[Chunk]:
        """The chunks of samples; empty ones only where there are no others."""
        found = [chunk for chunk in self.chunks if chunk.name == _SOUND]
        return [chunk for chunk in found if chunk.size] or found

    @property
    def form(self) -> Chunk | None:
        """The chunk that says what its samples are."""
        return next((chunk for chunk in self.chunks if chunk.name == _FORM), None)

    def fault(self, data: bytes | mmap) -> str | None:
        """Say what no decoder can do without; None where nothing is missing."""
        form = self.form
        if form is None or form.size < _LEAST_FORM or form.stop > len(data):
            return "it does not say what its samples are: there is no whole chunk 'fmt '"
        if not self.sounds:
            return "it has no samples: there is no chunk 'data'"
        channels, rate = struct.unpack(
            f"{_ORDER[self.magic]}HI", data[form.start + 10 : form.start + 16]
        )
        for value, what in ((channels, "channels"), (rate, "samples per second")):
            if not value:
                return f"its header says that it has 0 {what}"
        if rate > _MOST_RATE:
            return f"its header says that it has {rate:,} samples per second"
        sound = self.sounds[0]
        (frame,) = struct.unpack(f"{_ORDER[self.magic]}H", data[form.start + 20 : form.start + 22])
        if sound.size >= frame > len(data) - (sound.start + 8):
            return "it is cut short before its first sample"
        return None

    def left_open(self, data: bytes | mmap) -> bool:
        """Tell whether it says that it holds nothing, because its writer could not go back.

        Of one that was finished, the size in the first line is that of the file.
        """
        sounds, size = self.sounds, len(data)
        if not sounds or sounds[0].size or sounds[0].stop >= size:
            return False
        return self.promised not in {size, size - 1}

    def disorder(self) -> str | None:
        """Say why decoders do not find its samples; None if they do."""
        names = [chunk.name for chunk in self.chunks]
        if (count := len(self.sounds)) > 1:
            left = sum(sound.size for sound in self.sounds[1:])
            return (
                f"it has {count} data chunks, of which the first is read; {left:,} bytes of "
                "samples are left out"
            )
        if names.count(_FORM) > 1:
            return f"it has {names.count(_FORM)} chunks 'fmt ', of which the first counts"
        if names.count(_SOUND) > 1:
            return "an empty chunk 'data' stands beside its samples; read all the same"
        if names.index(_FORM) > names.index(_SOUND):
            return "its samples come before what says how to read them; read all the same"
        return (
            None if self.padded else "a chunk of odd length lacks its padding; read all the same"
        )

    def in_order(self, data: bytes | mmap) -> list[Piece]:
        """Make a WAV file of its format and its first samples alone.

        Args:
            data: The file.

        Returns:
            What it is put together from.
        """
        form, sound = self.form, self.sounds[0]
        assert form is not None
        start = sound.start + 8
        stop = len(data) if self.left_open(data) else sound.stop
        order = _ORDER[self.magic]
        size = 4 + (form.stop - form.start) + 8 + (stop - start)
        return [
            self.magic + struct.pack(f"{order}I", min(size, _LARGEST)) + b"WAVE",
            (form.start, form.stop),
            _SOUND + struct.pack(f"{order}I", min(stop - start, _LARGEST)),
            (start, min(stop, len(data))),
        ]


def is_wave(head: bytes) -> bool:
    """Tell a WAV file by its first twelve bytes."""
    return head[:4] in _ORDER and head[8:12] == b"WAVE"


def waves(data: bytes | mmap) -> list[Wave]:
    """List the WAV files that were joined end to end in one; mostly it is one.

    Args:
        data: The file.

    Returns:
        They, in order.
    """
    found: list[Wave] = []
    place = 0
    while is_wave(data[place : place + 12]):
        magic = bytes(data[place : place + 4])
        order = _ORDER[magic]
        (promised,) = struct.unpack(f"{order}I", data[place + 4 : place + 8])
        chunks: list[Chunk] = []
        padded = True
        place += 12
        while place + 8 <= len(data) and len(chunks) < _MOST_CHUNKS:
            if is_wave(data[place : place + 12]):
                break
            name, size = struct.unpack(f"{order}4sI", data[place : place + 8])
            stop = place + 8 + size
            chunks.append(Chunk(name, place, stop))
            # An odd one is followed by a byte of padding, which some writers leave out.
            odd = size % 2 == 1
            unpadded = odd and data[stop : stop + 4] in {*_FOLLOWING, magic}
            padded &= not unpadded
            place = stop + (odd and not unpadded)
            if name == _SOUND and not size and data[place : place + 4] not in _FOLLOWING:
                break  # samples may follow, which are no chunks
        found.append(Wave(magic, promised + 8, tuple(chunks), padded))
    return found
