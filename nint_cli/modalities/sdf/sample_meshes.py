"""Solids that are computed, so that shapes can be tried without a file.

The same on every machine: their surfaces are laid out by hand, with nothing to be triangulated.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from nint_cli.modalities.samples import Samples
from nint_cli.modalities.sdf.shape import Faces, Points

Solid = tuple[Points, Faces]


def solid(name: str) -> Solid:
    """Make a built-in solid.

    Args:
        name: One of those of `SAMPLES`; an InputError is raised for another.

    Returns:
        Vertices (V, 3) and faces (F, 3) of a closed surface, its outside out.
    """
    return SAMPLES.find(name)()


def torus() -> Solid:
    """Make a ring of radius 1 and thickness 0.8, by trimesh's own tool."""
    import trimesh

    mesh = trimesh.creation.torus(1.0, 0.4, major_sections=96, minor_sections=48)
    return np.asarray(mesh.vertices, np.float64), np.asarray(mesh.faces, np.int64)


def knot() -> Solid:
    """Sweep a disc along the trefoil that winds twice around the axis of a torus."""
    turn = _circle(384)
    radius = 2 + np.cos(3 * turn)
    curve = np.column_stack([
        radius * np.cos(2 * turn),
        radius * np.sin(2 * turn),
        np.sin(3 * turn),
    ])
    # One way across the curve points away from the torus, so that the tube closes without a twist.
    axis = np.column_stack([2 * np.cos(2 * turn), 2 * np.sin(2 * turn), 0 * turn])
    along = np.roll(curve, -1, axis=0) - np.roll(curve, 1, axis=0)
    along /= np.linalg.norm(along, axis=1)[:, None]
    outwards = curve - axis
    outwards -= (outwards * along).sum(axis=1)[:, None] * along
    outwards /= np.linalg.norm(outwards, axis=1)[:, None]
    sideways = np.cross(outwards, along)
    around = _circle(32)[None, :, None]
    tube = np.cos(around) * outwards[:, None] + np.sin(around) * sideways[:, None]
    vertices = curve[:, None] + 0.45 * tube
    return vertices.reshape(-1, 3), _wound(384, 32)


def gear() -> Solid:
    """Extrude a wheel with 12 teeth and a bore."""
    teeth, inner, root, tip, thickness = 12, 0.35, 0.8, 1.0, 0.4
    # Angles of a tooth in shares of its pitch: up the flank, along the tip, down, along the root.
    profile = [(0.15, root), (0.275, tip), (0.475, tip), (0.6, root), (0.875, root)]
    angles = 2 * np.pi / teeth * np.add.outer(np.arange(teeth), [a for a, _ in profile]).ravel()
    rim = np.tile([radius for _, radius in profile], teeth)
    rings = [
        np.column_stack([r * np.cos(angles), r * np.sin(angles), 0 * angles + z])
        for r, z in (
            (rim, -thickness / 2),
            (rim, thickness / 2),
            (np.full_like(rim, inner), thickness / 2),
            (np.full_like(rim, inner), -thickness / 2),
        )
    ]
    return np.stack(rings, axis=1).reshape(-1, 3), _wound(len(angles), 4)


def _circle(count: int) -> NDArray[np.float64]:
    return np.arange(count) * np.float64(2 * np.pi / count)


def _wound(rings: int, points: int) -> Faces:
    """Join rings of points, in their order and the last to the first, to a closed surface."""
    ring, point = np.divmod(np.arange(rings * points), points)
    ahead, beside = (ring + 1) % rings, (point + 1) % points
    a, b = ring * points + point, ahead * points + point
    c, d = ahead * points + beside, ring * points + beside
    return np.stack([a, b, c, a, c, d], axis=1).reshape(-1, 3)


def _described(make: Callable[[], Solid]) -> str:
    _, faces = make()
    return f"{len(faces):,} triangles, computed"


SAMPLES = Samples("shape", {"gear": gear, "knot": knot, "torus": torus}, _described)
"""What makes each of them, by name."""
