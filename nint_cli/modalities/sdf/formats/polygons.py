"""Faces of any number of corners, cut into triangles.

Triangles keep every corner, and no two cross where the polygon does not: walls of neighbours fit
along every edge, corners on a straight line included.

Legend: V vertices, P polygons, C corners of all of them, T triangles.
"""

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from nint_cli.modalities.sdf.formats.parts import check_corners
from nint_cli.modalities.sdf.formats.reading import Reading
from nint_cli.modalities.sdf.shape import Faces, Points

# Twice a triangle's area is above this, of its longest side squared, where it is more than a line.
_FLAT = 1e-12

Corners = NDArray[np.int64]


def triangles(vertices: Points, counts: Corners, corners: Corners, reading: Reading) -> Faces:
    """Cut polygons into triangles.

    Args:
        vertices: (V, 3).
        counts: (P,) how many corners each polygon has.
        corners: (C,) the vertices at the corners, polygon by polygon.
        reading: Is told what is left out; says how many triangles there may be.

    Returns:
        (T, 3), in the order of the polygons' numbers of corners.
    """
    reading.check_faces(int(np.maximum(counts - 2, 0).sum()))
    check_corners(corners, len(vertices))
    if (counts == 3).all():
        return corners.reshape(-1, 3)
    starts = np.cumsum(counts) - counts
    cut, fewer, torn = [], int((counts < 3).sum()), 0
    for count in np.unique(counts[counts >= 3]).tolist():
        rings = corners[starts[counts == count][:, None] + np.arange(count)]
        if count == 3:
            cut.append(rings)
            continue
        fans, sound = _fanned(vertices, rings)
        cut.append(fans[sound].reshape(-1, 3))
        for ring, fan in zip(rings[~sound], fans[~sound], strict=True):
            clipped, simple = _clipped(vertices[ring])
            torn += not simple
            cut.append(fan if clipped is None else ring[clipped])
    if fewer:
        reading.notes.append(f"{fewer:,} faces of fewer than three corners left out")
    if torn:
        reading.notes.append(f"{torn:,} polygons cross or touch themselves, or have no area")
    return np.concatenate(cut) if cut else np.empty((0, 3), np.int64)


def _fanned(vertices: Points, rings: Corners) -> tuple[Corners, NDArray[np.bool_]]:
    """Fan each ring from the first corner, or of four from the second where that is better.

    Returns:
        (P, n - 2, 3) triangles; and (P,) which of them all face the polygon's side, so that no
        edge leaves the polygon.
    """
    count = rings.shape[1]
    steps = np.arange(1, count - 1)
    fan = np.stack([np.zeros_like(steps), steps, steps + 1], axis=1)
    fans, sound = rings[:, fan], _all_face_out(vertices, rings, fan)
    if count == 4 and not sound.all():
        other = (fan + 1) % 4
        better = ~sound & _all_face_out(vertices, rings, other)
        fans[better] = rings[better][:, other]
        sound |= better
    return fans, sound


def _all_face_out(vertices: Points, rings: Corners, fan: Corners) -> NDArray[np.bool_]:
    """Tell which rings a fan cuts into triangles with area that look where the ring looks."""
    points = vertices[rings]
    normal = _normals(points)
    a, b, c = (points[:, fan[:, corner]] for corner in range(3))
    sides = b - a, c - a, c - b
    longest = np.max([(side * side).sum(axis=2) for side in sides], axis=0)
    along = np.einsum("pti,pi->pt", np.cross(sides[0], sides[1]), normal)
    length = np.linalg.norm(normal, axis=1)[:, None]
    return np.asarray((along > _FLAT * longest * length).all(axis=1))


def _normals(points: Points) -> Points:
    """Give the normals of (P, n, 3) rings, as long as twice their areas.

    Source: Sutherland, Sproull, Schumacker, "A characterization of ten hidden-surface algorithms",
    Computing Surveys 1974, who credit Newell.
    """
    centred = points - points[:, :1]
    return np.asarray(np.cross(centred, np.roll(centred, -1, axis=1)).sum(axis=1))


def _clipped(points: Points) -> tuple[Corners | None, bool]:
    """Cut one ring of (n, 3) points by its ears, in the plane of two of the axes.

    Returns:
        (T, 3) positions in the ring, or None where no cut keeps the ring's edges; and whether all
        triangles look where the ring looks, which they do unless it crosses itself.
    """
    import mapbox_earcut

    normal = _normals(points[None])[0]
    across = int(np.abs(normal).argmax())
    flat = np.delete(points - points[0], across, axis=1)
    largest = np.abs(flat).max()
    if not 0 < largest < np.inf or normal[across] == 0:
        return None, False
    ends = np.array([len(flat)], np.uint32)
    flat = np.ascontiguousarray(flat / largest)
    cut = mapbox_earcut.triangulate_float64(flat, ends).astype(np.int64).reshape(-1, 3)
    side = np.sign(normal[across]) * (-1) ** across
    if (_doubled(flat, cut) * side).sum() < 0:
        cut = cut[:, ::-1]
    simple = bool((_doubled(flat, cut) * side > -_FLAT).all())
    places = np.unique(points, axis=0, return_inverse=True)[1].reshape(-1)
    whole = _rim(places[cut]) == _rim(places[None])
    return (cut if whole else None), simple and whole


def _doubled(flat: Points, cut: Corners) -> Points:
    """Give twice the areas of triangles in a plane, positive where they are counter-clockwise."""
    a, b, c = (flat[cut[:, corner]] for corner in range(3))
    first, second = b - a, c - a
    return np.asarray(first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0])


def _rim(rings: Corners) -> Counter[tuple[int, int]]:
    """Count edges that (P, n) rings pass more often one way than the other."""
    starts, ends = rings.reshape(-1).tolist(), np.roll(rings, -1, axis=1).reshape(-1).tolist()
    passes = Counter(zip(starts, ends, strict=True))
    return +Counter({(a, b): n - passes[b, a] for (a, b), n in passes.items()})
