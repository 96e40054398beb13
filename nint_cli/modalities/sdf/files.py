"""Mesh files to shapes.

The readers of `formats` decode; whatever they give is checked and repaired here.
"""

import codecs
import hashlib
from pathlib import Path

import numpy as np

from nint_cli.errors import InputError
from nint_cli.modalities.sdf import mesh_repair, sample_meshes
from nint_cli.modalities.sdf.formats import gltf, obj, off, ply, stl, threemf
from nint_cli.modalities.sdf.formats.parts import Part
from nint_cli.modalities.sdf.formats.reading import Reading, Unsupported, gunzipped
from nint_cli.modalities.sdf.headers import FORMATS, foreign, kind_of
from nint_cli.modalities.sdf.shape import BOX_SHARE, Faces, Points, Shape
from nint_cli.signals.source import MOST_STREAMED, SAMPLE_PREFIX, read_up_to

_READERS = {
    "OBJ": obj.read,
    "PLY": ply.read,
    "STL": stl.read,
    "OFF": off.read,
    "GLB": gltf.read,
    "glTF": gltf.read,
    "3MF": threemf.read,
}

# Below this thickness, of a box of length 2, a mesh is a plane with the rounding of float32; below
# this volume, nothing is inside it.
_PLANE = 1e-6
_NO_VOLUME = 1e-9
_SMALLEST, _LARGEST = 1e-290, 1e290


def read_shape(
    source: str, *, max_faces: int = 5_000_000, require_watertight: bool = False
) -> Shape:
    """Read a mesh, put all its parts in place, repair it, and bring it to the box.

    Parts may overlap: their union is what is meant.

    Args:
        source: A file of one of `FORMATS`, perhaps packed by gzip, or ``sample:NAME``.
        max_faces: Refuse a mesh with more, where the file tells their number before it is decoded.
        require_watertight: Refuse a mesh with holes, which the winding number closes otherwise.

    Returns:
        The shape.

    Raises:
        InputError: If it cannot be read; says why and, where there is a way, what to do.
    """
    conversions: list[str] = []
    try:
        if source.startswith(SAMPLE_PREFIX):
            vertices, faces = sample_meshes.solid(source.removeprefix(SAMPLE_PREFIX))
        else:
            vertices, faces = _joined(_parts(source, max_faces, conversions), conversions)
        shape = _shape(vertices, faces, conversions)
    except Unsupported as error:
        raise InputError(f"cannot use '{source}': {error}") from None
    if require_watertight and not shape.watertight:
        raise InputError(
            f"cannot use '{source}': it is not watertight ({_openness(shape.holes)}); close it, "
            "or drop sdf.require_watertight"
        )
    return shape


def _parts(source: str, max_faces: int, conversions: list[str]) -> list[Part]:
    """Read a file, unpack it where it is packed, and decode it."""
    path = Path(source)
    reading = Reading(max_faces, path.parent, conversions)
    data, suffix = _content(path, source, reading), path.suffix.lower()
    try:
        if data[:2] == b"\x1f\x8b":
            data = b"".join(reading.inflated(gunzipped(data), len(data)))
            suffix = Path(path.stem).suffix.lower() if suffix == ".gz" else suffix
            conversions.append("unpacked by gzip")
        data = data.removeprefix(codecs.BOM_UTF8)
        kind = kind_of(data, suffix)
        if kind is None:
            what = foreign(data, suffix)
            kinds = ", ".join(FORMATS)
            raise Unsupported(
                f"it is {what}"
                if what
                else f"no mesh of a known kind ({kinds}); save it as one of these"
            )
        if suffix and suffix != f".{kind.lower()}":
            conversions.append(f"read as {kind}, whatever its name says")
        with np.errstate(all="ignore"):  # of numbers that are none, which are refused later
            parts = _READERS[kind](data, reading)
        return [part for part in parts if len(part[1])]
    except (Unsupported, MemoryError):
        raise
    except ImportError as error:
        raise InputError(
            f"cannot read '{source}': its concave polygons need a package that is not installed "
            f"({error.name}); pip install 'nint[sdf]', or save it in triangles"
        ) from error
    except Exception as error:  # whatever a decoder makes of damaged data
        reason = " ".join(str(error).split()) or type(error).__name__
        if isinstance(error, LookupError):  # whose text is a bare name, or a library's
            reason = f"it names something that is not there: {reason}"
        raise InputError(f"cannot read '{source}': damaged or unsupported ({reason})") from error


def _content(path: Path, source: str, reading: Reading) -> bytes:
    """Read a file to its end, or to the bound."""
    try:
        most = reading.most_bytes
        if path.exists() and not path.is_file():
            most = min(most, MOST_STREAMED)
        data = read_up_to(path, most)
    except IsADirectoryError:
        raise InputError(f"cannot read '{source}': it is a folder; name a mesh") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"cannot read '{source}': {reason}") from error
    if not data:
        raise InputError(f"cannot read '{source}': the file is empty")
    if len(data) > most < reading.most_bytes:
        raise Unsupported(f"a stream of more than {most:,} bytes; save it as a file first")
    reading.check_bytes(len(data))
    return data


def _joined(parts: list[Part], conversions: list[str]) -> Part:
    if not parts:
        raise Unsupported("no triangles in it; points and lines have no inside")
    if len(parts) > 1:
        conversions.append(f"{len(parts)} parts joined, each in its place")
    starts = np.cumsum([0, *(len(vertices) for vertices, _ in parts)])
    return (
        np.concatenate([vertices for vertices, _ in parts]),
        np.concatenate([faces + start for (_, faces), start in zip(parts, starts, strict=False)]),
    )


def _shape(vertices: Points, faces: Faces, conversions: list[str]) -> Shape:
    """Check, hash, normalise and repair."""
    wrong = ~np.isfinite(vertices).all(axis=1)
    if wrong.any():
        raise Unsupported(
            f"{wrong.sum():,} vertices are not finite, first vertex {int(wrong.argmax())}"
        )
    digest = hashlib.sha256(f"{vertices.shape} {faces.shape}".encode())
    for array in (vertices, faces):
        digest.update(np.ascontiguousarray(array).data)
    vertices, centre, scale = _normalised(vertices, faces)
    vertices, faces, edges = _mended(vertices, faces, conversions)
    if not edges.closed:
        conversions.append(
            f"not watertight ({_openness(edges.holes())}): what is inside is where the winding "
            "number is above one half"
        )
    return Shape(
        np.ascontiguousarray(vertices),
        np.ascontiguousarray(faces),
        centre,
        scale,
        digest.hexdigest(),
        edges.closed,
        edges.holes(),
        tuple(conversions),
    )


def _openness(holes: int) -> str:
    if not holes:
        return "faces that do not match along their edges"
    return f"{holes} hole" + "s" * (holes > 1)


def _normalised(vertices: Points, faces: Faces) -> tuple[Points, Points, float]:
    """Bring the longest side of what the faces use to 2 BOX_SHARE, centred at 0."""
    used = vertices[np.unique(faces)]
    low, high = used.min(axis=0), used.max(axis=0)
    centre = low / 2 + high / 2  # which cannot overflow, as the sum could
    half = float((high / 2 - low / 2).max())
    if half == 0:
        raise Unsupported("no triangles in it: all vertices are one point")
    if not _SMALLEST < half < _LARGEST:
        raise Unsupported(f"a size of {half:.0e} is beyond what float64 can scale")
    scale = half / BOX_SHARE
    return (vertices - centre) / scale, centre, scale


def _mended(
    vertices: Points, faces: Faces, conversions: list[str]
) -> tuple[Points, Faces, mesh_repair.Edges]:
    """Drop what has no area or is there twice, and turn the outside out."""
    before = len(faces)
    vertices, faces = mesh_repair.weld(vertices, faces)
    faces = mesh_repair.without_points(faces)
    edges = mesh_repair.Edges.of(faces) if len(faces) else None
    sound = mesh_repair.without_lines(vertices, faces)
    if before > len(sound):
        conversions.append(f"{before - len(sound):,} degenerate faces dropped")
    if not len(sound) or edges is None:
        raise Unsupported("no triangles in it: all its faces are degenerate")
    single = mesh_repair.without_copies(faces)
    if len(single) < len(faces):
        conversions.append(f"{len(faces) - len(single):,} faces dropped that were there twice")
        edges = mesh_repair.Edges.of(single)
    faces = single
    if (edges.balance[edges.count == 2] != 0).any():
        turned = mesh_repair.oriented(faces, edges)
        conversions.append(
            f"{(turned != faces).any(axis=1).sum():,} faces turned over to match their neighbours"
        )
        faces, edges = turned, mesh_repair.Edges.of(turned)
    if mesh_repair.thickness(vertices) < _PLANE:
        raise Unsupported("it is flat, and nothing is inside; only solids can be fitted")
    volume = mesh_repair.signed_volume(vertices, faces, edges.rim())
    if abs(volume) < _NO_VOLUME:
        raise Unsupported("its volume is zero, and nothing is inside; only solids can be fitted")
    if volume < 0:
        faces = faces[:, ::-1]
        conversions.append("turned inside out, as its faces had their outside in")
    return *mesh_repair.weld(vertices, mesh_repair.without_lines(vertices, faces)), edges
