"""What of a shape's surface bounds nothing, and where the shape is thinner than a grid.

Both are found at random points of the surface, before a fit.
"""

import math

import numpy as np
from numpy.typing import NDArray

from nint_cli.modalities.sdf.distance import DistanceField, Numbers
from nint_cli.modalities.sdf.shape import Points, sample_surface

WORTH_SAYING = 0.01
"""Share of a surface from which on it matters that it bounds nothing, or is thin."""

_POINTS = 1024
_ROUNDS = 16  # of draws
_ASIDE = 1e-5  # how far outside quick winding numbers are right
_FAR_LESS = 1e-9  # the same of exact ones
_CENTRED = 0.9  # a ball in the middle between walls that face each other touches both, or nearly


def share_within(field: DistanceField) -> float:
    """Estimate the share of a surface that bounds nothing.

    Such is a wall within bodies that overlap, a sheet in the air, or the part next to a hole where
    the winding number, which tells what is inside, has its boundary elsewhere.

    Args:
        field: Of the shape.

    Returns:
        The share, of 1,024 points.
    """
    points, normals = _surface(field, _POINTS, np.random.default_rng(0))
    outside = field.winding_number(points + _ASIDE * normals)
    within = np.flatnonzero(_bounds_nothing(field, outside))
    if 0 < len(within) < _POINTS // 16:  # a few may be at sharp edges
        exact = field.exact_winding_number(points[within] + _FAR_LESS * normals[within])
        within = within[_bounds_nothing(field, exact)]
    return len(within) / _POINTS


def sample_boundary(
    field: DistanceField, count: int, generator: np.random.Generator
) -> tuple[Points, Points]:
    """Draw points of a surface where the inside is on one side and not on the other.

    Args:
        field: Of the shape.
        count: How many points.
        generator: The randomness.

    Returns:
        (count, 3) points, uniform by area, and the unit normals there; fewer of a surface that
        hardly bounds anything.

    Raises:
        ValueError: If none was found.
    """
    found: list[tuple[Points, Points]] = []
    missing = count
    for _ in range(_ROUNDS):
        points, normals = _surface(field, max(missing, _POINTS), generator)
        bounds = ~_bounds_nothing(field, field.winding_number(points + _ASIDE * normals))
        found.append((points[bounds][:missing], normals[bounds][:missing]))
        missing -= len(found[-1][0])
        if not missing:
            break
    if missing == count:
        raise ValueError("no part of the input's surface has the inside on one side only")
    return np.concatenate([p for p, _ in found]), np.concatenate([n for _, n in found])


def thin_note(field: DistanceField, resolution: int, most: int) -> str | None:
    """Say what grid would draw a shape's thin walls, where one does not.

    Args:
        field: Of the shape.
        resolution: Points along each edge of the box.
        most: The finest grid that there can be.

    Returns:
        A line, or None if no wall is thinner than the grid is wide.
    """
    points, normals = _surface(field, _POINTS, np.random.default_rng(0))
    through = field.through(points, normals)
    step = 2 / (resolution - 1)
    thin = np.flatnonzero(through < step)
    half = through[thin] / 2
    # Towards a sharp edge any body is thin; there the ball between the two sides touches one only.
    thin = thin[field.unsigned(points[thin] - half[:, None] * normals[thin]) > _CENTRED * half]
    if len(thin) < WORTH_SAYING * _POINTS:
        return None
    thickness = float(np.quantile(through[thin], 0.05))
    needed = math.ceil(2 * math.sqrt(3) / thickness) + 1  # a point in every ball that fits in
    scale = field.shape.scale
    return (
        f"{len(thin) / _POINTS:.0%} of the surface bounds walls, {thickness * scale:.3g} thick, "
        f"that are thinner than a step of the reconstruction's grid, {step * scale:.3g}, and may "
        f"be torn or missing there; they need {_resolution_words(needed, most)}"
    )


def _resolution_words(needed: int, most: int) -> str:
    """Name the flag, or say that there is none."""
    if needed <= most:
        return f"--mc-resolution {needed}"
    return f"{needed} points along each edge, and --mc-resolution {most} is the most there is"


def _surface(
    field: DistanceField, count: int, generator: np.random.Generator
) -> tuple[Points, Points]:
    return sample_surface(field.shape.vertices, field.shape.faces, count, generator)


def _bounds_nothing(field: DistanceField, outside: Numbers) -> NDArray[np.bool_]:
    """Tell where both sides of a surface are inside, or neither.

    Args:
        field: Of the shape.
        outside: (M,) winding numbers just outside of the surface; just inside, there is 1 more.

    Returns:
        (M,).
    """
    return np.asarray(field.is_inside(outside) == field.is_inside(outside + 1))
