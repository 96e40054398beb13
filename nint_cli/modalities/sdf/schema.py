"""What metrics.json says of a shape."""

from typing import Literal

from pydantic import Field

from nint_cli.metrics.schema import InputRecord, Quality, Row, RunMetrics
from nint_cli.metrics.text import shown_or_reason


class SdfQuality(Quality):
    """How close a shape's reconstruction is; conventions in `metrics.shape`.

    Lengths are in units of the box [-1, 1]^3 in which the shape is fitted, so the longest side of
    the shape has 1.8 of them.
    """

    iou: float | None = Field(None, ge=0, le=1, description="intersection over union of insides")
    iou_resolution: int | None = Field(None, description="cells along each edge for iou")
    iou_reason: str | None = Field(None, description="why iou is null")
    sdf_error: float | None = Field(
        None, ge=0, description="mean absolute error of the distance near the surface"
    )
    sdf_error_reason: str | None = Field(None, description="why sdf_error is null")
    chamfer_l1: float | None = Field(
        None, ge=0, description="mean distance between the surfaces, average of both directions"
    )
    chamfer_squared: float | None = Field(
        None, ge=0, description="mean squared distance between them, sum of both directions"
    )
    f_score: float | None = Field(
        None, ge=0, le=1, description="F-score for a distance of 1 % of the box's edge"
    )
    normal_consistency: float | None = Field(
        None, ge=0, le=1, description="mean absolute cosine between the normals of nearest points"
    )
    surface_reason: str | None = Field(
        None, description="why chamfer, f_score and normal_consistency are null"
    )

    def rows(self, *, fine: bool = False) -> list[Row]:
        """Return the IoU with its resolution, and the other measures; see `Quality.rows`."""
        at = f" at {self.iou_resolution}^3" if self.iou is not None else ""
        rows = [
            ("Chamfer L1", "chamfer_l1", self.surface_reason),
            ("Chamfer squared", "chamfer_squared", self.surface_reason),
            ("F-score", "f_score", self.surface_reason),
            ("normals", "normal_consistency", self.surface_reason),
            ("SDF error", "sdf_error", self.sdf_error_reason),
        ]
        return [
            ("IoU", shown_or_reason(self, "iou", self.iou_reason, fine=fine) + at),
            *((name, shown_or_reason(self, key, why, fine=fine)) for name, key, why in rows),
        ]


class SdfInput(InputRecord):
    """A shape that was fitted."""

    kind: Literal["sdf"] = "sdf"
    vertices: int
    faces: int
    watertight: bool
    holes: int = Field(description="boundary loops")
    points: int = Field(description="points of the pool that was trained on")
    pool_sha256: str = Field(description="of the pool's content")
    pool_seed: int = Field(description="seed of its draw")
    centre: list[float] = Field(description="centre of the box, in the input's units")
    scale: float = Field(description="half the edge of the box, in the input's units")

    bounds: list[list[float]] | None = Field(
        None,
        description="least and greatest coordinates, in the input's units; null in runs of an "
        "earlier version",
    )
    walls_removed: float | None = Field(
        None,
        ge=0,
        le=1,
        description="share of the surface that lay within bodies that were united, and is gone; "
        "null as above",
    )
    walls_left: float | None = Field(
        None,
        ge=0,
        le=1,
        description="share of what is left, by 1,024 points, with the inside on both sides or on "
        "neither: distances are to it, too, and from 0.01 on chamfer, F-score and normals are "
        "not; null as above",
    )

    def extent(self) -> tuple[float, ...]:
        """Return nothing: a shape is fitted as a whole; see `InputRecord.extent`."""
        return ()

    def describe(self) -> str:
        """Return the number of triangles; see `InputRecord.describe`."""
        return f"{self.faces:,} triangles"


class SdfMetrics(RunMetrics, SdfQuality):
    """metrics.json of a shape."""

    input: SdfInput
    best_iou: float | None = Field(
        None, description="highest IoU of any evaluation, at sdf.watch_resolution"
    )
