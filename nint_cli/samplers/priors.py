"""What samplers know of a signal before training: edges, anchors, an edge density.

All of it is a pure function of the signal's values, computed once on the CPU by scikit-image, and
never saved, for a resumed run computes the same. Values are taken to lie in [0, 1].

The methods that use these define them for pictures. On a grid with another number of axes than
two the magnitude of the Sobel gradient stands in for Canny's edges; that surrogate is ours. In
one dimension it is |y[k+1] - y[k-1]|. For signed distances at scattered points the points nearest
to the surface stand in; that is ours, too.

Legend: N coordinates, C channels.
"""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nint_cli.signals.base import Signal

Grid = NDArray[np.floating[Any]]
Mask = NDArray[np.bool_]

# OpenCV's Canny, which the released codes call, compares |gx| + |gy| with its thresholds, and
# scikit-image's the Euclidean norm, which is pi / 4 of that on average over all directions. Both
# take the same 3x3 Sobel kernel, so with sigma = 0 the rest is the unit: 255 levels or 1. On
# nine photographs the share of edge pixels is within 4 % of OpenCV's.
_LEVEL = math.pi / 4 / 255
SURROGATE_SHARE = 0.1
"""The share of a signal other than a picture that counts as edge: what Canny finds in pictures."""
_BISECTIONS = 24
# scikit-image divides Sobel's kernels by 4 and takes the root of the squares' mean, not sum.
_SOBEL_SUM = 4 * math.sqrt(2)
_TOLERANCE = 0.2
_ROUNDING = 1e-6


def grey_weights(channels: int) -> tuple[float, ...]:
    """Give the weight of each channel in a picture's grey.

    Args:
        channels: C; 3 is RGB, 4 RGBA, 2 grey with alpha.

    Returns:
        Rec. 601 luma for colour, the first channel otherwise; alpha counts nothing.
    """
    if channels in {3, 4}:
        return (0.299, 0.587, 0.114, 0.0)[:channels]
    return (1.0, *[0.0] * (channels - 1))


def grey(
    blocks: Iterable[tuple[int, Tensor, Tensor]],
    shape: tuple[int, ...],
    *,
    plane: bool | None = None,
) -> Grid:
    """Reduce a signal on a grid to one channel.

    Args:
        blocks: (first index, coords, values) of each block, in order.
        shape: Size of the grid along each axis.
        plane: Whether it is a picture; None: where the shape has two axes.

    Returns:
        float32 in the grid's shape: the grey of a picture, the mean over channels otherwise.
    """
    flat = np.empty(math.prod(shape), np.float32)
    plane = len(shape) == 2 if plane is None else plane
    for start, _, values in blocks:
        channels = values.shape[1]
        even = (1 / channels,) * channels
        weights = grey_weights(channels) if plane else even
        row = values.float() @ torch.tensor(weights, device=values.device)
        flat[start : start + len(row)] = row.cpu().numpy()
    return flat.reshape(shape)


def edges(image: Grid, low: float, high: float, among: Tensor | None = None) -> Tensor:
    """Find edges.

    Args:
        image: One channel.
        low: Canny's lower threshold, as OpenCV's is for 8-bit pictures.
        high: The upper one.
        among: (M,) int64, ascending: the points that count, as `Signal.among`; None for all.

    Returns:
        (E,) int64, ascending, numbered among the points that count: the edge points of a picture
        by Canny's detector; otherwise the tenth of the points with the largest gradient.
    """
    if image.ndim == 2:
        found = _of(_canny(image, low * _LEVEL, high * _LEVEL), among)
        return torch.from_numpy(np.flatnonzero(found))
    return _steepest(image, SURROGATE_SHARE, among)


def anchors(
    image: Grid,
    share: float,
    stream: np.random.Generator,
    *,
    released: bool = False,
    among: Tensor | None = None,
) -> Tensor:
    """Choose the anchors of Expansive Supervision.

    A picture's are Canny's edges, with thresholds under which about that share of pixels is an
    edge and the lower half the upper, dilated by a 2x2 square and thinned at random to the share.

    Args:
        image: One channel.
        share: a, the share of all points to choose at most, in (0, 1].
        stream: Thins at random.
        released: Search the thresholds as the released code does, from Otsu's threshold by a rule
            that need not converge; otherwise by bisection.
        among: (N,) int64, ascending: the points that count, as `Signal.among`; None for all.

    Returns:
        (A,) int64, ascending, A <= int(share N), numbered among the points that count: the
        anchors of a picture; otherwise the int(share N) points with the largest gradient.
    """
    if image.ndim != 2:
        return _steepest(image, share, among)
    from skimage.morphology import dilation

    wanted = int(share * (image.size if among is None else len(among)))
    search = _released_search if released else _bisected
    found = dilation(search(image, share, among), np.ones((2, 2), bool))
    chosen = torch.from_numpy(np.flatnonzero(_of(found, among)))
    if len(chosen) > wanted:
        kept = stream.choice(len(chosen), wanted, replace=False, shuffle=False)
        chosen = chosen[torch.from_numpy(kept)].sort().values
    return chosen


def nearest(blocks: Iterable[tuple[int, Tensor, Tensor]], count: int, share: float) -> Tensor:
    """Choose the points nearest to the surface, for signed distances.

    Args:
        blocks: (first index, coords, values) of each block, in order.
        count: N.
        share: Of all points to choose.

    Returns:
        (int(share N),) int64, ascending.
    """
    distance = torch.empty(count)
    for start, _, values in blocks:
        distance[start : start + len(values)] = values[:, 0].abs()
    wanted = int(share * count)
    return distance.topk(wanted, largest=False, sorted=False).indices.sort().values


def edge_density(image: Grid, *, released: bool = False, among: Tensor | None = None) -> Tensor:
    """Return the cumulative distribution from which Soft Mining restarts its particles.

    The density is the magnitude of the Sobel gradient over its maximum, at least 1e-5.

    Args:
        image: One channel.
        released: Whether to compute it as the released code does for a picture: with black around
            it, which makes its frame an edge, and over the maximum of each column, which makes the
            steepest point of a flat column as likely as that of any other. Otherwise the picture
            is mirrored at its frame, and there is one maximum.
        among: (N,) int64, ascending: the points that count, as `Signal.among`; None for all.

    Returns:
        (N + 1) float64, from 0 to 1: a draw u in [0, 1) means the last point i with cdf[i] <= u,
        numbered among the points that count.
    """
    magnitude = _gradient(image, "constant" if released else "reflect").astype(np.float64)
    highest = magnitude.max(axis=0 if released and image.ndim == 2 else None)
    if released:
        magnitude, highest = _SOBEL_SUM * magnitude, _SOBEL_SUM * highest
    density = _of(np.clip(magnitude / (highest + 1e-7), 1e-5, 1), among)
    cumulative = np.concatenate([[0.0], np.cumsum(density)])
    return torch.from_numpy(cumulative / cumulative[-1])


def _gradient(image: Grid, mode: str = "reflect") -> Grid:
    from skimage.filters import sobel

    magnitude: Grid = np.abs(sobel(image, mode=mode))
    return magnitude


def _of(values: NDArray[Any], among: Tensor | None) -> NDArray[Any]:
    """Return the values at the points that count, flat."""
    flat = values.ravel()
    return flat if among is None else flat[among.cpu().numpy()]


def _steepest(image: Grid, share: float, among: Tensor | None) -> Tensor:
    magnitude = torch.from_numpy(_of(_gradient(image), among))
    return magnitude.topk(int(share * len(magnitude)), sorted=False).indices.sort().values


def _canny(image: Grid, low: float, high: float) -> Mask:
    from skimage.feature import canny

    # A threshold of 0 would make an edge of every flat area.
    low, high = max(low, 1e-6), max(high, 1e-6)
    found: Mask = canny(image, sigma=0, low_threshold=low, high_threshold=high)
    return found


def _bisected(image: Grid, share: float, among: Tensor | None = None) -> Mask:
    """Find the thresholds under which a share of pixels is an edge, within a fifth of it.

    Where no threshold gives it, the next larger share that one gives; all edges where they are
    scarce.
    """
    below, above = 0.0, 4 * math.sqrt(2)  # no gradient of values in [0, 1] is larger
    found = _canny(image, below, below)
    for _ in range(_BISECTIONS):
        if _of(found, among).mean() <= (1 + _TOLERANCE) * share:
            break
        # Most gradients are far smaller than the largest, so the middle is no start.
        threshold = below + (above - below) / 4
        mask = _canny(image, threshold / 2, threshold)
        if _of(mask, among).mean() >= (1 - _TOLERANCE) * share:
            found, below = mask, threshold
        else:
            above = threshold
    return found


def _released_search(image: Grid, share: float, among: Tensor | None = None) -> Mask:
    from skimage.filters import threshold_otsu

    otsu = float(threshold_otsu((image * 255).round().clip(0, 255).astype(np.uint8)))
    factor = 1.0
    for _ in range(100):
        # OpenCV exchanges thresholds that stand in the wrong order, negative ones too.
        low, high = sorted([0.5 * otsu * _LEVEL, factor * otsu * _LEVEL])
        found = _canny(image, low, high)
        mean = _of(found, among).mean()
        if 0.8 * share <= mean <= 1.2 * share:
            break
        factor *= 1 + 15 * (mean - share)
    return found


def grey_of(signal: Signal) -> Grid:
    """Reduce a signal on a grid to one channel; see `grey`.

    Where a part of the grid trains, every other point has the value of the nearest point of that
    part: so no sampler learns what is held out, and the rim of a mask is no edge.
    """
    if signal.among is None:
        return grey(signal.blocks(1 << 18), signal.shape)
    dims = len(signal.shape)
    line = grey(signal.blocks(1 << 18), (len(signal),), plane=dims == 2)
    return line[nearest_among(signal.shape, signal.among)[0]].reshape(signal.shape)


def nearest_among(
    shape: tuple[int, ...], among: Tensor
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Find the nearest of some points of a grid, for every point of it.

    Args:
        shape: Size of the grid along each of its D axes.
        among: (M,) int64, ascending: the points, as `Signal.among`.

    Returns:
        (N,) the number of the nearest one within `among`, and (N,) whether it is further away
        than the next grid point, across corners too.
    """
    from scipy.ndimage import distance_transform_edt

    chosen = among.cpu().numpy()
    elsewhere = np.ones(math.prod(shape), bool)
    elsewhere[chosen] = False
    number = np.cumsum(~elsewhere) - 1
    distance, places = distance_transform_edt(elsewhere.reshape(shape), return_indices=True)
    flat = np.ravel_multi_index(tuple(axis.ravel() for axis in places), shape)
    return number[flat], distance.ravel() > math.sqrt(len(shape)) + _ROUNDING
