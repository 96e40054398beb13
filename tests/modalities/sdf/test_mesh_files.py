"""Meshes as files of each kind, read back."""

import io

import numpy as np
import pytest
import trimesh

from nint_cli.modalities.sdf.mesh_files import ENCODERS, encode_mesh
from nint_cli.modalities.sdf.surface import Mesh, extract
from tests.modalities.sdf.test_surface import torus

NEAR, FAR = np.array([100.0, -3.0, 0.5]), np.array([500_000.0, 5_000_000.0, 100.0])


@pytest.fixture(scope="module")
def mesh():
    return extract(torus, 40)


def read(kind, content):
    return trimesh.load_mesh(io.BytesIO(content), file_type=kind, process=False)


@pytest.mark.parametrize("kind", sorted(ENCODERS))
@pytest.mark.parametrize(
    ("scale", "centre", "precision"),
    [
        (25.0, NEAR, 1e-5),
        (1.0, FAR, 1e-6),
        (1e-3, FAR, 1e-5),
        (1e5, FAR, 1e-5),
        (1e-6, 0 * FAR, 1e-6),
    ],
)
def test_a_mesh_comes_back_in_its_place_with_its_normals(mesh, kind, scale, centre, precision):
    found = read(kind, encode_mesh(kind, mesh, scale, centre))
    where = (np.array(found.triangles) - centre) / scale
    np.testing.assert_allclose(where, mesh.vertices[mesh.faces], atol=precision)
    assert len(np.unique(np.array(found.vertices)[:, 1])) > 250
    ring = where.mean(axis=1) * [1, 1, 0]
    out = where.mean(axis=1) - 0.6 * ring / np.linalg.norm(ring, axis=1, keepdims=True)
    out /= np.linalg.norm(out, axis=1, keepdims=True)
    if kind != "stl" and scale >= 1e-3:  # below, trimesh takes all normals for zero
        assert len(found.vertices) == len(mesh.vertices)
        normals = np.array(found.vertex_normals)[np.array(found.faces)].mean(axis=1)
        assert "vertex_normals" in found._cache  # those of the file
        assert (normals * out).sum(axis=1).min() > 0.9


def test_32_bits_are_written_where_they_are_enough(mesh):
    assert b"property float x" in encode_mesh("ply", mesh, 25.0, NEAR)
    assert b"property double x" in encode_mesh("ply", mesh, 1.0, FAR)
    for where in (NEAR, FAR):
        assert b"property float nx" in encode_mesh("ply", mesh, 25.0, where)
    assert encode_mesh("stl", mesh, 1.0, FAR).startswith(b"solid")
    binary = encode_mesh("stl", mesh, 25.0, NEAR)
    assert len(binary) == 84 + 50 * len(mesh.faces)
    lines = encode_mesh("obj", mesh, 25.0, NEAR).splitlines()
    assert max(map(len, lines)) < 45


@pytest.mark.parametrize(
    ("kind", "scale"),
    [("obj", 1e-150), ("ply", 1e-150), ("stl", 1e-150), ("obj", 1e150), ("ply", 1e150)],
)
def test_sizes_beyond_32_bits_are_kept(mesh, kind, scale):
    found = read(kind, encode_mesh(kind, mesh, scale, np.zeros(3)))
    corners = np.array(found.vertices)[np.array(found.faces)]
    np.testing.assert_allclose(corners / scale, mesh.vertices[mesh.faces])


def test_a_single_triangle_has_the_normal_of_its_side():
    mesh = Mesh(np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]]), np.array([[0, 1, 2]]))
    assert encode_mesh("obj", mesh, 2.0, NEAR) == (
        b"v 100 -3 0.5\nv 102 -3 0.5\nv 100 -1 0.5\n"
        b"vn 0 0 1\nvn 0 0 1\nvn 0 0 1\nf 1//1 2//2 3//3\n"
    )
