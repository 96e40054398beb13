"""The settings of shapes."""

from collections.abc import Mapping
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from nint_cli.modalities.settings import ModalitySettings
from nint_cli.settings import Circumstances, Share

FINEST_GRID = 1024
"""The most points along each edge of a grid."""


class SdfSettings(ModalitySettings):
    """How a shape is read, where its distance is sampled, and how it is judged."""

    measures: ClassVar[tuple[str, ...]] = (
        "iou_resolution",
        "surface_samples",
        "mc_resolution",
        "watch_resolution",
        "format",
    )
    watched: ClassVar[tuple[str, ...]] = ("watch_resolution",)
    limits: ClassVar[tuple[str, ...]] = ("max_faces",)

    points: int = Field(
        1 << 19, ge=64, le=1 << 28, description="points of the pool that is trained on"
    )
    fine_share: Share = Field(
        0.45, description="share of the pool close to the surface, at the fine scale"
    )
    coarse_share: Share = Field(
        0.35,
        description="share of the pool near the surface, at the coarse scale; the rest is "
        "uniform in the box",
    )
    fine_scale: float = Field(
        0.01, gt=0, le=2, description="standard distance of the fine points, in half boxes"
    )
    coarse_scale: float = Field(0.1, gt=0, le=2, description="the same of the coarse points")
    noise: Literal["normal", "laplace"] = Field(
        "normal", description="how points are strewn around the surface, per coordinate"
    )
    resample: int | None = Field(
        None, ge=1, description="steps between draws of a new pool; null: one pool for all"
    )
    half_range: float = Field(
        1.0,
        gt=0,
        le=1e6,
        description="half the edge of the box in coords; distances are in the same unit",
    )
    max_faces: int = Field(
        5_000_000, ge=1, description="a mesh with more triangles is refused, early where it can be"
    )
    require_watertight: bool = Field(
        False,
        description="whether to refuse a mesh with holes instead of closing them by the "
        "winding number",
    )
    weld: float = Field(
        0.0,
        ge=0,
        description="vertices this close to each other become one, in the input's units; 0: "
        "those that are equal to the last bit",
    )
    format: Literal["ply", "obj", "stl", "glb"] = Field(
        "ply", description="kind of file that the reconstructed mesh is written as"
    )
    mc_resolution: int = Field(
        256,
        ge=8,
        le=FINEST_GRID,
        description="grid points along each edge for the reconstructed mesh",
    )
    iou_resolution: int = Field(
        128, ge=8, le=1024, description="cells along each edge of the grid of the IoU"
    )
    watch_resolution: int = Field(
        64, ge=8, le=512, description="the same while the run goes on, for log and targets"
    )
    surface_samples: int = Field(
        300_000,
        ge=100,
        le=10_000_000,
        description="points on each surface for distances between them",
    )
    preview_size: int = Field(
        480, ge=16, le=4096, description="pixels along each edge of the pictures of the shape"
    )

    @model_validator(mode="after")
    def _shares_fit(self) -> Self:
        if self.fine_share + self.coarse_share > 1:
            raise ValueError(
                f"sdf.fine_share {self.fine_share:g} and sdf.coarse_share {self.coarse_share:g} "
                "are together more than 1; lower one of them"
            )
        return self

    def unused(self, around: Circumstances) -> Mapping[str, str]:
        """Return what says how points are drawn that the pool has none of; see `Section`."""
        found: dict[str, str] = {}
        for each in ("fine", "coarse"):
            if getattr(self, f"{each}_share") == 0:
                found[f"{each}_scale"] = f"sdf.{each}_share is 0; raise it"
        if len(found) == 2:
            found["noise"] = "sdf.fine_share and sdf.coarse_share are 0; raise one of them"
        return found
