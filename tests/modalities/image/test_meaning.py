"""What pictures of every format mean: the same at 8 and at 16 bits, by whichever decoder."""

import io
import struct
import warnings
import zlib

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from nint_cli.errors import InputError
from nint_cli.modalities.image import meaning
from nint_cli.modalities.image.files import read_picture
from nint_cli.modalities.image.png import encode_picture
from nint_cli.modalities.image.settings import ImageSettings

HEIGHT, WIDTH = 32, 48
_Y, _X = np.mgrid[0:HEIGHT, 0:WIDTH] / np.array([HEIGHT - 1, WIDTH - 1])[:, None, None]
RGB = np.stack([_X, _Y, np.exp(-8 * ((_X - 0.25) ** 2 + (_Y - 0.2) ** 2))], 2)
GREY = (0.7 * _X + 0.3 * _Y * (1 - _X))[..., None]
ALPHA = (0.25 + 0.75 * _Y)[..., None]


def levels(shares, bits=8):
    kind = np.uint8 if bits == 8 else np.uint16
    return np.round(shares * (2**bits - 1)).astype(kind)


def read(path, **settings):
    return read_picture(str(path), ImageSettings(**settings))


def tiff(path, samples, **options):
    tifffile.imwrite(path, samples, metadata=None, **options)
    return path


def said(picture, words):
    return any(words in each for each in picture.conversions)


# TIFF


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("layout", [{}, {"compression": "deflate"}, {"tile": (16, 16)}])
def test_white_is_zero(tmp_path, bits, layout):
    stored = levels(GREY, bits)[..., 0]
    read_back = read(tiff(tmp_path / "a.tif", stored, photometric="miniswhite", **layout))
    np.testing.assert_array_equal(read_back.pixels, levels(1, bits) - stored[..., None])
    assert said(read_back, "inverted")


@pytest.mark.parametrize("white_is_zero", [False, True])
@pytest.mark.parametrize("compression", [None, "ccitt_t6", "packbits"])
@pytest.mark.parametrize("bits", [1, 2, 4])
def test_few_bits_are_spread_over_eight(tmp_path, bits, compression, white_is_zero):
    stored = (np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH) * 7 // 5) % 2**bits
    path = tmp_path / "a.tif"
    if compression == "ccitt_t6":
        if bits > 1:
            pytest.skip("of one bit only")
        Image.fromarray(stored == 1).save(path, compression="group4")
        white_is_zero = False
    else:
        samples = stored.astype(bool if bits == 1 else np.uint8)
        kind = "miniswhite" if white_is_zero else "minisblack"
        options = {} if bits == 1 else {"bitspersample": bits}
        tiff(path, samples, photometric=kind, **options)
    expected = np.round(stored * 255 / (2**bits - 1))
    expected = 255 - expected if white_is_zero else expected
    picture = read(path)
    np.testing.assert_array_equal(picture.pixels[..., 0], expected)
    assert (picture.pixels.dtype, picture.scale.ends) == (np.uint8, (0, 255))


@pytest.mark.parametrize("bits", [10, 12, 14])
def test_packed_bits_are_judged_by_what_they_can_hold(tmp_path, bits):
    stored = np.round(GREY[..., 0] * (2**bits - 1)).astype(np.uint16)
    path = tiff(tmp_path / "a.tif", stored, photometric="minisblack", bitspersample=bits)
    picture = read(path)
    np.testing.assert_array_equal(picture.pixels[..., 0], stored)
    assert picture.scale.ends == (0, 2**bits - 1)
    assert picture.bits == bits
    values = picture.signal().slice(0, HEIGHT * WIDTH)[1].numpy()
    np.testing.assert_allclose(values.reshape(GREY.shape), GREY, atol=2**-bits)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("kind", ["unspecified", "assocalpha", "unassalpha"])
@pytest.mark.parametrize("colours", [RGB, GREY])
@pytest.mark.parametrize("planar", [False, True])
def test_extra_samples(tmp_path, bits, kind, colours, planar):
    shares = colours * ALPHA if kind == "assocalpha" else colours
    stored = levels(np.concatenate([shares, ALPHA], axis=2), bits)
    rgb = colours.shape[2] == 3
    path = tiff(
        tmp_path / "a.tif",
        np.moveaxis(stored, 2, 0) if planar else stored,
        photometric="rgb" if rgb else "minisblack",
        planarconfig="separate" if planar else "contig",
        extrasamples=[kind],
    )
    picture = read(path)
    true = levels(np.concatenate([colours, ALPHA], axis=2), bits)
    assert picture.pixels.shape == true.shape
    assert picture.pixels.dtype == true.dtype
    assert np.abs(picture.pixels.astype(int) - true).max() <= (3 if kind == "assocalpha" else 0)
    assert picture.alpha == (None if kind == "unspecified" else colours.shape[2])
    assert said(picture, "associated alpha divided out") == (kind == "assocalpha")
    assert said(picture, "no stated meaning") == (kind == "unspecified")


def test_where_associated_alpha_is_zero(tmp_path):
    stored = np.array([[[9, 8, 7, 0], [9, 8, 7, 5], [1, 2, 3, 255]]], np.uint8)
    options = {"photometric": "rgb", "extrasamples": ["assocalpha"]}
    found = read(tiff(tmp_path / "a.tif", stored, **options)).pixels
    expected = [[[0, 0, 0, 0], [255, 255, 255, 5], [1, 2, 3, 255]]]
    np.testing.assert_array_equal(found, expected)
    light = stored.astype(np.float32) / 255
    found = read(tiff(tmp_path / "b.tif", light, **options)).pixels
    np.testing.assert_array_equal(found[0, 0], light[0, 0])
    np.testing.assert_allclose(found[0, 1, :3], light[0, 1, :3] * 51, rtol=1e-6)


def test_work_by_rows_is_work_on_the_whole(tmp_path, monkeypatch):
    stored = levels(np.concatenate([RGB * ALPHA, ALPHA], axis=2), 16)
    path = tiff(tmp_path / "a.tif", stored, photometric="rgb", extrasamples=["assocalpha"])
    whole = read(path).pixels
    monkeypatch.setattr(meaning, "_ROWS_BYTES", 1000)
    np.testing.assert_array_equal(read(path).pixels, whole)


@pytest.mark.parametrize("bits", [8, 16])
def test_inks(tmp_path, bits):
    inks = levels(np.concatenate([RGB, 0.5 * ALPHA], axis=2), bits)
    picture = read(tiff(tmp_path / "a.tif", inks, photometric="separated"))
    expected = (1 - RGB) * (1 - 0.5 * ALPHA)
    np.testing.assert_allclose(picture.pixels / levels(1, bits), expected, atol=2 / 2**8)
    assert picture.pixels.dtype == inks.dtype
    assert said(picture, "CMYK converted to RGB")
    five = np.concatenate([inks, levels(ALPHA, bits)], axis=2)
    options = {"photometric": "separated", "extrasamples": ["unassalpha"]}
    picture = read(tiff(tmp_path / "b.tif", five, **options))
    np.testing.assert_array_equal(picture.pixels[..., 3:], levels(ALPHA, bits))
    assert picture.alpha == 3
    path = tiff(tmp_path / "c.tif", inks[..., 0], photometric="minisblack")
    with tifffile.TiffFile(path, mode="r+b") as file:
        file.pages.first.tags["PhotometricInterpretation"].overwrite(5)
    with pytest.raises(InputError, match="inks other than CMYK"):
        read(path)
    with pytest.raises(InputError, match="floating point; convert it to RGB"):
        read(tiff(tmp_path / "d.tif", inks.astype(np.float32), photometric="separated"))


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("kind", ["cielab", "icclab"])
def test_lab_is_what_a_colour_engine_makes_of_it(tmp_path, bits, kind):
    rgb = Image.fromarray(levels(RGB))
    profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    image = ImageCms.profileToProfile(rgb, *profiles, outputMode="LAB")
    lab = np.asarray(image).astype(np.int64)
    lab[..., 1:] = (lab[..., 1:] + 128) % 256 - 128  # as Pillow stores a and b: signed
    stored = lab * (257, 256, 256) if bits == 16 else lab
    if kind == "icclab":
        stored[..., 1:] += 128 * 2 ** (bits - 8)
    samples = (stored % 2**bits).astype(np.uint8 if bits == 8 else np.uint16)
    picture = read(tiff(tmp_path / "a.tif", samples, photometric=kind))
    error = np.abs(picture.pixels / levels(1, bits) - RGB)
    assert error.max() < 0.06  # for Lab has 8 bits
    assert error.mean() < 0.006


@pytest.mark.parametrize("depth", [257, 256, 1, 100])
def test_palettes_of_tiff(tmp_path, depth):
    colours = np.arange(1, 4)[:, None] * np.arange(64)
    stored = (np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH) % 64).astype(np.uint8)
    colour_map = np.zeros((3, 256), np.uint16)
    colour_map[:, :64] = colours * depth
    path = tiff(tmp_path / "a.tif", stored, photometric="palette", colormap=colour_map)
    expected = np.moveaxis(colours[:, stored], 0, 2) * (100 if depth == 100 else 1)
    picture = read(path)
    np.testing.assert_array_equal(picture.pixels, expected)
    assert picture.pixels.dtype == (np.uint16 if depth == 100 else np.uint8)
    assert said(picture, "palette expanded to colours")


@pytest.mark.parametrize("subsampling", [(1, 1), (2, 2)])
def test_tiff_with_jpeg_inside(tmp_path, subsampling):
    options = {"photometric": "rgb", "compression": "jpeg", "subsampling": subsampling}
    picture = read(tiff(tmp_path / "a.tif", levels(RGB), **options))
    assert np.abs(picture.pixels.astype(int) - levels(RGB)).mean() < 2
    deep = np.round(GREY[..., 0] * 4095).astype(np.uint16)
    options = {"photometric": "minisblack", "compression": "jpeg", "bitspersample": 12}
    picture = read(tiff(tmp_path / "b.tif", deep, **options))
    assert np.abs(picture.pixels[..., 0].astype(int) - deep).mean() < 40
    assert picture.scale.ends == (0, 4095)


def test_ycbcr_without_jpeg(tmp_path, capfd):
    Image.fromarray(levels(RGB)).convert("YCbCr").save(tmp_path / "a.tif", compression="tiff_lzw")
    picture = read(tmp_path / "a.tif")
    assert np.abs(picture.pixels.astype(int) - levels(RGB)).max() <= 3
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "u4", "i1", "i2", "i4"])
@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_other_types_become_floating_point(tmp_path, dtype, byteorder):
    whole = dtype[0] != "f"
    stored = (RGB * 100).round().astype(dtype) if whole else (RGB * 5 - 1).astype(dtype)
    path = tiff(tmp_path / "a.tif", stored, photometric="rgb", byteorder=byteorder)
    picture = read(path)
    np.testing.assert_array_equal(picture.pixels, stored.astype(np.float32))
    assert picture.pixels.dtype == np.float32
    assert picture.scale.ends == ((0, 100) if whole else (-1, 4))
    assert said(picture, "fitted and judged by the range")
    assert said(picture, "read as 32-bit floating point") == (dtype != "f4")


def test_floating_point_between_0_and_1_has_that_range(tmp_path):
    picture = read(tiff(tmp_path / "a.tif", RGB.astype(np.float32) * 0.5, photometric="rgb"))
    assert picture.scale.ends == (0, 1)
    picture = read(tmp_path / "a.tif", range="data")
    assert picture.scale.ends == (0, 0.5)


def test_rounding_is_said(tmp_path):
    np.save(tmp_path / "a.npy", np.array([[2**24 + 1, 0]], np.uint32))
    assert said(read(tmp_path / "a.npy"), "rounded to 24 bits")
    np.save(tmp_path / "a.npy", np.array([[2**24, 0]], np.uint32))
    assert not said(read(tmp_path / "a.npy"), "rounded")


@pytest.mark.parametrize("kind", ["assocalpha", "unassalpha"])
def test_alpha_of_32_bits_is_a_share(tmp_path, kind):
    shares = np.concatenate([RGB * (ALPHA if kind == "assocalpha" else 1), ALPHA], axis=2)
    stored = np.round(shares * (2**32 - 1)).astype(np.uint32)
    path = tiff(tmp_path / "a.tif", stored, photometric="rgb", extrasamples=[kind])
    picture = read(path)
    np.testing.assert_allclose(picture.pixels, np.concatenate([RGB, ALPHA], axis=2), atol=1e-6)
    assert said(picture, "as shares of 4294967295")
    laid = read(path, alpha="composite")
    np.testing.assert_allclose(laid.pixels, RGB * ALPHA + 1 - ALPHA, atol=1e-6)
    assert laid.scale.ends == (0, 1)


def test_white_is_zero_at_32_bits(tmp_path):
    stored = np.array([[0, 2**32 - 256, 5 << 20]], np.uint32)
    picture = read(tiff(tmp_path / "a.tif", stored, photometric="miniswhite"))
    expected = (2**32 - stored.astype(np.float64)).astype(np.float32)
    np.testing.assert_array_equal(picture.pixels[..., 0], expected)
    assert said(picture, "inverted")
    shares = np.array([[[0, 2**32 - 1], [2**31, 2**31]]], np.uint32)
    options = {"photometric": "miniswhite", "extrasamples": ["unassalpha"]}
    picture = read(tiff(tmp_path / "b.tif", shares, planarconfig="contig", **options))
    np.testing.assert_allclose(picture.pixels, [[[1, 1], [0.5, 0.5]]], rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_white_is_zero_without_a_full(tmp_path, dtype):
    stored = np.array([[0, 1, -5]], dtype)
    picture = read(tiff(tmp_path / "a.tif", stored, photometric="miniswhite"))
    np.testing.assert_array_equal(picture.pixels[..., 0], stored)
    assert said(picture, "left as they are")


def test_alpha_that_is_no_share_is_not_composited(tmp_path):
    np.save(tmp_path / "a.npy", levels(np.concatenate([RGB, ALPHA], axis=2)).astype(np.int64))
    with pytest.raises(InputError, match=r"a\.npy': its alpha goes up to 255, and full is 1"):
        read(tmp_path / "a.npy", alpha="composite")
    assert read(tmp_path / "a.npy", alpha="drop").pixels.max() == 255
    ringing = np.array([[[0.5, 0.5, 0.5, 1.1], [0.5, 0.5, 0.5, -0.1]]], np.float32)
    np.save(tmp_path / "a.npy", ringing)
    laid = read(tmp_path / "a.npy", alpha="composite").pixels
    np.testing.assert_array_equal(laid, [[[0.5] * 3, [1] * 3]])


@pytest.mark.parametrize("dtype", [np.uint32, np.int64, np.uint64])
def test_the_largest_numbers_are_rounded_without_a_warning(tmp_path, dtype):
    np.save(tmp_path / "a.npy", np.array([[np.iinfo(dtype).max, 0]], dtype))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        picture = read(tmp_path / "a.npy")
    assert picture.pixels.max() == np.float32(np.iinfo(dtype).max)
    assert said(picture, "rounded to 24 bits")


def test_numbers_beyond_32_bit_floats_are_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.array([[1e300, 0]]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(InputError, match=r"row 0, column 0 holds .* beyond 32-bit floats"):
            read(tmp_path / "a.npy")


@pytest.mark.parametrize("orientation", range(2, 9))
def test_orientation_of_what_pillow_turns_itself(tmp_path, orientation):
    image = Image.fromarray(levels(RGB))
    image.convert("YCbCr").save(tmp_path / "a.tif", tiffinfo={274: orientation})
    image.save(tmp_path / "b.tif", tiffinfo={274: orientation})
    picture, other = read(tmp_path / "a.tif"), read(tmp_path / "b.tif")
    assert np.abs(picture.pixels.astype(int) - other.pixels).max() <= 3
    notes = [each for each in picture.conversions if "upright" in each]
    assert notes == [f"turned upright (EXIF orientation {orientation})"]


def test_alpha_beside_a_palette_of_16_bits(tmp_path):
    samples = np.array([[[0, 255], [1, 51]]], np.uint8)
    colours = np.zeros((3, 256), np.uint16)
    colours[:, 1] = 10, 20, 30_000
    tags = [(320, "H", 768, colours.ravel().tolist(), True)]
    options = {"photometric": "minisblack", "extrasamples": ["unassalpha"], "extratags": tags}
    path = tiff(tmp_path / "a.tif", samples, planarconfig="contig", **options)
    with tifffile.TiffFile(path, mode="r+b") as file:
        file.pages.first.tags["PhotometricInterpretation"].overwrite(3)
    expected = [[[0, 0, 0, 65535], [10, 20, 30_000, 51 * 257]]]
    np.testing.assert_array_equal(read(path).pixels, expected)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused_by_its_place(tmp_path, value):
    pixels = RGB.astype(np.float32)
    pixels[20, 3, 1] = value
    with pytest.raises(InputError, match="row 20, column 3 holds NaN, infinity"):
        read(tiff(tmp_path / "a.tif", pixels, photometric="rgb"))


def test_complex_numbers_are_refused(tmp_path):
    tiff(tmp_path / "a.tif", GREY[..., 0].astype(np.complex64), photometric="minisblack")
    with pytest.raises(InputError, match="samples of type complex64"):
        read(tmp_path / "a.tif")


@pytest.mark.parametrize("channels", [5, 7])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_more_than_four_channels(tmp_path, channels, dtype):
    pixels = (np.arange(HEIGHT * WIDTH * channels) % 251).reshape(HEIGHT, WIDTH, channels)
    path = tiff(
        tmp_path / "a.tif", pixels.astype(dtype), photometric="minisblack", planarconfig="contig"
    )
    picture = read(path)
    np.testing.assert_array_equal(picture.pixels, pixels)
    assert picture.alpha is None


# Transparent colours


def png(colour_type, bits, rows, *chunks):
    def chunk(name, body):
        checksum = zlib.crc32(name + body)
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", checksum)

    packed = zlib.compress(b"".join(b"\0" + row for row in rows))
    width = len(rows[0]) * 8 // (bits * {0: 1, 2: 3, 3: 1}[colour_type])
    header = struct.pack(">IIBBBBB", width, len(rows), bits, colour_type, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + b"".join(chunk(*each) for each in chunks)
        + chunk(b"IDAT", packed)
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_a_transparent_grey(tmp_path, bits):
    row = {1: b"\xa5", 2: b"\x1b", 4: b"\x01\x23", 8: bytes(range(4)),
           16: struct.pack(">4H", 0, 1, 2, 258)}[bits]  # fmt: skip
    values = {1: [1, 0, 1, 0, 0, 1, 0, 1], 16: [0, 1, 2, 258]}.get(bits, [0, 1, 2, 3])
    (tmp_path / "a.png").write_bytes(png(0, bits, [row], (b"tRNS", struct.pack(">H", 1))))
    picture = read(tmp_path / "a.png")
    full = 65535 if bits == 16 else 255
    expected = np.array(values) * (1 if bits == 16 else full / (2**bits - 1))
    np.testing.assert_array_equal(picture.pixels[0, :, 0], expected)
    np.testing.assert_array_equal(
        picture.pixels[0, :, 1], np.where(np.array(values) == 1, 0, full)
    )
    assert picture.alpha == 1


@pytest.mark.parametrize("bits", [8, 16])
def test_a_transparent_colour(tmp_path, bits):
    colours = np.array([[1, 2, 3], [1, 2, 4], [3, 2, 1]], np.uint8 if bits == 8 else ">u2")
    key = struct.pack(">3H", 1, 2, 3)
    (tmp_path / "a.png").write_bytes(png(2, bits, [colours.tobytes()], (b"tRNS", key)))
    picture = read(tmp_path / "a.png")
    full = 2**bits - 1
    expected = [[[1, 2, 3, 0], [1, 2, 4, full], [3, 2, 1, full]]]
    np.testing.assert_array_equal(picture.pixels, expected)
    assert picture.alpha == 3


def test_transparency_of_gif(tmp_path):
    indexed = Image.fromarray(np.array([[0, 1], [2, 1]], np.uint8), "P")
    indexed.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    indexed.save(tmp_path / "a.gif", transparency=1)
    picture = read(tmp_path / "a.gif")
    assert picture.pixels[..., 3].tolist() == [[255, 0], [255, 0]]
    assert picture.pixels[0, 0].tolist() == [10, 20, 30, 255]
    grey = Image.fromarray(np.arange(4, dtype=np.uint8).reshape(2, 2))
    grey.info["transparency"] = 2
    buffer = io.BytesIO()
    grey.save(buffer, "GIF", transparency=2)
    (tmp_path / "b.gif").write_bytes(buffer.getvalue())
    assert read(tmp_path / "b.gif").pixels[..., -1].tolist() == [[255, 255], [0, 255]]


# Alpha


def disc():
    y, x = np.mgrid[:256, :256] - 128
    inside = (x**2 + y**2 < 90**2)[..., None]
    return np.where(inside, [255, 0, 0, 255], [0, 255, 0, 0]).astype(np.uint8)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("size", [32, 33, 100])
def test_no_unseen_colour_bleeds_in_shrinking(tmp_path, bits, size):
    pixels = disc() if bits == 8 else disc().astype(np.uint16) * 257
    (tmp_path / "a.png").write_bytes(encode_picture(pixels))
    shrunk = read(tmp_path / "a.png", size=size).pixels
    full = 2**bits - 1
    seen = shrunk[shrunk[..., 3] > 0] / full
    assert len(seen)
    assert seen[:, 0].min() >= 250 / 255
    assert seen[:, 1].max() <= 5 / 255
    assert 0 < (shrunk[..., 3] / full).mean() - np.pi * 90**2 / 256**2 + 0.01 < 0.02


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("colours", [1, 3])
def test_alpha_kept_dropped_and_composited(tmp_path, bits, colours):
    shares = RGB[..., :colours]
    pixels = levels(np.concatenate([shares, ALPHA], axis=2), bits)
    (tmp_path / "a.png").write_bytes(encode_picture(pixels))
    picture = read(tmp_path / "a.png")
    np.testing.assert_array_equal(picture.pixels, pixels)
    assert said(picture, "alpha kept as a channel of its own")
    hash_before = picture.sha256
    picture = read(tmp_path / "a.png", alpha="drop")
    np.testing.assert_array_equal(picture.pixels, pixels[..., :colours])
    assert picture.alpha is None
    assert said(picture, "alpha left out")
    picture = read(tmp_path / "a.png", alpha="composite", background="#ff8000")
    behind = np.array([1, 128 / 255, 0]) if colours == 3 else (0.299 + 0.587 * 128 / 255)
    expected = shares * ALPHA + (1 - ALPHA) * behind
    np.testing.assert_allclose(picture.pixels / (2**bits - 1), expected, atol=1.5 / 255)
    assert said(picture, "laid over #ff8000")
    assert picture.sha256 == hash_before
    white = read(tmp_path / "a.png", alpha="composite").pixels / (2**bits - 1)
    np.testing.assert_allclose(white, shares * ALPHA + 1 - ALPHA, atol=1.5 / 255)


def test_a_background_is_a_colour():
    with pytest.raises(ValueError, match="'reddish' is no colour"):
        ImageSettings(background="reddish")


# Ranges


def test_twelve_bits_in_sixteen(tmp_path):
    stored = levels(GREY, 16) >> 5
    path = tiff(tmp_path / "a.tif", stored[..., 0], photometric="minisblack")
    picture = read(path)
    top = int(stored.max())
    assert said(picture, f"values use 0 to {top} of 65535")
    assert picture.scale.ends == (0, 65535)
    by_data = read(path, range="data")
    assert by_data.scale.ends == (0, top)
    np.testing.assert_array_equal(by_data.pixels, picture.pixels)
    assert by_data.signal().slice(0, HEIGHT * WIDTH)[1].max() == 1
    tiff(path, np.where(stored == top, 32767, stored)[..., 0], photometric="minisblack")
    assert said(read(path), "values use 0 to 32767")
    tiff(path, np.where(stored == top, 32768, stored)[..., 0], photometric="minisblack")
    assert not said(read(path), "values use")


def test_the_range_is_that_of_the_whole_picture(tmp_path):
    pixels = np.zeros((40, 40), np.uint16)
    pixels[3, 5], pixels[20:, 20:] = 3000, 2000
    np.save(tmp_path / "a.npy", pixels)
    picture = read(tmp_path / "a.npy", range="data", size=10)
    assert picture.scale.ends == (0, 3000)
    np.save(tmp_path / "a.npy", pixels / 3000 - 0.5)
    picture = read(tmp_path / "a.npy", size=10)
    assert picture.scale.ends == (-0.5, 0.5)
    assert -0.5 <= picture.pixels.min() < 0.1 < picture.pixels.max() <= 0.5


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_one_value_alone_has_a_range(tmp_path, dtype):
    np.save(tmp_path / "a.npy", np.full((4, 5), 7, dtype))
    picture = read(tmp_path / "a.npy", range="data")
    assert picture.scale.ends == (7, 8)
    assert picture.signal().slice(0, 20)[1].unique().tolist() == [0]


def test_deep_files_of_other_formats(tmp_path):
    deep = np.round(RGB * 1023).astype(np.uint16)
    (tmp_path / "a.avif").write_bytes(imagecodecs.avif_encode(deep, level=100, bitspersample=10))
    picture = read(tmp_path / "a.avif")
    np.testing.assert_array_equal(picture.pixels, deep)
    assert picture.scale.ends == (0, 1023)
    for bits in (12, 16):
        deep = np.round(RGB * (2**bits - 1)).astype(np.uint16)
        (tmp_path / "a.jp2").write_bytes(imagecodecs.jpeg2k_encode(deep, bitspersample=bits))
        picture = read(tmp_path / "a.jp2")
        np.testing.assert_array_equal(picture.pixels, deep)
        assert picture.scale.ends == (0, 2**bits - 1)
