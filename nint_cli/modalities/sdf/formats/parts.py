"""Pieces of a mesh, and where a scene has them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nint_cli.modalities.sdf.formats.reading import Unsupported
from nint_cli.modalities.sdf.shape import Faces, Points

Part = tuple[Points, Faces]
"""Vertices and triangles."""


def whole(values: NDArray[Any]) -> Faces:
    """Take numbers for whole ones.

    Args:
        values: Of any type and shape.

    Returns:
        The same as int64.

    Raises:
        Unsupported: If one is not whole, or beyond int64.
    """
    if values.dtype.kind == "f":
        odd = ~(np.abs(values) < 2.0**62) | (values != np.trunc(values))
        if odd.any():
            raise Unsupported(f"a face counts or names {values[odd][0]:g}, no whole number")
    return values.astype(np.int64)


def check_corners(corners: Faces, vertices: int) -> None:
    """Refuse faces with corners that are not there.

    Args:
        corners: What they name, counted from 0, in any shape.
        vertices: How many there are.

    Raises:
        Unsupported: If one names another.
    """
    if corners.size and not (corners.min() >= 0 and corners.max() < vertices):
        wrong = corners[(corners < 0) | (corners >= vertices)][0]
        raise Unsupported(f"a face names vertex {wrong} of {vertices:,}")


def moved(part: Part, to_world: Points) -> Part:
    """Bring a piece to its place.

    Args:
        part: The piece.
        to_world: (4, 4), for columns.

    Returns:
        The piece there; its outside stays out where the place mirrors it.
    """
    if np.array_equal(to_world, np.eye(4)):
        return part
    vertices, faces = part
    linear = to_world[:3, :3]
    there = vertices @ linear.T + to_world[:3, 3]
    return there, faces[:, ::-1] if np.linalg.det(linear) < 0 else faces
