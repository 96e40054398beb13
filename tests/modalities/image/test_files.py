import io
import subprocess
import sys
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms, ImageOps

from nint_cli.errors import InputError
from nint_cli.modalities.image.files import read_picture
from nint_cli.modalities.image.png import encode_picture
from nint_cli.modalities.image.samples import SAMPLES
from nint_cli.modalities.image.settings import ImageSettings
from tests.conftest import smooth_pixels


def save(path, pixels, **options):
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels.squeeze())
    image.save(path, **options)
    return str(path)


def refused(source, reason, **options):
    with pytest.raises(InputError, match=reason) as caught:
        read_picture(str(source), ImageSettings(**options))
    assert "\n" not in str(caught.value)


# Sound files


@pytest.mark.parametrize("suffix", ["png", "tiff", "bmp", "webp", "jpg"])
@pytest.mark.parametrize("channels", [1, 3])
def test_eight_bits_of_every_format(tmp_path, suffix, channels):
    pixels = smooth_pixels(channels=channels)
    options = {"lossless": True} if suffix == "webp" else {}
    path = save(tmp_path / f"a.{suffix}", pixels, **options)
    read = read_picture(path).pixels
    assert read.dtype == np.uint8
    if suffix == "jpg":
        assert np.abs(read.astype(int) - pixels).mean() < 8
    elif suffix == "webp" and channels == 1:  # WebP knows only colour
        np.testing.assert_array_equal(read, pixels.repeat(3, 2))
    else:
        np.testing.assert_array_equal(read, pixels)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("bits", [8, 16])
def test_png_keeps_every_channel_and_bit(tmp_path, channels, bits):
    pixels = smooth_pixels(channels=channels, bits=bits)
    path = tmp_path / "a.png"
    path.write_bytes(imagecodecs.png_encode(pixels.squeeze()))
    picture = read_picture(str(path))
    np.testing.assert_array_equal(picture.pixels, pixels)
    assert picture.pixels.dtype == pixels.dtype
    assert picture.maximum == 2**bits - 1
    path.write_bytes(encode_picture(pixels))
    np.testing.assert_array_equal(read_picture(str(path)).pixels, pixels)


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 3, 1), (1, 4, 3), (3, 4, 2), (3, 3, 4)])
def test_a_picture_as_small_as_a_pixel_s_channels_is_one_picture(tmp_path, shape):
    pixels = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    buffer = io.BytesIO(encode_picture(pixels))
    with Image.open(buffer) as image:
        np.testing.assert_array_equal(np.asarray(image).reshape(shape), pixels)


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("compression", [None, "deflate", "lzw"])
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("bits", [8, 16])
def test_tiff_keeps_every_channel_and_bit(tmp_path, channels, bits, compression, planar):
    pixels = smooth_pixels(channels=channels, bits=bits)
    stored = pixels.squeeze()
    options = {"photometric": "minisblack"}
    if channels > 1:
        stored = np.moveaxis(pixels, 2, 0) if planar == "separate" else pixels
        options = {"photometric": "rgb", "planarconfig": planar}
        if channels == 4:
            options["extrasamples"] = ["unassalpha"]
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, stored, compression=compression, **options)
    np.testing.assert_array_equal(read_picture(str(path)).pixels, pixels)


@pytest.mark.parametrize("orientation", [0, 1, 2, 3, 4, 5, 6, 7, 8, 99])
@pytest.mark.parametrize("suffix", ["png", "jpg", "tif"])
def test_orientation_is_applied_and_nonsense_ignored(tmp_path, suffix, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(tmp_path / f"a.{suffix}", smooth_pixels(16, 48), exif=exif)
    with Image.open(path) as image:
        image.load()
        upright = np.asarray(ImageOps.exif_transpose(image))
    np.testing.assert_array_equal(read_picture(path).pixels, upright)


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_orientation_of_deep_colour(tmp_path, orientation):
    pixels = smooth_pixels(16, 48, 3, 16)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, pixels, photometric="rgb", extratags=[(274, "H", 1, orientation, True)])
    turns = {3: 2, 6: 3, 8: 1}[orientation]
    np.testing.assert_array_equal(read_picture(str(path)).pixels, np.rot90(pixels, turns))


def test_palette_bilevel_and_transparency_become_colours(tmp_path):
    colours = Image.fromarray(smooth_pixels()).quantize(16)
    read = read_picture(save(tmp_path / "p.png", colours))
    np.testing.assert_array_equal(read.pixels, np.asarray(colours.convert("RGB")))
    assert "palette expanded to colours" in read.conversions
    read = read_picture(save(tmp_path / "t.png", colours, transparency=3))
    assert read.pixels.shape[2] == 4
    assert read.pixels[..., 3].min() == 0
    bilevel = Image.fromarray(smooth_pixels(channels=1).squeeze()).convert("1")
    read = read_picture(save(tmp_path / "b.png", bilevel))
    assert set(np.unique(read.pixels)) == {0, 255}
    assert read.pixels.shape[2] == 1


def test_what_is_changed_is_said(tmp_path):
    cmyk = Image.fromarray(smooth_pixels()).convert("CMYK")
    read = read_picture(save(tmp_path / "c.jpg", cmyk))
    assert read.pixels.shape[2] == 3
    assert "CMYK converted to RGB" in read.conversions
    path = save(tmp_path / "a.png", smooth_pixels(), format="JPEG")
    assert "read as JPEG, whatever its name says" in read_picture(path).conversions
    frames = [Image.fromarray(smooth_pixels(bits=8) // (i + 1)) for i in range(3)]
    path = save(tmp_path / "m.tif", frames[0], save_all=True, append_images=frames[1:])
    read = read_picture(path)
    assert "first of 3 frames" in read.conversions
    np.testing.assert_array_equal(read.pixels, np.asarray(frames[0]))
    read = read_picture(save(tmp_path / "alpha.png", smooth_pixels(channels=4)))
    assert "alpha kept as a channel of its own" in read.conversions
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for suffix in ("png", "jpg", "tif", "webp"):
        path = save(tmp_path / f"icc.{suffix}", smooth_pixels(), icc_profile=profile)
        read = read_picture(path)
        assert (
            "embedded colour profile not applied, and kept in the reconstruction"
            in read.conversions
        )
        assert read.tags.profile == profile
    path = save(tmp_path / "icc.png", smooth_pixels(channels=1), icc_profile=profile)
    read = read_picture(path)
    assert "embedded colour profile left out: it is of other colours" in read.conversions
    assert read.tags.profile is None


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1)])
def test_the_smallest_pictures(tmp_path, shape):
    pixels = np.full((*shape, 3), 7, np.uint8)
    path = save(tmp_path / "a.png", Image.fromarray(pixels))
    np.testing.assert_array_equal(read_picture(path).pixels, pixels)


@pytest.mark.parametrize("bits", [8, 16])
def test_shrinking_keeps_the_aspect_the_type_and_the_mean(tmp_path, bits):
    pixels = smooth_pixels(60, 90, 3, bits)
    path = tmp_path / "a.png"
    path.write_bytes(encode_picture(pixels))
    read = read_picture(str(path), ImageSettings(size=30))
    assert read.pixels.shape == (20, 30, 3)
    assert read.pixels.dtype == pixels.dtype
    assert abs(read.pixels.mean() / pixels.mean() - 1) < 0.02
    assert read.sha256 == read_picture(str(path)).sha256
    assert read_picture(str(path), ImageSettings(size=500)).pixels.shape == (60, 90, 3)
    assert "shrunk to 30x20 pixels" in read.conversions


def test_the_hash_is_of_the_pixels_and_not_of_the_file(tmp_path):
    pixels = smooth_pixels()
    one = read_picture(save(tmp_path / "a.png", pixels))
    two = read_picture(save(tmp_path / "b.bmp", pixels))
    other = read_picture(save(tmp_path / "c.png", 255 - pixels))
    assert one.sha256 == two.sha256 != other.sha256


@pytest.mark.parametrize("name", SAMPLES.names())
def test_every_sample_is_there(name):
    picture = read_picture(f"sample:{name}")
    assert min(picture.pixels.shape[:2]) > 100


# Damaged, foreign and hostile files


def test_files_that_are_not_there_or_not_pictures(tmp_path):
    refused(tmp_path / "missing.png", "No such file")
    refused(tmp_path, "it is a folder")
    refused("", "it is a folder|No such file")
    refused("a\0b.png", "null byte|null character")
    for name, data, reason in (
        ("empty.png", b"", "the file is empty"),
        ("page.png", b"<html>no picture</html>", "no picture of a known kind"),
        ("clip.gif", b"GIF89a" + bytes(30), "no picture of a known kind|damaged"),
        ("head.png", b"\x89PNG\r\n\x1a\n", "damaged|no picture"),
    ):
        (tmp_path / name).write_bytes(data)
        refused(tmp_path / name, reason)
    refused("sample:astronot", "did you mean 'astronaut'")
    secret = tmp_path / "secret.png"
    secret.write_bytes(encode_picture(smooth_pixels()))
    secret.chmod(0)
    try:
        secret.read_bytes()
    except PermissionError:
        refused(secret, "Permission denied")


@pytest.mark.parametrize("share", [0.25, 0.5, 0.99])
@pytest.mark.parametrize("kind", ["png8", "png16", "jpg", "tif8", "tif16", "bmp", "webp"])
def test_truncated_files_are_refused(tmp_path, kind, share):
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    path = tmp_path / f"a.{kind.rstrip('0123456789')}"
    if kind.endswith("16"):
        deep = noise.astype(np.uint16) * 257
        if kind.startswith("png"):
            path.write_bytes(encode_picture(deep))
        else:
            tifffile.imwrite(path, deep, photometric="rgb")
    else:
        save(path, noise)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    refused(path, "damaged or unsupported|no picture of a known kind")


def test_a_flipped_bit_in_a_png_is_noticed(tmp_path):
    for bits in (8, 16):
        data = bytearray(encode_picture(smooth_pixels(bits=bits)))
        data[len(data) // 2] ^= 4
        (tmp_path / "a.png").write_bytes(data)
        refused(tmp_path / "a.png", "damaged or unsupported")


def test_a_picture_too_large_is_refused_by_its_header(tmp_path):
    path = save(tmp_path / "a.png", smooth_pixels(40, 40))
    refused(
        path,
        r"more than image.max_pixels = 1,000; .* --set image.max_pixels=1600",
        max_pixels=1000,
    )
    # A header that promises two thousand million pixels, with no data behind it.
    data = bytearray(path and (tmp_path / "a.png").read_bytes())
    data[16:24] = (50_000).to_bytes(4, "big") + (40_000).to_bytes(4, "big")
    import zlib

    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    (tmp_path / "bomb.png").write_bytes(data)
    refused(tmp_path / "bomb.png", "50000x40000 pixels are more than")


@pytest.mark.parametrize("chunk", [b"zTXt", pytest.param(b"iCCP", marks=pytest.mark.slow)])
def test_compressed_chunks_do_not_fill_the_memory(tmp_path, chunk):
    import zlib

    bomb = zlib.compress(bytes(300_000_000), 9)
    body = b"name\0\0" + bomb
    data = bytearray(encode_picture(smooth_pixels()))
    extra = len(body).to_bytes(4, "big") + chunk + body
    extra += zlib.crc32(chunk + body).to_bytes(4, "big")
    path = tmp_path / "bomb.png"
    path.write_bytes(bytes(data[:33]) + extra + bytes(data[33:]))
    script = (
        "import resource, sys\n"
        "from nint_cli.errors import InputError\n"
        "from nint_cli.modalities.image.files import read_picture\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try:\n    read_picture(sys.argv[1])\nexcept InputError as error:\n    print(error)\n"
        "grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before\n"
        "sys.exit(grown > 150_000)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(path)], check=False)
    assert done.returncode == 0


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="no endless file here")
def test_an_endless_file_is_not_read_to_its_end(monkeypatch):
    monkeypatch.setattr("nint_cli.modalities.image.files._MOST_BYTES_BESIDE", 1 << 20)
    refused("/dev/zero", "more than 1,064,576 bytes", max_pixels=1000)


def test_pillows_own_limit_is_left_as_it_was(tmp_path):
    limit = Image.MAX_IMAGE_PIXELS
    read_picture(save(tmp_path / "a.png", smooth_pixels()))
    refused(tmp_path / "missing.png", "No such file")
    assert limit == Image.MAX_IMAGE_PIXELS
    buffer = io.BytesIO(encode_picture(smooth_pixels()))
    assert Image.open(buffer).size == (32, 24)
