"""How close a shape's reconstruction is.

Lengths are in units of the box [-1, 1]^3 in which the shape is fitted. Distances between surfaces
are between random points on them, so that they do not reach zero: for n points on each of two
equal surfaces of area A, the nearest of the other ones is about sqrt(A / n) / 2 away.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

Floats = NDArray[np.float64]

F_SCORE_DISTANCE = 0.02
"""1 % of the box's edge, in units of the box."""


@dataclass(frozen=True)
class SurfaceDistances:
    """How far two surfaces are from each other.

    With d(a) the distance from a point a of one surface to the nearest point b of the other:

    Attributes:
        chamfer_l1: (mean d(a) + mean d(b)) / 2, in units of the box. Source: Mescheder, Oechsle,
            Niemeyer, Nowozin, Geiger, "Occupancy Networks", CVPR 2019.
        chamfer_squared: mean d(a)^2 + mean d(b)^2, in squared units of the box. Source: the
            convention of BACON (Lindell, Van Veen, Park, Wetzstein, CVPR 2022) and FINER (Liu et
            al., CVPR 2024), with 300,000 points there.
        f_score: 2 p r / (p + r) of the shares p and r of points with d below a threshold, in
            [0, 1]; 0 where both are. Source: Knapitsch, Park, Zhou, Koltun, "Tanks and Temples",
            ACM TOG 2017; Tatarchenko et al., CVPR 2019, for the share of the box's edge.
        normal_consistency: Mean |cos| between the normals of nearest points, in [0, 1], average
            of both directions. Source: "Occupancy Networks", as above.
    """

    chamfer_l1: float
    chamfer_squared: float
    f_score: float
    normal_consistency: float


def iou(inside_a: NDArray[np.bool_], inside_b: NDArray[np.bool_]) -> float:
    """Compute the intersection over union of two insides, |a and b| / |a or b|.

    Args:
        inside_a: Any shape, the same as `inside_b`; equal cells.
        inside_b: The other one.

    Returns:
        A number in [0, 1].

    Raises:
        ValueError: If neither has an inside.
    """
    union = np.count_nonzero(inside_a | inside_b)
    if not union:
        raise ValueError("neither shape has an inside on this grid")
    return float(np.count_nonzero(inside_a & inside_b) / union)


def sdf_error(predicted: NDArray[np.floating], true: NDArray[np.floating], band: float) -> float:
    """Compute the mean absolute error of a distance near the surface.

    Args:
        predicted: (N,) signed distances, in units of the box.
        true: (N,), what they should be.
        band: Only points with |true| below this count, in the same units.

    Returns:
        Mean of |predicted - true|, in the same units.

    Raises:
        ValueError: If no point is that close to the surface.
    """
    near = np.abs(true) < band
    if not near.any():
        raise ValueError(f"no point is closer than {band} to the surface")
    difference = predicted[near].astype(np.float64) - true[near].astype(np.float64)
    return float(np.abs(difference).mean())


def surface_distances(
    sample_a: tuple[Floats, Floats],
    sample_b: tuple[Floats, Floats],
    *,
    threshold: float = F_SCORE_DISTANCE,
) -> SurfaceDistances:
    """Compare two surfaces by random points on them.

    Args:
        sample_a: Points (n, 3), uniform by area, in units of the box, and their unit normals.
        sample_b: The same of the other one.
        threshold: Distance below which a point counts for the F-score, in units of the box.

    Returns:
        Distances and normals compared in both directions. A surface without area is refused as
        `sample_surface` does.
    """
    (points_a, normals_a), (points_b, normals_b) = sample_a, sample_b
    a_to_b, nearest_b = cKDTree(points_b).query(points_a, workers=-1)
    b_to_a, nearest_a = cKDTree(points_a).query(points_b, workers=-1)
    cosines = (
        np.abs((normals_a * normals_b[nearest_b]).sum(axis=1)).mean(),
        np.abs((normals_b * normals_a[nearest_a]).sum(axis=1)).mean(),
    )
    close_a, close_b = (a_to_b < threshold).mean(), (b_to_a < threshold).mean()
    both = close_a + close_b
    return SurfaceDistances(
        chamfer_l1=float((a_to_b.mean() + b_to_a.mean()) / 2),
        chamfer_squared=float(np.square(a_to_b).mean() + np.square(b_to_a).mean()),
        f_score=float(2 * close_a * close_b / both) if both else 0.0,
        normal_consistency=float(min(1.0, sum(cosines) / 2)),
    )
