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
    vertices = _unit(vertices)
    cut, torn = [np.empty((0, 3), np.int64)], 0
    for count in np.unique(counts[counts >= 3]).tolist():
        rings = corners[starts[counts == count][:, None] + np.arange(count)]
        fans, sound = _fanned(vertices, rings)
        cut.append(fans[sound].reshape(-1, 3))
        if not sound.all():
            clipped, lost = _clipped(vertices, rings[~sound], fans[~sound])
            cut.append(clipped)
            torn += lost
    fewer = int((counts < 3).sum())
    if fewer:
        reading.notes.append(f"{fewer:,} faces of fewer than three corners left out")
    if torn:
        reading.notes.append(f"{torn:,} polygons cross or touch themselves, or have no area")
    return np.concatenate(cut)


def _unit(vertices: Points) -> Points:
    """Scale by a power of 2 to where no product overflows; what is not finite is refused later."""
    finite = np.nan_to_num(vertices)
    return np.asarray(np.ldexp(finite, -np.frexp(np.abs(finite).max(initial=0))[1]))


def _fanned(vertices: Points, rings: Corners) -> tuple[Corners, NDArray[np.bool_]]:
    """Fan each ring from the first corner, or of four from the second where that is better.

    Returns:
        (P, n - 2, 3) triangles; and (P,) which of them all face the polygon's side, so that no
        edge leaves the polygon.
    """
    count = rings.shape[1]
    if count == 3:
        return rings[:, None], np.ones(len(rings), bool)
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


def _clipped(vertices: Points, rings: Corners, fans: Corners) -> tuple[Faces, int]:
    """Cut (P, n) rings by their ears, each in the plane of two of the axes.

    Returns:
        (T, 3) triangles; and of how many rings that tears the edges, as of those that cross
        themselves: they keep their fans.
    """
    import mapbox_earcut

    points = vertices[rings]
    normal = _normals(points)
    across = np.abs(normal).argmax(axis=1)
    axes = np.array([[1, 2], [0, 2], [0, 1]])[across]
    flat = np.take_along_axis(points - points[:, :1], axes[:, None], axis=2)
    flat /= np.maximum(np.abs(flat).max(axis=(1, 2), keepdims=True), np.finfo(np.float64).tiny)
    side = np.take_along_axis(normal, across[:, None], axis=1)[:, 0] * np.array([1, -1, 1])[across]
    ends = np.array([rings.shape[1]], np.uint32)
    found, lost = [], 0
    for ring, fan, plane, up in zip(rings, fans, flat, side > 0, strict=True):
        cut = ring[mapbox_earcut.triangulate_float64(plane, ends)].reshape(-1, 3)
        # Each corner but two makes one triangle, unless it is passed by, as one of two in a place.
        if len(cut) == len(ring) - 2 or _same_rim(vertices, ring, cut):
            found.append(cut if up else cut[:, ::-1])  # as it is counter-clockwise on the plane
        else:
            found.append(fan)
            lost += 1
    return np.concatenate(found), lost


def _same_rim(vertices: Points, ring: Corners, cut: Faces) -> bool:
    """Tell whether the outer edges of triangles are a ring's, either way around."""
    places = np.unique(vertices[ring], axis=0, return_inverse=True)[1].reshape(-1)
    place = dict(zip(ring.tolist(), places.tolist(), strict=True))
    cut = np.array([[place[corner] for corner in face] for face in cut.tolist()]).reshape(-1, 3)
    rim = _rim(places[None])
    return rim in (_rim(cut), _rim(cut[:, ::-1]))


def _rim(rings: Corners) -> Counter[tuple[int, int]]:
    """Count edges that (P, n) rings pass more often one way than the other."""
    starts, ends = rings.reshape(-1).tolist(), np.roll(rings, -1, axis=1).reshape(-1).tolist()
    passes = Counter(zip(starts, ends, strict=True))
    return +Counter({(a, b): n - passes[b, a] for (a, b), n in passes.items()})
