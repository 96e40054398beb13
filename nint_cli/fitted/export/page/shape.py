"""The page of a shape: the mesh of its field's zero level, in few bytes."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from nint_cli.errors import InputError
from nint_cli.fields.base import Field
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
_AT_ONCE = 1 << 13


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
    normals = _normals(fitted.field, mesh.vertices * signal.half_range)
    small = len(mesh.vertices) <= _LEVELS + 1
    document = {
        "kind": "sdf",
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
    settings = fitted.config.section("sdf")
    assert isinstance(settings, SdfSettings)
    return settings.mc_resolution


def _normals(field: Field, coords: NDArray[np.float64]) -> NDArray[np.float32]:
    """Give the direction of the field's gradient (V, 3), which points outwards."""
    parts = []
    for part in torch.from_numpy(coords.astype(np.float32)).split(_AT_ONCE):
        points = part.requires_grad_()
        (slope,) = torch.autograd.grad(field(points).sum(), points)
        parts.append(torch.nn.functional.normalize(slope, dim=1))
    found: NDArray[np.float32] = torch.nan_to_num(torch.cat(parts)).numpy()
    return found
