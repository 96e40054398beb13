"""Mesh files to shapes. trimesh reads, from a short list of formats."""

import hashlib
import io
import re
import struct
from pathlib import Path

import numpy as np
import trimesh
from numpy.typing import NDArray

from nint_cli.errors import InputError
from nint_cli.signals import samples
from nint_cli.signals.shape import Shape, boundary_loops, frame_of, signed_volume
from nint_cli.signals.source import read_up_to

FORMATS = {
    ".obj": "obj",
    ".ply": "ply",
    ".stl": "stl",
    ".off": "off",
    ".glb": "glb",
    ".3mf": "3mf",
}
"""What can be read, by the end of the file's name."""

# A file is read up to what a mesh within the limit of faces can have, so that an endless stream is
# refused: text of three vertices with normals, and as much again for textures beside.
_MOST_BYTES_PER_FACE = 512
_MOST_BYTES_BESIDE = 1 << 26
_FLAT = 1e-9  # extent across, in boxes; and volume, in cubic boxes

Vertices = NDArray[np.float64]
Faces = NDArray[np.int64]


def read_shape(
    source: str, *, max_faces: int = 5_000_000, require_watertight: bool = False
) -> Shape:
    """Read a mesh.

    Faces that look inwards are turned around, several bodies are one shape (their union), and
    the scenes of GLB and 3MF are flattened with their transforms.

    Args:
        source: A file of one of `FORMATS`, or ``sample:NAME``.
        max_faces: Refuse a larger mesh, by its header where that tells.
        require_watertight: Refuse a mesh with holes.

    Returns:
        The shape.

    Raises:
        InputError: If it cannot be read; says why and, where there is a way, what to do.
    """
    conversions: list[str] = []
    if source.startswith(samples.PREFIX):
        vertices, faces = samples.shape(source.removeprefix(samples.PREFIX))
    else:
        data, kind = _read(source, max_faces)
        try:
            _check_header(data, kind, max_faces)
            vertices, faces = _decode(data, kind, conversions)
        except _Unsupported as error:
            raise InputError(f"cannot use '{source}': {error}") from None
        except Exception as error:  # trimesh's readers raise anything on damaged data
            reason = " ".join(str(error).split()) or type(error).__name__
            raise InputError(
                f"cannot read '{source}': damaged or unsupported ({reason[:200]})"
            ) from error
    try:
        _check_count(len(faces), max_faces)
        return _checked(vertices, faces, conversions, require_watertight=require_watertight)
    except _Unsupported as error:
        raise InputError(f"cannot use '{source}': {error}") from None


class _Unsupported(Exception):
    """What a mesh is that cannot be fitted, as a clause."""


def _check_count(faces: int, max_faces: int) -> None:
    if faces > max_faces:
        raise _Unsupported(
            f"it has {faces:,} triangles, more than sdf.max_faces = {max_faces:,}; simplify it, "
            "or raise that limit"
        )


def _read(source: str, max_faces: int) -> tuple[bytes, str]:
    """Give a file's content and its format."""
    path = Path(source)
    most = max_faces * _MOST_BYTES_PER_FACE + _MOST_BYTES_BESIDE
    try:
        data = read_up_to(path, most)
    except IsADirectoryError:
        raise InputError(f"cannot read '{source}': it is a folder; name a mesh") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"cannot read '{source}': {reason}") from error
    kind = FORMATS.get(path.suffix.lower())
    if kind is None:
        names = ", ".join(name.removeprefix(".").upper() for name in FORMATS)
        raise InputError(
            f"cannot use '{source}': its name does not end as that of a mesh of a known kind "
            f"({names}); convert it first"
        )
    if len(data) > most:
        raise InputError(
            f"cannot use '{source}': more than {most:,} bytes, which no mesh of sdf.max_faces = "
            f"{max_faces:,} has; raise that limit if it is one"
        )
    if not data:
        raise InputError(f"cannot read '{source}': the file is empty")
    return data, kind


def _check_header(data: bytes, kind: str, max_faces: int) -> None:
    """Refuse by what a header promises, before anything is made of it."""
    promised = 0
    if kind == "ply":
        found = re.search(rb"^element face (\d{1,18})\s*$", data[:65536], re.MULTILINE)
        promised = int(found[1]) if found else 0
    elif kind == "stl" and len(data) >= 84 and not data[:1024].lstrip().startswith(b"solid"):
        (promised,) = struct.unpack_from("<I", data, 80)
    _check_count(promised, max_faces)


def _decode(data: bytes, kind: str, conversions: list[str]) -> tuple[Vertices, Faces]:
    """Read all triangles of a file into one list, each where its scene puts it."""
    # Without a resolver no file beside this one is ever opened.
    scene = trimesh.load_scene(
        io.BytesIO(data), file_type=kind, resolver=None, process=False, skip_materials=True
    )
    vertices: list[Vertices] = []
    faces: list[Faces] = []
    others, first = 0, 0
    for node in sorted(scene.graph.nodes_geometry):
        transform, name = scene.graph[node]
        geometry = scene.geometry[name]
        if not isinstance(geometry, trimesh.Trimesh):
            others += 1
            continue
        matrix = np.asarray(transform, np.float64)
        placed = np.asarray(geometry.vertices, np.float64) @ matrix[:3, :3].T + matrix[:3, 3]
        corners = np.asarray(geometry.faces, np.int64)
        if np.linalg.det(matrix[:3, :3]) < 0:  # a mirror turns faces inside out
            corners = corners[:, ::-1]
        if len(corners) and not 0 <= corners.min() <= corners.max() < len(placed):
            raise _Unsupported("a face names a vertex that is not there")
        vertices.append(placed)
        faces.append(corners + first)
        first += len(placed)
    if others:
        conversions.append(f"{others} parts without triangles left out")
    if len(faces) > 1:
        conversions.append(f"{len(faces)} parts of a scene joined, transforms applied")
    if not faces:
        return np.empty((0, 3)), np.empty((0, 3), np.int64)
    return np.concatenate(vertices), np.concatenate(faces)


def _checked(
    vertices: Vertices, faces: Faces, conversions: list[str], *, require_watertight: bool
) -> Shape:
    """Drop what is no triangle, turn faces outwards, and refuse what encloses nothing."""
    digest = hashlib.sha256(f"{vertices.shape} {faces.shape}".encode())
    digest.update(vertices.tobytes() + faces.tobytes())
    if not len(faces):
        raise _Unsupported("there are no triangles in it")
    broken = np.flatnonzero(~np.isfinite(vertices).all(axis=1))
    if len(broken):
        raise _Unsupported(f"{len(broken)} vertices are not finite, the first is {broken[0]}")
    vertices, faces = _tidied(vertices, faces, conversions)
    frame = frame_of(vertices)
    if not np.isfinite(frame.scale) or frame.scale < 1e-150:
        raise _Unsupported("its extent is more or less than can be computed with; rescale it")
    inside = frame.normalised(vertices)
    volume = signed_volume(inside, faces)
    across = np.linalg.svd(inside - inside.mean(axis=0), compute_uv=False)[-1]
    if across < _FLAT * np.sqrt(len(inside)) or abs(volume) < _FLAT:
        raise _Unsupported("it is flat or encloses no volume, so nothing is inside")
    if volume < 0:
        faces = np.ascontiguousarray(faces[:, ::-1])
        conversions.append("faces looked inwards and were turned around")
    holes = boundary_loops(faces)
    if holes:
        text = f"{holes} hole{'s' * (holes > 1)}"
        if require_watertight:
            raise _Unsupported(f"it is not watertight, it has {text}; mend it, or allow holes")
        conversions.append(f"not watertight: {text}, closed by the winding number")
    return Shape(vertices, faces, frame, holes, digest.hexdigest(), tuple(conversions))


def _tidied(vertices: Vertices, faces: Faces, conversions: list[str]) -> tuple[Vertices, Faces]:
    """Join equal vertices, drop those of no face, and degenerate and repeated faces."""
    vertices, names = np.unique(vertices, axis=0, return_inverse=True)
    faces = names.reshape(-1)[faces]
    a, b, c = (vertices[faces[:, corner]] for corner in range(3))
    unit = np.abs(vertices).max() or 1.0  # so that squares of tiny sides are not 0
    area = np.linalg.norm(np.cross((b - a) / unit, (c - a) / unit), axis=1)
    sound = faces[(area > 0) & np.isfinite(area)]
    if not len(sound):
        raise _Unsupported("all its triangles are degenerate")
    # A face that is there twice, seen from the same side: start each at its smallest vertex.
    first = sound.argmin(axis=1)[:, None]
    turned = np.take_along_axis(sound, (first + np.arange(3)) % 3, axis=1)
    _, kept = np.unique(turned, axis=0, return_index=True)
    sound = sound[np.sort(kept)]
    if len(sound) < len(faces):
        conversions.append(f"{len(faces) - len(sound)} degenerate or repeated triangles dropped")
    used, renamed = np.unique(sound, return_inverse=True)
    return vertices[used], renamed.reshape(-1, 3).astype(np.int64)
