"""Reading the tables of a hash grid, and adding up their gradient.

64 points at a time: their rows and weights on one level stay in the first cache, where PyTorch
would write them for all points and levels and read them again.

`axes` and `features` are tuples, so that their lengths are known when this is compiled.
"""

import numpy as np
from numba import njit, prange

from nint_cli.fields.kernels.options import PARALLEL, SERIAL

_BLOCK = 64


@njit(**SERIAL)
def _corners(coords, axes, level, levels, rows, weights):
    """Find the rows of the corners of each point's cell, and their weights."""
    starts, cells, factors, dense, mask, reach = levels
    hashed = level >= dense
    count = coords.shape[0]
    for i in range(count):
        rows[0, i] = 0
        weights[0, i] = np.float32(1)
    for axis in range(len(axes)):
        last = cells[level, axis]
        scale = coords.dtype.type(last) / (2 * reach)
        factor = factors[level, axis]
        half = 1 << axis
        for i in range(count):
            position = (min(max(coords[i, axis], -reach), reach) + reach) * scale
            cell = min(np.int32(position), np.int32(last - 1))
            inside = np.float32(position - cell)
            low = np.int32(cell * factor)
            high = np.int32(low + factor)
            for k in range(half):
                row, weight = rows[k, i], weights[k, i]
                rows[k + half, i] = row ^ high if hashed else row + high
                rows[k, i] = row ^ low if hashed else row + low
                weights[k + half, i] = weight * inside
                weights[k, i] = weight * (np.float32(1) - inside)
    for k in range(1 << len(axes)):
        for i in range(count):
            rows[k, i] = (rows[k, i] & mask if hashed else rows[k, i]) + starts[level]


@njit(**SERIAL)
def read(part, parts, coords, axes, features, table, levels, out):
    """Interpolate in every level's grid, one part of the points.

    Args:
        part: Which part.
        parts: Number of parts, one per thread.
        coords: (B, D).
        axes: D zeros.
        features: F zeros.
        table: (rows, F) of all levels.
        levels: First row (L,) of each level; cells (L, D) along each axis; factors (L, D),
            strides of dense levels and primes of hashed ones; how many are dense; rows of a hashed
            one, less one; and R: coords are clamped to [-R, R], which the grids span.
        out: (B, L F), written.
    """
    points, corners, width = len(coords), 1 << len(axes), len(features)
    rows = np.empty((corners, _BLOCK), np.int32)
    weights = np.empty((corners, _BLOCK), np.float32)
    end = points * (part + 1) // parts
    for first in range(points * part // parts, end, _BLOCK):
        block = coords[first : min(first + _BLOCK, end)]
        found = out[first : min(first + _BLOCK, end)]
        for level in range(len(levels[0])):
            _corners(block, axes, level, levels, rows, weights)
            for i in range(len(block)):
                for feature in range(width):
                    total = np.float32(0)
                    for k in range(corners):
                        total += weights[k, i] * table[rows[k, i], feature]
                    found[i, level * width + feature] = total


@njit(**SERIAL)
def add_gradient(part, parts, coords, axes, features, total, levels, gradient):
    """Add the gradient by the features (B, L F) to that by the table, `total`: some of the levels.

    See `read`. A level is one thread's, so that none waits for another, and sums have one order.
    """
    points, corners, width = len(coords), 1 << len(axes), len(features)
    rows = np.empty((corners, _BLOCK), np.int32)
    weights = np.empty((corners, _BLOCK), np.float32)
    for level in range(part, len(levels[0]), parts):
        for first in range(0, points, _BLOCK):
            block = coords[first : first + _BLOCK]
            given = gradient[first : first + _BLOCK]
            _corners(block, axes, level, levels, rows, weights)
            for i in range(len(block)):
                for k in range(corners):
                    row, weight = rows[k, i], weights[k, i]
                    for feature in range(width):
                        total[row, feature] += weight * given[i, level * width + feature]


@njit(**SERIAL)
def leverage(part, parts, coords, axes, features, norms, levels, gradient):
    """Write the squared norm of what each point alone adds to the table into `norms` (B,).

    Corners that share a row of a hashed level count as one; see `add_gradient`.
    """
    points, corners, width = len(coords), 1 << len(axes), len(features)
    rows = np.empty((corners, _BLOCK), np.int32)
    weights = np.empty((corners, _BLOCK), np.float32)
    end = points * (part + 1) // parts
    for first in range(points * part // parts, end, _BLOCK):
        block = coords[first : min(first + _BLOCK, end)]
        norms[first : first + len(block)] = 0
        for level in range(len(levels[0])):
            hashed = level >= levels[3]
            _corners(block, axes, level, levels, rows, weights)
            for i in range(len(block)):
                reached = np.float32(0)
                for k in range(corners):
                    reached += weights[k, i] * weights[k, i]
                    if hashed:
                        for other in range(k):
                            same = rows[k, i] == rows[other, i]
                            both = weights[k, i] * weights[other, i]
                            reached += np.float32(2) * both if same else np.float32(0)
                square = np.float32(0)
                for feature in range(width):
                    square += gradient[first + i, level * width + feature] ** 2
                norms[first + i] += reached * square


@njit(**PARALLEL)
def read_all(parts, coords, axes, features, table, levels, out):
    """Run every part of `read`."""
    for part in prange(parts):
        read(part, parts, coords, axes, features, table, levels, out)


@njit(**PARALLEL)
def add_gradient_all(parts, coords, axes, features, total, levels, gradient):
    """Run every part of `add_gradient`."""
    for part in prange(parts):
        add_gradient(part, parts, coords, axes, features, total, levels, gradient)


@njit(**PARALLEL)
def leverage_all(parts, coords, axes, features, norms, levels, gradient):
    """Run every part of `leverage`."""
    for part in prange(parts):
        leverage(part, parts, coords, axes, features, norms, levels, gradient)
