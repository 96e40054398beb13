"""Sound inputs of every kind that nint reads, made on the spot, as small as they can be."""

import contextlib
import io
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import soundfile
import tifffile
import trimesh
from PIL import Image, PngImagePlugin

from nint_cli import cli
from nint_cli.config.schema import SAMPLER_NAMES
from tests.conftest import smooth_pixels

PAIR = ("nint", "uniform")
"""Samplers of two runs that can be compared."""

SMALL_SHAPE = [
    word
    for key in ("points=256", "mc_resolution=8", "iou_resolution=8", "watch_resolution=8",
                "surface_samples=100", "preview_size=16")
    for word in ("--set", f"sdf.{key}")
]  # fmt: skip
"""Settings of a shape that is fitted and measured in a moment."""

Files = dict[str, list[bytes]]
"""Contents by the name, with a suffix, that they are to be read under."""


def pictures() -> Files:
    """PNG, JPEG, TIFF, BMP and WebP, of each the kinds that are decoded differently."""
    colour, grey = smooth_pixels(12, 16), smooth_pixels(12, 16, 1)[:, :, 0]
    alpha = smooth_pixels(12, 16, 4)
    wide = smooth_pixels(12, 16, 3, bits=16)
    image, masked = Image.fromarray(colour), Image.fromarray(alpha)
    exif = Image.Exif()
    exif[0x0112] = 6
    note = PngImagePlugin.PngInfo()
    note.add_text("comment", "x" * 50, zip=True)
    note.add_itxt("title", "y" * 20)
    return {
        "a.png": [
            _saved(image, "PNG", pnginfo=note),
            _saved(masked, "PNG"),
            _saved(image.quantize(8), "PNG", transparency=0),
            _saved(image.convert("1"), "PNG"),
            _saved(image, "PNG", save_all=True, append_images=[image.rotate(90)]),
            bytes(imagecodecs.png_encode(wide)),
            bytes(imagecodecs.png_encode(smooth_pixels(12, 16, 2, bits=16))),
            _saved(Image.fromarray(grey.astype(np.uint16) * 256), "PNG"),
        ],
        "a.jpg": [
            _saved(image, "JPEG", exif=exif),
            _saved(image, "JPEG", progressive=True, comment=b"hello"),
            _saved(image.convert("CMYK"), "JPEG"),
            _saved(image.convert("L"), "JPEG"),
            _saved(image, "MPO", save_all=True, append_images=[image]),
        ],
        "a.tif": [
            _tiff(colour, photometric="rgb"),
            _tiff(colour, photometric="rgb", compression="zlib", predictor=True, byteorder=">"),
            _tiff(colour, photometric="rgb", compression="lzw", rowsperstrip=3, bigtiff=True),
            _tiff(np.moveaxis(wide, 2, 0), photometric="rgb", planarconfig="separate"),
            _tiff(alpha, photometric="rgb", extrasamples=["unassalpha"], tile=(16, 16)),
            _tiff(grey.astype(np.float32)),
            _tiff(np.stack([grey] * 3), photometric="minisblack"),
            _saved(image.convert("1"), "TIFF", compression="group4"),
            _saved(image.quantize(8), "TIFF"),
            _saved(image, "TIFF", compression="jpeg"),
            _saved(image.convert("CMYK"), "TIFF"),
        ],
        "a.bmp": [
            _saved(image, "BMP"),
            _saved(image.quantize(8), "BMP"),
            _saved(image.convert("1"), "BMP"),
            _saved(masked, "BMP"),
        ],
        "a.webp": [
            _saved(image, "WEBP"),
            _saved(masked, "WEBP", lossless=True),
            _saved(image, "WEBP", save_all=True, append_images=[image.rotate(90)]),
        ],
    }


def _saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def _tiff(pixels: np.ndarray, **options: Any) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, **options)
    return file.getvalue()


def sounds() -> Files:
    """Every container that is read, with the encodings that are decoded differently."""
    tone = 0.5 * np.sin(0.1 * np.arange(800))[:, None] * [1.0, 0.5]
    kinds = {
        "a.wav": [("WAV", each) for each in ("PCM_U8", "PCM_16", "PCM_24", "FLOAT", "ULAW",
                                             "IMA_ADPCM", "MS_ADPCM", "GSM610")]
        + [("WAVEX", "PCM_16"), ("RF64", "PCM_16")],
        "a.w64": [("W64", "PCM_16")],
        "a.flac": [("FLAC", "PCM_16"), ("FLAC", "PCM_24")],
        "a.ogg": [("OGG", "VORBIS"), ("OGG", "OPUS")],
        "a.mp3": [("MP3", "MPEG_LAYER_III")],
        "a.aiff": [("AIFF", "PCM_16"), ("AIFF", "FLOAT")],
        "a.au": [("AU", "PCM_16"), ("AU", "FLOAT")],
        "a.caf": [("CAF", "PCM_16"), ("CAF", "ALAC_16"), ("CAF", "FLOAT")],
    }  # fmt: skip
    return {
        name: [_sound(tone, *encoding) for encoding in encodings]
        for name, encodings in kinds.items()
    }


def _sound(tone: np.ndarray, container: str, encoding: str) -> bytes:
    file = io.BytesIO()
    rate = 48_000 if encoding == "OPUS" else 8_000
    shown = tone[:, 0] if encoding == "GSM610" else tone
    soundfile.write(file, shown, rate, encoding, format=container)
    return file.getvalue()


def meshes() -> Files:
    """Every format of meshes that is read, as text and as binary where there are both."""
    box = trimesh.creation.box((2, 1, 1))
    two = trimesh.Scene([box, trimesh.creation.icosphere(0).apply_translation((5, 0, 0))])
    quads = "OFF\n8 1 0\n" + "".join(f"{x} {y} {z}\n" for x, y, z in box.vertices) + "4 0 1 3 2\n"
    return {
        "a.obj": [_mesh(box, "obj"), _mesh(two, "obj"), _polygons()],
        "a.ply": [_mesh(box, "ply"), _mesh(box, "ply", encoding="ascii")],
        "a.stl": [_mesh(box, "stl"), _mesh(box, "stl_ascii")],
        "a.off": [_mesh(box, "off"), quads.encode()],
        "a.glb": [_mesh(box, "glb"), _mesh(two, "glb")],
        "a.3mf": [_mesh(two, "3mf")],
    }


def _mesh(mesh: Any, kind: str, **options: Any) -> bytes:
    found = mesh.export(file_type=kind, **options)
    return found.encode() if isinstance(found, str) else found


def _polygons() -> bytes:
    corners = [(x, y, z) for x in (0, 2) for y in (0, 1) for z in (0, 1)]
    sides = ("1 2 4 3", "5 7 8 6", "1 5 6 2", "3 4 8 7", "1 3 7 5", "2 6 8 4")
    lines = ["# six sides", "o box", *(f"v {x} {y} {z}" for x, y, z in corners)]
    return "\n".join([*lines, *(f"f {side}" for side in sides), ""]).encode()


def configurations() -> list[bytes]:
    """Presets and what YAML can do besides."""
    folder = Path(__file__).parents[2] / "configs"
    found = [path.read_bytes() for path in sorted(folder.rglob("*.yaml"))]
    return [
        *found,
        b"a: &a [1, 2]\nsteps: *a\n",
        b'steps: 1_0\nfield: "siren"\nbatch: {size: 1}\n',
    ]


def run_folders(root: Path, *, every: bool) -> dict[str, Path]:
    """Fit something tiny by two samplers: a picture, and a sound and a shape, too.

    Args:
        root: Where to.
        every: Whether to fit more than the picture, and it by every sampler.

    Returns:
        Run folders by modality and sampler.
    """
    root.mkdir(parents=True)
    Image.fromarray(smooth_pixels(12, 16)).save(root / "a.png")
    soundfile.write(root / "a.wav", 0.5 * np.sin(0.1 * np.arange(400)), 8_000)
    (root / "a.ply").write_bytes(_mesh(trimesh.creation.box((2, 1, 1)), "ply"))
    words: dict[str, list[Any]] = {
        f"image {name}": ["image", root / "a.png", "--sampler", name]
        for name in (SAMPLER_NAMES if every else PAIR)
    }
    for name in PAIR if every else ():
        words[f"audio {name}"] = ["audio", root / "a.wav", "--sampler", name]
        words[f"sdf {name}"] = ["sdf", root / "a.ply", "--sampler", name, *SMALL_SHAPE]
    found = {name: _fit(root / name.replace(" ", "-"), *each) for name, each in words.items()}
    for name, path in found.items():
        if name.endswith(PAIR[0]):
            code, said = quietly("inspect", path, "--points", 16)
            assert code == 0, said
    return found


def _fit(path: Path, *words: Any) -> Path:
    tiny = ["--set", "siren.hidden_features=8", "--set", "evaluation.selections=true"]
    code, said = quietly("fit", *words, "--preset", "smoke", *tiny, "-o", path)
    assert code == 0, said
    return path


def quietly(*words: Any) -> tuple[int, str]:
    """Run a command; give its exit code and what it said on stderr."""
    said = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
        code = cli.run([str(word) for word in words])
    return code, said.getvalue()
