"""Which format a picture has, by its first bytes, and what to do with those that are not read."""

import re

from nint_cli.modalities.image.arrays import NPY
from nint_cli.modalities.image.decoded import UnsupportedPicture
from nint_cli.modalities.image.png import SIGNATURE
from nint_cli.modalities.image.raster import FORMATS
from nint_cli.modalities.image.tiff import CAMERA_RAW

HEAD = 4096
"""Bytes that tell a format."""

_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_HEIF = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
_JXL = (b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n")
_HDR = (b"#?RADIANCE", b"#?RGBE")

OTHERS = {
    "PNG": (".png", ".apng"),
    "Netpbm": (".ppm", ".pgm", ".pbm", ".pnm", ".pam", ".pfm"),
    "NumPy array": (".npy",),
    "Radiance HDR": (".hdr", ".rgbe", ".pic"),
    "OpenEXR": (".exr",),
    "JPEG XL": (".jxl",),
    "HEIC": (".heic", ".heif", ".hif"),
}
"""Formats that Pillow does not decode, each with the suffixes of its names."""

SUFFIXES = frozenset(suffix for kind in (*FORMATS.values(), *OTHERS.values()) for suffix in kind)

_MAGICK = "convert it first: magick picture.{0} picture.png"
_RAW = (
    (0, b"FUJIFILMCCD-RAW"),
    (0, b"FOVb"),
    (0, b"\0MRM"),
    (0, b"IIU\0"),
    (0, b"IIRO"),
    (0, b"IIRS"),
    (0, b"MMOR"),
    (6, b"HEAPCCDR"),
    (8, b"CR\x02"),  # in a file that seems to be TIFF
    (4, b"ftypcrx"),
)
# What is told by its first bytes and not read: at which place, what stands there, what it is, and
# the way out.
_FOREIGN: tuple[tuple[int, bytes, str, str], ...] = (
    (0, b"8BPS", "a Photoshop file", _MAGICK.format("psd[0]")),
    (0, b"gimp xcf", "a GIMP file", _MAGICK.format("xcf")),
    (0, b"%PDF", "a PDF document", "convert it first: pdftoppm -png -singlefile page.pdf page"),
    (0, b"%!PS", "a PostScript document", _MAGICK.format("eps")),
    (0, b"DDS ", "a DirectDraw surface", _MAGICK.format("dds")),
    (0, b"\0\0\1\0", "an icon file", _MAGICK.format("ico[0]")),
    (0, b"II\xbc", "a JPEG XR picture", "convert it first: JxrDecApp -i a.jxr -o a.tif"),
    (0, b"SIMPLE  =", "a FITS file", "save its array with numpy.save as .npy"),
    (128, b"DICM", "a DICOM file", "convert it first: dcm2img picture.dcm picture.png"),
    (0, b"\x89HDF\r\n", "an HDF5 file", "save its array with numpy.save as .npy"),
    (0, b"PK\3\4", "a zip archive, as .npz files are", "unpack it first"),
    (0, b"\x1f\x8b", "compressed with gzip", "unpack it first: gunzip picture.gz"),
    (0, b"BPG\xfb", "a BPG picture", "convert it first: bpgdec -o picture.png picture.bpg"),
    (0, b"\x76\x2f\x31\x02", "a deep OpenEXR file", "flatten it first"),
    (0, b"\x1a\x45\xdf\xa3", "a film", "take a frame: ffmpeg -i film.mkv -frames:v 1 frame.png"),
    (4, b"ftyp", "a film", "take a frame: ffmpeg -i film.mp4 -frames:v 1 frame.png"),
)
_SVG = re.compile(rb"^\s*(<\?xml[^>]*>\s*|<!--.*?-->\s*|<!DOCTYPE[^>]*>\s*)*<svg[\s>]", re.DOTALL)


def format_of(head: bytes, suffix: str) -> str:
    """Tell a format by the first bytes of a file.

    Args:
        head: `HEAD` bytes, or all there are.
        suffix: Of its name, which counts for TGA alone, whose files begin with no sign.

    Returns:
        A key of `OTHERS`, ``TIFF``, ``JPEG``, ``TGA``, or ``Pillow`` for what Pillow may know.

    Raises:
        UnsupportedPicture: If it is of a kind that is known, but not read.
    """
    if any(head.startswith(sign, at) for at, sign in _RAW):
        raise UnsupportedPicture(f"it is {CAMERA_RAW}")
    if head.startswith(_TIFF):
        return "TIFF"
    if head.startswith(SIGNATURE):
        return "PNG"
    if head.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if head.startswith(NPY):
        return "NumPy array"
    if head.startswith(b"\x76\x2f\x31\x01"):
        return "OpenEXR"
    if head.startswith(_HDR):
        return "Radiance HDR"
    if head.startswith(_JXL):
        return "JPEG XL"
    if re.match(rb"P[1-7Ff]\s", head):
        return "Netpbm"
    brands = (
        {head[at : at + 4] for at in (8, *range(16, 64, 4))} if head[4:8] == b"ftyp" else set()
    )
    if brands & {b"avif", b"avis"}:
        return "Pillow"
    if brands & _HEIF:
        return "HEIC"
    for at, sign, what, way_out in _FOREIGN:
        if head.startswith(sign, at):
            raise UnsupportedPicture(f"it is {what}; {way_out}")
    if _SVG.match(head):
        raise UnsupportedPicture(
            "it is an SVG drawing; draw it first: rsvg-convert drawing.svg -o drawing.png"
        )
    return "TGA" if suffix.lower() in FORMATS["TGA"] else "Pillow"
