"""How far it is to a shape's surface, and on which side of it a point is.

Legend: M points, F faces.
"""

from collections.abc import Callable
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nint_cli.errors import ConfigError
from nint_cli.modalities.sdf.shape import Points, Shape

Numbers = NDArray[np.float64]
"""(M,)."""

_AT_ONCE = 1 << 16  # points between two chances for Ctrl-C
_ACCURACY = 2.0  # of the fast winding number; off by up to 0.005 then

# The fast winding number is computed in float32. A point nearer than this to the surface may come
# out on the wrong side, and so may others near needles: triangles far longer than wide, of which
# the tree of dipoles makes nothing either. Where `crowding` is above the limit (3 for triangles
# with even sides, 60 for a cylinder of 32 sections that is three times as long as wide) or a point
# is close, winding numbers are computed in another way.
_CLOSE = 1e-6
_CROWDED = 40.0
_ON_SURFACE = 1e-14  # the rounding of float64; nothing decides below

# libigl takes a triangle for parallel to a ray by an absolute limit that fine meshes fall below,
# so everything is scaled up, by a power of two that changes no digit.
_SCALE = 2.0**20

# Rays go this way, which is in no plane of any plain mesh; one that passes an edge this closely,
# in shares of the triangle, is not believed.
_DIRECTION = np.array([0.54030231, 0.31415927, 0.78062475])
_EDGE = 1e-6
_STEP_IN = 1e-9  # from the surface, so that a ray does not meet where it starts
_FEW = 128  # points for which the tree of exact winding numbers is not worth planting


class DistanceField:
    """The signed distance to a shape: negative inside, in the units of the box.

    The distance is that to the nearest point of any triangle, by a tree of boxes. The sign is that
    of the generalised winding number w, the share of all directions in which the surface shows its
    inside, by a tree of dipoles. A watertight surface has whole numbers, and what has not w = 0 is
    inside, as in the nonzero rule of vector graphics: bodies that overlap are united, one that is
    turned inside out is still a body, and a hollow is outside if its wall faces it. Where there
    are holes, w changes smoothly across them and the inside is w > 1/2.

    Sources: Jacobson, Kavan, Sorkine-Hornung, "Robust Inside-Outside Segmentation using
    Generalized Winding Numbers", SIGGRAPH 2013; Barill, Dickson, Schmidt, Levin, Jacobson, "Fast
    Winding Numbers for Soups and Clouds", SIGGRAPH 2018; both by libigl.

    Differs: libigl's own signed distance by the fast winding number is d (1 - 2 w), which is off
    by the error of w; here d is exact. On and near the surface, and all over where triangles are
    needles, w is what a ray crosses, or with holes the sum of all solid angles.

    Args:
        shape: The shape. The trees are built once, here.

    Raises:
        ConfigError: If libigl is not installed.
    """

    def __init__(self, shape: Shape) -> None:
        try:
            import igl
        except ImportError as error:
            raise ConfigError(
                f"signed distances need a package that is not installed ({error.name}); "
                "pip install 'nint[sdf]'"
            ) from error
        self.shape = shape
        self._scaled = shape.vertices * _SCALE
        self._solid_angles: Any = igl.winding_number
        self._boxes = igl.AABB()
        self._boxes.init(self._scaled, shape.faces)
        self._dipoles = igl.FastWindingNumberBVH()
        self._dipoles.init(shape.vertices, shape.faces)
        self._fast = crowding(shape) < _CROWDED

    def signed(self, points: Points, *, exact: bool = True) -> Numbers:
        """Compute signed distances.

        Args:
            points: (M, 3) in the box's coordinates.
            exact: Whether the sign counts where the distance is below 1e-6. With holes it takes a
                look at all faces for each such point, so that many of them take long.

        Returns:
            (M,), negative inside; 0 on the surface, up to the rounding of float64.
        """
        distance = self.unsigned(points)
        distance[distance < _ON_SURFACE] = 0
        winding = self.winding_number(points)
        if self._fast and exact:
            close = np.flatnonzero((distance < _CLOSE) & (distance > 0))
            winding[close] = self._in_order(points[close], self._careful)
        return np.where(self.is_inside(winding), -distance, distance)

    def unsigned(self, points: Points) -> Numbers:
        """Compute distances without a sign; see `signed`."""
        return self._in_order(points, self._distance)

    def winding_number(self, points: Points) -> Numbers:
        """Compute winding numbers, to 0.005 where a point is not next to the surface.

        Args:
            points: (M, 3) in the box's coordinates.

        Returns:
            (M,).
        """
        return self._in_order(points, self._quick if self._fast else self._careful)

    def is_inside(self, winding: Numbers) -> NDArray[np.bool_]:
        """Tell from winding numbers (M,) which points are inside, (M,)."""
        return (np.abs(winding) if self.shape.watertight else winding) > 0.5

    def through(self, points: Points, normals: Points) -> Numbers:
        """Compute how far it is from surface points to the other side of the shape.

        Args:
            points: (M, 3) on the surface.
            normals: (M, 3) unit normals there, outwards.

        Returns:
            (M,) lengths of the ways straight in; infinite where nothing is met.
        """
        start = (points - _STEP_IN * normals) * _SCALE
        face, way, _ = self._boxes.intersect_ray_first(
            self._scaled, self.shape.faces, start, -normals
        )
        return np.where(face < 0, np.inf, np.where(face < 0, 0, way) / _SCALE + _STEP_IN)

    def _in_order(self, points: Points, compute: Callable[[Points], Numbers]) -> Numbers:
        """Go through points in an order in which neighbours follow each other.

        They take the same ways down the trees, and find them in the caches: three times as fast.
        """
        found = np.empty(len(points))
        order = along_curve(points)
        for start in range(0, len(points), _AT_ONCE):
            part = order[start : start + _AT_ONCE]
            found[part] = compute(np.ascontiguousarray(points[part], np.float64))
        return found

    def _distance(self, points: Points) -> Numbers:
        squared = self._boxes.squared_distance(self._scaled, self.shape.faces, points * _SCALE)[0]
        return np.asarray(np.sqrt(squared) / _SCALE)

    def _quick(self, points: Points) -> Numbers:
        return np.asarray(self._dipoles.winding_number(points, _ACCURACY))

    def _careful(self, points: Points) -> Numbers:
        """Count what rays cross, outwards less inwards; or sum all solid angles."""
        if not self.shape.watertight:
            return self.exact_winding_number(points)
        vertices, faces = self.shape.vertices, self.shape.faces
        directions = np.tile(_DIRECTION / np.linalg.norm(_DIRECTION), (len(points), 1))
        hits = self._boxes.intersect_ray(self._scaled, faces, points * _SCALE, directions)
        counts = np.fromiter(map(len, hits), np.int64, len(hits))
        table = np.array(list(chain.from_iterable(hits)), np.float64).reshape(-1, 4)
        ray = np.repeat(np.arange(len(points)), counts)
        a, b, c = (vertices[corner] for corner in faces[table[:, 0].astype(np.int64)].T)
        outwards = np.sign(np.cross(b - a, c - a) @ _DIRECTION)
        winding = np.bincount(ray, outwards, len(points)).astype(np.float64)
        u, v = table[:, 2:].T
        doubtful = np.unique(ray[np.minimum(np.minimum(u, v), 1 - u - v) < _EDGE])
        winding[doubtful] = self.exact_winding_number(points[doubtful])
        return winding

    def exact_winding_number(self, points: Points) -> Numbers:
        """Sum all solid angles in float64, which takes long; see `winding_number`."""
        vertices, faces = self.shape.vertices, self.shape.faces
        if len(points) > _FEW:
            return np.asarray(self._solid_angles(vertices, faces, points))
        return np.array([self._solid_angles(vertices, faces, point) for point in points])


def crowding(shape: Shape) -> float:
    """Tell how many triangles' surroundings, as wide as they are long, a surface point is in.

    Args:
        shape: The shape.

    Returns:
        The sum of the squares of the longest sides over the sum of areas; at least 2.3.
    """
    a, b, c = (shape.vertices[corner] for corner in shape.faces.T)
    longest = np.max([((p - q) ** 2).sum(axis=1) for p, q in ((a, b), (b, c), (c, a))], axis=0)
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1) / 2
    return float(longest.sum() / area.sum())


def along_curve(points: Points) -> NDArray[np.int64]:
    """Order points along Morton's curve through a grid of 1024^3 cells over [-1, 1]^3.

    Args:
        points: (M, 3).

    Returns:
        (M,) indices.
    """
    cells = ((points.clip(-1, 1) + 1) * 511.999).astype(np.uint32)
    for shift, mask in ((16, 0x030000FF), (8, 0x0300F00F), (4, 0x030C30C3), (2, 0x09249249)):
        cells = (cells | cells << np.uint32(shift)) & np.uint32(mask)
    codes = cells[:, 0] << np.uint32(2) | cells[:, 1] << np.uint32(1) | cells[:, 2]
    return np.argsort(codes, kind="stable")
