"""The zero level of a distance function as a mesh, and its inside as a grid, from coarse to fine.

A field is only roughly a distance, so where its zero level runs is told by three signs: the values
at the corners of a block have both signs; one of them is closer to zero than the slope of the
field there, with a margin, lets the field change within the block; or a value on the block's rim,
known from a neighbour, contradicts the block's corners. The last one follows a surface that was
found anywhere to its end. What is missed is a speck that is smaller than a coarse block (a quarter
of the resolution) and that the coarse values around it do not announce.

Legend: R points along each edge of the box [-1, 1]^3, M points, blocks of `stride` cells along
each edge. Distances are negative inside, in the units of the box; a value that is not a number
counts as outside.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter
from skimage.measure import marching_cubes
from torch import Tensor

Distance = Callable[[Tensor], Tensor]
"""Coords (M, 3) float32 -> signed distances (M,)."""

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]
Indices = NDArray[np.int64]

_AT_ONCE = 1 << 18  # points of a grid
_BLOCK = 1 << 13  # points that a field sees; its activations should stay in the caches
_MARGIN = 1.5  # times the slope that the coarse values show
_SLAB = 64  # cells that are marched at once along the first axis
_OUTSIDE = np.float32(1.0)
_NUDGE = np.float32(-1e-5)  # in cells; a value of exactly zero would leave a hole in the mesh


@dataclass(frozen=True)
class Mesh:
    """A triangle mesh.

    Attributes:
        vertices: (V, 3), in units of the box.
        faces: (F, 3) vertex numbers, anticlockwise seen from outside.
    """

    vertices: NDArray[np.float64]
    faces: Indices


@dataclass(frozen=True)
class _Lattice:
    """Points at first + step * k, 0 <= k < count, along each axis."""

    first: float
    step: float
    count: int

    def every(self, stride: int) -> Indices:
        """Give the numbers of the corners of blocks along an axis; the last block may be short."""
        return np.append(np.arange(0, self.count - 1, stride), self.count - 1)

    def coords(self, indices: Indices) -> Floats:
        """Give the coords (M, 3) of flat indices (M,)."""
        axes = np.unravel_index(indices, (self.count,) * 3)
        return (self.first + self.step * np.stack(axes, axis=1)).astype(np.float32)


@dataclass(frozen=True)
class _Traced:
    """What is known of a field on a lattice.

    Attributes:
        stride: Cells along the edge of a block.
        inside: (B, B, B), for each block without crossings, whether it is inside.
        active: (B, B, B), which blocks may have crossings.
        indices: Flat indices of the lattice's points in active blocks, ascending.
        values: The field there, where needed moved from zero.
    """

    stride: int
    inside: Bools
    active: Bools
    indices: Indices
    values: Floats


def values_at(distance: Distance, coords: Floats) -> Floats:
    """Evaluate a distance function in blocks.

    Args:
        distance: What to evaluate; it is given tensors on the CPU.
        coords: (M, 3).

    Returns:
        (M,); a value that is not finite is replaced by one that is outside.
    """
    found = np.empty(len(coords), np.float32)
    with torch.no_grad():
        for start in range(0, len(coords), _BLOCK):
            part = torch.from_numpy(coords[start : start + _BLOCK])
            found[start : start + len(part)] = distance(part).reshape(-1).cpu().numpy()
    found[~np.isfinite(found)] = _OUTSIDE
    return found


def extract(distance: Distance, resolution: int) -> Mesh | None:
    """Find the zero level by marching cubes.

    A surface that leaves the box is cut off, and open, there.

    Args:
        distance: The field; it is evaluated near its zero level only.
        resolution: R, at least 2; point k of the grid is at -1 + 2 k / (R - 1).

    Returns:
        The mesh, or None where nothing or everything is inside.
    """
    lattice = _Lattice(-1.0, 2 / (resolution - 1), resolution)
    traced = _trace(distance, lattice)
    parts = list(_marched(lattice, traced))
    if not parts:
        return None
    offsets = np.cumsum([0] + [len(vertices) for vertices, _ in parts[:-1]])
    vertices = np.concatenate([vertices for vertices, _ in parts])
    faces = np.concatenate([
        faces + offset for (_, faces), offset in zip(parts, offsets, strict=True)
    ])
    vertices, faces = _sewn(vertices, faces)
    return Mesh(lattice.first + lattice.step * vertices, faces)


def occupancy(distance: Distance, resolution: int) -> Bools:
    """Find out which cells of a grid have their centre inside.

    Args:
        distance: The field; it is evaluated near its zero level only.
        resolution: R, at least 2; the centre of cell k is at -1 + (2 k + 1) / R.

    Returns:
        (R, R, R).
    """
    lattice = _cells(resolution)
    traced = _trace(distance, lattice)
    block = np.minimum(np.arange(resolution) // traced.stride, len(traced.inside) - 1)
    inside = traced.inside[np.ix_(block, block, block)]
    inside.reshape(-1)[traced.indices] = traced.values < 0
    return np.asarray(inside, np.bool_)


def cell_centres(cells: Indices, resolution: int) -> Floats:
    """Give the centres of some cells of the grid of `occupancy`.

    Args:
        cells: (M,), their flat numbers in row-major order.
        resolution: R.

    Returns:
        (M, 3).
    """
    return _cells(resolution).coords(cells)


def _cells(resolution: int) -> _Lattice:
    return _Lattice(-1 + 1 / resolution, 2 / resolution, resolution)


def _trace(distance: Distance, lattice: _Lattice) -> _Traced:
    """Evaluate a field wherever it may cross zero."""
    stride = 4 if lattice.count >= 128 else 2
    corners = lattice.every(stride)
    shape = (len(corners),) * 3
    flat = np.ravel_multi_index(np.ix_(corners, corners, corners), (lattice.count,) * 3)
    values = _values(distance, lattice, flat.reshape(-1)).reshape(shape)
    reach = _slope(values, np.diff(corners) * lattice.step)
    reach *= _MARGIN * np.sqrt(3) / 2 * lattice.step
    active = _may_cross(values, reach * stride)
    if lattice.count < 64:
        active[:] = True
    while stride > 2:
        stride //= 2
        values = _refined(distance, lattice, stride, values, active)
        halves = np.arange(len(values) - 1) // 2
        reach = reach[np.ix_(halves, halves, halves)]
        active = _may_cross(values, reach * stride)
    return _follow(distance, lattice, stride, values[:-1, :-1, :-1] <= 0, active)


def _values(distance: Distance, lattice: _Lattice, indices: Indices) -> Floats:
    """Evaluate at points of a lattice (M,), whose coords are made block by block."""
    found = np.empty(len(indices), np.float32)
    for start in range(0, len(indices), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        found[part] = values_at(distance, lattice.coords(indices[part]))
    return found


def _slope(values: Floats, widths: NDArray[np.float64]) -> Floats:
    """Estimate the steepest slope in and around each block from the differences at its edges."""
    squared = np.zeros([size - 1 for size in values.shape], np.float32)
    for axis in range(3):
        shape = [1, 1, 1]
        shape[axis] = -1
        steep = np.abs(np.diff(values, axis=axis)) / widths.reshape(shape).astype(np.float32)
        for other in {0, 1, 2} - {axis}:
            steep = np.maximum(*_ends(steep, other))
        squared += np.square(steep)
    slope = np.sqrt(squared)
    # Where a thin part lies between two points the differences are small: look around, too.
    return np.asarray(np.maximum(maximum_filter(slope, size=3), np.median(slope)), np.float32)


def _may_cross(values: Floats, reach: Floats) -> Bools:
    """Tell which blocks have corners of both signs, or one within reach of zero."""
    inside, least = values <= 0, np.abs(values)
    some, every = inside, inside
    for axis in range(3):
        some = np.logical_or(*_ends(some, axis))
        every = np.logical_and(*_ends(every, axis))
        least = np.minimum(*_ends(least, axis))
    return (some & ~every) | (least <= reach)


def _ends(values: NDArray[Any], axis: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Give the values at the lower and at the upper end of each interval along an axis."""
    before, after = [slice(None)] * 3, [slice(None)] * 3
    before[axis], after[axis] = slice(None, -1), slice(1, None)
    return values[tuple(before)], values[tuple(after)]


def _refined(
    distance: Distance, lattice: _Lattice, stride: int, coarse: Floats, active: Bools
) -> Floats:
    """Give a field at the corners of half as large blocks.

    In blocks that are not active, all that is given is the sign, with an infinite value.
    """
    corners = lattice.every(stride)
    count = len(corners)
    parents = np.minimum(np.arange(count) // 2, len(active) - 1)
    fill = np.where(coarse[:-1, :-1, :-1] <= 0, -np.inf, np.inf).astype(np.float32)
    values = fill[np.ix_(parents, parents, parents)]
    wanted = _points(np.argwhere(active), 2, count)
    axes = np.unravel_index(wanted, values.shape)
    flat = np.ravel_multi_index(tuple(corners[axis] for axis in axes), (lattice.count,) * 3)
    values.reshape(-1)[wanted] = _values(distance, lattice, flat)
    return np.asarray(values, np.float32)


def _points(blocks: Indices, stride: int, count: int) -> Indices:
    """Give the flat indices of a lattice's points in and on blocks (K, 3), ascending."""
    wanted = np.zeros((count,) * 3, np.bool_)
    for step in product(range(stride + 1), repeat=3):
        axes = np.minimum(blocks * stride + np.array(step), count - 1)
        wanted[tuple(axes.T)] = True
    return np.flatnonzero(wanted)


def _follow(
    distance: Distance, lattice: _Lattice, stride: int, inside: Bools, active: Bools
) -> _Traced:
    """Evaluate all points of active blocks, and of those into which their surfaces lead."""
    active = active.copy()
    fresh = np.argwhere(active)
    seen = np.zeros(lattice.count**3, np.bool_)
    indices, values = [np.zeros(0, np.int64)], [np.zeros(0, np.float32)]
    while len(fresh):
        wanted = _points(fresh, stride, lattice.count)
        wanted = wanted[~seen[wanted]]
        seen[wanted] = True
        found = _values(distance, lattice, wanted)
        found /= np.float32(lattice.step)
        found[found == 0] = _NUDGE
        indices.append(wanted)
        values.append(found)
        fresh = _contradicted(lattice, stride, inside, active, wanted, found < 0)
        active[tuple(fresh.T)] = True
    joined = np.concatenate(indices)
    order = np.argsort(joined, kind="stable")
    return _Traced(stride, inside, active, joined[order], np.concatenate(values)[order])


def _contradicted(
    lattice: _Lattice, stride: int, inside: Bools, active: Bools, points: Indices, within: Bools
) -> Indices:
    """Give the blocks (K, 3) that are not active although a point on them has another sign."""
    found = np.zeros_like(active)
    for start in range(0, len(points), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        axes = np.stack(np.unravel_index(points[part], (lattice.count,) * 3), axis=1)
        for step in product((0, 1), repeat=3):
            cells = np.clip(axes - np.array(step), 0, lattice.count - 2)
            blocks = tuple((cells // stride).T)
            wrong = ~active[blocks] & (inside[blocks] != within[part])
            found[tuple(axis[wrong] for axis in blocks)] = True
    return np.argwhere(found)


def _marched(lattice: _Lattice, traced: _Traced) -> Iterator[tuple[NDArray[np.float64], Indices]]:
    """March slab by slab, in the box around the active blocks.

    Yields:
        Vertices in cells, and faces.
    """
    count, stride = lattice.count, traced.stride
    blocks = np.argwhere(traced.active)
    if not len(blocks):
        return
    # All slabs begin alike along the last two axes, so that rounding is the same on both sides.
    low = blocks.min(axis=0) * stride
    high = np.minimum((blocks.max(axis=0) + 1) * stride, count - 1)
    for first in range(0, count - 1, _SLAB):
        low[0], last = first, min(first + _SLAB, count - 1)
        if not traced.active[first // stride : -(-last // stride)].any():
            continue
        volume = _volume(lattice, traced, low, np.array([last, *high[1:]]))
        if volume.min() < 0 < volume.max():
            vertices, faces, *_ = marching_cubes(volume, 0.0, gradient_direction="descent")
            yield vertices.astype(np.float64) + low, faces.astype(np.int64)


def _volume(lattice: _Lattice, traced: _Traced, low: Indices, high: Indices) -> Floats:
    """Give the values from point `low` to point `high`: where none is known, one of the sign."""
    axes = [np.arange(start, stop + 1) for start, stop in zip(low, high, strict=True)]
    blocks = [np.minimum(axis // traced.stride, len(traced.inside) - 1) for axis in axes]
    volume = np.where(traced.inside[np.ix_(*blocks)], -_OUTSIDE, _OUTSIDE)
    plane = lattice.count**2
    ends = np.searchsorted(traced.indices, (low[0] * plane, (high[0] + 1) * plane))
    known, values = traced.indices[slice(*ends)], traced.values[slice(*ends)]
    found = np.stack(np.unravel_index(known, (lattice.count,) * 3), axis=1)
    here = ((found >= low) & (found <= high)).all(axis=1)
    volume[tuple((found[here] - low).T)] = values[here]
    return volume


def _sewn(vertices: NDArray[np.float64], faces: Indices) -> tuple[NDArray[np.float64], Indices]:
    """Join vertices of neighbouring slabs that are the same point of their common plane."""
    on_plane = np.flatnonzero(vertices[:, 0] % _SLAB == 0)
    _, first, inverse = np.unique(
        vertices[on_plane], axis=0, return_index=True, return_inverse=True
    )
    target = np.arange(len(vertices))
    target[on_plane] = on_plane[first[inverse.reshape(-1)]]
    faces = target[faces]
    flat = (np.roll(faces, 1, axis=1) == faces).any(axis=1)
    faces = faces[~flat]
    used, faces = np.unique(faces, return_inverse=True)
    return vertices[used], faces.reshape(-1, 3)
