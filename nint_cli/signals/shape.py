"""Shapes: triangle meshes, normalised into a box.

Legend: V vertices, F faces.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

REACH = 0.9
"""What the longest side of a shape runs to in the box [-1, 1]^3."""


@dataclass(frozen=True)
class Frame:
    """Where a shape lies: original = normalised * scale + centre.

    Attributes:
        centre: (3,), what lies at 0, in the input's units.
        scale: Half the edge of the box, in the input's units.
    """

    centre: NDArray[np.float64]
    scale: float

    def normalised(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Bring points (M, 3) into the box."""
        return (points - self.centre) / self.scale

    def original(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Bring points (M, 3) back into the input's units and place."""
        return points * self.scale + self.centre


@dataclass(frozen=True)
class Shape:
    """A decoded mesh.

    Attributes:
        vertices: (V, 3) float64, in the input's units.
        faces: (F, 3) int64, counterclockwise seen from outside.
        frame: The box around it.
        holes: Boundary loops; 0 for a closed mesh.
        sha256: Hash of vertices and faces as they were decoded.
        conversions: What was done to the file's content, in plain words.
    """

    vertices: NDArray[np.float64]
    faces: NDArray[np.int64]
    frame: Frame
    holes: int
    sha256: str
    conversions: tuple[str, ...] = ()


def frame_of(vertices: NDArray[np.float64]) -> Frame:
    """Give the box in whose middle a mesh lies, its longest side from -0.9 to 0.9.

    Args:
        vertices: (V, 3).

    Returns:
        The frame.
    """
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    centre = low / 2 + high / 2  # their sum might overflow
    return Frame(centre, float((high / 2 - low / 2).max() / REACH))


def signed_volume(vertices: NDArray[np.float64], faces: NDArray[np.int64]) -> float:
    """Give the volume inside a mesh, negative where its faces look inwards.

    Args:
        vertices: (V, 3), about the origin, so that holes matter little.
        faces: (F, 3).

    Returns:
        In cubic units of the vertices.
    """
    a, b, c = (vertices[faces[:, corner]] for corner in range(3))
    return float(np.einsum("ij,ij->", a, np.cross(b, c)) / 6)


def boundary_loops(faces: NDArray[np.int64]) -> int:
    """Count the holes of a mesh: groups of connected edges that have a face on one side only.

    Args:
        faces: (F, 3), of vertices that are nowhere the same.

    Returns:
        The number of groups; 0 for a closed mesh.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    edges = np.sort(faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    distinct, count = np.unique(edges, axis=0, return_counts=True)
    boundary = distinct[count % 2 == 1]
    if not len(boundary):
        return 0
    names, ends = np.unique(boundary, return_inverse=True)
    ends = ends.reshape(-1, 2)
    graph = coo_array((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(len(names),) * 2)
    return int(connected_components(graph, directed=False, return_labels=False))
