"""glTF 2.0, binary (GLB) and as JSON with its buffers beside it.

Source: "glTF 2.0 Specification", Khronos 2021, with the extensions KHR_mesh_quantization and
EXT_mesh_gpu_instancing.
"""

import base64
import json
import re
import struct
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nint_cli.modalities.sdf.formats.parts import Part, check_corners, moved
from nint_cli.modalities.sdf.formats.reading import Reading, Unsupported
from nint_cli.modalities.sdf.shape import Faces, Points
from nint_cli.signals.source import read_up_to

Json = dict[str, Any]

_KINDS = {5120: "<i1", 5121: "<u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
_SIZES = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}
_TRIANGLES, _STRIP, _FAN = 4, 5, 6

_DRACO = "KHR_draco_mesh_compression"
_PACKED = re.compile(r"(?:EXT|KHR)_meshopt_compression")
_INSTANCES = "EXT_mesh_gpu_instancing"
_HARMLESS = re.compile(
    r"KHR_(materials|texture|lights|mesh_quantization|animation|xmp|audio)\w*"
    r"|(EXT|MSFT)_(texture|lights)\w*|EXT_mesh_gpu_instancing"
)
_UNPACKS = "unpack it with 'gltf-transform copy IN.glb OUT.glb'"


@dataclass
class _Scene:
    """A document and its buffers.

    Attributes:
        document: The JSON.
        binary: What a GLB carries behind it.
        reading: What the file is read for.
        loaded: The buffers that were needed so far.
    """

    document: Json
    binary: memoryview | None
    reading: Reading
    loaded: dict[int, memoryview] = field(default_factory=dict)

    def listed(self, name: str) -> list[Json]:
        """Give the document's list of some name, empty where there is none."""
        found: list[Json] = self.document.get(name, [])
        return found

    def buffer(self, number: int) -> memoryview:
        """Load a buffer: from the GLB, from text within the JSON, or from a file beside it."""
        if number not in self.loaded:
            self.loaded[number] = self._loaded(self.listed("buffers")[number], number)
        return self.loaded[number]

    def _loaded(self, buffer: Json, number: int) -> memoryview:
        uri = buffer.get("uri")
        if uri is None and number == 0 and self.binary is not None:
            data: bytes | memoryview = self.binary
        elif uri is None:
            raise ValueError(f"buffer {number} is not in the file")
        elif uri.startswith("data:"):
            data = _inline(uri)
        else:
            data = self._beside(uri)
        if len(data) < buffer["byteLength"]:
            raise ValueError(
                f"buffer {number} has {len(data):,} of {buffer['byteLength']:,} bytes"
            )
        return memoryview(data)

    def _beside(self, uri: str) -> bytes:
        """Read a file, which must be within the folder of the model."""
        name = urllib.parse.unquote(uri)
        folder = self.reading.folder.resolve()
        path = (folder / name).resolve()
        if "://" in name or not path.is_relative_to(folder):
            raise Unsupported(f"its buffer '{uri[:80]}' is outside its folder; save it as GLB")
        if not path.is_file():
            raise Unsupported(f"its buffer '{uri[:80]}' is not beside it; save it as GLB")
        data = read_up_to(path, self.reading.most_bytes)
        self.reading.check_bytes(len(data))
        return data

    def is_there(self, number: int) -> bool:
        """Tell a buffer from the mere length of what has been packed."""
        own = number == 0 and self.binary is not None
        return own or "uri" in self.listed("buffers")[number]

    def view(self, number: int) -> tuple[memoryview, int, int | None]:
        """Find a piece of a buffer: the bytes up to its end, its begin, and its stride."""
        view = self.listed("bufferViews")[number]
        packed = next((name for name in view.get("extensions", {}) if _PACKED.fullmatch(name)), "")
        if packed and not self.is_there(view["buffer"]):
            raise Unsupported(f"packed with {packed}; {_UNPACKS}")
        start = view.get("byteOffset", 0)
        end = start + view["byteLength"]
        data = self.buffer(view["buffer"])
        if start < 0 or end > len(data):
            raise ValueError(f"bufferView {number} ends beyond its buffer")
        return data[:end], start, view.get("byteStride")

    def accessor(self, number: int) -> NDArray[Any]:
        """Read numbers as they are meant: (count, size), integers that stand for shares scaled."""
        accessor = self.listed("accessors")[number]
        count, kind = accessor["count"], np.dtype(_KINDS[accessor["componentType"]])
        size = _SIZES[accessor["type"]]
        if "bufferView" in accessor:
            values = self._table(accessor, count, kind, size)
        else:
            values = np.zeros((count, size), kind)
        if "sparse" in accessor:
            sparse = accessor["sparse"]
            places = np.dtype(_KINDS[sparse["indices"]["componentType"]])
            values = values.copy()
            at = self._table(sparse["indices"], sparse["count"], places, 1)[:, 0]
            values[at] = self._table(sparse["values"], sparse["count"], kind, size)
        if accessor.get("normalized") and kind.kind in "iu":
            values = np.maximum(values.astype(np.float64) / np.iinfo(kind).max, -1.0)
        return values

    def _table(self, where: Json, count: int, kind: np.dtype[Any], size: int) -> NDArray[Any]:
        data, start, stride = self.view(where["bufferView"])
        start += where.get("byteOffset", 0)
        row = kind.itemsize * size
        return np.ndarray((count, size), kind, data, start, (stride or row, kind.itemsize))


def _inline(uri: str) -> bytes:
    """Read the bytes of a data: URI, which are in base64 or escaped one by one."""
    kind, _, text = uri.partition(",")
    data = urllib.parse.unquote_to_bytes(text)
    if not kind.endswith(";base64"):
        return data
    return base64.b64decode(b"".join(data.split()), validate=True)


def read(data: bytes, reading: Reading) -> list[Part]:
    """Read the triangles of the scene, each mesh as often and where the scene has it.

    Args:
        data: The file's content.
        reading: What it is read for.

    Returns:
        One part for each place of each mesh's pieces.

    Raises:
        Unsupported: If it is packed, needs what is not known, or has too many triangles.
    """
    document, binary = _document(data)
    scene = _Scene(document, binary, reading)
    for name in document.get("extensionsRequired", []):
        if name == _DRACO or _PACKED.fullmatch(name):
            raise Unsupported(f"packed with {name}; {_UNPACKS}")
        if not _HARMLESS.fullmatch(name):
            raise Unsupported(f"it needs {name[:60]}, which nint cannot read; export it without")
    for accessor in scene.listed("accessors"):
        reading.check_faces(accessor["count"] // 3)  # numbers that are not there take memory, too
    meshes: dict[int, list[Part]] = {}
    parts, total = list[Part](), 0
    for number, to_world, weights in _placed_meshes(scene):
        if weights or number not in meshes:
            meshes[number] = _primitives(scene, scene.listed("meshes")[number], weights)
        total += len(to_world) * sum(len(faces) for _, faces in meshes[number])
        reading.check_faces(total)
        parts += [moved(part, place) for place in to_world for part in meshes[number]]
    return parts


def _document(data: bytes) -> tuple[Json, memoryview | None]:
    """Part a GLB, or take JSON as it is."""
    if data[:4] != b"glTF":
        return _checked(data), None
    version, length = struct.unpack_from("<II", data, 4)
    if version != 2:
        raise Unsupported(f"glTF of version {version}; export it as glTF 2.0")
    if length > len(data):
        raise ValueError(f"it has {len(data):,} of {length:,} bytes; it is cut short")
    chunks: dict[bytes, memoryview] = {}
    at = 12
    while at + 8 <= length:
        size, kind = struct.unpack_from("<I4s", data, at)
        if at + 8 + size > len(data):
            raise ValueError("a chunk ends beyond the file")
        chunks.setdefault(kind, memoryview(data)[at + 8 : at + 8 + size])
        at += 8 + size
    return _checked(bytes(chunks[b"JSON"])), chunks.get(b"BIN\0")


def _checked(text: bytes) -> Json:
    document = json.loads(text)
    if not isinstance(document, dict) or "asset" not in document:
        raise ValueError("its JSON is no glTF")
    version = str(document["asset"].get("version", ""))
    if not version.startswith("2."):
        raise Unsupported(f"glTF of version {version[:20]}; export it as glTF 2.0")
    return document


def _placed_meshes(scene: _Scene) -> Iterator[tuple[int, list[Points], list[float]]]:
    """Walk through the nodes: which mesh, in which places, with which weights of its targets."""
    nodes = scene.listed("nodes")
    children = {child for node in nodes for child in node.get("children", [])}
    scenes = scene.listed("scenes")
    roots = [number for number in range(len(nodes)) if number not in children]
    if scenes:
        roots = scenes[scene.document.get("scene", 0)].get("nodes", [])
    if len(scenes) > 1:
        scene.reading.notes.append(f"one of its {len(scenes)} scenes")
    waiting = [(root, np.eye(4)) for root in reversed(roots)]
    seen: set[int] = set()
    while waiting:
        number, above = waiting.pop()
        if number in seen:
            raise ValueError(f"node {number} is in two places")
        seen.add(number)
        node = nodes[number]
        to_world = above @ _transform(node)
        waiting += [(child, to_world) for child in reversed(node.get("children", []))]
        if "mesh" in node:
            if "skin" in node:
                to_world = np.eye(4)  # as joints alone place it
                scene.reading.notes.append("a skinned mesh is read in the pose it is stored in")
            instances = node.get("extensions", {}).get(_INSTANCES)
            places = _instances(scene, instances["attributes"]) if instances else [np.eye(4)]
            weights = node.get("weights") or scene.listed("meshes")[node["mesh"]].get("weights")
            yield node["mesh"], [to_world @ place for place in places], weights or []


def _transform(node: Json) -> Points:
    if "matrix" in node:
        return np.array(node["matrix"], np.float64).reshape(4, 4).T
    return _composed(
        np.array(node.get("translation", [0, 0, 0]), np.float64),
        np.array(node.get("rotation", [0, 0, 0, 1]), np.float64),
        np.array(node.get("scale", [1, 1, 1]), np.float64),
    )


def _composed(translation: Points, rotation: Points, scale: Points) -> Points:
    """Make a matrix that scales, turns by a quaternion (x, y, z, w), and moves."""
    x, y, z, w = rotation / np.linalg.norm(rotation)
    turned = np.array([
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ])
    matrix = np.eye(4)
    matrix[:3, :3] = turned * scale
    matrix[:3, 3] = translation
    return matrix


def _instances(scene: _Scene, attributes: Json) -> list[Points]:
    """Read where EXT_mesh_gpu_instancing puts copies of a mesh."""
    still = {"TRANSLATION": (0.0, 0, 0), "ROTATION": (0.0, 0, 0, 1), "SCALE": (1.0, 1, 1)}
    given = {name: scene.accessor(attributes[name]) for name in still if name in attributes}
    count = max((len(column) for column in given.values()), default=0)
    rows = [
        given[name].astype(np.float64) if name in given else np.tile(rest, (count, 1))
        for name, rest in still.items()
    ]
    return [_composed(*row) for row in zip(*rows, strict=True)]


def _primitives(scene: _Scene, mesh: Json, weights: list[float]) -> list[Part]:
    """Read the pieces of a mesh that consist of triangles."""
    parts = []
    for primitive in mesh["primitives"]:
        mode = primitive.get("mode", _TRIANGLES)
        if mode not in {_TRIANGLES, _STRIP, _FAN}:
            continue
        position = primitive["attributes"]["POSITION"]
        plain = [position, *([primitive["indices"]] if "indices" in primitive else [])]
        packed = _DRACO in primitive.get("extensions", {})
        if packed and not all("bufferView" in scene.listed("accessors")[n] for n in plain):
            raise Unsupported(f"a part of it is packed with {_DRACO}; {_UNPACKS}")
        vertices = scene.accessor(position).astype(np.float64)
        for weight, target in zip(weights, primitive.get("targets", []), strict=False):
            if weight and "POSITION" in target:
                vertices = vertices + weight * scene.accessor(target["POSITION"])
        if "indices" in primitive:
            corners = scene.accessor(primitive["indices"])[:, 0].astype(np.int64)
        else:
            corners = np.arange(len(vertices))
        check_corners(corners, len(vertices))
        faces = _faces(corners, mode)
        if len(faces):
            parts.append((vertices, faces))
    return parts


def _faces(corners: NDArray[np.int64], mode: int) -> Faces:
    if mode == _TRIANGLES:
        return corners[: len(corners) // 3 * 3].reshape(-1, 3)
    if len(corners) < 3:
        return np.empty((0, 3), np.int64)
    if mode == _FAN:
        return np.stack(
            [corners[1:-1], corners[2:], np.full(len(corners) - 2, corners[0])], axis=1
        )
    faces = np.lib.stride_tricks.sliding_window_view(corners, 3).copy()
    faces[1::2] = faces[1::2, [1, 0, 2]]
    a, b, c = faces.T
    return np.asarray(faces[(a != b) & (b != c) & (c != a)])
