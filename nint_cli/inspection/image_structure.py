"""Local structure of a signal on a grid: how steep and how fine it is, point by point."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter
from torch import Tensor

from nint_cli.inspection.record import Density
from nint_cli.samplers.base import Selection
from nint_cli.signals.base import GridSignal

MOST = 1 << 22
"""Points up to which a signal is looked at as a whole."""

FEWEST = 10
"""Points that have tenths."""

_WINDOW = 9
_FLAT = 1e-6  # variance of values in [0, 1] below which there is no frequency

Map = NDArray[np.float64]


def values_of(signal: GridSignal) -> Map:
    """Give the values as an array of the grid's shape, and C."""
    _, values = signal.slice(0, len(signal))
    found: Map = values.cpu().double().numpy().reshape(*signal.shape, -1)
    return found


def gradient_magnitude(values: Map) -> Map:
    """Give the length of the gradient by central differences, over all channels.

    Args:
        values: Of the grid's shape, and C.

    Returns:
        Of the grid's shape, in values per grid step.
    """
    axes = tuple(axis for axis in range(values.ndim - 1) if values.shape[axis] > 1)
    parts = [np.square(np.gradient(values, axis=axis)).sum(axis=-1) for axis in axes]
    found: Map = np.sqrt(sum(parts, np.zeros(values.shape[:-1])))
    return found


def local_frequency(values: Map) -> Map:
    """Estimate the frequency around each point, in radians per grid step.

    For a sinusoid of frequency w the mean square of the differences between neighbours is
    (2 sin(w / 2))^2 times its variance; here both are taken over windows of 9 points a side. This
    rises with w up to pi, the finest that a grid holds, where central differences would see
    nothing. What is slower than such a window looks faster than it is, in the right order still.
    Where the signal is flat it is 0.

    Args:
        values: Of the grid's shape, and C.

    Returns:
        Of the grid's shape.
    """
    size = (_WINDOW,) * (values.ndim - 1) + (1,)
    mean, square = uniform_filter(values, size), uniform_filter(np.square(values), size)
    variance = np.clip(square - np.square(mean), 0, None).sum(axis=-1)
    steep = np.clip(uniform_filter(_square_differences(values), size[:-1]), 0, None)
    quotient = np.divide(steep, variance, out=np.zeros_like(steep), where=variance > _FLAT)
    found: Map = np.sqrt(quotient)
    return found


def _square_differences(values: Map) -> Map:
    """Give the squared difference to the neighbours, mean of both sides, sum of axes and channels.

    Args:
        values: Of the grid's shape, and C.

    Returns:
        Of the grid's shape.
    """
    found = np.zeros(values.shape[:-1])
    for axis in range(found.ndim):
        if values.shape[axis] > 1:
            square = np.square(np.diff(values, axis=axis)).sum(axis=-1)
            for side in ((0, 1), (1, 0)):
                width = [side if each == axis else (0, 0) for each in range(found.ndim)]
                found += np.pad(square, width, mode="edge") / 2
    return found


class Tenths:
    """Tenths of all points by a measure, the lowest first.

    Args:
        measure: Of every point; of no fewer than `FEWEST`.
    """

    def __init__(self, measure: Map) -> None:
        flat = measure.reshape(-1)
        _, self._group, self._sizes = np.unique(flat, return_inverse=True, return_counts=True)
        self._order = np.argsort(self._group, kind="stable")

    def mean(self, figures: NDArray[Any]) -> list[float]:
        """Average figures of the points by tenth.

        Points that are equal by the measure share theirs, for no tenth is theirs by right: a
        measure that is the same everywhere gives ten equal means.

        Args:
            figures: (N,).
        """
        shared = (np.bincount(self._group, weights=figures) / self._sizes)[self._group]
        return [float(part.mean()) for part in np.array_split(shared[self._order], 10)]


def density(measure: Map, selections: Sequence[tuple[int, Selection]], name: str) -> Density:
    """Tell on which part of a signal steps trained.

    Args:
        measure: Of every point; of no fewer than `FEWEST`.
        selections: The steps, and what they trained on; indices are row-major.
        name: What the measure is.

    Returns:
        For each step the density of its points in each tenth of all points, by the measure.
    """
    tenths, population, found = Tenths(measure), measure.size, []
    for _, selection in selections:
        counts = np.bincount(selection.indices.cpu().numpy(), minlength=population)
        found.append([part * population / counts.sum() for part in tenths.mean(counts)])
    return Density(measure=name, steps=[step for step, _ in selections], deciles=found)


def stride(height: int, width: int, most: int) -> int:
    """Give the smallest n for which every n-th row and column make no more than `most` points."""
    every = max(1, math.ceil(math.sqrt(height * width / most)))
    while -(-height // every) * -(-width // every) > most:
        every += 1
    return every


def patches(steepness: Map, side: int) -> dict[str, tuple[int, int]]:
    """Choose patches of a picture: the smoothest and the one with most edges.

    Args:
        steepness: (H, W).
        side: Of the patches.

    Returns:
        Row and column of each one's first pixel, by its name.
    """
    height, width = steepness.shape
    rows, columns = height // side, width // side
    tiled = steepness[: rows * side, : columns * side].reshape(rows, side, columns, side)
    means = tiled.mean(axis=(1, 3))
    found = {}
    for name, index in (("smooth", means.argmin()), ("edges", means.argmax())):
        row, column = divmod(int(index), columns)
        found[name] = (row * side, column * side)
    return found


def patch_indices(row: int, column: int, side: int, width: int) -> Tensor:
    """Give the row-major indices of a patch, (side^2,)."""
    rows = torch.arange(row, row + side)[:, None]
    return (rows * width + torch.arange(column, column + side)).reshape(-1)
