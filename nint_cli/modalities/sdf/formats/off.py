"""OFF, as Geomview defines it and as ModelNet writes it.

Source: "OFF: Object File Format", Geomview manual 1.9.5, Geometry Center 1993-2014.
"""

import re

import numpy as np

from nint_cli.modalities.sdf.formats import polygons
from nint_cli.modalities.sdf.formats.lines import Lines, Rows, numbers, unified
from nint_cli.modalities.sdf.formats.parts import Part, whole
from nint_cli.modalities.sdf.formats.polygons import Corners
from nint_cli.modalities.sdf.formats.reading import Reading, Unsupported

_BLANK = rb"(?:\s|#[^\n]*\n)*"
_HEADER = re.compile(
    _BLANK
    + rb"(?:(?P<points>(?:ST)?C?N?)(?P<more>4?n?)(?:OFF|off)(?P<binary>[ \t]+BINARY)?)?"
    + _BLANK
    + rb"(?P<vertices>\d+)\s+(?P<faces>\d+)"
    + rb"(?:(?:[ \t]+\d+|\n[ \t]*\d+[ \t]*(?=\n))?[ \t]*(?:#[^\n]*)?(?P<end>\n|$))?"
)


def read(data: bytes, reading: Reading) -> list[Part]:
    """Read vertices and faces; normals, colours and texture coordinates are passed over.

    Args:
        data: The file's content.
        reading: What it is read for.

    Returns:
        One part.

    Raises:
        Unsupported: If it has more than three dimensions, is binary, or a line says what no OFF
            can.
        ValueError: If there is less than its header promises.
    """
    start = re.match(_BLANK + rb"(?:ST)?C?N?(4?n?)OFF[ \t]+BINARY", data[:4096])
    if start:
        raise Unsupported("a binary OFF file; save it as text, or as PLY")
    text = unified(data)
    header = _HEADER.match(text)
    if header is None:
        raise ValueError("its first lines do not count vertices and faces")
    if header["more"]:
        raise Unsupported("its vertices have other than three dimensions")
    vertices, faces = int(header["vertices"]), int(header["faces"])
    reading.check_faces(faces)
    lines = Lines.of(text)
    first = lines.text[lines.starts]
    filled = (first != ord("\n")) & (first != ord("#")) & (lines.starts >= header.end())
    content = np.flatnonzero(filled)
    if header["end"] is None or len(content) < vertices + faces:
        if not header["points"]:
            return [_free(text[header.end("faces") :], vertices, faces, reading)]
        found = max(len(content) - vertices, 0)
        raise ValueError(f"{faces:,} faces promised, {found:,} found")
    if len(content) > vertices + faces:
        reading.notes.append("what follows the last face is passed over")
    rows = [np.zeros(len(filled), bool) for _ in range(2)]
    rows[0][content[:vertices]] = True
    rows[1][content[vertices : vertices + faces]] = True
    counts, corners = _faces(lines.picked(rows[1]))
    points = lines.picked(rows[0]).points()
    return [(points, polygons.triangles(points, counts, corners, reading))]


def _free(text: bytes, vertices: int, faces: int, reading: Reading) -> Part:
    """Read numbers in any lines: of edges, which is left out, vertices and faces; no colours."""
    found = numbers(re.sub(rb"#[^\n]*", b"", text))[1:]
    points, rest = found[: 3 * vertices], whole(found[3 * vertices :]).tolist()
    counts, corners, at = list[int](), list[int](), 0
    while len(counts) < faces and at < len(rest) and 0 <= rest[at] < len(rest) - at:
        counts.append(rest[at])
        corners += rest[at + 1 : at + 1 + rest[at]]
        at += 1 + rest[at]
    if len(counts) < faces or at < len(rest):
        beyond = f"{len(rest) - at:,} numbers beyond"
        raise ValueError(f"{faces:,} faces promised, {len(counts):,} found, and {beyond}")
    points = points.reshape(-1, 3)
    where = np.array(counts, np.int64), np.array(corners, np.int64)
    return points, polygons.triangles(points, *where, reading)


def _faces(rows: Rows) -> tuple[Corners, Corners]:
    """Read how many corners each face has, and which; colours may follow."""
    found = rows.numbers()
    counts = whole(found[rows.firsts])
    short = (counts < 0) | (counts >= rows.counts)
    if short.any():
        first = int(short.argmax())
        raise Unsupported(
            f"line {rows.line[first]}: a face of {counts[first]} corners, in a line of "
            f"{rows.counts[first]} numbers"
        )
    starts = np.cumsum(counts) - counts
    places = np.arange(counts.sum()) + np.repeat(rows.firsts + 1 - starts, counts)
    return counts, whole(found[places])
