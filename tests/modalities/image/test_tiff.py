"""TIFF files: mapped, copied and decoded in parts, always the same pixels."""

import struct
import subprocess
import sys
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageOps

from nint_cli.errors import InputError
from nint_cli.modalities.image import files, tiff
from nint_cli.modalities.image.decoded import as_stored, upright
from nint_cli.modalities.image.files import read_picture
from nint_cli.modalities.image.settings import ImageSettings
from tests.conftest import smooth_pixels

ALPHA = {2: ["unassalpha"], 4: ["unassalpha"]}
LAYOUTS = {
    "whole": {},
    "strips": {"rowsperstrip": 7},
    "tiles": {"tile": (16, 32)},
    "packed": {"compression": "deflate", "rowsperstrip": 7},
    "packed tiles": {"compression": "lzw", "tile": (16, 16), "predictor": True},
    "zstd": {"compression": "zstd"},
}


def write(path, pixels, *, planar=False, **options):
    channels = pixels.shape[2]
    stored = np.moveaxis(pixels, 2, 0) if planar else pixels
    tifffile.imwrite(
        path,
        stored[..., 0] if channels == 1 and not planar else stored,
        photometric="rgb" if channels >= 3 else "minisblack",
        planarconfig=("separate" if planar else "contig") if channels > 1 else None,
        extrasamples=ALPHA.get(channels),
        **options,
    )
    return str(path)


@pytest.mark.parametrize("mapped", [False, True])
@pytest.mark.parametrize("planar", [False, True])
@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_pixels(
    tmp_path, monkeypatch, layout, byteorder, planar, mapped
):
    monkeypatch.setattr(tiff, "MAPPED_BYTES", 0 if mapped else 1 << 40)
    monkeypatch.setattr(tiff, "_READ_BYTES", 500)  # so that there is more than one part
    for channels in (3, 4) if planar else (1, 2, 3, 4):
        for bits in (8, 16) if channels != 2 else (8,):  # Pillow refuses deep grey with alpha
            pixels = smooth_pixels(40, 44, channels, bits)
            path = tmp_path / f"{channels}-{bits}.tif"
            options = {"planar": planar, "byteorder": byteorder, **LAYOUTS[layout]}
            read = read_picture(write(path, pixels, **options))
            np.testing.assert_array_equal(read.pixels, pixels)
            assert read.pixels.dtype == pixels.dtype
            assert read.pixels.flags.c_contiguous
            assert read.pixels.flags.writeable
            assert type(read.pixels) is np.ndarray


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("layout", LAYOUTS)
def test_pictures_are_turned_while_they_are_read(tmp_path, monkeypatch, layout, orientation):
    monkeypatch.setattr(tiff, "MAPPED_BYTES", 0)
    pixels = smooth_pixels(20, 33)
    tag = (274, "H", 1, orientation, True)
    path = write(tmp_path / "a.tif", pixels, extratags=[tag], **LAYOUTS[layout])
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    with Image.open(tmp_path / "a.png") as image:
        expected = np.asarray(ImageOps.exif_transpose(image))
    read = read_picture(path)
    np.testing.assert_array_equal(read.pixels, expected)
    assert read.sha256 == read_picture(str(tmp_path / "a.png")).sha256


@pytest.mark.parametrize("orientation", [0, *range(1, 9), 99])
def test_turning_and_turning_back(orientation):
    pixels = smooth_pixels(5, 7)
    np.testing.assert_array_equal(as_stored(upright(pixels, orientation), orientation), pixels)


def test_a_large_file_is_mapped_and_left_as_it_is(tmp_path, monkeypatch):
    monkeypatch.setattr(tiff, "MAPPED_BYTES", 1)
    path = write(tmp_path / "a.tif", smooth_pixels())
    before = (tmp_path / "a.tif").read_bytes()
    read = read_picture(path)
    assert isinstance(read.pixels.base, np.memmap)
    read.pixels[...] = 0
    assert (tmp_path / "a.tif").read_bytes() == before
    monkeypatch.setattr(tiff, "MAPPED_BYTES", 1 << 40)
    assert not isinstance(read_picture(path).pixels.base, np.memmap)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("bigtiff", [False, True])
def test_a_mapped_file_may_have_any_size(tmp_path, monkeypatch, bits, bigtiff):
    """For it takes no memory; one that is decoded, turned, swapped or shrunk takes it."""
    monkeypatch.setattr(tiff, "MAPPED_BYTES", 1)
    monkeypatch.setattr("nint_cli.modalities.image.files._MOST_BYTES_BESIDE", 0)
    pixels = smooth_pixels(40, 44, bits=bits)
    path = write(tmp_path / "a.tif", pixels, bigtiff=bigtiff)
    np.testing.assert_array_equal(read_picture(path, ImageSettings(max_pixels=10)).pixels, pixels)
    assert read_picture(path, ImageSettings(max_pixels=1760, size=20)).pixels.shape == (18, 20, 3)
    monkeypatch.undo()
    monkeypatch.setattr(tiff, "MAPPED_BYTES", 1)
    too_many = "more than image.max_pixels = 10"
    with pytest.raises(InputError, match=too_many):
        read_picture(path, ImageSettings(max_pixels=10, size=20))
    others = {
        "packed": {"compression": "deflate"},
        "planar": {"planar": True},
        "turned": {"extratags": [(274, 3, 1, 6, True)]},
        **({"swapped": {"byteorder": ">"}} if bits == 16 else {}),
    }
    for name, options in others.items():
        with pytest.raises(InputError, match=too_many):
            read_picture(
                write(tmp_path / f"{name}.tif", pixels, **options), ImageSettings(max_pixels=10)
            )
    monkeypatch.setattr(tiff, "MAPPED_BYTES", pixels.nbytes + 1)
    with pytest.raises(InputError, match=too_many):
        read_picture(path, ImageSettings(max_pixels=10))


@pytest.mark.parametrize("share", [0.3, 0.7, 0.99])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("mapped", [False, True])
def test_files_that_end_early(tmp_path, monkeypatch, layout, share, mapped):
    monkeypatch.setattr(tiff, "MAPPED_BYTES", 0 if mapped else 1 << 40)
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    path = tmp_path / "a.tif"
    write(path, noise, **LAYOUTS[layout])
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    reason = r"damaged or unsupported|no picture of a known kind"
    if share == 0.99 and layout != "packed":  # the others end with their tables, or their pixels
        reason = "ends before its pixels do|no picture of a known kind"
    with pytest.raises(InputError, match=reason):
        read_picture(str(path))


def strips(tmp_path, change):
    """A file of strips whose tables were changed."""
    path = tmp_path / "a.tif"
    write(path, smooth_pixels(40, 44), compression="deflate", rowsperstrip=10)
    with tifffile.TiffFile(path, mode="r+b") as file:
        change(file.pages.first.tags)
    return str(path)


def test_parts_that_are_missing_or_short(tmp_path):
    missing = strips(tmp_path, lambda tags: tags["RowsPerStrip"].overwrite(5))
    with pytest.raises(InputError, match="parts of the picture are missing"):
        read_picture(missing)

    def shorten(tags):
        offsets = tags["StripOffsets"].value
        short = len(imagecodecs.zlib_encode(bytes(44 * 3 * 5)))
        with (tmp_path / "a.tif").open("r+b") as file:
            file.seek(offsets[1])
            file.write(imagecodecs.zlib_encode(bytes(44 * 3 * 5)))
        counts = tags["StripByteCounts"].value
        tags["StripByteCounts"].overwrite((counts[0], short, *counts[2:]))

    with pytest.raises(InputError, match=r"a part holds|damaged"):
        read_picture(strips(tmp_path, shorten))


def test_a_part_that_a_sparse_file_leaves_out_is_black(tmp_path):
    def leave_out(tags):
        for name in ("StripOffsets", "StripByteCounts"):
            tags[name].overwrite((*tags[name].value[:-1], 0))

    read = read_picture(strips(tmp_path, leave_out)).pixels
    expected = smooth_pixels(40, 44)
    expected[30:] = 0
    np.testing.assert_array_equal(read, expected)


def test_every_kind_of_pillow_is_as_pillow_reads_it(tmp_path):
    pixels = smooth_pixels()
    for name, image, options in (
        ("palette", Image.fromarray(pixels).quantize(16), {}),
        ("cmyk", Image.fromarray(pixels).convert("CMYK"), {}),
        ("bilevel", Image.fromarray(pixels).convert("1"), {"compression": "group4"}),
        ("jpeg", Image.fromarray(pixels), {"compression": "jpeg"}),
        ("ycbcr", Image.fromarray(pixels).convert("YCbCr"), {}),
    ):
        path = tmp_path / f"{name}.tif"
        image.save(path, **options)
        with Image.open(path) as opened:
            expected = np.asarray(opened.convert("L" if name == "bilevel" else "RGB"))
        np.testing.assert_array_equal(read_picture(str(path)).pixels.squeeze(), expected)


def retagged(path, **values):
    """Overwrite tags of the first page."""
    with tifffile.TiffFile(path, mode="r+b") as file:
        for name, value in values.items():
            file.pages.first.tags[name].overwrite(value)
    return str(path)


def test_kinds_that_are_not_read(tmp_path):
    path = write(tmp_path / "a.tif", smooth_pixels(channels=1))
    with pytest.raises(InputError, match="a TIFF file of kind LOGL, 8 bits per sample"):
        read_picture(retagged(path, PhotometricInterpretation=32844))
    with pytest.raises(InputError, match="RGB of 1 samples"):
        read_picture(retagged(path, PhotometricInterpretation=2))
    with pytest.raises(InputError, match="a palette is missing"):
        read_picture(retagged(path, PhotometricInterpretation=3))
    for kind in (32803, 34892):
        with pytest.raises(InputError, match=r"a camera's raw file.*darktable-cli"):
            read_picture(retagged(path, PhotometricInterpretation=kind))
    tifffile.imwrite(path, np.zeros((16, 16, 16), np.uint8), volumetric=True, tile=(16, 16, 16))
    with pytest.raises(InputError, match="16 layers"):
        read_picture(path)


# Several pages


def pages(path, *kinds):
    """Pages of different grey, each with its own kind of subfile."""
    with tifffile.TiffWriter(path) as file:
        for number, kind in enumerate(kinds):
            page = np.full((8 + number, 9), number, np.uint8)
            file.write(page, subfiletype=kind, photometric="minisblack", metadata=None)
    return str(path)


def test_reduced_pages_and_masks_are_passed_over(tmp_path):
    path = pages(tmp_path / "a.tif", 1, 1, 0, 0)
    with tifffile.TiffFile(path, mode="r+b") as file:
        file.pages[1].tags["NewSubfileType"].overwrite(4)
    read = read_picture(path)
    assert read.pixels.shape == (10, 9, 1)
    assert {"page 3, the first whole one", "first of 4 frames"} <= set(read.conversions)
    read = read_picture(pages(tmp_path / "a.tif", 2, 2))
    assert read.pixels.shape == (8, 9, 1)
    with pytest.raises(InputError, match="every page says that it is a reduced copy"):
        read_picture(pages(tmp_path / "a.tif", 1, 1))


def test_a_preview_before_the_sensor_is_never_fitted(tmp_path):
    path = tmp_path / "a.dng"
    with tifffile.TiffWriter(path) as file:
        preview = np.zeros((8, 12, 3), np.uint8)
        file.write(preview, photometric="rgb", subfiletype=1, subifds=1, metadata=None)
        sensor = np.zeros((32, 48), np.uint16)
        pattern = [(33421, "H", 2, (2, 2), True), (33422, "B", 4, b"\0\1\1\2", True)]
        file.write(sensor, photometric="cfa", extratags=pattern, metadata=None)
    with pytest.raises(InputError, match="a camera's raw file"):
        read_picture(str(path))
    with tifffile.TiffWriter(path) as file:
        file.write(preview, photometric="rgb", subfiletype=1, subifds=1, metadata=None)
        file.write(sensor, photometric="minisblack", metadata=None)
    assert read_picture(str(path)).pixels.shape == (32, 48, 1)
    write(path, smooth_pixels(), extratags=[(50706, "B", 4, b"\1\4\0\0", True)])
    with pytest.raises(InputError, match="a camera's raw file"):
        read_picture(str(path))


@pytest.mark.parametrize("kind", [0, 1])
def test_a_preview_in_a_page_before_the_sensor_is_never_fitted(tmp_path, kind):
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as file:
        preview = np.zeros((8, 12, 3), np.uint8)
        file.write(preview, photometric="rgb", subfiletype=kind, metadata=None)
        file.write(np.zeros((32, 48), np.uint16), photometric=32803, metadata=None)
    with pytest.raises(InputError, match="a camera's raw file"):
        read_picture(str(path))


@pytest.mark.parametrize("damage", ["tags", "cut"])
def test_a_damaged_page_takes_nothing_from_those_before(tmp_path, damage):
    path = pages(tmp_path / "a.tif", 0, 0, 0)
    with tifffile.TiffFile(path) as file:
        second = file.pages[1].offset
    content = bytearray(Path(path).read_bytes())
    content[second : second + 2] = b"\xff\xff"
    Path(path).write_bytes(content if damage == "tags" else content[: second + 20])
    assert read_picture(path).pixels.shape == (8, 9, 1)


@pytest.mark.parametrize("start", [8, 60_000])
def test_a_file_without_pages(tmp_path, start):
    path = tmp_path / "a.tif"
    path.write_bytes(b"II*\0" + start.to_bytes(4, "little"))
    with pytest.raises(InputError, match="it ends before its first page"):
        read_picture(str(path))


def test_stacks_in_one_page(tmp_path):
    stack = smooth_pixels(24, 32, 3, 16)
    frames = np.moveaxis(stack, 2, 0)
    for name, options in (
        ("shaped", {"metadata": {}, "contiguous": True, "truncate": True}),
        ("imagej", {"imagej": True}),
    ):
        path = tmp_path / f"{name}.tif"
        tifffile.imwrite(path, frames, photometric="minisblack", **options)
        read = read_picture(str(path))
        np.testing.assert_array_equal(read.pixels[..., 0], frames[0])
        assert "first of 3 frames" in read.conversions, name


def test_pages_without_end_are_not_counted(tmp_path, monkeypatch):
    path = pages(tmp_path / "a.tif", *[0] * 5)
    for most, said in ((3, "more than 3"), (4, "more than 4"), (5, "5"), (6, "5")):
        monkeypatch.setattr(tiff, "_MOST_PAGES", most)
        assert f"first of {said} frames" in read_picture(path).conversions
    data = bytearray((tmp_path / "a.tif").read_bytes())
    with tifffile.TiffFile(path) as file:
        last = file.pages[4]
        offset = last.offset + 2 + 12 * len(last.tags)
        data[offset : offset + 4] = struct.pack("<I", file.pages[1].offset)
    (tmp_path / "a.tif").write_bytes(data)
    assert "first of more than 6 frames" in read_picture(path).conversions


def test_reading_holds_the_pixels_once(tmp_path):
    """The growth of a process of its own: 48 MB of pixels, and a little beside them."""
    pixels = np.tile(smooth_pixels(512, 512), (8, 8, 1))
    packed = {"compression": "zstd", "tile": (512, 512)}
    script = (
        "import resource, sys\n"
        "from nint_cli.modalities.image import tiff\n"
        "from nint_cli.modalities.image.files import read_picture\n"
        "tiff.MAPPED_BYTES = tiff._READ_BYTES = 1 << 20\n"
        "small, *large = sys.argv[1:]\n"
        "read_picture(small)\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "for path in large:\n    read_picture(path)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    paths = [
        write(tmp_path / "small.tif", smooth_pixels(64, 64), **packed),
        write(tmp_path / "whole.tif", pixels),
        write(tmp_path / "packed.tif", pixels, **packed),
    ]
    done = subprocess.run(
        [sys.executable, "-c", script, *paths], check=True, capture_output=True, text=True
    )
    assert int(done.stdout) * 1024 < 1.3 * pixels.nbytes


# Writing


def cut(pixels, rows):
    return [pixels[top : top + rows] for top in range(0, len(pixels), rows)]


@pytest.mark.parametrize("rows", [1, 7, 24, 100])
@pytest.mark.parametrize("big", [False, True])
def test_strips_become_a_file_that_reads_back(tmp_path, monkeypatch, rows, big):
    monkeypatch.setattr(tiff, "_BIG_BYTES", 0 if big else 1 << 31)
    for channels, bits in [(1, 8), (2, 8), (3, 8), (4, 8), (1, 16), (3, 16), (4, 16)]:
        pixels = smooth_pixels(channels=channels, bits=bits)
        for name in ("a.tif", "b.tif"):
            with (tmp_path / name).open("x+b") as file:
                tiff.write_tiff(file, iter(cut(pixels, rows)), pixels.shape, pixels.dtype)
        read = read_picture(str(tmp_path / "a.tif"))
        np.testing.assert_array_equal(read.pixels, pixels)
        assert read.pixels.dtype == pixels.dtype
        assert (tmp_path / "a.tif").read_bytes() == (tmp_path / "b.tif").read_bytes()
        with tifffile.TiffFile(tmp_path / "a.tif") as file:
            assert (file.is_bigtiff, file.pages.first.rowsperstrip) == (big, min(rows, 24))
        for name in ("a.tif", "b.tif"):
            (tmp_path / name).unlink()


def test_strips_that_are_no_picture_are_refused(tmp_path):
    pixels = smooth_pixels()
    for strips, reason in (
        (cut(pixels[:-1], 8), "a strip of"),
        (cut(pixels[:16], 8), "strips of 16 rows for a picture of 24"),
        ([*cut(pixels, 8), pixels[:1]], "more strips than"),
        (cut(pixels[:, 1:], 8), "a strip of"),
        (cut(pixels.astype(np.uint16), 8), "a strip of"),
        ([], "strips of 0 rows"),
    ):
        with (tmp_path / "a.tif").open("w+b") as file, pytest.raises(ValueError, match=reason):
            tiff.write_tiff(file, strips, pixels.shape, pixels.dtype)


def test_a_mapped_picture_has_no_limit_of_pixels(tmp_path, monkeypatch):
    monkeypatch.setattr(tiff, "MAPPED_BYTES", 1)
    monkeypatch.setattr(files, "_MOST_BYTES_BESIDE", 10)
    pixels = smooth_pixels(channels=4)
    path = write(tmp_path / "a.tif", pixels)
    settings = ImageSettings(max_pixels=10)
    np.testing.assert_array_equal(read_picture(path, settings).pixels, pixels)
    packed = write(tmp_path / "packed.tif", pixels, compression="deflate")
    inverted = str(tmp_path / "inverted.tif")
    tifffile.imwrite(inverted, pixels[..., 0], photometric="miniswhite")
    for source, more in (
        (path, {"size": 5}), (path, {"alpha": "drop"}), (packed, {}), (inverted, {}),
    ):  # fmt: skip
        with pytest.raises(InputError, match="32x24 pixels are more than"):
            read_picture(source, ImageSettings(max_pixels=10, **more))
