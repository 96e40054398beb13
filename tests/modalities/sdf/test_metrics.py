import numpy as np
import pytest
import trimesh

from nint_cli.modalities.sdf.metrics import iou, sdf_error, surface_distances
from nint_cli.modalities.sdf.shape import sample_surface


def compared(mesh_a, mesh_b, count, generator, **options):
    samples = [sample_surface(*mesh, count, generator) for mesh in (mesh_a, mesh_b)]
    return surface_distances(*samples, **options)


def seeded():
    return np.random.default_rng(7)


def ball(radius):
    made = trimesh.creation.icosphere(subdivisions=4, radius=radius)
    return np.asarray(made.vertices), np.asarray(made.faces)


def square(height, *, flipped=False, size=1.0):
    vertices = size * np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], float)
    faces = np.array([[0, 1, 2], [0, 2, 3]])
    return vertices + np.array([0, 0, height]), faces[:, ::-1] if flipped else faces


def brute_force(points_a, normals_a, points_b, normals_b, threshold):
    apart = np.sqrt(((points_a[:, None] - points_b[None]) ** 2).sum(axis=-1))
    one, other = apart.min(axis=1), apart.min(axis=0)
    cosine = np.abs(normals_a @ normals_b.T)
    cos_a = [cosine[i, apart[i].argmin()] for i in range(len(points_a))]
    cos_b = [cosine[apart[:, j].argmin(), j] for j in range(len(points_b))]
    p, r = (one < threshold).mean(), (other < threshold).mean()
    return (
        (one.mean() + other.mean()) / 2,
        (one**2).mean() + (other**2).mean(),
        2 / (1 / p + 1 / r),
        (np.mean(cos_a) + np.mean(cos_b)) / 2,
    )


def test_the_distances_are_those_of_all_pairs():
    mesh_a, mesh_b = ball(0.6), (ball(0.63)[0] * [1, 1, 0.9], ball(0.63)[1])
    found = compared(mesh_a, mesh_b, 400, seeded(), threshold=0.06)
    generator = seeded()
    points_a, normals_a = sample_surface(*mesh_a, 400, generator)
    points_b, normals_b = sample_surface(*mesh_b, 400, generator)
    expected = brute_force(points_a, normals_a, points_b, normals_b, 0.06)
    assert (
        found.chamfer_l1,
        found.chamfer_squared,
        found.f_score,
        found.normal_consistency,
    ) == pytest.approx(expected, rel=1e-12)
    assert 0.1 < found.f_score < 0.9


def test_concentric_spheres_are_as_far_apart_as_their_radii():
    found = compared(ball(0.6), ball(0.7), 20_000, seeded())
    assert found.chamfer_l1 == pytest.approx(0.1, rel=0.01)
    assert found.chamfer_squared == pytest.approx(2 * 0.1**2, rel=0.02)
    assert found.f_score == 0
    assert found.normal_consistency == pytest.approx(1, abs=2e-3)


def test_shifted_planes_are_as_far_apart_as_the_shift():
    found = compared(square(0), square(0.019), 100_000, seeded())
    assert found.chamfer_l1 == pytest.approx(0.019, rel=0.02)
    assert found.f_score > 0.98  # the nearest sample is a little farther than the plane
    assert compared(square(0), square(0.0201), 1000, seeded()).f_score == 0
    turned = compared(square(0), square(0.1, flipped=True), 100, seeded())
    assert turned.normal_consistency == pytest.approx(1, abs=1e-12)


def test_what_one_surface_lacks_counts_in_one_direction():
    whole, half = square(0, size=1.0), square(0, size=0.5)
    found = compared(whole, half, 20_000, seeded())
    # A quarter of the whole, and the rim around it, has a point of the half within reach.
    share = 0.25 + 2 * 0.5 * 0.02 + np.pi * 0.02**2 / 4
    assert found.f_score == pytest.approx(2 * share / (1 + share), rel=0.03)
    # Mean distance of the unit square to its quarter: two strips of 1/2 by 1/2, and the corner.
    corner = (np.sqrt(2) + np.arcsinh(1)) / 3 * 0.5
    expected = 0.25 * 0.25 * 2 + 0.25 * corner
    assert found.chamfer_l1 == pytest.approx(expected / 2, rel=0.03)


def test_points_are_drawn_by_area():
    vertices = np.array([[0, 0, 0], [3, 0, 0], [0, 1, 0], [0, 0, 5], [1, 0, 5], [0, 1, 5.0]])
    faces = np.array([[0, 0, 1], [0, 1, 2], [3, 4, 5], [5, 5, 5]])
    points, normals = sample_surface(vertices, faces, 40_000, seeded())
    lower = points[:, 2] == 0
    assert lower.mean() == pytest.approx(0.75, abs=0.01)
    assert points[lower].mean(axis=0) == pytest.approx([1, 1 / 3, 0], abs=0.02)
    assert np.cov(points[lower].T)[0, 0] == pytest.approx(9 / 18, rel=0.03)
    assert (normals == [0, 0, 1]).all()
    again, _ = sample_surface(vertices, faces, 40_000, seeded())
    assert np.array_equal(points, again)


def test_a_point_as_far_as_the_threshold_is_too_far():
    normals = np.array([[0.0, 0, 1], [0, 0, 1]])
    points = np.array([[0.0, 0, 0], [1, 0, 0]])
    moved = points + np.array([0, 0, 0.25])
    for threshold, expected in ((0.25, 0.0), (np.nextafter(0.25, 1), 1.0)):
        found = surface_distances((points, normals), (moved, normals), threshold=threshold)
        assert found.f_score == expected


def test_rounding_does_not_lift_the_consistency_of_normals_above_one():
    points, normal = np.zeros((1, 3)), np.array([[0.6, 0.8, np.sqrt(2) * 1e-8]])
    assert (normal * normal).sum() > 1
    found = surface_distances((points, normal), (points, normal))
    assert found.normal_consistency == 1


@pytest.mark.parametrize("faces", [np.zeros((0, 3), int), np.array([[0, 0, 1], [2, 2, 2]])])
def test_a_surface_without_area_is_refused(faces):
    with pytest.raises(ValueError, match="no area"):
        compared(square(0), (square(0)[0], faces), 10, seeded())


def test_iou_counts_cells():
    a, b = np.zeros((4, 4, 4), bool), np.zeros((4, 4, 4), bool)
    a[:2], b[1:3] = True, True
    assert iou(a, b) == pytest.approx(16 / 48)
    assert iou(a, a) == 1
    assert iou(a, ~a) == 0
    with pytest.raises(ValueError, match="neither"):
        iou(a & ~a, b & ~b)


def test_the_error_of_the_distance_is_taken_near_the_surface():
    true = np.array([-0.2, -0.1, 0.05, 0.1, 0.3], np.float32)
    predicted = np.array([9, -0.11, 0.08, 9, 9], np.float32)
    assert sdf_error(predicted, true, 0.1) == pytest.approx(0.03)
    assert sdf_error(predicted, true.astype(np.float64), 0.11) == pytest.approx((0.04 + 8.9) / 3)
    with pytest.raises(ValueError, match="no point"):
        sdf_error(predicted, true, 0.01)
