"""From triangles, as a file has them, to a shape in the box."""

import hashlib
from typing import NamedTuple

import numpy as np

from nint_cli.modalities.sdf import bodies as parts
from nint_cli.modalities.sdf import mesh_edges, mesh_repair
from nint_cli.modalities.sdf.mesh_edges import Edges
from nint_cli.modalities.sdf.shape import BOX_SHARE, Faces, Points, Shape

# Below this thickness, of a box of length 2, a mesh is a plane with the rounding of float32; below
# this volume, nothing is inside it.
_PLANE = 1e-6
_NO_VOLUME = 1e-9
_ROUNDING = 1e-12
_SMALLEST, _LARGEST = 1e-290, 1e290
_ON_EDGE = (
    2e-6  # in the box: how far float32, or six decimals of a text, take a vertex from an edge
)


class NoSolid(Exception):
    """The triangles are sound, but nothing that can be fitted."""


def solid(vertices: Points, faces: Faces, conversions: list[str], *, weld: float = 0.0) -> Shape:
    """Check and hash triangles, bring them to the box and repair them.

    Args:
        vertices: (V, 3) float64, in the file's units.
        faces: (F, 3).
        conversions: What was done so far, in plain words; what is done here is added.
        weld: Vertices this close to each other become one, in the file's units; 0 for those that
            are equal to the last bit.

    Returns:
        The shape.

    Raises:
        NoSolid: If they enclose nothing; says why.
    """
    wrong = ~np.isfinite(vertices).all(axis=1)
    if wrong.any():
        raise NoSolid(
            f"{wrong.sum():,} vertices are not finite, first vertex {int(wrong.argmax())}"
        )
    digest = hashlib.sha256(f"{vertices.shape} {faces.shape}".encode())
    for array in (vertices, faces):
        digest.update(np.ascontiguousarray(array).data)
    vertices, centre, scale = _normalised(vertices, faces)
    if weld > 0:
        typical = mesh_repair.typical_edge(vertices, faces) * scale
        if weld >= typical:
            raise NoSolid(
                f"sdf.weld = {weld:g} would weld half of its edges away, which are up to "
                f"{typical:.3g} long; choose less"
            )
    count = len(faces)
    vertices, faces, edges = _cleaned(vertices, faces, conversions, weld / scale)
    if len(faces) < count:  # what was dropped may have reached farther
        smaller, moved, factor = _normalised(vertices, faces)
        if np.abs(moved).max() > _ROUNDING or abs(factor - 1) > _ROUNDING:
            vertices, centre, scale = smaller, centre + scale * moved, scale * factor
    on_edge = max(weld / scale, _ON_EDGE)
    vertices, faces, edges = _matched(vertices, faces, edges, conversions, on_edge)
    if mesh_repair.thickness(vertices) < _PLANE:
        raise NoSolid("it is flat, and nothing is inside; only solids can be fitted")
    vertices, faces, edges, within = _turned_and_united(vertices, faces, edges, conversions)
    if not edges.closed:
        conversions.append(
            f"not watertight ({openness(edges.holes())}): what is inside is where the winding "
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
        within,
    )


def openness(holes: int) -> str:
    """Say in what way a mesh is open."""
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
        raise NoSolid("no triangles in it: all vertices are one point")
    if not _SMALLEST < half < _LARGEST:
        raise NoSolid(f"a size of {half:.0e} is beyond what float64 can scale")
    scale = half / BOX_SHARE
    return (vertices - centre) / scale, centre, scale


def _cleaned(
    vertices: Points, faces: Faces, conversions: list[str], weld: float
) -> tuple[Points, Faces, Edges]:
    """Weld vertices, and drop faces that have no area or are there twice."""
    stored = vertices, faces
    vertices, faces = mesh_repair.weld(*stored)
    if weld > 0:
        faces = mesh_repair.one_for_close(vertices, faces, weld)
        count = len(vertices)
        vertices, faces = mesh_repair.weld(vertices, faces)
        if len(vertices) < count:
            conversions.append(f"{count - len(vertices):,} vertices welded to others")
    found = _once(vertices, faces)
    if not weld and (found.edges.count > 2).any():
        apart, corners = mesh_repair.weld_apart(*stored)
        if len(apart) > len(vertices):  # bodies that touch have vertices of their own
            found = _once(apart, corners)
    if found.degenerate:
        conversions.append(f"{found.degenerate:,} degenerate faces dropped")
    if found.copies:
        conversions.append(f"{found.copies:,} faces dropped that were there twice")
    return found.vertices, found.faces, found.edges


class _Once(NamedTuple):
    """Faces with an area, each of them once, and how many others there were."""

    vertices: Points
    faces: Faces
    edges: Edges
    degenerate: int
    copies: int


def _once(vertices: Points, faces: Faces) -> _Once:
    thick = mesh_repair.without_lines(vertices, mesh_repair.without_points(faces))
    if not len(thick):
        raise NoSolid("no triangles in it: all its faces are degenerate")
    single = mesh_repair.without_copies(thick)
    degenerate, copies = len(faces) - len(thick), len(thick) - len(single)
    if degenerate or copies:
        vertices, single = parts.compact(vertices, single)
    return _Once(vertices, single, Edges.of(single), degenerate, copies)


def _matched(
    vertices: Points, faces: Faces, edges: Edges, conversions: list[str], on_edge: float
) -> tuple[Points, Faces, Edges]:
    """Close cracks beside vertices that lie on edges, and let neighbours have one side out."""
    slivers = np.zeros(len(faces), bool)
    if not edges.closed:
        slivers = mesh_repair.slivers(vertices, faces, on_edge)
    whole = mesh_edges.split_at_vertices(vertices, faces, edges, on_edge)
    if slivers.any() and not slivers.all():
        thick = faces[~slivers]
        fewer = mesh_edges.split_at_vertices(vertices, thick, Edges.of(thick), on_edge)
        if len(fewer[1].rim()) < len(whole[1].rim()):
            conversions.append(f"{slivers.sum():,} slivers dropped")
            vertices, thick = parts.compact(vertices, thick)
            whole = mesh_edges.split_at_vertices(vertices, thick, Edges.of(thick), on_edge)
    faces, edges, cuts = whole
    if cuts:
        conversions.append(f"edges cut at {cuts:,} vertices of other faces that lie on them")
    if (edges.balance[edges.count == 2] != 0).any():
        turned = mesh_edges.oriented(faces, edges)
        conversions.append(
            f"{(turned != faces).any(axis=1).sum():,} faces turned over to match their neighbours"
        )
        faces, edges = turned, Edges.of(turned)
    return vertices, faces, edges


def _turned_and_united(
    vertices: Points, faces: Faces, edges: Edges, conversions: list[str]
) -> tuple[Points, Faces, Edges, float]:
    """Turn the outside of each part out, and drop the walls between and within bodies.

    Returns:
        Vertices, faces, their edges, and the share of the surface that is gone.

    Raises:
        NoSolid: If there is no volume inside.
    """
    stored = vertices, faces
    vertices, faces, edges = _without_opposites(vertices, faces, edges, conversions)
    bodies = parts.Bodies.of(vertices, faces, edges)
    turned, bodies = parts.outside_out(vertices, faces, edges, bodies)
    count = (
        len(np.unique(bodies.labels[(turned != faces).any(axis=1)])) if turned is not faces else 0
    )
    if count:
        every = count == len(bodies.closed)
        conversions.append(
            f"{'' if every else f'{count:,} of {len(bodies.closed):,} parts '}turned inside out, "
            f"as {'its' if every else 'their'} faces had their outside in"
        )
        faces, edges = turned, Edges.of(turned)
    own = np.abs(bodies.volume[bodies.bulging()]).sum()
    if own < _NO_VOLUME and _volume(vertices, faces, edges) < _NO_VOLUME:
        raise NoSolid("its volume is zero, and nothing is inside; only solids can be fitted")
    found = parts.united(vertices, faces, bodies)
    if found is not None:
        conversions.append("bodies united that overlap or touch, and the walls within dropped")
    if len(bodies.closed) > 1:  # which may have had vertices of their own in one place
        vertices, faces = mesh_repair.weld(*(found or (vertices, faces)))
        edges = Edges.of(faces)
        vertices, faces, edges = _without_opposites(vertices, faces, edges, conversions)
    within = 0.0
    if found is not None or len(faces) < len(stored[1]):
        within = 1 - mesh_repair.area(vertices, faces) / mesh_repair.area(*stored)
    return vertices, faces, edges, within


def _without_opposites(
    vertices: Points, faces: Faces, edges: Edges, conversions: list[str]
) -> tuple[Points, Faces, Edges]:
    """Drop walls of closed bodies that lie back to back."""
    if edges.closed and (edges.count > 2).any():
        single = mesh_repair.without_opposites(faces)
        if 0 < len(single) < len(faces):
            conversions.append(f"{len(faces) - len(single):,} faces dropped that lay back to back")
            vertices, faces = parts.compact(vertices, single)
            edges = Edges.of(faces)
    return vertices, faces, edges


def _volume(vertices: Points, faces: Faces, edges: Edges) -> float:
    return abs(mesh_repair.signed_volume(vertices, faces, edges.rim()))
