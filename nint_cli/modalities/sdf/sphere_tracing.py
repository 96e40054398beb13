"""A distance function seen from outside: sphere tracing.

A field is only roughly a distance. Steps are shortened by the slope that it shows on a coarse grid
and once more by a constant, and where its sign changes between two steps the crossing is bracketed
and narrowed. Far from the surface the coarse grid stands in for the field, so that most of the
points at which the field is evaluated are close to its surface.

Source: Hart, "Sphere Tracing: A Geometric Method for the Antialiased Ray Tracing of Implicit
Surfaces", The Visual Computer 1996.

Legend: S pixels along each side of a square picture, N rays or points, K coarse points along each
edge of the box [-1, 1]^3.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates, maximum_filter

from nint_cli.modalities.sdf.surface import Distance, values_at

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]

_HALF_WIDTH = 1.42  # of the picture, so that a cube of the shapes' greatest size is inside
_COARSE = 20, 40  # points along each edge: least, most
_PIXELS_PER_COARSE = 12
_DAMPING = 0.9
_CLOSE = 2e-3  # a third of a pixel at 480 pixels
_STEPS = 80
_BACK = np.float32(0.15)
_COARSE_STEPS = 120
_COARSE_MARGIN = 1.3  # cells
_NARROWINGS = 3
_DIFFERENCE = 4e-3

# Corners of a tetrahedron: four values give a gradient as exactly as six along the axes.
_AROUND = np.array([[1, -1, -1], [-1, -1, 1], [-1, 1, -1], [1, 1, 1]], np.float32)


@dataclass(frozen=True)
class Camera:
    """A view along parallel rays, with y upwards.

    Attributes:
        azimuth: Degrees around y, from z towards x.
        elevation: Degrees above the horizon.
    """

    azimuth: float = 32.0
    elevation: float = 24.0

    def axes(self) -> Floats:
        """Give the unit vectors to the right, upwards and towards the viewer, as rows (3, 3)."""
        around, above = np.radians([self.azimuth, self.elevation])
        right = [np.cos(around), 0, -np.sin(around)]
        towards = [
            np.sin(around) * np.cos(above),
            np.sin(above),
            np.cos(around) * np.cos(above),
        ]
        return np.array([right, np.cross(towards, right), towards], np.float32)

    def pixels(self, points: Floats, size: int) -> Floats:
        """Project points.

        Args:
            points: (N, 3).
            size: S.

        Returns:
            (N, 3): column, row, both from the upper left corner in pixels, and nearness, in units
            of the box.
        """
        seen = points @ self.axes().T
        scale = np.array([1, -1], np.float32) * size / (2 * _HALF_WIDTH)
        return np.concatenate([seen[:, :2] * scale + size / 2, seen[:, 2:]], axis=1)

    def starts(self, size: int) -> Floats:
        """Give a point of each pixel's ray on the plane through the box's centre (S * S, 3)."""
        offsets = (((np.arange(size) + 0.5) / size * 2 - 1) * _HALF_WIDTH).astype(np.float32)
        right, up, _ = self.axes()
        plane = offsets[None, :, None] * right - offsets[:, None, None] * up
        return np.asarray(plane.reshape(-1, 3), np.float32)


@dataclass(frozen=True)
class View:
    """What is seen of a surface.

    Attributes:
        hit: (S, S), where the surface is seen.
        points: (H, 3), the points that are seen, row by row.
        normals: (H, 3) unit vectors that point outwards.
        evaluations: At how many points the field was evaluated.
    """

    hit: Bools
    points: Floats
    normals: Floats
    evaluations: int


class _Probe:
    """A distance function that counts, with its coarse stand-in."""

    def __init__(self, distance: Distance, size: int) -> None:
        self._distance = distance
        self.evaluations = 0
        self._count = int(np.clip(size // _PIXELS_PER_COARSE, *_COARSE))
        axis = np.linspace(-1, 1, self._count, dtype=np.float32)
        grid = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1)
        self._coarse = self(grid.reshape(-1, 3)).reshape((self._count,) * 3)
        self._spacing = 2 / (self._count - 1)
        steep = np.sqrt(sum(np.square(part) for part in np.gradient(self._coarse, self._spacing)))
        # What is between the coarse points may be steeper: take the steepest around, and no less
        # than some of what is usual.
        self._slope = np.maximum(maximum_filter(steep, size=3), np.median(steep) / 2 + 1e-6)

    def __call__(self, points: Floats) -> Floats:
        self.evaluations += len(points)
        return values_at(self._distance, points)

    def slope(self, points: Floats) -> Floats:
        """Tell how fast the field may change around points (N,)."""
        return np.asarray(self._slope[tuple(np.rint(self._where(points)).astype(np.int64))])

    def room(self, points: Floats) -> Floats:
        """Guess from the coarse points how far the surface is at least, or less than 0 (N,)."""
        value = map_coordinates(self._coarse, self._where(points), order=1, mode="nearest")
        return np.asarray(value / self.slope(points) - _COARSE_MARGIN * self._spacing)

    def _where(self, points: Floats) -> Floats:
        return np.asarray(((points.T + 1) / self._spacing).clip(0, self._count - 1))


def view(distance: Distance, camera: Camera, size: int) -> View:
    """Look at the zero level of a distance function.

    Args:
        distance: Coords (N, 3) -> (N,), negative inside.
        camera: From where.
        size: S.

    Returns:
        What is seen within the box.
    """
    probe = _Probe(distance, size)
    starts, towards = camera.starts(size), camera.axes()[2]
    near, far = _through_box(starts, -towards)
    rays = np.flatnonzero(near < far)
    found = np.full(len(starts), np.nan, np.float32)
    found[rays] = _march(probe, starts[rays], -towards, near[rays], far[rays])
    hit = np.isfinite(found)
    points = starts[hit] - found[hit, None] * towards
    normals = np.zeros_like(points)
    for corner in _AROUND:
        normals += corner * probe(points + _DIFFERENCE * corner)[:, None]
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    return View(hit.reshape(size, size), points, normals, probe.evaluations)


def _through_box(starts: Floats, direction: Floats) -> tuple[Floats, Floats]:
    """Give how far along its ray each start enters and leaves the box (N,)."""
    safe = np.where(np.abs(direction) < 1e-9, np.float32(1e-9), direction)
    low, high = (-1 - starts) / safe, (1 - starts) / safe
    return np.minimum(low, high).max(axis=1), np.maximum(low, high).min(axis=1)


def _march(probe: _Probe, starts: Floats, direction: Floats, near: Floats, far: Floats) -> Floats:
    """Find how far along its ray each start first meets the surface (N,); NaN if nowhere."""
    along = _approach(probe, starts, direction, near, far)
    found = np.full(len(starts), np.nan, np.float32)
    rays = np.flatnonzero(along <= far)
    before, value_before = along.copy(), np.full(len(starts), np.inf, np.float32)
    for _ in range(_STEPS):
        if not len(rays):
            break
        points = starts[rays] + along[rays, None] * direction
        value, slope = probe(points), probe.slope(points)
        within, close = value <= 0, (value > 0) & (value < _CLOSE * slope)
        # The coarse grid led too far in: go back, and see the surface from outside.
        early = within & np.isinf(value_before[rays]) & (along[rays] > near[rays])
        back = rays[early]
        along[back] = np.maximum(near[back], along[back] - _BACK)
        crossed = rays[within & ~early]
        found[crossed] = _narrow(
            probe,
            starts[crossed],
            direction,
            (before[crossed], along[crossed]),
            (value_before[crossed], value[within & ~early]),
        )
        found[rays[close]] = along[rays[close]] + value[close] / slope[close]
        on = rays[~within & ~close]
        step = _step(value, slope, along[rays] - before[rays], value_before[rays])
        before[on], value_before[on] = along[on], value[~within & ~close]
        along[on] += step[~within & ~close]
        rays = np.concatenate([back, on[along[on] <= far[on]]])
    return found


def _step(value: Floats, slope: Floats, last: Floats, value_before: Floats) -> Floats:
    """Choose how far to go: as far as is safe, or farther where the last step shows the way.

    A step that goes too far is no loss: it brackets the surface.
    """
    safe = _DAMPING * value / slope
    fall = (value_before - value) / np.maximum(last, np.float32(1e-9))
    straight = 1.02 * value / np.maximum(fall, np.float32(1e-9))
    known = np.isfinite(value_before) & (fall > 0)
    return np.asarray(np.where(known, np.clip(straight, safe, 2 * safe), safe))


def _approach(
    probe: _Probe, starts: Floats, direction: Floats, near: Floats, far: Floats
) -> Floats:
    """Go along each ray, by the coarse grid alone, to where the surface may be close (N,)."""
    along = near.copy()
    rays = np.arange(len(starts))
    for _ in range(_COARSE_STEPS):
        room = probe.room(starts[rays] + along[rays, None] * direction)
        rays, room = rays[room > 0], room[room > 0]
        if not len(rays):
            break
        along[rays] += np.maximum(room, np.float32(0.01))
        rays = rays[along[rays] <= far[rays]]
    return along


def _narrow(
    probe: _Probe,
    starts: Floats,
    direction: Floats,
    ends: tuple[Floats, Floats],
    values: tuple[Floats, Floats],
) -> Floats:
    """Narrow down crossings between an outer and an inner point by false position (N,).

    A ray that is inside where it begins stays there. An end that remains counts half the next time
    (the Illinois rule), so that neither stays for long.
    """
    (outer, inner), (above, below) = ends, values
    outer, inner, above, below = outer.copy(), inner.copy(), above.copy(), below.copy()
    known = np.isfinite(above)
    above[~known] = 0
    for _ in range(_NARROWINGS if known.any() else 0):
        middle = outer + (inner - outer) * above / np.maximum(above - below, 1e-12)
        value = np.zeros_like(middle)
        value[known] = probe(starts[known] + middle[known, None] * direction)
        out = known & (value > 0)
        into = known & ~out
        outer[out], above[out], below[out] = middle[out], value[out], below[out] / 2
        inner[into], below[into], above[into] = middle[into], value[into], above[into] / 2
    return np.asarray(outer + (inner - outer) * above / np.maximum(above - below, 1e-12))
