"""Built-in shapes, computed: closed meshes of a few thousand triangles."""

import numpy as np
import trimesh
from numpy.typing import NDArray

Mesh = tuple[NDArray[np.float64], NDArray[np.int64]]
"""Vertices (V, 3) and faces (F, 3), counterclockwise seen from outside."""


def torus() -> Mesh:
    """Make a torus, by trimesh."""
    mesh = trimesh.creation.torus(
        major_radius=1.0, minor_radius=0.4, major_sections=96, minor_sections=48
    )
    return np.asarray(mesh.vertices, np.float64), np.asarray(mesh.faces, np.int64)


def knot() -> Mesh:
    """Make a trefoil knot: a tube of radius 0.4 along a closed curve."""
    t = np.linspace(0, 2 * np.pi, 240, endpoint=False)
    curve = np.stack(
        [np.sin(t) + 2 * np.sin(2 * t), np.cos(t) - 2 * np.cos(2 * t), -np.sin(3 * t)], axis=1
    )
    tangent = np.roll(curve, -1, axis=0) - np.roll(curve, 1, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    # The knot winds around the z axis, and nowhere runs along it.
    across = np.cross(tangent, [0.0, 0.0, 1.0])
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    up = np.cross(across, tangent)
    around = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    ring = (
        np.cos(around)[None, :, None] * across[:, None]
        + np.sin(around)[None, :, None] * up[:, None]
    )
    vertices = (curve[:, None] + 0.4 * ring).reshape(-1, 3)
    return vertices, _closed_grid(len(t), len(around))


def gear() -> Mesh:
    """Make a gear of twelve teeth with a bore: a plate with sharp edges and flat faces."""
    teeth, each = 12, 32
    phase = np.arange(teeth * each) % each / each
    tooth = np.interp(phase, [0.0, 0.1, 0.4, 0.5, 1.0], [0.8, 1.0, 1.0, 0.8, 0.8])
    angle = np.arange(teeth * each) * 2 * np.pi / (teeth * each)
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    # Once around the section: bore below, rim below, rim above, bore above.
    corners = [(0.35 + 0 * tooth, -0.2), (tooth, -0.2), (tooth, 0.2), (0.35 + 0 * tooth, 0.2)]
    rings = [
        np.concatenate([radius[:, None] * circle, np.full((len(angle), 1), height)], axis=1)
        for radius, height in corners
    ]
    vertices = np.stack(rings, axis=1).reshape(-1, 3)
    return vertices, _closed_grid(len(angle), len(rings))


SOLIDS = {"torus": torus, "knot": knot, "gear": gear}
"""By name."""


def _closed_grid(rows: int, columns: int) -> NDArray[np.int64]:
    """Join a grid of vertices that is closed along both axes by two triangles per cell."""
    row, column = np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij")
    corner = [
        ((row + i) % rows * columns + (column + j) % columns).ravel()
        for i, j in ((0, 0), (1, 0), (1, 1), (0, 1))
    ]
    return np.concatenate([
        np.stack([corner[0], corner[1], corner[2]], axis=1),
        np.stack([corner[0], corner[2], corner[3]], axis=1),
    ])
