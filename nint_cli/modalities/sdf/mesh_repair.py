"""What is done to triangles before anything is computed from them.

Most of it is ours because trimesh's own tools give something else: `merge_vertices` and
`nondegenerate_faces` go by absolute distances, `unique_faces` takes either side for the same,
`fix_winding` needs networkx, takes a hundred times as long and lets any face decide which side is
out, and `volume` of a mesh with holes depends on where it lies.

Legend: V vertices, F faces, E edges, P parts.
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
_ROUNDING = 4 * float(np.finfo(np.float64).eps)

Numbers = NDArray[np.int64]
Bools = NDArray[np.bool_]


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


def typical_edge(vertices: Points, faces: Faces) -> float:
    """Give the length that half of the faces' sides do not exceed."""
    sides = vertices[faces] - vertices[np.roll(faces, 1, axis=1)]
    return float(np.median(np.linalg.norm(sides, axis=2)))


def one_for_close(vertices: Points, faces: Faces, tolerance: float) -> Faces:
    """Let faces name one vertex where several are close to each other, or linked by such ones.

    Args:
        vertices: (V, 3).
        faces: (F, 3).
        tolerance: How far apart, at most; less than a typical edge, or there are many pairs.

    Returns:
        (F, 3), in which of vertices that are one the first is named.
    """
    pairs = cKDTree(vertices).query_pairs(tolerance, output_type="ndarray")
    size = len(vertices)
    graph = coo_array((np.ones(len(pairs), bool), tuple(pairs.T)), shape=(size, size))
    labels = connected_components(graph, directed=False)[1]
    return np.asarray(np.unique(labels, return_index=True)[1][labels][faces])


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


def slivers(vertices: Points, faces: Faces, tolerance: float) -> Bools:
    """Tell which faces are no higher than a tolerance over their longest side.

    Args:
        vertices: (V, 3).
        faces: (F, 3).
        tolerance: In units of the vertices; what has two corners this close is no sliver.

    Returns:
        (F,).
    """
    sides = vertices[np.roll(faces, -1, axis=1)] - vertices[faces]
    lengths = np.linalg.norm(sides, axis=2)
    area = np.linalg.norm(np.cross(sides[:, 0], sides[:, 1]), axis=1)
    flat = area <= tolerance * lengths.max(axis=1)
    return np.asarray(flat & (lengths.min(axis=1) > 2 * tolerance))


def without_copies(faces: Faces) -> Faces:
    """Drop faces that are there already, with the same side out.

    Where every face is there with either side out, as some programs store what should be seen
    from both sides, one of each pair is kept; so it is with a body of which all faces are.

    Args:
        faces: (F, 3), none with the same vertex twice.

    Returns:
        The others, in their order.
    """
    from trimesh.grouping import unique_rows  # which loads much that other signals never need

    turns = (np.argmin(faces, axis=1)[:, None] + np.arange(3)) % 3
    kept = np.sort(unique_rows(np.take_along_axis(faces, turns, axis=1))[0])
    pairs = np.sort(unique_rows(np.sort(faces[kept], axis=1))[0])
    if len(pairs) < len(kept):
        body = touching(faces[kept])
        doubled = np.bincount(body) == 2 * np.bincount(body[pairs], minlength=body.max() + 1)
        if not doubled.all():  # of a sheet, neither side is an outside
            edges = Edges.of(faces[kept[pairs]])
            rim = edges.neighbours[np.repeat(edges.count == 1, edges.count)]
            doubled[body[pairs[rim]]] = False
        once = ~doubled[body]
        once[pairs] = True
        kept = kept[once]
    return np.asarray(faces[kept])


def touching(faces: Faces) -> Numbers:
    """Number the sets of faces (F, 3) that hang together by vertices, (F,)."""
    size = int(faces.max()) + 1
    ends = (faces[:, [0, 1]].reshape(-1), faces[:, [1, 2]].reshape(-1))
    graph = coo_array((np.ones(2 * len(faces), bool), ends), shape=(size, size))
    labels = connected_components(graph, directed=False)[1][faces[:, 0]]
    return np.unique(labels, return_inverse=True)[1].reshape(-1)


def weld_apart(vertices: Points, faces: Faces) -> tuple[Points, Faces]:
    """Weld vertices, but not those of closed bodies to those of others.

    Bodies are told by the vertices that a file has for each of them, or else by their faces, which
    follow each other. Where they touch, they have equal vertices.

    Args:
        vertices: (V, 3), as a file has them.
        faces: (F, 3).

    Returns:
        As `weld` does.
    """
    welded, together = weld(vertices, faces)
    for told in (touching(faces), _closed_runs(together)):
        body = told + 1
        for _ in range(2):  # at first all apart, then what is open with all else that is
            corners = np.arange(3 * len(faces)).reshape(-1, 3)
            owned = np.column_stack([welded[together.reshape(-1)], np.repeat(body, 3)])
            found, corners = weld(owned, corners)
            edges = Edges.of(without_points(corners))
            body = np.where(np.isin(body, found[edges.ends[edges.balance != 0], 3]), 0, body)
        if len(found) > len(welded):
            return np.ascontiguousarray(found[:, :3]), corners
    return welded, together


def _closed_runs(faces: Faces) -> Numbers:
    """Number runs of faces (F, 3) that are closed, each from where the one before ends, (F,)."""
    sound = np.flatnonzero(np.diff(np.sort(faces, axis=1), axis=1).all(axis=1))
    edges = Edges.of(faces[sound])
    place = np.arange(len(edges.neighbours)) - np.repeat(edges.starts, edges.count)
    opened = np.bincount(sound[edges.neighbours], np.where(place % 2, -1, 1), len(faces))
    closed = np.cumsum(opened) == 0
    return np.asarray(np.cumsum(closed) - closed)


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


def without_opposites(faces: Faces) -> Faces:
    """Drop faces that are there twice, back to back, which changes no winding number."""
    corners = np.sort(faces, axis=1)
    _, kind, count = np.unique(corners, axis=0, return_inverse=True, return_counts=True)
    return np.asarray(faces[count[kind.reshape(-1)] == 1])


def area(vertices: Points, faces: Faces) -> float:
    """Compute the area, in squared units of the vertices."""
    a, b, c = (vertices[corner] for corner in faces.T)
    return float(np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2)


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
