"""What is done to triangles before anything is computed from them.

Most of it is ours because trimesh's own tools give something else: `merge_vertices` and
`nondegenerate_faces` go by absolute distances, `unique_faces` takes either side for the same,
`fix_winding` needs networkx, takes a hundred times as long and lets any face decide which side is
out, and `volume` of a mesh with holes depends on where it lies.

Legend: V vertices, F faces.
"""

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from nint_cli.modalities.sdf.mesh_edges import Bools, Edges, Numbers
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
