"""Shapes as meshes of any resolution, from their field."""

from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from nint_cli.errors import ConfigError, InputError
from nint_cli.fields.base import Field
from nint_cli.modalities.base import Piece
from nint_cli.modalities.image.png import encode_picture
from nint_cli.modalities.render_request import Rendering, RenderRequest
from nint_cli.modalities.sdf import surface
from nint_cli.modalities.sdf.mesh_files import ENCODERS, encode_mesh
from nint_cli.modalities.sdf.record import SdfRecord
from nint_cli.modalities.sdf.settings import FINEST_GRID, SdfSettings
from nint_cli.modalities.sdf.sphere_tracing import Camera
from nint_cli.modalities.sdf.subject import field_distance

_VIEW = 480, 480
_LARGEST_VIEW = 4096
# Units, as measured for a hash grid after 200 steps: by pixels of a view's shorter side, squared,
# and by the points along an edge of a mesh's grid, squared.
_VIEW_COST = 160
_MESH_COST = 190


def plan(
    record: SdfRecord,
    settings: SdfSettings,
    field: Field,
    request: RenderRequest,
    path: Path | None,
) -> Rendering:
    """Plan the rendering of a shape's mesh, or with `view` of a picture.

    Args:
        record: What the field was fitted to.
        settings: Of the run; its `mc_resolution` holds where no other is asked for.
        field: On the CPU.
        request: What is asked for.
        path: Its suffix decides the kind of file; None where only the mesh is wanted.

    Returns:
        What finds the surface and writes it; without a surface it raises an InputError.

    Raises:
        ConfigError: If the resolution or the kind of file cannot be had.
    """
    if request.view is not None:
        return _view(record, field, request, path)
    if request.size is not None:
        raise ConfigError("--size: of a picture of a shape; give --view AZIMUTH,ELEVATION too")
    kind = "ply" if path is None else path.suffix.lower().removeprefix(".")
    if kind not in ENCODERS:
        kinds = ", ".join(f".{each}" for each in sorted(ENCODERS))
        raise ConfigError(f"'{path}': a shape is written as {kinds}")
    resolution = request.resolution or settings.mc_resolution
    if not 2 <= resolution <= FINEST_GRID:
        raise ConfigError(f"--resolution {resolution}: expected 2 to {FINEST_GRID}")

    def found(piece: Piece) -> surface.Mesh:
        distance = field_distance(field, record.half_range, piece)
        mesh = surface.extract(distance, resolution)
        if mesh is None:
            raise InputError("the field has no surface: all of the box is inside, or all outside")
        return mesh

    def values(piece: Piece) -> tuple[NDArray[np.float64], surface.Indices]:
        mesh = found(piece)
        return mesh.vertices * record.scale + np.array(record.centre), mesh.faces

    def write(file: BinaryIO, piece: Piece) -> None:
        mesh = found(piece)
        file.write(encode_mesh(kind, mesh, record.scale, np.array(record.centre)))

    return Rendering(_MESH_COST * resolution**2, write, values)


def _view(record: SdfRecord, field: Field, request: RenderRequest, path: Path | None) -> Rendering:
    """Plan a shaded picture of a shape."""
    if request.resolution is not None:
        raise ConfigError("--resolution is of a mesh and --view of a picture; leave one out")
    if path is not None and path.suffix.lower() != ".png":
        raise ConfigError(f"'{path}': the view of a shape is written as .png")
    width, height = request.size or _VIEW
    if not (16 <= width <= _LARGEST_VIEW and 16 <= height <= _LARGEST_VIEW):
        raise ConfigError(f"--size {width}x{height}: a side of a view is 16 to {_LARGEST_VIEW}")
    assert request.view is not None
    camera = Camera(*request.view)

    def values(piece: Piece) -> NDArray[np.uint8]:
        # Matplotlib comes with these, which meshes do without.
        from nint_cli.modalities.sdf.pictures import seen_from

        distance = field_distance(field, record.half_range, piece)
        return seen_from(distance, camera, width, height)

    def write(file: BinaryIO, piece: Piece) -> None:
        file.write(encode_picture(values(piece)))

    return Rendering(_VIEW_COST * min(width, height) ** 2, write, values)
