"""Wavefront OBJ.

Source: "Object Files (.obj)", Appendix B1 of the Advanced Visualizer manual, Wavefront 1993.
"""

import re

import numpy as np

from nint_cli.modalities.sdf.formats import polygons
from nint_cli.modalities.sdf.formats.lines import Lines, Rows, numbers, unified
from nint_cli.modalities.sdf.formats.parts import Part
from nint_cli.modalities.sdf.formats.polygons import Corners
from nint_cli.modalities.sdf.formats.reading import Reading, Unsupported


def read(data: bytes, reading: Reading) -> list[Part]:
    """Read vertices and faces; groups, textures and materials are passed over.

    Args:
        data: The file's content.
        reading: What it is read for.

    Returns:
        One part.

    Raises:
        Unsupported: If a line says what no OBJ can; it names the line.
    """
    lines = Lines.of(unified(data))
    is_vertex, is_face = lines.beginning(b"v"), lines.beginning(b"f")
    reading.check_faces(int(is_face.sum()))
    vertices = lines.picked(is_vertex, b"v").points()
    faces = lines.picked(is_face, b"f")
    corners = _vertex_numbers(faces)
    at = np.repeat(np.arange(len(faces.counts)), faces.counts)
    before = np.cumsum(is_vertex)[
        is_face
    ]  # vertices, from the last of which faces count backwards
    absolute = np.where(corners < 0, corners + before[at], corners - 1)
    wrong = (corners == 0) | (absolute < 0) | (absolute >= len(vertices))
    if wrong.any():
        first = int(wrong.argmax())
        reason = "OBJ counts from 1" if corners[first] == 0 else f"of {len(vertices):,}"
        raise Unsupported(
            f"line {faces.line[at[first]]}: a face names vertex {corners[first]}"
            + (", but " if corners[first] == 0 else " ")
            + reason
        )
    return [(vertices, polygons.triangles(vertices, faces.counts, absolute, reading))]


def _vertex_numbers(faces: Rows) -> Corners:
    """Read the vertex of each corner; numbers of its texture and normal may follow slashes."""
    slashes = np.flatnonzero(faces.text == ord("/"))
    if not len(slashes):
        return faces.numbers(np.int64)
    text = faces.text.tobytes()
    # Mostly, all corners have the same: then the numbers are a table, which reads fastest.
    words = len(faces.word_starts)
    per_word = len(slashes) // max(words, 1)
    columns = per_word + 1 - text.count(b"//") // max(words, 1)
    even = np.array_equal(
        np.searchsorted(faces.word_starts, slashes, side="right") - 1,
        np.repeat(np.arange(words), per_word),
    )
    if even:
        try:
            table = numbers(text.replace(b"/", b" "), np.int64)
        except ValueError:
            table = np.empty(0, np.int64)
        if len(table) == words * columns:
            return np.ascontiguousarray(table[::columns])
    bare = re.sub(rb"/[^ \n]*", lambda found: b" " * len(found[0]), text)
    return Rows(np.frombuffer(bare, np.uint8), faces.starts, faces.line).numbers(np.int64)
