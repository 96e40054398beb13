"""Mesh files to shapes.

trimesh decodes, with a short list of formats; what it reads is a bundle of bytes without a name,
so that it cannot open any other file, let alone an address. Whatever has been decoded is checked
and repaired here: trimesh's own repair works to absolute distances.
"""

import hashlib
import io
import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nint_cli.errors import InputError
from nint_cli.modalities.sdf import mesh_repair, sample_meshes
from nint_cli.modalities.sdf.headers import FORMATS, is_binary_stl, kind_of, promised_faces
from nint_cli.modalities.sdf.shape import BOX_SHARE, Faces, Points, Shape
from nint_cli.signals.source import SAMPLE_PREFIX

if TYPE_CHECKING:
    import trimesh

# A file is read up to what a mesh within the limit of faces can have: texts with normals and
# texture coordinates take this much, and pictures may lie beside them.
_MOST_BYTES_PER_FACE = 400
_MOST_BYTES_BESIDE = 1 << 28

# Below this thickness, of a box of length 2, a mesh is a plane with the rounding of float32; below
# this volume, nothing is inside it.
_PLANE = 1e-6
_NO_VOLUME = 1e-9
_SMALLEST, _LARGEST = 1e-290, 1e290

_OBJ_ZERO = re.compile(rb"^f[^\n]*[ \t]0+(?:[/ \t\r]|$)", re.MULTILINE)
_OBJ_RELATIVE = re.compile(rb"^f[^\n]*[ \t]-\d", re.MULTILINE)

Part = tuple[Points, Faces]


class _Unsupported(Exception):
    """The file is sound, but nothing that can be fitted."""


def read_shape(
    source: str, *, max_faces: int = 5_000_000, require_watertight: bool = False
) -> Shape:
    """Read a mesh, put all its parts in place, repair it, and bring it to the box.

    Parts may overlap: their union is what is meant.

    Args:
        source: An OBJ, PLY, STL, OFF, GLB or 3MF file, or ``sample:NAME``.
        max_faces: Refuse a mesh with more, where the file tells their number before it is decoded.
        require_watertight: Refuse a mesh with holes, which the winding number closes otherwise.

    Returns:
        The shape.

    Raises:
        InputError: If it cannot be read; says why and, where there is a way, what to do.
    """
    conversions: list[str] = []
    try:
        if source.startswith(SAMPLE_PREFIX):
            vertices, faces = sample_meshes.solid(source.removeprefix(SAMPLE_PREFIX))
        else:
            vertices, faces = _joined(_parts(source, max_faces, conversions), conversions)
        shape = _shape(vertices, faces, conversions)
    except _Unsupported as error:
        raise InputError(f"cannot use '{source}': {error}") from None
    if require_watertight and not shape.watertight:
        raise InputError(
            f"cannot use '{source}': it is not watertight ({_openness(shape.holes)}); close it, "
            "or drop sdf.require_watertight"
        )
    return shape


def _parts(source: str, max_faces: int, conversions: list[str]) -> list[Part]:
    """Read a file and decode it."""
    path = Path(source)
    most = max_faces * _MOST_BYTES_PER_FACE + _MOST_BYTES_BESIDE
    try:
        with path.open("rb") as file:
            data = file.read(most + 1)
    except IsADirectoryError:
        raise InputError(f"cannot read '{source}': it is a folder; name a mesh") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"cannot read '{source}': {reason}") from error
    if not data:
        raise InputError(f"cannot read '{source}': the file is empty")
    if len(data) > most:
        raise _Unsupported(
            f"more than {most:,} bytes, which no mesh of sdf.max_faces = {max_faces:,} has; raise "
            "that limit if it is one"
        )
    kind = kind_of(data, path.suffix)
    if kind is None:
        raise InputError(
            f"cannot read '{source}': no mesh of a known kind ({', '.join(FORMATS)}); save it as "
            "one of these"
        )
    if path.suffix and path.suffix.lower() != f".{kind.lower()}":
        conversions.append(f"read as {kind}, whatever its name says")
    try:
        return _decoded(data, kind, max_faces)
    except (_Unsupported, MemoryError):
        raise
    except ImportError as error:
        raise InputError(
            f"cannot read '{source}': {kind} needs a package that is not installed "
            f"({error.name}); pip install 'nint[sdf]', or save it as PLY"
        ) from error
    except Exception as error:  # whatever a decoder makes of damaged data
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"cannot read '{source}': damaged or unsupported ({reason})") from error


def _decoded(data: bytes, kind: str, max_faces: int) -> list[Part]:
    """Let trimesh decode, and place every mesh as often and where the scene has it."""
    promised = promised_faces(data, kind)
    _check_count(promised, max_faces)
    if kind == "OBJ":
        _check_obj(data)
    if kind in {"OBJ", "OFF"} or (kind == "STL" and not is_binary_stl(data)):
        data = _as_utf8(data)
    import trimesh

    with _quiet():
        scene = trimesh.load_scene(
            io.BytesIO(data), file_type=kind.lower(), process=False, skip_materials=True
        )
        nodes = [scene.graph[name] for name in scene.graph.nodes_geometry]
    meshes = [(scene.geometry[name], np.asarray(to_world)) for to_world, name in nodes]
    meshes = [pair for pair in meshes if isinstance(pair[0], trimesh.Trimesh)]
    found = sum(len(mesh.faces) for mesh, _ in meshes)
    _check_count(found, max_faces)
    if found and found < promised and kind in {"STL", "PLY", "OFF"}:
        raise ValueError(f"{promised:,} faces promised, {found:,} found")
    return [_placed(mesh, to_world) for mesh, to_world in meshes if len(mesh.faces)]


def _check_count(faces: int, max_faces: int) -> None:
    if faces > max_faces:
        raise _Unsupported(
            f"{faces:,} triangles are more than sdf.max_faces = {max_faces:,}; raise that limit "
            "if the machine has the memory, or simplify the mesh"
        )


def _check_obj(data: bytes) -> None:
    """Refuse numbers of vertices that trimesh takes for others."""
    if _OBJ_ZERO.search(data):
        raise _Unsupported("a face names vertex 0, but OBJ counts from 1")
    relative = _OBJ_RELATIVE.search(data)
    if relative and data.rfind(b"\nv ") > relative.start():
        raise _Unsupported(
            "faces count vertices backwards, with more vertices to come; save it with absolute "
            "numbers"
        )


def _as_utf8(data: bytes) -> bytes:
    """Give a text whose comments and names trimesh can decode, and whose words are apart."""
    try:
        data.decode()
    except UnicodeDecodeError:
        data = data.decode("latin-1").encode()
    return data.replace(b"\t", b" ")


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep trimesh from printing, and have it refuse numbers that it would cut short."""
    logger = logging.getLogger("trimesh")
    silent, logger.disabled = logger.disabled, True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.filterwarnings("error", category=DeprecationWarning, message=".*unmatched")
            yield
    finally:
        logger.disabled = silent


def _placed(mesh: "trimesh.Trimesh", to_world: Points) -> Part:
    """Check a mesh of a scene and bring it to its place, mirrored perhaps."""
    vertices = np.asarray(mesh.vertices, np.float64)
    faces = np.asarray(mesh.faces, np.int64)
    if faces.min() < 0 or faces.max() >= len(vertices):
        wrong = faces[(faces < 0) | (faces >= len(vertices))][0]
        raise _Unsupported(f"a face names vertex {wrong} of {len(vertices):,}")
    if not np.array_equal(to_world, np.eye(4)):
        linear = to_world[:3, :3]
        vertices = vertices @ linear.T + to_world[:3, 3]
        if np.linalg.det(linear) < 0:
            faces = faces[:, ::-1]
    return vertices, faces


def _joined(parts: list[Part], conversions: list[str]) -> Part:
    if not parts:
        raise _Unsupported("no triangles in it; points and lines have no inside")
    if len(parts) > 1:
        conversions.append(f"{len(parts)} parts joined, each in its place")
    starts = np.cumsum([0, *(len(vertices) for vertices, _ in parts)])
    return (
        np.concatenate([vertices for vertices, _ in parts]),
        np.concatenate([faces + start for (_, faces), start in zip(parts, starts, strict=False)]),
    )


def _shape(vertices: Points, faces: Faces, conversions: list[str]) -> Shape:
    """Check, hash, normalise and repair."""
    wrong = ~np.isfinite(vertices).all(axis=1)
    if wrong.any():
        raise _Unsupported(
            f"{wrong.sum():,} vertices are not finite, first vertex {int(wrong.argmax())}"
        )
    digest = hashlib.sha256(f"{vertices.shape} {faces.shape}".encode())
    for array in (vertices, faces):
        digest.update(np.ascontiguousarray(array).data)
    vertices, centre, scale = _normalised(vertices, faces)
    vertices, faces, edges = _mended(vertices, faces, conversions)
    if not edges.closed:
        conversions.append(
            f"not watertight ({_openness(edges.holes())}): what is inside is where the winding "
            "number is above one half"
        )
    return Shape(
        np.ascontiguousarray(vertices),
        np.ascontiguousarray(faces),
        centre,
        scale,
        digest.hexdigest(),
        edges.closed,
        edges.holes(),
        tuple(conversions),
    )


def _openness(holes: int) -> str:
    if not holes:
        return "faces that do not match along their edges"
    return f"{holes} hole" + "s" * (holes > 1)


def _normalised(vertices: Points, faces: Faces) -> tuple[Points, Points, float]:
    """Bring the longest side of what the faces use to 2 BOX_SHARE, centred at 0."""
    used = vertices[np.unique(faces)]
    low, high = used.min(axis=0), used.max(axis=0)
    centre = low / 2 + high / 2  # which cannot overflow, as the sum could
    half = float((high / 2 - low / 2).max())
    if half == 0:
        raise _Unsupported("no triangles in it: all vertices are one point")
    if not _SMALLEST < half < _LARGEST:
        raise _Unsupported(f"a size of {half:.0e} is beyond what float64 can scale")
    scale = half / BOX_SHARE
    return (vertices - centre) / scale, centre, scale


def _mended(
    vertices: Points, faces: Faces, conversions: list[str]
) -> tuple[Points, Faces, mesh_repair.Edges]:
    """Drop what has no area or is there twice, and turn the outside out."""
    before = len(faces)
    vertices, faces = mesh_repair.weld(vertices, faces)
    faces = mesh_repair.without_points(faces)
    edges = mesh_repair.Edges.of(faces) if len(faces) else None
    sound = mesh_repair.without_lines(vertices, faces)
    if before > len(sound):
        conversions.append(f"{before - len(sound):,} degenerate faces dropped")
    if not len(sound) or edges is None:
        raise _Unsupported("no triangles in it: all its faces are degenerate")
    single = mesh_repair.without_copies(faces)
    if len(single) < len(faces):
        conversions.append(f"{len(faces) - len(single):,} faces dropped that were there twice")
        edges = mesh_repair.Edges.of(single)
    faces = single
    if (edges.balance[edges.count == 2] != 0).any():
        turned = mesh_repair.oriented(faces, edges)
        conversions.append(
            f"{(turned != faces).any(axis=1).sum():,} faces turned over to match their neighbours"
        )
        faces, edges = turned, mesh_repair.Edges.of(turned)
    if mesh_repair.thickness(vertices) < _PLANE:
        raise _Unsupported("it is flat, and nothing is inside; only solids can be fitted")
    volume = mesh_repair.signed_volume(vertices, faces, edges.rim())
    if abs(volume) < _NO_VOLUME:
        raise _Unsupported("its volume is zero, and nothing is inside; only solids can be fitted")
    if volume < 0:
        faces = faces[:, ::-1]
        conversions.append("turned inside out, as its faces had their outside in")
    return *mesh_repair.weld(vertices, mesh_repair.without_lines(vertices, faces)), edges
