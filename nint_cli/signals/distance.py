"""Signed distances to a triangle mesh, by libigl.

Legend: V vertices, F faces, M points.
"""

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nint_cli.errors import ConfigError

Points = NDArray[np.float64]
"""(M, 3)."""

_AT_ONCE = 1 << 18
# The fast winding number is a truncated series. Where it does not tell inside from outside by
# this margin, the exact one decides.
_DOUBT = 0.25
_CELLS = 32


class MeshDistance:
    """Signed distances to a mesh, negative inside.

    The distance is that to the nearest triangle, exactly. Inside is where the winding number is
    above 1/2: for a closed mesh what it encloses, for several bodies their union, and for a mesh
    with holes what it would enclose if they were closed. Source: Barill, Dickson, Schmidt, Levin,
    Jacobson, "Fast Winding Numbers for Soups and Clouds", ACM Transactions on Graphics 37(4),
    2018; Jacobson, Kavan, Sorkine-Hornung, "Robust Inside-Outside Segmentation using Generalized
    Winding Numbers", ACM Transactions on Graphics 32(4), 2013.

    Sign and distance are taken apart on purpose: libigl's own signed distance by the fast winding
    number is the distance times 1 - 2 w, which is wrong wherever w is not exactly 0 or 1.

    Args:
        vertices: (V, 3) float64.
        faces: (F, 3) int64, counterclockwise seen from outside.

    Raises:
        ConfigError: If libigl is not installed.
    """

    def __init__(self, vertices: Points, faces: NDArray[np.int64]) -> None:
        try:
            import igl
        except ImportError as error:
            raise ConfigError(
                "signed distances need libigl, which is not installed; pip install 'nint[sdf]'"
            ) from error
        self._igl = igl
        self.vertices = np.ascontiguousarray(vertices, np.float64)
        self.faces = np.ascontiguousarray(faces, np.int64)

    @cached_property
    def _tree(self) -> Any:  # noqa: ANN401 (libigl has no types)
        tree = self._igl.AABB()
        tree.init(self.vertices, self.faces)
        return tree

    @cached_property
    def _hierarchy(self) -> Any:  # noqa: ANN401
        hierarchy = self._igl.FastWindingNumberBVH()
        hierarchy.init(self.vertices, self.faces)
        return hierarchy

    def unsigned(self, points: Points) -> NDArray[np.float64]:
        """Give the distance to the nearest triangle.

        Args:
            points: (M, 3).

        Returns:
            (M,), in the units of the vertices.
        """
        found = np.empty(len(points))
        order = _by_place(points)
        for rows, part in _parts(points[order]):
            squared, _, _ = self._tree.squared_distance(self.vertices, self.faces, part)
            found[order[rows]] = np.sqrt(squared)
        return found

    def inside(self, points: Points) -> NDArray[np.bool_]:
        """Tell which points are inside.

        Args:
            points: (M, 3).

        Returns:
            (M,).
        """
        found = np.empty(len(points), bool)
        for rows, part in _parts(points):
            winding = self._hierarchy.winding_number(part)
            doubtful = np.flatnonzero(abs(winding - 0.5) < _DOUBT)
            if len(doubtful):
                winding[doubtful] = self._igl.winding_number(
                    self.vertices, self.faces, np.ascontiguousarray(part[doubtful])
                )
            found[rows] = winding > 0.5
        return found

    def __call__(self, points: Points) -> NDArray[np.float64]:
        """Give signed distances.

        Args:
            points: (M, 3).

        Returns:
            (M,), negative inside, in the units of the vertices.
        """
        distance = self.unsigned(points)
        np.negative(distance, out=distance, where=self.inside(points))
        return distance


def _by_place(points: Points) -> NDArray[np.int64]:
    """Order points so that neighbours follow each other: they look at the same triangles."""
    low, high = points.min(axis=0, initial=np.inf), points.max(axis=0, initial=-np.inf)
    cells = ((points - low) / np.maximum(high - low, 1e-300) * _CELLS).astype(np.int64)
    return np.lexsort((points[:, 0], *cells.T)).astype(np.int64)


def _parts(points: Points) -> Iterator[tuple[slice, Points]]:
    """Go through points in blocks, as libigl takes them."""
    for start in range(0, len(points), _AT_ONCE):
        rows = slice(start, min(start + _AT_ONCE, len(points)))
        yield rows, np.ascontiguousarray(points[rows], np.float64)
