"""How many triangles a mesh file promises, before anything expensive is done with it."""

import json
import re
import struct
import zipfile
from io import BytesIO
from typing import Any

FORMATS = ("OBJ", "PLY", "STL", "OFF", "GLB", "3MF")
SUFFIXES = frozenset(f".{name.lower()}" for name in FORMATS)

_STL_HEADER, _STL_FACE = 84, 50
_PLY_FACES = re.compile(rb"^element\s+face\s+(\d+)", re.MULTILINE)
_OFF_COUNTS = re.compile(rb"^\s*(?:ST|C|N|4|n)*OFF(?:\s|#[^\n]*\n)+(\d+)\s+(\d+)")
_BYTES_PER_3MF_FACE = 64  # a triangle and its half of a vertex, as short as programs write them


def kind_of(data: bytes, suffix: str) -> str | None:
    """Tell what a mesh file is, by its content where that says it and by its name otherwise.

    Args:
        data: The file's content.
        suffix: Of its name, with the dot.

    Returns:
        One of `FORMATS`, or None for anything else.
    """
    if data[:4] == b"glTF":
        return "GLB"
    if data[:4] == b"PK\x03\x04":
        return "3MF"
    if data[:4] in {b"ply\n", b"ply\r"}:
        return "PLY"
    if _OFF_COUNTS.match(data[:4096]):
        return "OFF"
    named = suffix.removeprefix(".").upper()
    return named if named in {"OBJ", "STL"} else None


def promised_faces(data: bytes, kind: str) -> int:
    """Count the faces that a file says it has; of many corners each, perhaps.

    Args:
        data: The file's content.
        kind: What it is, as from `kind_of`.

    Returns:
        The number; for 3MF, how many there can be in what unpacks from it.
    """
    if kind == "OBJ":
        return data.count(b"\nf ") + data.startswith(b"f ")
    if kind == "STL":
        return struct.unpack_from("<I", data, 80)[0] if is_binary_stl(data) else _facets(data)
    if kind == "OFF":
        found = _OFF_COUNTS.match(data[:4096])
        return int(found[2]) if found else 0
    if kind == "PLY":
        found = _PLY_FACES.search(data[: data.find(b"end_header") + 1])
        return int(found[1]) if found else 0
    if kind == "GLB":
        return _glb_faces(data)
    with zipfile.ZipFile(BytesIO(data)) as archive:
        return sum(member.file_size for member in archive.infolist()) // _BYTES_PER_3MF_FACE


def is_binary_stl(data: bytes) -> bool:
    """Tell a binary STL file, which is as long as it says, or begins as no text does."""
    if len(data) < _STL_HEADER:
        return False
    faces = struct.unpack_from("<I", data, 80)[0]
    if len(data) == _STL_HEADER + _STL_FACE * faces:
        return True
    return not data[:_STL_HEADER].lstrip().lower().startswith(b"solid")


def _facets(data: bytes) -> int:
    return len(re.findall(rb"\bfacet\s+normal\b", data, re.IGNORECASE))


def _glb_faces(data: bytes) -> int:
    """Count what the file's JSON says, and what is allocated for numbers that are not there."""
    (length,) = struct.unpack_from("<I", data, 12)
    header: dict[str, Any] = json.loads(data[20 : 20 + length])
    accessors = header.get("accessors", [])
    counts = [int(accessor["count"]) for accessor in accessors]
    missing = sum(counts[i] for i, a in enumerate(accessors) if "bufferView" not in a)
    uses = [
        part.get("indices", part.get("attributes", {}).get("POSITION"))
        for mesh in header.get("meshes", [])
        for part in mesh["primitives"]
    ]
    used: int = sum(counts[use] for use in uses if use is not None)
    return max(missing, used) // 3
