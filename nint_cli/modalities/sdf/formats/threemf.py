"""3MF: a zip archive of XML, unpacked and parsed piece by piece.

Source: "3MF Core Specification" 1.3 and "Production Extension" 1.1, 3MF Consortium.
"""

import io
import re
import zipfile
import zlib
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from xml.parsers import expat

import numpy as np

from nint_cli.modalities.sdf.formats.parts import Part, check_corners, moved
from nint_cli.modalities.sdf.formats.reading import Reading, Unsupported
from nint_cli.modalities.sdf.shape import Faces, Points

_PIECE = 1 << 20
_MOST_PLACES = 100_000
_LATTICES = {"beamlattice", "slicestack", "displacementmesh", "levelset", "volumetricstack"}

Key = tuple[str, str]
"""The file within the archive, and the number of an object there."""


@dataclass
class _Object:
    """A mesh, or places of other objects.

    Attributes:
        vertices: Three numbers each.
        corners: Three vertices for each triangle.
        components: Which objects it consists of, and where they are.
    """

    vertices: "array[float]" = field(default_factory=lambda: array("d"))
    corners: "array[int]" = field(default_factory=lambda: array("q"))
    components: list[tuple[Key, Points]] = field(default_factory=list)


class _Model:
    """What one XML file of the archive says, collected while it is parsed.

    Args:
        name: The file's.
        reading: Says how many triangles there may be.
    """

    def __init__(self, name: str, reading: Reading) -> None:
        self.name = name
        self.reading = reading
        self.objects: dict[Key, _Object] = {}
        self.build: list[tuple[Key, Points]] = []
        self.left_out: set[str] = set()
        self.others: set[str] = set()
        self._current = _Object()
        self._parser = expat.ParserCreate(namespace_separator="|")
        self._parser.StartElementHandler = self._begin
        self._parser.StartDoctypeDeclHandler = self._refuse_doctype
        self._tags: dict[str, str] = {}

    def parse(self, pieces: Iterator[bytes]) -> None:
        for piece in pieces:
            self._parser.Parse(piece, False)
        self._parser.Parse(b"", True)

    def _refuse_doctype(self, *_: object) -> None:
        raise ValueError("its XML has a document type, which no 3MF file has")

    def _begin(self, name: str, attributes: dict[str, str]) -> None:
        tag = self._tags.get(name)
        if tag is None:
            tag = self._tags[name] = name.rpartition("|")[2]
        if tag == "triangle":
            self._current.corners.extend((
                int(attributes["v1"]),
                int(attributes["v2"]),
                int(attributes["v3"]),
            ))
            if len(self._current.corners) > 3 * self.reading.max_faces:
                self.reading.check_faces(len(self._current.corners) // 3)
        elif tag == "vertex":
            self._current.vertices.extend((
                float(attributes["x"]),
                float(attributes["y"]),
                float(attributes["z"]),
            ))
        elif tag == "object":
            self._current = self.objects[self.name, attributes["id"]] = _Object()
        elif tag == "component":
            self._current.components.append(self._reference(attributes))
        elif tag == "item":
            self.build.append(self._reference(attributes))
        elif tag in _LATTICES:
            self.left_out.add(tag)

    def _reference(self, attributes: dict[str, str]) -> tuple[Key, Points]:
        """Read which object is meant, perhaps of another file, and where it is."""
        file = next((v for k, v in attributes.items() if k.endswith("|path")), self.name)
        file = file.lstrip("/")
        self.others.add(file)
        to_world = np.eye(4)
        if "transform" in attributes:
            rows = np.array([float(word) for word in attributes["transform"].split()])
            to_world[:3] = rows.reshape(4, 3).T
        return (file, attributes["objectid"]), to_world


def read(data: bytes, reading: Reading) -> list[Part]:
    """Read the objects that are to be built, each as often and where the file has it.

    Args:
        data: The file's content.
        reading: What it is read for.

    Returns:
        One part for each place of each mesh.

    Raises:
        ValueError: If its archive is damaged.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            root = _root(archive)
            models = _models(archive, root, len(data), reading)
    except (zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"its archive is damaged: {error}; get it again") from error
    left_out = set().union(*(model.left_out for model in models.values()))
    if left_out:
        reading.notes.append(f"what is no triangle is left out ({', '.join(sorted(left_out))})")
    objects = {key: found for model in models.values() for key, found in model.objects.items()}
    build = models[root].build or [(key, np.eye(4)) for key in models[root].objects]
    return _built(objects, build, reading)


def _models(
    archive: zipfile.ZipFile, root: str, packed: int, reading: Reading
) -> dict[str, _Model]:
    """Parse a file of the archive, and those that it names, one after another."""
    models: dict[str, _Model] = {}
    waiting = {root}
    while waiting:
        name = waiting.pop()
        models[name] = model = _Model(name, reading)
        with archive.open(name) as file:
            model.parse(reading.inflated(iter(partial(file.read, _PIECE), b""), packed))
        waiting |= model.others - models.keys()
    return models


def _root(archive: zipfile.ZipFile) -> str:
    """Find the file that the archive's relations name as its model, or the only one."""
    names = archive.namelist()
    if "_rels/.rels" in names:
        with archive.open("_rels/.rels") as file:
            relations = file.read(_PIECE).decode("utf-8", "replace")
        for relation in re.findall(r"<[^>]*Relationship\b[^>]*>", relations):
            target = re.search(r"""Target\s*=\s*["']/?([^"']*)""", relation)
            if target and "3dmodel" in relation.rpartition("Type")[2] and target[1] in names:
                return target[1]
    models = [name for name in names if name.lower().endswith(".model")]
    if not models:
        raise ValueError("the archive holds no 3D model")
    return models[0]


def _built(
    objects: dict[Key, _Object], build: list[tuple[Key, Points]], reading: Reading
) -> list[Part]:
    """Put every object in its places."""
    meshes: dict[Key, Part] = {}
    parts, total = list[Part](), 0
    waiting = [(key, to_world, 0) for key, to_world in reversed(build)]
    visited = 0
    while waiting:
        key, to_world, depth = waiting.pop()
        visited += 1
        if visited > _MOST_PLACES:  # as objects may double, level by level
            raise Unsupported(f"its objects are in more than {_MOST_PLACES:,} places")
        if key not in objects:
            raise ValueError(f"object {key[1][:40]} is not there")
        if depth > len(objects):
            raise ValueError(f"object {key[1][:40]} is a part of itself")
        found = objects[key]
        waiting += [(k, to_world @ place, depth + 1) for k, place in reversed(found.components)]
        if found.corners:
            total += len(found.corners) // 3
            reading.check_faces(total)
            if key not in meshes:
                meshes[key] = _mesh(found)
            parts.append(moved(meshes[key], to_world))
    return parts


def _mesh(found: _Object) -> Part:
    vertices = np.frombuffer(found.vertices, np.float64).reshape(-1, 3)
    faces: Faces = np.frombuffer(found.corners, np.int64).reshape(-1, 3)
    check_corners(faces, len(vertices))
    return vertices, faces
