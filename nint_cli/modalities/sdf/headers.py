"""What a mesh file is, and the way to one that is read."""

import re
import struct
import zipfile
from io import BytesIO
from typing import NamedTuple

FORMATS = ("OBJ", "PLY", "STL", "OFF", "GLB", "glTF", "3MF")
SUFFIXES = frozenset(f".{name.lower()}" for name in FORMATS)

_OFF = re.compile(
    rb"(?:\s|#[^\n]*\n)*(?:ST)?C?N?4?n?(?:OFF|off)(?:\s+BINARY\b|(?:\s|#[^\n\r]*[\n\r])*\d+\s+\d+)"
)
_OFF_COUNTS = re.compile(rb"(?:\s|#[^\n]*\n)*\d+[ \t]+\d+[ \t]+\d+\s")
_OBJ = re.compile(rb"^[ \t]*(?:v[ \t]+[-+.\d]|f[ \t]+-?\d)", re.MULTILINE)
_ZIP = {b"PK\x03\x04", b"PK\x05\x06"}
_USD = (".usd", ".usda", ".usdc")


class _Foreign(NamedTuple):
    """A format that is not read: what tells it, and the command that converts it."""

    name: str
    suffixes: str
    content: str
    way_out: str


_ASSIMP = "convert it, as by 'assimp export IN{suffix} OUT.ply'"
_GMSH = "convert it to triangles, as by 'gmsh -2 IN{suffix} -o OUT.stl'"
_MESHIO = "convert it, as by 'meshio convert IN{suffix} OUT.ply'"
_BLENDER = (
    'convert it, as by: blender -b --python-expr "import bpy; '
    "bpy.ops.wm.read_factory_settings(use_empty=True); "
    "bpy.ops.wm.usd_import(filepath='IN{suffix}'); bpy.ops.wm.ply_export(filepath='OUT.ply')\""
)
_UNPACK = "unpack it, and name the mesh"

_FOREIGN = (
    _Foreign("COLLADA", ".dae", r"[^\0]{0,1000}?<COLLADA\b", _ASSIMP),
    _Foreign("FBX", ".fbx", r"Kaydara FBX|; FBX", _ASSIMP),
    _Foreign("3DS", ".3ds", "", _ASSIMP),
    _Foreign("X3D", ".x3d", r"[^\0]{0,1000}?<X3D\b", _ASSIMP),
    _Foreign("VRML", ".wrl .vrml", r"#VRML", _ASSIMP),
    _Foreign("AMF", ".amf", r"[^\0]{0,1000}?<amf\b", _ASSIMP),
    _Foreign("DXF", ".dxf", r"", _ASSIMP),
    _Foreign("STEP", ".step .stp .p21", r"\s*ISO-10303-21", _GMSH),
    _Foreign("IGES", ".iges .igs", "", _GMSH),
    _Foreign("BREP", ".brep", r"\s*(?:DBRep_DrawableShape|CASCADE Topology)", _GMSH),
    _Foreign("USD", " ".join(_USD), r"#usda|PXR-USDC", _BLENDER),
    _Foreign("USDZ", ".usdz", "", _BLENDER),
    _Foreign(
        "Blender",
        ".blend",
        r"BLENDER",
        'export it, as by: blender -b IN.blend --python-expr "import bpy; '
        "bpy.ops.wm.ply_export(filepath='OUT.ply')\"",
    ),
    _Foreign("Draco", ".drc", r"DRACO", "unpack it by 'draco_decoder -i IN.drc -o OUT.ply'"),
    _Foreign("VTK", ".vtk .vtu .vtp", r"# vtk DataFile|[^\0]{0,200}?<VTKFile\b", _MESHIO),
    _Foreign("Gmsh", ".msh", r"\$MeshFormat", _MESHIO),
    _Foreign("tar archive", ".tar .tgz", r"[\s\S]{257}ustar", _UNPACK),
    _Foreign("7z archive", ".7z", r"7z\xbc\xaf\x27\x1c", _UNPACK),
    _Foreign("RAR archive", ".rar", r"Rar!\x1a", _UNPACK),
    _Foreign("bzip2 file", ".bz2", r"BZh[1-9]1AY", _UNPACK),
    _Foreign("xz file", ".xz", r"\xfd7zXZ", _UNPACK),
    _Foreign("Zstandard file", ".zst", r"\x28\xb5\x2f\xfd", _UNPACK),
)


def kind_of(data: bytes, suffix: str) -> str | None:
    """Tell what a mesh file is, by its content where that says it and by its name otherwise.

    Args:
        data: The file's content.
        suffix: Of its name, with the dot.

    Returns:
        One of `FORMATS`, or None for anything else.
    """
    if data[:4] == b"glTF":
        return "GLB"
    if data[:4] in _ZIP:
        return "3MF" if any(name.lower().endswith(".model") for name in _members(data)) else None
    if re.match(rb"ply[ \t]*[\r\n]", data):
        return "PLY"
    named = suffix.removeprefix(".").upper()
    if data[:4096].lstrip()[:1] == b"{" and (named == "GLTF" or b'"asset"' in data):
        return "glTF"
    if _OFF.match(data[:4096]) or (named == "OFF" and _OFF_COUNTS.match(data[:4096])):
        return "OFF"
    if foreign(data, ""):
        return None
    head = data[:65536]
    if head.lstrip().startswith(b"solid") and re.search(rb"\bfacet\b", head):
        return "STL"
    if len(data) > 84 and len(data) == 84 + 50 * struct.unpack_from("<I", data, 80)[0]:
        return "STL"
    if b"\0" not in head and _OBJ.search(head):
        return "OBJ"
    return named if named in {"OBJ", "STL"} else None


def foreign(data: bytes, suffix: str) -> str:
    """Say what a file is that is not read, and how to one that is.

    Args:
        data: The file's content.
        suffix: Of its name, with the dot; left empty, the content alone decides.

    Returns:
        Words that follow "it is"; empty where it is nothing that is known.
    """
    if data[:4] in _ZIP:
        members = _members(data)
        if suffix != ".usdz" and not any(name.endswith(_USD) for name in members[:1]):
            inside = next((name for name in members if not name.endswith("/")), "")
            return f"a zip archive; {_UNPACK}" + (f", '{inside[:80]}' perhaps" if inside else "")
        suffix = ".usdz"
    if data[:2] in {b"\xff\xfe", b"\xfe\xff"} or data[:4] == b"\0\0\xfe\xff" or _is_wide(data):
        return "text in UTF-16 or UTF-32; save it as UTF-8"
    for kind in _FOREIGN:
        by_content = kind.content and re.match(kind.content.encode("latin-1"), data[:2048])
        if by_content or suffix in kind.suffixes.split():
            known = suffix if suffix in kind.suffixes.split() else kind.suffixes.split()[0]
            article = "an" if kind.name[0] in "AFIX" else "a"
            noun = "" if kind.name.endswith(("archive", "file")) else " file"
            return f"{article} {kind.name}{noun}; {kind.way_out.replace('{suffix}', known)}"
    return ""


def _members(data: bytes) -> list[str]:
    """List a zip archive, or pretend that it is a 3MF file where that cannot be."""
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            return archive.namelist()
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError):
        return ["damaged.model"]


def _is_wide(data: bytes) -> bool:
    """Tell UTF-16 without its mark: every other byte is 0, and the others are text."""
    head = data[:200]
    for start in (0, 1):
        letters, zeros = head[start::2], head[1 - start :: 2]
        if len(zeros) > 8 and not any(zeros) and all(9 <= byte < 127 for byte in letters):
            return True
    return False
