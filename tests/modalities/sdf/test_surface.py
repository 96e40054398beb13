import numpy as np
import pytest
import torch
import trimesh
from scipy.spatial import cKDTree
from skimage.measure import marching_cubes

from nint_cli.modalities.sdf.surface import extract, occupancy, values_at


def sphere(p, radius=0.7):
    return p.norm(dim=1) - radius


def torus(p):
    ring = torch.stack([p[:, :2].norm(dim=1) - 0.6, p[:, 2]], dim=1)
    return ring.norm(dim=1) - 0.25


def box(p):
    past = p.abs() - torch.tensor([0.5, 0.4, 0.7])
    return past.clamp(min=0).norm(dim=1) + past.amax(dim=1).clamp(max=0)


def sheet(p):
    return torch.maximum(box(p), p[:, 2].abs() - 0.012)


def two_spheres(p):
    left, right = p - torch.tensor([0.41, 0, 0]), p + torch.tensor([0.41, 0, 0])
    return torch.minimum(left.norm(dim=1), right.norm(dim=1)) - 0.4


def wobbly(p):
    """Like a badly fitted field: its slope is anywhere between 0.4 and 3."""
    ripple = (9 * p).sin().prod(dim=1)
    return torus(p) * (1.7 + 1.1 * (3 * p[:, 0]).sin()) + 0.05 * ripple


def cube(p):
    """Exactly zero at many points of the grids."""
    return p.abs().amax(dim=1) - 0.5


SHAPES = (sphere, torus, box, sheet, two_spheres, wobbly, cube)


class Counted:
    def __init__(self, distance):
        self.distance, self.count = distance, 0

    def __call__(self, coords):
        self.count += len(coords)
        return self.distance(coords)


def dense(distance, first, step, count):
    axis = (first + step * np.arange(count)).astype(np.float32)
    coords = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1)
    return values_at(distance, coords.reshape(-1, 3)).reshape((count,) * 3)


def marched(distance, resolution):
    step = 2 / (resolution - 1)
    values = dense(distance, -1, step, resolution) / np.float32(step)
    values[values == 0] = -1e-5
    vertices, faces, *_ = marching_cubes(values, 0, gradient_direction="descent")
    return -1 + step * vertices.astype(np.float64), faces


def solid(mesh):
    return trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)


@pytest.mark.parametrize("distance", SHAPES)
@pytest.mark.parametrize("resolution", [9, 65, 131])
def test_the_mesh_is_that_of_the_whole_grid(distance, resolution):
    counted = Counted(distance)
    mesh = extract(counted, resolution)
    vertices, faces = marched(distance, resolution)
    if distance is not cube:  # its vertices coincide where the values are zero
        assert mesh.vertices.shape == vertices.shape
        assert mesh.faces.shape == faces.shape
    for ours, theirs in (
        (mesh.vertices, vertices),
        (mesh.vertices[mesh.faces].mean(axis=1), vertices[faces].mean(axis=1)),
    ):
        assert cKDTree(ours).query(theirs)[0].max() < 1e-5
        assert cKDTree(theirs).query(ours)[0].max() < 1e-5
    if resolution > 100:
        assert counted.count < 0.6 * resolution**3
    assert solid(mesh).is_watertight
    assert solid(mesh).volume > 0


@pytest.mark.parametrize("distance", SHAPES)
@pytest.mark.parametrize("resolution", [2, 64, 97, 130])
def test_the_occupancy_is_that_of_the_whole_grid(distance, resolution):
    counted = Counted(distance)
    inside = occupancy(counted, resolution)
    centres = dense(distance, -1 + 1 / resolution, 2 / resolution, resolution)
    assert np.array_equal(inside, centres <= 0)
    if resolution >= 128:
        assert counted.count < 0.6 * resolution**3


def test_a_surface_is_followed_where_the_coarse_values_do_not_show_it():
    def thread(p):  # a ball, and a thread from it that no coarse point is near
        ball = (p - torch.tensor([-0.6, 0.013, 0.013])).norm(dim=1) - 0.2
        near = (p[:, 1:] - 0.013).abs().amax(dim=1) - 0.009
        inside = (near < 0) & (p[:, 0].abs() < 0.6)
        return torch.where(inside, torch.full_like(ball, -0.01), ball.clamp(max=0.3))

    mesh = extract(thread, 129)
    vertices, faces = marched(thread, 129)
    assert vertices[:, 0].max() > 0.59
    assert mesh.vertices[:, 0].max() == pytest.approx(vertices[:, 0].max())
    assert mesh.faces.shape == faces.shape


def test_the_volume_is_right():
    mesh = extract(sphere, 96)
    assert solid(mesh).volume == pytest.approx(4 / 3 * np.pi * 0.7**3, rel=2e-3)
    share = occupancy(sphere, 96).mean()
    assert 8 * share == pytest.approx(4 / 3 * np.pi * 0.7**3, rel=2e-3)


@pytest.mark.parametrize("value", [-0.1, 0.1, float("nan"), float("inf"), -float("inf")])
def test_no_zero_level_is_no_mesh(value):
    def everywhere(p):
        return torch.full((len(p),), value)

    assert extract(everywhere, 40) is None
    assert occupancy(everywhere, 40).all() == (value == -0.1)


def test_what_is_not_a_number_is_outside():
    def broken(p):
        return torch.where(p[:, 0] > 0, torch.full_like(p[:, 0], torch.nan), sphere(p))

    mesh = extract(broken, 66)
    assert solid(mesh).is_watertight
    assert mesh.vertices[:, 0].max() < 0.02


def test_a_surface_that_leaves_the_box_is_open_there():
    mesh = extract(lambda p: p[:, 2] - 0.2 * p[:, 0] - 0.0137, 70)
    assert np.abs(mesh.vertices).max() == 1
    assert solid(mesh).face_normals[:, 2].min() > 0.9
    assert not solid(mesh).is_watertight


def test_a_gradient_is_not_asked_for():
    layer = torch.nn.Linear(3, 1)
    values = values_at(layer, np.zeros((5, 3), np.float32))
    assert values.shape == (5,)
    assert (values == layer.bias.item()).all()
