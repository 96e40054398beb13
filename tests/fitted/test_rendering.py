"""A rendering is the reconstruction at the own size, and the field elsewhere."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import tifffile
import torch
import trimesh
from PIL import Image

from nint_cli.api import load_run
from nint_cli.errors import ConfigError
from nint_cli.fitted.fitted import open_fitted
from nint_cli.modalities.image import rendering
from nint_cli.modalities.sdf.pictures import seen_from
from nint_cli.modalities.sdf.sphere_tracing import Camera
from tests.cli.test_cli import nint
from tests.conftest import smooth_pixels

FAST = ("--preset", "smoke", "--progress", "never", "-o", "run")


def fitted(capsys, kind, source, *words):
    code, _, said = nint(capsys, "fit", kind, source, *FAST, *words)
    assert code == 0, said


def rendered(capsys, output, *words):
    code, out, said = nint(capsys, "render", "run", "-o", output, "--progress", "never", *words)
    assert code == 0, said
    assert out.strip() == output
    return output


def read(path):
    import imagecodecs

    return np.atleast_3d(imagecodecs.png_decode(Path(path).read_bytes()))


def picture_of(dtype, channels):
    base = smooth_pixels()[..., :1].astype(np.float64) / 255
    shares = np.concatenate([base**power for power in range(1, channels + 1)], axis=2)
    return np.round(shares * np.iinfo(dtype).max).astype(dtype)


@pytest.mark.parametrize(("dtype", "channels"), [("uint8", 1), ("uint8", 4), ("uint16", 3)])
def test_a_picture_at_scale_1_is_its_reconstruction_bit_for_bit(capsys, dtype, channels):
    import imagecodecs

    pixels = picture_of(dtype, channels)
    Path("in.png").write_bytes(imagecodecs.png_encode(np.squeeze(pixels)))
    words = ("--alpha", "keep") if channels == 4 else ()
    fitted(capsys, "image", "in.png", *words)
    found = read(rendered(capsys, "out.png"))
    assert found.dtype == dtype
    assert np.array_equal(found, read("run/reconstruction.png"))


def test_a_picture_of_floating_point_at_scale_1_is_its_reconstruction(capsys):
    np.save("in.npy", smooth_pixels().astype(np.float32) / 255)
    fitted(capsys, "image", "in.npy")
    found = tifffile.imread(rendered(capsys, "out.tif"))
    assert np.array_equal(found, tifffile.imread("run/reconstruction.tif"))


@pytest.fixture
def run(capsys, picture):
    fitted(capsys, "image", picture)
    return Path("run")


def test_a_larger_picture_is_the_field_in_float64_between_the_pixels(capsys, run):
    found = read(rendered(capsys, "out.png", "--size", "50x41", "--bits", "16"))
    assert found.shape == (41, 50, 3)
    axes = (torch.linspace(-1, 1, size, dtype=torch.float64) for size in (41, 50))
    coords = torch.cartesian_prod(*axes)
    with torch.no_grad():
        true = open_fitted(run).field.double()(coords).clamp(0, 1).view(41, 50, 3)
    assert np.abs(found / 65535 - true.numpy()).max() < 1e-4


def test_a_crop_is_the_part_of_the_whole(capsys, run):
    height, width = open_fitted(run).signal.grid
    whole = read(rendered(capsys, "whole.png", "--scale", "2"))
    crop = f"4,2,{width - 8},{height - 5}"
    part = read(rendered(capsys, "part.png", "--scale", "2", "--crop", crop))
    assert np.array_equal(part, whole[4 : 2 * height - 6, 8 : 2 * width - 8])
    half = read(rendered(capsys, "half.png", "--scale", "2", "--crop", "0,50%,100%,50%"))
    assert np.array_equal(half, whole[height:])


def test_a_picture_in_strips_is_the_whole(capsys, run, monkeypatch):
    whole = read(rendered(capsys, "whole.png", "--scale", "2"))
    monkeypatch.setattr(rendering, "STRIP_PIXELS", 200)
    assert np.array_equal(read(rendered(capsys, "strips.png", "--scale", "2")), whole)
    assert np.array_equal(tifffile.imread(rendered(capsys, "s.tif", "--scale", "2")), whole)


def test_supersampling_is_the_mean_of_points_within_each_pixel(capsys, run):
    found = read(rendered(capsys, "out.png", "--size", "7x5", "--supersample", "2"))
    field = open_fitted(run).field.double()
    total = torch.zeros(5, 7, 3, dtype=torch.float64)
    for down in (-0.25, 0.25):
        for right in (-0.25, 0.25):
            rows = ((torch.arange(5).double() + down) / 2 - 1).clamp(-1, 1)
            columns = ((torch.arange(7).double() + right) / 3 - 1).clamp(-1, 1)
            with torch.no_grad():
                total += field(torch.cartesian_prod(rows, columns)).clamp(0, 1).view(5, 7, 3)
    assert np.abs(found - 255 * total.numpy() / 4).max() < 0.51


def test_a_kind_of_file_without_alpha_says_so(capsys):
    Image.fromarray(picture_of("uint8", 4)).save("in.png")
    fitted(capsys, "image", "in.png", "--alpha", "keep")
    for name in ("out.jpg", "out.webp"):
        code, _, said = nint(capsys, "render", "run", "-o", name, "--progress", "never")
        assert code == 0
        assert "1 of 4 channels are left out" in said
    for name in ("out.png", "out.tif"):
        assert "left out" not in nint(capsys, "render", "run", "-o", name)[2]


def test_a_picture_from_python_is_what_the_command_writes(capsys, run):
    own = load_run(run)
    assert np.array_equal(own.render(), own.reconstruction())
    part = rendered(capsys, "part.png", "--size", "50x41", "--crop", "2,3,4,5")
    assert np.array_equal(own.render(size=(50, 41), crop=(2, 3, 4, 5)), read(part))
    with pytest.raises(ConfigError, match="--rate: not for pictures"):
        own.render(rate=8000)


@pytest.mark.parametrize("suffix", ["jpg", "webp", "tif"])
def test_other_programs_open_the_pictures(capsys, run, suffix):
    with Image.open(rendered(capsys, f"out.{suffix}", "--size", "20x10")) as found:
        assert found.size == (20, 10)


def test_a_sound_at_its_rate_is_its_reconstruction_and_may_be_cut_or_slowed(capsys):
    soundfile.write("in.wav", 0.5 * np.sin(np.arange(4000) / 10), 8000)
    fitted(capsys, "audio", "in.wav")
    own, _ = soundfile.read("run/reconstruction.wav", dtype="int16")
    found, rate = soundfile.read(rendered(capsys, "out.wav"), dtype="int16")
    assert rate == 8000
    assert np.array_equal(found, own)
    flac, _ = soundfile.read(rendered(capsys, "out.flac"), dtype="int16")
    assert np.array_equal(flac, own)
    part = rendered(capsys, "part.wav", "--start", "0.125", "--duration", "0.0625")
    assert np.array_equal(soundfile.read(part, dtype="int16")[0], own[1000:1500])
    waveform = load_run("run").render(rate=16000)
    assert np.array_equal(waveform[::2].shape, (len(own), 1))
    assert np.abs(waveform[::2, 0] - own / 32768).max() < 1e-4
    finer, rate = soundfile.read(rendered(capsys, "finer.wav", "--rate", "16000"), dtype="int16")
    assert rate == 16000
    assert len(finer) == 2 * len(own) - 1
    assert np.abs(finer[::2].astype(int) - own).max() <= 1
    fast, rate = soundfile.read(rendered(capsys, "fast.wav", "--speed", "2"), dtype="int16")
    assert rate == 8000
    assert np.abs(fast.astype(int) - own[::2]).max() <= 1
    for words in (["--start", "0.5"], ["--start", "0.2", "--duration", "0.1"], ["--speed", "0"]):
        assert nint(capsys, "render", "run", "-o", "no.wav", *words)[0] == 2


def test_a_shape_at_its_resolution_is_its_mesh_and_may_be_finer(capsys):
    Path("in.ply").write_bytes(trimesh.creation.icosphere(2).export(file_type="ply"))
    learn = ("--steps", 60, "--field", "hashgrid", "--lr", "1e-2", "--sampler", "uniform")
    fitted(capsys, "sdf", "in.ply", *learn)
    own = Path("run/reconstruction.ply").read_bytes()
    assert Path(rendered(capsys, "out.ply")).read_bytes() == own
    coarse = trimesh.load_mesh(rendered(capsys, "coarse.stl", "--resolution", "16"))
    vertices, faces = load_run("run").render(resolution=16)
    assert np.allclose(vertices[faces], coarse.triangles, atol=1e-5)
    for kind in ("obj", "glb"):
        finer = trimesh.load(rendered(capsys, f"finer.{kind}", "--resolution", "40"), force="mesh")
        assert len(finer.faces) > 2 * len(coarse.faces)
    view = rendered(capsys, "view.png", "--view", "-32,24", "--size", "40x30")
    assert read(view).shape == (30, 40, 3)
    for words in (["32"], ["0,91"], ["0,0", "--size", "5x5"], ["0,0", "--resolution", "9"]):
        assert nint(capsys, "render", "run", "-o", "no.png", "--view", *words)[0] == 2
    assert nint(capsys, "render", "run", "-o", "no.ply", "--view", "0,0")[0] == 2
    assert nint(capsys, "render", "run", "-o", "no.ply", "--size", "20x20")[0] == 2
    for words in (["--resolution", "1"], ["--resolution", "2000"], ["--scale", "2"]):
        assert nint(capsys, "render", "run", "-o", "no.ply", *words)[0] == 2


def test_a_view_shows_the_shape_from_its_side_in_the_middle():
    def ball(coords):
        return (coords - torch.tensor([0.0, 0.0, 0.4])).norm(dim=1) - 0.4

    back = seen_from(ball, Camera(0, 0), 90, 60)[0, 0]
    for azimuth, right in ((0, 0.0), (90, -0.4), (-90, 0.4)):
        seen = seen_from(ball, Camera(azimuth, 0), 90, 60)
        assert seen.shape == (60, 90, 3)
        rows, columns = np.nonzero((seen != back).any(axis=2))
        half = 1.42  # of the shorter side
        assert (columns.mean() - 44.5) / 30 * half == pytest.approx(right, abs=0.03)
        assert (rows.mean() - 29.5) / 30 * half == pytest.approx(0, abs=0.03)
        # A pixel that the rim touches counts: up to half a diagonal beyond it.
        area = len(rows) / 900 * half**2
        assert np.pi * 0.4**2 < area < np.pi * (0.4 + 0.71 * half / 30) ** 2


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--size", "0x5"], 2, "a side is 1 to"),
        (["--size", "5"], 2, "expected WxH"),
        (["--size", "5x5", "--scale", "2"], 2, "leave one out"),
        (["--scale", "0"], 2, "--scale 0"),
        (["--scale", "nan"], 2, "--scale nan"),
        (["--crop", "0,0,9999,1"], 2, "is not within"),
        (["--crop", "1,2,3"], 2, "expected X,Y,W,H"),
        (["--crop", "0,0,0,1"], 2, "is not within"),
        (["--bits", "16", "-o", "out.jpg"], 2, "holds 8"),
        (["--size", "90000x90000"], 2, "name a .tif"),
        (["-o", "out.xyz"], 2, "is written as"),
        (["--rate", "8000"], 2, "--rate: not for pictures"),
        (["--step", "1"], 3, "no checkpoint of step 1"),
        (["-o", "nowhere/out.png"], 4, "there is no folder"),
        (["-o", "there.png"], 4, "--overwrite"),
    ],
)
def test_bad_requests_are_refused_in_a_line_and_write_nothing(capsys, run, words, code, said):
    Path("there.png").touch()
    before = set(Path().iterdir())
    output = [] if "-o" in words else ["-o", "out.png"]
    found, out, err = nint(capsys, "render", run, *output, *words, "--progress", "never")
    assert (found, out) == (code, "")
    assert said in err
    assert set(Path().iterdir()) == before
    assert not Path("there.png").stat().st_size


def test_a_field_is_measured_between_its_pixels_against_a_larger_picture(capsys, picture):
    with Image.open(picture) as opened:
        larger = np.asarray(opened)
    larger = larger[: len(larger) // 2 * 2 - 1, : larger.shape[1] // 2 * 2 - 1]
    Image.fromarray(larger).save("larger.png")
    Image.fromarray(np.ascontiguousarray(larger[::2, ::2])).save("small.png")
    fitted(capsys, "image", "small.png")
    against = ("--scale", "2", "--against", "larger.png", "--json", "--progress", "never")
    code, out, said = nint(capsys, "eval", "run", *against)
    assert code == 0, said
    size = f"{larger.shape[1]}x{larger.shape[0]}"
    tall = read(rendered(capsys, "tall.png", "--size", size)).astype(float)
    mse = ((tall - larger) ** 2).mean() / 255**2
    assert json.loads(out)["psnr_db"] == pytest.approx(-10 * np.log10(mse), abs=0.02)
    assert nint(capsys, "eval", "run", "--scale", "2")[0] == 2
    assert nint(capsys, "eval", "run", "--scale", "0", "--against", "larger.png")[0] == 2
    code, _, said = nint(capsys, "eval", "run", "--scale", "3", "--against", "larger.png")
    assert code == 3
    assert "not 3 times" in said
