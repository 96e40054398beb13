"""Meshes to files, in the units and the place of the shape's file.

Legend: V vertices, F faces.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from nint_cli.modalities.sdf.shape import Faces, Points
from nint_cli.modalities.sdf.surface import Mesh

if TYPE_CHECKING:
    from trimesh import Trimesh

_PRECISE = 1e-5  # in units of the box, which is fine beside any grid


def encode_mesh(kind: str, mesh: Mesh, scale: float, centre: Points) -> bytes:
    """Write a mesh as a file, with normals.

    Coordinates are 32-bit where that tells places apart. Where the shape lies too far out for it,
    as in the coordinates of a map, PLY has doubles, OBJ 17 digits, and STL is text, as a binary
    one cannot hold them. GLB always has 32 bits in units of the box, and a node that brings them
    in place.

    Args:
        kind: One of `ENCODERS`.
        mesh: In units of the box.
        scale: Length of the box's unit in the file's units.
        centre: (3,), where the box's centre is, in the file's units.

    Returns:
        The file's content.
    """
    from trimesh import Trimesh

    boxed = Trimesh(mesh.vertices, mesh.faces, process=False)
    return ENCODERS[kind](boxed, scale, centre)


def _ply(mesh: "Trimesh", scale: float, centre: Points) -> bytes:
    places = _placed(mesh, scale, centre)
    kind, number = ("float", "<f4") if _is_told_apart(places, scale) else ("double", "<f8")
    vertices = np.empty(len(places), [("place", number, 3), ("normal", "<f4", 3)])
    vertices["place"], vertices["normal"] = places, _normals(mesh)
    faces = np.empty(len(mesh.faces), [("count", "u1"), ("corners", "<i4", 3)])
    faces["count"], faces["corners"] = 3, mesh.faces
    header = [
        "ply",
        "format binary_little_endian 1.0",
        f"element vertex {len(vertices)}",
        *(f"property {kind} {axis}" for axis in "xyz"),
        *(f"property float n{axis}" for axis in "xyz"),
        f"element face {len(faces)}",
        "property list uchar int vertex_indices",
        "end_header",
    ]
    text = "".join(f"{line}\n" for line in header)
    return text.encode("ascii") + vertices.tobytes() + faces.tobytes()


def _obj(mesh: "Trimesh", scale: float, centre: Points) -> bytes:
    places = _placed(mesh, scale, centre)
    number = "%.9g" if _is_told_apart(places, scale) else "%.17g"
    corners = np.repeat(mesh.faces + 1, 2, axis=1)
    parts = (
        _lines(f"v {number} {number} {number}\n", places),
        _lines("vn %.6g %.6g %.6g\n", _normals(mesh)),
        _lines("f %d//%d %d//%d %d//%d\n", corners),
    )
    return "".join(parts).encode("ascii")


def _stl(mesh: "Trimesh", scale: float, centre: Points) -> bytes:
    places = _placed(mesh, scale, centre)
    facets = np.concatenate([mesh.face_normals, places[mesh.faces].reshape(-1, 9)], axis=1)
    if _is_told_apart(places, scale):
        records = np.zeros(len(facets), [("facet", "<f4", 12), ("attributes", "<u2")])
        records["facet"] = facets
        return bytes(80) + len(facets).to_bytes(4, "little") + records.tobytes()
    corner = "vertex %.17g %.17g %.17g\n"
    form = f"facet normal %.6g %.6g %.6g\nouter loop\n{3 * corner}endloop\nendfacet\n"
    return f"solid\n{_lines(form, facets)}endsolid\n".encode("ascii")


def _glb(mesh: "Trimesh", scale: float, centre: Points) -> bytes:
    from trimesh import Scene
    from trimesh.exchange.gltf import export_glb

    to_world = np.diag([scale, scale, scale, 1.0])
    to_world[:3, 3] = centre
    scene = Scene()
    scene.add_geometry(mesh, node_name="reconstruction", transform=to_world)
    return bytes(export_glb(scene, include_normals=True))


Encoder = Callable[["Trimesh", float, Points], bytes]
ENCODERS: dict[str, Encoder] = {"ply": _ply, "obj": _obj, "stl": _stl, "glb": _glb}
"""By the suffix of the file: the box's mesh, its scale and its centre to the file's content."""


def _placed(mesh: "Trimesh", scale: float, centre: Points) -> Points:
    return np.asarray(mesh.vertices, np.float64) * scale + centre


def _is_told_apart(places: Points, scale: float) -> bool:
    """Tell whether 32 bits are enough for coordinates (V, 3)."""
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.spacing(np.float32(np.abs(places).max())) <= _PRECISE * scale)


def _normals(mesh: "Trimesh") -> Points:
    return np.asarray(mesh.vertex_normals, np.float64)


def _lines(form: str, rows: Points | Faces) -> str:
    """Write a line for each row of an array."""
    return (form * len(rows)) % tuple(rows.reshape(-1).tolist())
