"""Formats beyond PNG, JPEG and TIFF: told by their first bytes, read or refused with a way out."""

import io
import os
import struct
import sys
import threading

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from nint_cli.errors import InputError
from nint_cli.modalities.image.files import held_picture, read_picture
from nint_cli.modalities.image.settings import ImageSettings
from nint_cli.modalities.quiet import standard_error_closed
from tests.conftest import smooth_pixels

OpenEXR = pytest.importorskip("OpenEXR")
pillow_heif = pytest.importorskip("pillow_heif")

DEEP = smooth_pixels(channels=3, bits=16)
LIGHT = (DEEP / 20_000).astype(np.float32)


def read(path, **settings):
    return read_picture(str(path), ImageSettings(**settings))


def written(path, content):
    path.write_bytes(content)
    return path


def refused(path, reason, **settings):
    with pytest.raises(InputError, match=reason) as caught:
        read(path, **settings)
    assert "\n" not in str(caught.value)


def said(picture, words):
    return any(words in each for each in picture.conversions)


# Formats of Pillow


@pytest.mark.parametrize("suffix", ["gif", "avif", "jp2", "ppm", "tga", "pcx", "qoi", "bmp"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_formats_of_eight_bits(tmp_path, suffix, channels):
    unknown = {1: {"qoi"}, 4: {"ppm", "pcx", "bmp", "gif"}}
    if suffix in unknown.get(channels, ()):
        pytest.skip("not in this format")
    pixels = smooth_pixels(channels=channels)
    if suffix == "gif":
        pixels = pixels[..., :1].repeat(channels, axis=2)
    path = tmp_path / f"a.{suffix}"
    options = {"avif": {"quality": 100, "subsampling": "4:4:4"}}.get(suffix, {})
    Image.fromarray(pixels.squeeze()).save(path, **options)
    picture = read(path)
    found = picture.pixels if picture.pixels.shape == pixels.shape else picture.pixels[..., :1]
    assert np.abs(found.astype(int) - pixels).max() <= (4 if suffix == "avif" else 0)
    assert not said(picture, "whatever its name says")


def test_the_first_of_a_phone_s_two_pictures(tmp_path):
    frames = [Image.fromarray(smooth_pixels(24, 32)), Image.fromarray(smooth_pixels(12, 16))]
    frames[0].save(tmp_path / "a.jpg", "MPO", save_all=True, append_images=frames[1:])
    picture = read(tmp_path / "a.jpg")
    assert picture.pixels.shape == (24, 32, 3)
    assert picture.conversions == ("first of 2 frames",)


def test_tga_needs_its_name(tmp_path):
    buffer = io.BytesIO()
    Image.fromarray(smooth_pixels()).save(buffer, "TGA")
    assert read(written(tmp_path / "a.tga", buffer.getvalue())).pixels.shape == (24, 32, 3)
    refused(written(tmp_path / "a.png", bytes(1000)), "no picture of a known kind")


# JPEG that Pillow does not open


@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_of_twelve_bits_and_without_loss(tmp_path, channels):
    deep = np.ascontiguousarray((DEEP[..., :channels] >> 4).squeeze())
    content = imagecodecs.jpeg8_encode(deep, bitspersample=12, level=100)
    picture = read(written(tmp_path / "a.jpg", content))
    assert np.abs(picture.pixels.squeeze().astype(int) - deep).mean() < 50
    assert picture.scale.ends == (0, 4095)
    refused(tmp_path / "a.jpg", "more than image.max_pixels", max_pixels=700)
    exif = Image.Exif()
    exif[0x0112] = 6
    body = exif.tobytes()
    body = body if body.startswith(b"Exif") else b"Exif\0\0" + body
    segment = b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body
    turned = read(written(tmp_path / "b.jpg", content[:2] + segment + b"\xff" + content[2:]))
    np.testing.assert_array_equal(turned.pixels, np.rot90(picture.pixels, 3))
    lossless = imagecodecs.jpeg8_encode(DEEP[..., 0].copy(), lossless=True, bitspersample=16)
    picture = read(written(tmp_path / "c.jpg", lossless))
    np.testing.assert_array_equal(picture.pixels[..., 0], DEEP[..., 0])
    refused(written(tmp_path / "d.jpg", lossless[:400]), "damaged or unsupported")


# Netpbm


@pytest.mark.parametrize("maximum", [1, 15, 100, 255, 1023, 65535])
@pytest.mark.parametrize("magic", ["P2", "P3", "P5", "P6", "P7"])
def test_netpbm_of_any_number_of_levels(tmp_path, magic, maximum):
    channels = {"P2": 1, "P5": 1}.get(magic, 3)
    stored = np.round(DEEP[..., :channels] / 65535 * maximum).astype(np.uint16)
    stored[0, 0] = maximum
    if magic in {"P2", "P3"}:
        body = " ".join(map(str, stored.ravel())).encode()
    else:
        body = stored.astype(np.uint8 if maximum < 256 else ">u2").tobytes()
    head = f"{magic}\n# a comment\n32 # and another\n24\n{maximum}\n".encode()
    if magic == "P7":
        head = f"P7\n# a comment\nWIDTH 32\nHEIGHT 24\nDEPTH 3\nMAXVAL {maximum}\nTUPLTYPE RGB\n"
        head = head.encode() + b"ENDHDR\n"
    picture = read(written(tmp_path / "a.pnm", head + body))
    if maximum < 256:
        np.testing.assert_array_equal(picture.pixels, np.round(stored * (255 / maximum)))
        assert picture.pixels.dtype == np.uint8
    else:
        np.testing.assert_array_equal(picture.pixels, stored)
        assert picture.scale.ends == (0, maximum)
    refused(written(tmp_path / "b.pnm", (head + body)[:-5]), "damaged or unsupported")
    refused(tmp_path / "a.pnm", "more than image.max_pixels", max_pixels=700)


def test_bitmaps_where_one_is_black(tmp_path):
    bits = np.arange(3 * 10).reshape(3, 10) % 3 == 1
    text = b"P1\n10 3\n" + b"\n".join("".join(map(str, row.astype(int))).encode() for row in bits)
    packed = b"P4\n10 3\n" + np.packbits(bits, axis=1).tobytes()
    for content in (text, packed):
        picture = read(written(tmp_path / "a.pbm", content))
        np.testing.assert_array_equal(picture.pixels[..., 0], np.where(bits, 0, 255))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("order", ["<", ">"])
def test_pfm_is_floating_point_from_the_bottom(tmp_path, order, channels):
    light = LIGHT[..., :channels]
    magic, scale = ("PF" if channels == 3 else "Pf"), ("-1.0" if order == "<" else "1.0")
    content = f"{magic}\n32 24\n{scale}\n".encode() + light[::-1].astype(f"{order}f4").tobytes()
    np.testing.assert_array_equal(read(written(tmp_path / "a.pfm", content)).pixels, light)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"P5\n32", "its header ends early"),
        (b"P5\n2 2\n0\nabcd", "its largest value is 0"),
        (b"P5\n2 2\n70000\nabcdefgh", "its largest value is 70000"),
        (b"P7\nWIDTH 2\nHEIGHT 2\nDEPTH 9\nMAXVAL 9\nENDHDR\n" + bytes(36), "9 channels; convert"),
        (b"P7\nWIDTH 2\n", "damaged or unsupported"),
        (b"P2 2 2 15\n1 2 15 -9", "b'-9' is no value of a pixel"),
        (b"P2 2 1 15\n1 12345678901", "b'12345678901' is no value of a pixel"),
        (b"P3 2 2 15\n1 2 15", "the file ends before its pixels do"),
        (b"P1 2 2\n1 0", "the file ends before its pixels do"),
        (b"P1 2 2\n1012", "its digits are not all 0 and 1"),
    ],
)
def test_netpbm_that_is_none(tmp_path, content, reason):
    refused(written(tmp_path / "a.pnm", content), reason)


# Light


def test_radiance_in_every_order_of_lines(tmp_path):
    content = imagecodecs.rgbe_encode(LIGHT, header=True)
    picture = read(written(tmp_path / "a.hdr", content))
    assert np.abs(picture.pixels / LIGHT.max(axis=2, keepdims=True) - LIGHT / LIGHT.max(
        axis=2, keepdims=True)).max() < 1 / 120  # fmt: skip
    assert picture.scale.ends == (0, picture.pixels.max())
    size = b"-Y 24 +X 32"
    for other, expected in (
        (b"+Y 24 +X 32", picture.pixels[::-1]),
        (b"-Y 24 -X 32", picture.pixels[:, ::-1]),
        (b"+X 24 -Y 32", picture.pixels.swapaxes(0, 1)),
        (b"-X 24 -Y 32", picture.pixels.swapaxes(0, 1)[:, ::-1]),
        (b"+X 24 +Y 32", picture.pixels.swapaxes(0, 1)[::-1]),
    ):
        found = read(written(tmp_path / "b.hdr", content.replace(size, other))).pixels
        np.testing.assert_array_equal(found, expected)
    for bad, reason in (
        (content.replace(size, b"-Y 24 +Y 32"), "says no size"),
        (content.replace(b"rgbe\n", b"xyze\n"), "CIE XYZ"),
        (content[:200], "damaged or unsupported"),
    ):
        refused(written(tmp_path / "c.hdr", bad), reason)
    refused(tmp_path / "a.hdr", "more than image.max_pixels", max_pixels=700)


def exr(path, channels, **header):
    header = {"type": OpenEXR.scanlineimage, **header}
    OpenEXR.File(header, channels).write(str(path))
    return path


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_exr(tmp_path, dtype):
    light = LIGHT.astype(dtype)
    picture = read(exr(tmp_path / "a.exr", {"RGB": light}))
    np.testing.assert_array_equal(picture.pixels, light.astype(np.float32))
    refused(tmp_path / "a.exr", "more than image.max_pixels", max_pixels=700)
    alpha = np.full((24, 32), 0.5, dtype)
    planes = {name: light[..., at] * dtype(0.5) for at, name in enumerate("RGB")}
    picture = read(exr(tmp_path / "b.exr", {**planes, "A": alpha, "Z": alpha}))
    np.testing.assert_allclose(picture.pixels[..., :3], light, rtol=2e-3)
    assert picture.alpha == 3
    assert said(picture, "channels left out: Z")
    assert said(picture, "associated alpha divided out")
    picture = read(exr(tmp_path / "c.exr", {"Y": alpha}))
    assert picture.pixels.shape == (24, 32, 1)
    layer = {f"beauty.{name}": light[..., at].copy() for at, name in enumerate("RGB")}
    picture = read(exr(tmp_path / "d.exr", {**layer, "depth.Z": alpha}))
    np.testing.assert_array_equal(picture.pixels, light.astype(np.float32))
    picture = read(exr(tmp_path / "e.exr", {"u": alpha, "v": alpha}))
    assert picture.pixels.shape == (24, 32, 2)
    assert picture.alpha is None
    for name in ("{}", "N.{}"):  # a colour of CIE, or a direction, whose Y is no brightness
        axes = {name.format(axis): alpha + at for at, axis in enumerate("XYZ")}
        picture = read(exr(tmp_path / "f.exr", axes))
        np.testing.assert_array_equal(picture.pixels[0, 0], [0.5, 1.5, 2.5])


def test_exr_that_is_none(tmp_path, capfd, monkeypatch):
    path = written(tmp_path / "a.exr", b"\x76\x2f\x31\x01" + bytes(500))
    refused(path, "an OpenEXR file that is damaged.*magick picture.exr")
    assert capfd.readouterr() == ("", "")
    content = exr(tmp_path / "b.exr", {"RGB": LIGHT}).read_bytes()
    refused(written(tmp_path / "b.exr", content[: len(content) // 2]), "an OpenEXR file that is")
    assert capfd.readouterr() == ("", "")
    alpha = np.zeros((24, 32), np.float32)
    refused(exr(path, {"Y": alpha, "RY": alpha, "BY": alpha}), "luminance and chroma")
    monkeypatch.setitem(sys.modules, "OpenEXR", None)
    refused(path, r"pip install 'nint\[exr\]'")


def test_exr_through_a_pipe(tmp_path):
    path = exr(tmp_path / "a.exr", {"RGB": LIGHT})
    os.mkfifo(tmp_path / "pipe.exr")
    writer = threading.Thread(
        target=lambda: (tmp_path / "pipe.exr").write_bytes(path.read_bytes())
    )
    writer.start()
    np.testing.assert_array_equal(read(tmp_path / "pipe.exr").pixels, LIGHT)
    writer.join()


# JPEG XL and HEIC


@pytest.mark.parametrize("shape", [(24, 32), (64, 128), (40, 40), (300, 200), (9, 1)])
@pytest.mark.parametrize("pixels", [DEEP, LIGHT, (DEEP >> 8).astype(np.uint8)])
def test_jpeg_xl(tmp_path, pixels, shape):
    whole = np.resize(pixels, (*shape, 3))
    content = imagecodecs.jpegxl_encode(whole, lossless=True)
    picture = read(written(tmp_path / "a.jxl", content))
    np.testing.assert_array_equal(picture.pixels, whole)
    size = shape[0] * shape[1]
    refused(tmp_path / "a.jxl", f"{shape[1]}x{shape[0]} pixels are more", max_pixels=size - 1)
    content = imagecodecs.jpegxl_encode(whole, lossless=True, usecontainer=True)
    np.testing.assert_array_equal(read(written(tmp_path / "b.jxl", content)).pixels, whole)


def test_heic(tmp_path, monkeypatch):
    path = tmp_path / "a.heic"
    pixels = smooth_pixels(64, 64)
    pillow_heif.from_bytes("RGB", (64, 64), pixels.tobytes()).save(path, quality=100)
    picture = read(path)
    assert np.abs(picture.pixels.astype(int) - pixels).mean() < 3
    refused(path, "64x64 pixels are more than image.max_pixels", max_pixels=4000)
    both = pillow_heif.from_bytes("RGB", (64, 64), pixels.tobytes())
    both.add_from_pillow(Image.fromarray(pixels))
    both.save(tmp_path / "b.heic")
    assert said(read(tmp_path / "b.heic"), "first of 2 frames")
    monkeypatch.setitem(sys.modules, "pi_heif", None)
    refused(path, r"pip install 'nint\[heic\]'.*heif-convert")


# Arrays


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["u1", ">u2", "<u2", "<f4", ">f8", "?"])
@pytest.mark.parametrize("channels", [None, 1, 2, 3, 4, 6])
def test_npy(tmp_path, dtype, order, channels):
    shape = (5, 7) if channels is None else (5, 7, channels)
    array = np.asarray((np.arange(np.prod(shape)).reshape(shape) % 2).astype(dtype), order=order)
    np.save(tmp_path / "a.npy", array)
    picture = read(tmp_path / "a.npy")
    expected = array * 255 if dtype == "?" else array
    np.testing.assert_array_equal(picture.pixels, np.atleast_3d(expected))
    assert picture.alpha == {2: 1, 4: 3}.get(channels)
    held = read_picture(held_picture(array))
    assert held.sha256 == picture.sha256


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (np.zeros((2, 2), complex), "an array of type complex128"),
        (np.array([["a"]]), "an array of type <U1"),
        (np.zeros(5), r"of shape \(5,\)"),
        (np.zeros((2, 3, 4, 5)), r"of shape \(2, 3, 4, 5\)"),
        (np.zeros((0, 4)), r"of shape \(0, 4\)"),
        (np.zeros((3, 20, 20)), "channels seem to come first; numpy.moveaxis"),
        (np.zeros((5, 5, 1025)), "an array of shape"),
    ],
)
def test_arrays_that_are_no_picture(tmp_path, array, reason):
    np.save(tmp_path / "a.npy", array)
    refused(tmp_path / "a.npy", reason)
    with pytest.raises(InputError, match=reason):
        read_picture(held_picture(array))


def test_npy_is_never_unpickled_and_never_short(tmp_path):
    np.save(tmp_path / "a.npy", np.array([[{}]], object), allow_pickle=True)
    refused(tmp_path / "a.npy", "an array of type object")
    np.save(tmp_path / "a.npy", np.zeros((30, 30)))
    content = (tmp_path / "a.npy").read_bytes()
    refused(written(tmp_path / "b.npy", content[:-1]), "ends before its numbers do")
    refused(tmp_path / "a.npy", "30x30 pixels are more", max_pixels=899)


def test_an_npy_whose_header_is_damaged(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((3, 3)))
    content = (tmp_path / "a.npy").read_bytes().replace(b"}", b"(")
    refused(written(tmp_path / "a.npy", content), "its header is no dictionary")


def test_pictures_of_pillow():
    colours = Image.fromarray(smooth_pixels())
    palette = colours.quantize(16)
    found = read_picture(held_picture(palette)).pixels
    np.testing.assert_array_equal(found, np.asarray(palette.convert("RGB")))
    for mode in ("F", "I"):
        image = colours.convert("L").convert(mode)
        np.testing.assert_array_equal(
            read_picture(held_picture(image)).pixels[..., 0], np.asarray(image)
        )
    with pytest.raises(InputError, match="cannot use the picture: pixels of Pillow's mode HSV"):
        held_picture(colours.convert("HSV"))


# What is not read


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"FUJIFILMCCD-RAW 0201", "a camera's raw file.*darktable-cli"),
        (b"II*\0\x10\0\0\0CR\x02\0", "a camera's raw file"),
        (b"IIRO\x08\0\0\0", "a camera's raw file"),
        (b"\0\0\0\x18ftypcrx ", "a camera's raw file"),
        (b"8BPS\0\1", "a Photoshop file; convert it first: magick"),
        (b"%PDF-1.7", "a PDF document.*pdftoppm"),
        (b"<?xml version='1.0'?>\n<svg xmlns=''>", "an SVG drawing.*rsvg-convert"),
        (b"<svg>", "an SVG drawing"),
        (bytes(128) + b"DICM", "a DICOM file.*dcm2img"),
        (b"PK\3\4", "a zip archive"),
        (b"\x1f\x8b\x08", "compressed with gzip.*gunzip"),
        (b"\0\0\0\x18ftypisom\0\0\0\0isommp42", "a film.*ffmpeg -i"),
        (b"SIMPLE  =                    T", "a FITS file.*numpy.save"),
    ],
)
def test_kinds_that_are_known_and_not_read(tmp_path, content, reason):
    refused(written(tmp_path / "a.png", content), reason)


def test_pictures_without_pixels(tmp_path):
    refused(written(tmp_path / "a.ppm", b"P6\n0 5\n255\n"), "it has no pixels")


def test_a_header_that_asks_for_all_memory(tmp_path, monkeypatch):
    """As one of JPEG 2000 can, whose boxes state their size in 64 bits."""

    def fail(*_, **__):
        raise MemoryError

    path = written(tmp_path / "a.jp2", imagecodecs.jpeg2k_encode(DEEP))
    monkeypatch.setattr(Image, "open", fail)
    refused(path, "its header asks for more memory than there is")


def test_what_c_libraries_print_goes_nowhere(capfd):
    with standard_error_closed():
        os.write(2, b"TIFFReadDirectory: Warning, unknown field\n")
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "after\n"


def test_warnings_of_tifffile_are_not_printed(tmp_path, capfd):
    tifffile.imwrite(tmp_path / "a.tif", smooth_pixels(), photometric="rgb")
    data = bytearray((tmp_path / "a.tif").read_bytes())
    data[4:8] = struct.pack("<I", len(data) - 2)  # a first page that is cut short
    refused(written(tmp_path / "b.tif", data), "damaged or unsupported")
    assert capfd.readouterr() == ("", "")
