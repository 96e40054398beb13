"""STL, binary and text.

Source: "StereoLithography Interface Specification", 3D Systems 1989.
"""

import struct

import numpy as np

from nint_cli.modalities.sdf.formats import polygons
from nint_cli.modalities.sdf.formats.lines import Lines, unified
from nint_cli.modalities.sdf.formats.parts import Part
from nint_cli.modalities.sdf.formats.reading import Reading

_HEADER, _FACE = 84, 50
_UNCOUNTED = {0, 0xFFFFFFFF}  # what programs leave that do not go back to count


def read(data: bytes, reading: Reading) -> list[Part]:
    """Read triangles; normals and colours are passed over.

    Args:
        data: The file's content.
        reading: What it is read for.

    Returns:
        One part, whose corners are one vertex each.
    """
    return _text(data, reading) if _is_text(data) else _binary(data, reading)


def _is_text(data: bytes) -> bool:
    """Tell text; binary files begin with the same word, too."""
    if len(data) >= _HEADER:
        faces = struct.unpack_from("<I", data, 80)[0]
        if len(data) == _HEADER + _FACE * faces:
            return False
    head = data[:2048].lstrip().lower()
    return head.startswith((b"solid", b"facet")) and b"\0" not in head


def _binary(data: bytes, reading: Reading) -> list[Part]:
    if len(data) < _HEADER:
        raise ValueError("it is shorter than the header of an STL file")
    promised = struct.unpack_from("<I", data, 80)[0]
    found, beyond = divmod(len(data) - _HEADER, _FACE)
    if promised in _UNCOUNTED and found and not beyond:
        reading.notes.append(f"its header does not count its {found:,} triangles")
        promised = found
    if promised > found:
        raise ValueError(
            f"{promised:,} faces promised, {found:,} found; it is cut short: get it again"
        )
    reading.check_faces(promised)
    rest = len(data) - _HEADER - _FACE * promised
    if rest:
        reading.notes.append(f"{rest:,} bytes after the last triangle passed over")
    kinds = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
    corners = np.frombuffer(data, kinds, promised, _HEADER)["corners"]
    return [(corners.reshape(-1, 3).astype(np.float64), np.arange(3 * promised).reshape(-1, 3))]


def _text(data: bytes, reading: Reading) -> list[Part]:
    text = unified(data.lower())
    lines = Lines.of(text)
    if text.count(b"vertex ") > 2 * lines.beginning(b"vertex").sum():  # all in one line
        for word in (b"vertex ", b"endloop"):
            text = text.replace(word, b"\n" + word)
        lines = Lines.of(unified(text))
    is_vertex = lines.beginning(b"vertex")
    is_end = lines.beginning(b"endloop")
    counts = np.diff(np.cumsum(is_vertex)[is_end], prepend=0)
    reading.check_faces(int((counts > 2).sum()))
    if is_vertex.sum() > counts.sum():
        raise ValueError("its last triangle has no end; it is cut short")
    if not text.count(b"endsolid") and len(counts):
        reading.notes.append("it has no 'endsolid', and may be cut short")
    vertices = lines.picked(is_vertex, b"vertex").points()
    corners = np.arange(len(vertices))
    return [(vertices, polygons.triangles(vertices, counts, corners, reading))]
