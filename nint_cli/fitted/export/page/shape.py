"""The page of a shape: the mesh of its field's zero level, in few bytes."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from nint_cli.errors import InputError
from nint_cli.fitted.export.page.document import Content, Fact
from nint_cli.fitted.export.page.original import Original
from nint_cli.fitted.export.page.packing import Block
from nint_cli.fitted.fitted import Fitted
from nint_cli.modalities.base import Piece
from nint_cli.modalities.sdf import surface
from nint_cli.modalities.sdf.record import SdfRecord
from nint_cli.modalities.sdf.settings import SdfSettings
from nint_cli.modalities.sdf.subject import field_distance

FINEST = 128
"""Grid points along each edge; twice as many make a page of 10 MB."""

_LEVELS = 65_535
_UNITS = 95  # of a mesh, by the square of the grid's points along an edge


def content(
    fitted: Fitted, _original: Original | None, note: Callable[[str], None], piece: Piece
) -> Content:
    """Return what the page of a shape shows.

    Args:
        fitted: The field.
        note: Told of a mesh that is coarser than the run's.
        piece: Told of the points at which the field is evaluated.

    Returns:
        The content.

    Raises:
        InputError: If the field has no zero level.
    """
    signal = fitted.signal
    assert isinstance(signal, SdfRecord)
    own = _own_resolution(fitted)
    resolution = min(own, FINEST)
    distance = field_distance(fitted.field, signal.half_range, piece)
    mesh = surface.extract(distance, resolution)
    if mesh is None:
        raise InputError(f"'{fitted.path}' has no zero level, so there is no surface to show")
    if resolution < own:
        note(f"the page's mesh is of a grid of {resolution}³ points, the run's of {own}³")
    block = Block()
    low, high = mesh.vertices.min(axis=0), mesh.vertices.max(axis=0)
    span = np.where(high > low, high - low, 1.0)
    places = np.round((mesh.vertices - low) / span * _LEVELS).astype(np.uint16)
    normals = _normals(mesh)
    small = len(mesh.vertices) <= _LEVELS + 1
    document = {
        "kind": "shape",
        "low": low.tolist(),
        "span": span.tolist(),
        "vertices": block.add(places),
        "normals": block.add(np.round(127.5 * normals + 127.5).astype(np.uint8)),
        "faces": block.add(mesh.faces.astype(np.uint16 if small else np.uint32)),
    }
    size = (high - low) * signal.scale
    facts: list[Fact] = [
        ("mesh", f"{len(mesh.faces):,} triangles of the zero level on {resolution}³ points"),
        ("size", " × ".join(f"{edge:.3g}" for edge in size) + " in the input's units"),
    ]
    return Content(document, block, facts)


def cost(fitted: Fitted) -> int:
    """Return about how many units `content` tells its piece of."""
    return _UNITS * min(_own_resolution(fitted), FINEST) ** 2


def _own_resolution(fitted: Fitted) -> int:
    settings = fitted.config.section(fitted.signal.kind)
    assert isinstance(settings, SdfSettings)
    return settings.mc_resolution


def _normals(mesh: surface.Mesh) -> NDArray[np.float64]:
    """Compute the mean direction of each vertex's triangles, weighted by their area.

    The field's gradient, which a hash grid has in steps, shows grains that the surface has not.
    """
    corners = mesh.vertices[mesh.faces]
    areas = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    totals = np.zeros_like(mesh.vertices)
    for corner in range(3):
        np.add.at(totals, mesh.faces[:, corner], areas)
    lengths = np.linalg.norm(totals, axis=1, keepdims=True)
    found: NDArray[np.float64] = totals / np.where(lengths > 0, lengths, 1)
    return found
