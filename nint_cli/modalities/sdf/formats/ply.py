"""PLY, text and binary of either byte order.

Source: Turk, "The PLY Polygon File Format", Stanford 1994.
"""

import re
import struct
from array import array
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nint_cli.modalities.sdf.formats import polygons
from nint_cli.modalities.sdf.formats.lines import numbers
from nint_cli.modalities.sdf.formats.parts import Part, whole
from nint_cli.modalities.sdf.formats.polygons import Corners
from nint_cli.modalities.sdf.formats.reading import Reading, Unsupported
from nint_cli.modalities.sdf.shape import Faces

_BYTE_ORDERS = {"ascii": "=", "binary_little_endian": "<", "binary_big_endian": ">"}
_TYPES = {
    name: code
    for code, names in {
        "i1": "char int8",
        "u1": "uchar uint8",
        "i2": "short int16",
        "u2": "ushort uint16",
        "i4": "int int32 long",
        "u4": "uint uint32 ulong",
        "i8": "int64",
        "u8": "uint64",
        "f4": "float float32",
        "f8": "double float64",
    }.items()
    for name in names.split()
}
_HEADER = re.compile(rb"ply[ \t]*(?P<newline>\r\n|\r|\n)")
_BEYOND = "what follows the last element is passed over"
_CORNERS = ("vertex_indices", "vertex_index")


@dataclass(frozen=True)
class _Property:
    """A column of an element: one number per row, or as many as a number before them says."""

    name: str
    kind: np.dtype[Any]
    length: np.dtype[Any] | None


@dataclass(frozen=True)
class _Element:
    name: str
    count: int
    properties: list[_Property]


@dataclass(frozen=True)
class _Column:
    """How many numbers each row has, and all of them."""

    counts: Corners
    values: NDArray[Any]


def read(data: bytes, reading: Reading) -> list[Part]:
    """Read vertices, faces and strips of triangles; other elements are passed over.

    Args:
        data: The file's content.
        reading: What it is read for.

    Returns:
        One part.

    Raises:
        Unsupported: If it has no vertices with x, y and z.
    """
    elements, body, text = _header(data)
    faces = sum(element.count for element in elements if element.name == "face")
    reading.check_faces(faces)
    if text:
        rows = sum(element.count for element in elements)
        body = _text_numbers(body, rows, reading).tobytes()
    table: dict[str, dict[str, _Column]] = {}
    at = 0
    for element in elements:
        wanted = element.name in {"vertex", "face", "tristrips"}
        table[element.name], at = _columns(body, at, element, wanted)
    if body[at : at + 4096].strip():
        reading.notes.append(_BEYOND)
    columns = table.get("vertex", {})
    if not columns.keys() >= {"x", "y", "z"}:
        raise Unsupported("its vertices have no x, y and z")
    vertices = np.stack([columns[axis].values for axis in "xyz"], axis=1).astype(np.float64)
    polygon = _corners(table.get("face", {}))
    strips = _strips(_corners(table.get("tristrips", {})))
    found = polygons.triangles(vertices, polygon.counts, polygon.values, reading)
    if len(strips):
        threes = np.full(len(strips), 3)
        strips = polygons.triangles(vertices, threes, strips.reshape(-1), reading)
        found = np.concatenate([found, strips])
    return [(vertices, found)]


def _header(data: bytes) -> tuple[list[_Element], bytes, bool]:
    """Read what the file holds, in its order; give the rest, and whether that is text."""
    start = _HEADER.match(data)
    end = data.find(b"end_header")
    if start is None or end < 0:
        raise ValueError("its header has no end")
    newline = start["newline"]
    body = data.find(newline, end) + len(newline)
    if body < end:
        raise ValueError("its header has no end")
    order, elements = "", list[_Element]()
    for line in data[start.end() : end].decode("latin-1").splitlines():
        match line.split():
            case ["format", name, *_]:
                order = _known(_BYTE_ORDERS, name)
            case ["element", name, count]:
                elements.append(_Element(name, int(count), []))
            case ["property", "list", length, kind, name]:
                kinds = (np.dtype(order + _known(_TYPES, word.lower())) for word in (kind, length))
                elements[-1].properties.append(_Property(name, *kinds))
            case ["property", kind, name]:
                one = np.dtype(order + _known(_TYPES, kind.lower()))
                elements[-1].properties.append(_Property(name, one, None))
            case [] | ["comment" | "obj_info", *_]:
                pass
            case _:
                raise ValueError(f"its header says '{line[:40]}'")
    if not order:
        raise ValueError("its header names no format")
    if order == "=":
        double = np.dtype(np.float64)
        for element in elements:
            element.properties[:] = [
                _Property(p.name, double, double if p.length else None) for p in element.properties
            ]
    return elements, data[body:], order == "="


def _known(names: dict[str, str], word: str) -> str:
    if word not in names:
        raise ValueError(f"its header says '{word[:40]}', not {', '.join(names)}")
    return names[word]


def _text_numbers(text: bytes, rows: int, reading: Reading) -> NDArray[np.float64]:
    """Read the numbers of a text, up to its last row where none follow."""
    try:
        return numbers(text)
    except ValueError:
        ends = np.flatnonzero(np.frombuffer(text, np.uint8) == ord("\n"))
        if not 0 < rows <= len(ends):
            raise
        found = numbers(text[: ends[rows - 1]])
        reading.notes.append(_BEYOND)
        return found


def _columns(
    body: bytes, at: int, element: _Element, wanted: bool
) -> tuple[dict[str, _Column], int]:
    """Read an element's rows; where all lists are as long as the first row's, at once.

    Returns:
        Its columns, none if they are not wanted; and where the next element begins.
    """
    if not element.count:
        empty = np.empty(0, np.int64)
        return {p.name: _Column(empty, empty) for p in element.properties}, at
    lengths = [length for _, length in _walk(body, at, element, 1)[0]]
    fields: list[Any] = []
    for number, (p, length) in enumerate(zip(element.properties, lengths, strict=True)):
        if p.length is not None:
            fields.append((f"length {number}", p.length))
        fields.append((f"{number}", p.kind, (length[0],)))
    rows = np.dtype(fields)
    if at + element.count * rows.itemsize <= len(body):
        table = np.frombuffer(body, rows, element.count, at)
        if all(
            p.length is None or (table[f"length {number}"] == lengths[number][0]).all()
            for number, p in enumerate(element.properties)
        ):
            columns = {
                p.name: _Column(
                    np.full(element.count, lengths[number][0], np.int64),
                    table[f"{number}"].reshape(-1) if wanted else np.empty(0),
                )
                for number, p in enumerate(element.properties)
            }
            return columns, at + element.count * rows.itemsize
    found, end = _walk(body, at, element, element.count)
    if not wanted:
        return {}, end
    pairs = zip(element.properties, found, strict=True)
    return {p.name: _gathered(body, p.kind, *where) for p, where in pairs}, end


def _walk(
    body: bytes, at: int, element: _Element, count: int
) -> tuple[list[tuple[Corners, Corners]], int]:
    """Go through rows whose lists are of any length.

    Returns:
        For each property, where each row's numbers begin and how many they are; and the end.

    Raises:
        ValueError: If there are fewer rows.
    """
    steps = [
        (struct.Struct(p.length.byteorder.replace("|", "=") + p.length.char), p.kind.itemsize)
        if p.length is not None
        else (None, p.kind.itemsize)
        for p in element.properties
    ]
    places, lengths = array("q"), array("q")
    for row in range(count):
        for reader, size in steps:
            length = 1
            if reader is not None:
                if at + reader.size > len(body):
                    break
                (length,) = reader.unpack_from(body, at)
                if length != int(length):
                    raise ValueError(f"a list of {length} numbers in {element.name} {row}")
                length = int(length)
                at += reader.size
            places.append(at)
            lengths.append(length)
            at += length * size
            if length < 0:
                raise ValueError(f"a list of {length} numbers in {element.name} {row}")
        if at > len(body) or len(places) < (row + 1) * len(steps):
            raise ValueError(f"{element.count:,} rows of {element.name} promised, {row:,} found")
    columns = (np.frombuffer(column, np.int64) for column in (places, lengths))
    shaped = [column.reshape(count, len(steps)).T for column in columns]
    return list(zip(*shaped, strict=True)), at


def _gathered(body: bytes, kind: np.dtype[Any], places: Corners, counts: Corners) -> _Column:
    """Read the lists that begin at some places."""
    values = np.empty(counts.sum(), kind)
    data = np.frombuffer(body, np.uint8)
    starts = np.cumsum(counts) - counts
    for count in np.unique(counts[counts > 0]).tolist():
        same = counts == count
        window = np.lib.stride_tricks.sliding_window_view(data, count * kind.itemsize)
        values[starts[same][:, None] + np.arange(count)] = window[places[same]].view(kind)
    return _Column(counts, values)


def _corners(columns: dict[str, _Column]) -> _Column:
    """Choose the column that names vertices."""
    for name in _CORNERS:
        if name in columns:
            column = columns[name]
            return _Column(column.counts, whole(column.values))
    if columns:
        raise Unsupported(f"its faces have no list {' or '.join(_CORNERS)}")
    return _Column(np.empty(0, np.int64), np.empty(0, np.int64))


def _strips(lists: _Column) -> Faces:
    """Cut strips, which -1 or the end of a list ends; every second triangle is turned over."""
    ends = np.cumsum(lists.counts)
    corners = np.insert(lists.values, ends, -1)
    if len(corners) < 3:
        return np.empty((0, 3), np.int64)
    places = np.arange(len(corners))
    start = np.maximum.accumulate(np.where(corners < 0, places, -1)) + 1
    odd = ((places - start) % 2 == 1)[:-2]
    faces = np.lib.stride_tricks.sliding_window_view(corners, 3).copy()
    faces[odd] = faces[odd, ::-1]
    a, b, c = faces.T
    return np.asarray(faces[(faces >= 0).all(axis=1) & (a != b) & (b != c) & (c != a)])
