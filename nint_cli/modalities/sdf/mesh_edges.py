"""The edges of a mesh, and what is done along them.

Legend: V vertices, F faces, E edges.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from nint_cli.modalities.sdf.shape import Faces, Points

_ALIKE = 1e-7  # angles of faces that lie on each other

Numbers = NDArray[np.int64]
Bools = NDArray[np.bool_]


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

    def parts(self, vertices: Points, faces: Faces) -> tuple[Numbers, Bools]:
        """Tell which faces hang together: at each edge, those between which there is an inside.

        Args:
            vertices: (V, 3).
            faces: (F, 3), whose edges these are.

        Returns:
            (F,) the number of each face's part, and (P,) which parts are closed on their own.
        """
        two = self.starts[self.count == 2]
        one, other = self.neighbours[two], self.neighbours[two + 1]
        crowd = np.repeat(self.count > 2, self.count)
        edge, face = (
            np.repeat(np.arange(len(self.count)), self.count)[crowd],
            self.neighbours[crowd],
        )
        low, high = self.ends[edge].T
        forward = (faces[face] == low[:, None]) & (np.roll(faces[face], -1, 1) == high[:, None])
        forward = forward.any(axis=1)
        if len(face):
            first, second = _wedges(vertices, faces, self.ends, edge, face, forward)
            one, other = np.concatenate([one, first]), np.concatenate([other, second])
        size = len(faces)
        graph = coo_array((np.ones(len(one), bool), (one, other)), shape=(size, size))
        count, labels = connected_components(graph, directed=False)
        closed = np.ones(count, bool)
        unmatched = (self.count <= 2) & (self.balance != 0)
        closed[labels[self.neighbours[np.repeat(unmatched, self.count)]]] = False
        if len(face):  # of which each part has some, that must match among themselves
            own, slot = np.unique(np.stack([edge, labels[face]]), axis=1, return_inverse=True)
            balance = np.bincount(slot.reshape(-1), np.where(forward, 1, -1), own.shape[1])
            closed[own[1, balance != 0]] = False
        return labels.astype(np.int64), closed

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


def _wedges(
    vertices: Points, faces: Faces, ends: Faces, edge: Numbers, face: Numbers, forward: Bools
) -> tuple[Numbers, Numbers]:
    """Pair faces around edges of many, where there is an inside between neighbours.

    Args:
        vertices: (V, 3).
        faces: (F, 3).
        ends: (E, 2).
        edge: (S,), ascending.
        face: (S,), one of each edge's faces.
        forward: (S,), whether it passes the edge from its first end to its second.

    Returns:
        Faces, and the one across the inside from each.
    """
    start, stop = vertices[ends[edge]].transpose(1, 0, 2)
    axis = stop - start
    apex = vertices[faces[face].sum(axis=1) - ends[edge].sum(axis=1)] - start
    # Two directions across the edge, the same for all of its faces.
    across = np.cross(axis, np.eye(3)[np.abs(axis).argmin(axis=1)])
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    upwards = np.cross(axis / np.linalg.norm(axis, axis=1, keepdims=True), across)
    angle = np.arctan2((apex * upwards).sum(axis=1), (apex * across).sum(axis=1))
    angle = np.where(angle < _ALIKE - np.pi, angle + 2 * np.pi, angle)
    # Faces that lie on each other come one after the other, so that nothing is between them.
    order = np.lexsort((~forward, np.round(angle / _ALIKE), edge))
    first = np.searchsorted(edge, edge, side="left")
    last = np.searchsorted(edge, edge, side="right") - 1
    place = np.arange(len(edge))
    before = order[np.where(place == first, last, place - 1)]
    pairs = forward[order] & ~forward[before]
    return face[order[pairs]], face[before[pairs]]


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


def split_at_vertices(
    vertices: Points, faces: Faces, edges: Edges, tolerance: float
) -> tuple[Faces, Edges, int]:
    """Close cracks along which the faces of one side have vertices that those of the other lack.

    A face whose edge passes a vertex of the rim is cut in two there.

    Args:
        vertices: (V, 3).
        faces: (F, 3), without degenerate ones.
        edges: Theirs.
        tolerance: How far from an edge a vertex on it may be.

    Returns:
        The faces, their edges, and at how many places edges were cut.
    """
    cuts = 0
    while True:
        single = edges.starts[edges.count == 1]
        owner = edges.neighbours[single]
        row, middle = _passed(vertices, faces[owner], edges.rim(), tolerance)
        if not len(row):
            return faces, edges, cuts
        # One edge of each face at a time; a face has three, so that this ends.
        _, first = np.unique(owner[row], return_index=True)
        now = np.isin(row, row[first])
        row, middle = row[now], middle[now]
        cuts += len(row)
        cut = np.unique(row)
        pieces = [faces[np.setdiff1d(np.arange(len(faces)), owner[cut])]]
        starts = np.searchsorted(row, cut)
        for edge, points in zip(cut, np.split(middle, starts[1:]), strict=True):
            pieces.append(_fan(faces[owner[edge]], edges.rim()[edge], points))
        faces = np.concatenate(pieces)
        edges = Edges.of(faces)


def _passed(
    vertices: Points, owners: Faces, rim: Faces, tolerance: float
) -> tuple[Numbers, Numbers]:
    """Find rim vertices that lie within edges of the rim.

    Args:
        vertices: (V, 3).
        owners: (R, 3), the face of each edge.
        rim: (R, 2).
        tolerance: As above.

    Returns:
        Rows of the rim, ascending, and vertices: of each row from its first end to its second.
    """
    nobody = np.zeros(0, np.int64), np.zeros(0, np.int64)
    if not len(rim):
        return nobody
    corners = np.unique(rim)
    tree = cKDTree(vertices[corners])
    a, b = (vertices[end] for end in rim.T)
    middle, half = (a + b) / 2, np.linalg.norm(b - a, axis=1) / 2
    # Nearly always the ends are the nearest, and nothing lies between them.
    rows = np.flatnonzero(tree.query(middle)[0] < half * (1 - 1e-9))
    near = tree.query_ball_point(middle[rows], half[rows])
    row = np.repeat(rows, [len(each) for each in near])
    if not len(row):
        return nobody
    vertex = corners[np.concatenate([np.asarray(each, np.int64) for each in near])]
    other = ~(owners[row] == vertex[:, None]).any(axis=1)
    row, vertex = row[other], vertex[other]
    along, point = b[row] - a[row], vertices[vertex] - a[row]
    share = (point * along).sum(axis=1) / (along * along).sum(axis=1)
    beside = np.linalg.norm(point - share[:, None] * along, axis=1)
    margin = tolerance / (2 * half[row])
    found = (beside <= tolerance) & (share > margin) & (share < 1 - margin)
    order = np.lexsort((share[found], row[found]))
    return row[found][order], vertex[found][order]


def _fan(face: Faces, edge: Faces, points: Numbers) -> Faces:
    """Cut a face (3,) at points (N,) on its edge, which are in the order of the edge's ends."""
    apex = next(i for i in range(3) if face[i] not in edge)
    start, stop, top = face[(apex + 1) % 3], face[(apex + 2) % 3], face[apex]
    chain = [start, *(points if start == edge[0] else points[::-1]), stop]
    return np.array([[p, q, top] for p, q in pairwise(chain)], np.int64)
