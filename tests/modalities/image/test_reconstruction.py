"""What a run leaves of a picture, and runs of what is no file."""

import io
import subprocess
import sys

import imagecodecs
import numpy as np
import pytest
import tifffile
import torch
from PIL import Image, ImageCms

import nint_cli
from nint_cli.errors import ConfigError, InputError
from nint_cli.modalities.image.decoded import Tags
from nint_cli.modalities.image.files import read_picture
from nint_cli.modalities.image.png import encode_picture, resolution_chunk
from nint_cli.modalities.image.reconstruction import as_seen, reconstruction_files
from nint_cli.modalities.image.settings import ImageSettings
from nint_cli.modalities.image.signal import Picture, Scale, to_pixels
from tests.cli.test_cli import nint, strict
from tests.conftest import smooth_pixels

PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
FAST = {"steps": 3, "image.size": None}


def files_of(path, **settings):
    picture = read_picture(str(path), ImageSettings(**settings))
    return picture, reconstruction_files(picture, picture.pixels)


def back(content, tmp_path, name="back.tif"):
    (tmp_path / name).write_bytes(content)
    return read_picture(str(tmp_path / name))


@pytest.mark.parametrize("bits", [8, 16])
def test_profile_gamma_and_resolution_go_on_as_they_came(tmp_path, bits):
    pixels = smooth_pixels(bits=bits)
    chunks = ((b"gAMA", b"\0\1\x86\xa0"), (b"cHRM", bytes(range(32))), (b"cICP", b"\1\2\0\1"))
    dpi = resolution_chunk(11811, 5906)
    (tmp_path / "a.png").write_bytes(encode_picture(pixels, Tags(PROFILE, (*chunks, dpi))))
    picture, files = files_of(tmp_path / "a.png")
    assert picture.tags == Tags(PROFILE, (*chunks, dpi))
    again = back(files["reconstruction.png"], tmp_path, "b.png")
    np.testing.assert_array_equal(again.pixels, pixels)
    assert again.tags == picture.tags
    info = Image.open(io.BytesIO(files["reconstruction.png"])).info
    assert info["icc_profile"] == PROFILE
    assert info["gamma"] == 1.0
    assert info["dpi"] == pytest.approx((300, 150), abs=0.1)


@pytest.mark.parametrize("suffix", ["jpg", "tif"])
def test_resolution_of_other_formats(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(smooth_pixels()).save(path, dpi=(300, 150), icc_profile=PROFILE)
    picture, files = files_of(path)
    assert dict(picture.tags.chunks) == dict([resolution_chunk(300 / 0.0254, 150 / 0.0254)])
    info = Image.open(io.BytesIO(files["reconstruction.png"])).info
    assert info["dpi"] == pytest.approx((300, 150), abs=0.1)
    assert info["icc_profile"] == PROFILE
    Image.fromarray(smooth_pixels()).save(path)
    assert files_of(path)[0].tags == Tags()


@pytest.mark.parametrize("sides", [(0, 5), (float("nan"), 5), (float("inf"), 5), (2.0**40, 5)])
def test_a_resolution_that_is_none(sides):
    assert resolution_chunk(*sides) is None


def test_floating_point_is_kept_as_tiff_and_shown_as_png(tmp_path):
    light = (smooth_pixels(bits=16) / 3000).astype(np.float32)
    tifffile.imwrite(tmp_path / "a.tif", light, photometric="rgb", iccprofile=PROFILE,
                     resolution=(120, 60), resolutionunit=3)  # fmt: skip
    picture, files = files_of(tmp_path / "a.tif")
    again = back(files["reconstruction.tif"], tmp_path)
    np.testing.assert_array_equal(again.pixels, light)
    assert again.tags == picture.tags
    shown = back(files["reconstruction.png"], tmp_path, "b.png")
    assert (shown.pixels.shape, shown.pixels.dtype) == (light.shape, np.uint8)
    assert shown.tags == Tags()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize(("channels", "alpha"), [(2, None), (4, None), (5, None), (5, 3), (5, 4)])
def test_channels_that_png_has_no_place_for(tmp_path, channels, alpha, dtype):
    pixels = (np.arange(24 * 32 * channels) % 200).reshape(24, 32, channels).astype(dtype)
    picture = Picture(pixels, "", alpha=alpha)
    files = reconstruction_files(picture, pixels)
    again = back(files["reconstruction.tif"], tmp_path)
    np.testing.assert_array_equal(again.pixels, pixels)
    assert again.alpha == alpha
    shown = back(files["reconstruction.png"], tmp_path, "b.png").pixels
    assert shown.shape == (24, 32, 3 if channels > 2 else 1)


def test_twelve_bits_are_spread_so_that_they_are_seen(tmp_path):
    stored = (smooth_pixels(channels=1, bits=16) >> 4)[..., 0]
    stored[0, 0] = 4095
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="minisblack", bitspersample=12)
    _, files = files_of(tmp_path / "a.tif")
    shown = imagecodecs.png_decode(files["reconstruction.png"])
    assert shown[0, 0] == 65535
    np.testing.assert_array_equal(np.round(shown / 65535 * 4095), stored)


def test_tone_mapping():
    light = np.array([[[0.0], [0.18], [1.0], [1e6]]], np.float32)
    shown = as_seen(light, Scale(0.0, 1e6, 1))[0, :, 0]
    assert shown[0] == 0
    assert list(shown) == sorted(shown)
    assert shown[3] == 255
    assert len(set(shown[1:])) == 3
    grey = np.full((4, 4, 3), 50.0, np.float32)  # whose mean becomes 0.18
    middle = 1.055 * (0.18 / 1.18) ** (1 / 2.4) - 0.055
    assert as_seen(grey, Scale(0.0, 50.0, 1)).max() == round(255 * middle)
    assert as_seen(np.zeros((2, 2, 1), np.float32), Scale(0.0, 2.0, 1)).max() == 0
    signed = np.array([[[-1.0], [0.0], [3.0]]], np.float32)
    assert as_seen(signed, Scale(-1.0, 3.0, 1))[0, :, 0].tolist() == [0, 64, 255]


def test_predictions_come_back_in_the_picture_s_own_range():
    shares = torch.tensor([[-1.0], [0.25], [2.0]])
    scale = Scale(100.0, 300.0, 65535)
    found = to_pixels(shares, (1, 3), np.dtype(np.uint16), scale)
    assert found.ravel().tolist() == [100, 150, 300]
    found = to_pixels(shares, (1, 3), np.dtype(np.float32), Scale(-1.0, 1.0, 1))
    assert found.ravel().tolist() == [-1.0, -0.5, 1.0]


# Runs


def test_the_range_is_in_the_metrics(capsys, tmp_path):
    dark = (smooth_pixels(bits=16, channels=1) >> 6)[..., 0]
    tifffile.imwrite(tmp_path / "a.tif", dark, photometric="minisblack")
    low, high = int(dark.min()), int(dark.max())
    words = ["fit", "image", tmp_path / "a.tif", "--preset", "smoke", "--steps", 6, "--set",
             "image.size=null"]  # fmt: skip
    code, _, err = nint(capsys, *words, "-o", tmp_path / "by-type")
    assert code == 0
    assert f"values use {low} to {high} of 65535" in err
    metrics = strict(tmp_path / "by-type" / "metrics.json")
    assert metrics["psnr_range"] == [0, 65535]
    code, _, err = nint(capsys, *words, "-o", tmp_path / "by-data", "--set", "image.range=data")
    metrics = strict(tmp_path / "by-data" / "metrics.json")
    assert metrics["psnr_range"] == [low, high]
    assert metrics["input"]["range"] == [low, high]
    assert f"(range {low} to {high})" in err
    code, out, _ = nint(capsys, "eval", tmp_path / "by-data")
    assert f"(range {low} to {high})" in out
    Image.fromarray((dark >> 2).astype(np.uint8)).save(tmp_path / "b.png")
    code, _, err = nint(capsys, "eval", tmp_path / "by-data", "--against", tmp_path / "b.png")
    assert code == 3
    assert "has values of uint8 (range" in err
    tifffile.imwrite(tmp_path / "c.tif", dark // 2, photometric="minisblack")
    code, out, _ = nint(capsys, "eval", tmp_path / "by-data", "--against", tmp_path / "c.tif")
    assert (code, f"(range {low} to {high})" in out) == (0, True)


def test_flags_of_alpha(capsys, tmp_path):
    Image.fromarray(smooth_pixels(channels=4)).save(tmp_path / "a.png")
    words = ["fit", "image", tmp_path / "a.png", "--preset", "smoke", "--steps", 3]
    code, _, err = nint(
        capsys, *words, "--alpha", "composite", "--background", "#102030", "-o", tmp_path / "run"
    )
    assert (code, "laid over #102030 by its alpha" in err) == (0, True)
    assert strict(tmp_path / "run" / "metrics.json")["input"]["channels"] == 3
    code, _, err = nint(capsys, *words, "--alpha", "invert", "-o", tmp_path / "other")
    assert (code, "alpha" in err) == (2, True)
    code, _, err = nint(capsys, *words, "--background", "nothing", "-o", tmp_path / "other")
    assert (code, "'nothing' is no colour" in err) == (2, True)


@pytest.mark.parametrize(
    "content",
    [
        smooth_pixels(),
        (smooth_pixels(channels=1) / 300).astype(np.float64)[..., 0] + 5,
        Image.fromarray(smooth_pixels()),
    ],
)
def test_arrays_are_fitted_resumed_and_measured_again(tmp_path, content):
    run = nint_cli.fit(content, preset="smoke", settings=FAST, range="data", output="run")
    whole = np.asarray(content)
    ends = [float(np.float32(whole.min())), float(np.float32(whole.max()))]
    assert run.metrics.psnr_range == pytest.approx(ends)
    assert run.metrics.input.source.startswith("array:")
    assert run.reconstruction().shape[:2] == whole.shape[:2]
    again = nint_cli.resume("run", steps=5)
    assert (again.metrics.steps, again.metrics.input.sha256) == (5, run.metrics.input.sha256)
    (tmp_path / "run" / "input.npy").write_bytes(b"\x93NUMPY nonsense")
    with pytest.raises(InputError, match=r"the run's input\.npy is damaged"):
        nint_cli.resume("run", steps=7)
    (tmp_path / "run" / "input.npy").unlink()
    with pytest.raises(InputError, match=r"was an array in Python, and the run has no input\.npy"):
        nint_cli.resume("run", steps=7)


def test_arrays_are_pictures_only():
    with pytest.raises(ConfigError, match="arrays can be fitted as pictures"):
        nint_cli.fit(np.zeros((4, 4)), modality="audio")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ([[1], [1, 2]], "its rows have different lengths"),
        (np.ma.masked_array(np.eye(4), mask=np.eye(4)), "parts of it are masked"),
    ],
)
def test_what_is_no_whole_array_is_refused(content, reason):
    with pytest.raises(InputError, match=reason):
        nint_cli.fit(content)


@pytest.mark.skipif(sys.platform != "linux", reason="where the system tells the peak of memory")
@pytest.mark.parametrize("kind", ["device", "pages"])
def test_what_has_no_end_ends_soon_and_below_a_gigabyte(tmp_path, kind):
    """A device of zeros, and a file of 100,000 pages."""
    path = "/dev/zero"
    if kind == "pages":
        path = str(tmp_path / "a.tif")
        tags = [(256, 2), (257, 2), (258, 8), (259, 1), (262, 1), (273, 8), (277, 1), (278, 2)]
        tags.append((279, 4))
        content = bytearray(b"II*\0\x0c\0\0\0\1\2\3\4")
        for page in range(100_000):
            content += len(tags).to_bytes(2, "little")
            for tag, value in tags:
                content += np.array([tag, 4, 1, 0, value, 0], "<u2").tobytes()
            content += (len(content) + 4 if page < 99_999 else 0).to_bytes(4, "little")
        (tmp_path / "a.tif").write_bytes(content)
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from nint_cli.errors import InputError\n"
        "from nint_cli.modalities.image.files import read_picture\n"
        "try:\n    print(read_picture(sys.argv[1]).conversions)\n"
        "except InputError as error:\n    print(error)\n"
        "about = Path('/proc/self/status').read_text().splitlines()\n"
        "print(next(line.split()[1] for line in about if line.startswith('VmHWM')))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, path], check=True, capture_output=True, text=True
    )
    said, peak = done.stdout.splitlines()
    expected = "first of 100,000 frames" if kind == "pages" else "too much for a stream"
    assert expected in said
    assert int(peak) * 1024 < 1e9
