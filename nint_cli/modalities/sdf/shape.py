"""Shapes: triangles in a box of a known size, and the way back to their own units."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]
"""(M, 3)."""

Faces = NDArray[np.int64]
"""(F, 3), each row the vertices of a triangle, counter-clockwise as seen from outside."""

BOX_SHARE = 0.9
"""How much of the box [-1, 1]^3 the longest side of a shape fills."""


@dataclass(frozen=True, eq=False)
class Shape:
    """A triangle mesh, centred in the box [-1, 1]^3 so that its longest side is 2 BOX_SHARE.

    What is inside follows from the winding number, which is 1 inside a closed surface: see
    `DistanceField`.

    Attributes:
        vertices: (V, 3) float64 in the box; no two are equal, and all are used.
        faces: (F, 3) int64; none is degenerate and no two are the same.
        centre: (3,) float64, where the box's centre is in the file's coordinates.
        scale: Length of the box's half side in the file's units.
        sha256: Hash of the decoded vertices and faces, before anything was done to them.
        watertight: Whether every edge is passed as often one way as the other, so that winding
            numbers are whole numbers.
        holes: Number of the surface's rims: connected sets of edges that have one face only.
        conversions: What was done to the file's content, in plain words.
        walls_removed: Share of the file's surface that lay within bodies and was taken out.
    """

    vertices: Points
    faces: Faces
    centre: Points
    scale: float
    sha256: str
    watertight: bool
    holes: int
    conversions: tuple[str, ...] = ()
    walls_removed: float = 0.0

    @property
    def bounds(self) -> Points:
        """(2, 3), the least and the greatest coordinates, in the file's units."""
        return self.from_box(np.stack([self.vertices.min(axis=0), self.vertices.max(axis=0)]))

    def framed(self, centre: Points, scale: float) -> "Shape":
        """Put the shape into another box; see `centre` and `scale`."""
        if np.array_equal(centre, self.centre) and scale == self.scale:
            return self  # to the last bit
        vertices = (self.from_box(self.vertices) - centre) / scale
        return replace(self, vertices=vertices, centre=centre, scale=scale)

    def to_box(self, points: Points) -> Points:
        """Take points from the file's coordinates to the box.

        Args:
            points: (M, 3).

        Returns:
            (M, 3).
        """
        return (points - self.centre) / self.scale

    def from_box(self, points: Points) -> Points:
        """Take points from the box to the file's coordinates.

        Args:
            points: (M, 3).

        Returns:
            (M, 3).
        """
        return points * self.scale + self.centre


def sample_surface(
    vertices: Points, faces: Faces, count: int, generator: np.random.Generator
) -> tuple[Points, Points]:
    """Draw points uniformly by area.

    Source: Osada, Funkhouser, Chazelle, Dobkin, "Shape Distributions", ACM TOG 2002, for the point
    within its triangle.

    Args:
        vertices: (V, 3).
        faces: (F, 3).
        count: How many points.
        generator: The randomness.

    Returns:
        (count, 3) points, and the unit normals of their triangles.

    Raises:
        ValueError: If the triangles have no area.
    """
    first, second, third = (vertices[faces[:, corner]] for corner in range(3))
    normals = np.cross(second - first, third - first)
    doubled = np.linalg.norm(normals, axis=1)
    ends = np.cumsum(doubled)
    if not len(ends) or not ends[-1] > 0:
        raise ValueError("the surface has no area")
    drawn = generator.random((count, 3))
    chosen = np.searchsorted(ends, drawn[:, 0] * ends[-1], side="right")
    chosen = np.minimum(chosen, np.flatnonzero(doubled)[-1])  # where the product was rounded up
    root, along = np.sqrt(drawn[:, 1:2]), drawn[:, 2:3]
    points = (
        (1 - root) * first[chosen]
        + root * (1 - along) * second[chosen]
        + root * along * third[chosen]
    )
    return points, normals[chosen] / doubled[chosen, None]
