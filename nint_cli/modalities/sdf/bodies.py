"""The parts of a mesh as bodies: which side of each is out, and the surface of them all.

Legend: V vertices, F faces, P parts.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from nint_cli.errors import ConfigError
from nint_cli.modalities.sdf.distance import DistanceField
from nint_cli.modalities.sdf.mesh_edges import Bools, Edges, Numbers
from nint_cli.modalities.sdf.mesh_repair import signed_volume
from nint_cli.modalities.sdf.shape import Faces, Points, Shape

# A part with holes tells its own inside if it bulges: a hemisphere has 0.06 of this, a flat one 0.
_BULGE = 0.02  # volume over area^1.5
_LOOKED_AT = 64  # vertices of a part, to tell whether it is within another
_BESIDE = 1e-6  # of a surface; nearer to it no vertex says on which side the part is
_NOTHING = 1e-9  # share of a surface


@dataclass(frozen=True)
class Bodies:
    """The parts of a mesh.

    Attributes:
        labels: (F,), the part of each face.
        closed: (P,), whether a part alone has no rim.
        volume: (P,), negative where the outside of a part faces in; of a part with holes, each of
            which is closed by a cone.
        area: (P,).
        low: (P, 3), the least coordinates.
        high: (P, 3), the greatest.
        hollow_of: (P,), for a part that is the wall of a hollow, the body that it is in; else -1.
    """

    labels: Numbers
    closed: Bools
    volume: NDArray[np.float64]
    area: NDArray[np.float64]
    low: Points
    high: Points
    hollow_of: Numbers

    @classmethod
    def of(cls, vertices: Points, faces: Faces, edges: Edges) -> "Bodies":
        """Measure the parts of a mesh, none of which is known to be a hollow.

        Args:
            vertices: (V, 3).
            faces: (F, 3), neighbours with the same side out.
            edges: Theirs.

        Returns:
            The parts.
        """
        labels, closed = edges.parts(vertices, faces)
        count = len(closed)
        a, b, c = (vertices[corner] for corner in faces.T)
        crossed = np.cross(b - a, c - a)
        if not closed.all():
            owner = labels[edges.neighbours[edges.starts[edges.count == 1]]]
            a -= _means(vertices[edges.rim()].mean(axis=1), owner, count)[labels]
        volume = _sums((a * crossed).sum(axis=1) / 6, labels, count)
        area = _sums(np.linalg.norm(crossed, axis=1) / 2, labels, count)
        low, high = _boxes(vertices, faces, labels, count)
        return cls(labels, closed, volume, area, low, high, np.full(count, -1, np.int64))

    def bulging(self) -> Bools:
        """Tell which parts have an inside of their own, (P,)."""
        return self.closed | (np.abs(self.volume) > _BULGE * self.area**1.5)


def outside_out(
    vertices: Points, faces: Faces, edges: Edges, bodies: Bodies
) -> tuple[Faces, Bodies]:
    """Turn over the parts whose outside faces in.

    A part in the open has its outside out. A part within another one is turned with it, so that
    it stays what it is to that one: a wall that faces it is a hollow, one that faces as it does is
    a body within. What is within a hollow is in the open. Parts that have no inside of their own,
    as the sides of a box that are stored one by one, are turned together or not at all.

    Args:
        vertices: (V, 3).
        faces: (F, 3).
        edges: Theirs.
        bodies: Their parts.

    Returns:
        The faces in their order, and the parts as they are now.
    """
    bulging = bodies.bulging()
    turn = np.zeros(len(bulging), bool)
    hollow_of = bodies.hollow_of.copy()
    if (bodies.volume[bulging] < 0).any():
        _turn(vertices, faces, bodies, turn, hollow_of)
    sheets = ~bulging[bodies.labels]
    if sheets.any():
        single = edges.count == 1
        rim = edges.ends[single][sheets[edges.neighbours[edges.starts[single]]]]
        turn[~bulging] = signed_volume(vertices, faces[sheets], rim) < 0
    if turn.any():
        faces = np.where(turn[bodies.labels][:, None], faces[:, ::-1], faces)
    volume = np.where(turn, -bodies.volume, bodies.volume)
    return faces, replace(bodies, volume=volume, hollow_of=hollow_of)


def _turn(vertices: Points, faces: Faces, bodies: Bodies, turn: Bools, hollow_of: Numbers) -> None:
    """Decide for the parts with an inside, from the largest to the smallest."""
    within = _Within(vertices, faces, bodies)
    bulging = np.flatnonzero(bodies.bulging())
    size = np.prod(bodies.high - bodies.low, axis=1)
    order = bulging[np.argsort(-size[bulging], kind="stable")]
    facing = np.sign(bodies.volume).astype(np.int64)
    for place, part in enumerate(order):
        around = within.of(part, order[:place])
        if facing[around].sum() <= 0:
            turn[part] = facing[part] < 0
        else:
            turn[part] = turn[around[-1]]
        if turn[part]:
            facing[part] = -facing[part]
        if facing[part] < 0:
            hollow_of[part] = next(other for other in reversed(around) if facing[other] > 0)


class _Within:
    """Whether a part lies within another one: all of it, or most where that one has holes."""

    def __init__(self, vertices: Points, faces: Faces, bodies: Bodies) -> None:
        self._vertices, self._faces, self._bodies = vertices, faces, bodies
        self._fields: dict[int, DistanceField] = {}

    def of(self, part: int, others: Numbers) -> list[int]:
        """Give those of the others (N,) that `part` lies within, in their order."""
        low, high = self._bodies.low, self._bodies.high
        past = np.maximum(low[others] - low[part], high[part] - high[others])
        most = np.where(self._bodies.closed[others][:, None], 0, high[part] - low[part])
        return [int(other) for other in others[(past <= most).all(axis=1)] if self(part, other)]

    def __call__(self, part: int, other: int) -> bool:
        """Tell whether `part` lies within `other`, the box of which is around it."""
        closed = bool(self._bodies.closed[other])
        if other not in self._fields:
            faces = self._faces[self._bodies.labels == other]
            shape = Shape(*compact(self._vertices, faces), np.zeros(3), 1.0, "", closed, 0)
            self._fields[other] = DistanceField(shape)
        corners = np.unique(self._faces[self._bodies.labels == part])
        points = self._vertices[corners[:: -(-len(corners) // _LOOKED_AT)]]
        field = self._fields[other]
        clear = points[field.unsigned(points) > _BESIDE]
        if not len(clear):
            return False
        inside = np.abs(field.winding_number(clear)) > 0.5
        return bool(inside.all() if closed else inside.mean() > 0.5)


def united(vertices: Points, faces: Faces, bodies: Bodies) -> tuple[Points, Faces] | None:
    """Give the surface of closed bodies that overlap, or touch, or lie within each other.

    By the booleans of manifold3d (Apache 2.0). Walls of hollows stay where no other body is. What
    is not closed, and what manifold3d does not take, stays as it is.

    Args:
        vertices: (V, 3).
        faces: (F, 3), each body with its outside out.
        bodies: Their parts.

    Returns:
        Vertices and faces; None if nothing of the surface lies within.

    Raises:
        ConfigError: If manifold3d is needed and not installed.
    """
    solid = np.flatnonzero(bodies.closed & (bodies.volume > 0) & (bodies.hollow_of < 0))
    solid = solid[_meeting(bodies.low[solid], bodies.high[solid])]
    if not len(solid):
        return None
    try:
        import manifold3d as manifold
    except ImportError as error:
        raise ConfigError(
            f"bodies that overlap need a package that is not installed ({error.name}); "
            "pip install 'nint[sdf]'"
        ) from error
    taken, sound = np.zeros(len(faces), bool), []
    owner = np.where(bodies.hollow_of < 0, np.arange(len(bodies.closed)), bodies.hollow_of)
    owner = np.where(bodies.closed, owner, -1)[bodies.labels]
    for body in solid:
        points, corners = compact(vertices, faces[owner == body])
        found = manifold.Manifold(manifold.Mesh64(points, corners.astype(np.uint64)))
        if found.status() == manifold.Error.NoError:
            taken |= owner == body
            sound.append(found)
    whole = manifold.Manifold.batch_boolean(sound, manifold.OpType.Add)
    within = sum(each.surface_area() for each in sound) - whole.surface_area()
    if whole.status() != manifold.Error.NoError or within < _NOTHING * bodies.area.sum():
        return None
    mesh = whole.to_mesh64()
    corners = np.asarray(mesh.tri_verts, np.int64) + len(vertices)
    points = np.asarray(mesh.vert_properties[:, :3], np.float64)
    return np.concatenate([vertices, points]), np.concatenate([faces[~taken], corners])


def _meeting(low: Points, high: Points) -> Bools:
    """Tell which boxes meet another one, (P,)."""
    found = np.zeros(len(low), bool)
    order = np.argsort(low[:, 0], kind="stable")
    ends = np.searchsorted(low[order, 0], high[order, 0], side="right")
    for place, (box, end) in enumerate(zip(order, ends, strict=True)):
        others = order[place + 1 : end]
        meets = others[((low[others] <= high[box]) & (low[box] <= high[others])).all(axis=1)]
        found[meets] = True
        found[box] |= len(meets) > 0
    return found


def compact(vertices: Points, faces: Faces) -> tuple[Points, Faces]:
    """Keep the vertices that faces use, in their order, and count anew."""
    used, corners = np.unique(faces, return_inverse=True)
    return vertices[used], corners.reshape(-1, 3)


def _boxes(vertices: Points, faces: Faces, labels: Numbers, count: int) -> tuple[Points, Points]:
    """Give the least and the greatest coordinates of each part, (P, 3)."""
    if count == 1:
        return vertices.min(axis=0)[None], vertices.max(axis=0)[None]
    order = np.argsort(labels, kind="stable")
    starts = np.searchsorted(labels[order], np.arange(count))
    corners = vertices[faces[order]]
    low, high = corners.min(axis=1), corners.max(axis=1)
    return np.minimum.reduceat(low, starts), np.maximum.reduceat(high, starts)


def _means(points: Points, labels: Numbers, count: int) -> Points:
    """Average points (M, 3) by label, (count, 3); what has none is 0."""
    sums = np.stack([_sums(axis, labels, count) for axis in points.T], axis=1)
    return np.asarray(sums / np.maximum(np.bincount(labels, minlength=count), 1)[:, None])


def _sums(values: NDArray[np.float64], labels: Numbers, count: int) -> NDArray[np.float64]:
    """Add up values (M,) by label, (count,)."""
    return np.asarray(np.bincount(labels, values, count), np.float64)
