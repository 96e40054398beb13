"""The pool of points at which a shape's distance is known: how it is drawn, and kept.

Legend: N points, V vertices, F faces.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from nint_cli.modalities.sdf.distance import DistanceField
from nint_cli.modalities.sdf.shape import sample_surface
from nint_cli.signals.json_text import parsed

_VERSION = 1  # of the rule that draws; a pool of another is drawn anew


@dataclass(frozen=True)
class PoolPlan:
    """How a pool is drawn.

    Attributes:
        points: N.
        fine_share: Share at the fine scale around the surface.
        coarse_share: Share at the coarse scale; the rest is uniform in [-1, 1]^3.
        fine_scale: Standard distance (or Laplace scale) of the fine points, per coordinate.
        coarse_scale: The same of the coarse points.
        noise: How points are strewn around the surface.
        seed: Of all draws; each has its number besides.
    """

    points: int
    fine_share: float
    coarse_share: float
    fine_scale: float
    coarse_scale: float
    noise: Literal["normal", "laplace"]
    seed: int

    def counts(self) -> tuple[int, int, int]:
        """Give the number of fine, coarse and uniform points."""
        fine = round(self.fine_share * self.points)
        near = round((self.fine_share + self.coarse_share) * self.points)
        return fine, near - fine, self.points - near


@dataclass(frozen=True)
class Pool:
    """Points of a draw.

    Attributes:
        coords: (N, 3) float32 in [-1, 1].
        distances: (N,) float32, negative inside.
        sha256: Hash of both.
    """

    coords: NDArray[np.float32]
    distances: NDArray[np.float32]

    @property
    def sha256(self) -> str:
        """Hash of coords and distances."""
        return hashlib.sha256(self.coords.tobytes() + self.distances.tobytes()).hexdigest()


def draw_pool(plan: PoolPlan, distance: DistanceField, number: int = 0) -> Pool:
    """Draw a pool, in random order.

    Points around the surface are uniform on it, by area, plus noise in each coordinate, as in INT
    (arXiv 2405.10531) and BACON (Lindell et al., 2022, arXiv 2112.04645); what leaves the box is
    reflected at its wall, where their code lets it come in again on the other side.

    Args:
        plan: How.
        distance: Of the shape.
        number: Of the draw; the same number gives the same points.

    Returns:
        The pool; distances are those of the coords as they are rounded to float32.
    """
    rng = np.random.default_rng([plan.seed, number])
    fine, coarse, uniform = plan.counts()
    surface, _ = sample_surface(distance.shape.vertices, distance.shape.faces, fine + coarse, rng)
    scale = np.repeat([plan.fine_scale, plan.coarse_scale], [fine, coarse])[:, None]
    noise = rng.laplace if plan.noise == "laplace" else rng.normal
    near = _reflected(surface + scale * noise(size=surface.shape))
    anywhere = rng.uniform(-1, 1, size=(uniform, 3))
    coords = np.concatenate([near, anywhere]).astype(np.float32)
    coords = coords[rng.permutation(len(coords))]
    return Pool(coords, distance.signed(coords.astype(np.float64)).astype(np.float32))


def _reflected(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Bring points into [-1, 1] by reflection at the walls, as often as it takes."""
    folded = np.abs(np.mod(points - 1, 4) - 2) - 1
    return np.where(np.abs(points) <= 1, points, folded)


def encode_pool(pool: Pool, plan: PoolPlan, mesh_sha256: str) -> bytes:
    """Turn a pool into a file's content.

    Args:
        pool: The first draw.
        plan: How it was drawn.
        mesh_sha256: Hash of the mesh that it belongs to.

    Returns:
        A safetensors file.
    """
    about = {"key": pool_key(plan, mesh_sha256), "sha256": pool.sha256}
    tensors = {"coords": pool.coords, "distances": pool.distances}
    return bytes(save(tensors, metadata={"pool": json.dumps(about)}))


def decode_pool(data: bytes, plan: PoolPlan, mesh_sha256: str) -> Pool | None:
    """Read a pool that was kept.

    Args:
        data: A file's content.
        plan: How the pool must have been drawn.
        mesh_sha256: Hash of the mesh that it must belong to.

    Returns:
        The pool; None if it is another one, or damaged, so that it has to be drawn again.
    """
    try:
        length = int.from_bytes(data[:8], "little")
        about = parsed(parsed(data[8 : 8 + length])["__metadata__"]["pool"])
        tensors = load(data)
        pool = Pool(tensors["coords"], tensors["distances"])
        sound = about == {"key": pool_key(plan, mesh_sha256), "sha256": pool.sha256}
    except (SafetensorError, ValueError, KeyError, TypeError):
        return None
    return pool if sound else None


def pool_key(plan: PoolPlan, mesh_sha256: str) -> str:
    """Hash what determines a pool."""
    document = json.dumps([_VERSION, mesh_sha256, asdict(plan)], sort_keys=True)
    return hashlib.sha256(document.encode()).hexdigest()
