"""What is done to triangles before anything is computed from them.

Most of it is ours because trimesh's own tools give something else: `merge_vertices` and
`nondegenerate_faces` go by absolute distances, `unique_faces` takes either side for the same,
`fix_winding` needs networkx, takes a hundred times as long and lets any face decide which side is
out, and `volume` of a mesh with holes depends on where it lies.

Legend: V vertices, F faces, E edges.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from nint_cli.modalities.sdf.shape import Faces, Points

_ROUNDING = 4 * float(np.finfo(np.float64).eps)


def weld(vertices: Points, faces: Faces) -> tuple[Points, Faces]:
    """Make one of vertices that are equal to the last bit, and drop those that no face uses.

    Files that store corners one by one, or cut a surface along seams of its texture, have them.

    Args:
        vertices: (V, 3).
        faces: (F, 3).

    Returns:
        The vertices in lexical order, and the faces, as many as before.
    """
    used, corners = np.unique(faces, return_inverse=True)
    vertices = vertices[used] + 0.0  # which makes 0 of -0
    order = np.lexsort(vertices.T[::-1])
    ordered = vertices[order]
    first = np.ones(len(order), bool)
    first[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    place = np.empty(len(order), np.int64)
    place[order] = np.cumsum(first) - 1
    return ordered[first], place[corners.reshape(-1)].reshape(-1, 3)


def without_points(faces: Faces) -> Faces:
    """Drop faces that have the same vertex twice."""
    a, b, c = faces.T
    return np.asarray(faces[(a != b) & (b != c) & (c != a)])


def without_lines(vertices: Points, faces: Faces) -> Faces:
    """Drop faces whose corners are on a line, up to the rounding of float64."""
    a, b, c = (vertices[corner] for corner in faces.T)
    sides = b - a, c - a, c - b
    area = np.linalg.norm(np.cross(sides[0], sides[1]), axis=1)
    longest = np.max([(side * side).sum(axis=1) for side in sides], axis=0)
    return np.asarray(faces[area > _ROUNDING * longest])


def without_copies(faces: Faces) -> Faces:
    """Drop faces that are there already, with the same side out.

    Where every face is there with either side out, as some programs store what should be seen from
    both sides, one of each pair is kept.

    Args:
        faces: (F, 3), none with the same vertex twice.

    Returns:
        The others, in their order.
    """
    from trimesh.grouping import unique_rows  # which loads much that other signals never need

    turns = (np.argmin(faces, axis=1)[:, None] + np.arange(3)) % 3
    kept = np.sort(unique_rows(np.take_along_axis(faces, turns, axis=1))[0])
    pairs = np.sort(unique_rows(np.sort(faces[kept], axis=1))[0])
    return np.asarray(faces[kept[pairs] if 2 * len(pairs) == len(kept) else kept])


@dataclass(frozen=True)
class Edges:
    """The edges of a mesh.

    Attributes:
        ends: (E, 2) vertices of each, the smaller first.
        count: (E,) how many faces it has.
        balance: (E,) how many of them pass it from the smaller vertex to the larger, less how many
            do not; 0 all over if the surface is closed and one side of it is out.
        starts: (E,) where its faces begin in `neighbours`.
        neighbours: (3 F,) faces, edge by edge.
    """

    ends: Faces
    count: NDArray[np.int64]
    balance: NDArray[np.int64]
    starts: NDArray[np.int64]
    neighbours: NDArray[np.int64]

    @classmethod
    def of(cls, faces: Faces) -> "Edges":
        """Collect them.

        Args:
            faces: (F, 3), none with the same vertex twice.

        Returns:
            The edges, in the order of their vertices.
        """
        passed = faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2)
        ends = np.sort(passed, axis=1)
        order = np.lexsort(ends.T[::-1])
        ends = ends[order]
        forward = np.where(passed[order, 0] == ends[:, 0], 1, -1)
        new = np.ones(len(ends), bool)
        new[1:] = (ends[1:] != ends[:-1]).any(axis=1)
        starts = np.flatnonzero(new)
        count = np.diff(starts, append=len(ends))
        return cls(ends[starts], count, np.add.reduceat(forward, starts), starts, order // 3)

    @property
    def closed(self) -> bool:
        """Whether winding numbers are whole numbers."""
        return not self.balance.any()

    def rim(self) -> Faces:
        """Give the (R, 2) edges that have one face only."""
        return np.asarray(self.ends[self.count == 1])

    def holes(self) -> int:
        """Count the connected sets of such edges."""
        corners, rim = np.unique(self.rim(), return_inverse=True)
        if not len(corners):
            return 0
        a, b = rim.reshape(-1, 2).T
        graph = coo_array((np.ones(len(a), bool), (a, b)), shape=(len(corners),) * 2)
        return int(connected_components(graph, directed=False)[0])


def oriented(faces: Faces, edges: Edges) -> Faces:
    """Turn faces over so that neighbours have the same side out, as far as that can be.

    Within a connected part, the majority stays as it is. Only edges of two faces count. A part
    with one side, as a Moebius strip, stays as it is.

    Args:
        faces: (F, 3).
        edges: Theirs.

    Returns:
        (F, 3), the faces in their order.
    """
    pairs = edges.starts[edges.count == 2]
    one, other = edges.neighbours[pairs], edges.neighbours[pairs + 1]
    odd = edges.balance[edges.count == 2] != 0
    # Each face stands for two nodes, as it is and turned over; an edge ties what fits together.
    size = len(faces)
    a = np.concatenate([one, one + size])
    b = np.concatenate([other + size * odd, other + size * ~odd])
    graph = coo_array((np.ones(len(a), bool), (a, b)), shape=(2 * size, 2 * size))
    parts = connected_components(graph, directed=False)[1]
    as_it_is, turned = parts[:size], parts[size:]
    unturned = np.bincount(as_it_is, minlength=parts.max() + 1)
    gain = unturned[turned] - unturned[as_it_is]
    turn = (gain > 0) | ((gain == 0) & (turned < as_it_is))
    return np.where(turn[:, None], faces[:, ::-1], faces)


def signed_volume(vertices: Points, faces: Faces, rim: Faces) -> float:
    """Compute the volume inside, negative where the inside is out.

    Args:
        vertices: (V, 3).
        faces: (F, 3).
        rim: Edges of the holes, each of which is closed by a cone to the mean of all their ends.

    Returns:
        In cubed units of the vertices.
    """
    apex = vertices[rim if len(rim) else faces].reshape(-1, 3).mean(axis=0)
    a, b, c = (vertices[corner] - apex for corner in faces.T)
    return float(np.einsum("ij,ij->", a, np.cross(b, c)) / 6)


def thickness(vertices: Points) -> float:
    """Measure how far the vertices are apart across the plane that fits them best."""
    centred = vertices - vertices.mean(axis=0)
    normal = np.linalg.eigh(centred.T @ centred)[1][:, 0]
    return float(np.ptp(centred @ normal))
