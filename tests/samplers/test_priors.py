"""What samplers know of a signal before training."""

import numpy as np
import pytest
import torch
from skimage.filters import threshold_otsu

from nint_cli.modalities.image.files import read_picture
from nint_cli.modalities.image.settings import ImageSettings
from nint_cli.random import Draws
from nint_cli.samplers import priors
from tests.conftest import tiny_points, tiny_signal


def stream(seed=0):
    return Draws(seed).stream("anchors")


def photograph():
    signal = read_picture("sample:camera", ImageSettings(size=128)).signal()
    return priors.grey(signal.blocks(1000), signal.shape)


@pytest.mark.parametrize(
    ("shape", "channels", "weights"),
    [
        ((5, 6), 1, [1]),
        ((5, 6), 2, [1, 0]),
        ((5, 6), 3, [0.299, 0.587, 0.114]),
        ((5, 6), 4, [0.299, 0.587, 0.114, 0]),
        ((30,), 2, [0.5, 0.5]),
        ((2, 3, 5), 3, [1 / 3, 1 / 3, 1 / 3]),
    ],
)
def test_grey(shape, channels, weights):
    signal = tiny_signal(shape, channels)
    _, values = signal.slice(0, 30)
    expected = (values * torch.tensor(weights)).sum(1).reshape(shape)
    image = priors.grey(signal.blocks(7), shape)
    assert image.dtype == np.float32
    np.testing.assert_allclose(image, expected.numpy(), rtol=1e-6)


def test_edges_are_on_the_edge_and_nowhere_else():
    image = np.zeros((20, 30), np.float32)
    image[:, 15:] = 0.5
    rows, columns = np.divmod(priors.edges(image, 30, 40).numpy(), 30)
    assert set(columns) <= {14, 15}
    assert set(rows) == set(range(1, 19))  # the frame itself has no neighbours all around
    assert not len(priors.edges(np.full((20, 30), 0.5, np.float32), 30, 40))


def test_thresholds_are_opencvs_levels_of_an_8_bit_picture():
    """A diagonal step of h levels has gx = gy = 3 h, so OpenCV compares 6 h with its thresholds.

    scikit-image compares 3 sqrt(2) h = 4.24 h with pi / 4 of them: as if OpenCV saw 5.4 h. A
    vertical step has 4 h in both, which scikit-image sees as 5.1 h.
    """
    rows, columns = np.indices((20, 20))
    for below, above, mask in [
        (7.2, 7.6, rows + columns > 20),
        (7.7, 8.0, columns > 10),
    ]:
        levels = [
            len(priors.edges((mask * h / 255).astype(np.float32), 40, 40)) for h in (below, above)
        ]
        assert levels[0] == 0
        assert levels[1] >= 15


def test_edges_of_a_photograph_are_as_many_as_opencv_finds():
    """cv2.Canny(gray, 30, 40) of OpenCV 5.0 marks 15.11 % of the astronaut."""
    signal = read_picture("sample:astronaut").signal()
    image = priors.grey(signal.blocks(1 << 18), signal.shape)
    assert len(priors.edges(image, 30, 40)) / image.size == pytest.approx(0.1511, rel=0.02)


@pytest.mark.parametrize("shape", [(200,), (4, 5, 10)])
def test_elsewhere_the_steepest_tenth_are_edges(shape):
    image = np.random.default_rng(0).random(shape).astype(np.float32)
    found = priors.edges(image, 30, 40)
    assert len(found) == 20
    assert torch.equal(found, found.sort().values)
    if len(shape) == 1:
        padded = np.pad(image, 1, mode="symmetric")
        steepness = np.abs(padded[2:] - padded[:-2])
        expected = sorted(range(200), key=lambda k: -steepness[k])[:20]
        assert set(found.tolist()) == set(expected)


@pytest.mark.parametrize("released", [False, True])
@pytest.mark.parametrize("share", [0.02, 0.1, 0.25])
def test_anchors_fill_their_share_where_there_are_edges(share, released):
    image = photograph()
    found = priors.anchors(image, share, stream(), released=released)
    wanted = int(share * image.size)
    assert len(found) == len(found.unique()) <= wanted
    assert released or len(found) == wanted
    assert torch.equal(found, found.sort().values)
    steep = np.abs(np.gradient(image)).max(0).flatten()
    assert steep[found].mean() > 1.5 * steep.mean()


@pytest.mark.parametrize("share", [0.02, 0.05, 0.1, 0.15])
def test_bisection_finds_a_threshold_with_that_share_of_edges(share):
    assert priors._bisected(photograph(), share).mean() == pytest.approx(share, rel=0.2)


def test_anchors_are_drawn_from_the_seed_alone():
    state = torch.get_rng_state()
    image = photograph()
    first, again, other = (
        priors.anchors(image, 0.05, stream(seed)).tolist() for seed in (3, 3, 4)
    )
    assert first == again
    assert first != other
    assert torch.equal(torch.get_rng_state(), state)


def test_scarce_edges_give_few_anchors_and_a_flat_picture_none():
    image = np.zeros((40, 40), np.float32)
    image[:, 20:] = 1
    for released in (False, True):
        assert 0 < len(priors.anchors(image, 0.3, stream(), released=released)) <= 160
        flat = np.full((40, 40), 0.5, np.float32)
        assert len(priors.anchors(flat, 0.3, stream(), released=released)) == 0


def test_the_released_search_begins_at_otsus_threshold_and_stops_within_a_fifth(monkeypatch):
    image, asked = photograph(), []

    def canny(image, low, high):
        asked.append((low, high))
        mask = np.zeros(image.shape, bool)
        mask.flat[: int(0.3 * image.size)] = True
        return mask

    monkeypatch.setattr(priors, "_canny", canny)
    priors.anchors(image, 0.25, stream(), released=True)
    otsu = threshold_otsu((image * 255).round().astype(np.uint8)) * np.pi / 4 / 255
    assert asked == [(pytest.approx(otsu / 2), pytest.approx(otsu))]
    asked.clear()
    priors.anchors(image, 0.1, stream(), released=True)
    assert len(asked) == 100
    assert asked[1] == (pytest.approx(otsu / 2), pytest.approx(4 * otsu, rel=1e-3))


def test_the_density_follows_the_gradient():
    image = photograph().astype(np.float64)
    cumulative = priors.edge_density(image)
    assert cumulative.dtype == torch.float64
    assert (cumulative[0], cumulative[-1]) == (0, 1)
    padded = np.pad(image, 1, mode="symmetric")
    kernel = np.array([[-1, -2, -1], [0, 0, 0], [1, 2, 1]])
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3))
    squares = [(windows * part).sum((2, 3)) ** 2 for part in (kernel, kernel.T)]
    magnitude = np.sqrt(sum(squares))
    density = np.clip(magnitude / magnitude.max(), 1e-5, 1).flatten()
    expected = density / density.sum()
    np.testing.assert_allclose(cumulative.diff().numpy(), expected, rtol=1e-5, atol=1e-12)


def test_black_around_the_picture_makes_its_frame_an_edge_only_in_the_released_code():
    image = np.full((10, 12), 0.5, np.float32)
    ours = priors.edge_density(image).diff().reshape(10, 12)
    released = priors.edge_density(image, released=True).diff().reshape(10, 12)
    torch.testing.assert_close(ours, torch.full_like(ours, 1 / 120))
    assert released[0].min() > 1000 * released[5, 5]


def slow_released_density(image):
    """Per column, with loops: black around, the root of both Sobel sums, over the column's top."""
    height, width = image.shape
    padded = np.pad(image.astype(np.float64), 1)
    found = np.empty((height, width))
    for c in range(width):
        for r in range(height):
            (a, b, d), (e, _, f), (g, h, i) = padded[r : r + 3, c : c + 3]
            across, down = d + 2 * f + i - a - 2 * e - g, g + 2 * h + i - a - 2 * b - d
            found[r, c] = np.sqrt(across**2 + down**2)
        found[:, c] /= found[:, c].max() + 1e-7
    found = np.clip(found, 1e-5, 1)
    return found / found.sum()


def test_the_released_density_has_a_maximum_per_column():
    image = photograph()[:20, :24].copy()
    image[:, 10:13] = 0.0  # a column without any gradient, and one with a faint one
    image[8, 15:18] += 1e-7
    found = priors.edge_density(image, released=True).diff().reshape(image.shape)
    np.testing.assert_allclose(found.numpy(), slow_released_density(image), rtol=1e-4, atol=1e-12)
    tops = found.max(dim=0).values
    assert tops[11] == pytest.approx(float(found.min()))
    assert (tops[[0, 5, 20]] / tops.max()).tolist() == pytest.approx([1, 1, 1], abs=1e-5)
    sound = np.sin(np.arange(50) / 3).astype(np.float32)
    top = priors.edge_density(sound, released=True).diff()
    assert (top == top.max()).sum() < 5  # no picture has no columns


@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("block", [5, 100])
def test_the_points_nearest_to_a_surface_stand_in_for_edges(share, block):
    signal = tiny_points(50, half_range=0.5)
    near = priors.nearest(signal.blocks(block), 50, share)
    count = int(50 * share)
    distance = signal.values[:, 0].abs()
    by_distance = sorted(range(50), key=lambda i: float(distance[i]))
    assert near.tolist() == sorted(by_distance[:count])
