"""What a reader of meshes is given, and what it says."""

import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

# Texts with normals and texture coordinates take this much, and pictures may lie beside them.
_MOST_BYTES_PER_FACE = 400
_MOST_BYTES_BESIDE = 1 << 28

# What is packed tighter than this, after so many bytes, is no mesh but a trap.
_MOST_INFLATION = 60
_INFLATED_UNASKED = 1 << 24


class Unsupported(Exception):
    """The file is sound, but nothing that can be fitted."""


@dataclass
class Reading:
    """One file that is being read.

    Attributes:
        max_faces: How many triangles may come out of it.
        folder: Where it lies; no file elsewhere is opened for it.
        notes: What was done to its content, in plain words.
        unpacked: How many bytes have been unpacked from it so far.
    """

    max_faces: int
    folder: Path = Path()
    notes: list[str] = field(default_factory=list)
    unpacked: int = 0

    @property
    def most_bytes(self) -> int:
        """How long a file with that many triangles can be."""
        return self.max_faces * _MOST_BYTES_PER_FACE + _MOST_BYTES_BESIDE

    def check_faces(self, count: int) -> None:
        """Refuse too many triangles.

        Args:
            count: Their number, or of faces that have at least one each.

        Raises:
            Unsupported: If they are more than `max_faces`.
        """
        if count > self.max_faces:
            raise Unsupported(
                f"{count:,} triangles are more than sdf.max_faces = {self.max_faces:,}; raise "
                "that limit if the machine has the memory, or simplify the mesh"
            )

    def check_bytes(self, size: int) -> None:
        """Refuse a file that is longer than a mesh within the limit can be.

        Args:
            size: How many bytes it has.

        Raises:
            Unsupported: If they are more than `most_bytes`.
        """
        if size > self.most_bytes:
            raise Unsupported(
                f"more than {self.most_bytes:,} bytes, which no mesh of sdf.max_faces = "
                f"{self.max_faces:,} has; raise that limit if it is one"
            )

    def inflated(self, pieces: Iterable[bytes], packed: int) -> Iterator[bytes]:
        """Pass on what unpacks from a file, as long as it can be a mesh.

        Args:
            pieces: The content, unpacked piece by piece.
            packed: How many bytes it was packed into.

        Yields:
            The pieces.

        Raises:
            Unsupported: If they are longer than a mesh within the limit can be, or packed tighter
                than any.
        """
        for piece in pieces:
            self.unpacked += len(piece)
            self.check_bytes(self.unpacked)
            if self.unpacked > max(_INFLATED_UNASKED, _MOST_INFLATION * packed):
                raise Unsupported(
                    f"its {packed:,} bytes unpack to more than {self.unpacked:,}, as no mesh does"
                )
            yield piece


def gunzipped(data: bytes) -> Iterator[bytes]:
    """Unpack a gzip file, which may consist of several.

    Args:
        data: Its content.

    Yields:
        What it holds, piece by piece.

    Raises:
        ValueError: If it is cut short.
    """
    rest = data
    while rest[:2] == b"\x1f\x8b":
        unpacker = zlib.decompressobj(wbits=31)
        while not unpacker.eof:
            piece = unpacker.decompress(rest, 1 << 22)
            rest = unpacker.unconsumed_tail
            if not piece and not rest and not unpacker.eof:
                raise ValueError("the gzip file is cut short")
            yield piece
        rest = unpacker.unused_data
