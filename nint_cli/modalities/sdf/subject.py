"""Shapes: `nint fit sdf`."""

import dataclasses
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nint_cli.derivatives.engine import EXACT
from nint_cli.errors import ConfigError
from nint_cli.fields.base import Field
from nint_cli.metrics.schema import FieldRecord
from nint_cli.modalities.base import (
    Evaluation,
    Piece,
    ReadSaved,
    SaveFile,
    Setup,
    Subject,
    nothing_saved,
    unwatched,
)
from nint_cli.modalities.modality import Modality
from nint_cli.modalities.sdf import MODALITY, surface
from nint_cli.modalities.sdf.costs import (
    CELL_COST,
    FIELD_COST,
    LEAST_CELLS,
    POOL_POINT_COST,
    SURFACE_POINT_COST,
    TRUE_COST,
    WATCH_COST,
    Costs,
    left_out,
)
from nint_cli.modalities.sdf.distance import DistanceField
from nint_cli.modalities.sdf.files import read_shape
from nint_cli.modalities.sdf.mesh_files import ENCODERS, encode_mesh
from nint_cli.modalities.sdf.metrics import (
    iou,
    sdf_error,
    surface_distances,
)
from nint_cli.modalities.sdf.pictures import selection_picture, shape_picture
from nint_cli.modalities.sdf.pool import Pool, PoolPlan, decode_pool, draw_pool, encode_pool
from nint_cli.modalities.sdf.record import SdfRecord
from nint_cli.modalities.sdf.schema import SdfInput, SdfQuality
from nint_cli.modalities.sdf.settings import FINEST_GRID, SdfSettings
from nint_cli.modalities.sdf.shape import Shape, sample_surface
from nint_cli.modalities.sdf.walls import WORTH_SAYING, sample_boundary, share_within, thin_note
from nint_cli.samplers.base import Selection
from nint_cli.signals.points import PointSignal
from nint_cli.signals.record import SignalRecord
from nint_cli.signals.source import identity
from nint_cli.signals.stratified import rounded_down, spread_indices

RECONSTRUCTION = "reconstruction"
PREVIEW = "preview.png"
SELECTION = "selection.png"
POOL = "pool.safetensors"

_BAND = 0.05  # how near the surface is, in half boxes, for the error of the distance
_LOOKED_AT = 1 << 15  # points of the pool, for that error
_LEFT_OUT = "left out for the time it takes; nint eval measures all"
_NO_SURFACE = "the field has no zero level, so there is no surface"


@dataclass(frozen=True)
class SdfEvaluation(Evaluation):
    """A look at a field, and what more the end measures.

    Attributes:
        iou_reason: Why it has none, where it is.
        surface: Whether the surface is to be found, written and measured.
        drawn: Whether it is to be drawn.
    """

    iou_reason: str | None = None
    surface: bool = True
    drawn: bool = True


@dataclass(eq=False)
class SdfSubject(Subject):
    """A shape; see `Subject`.

    Attributes:
        source: A mesh file, or ``sample:NAME``.
        shape: Its triangles in the box.
        pool: The points of the first draw.
        plan: How points are drawn.
        signal: The points that are trained on.
        settings: How the shape is judged.
        walls_left: Share of its surface that bounds nothing.
        notes: What of its surface is not as it seems.
    """

    source: str
    shape: Shape
    pool: Pool
    plan: PoolPlan
    signal: PointSignal
    settings: SdfSettings
    walls_left: float
    notes: tuple[str, ...]
    _found: tuple[Evaluation, surface.Mesh | None] | None = dataclasses.field(
        default=None, init=False
    )
    _sample: tuple[tuple[int, int], NDArray[np.float32], NDArray[np.bool_]] | None = (
        dataclasses.field(default=None, init=False)
    )

    modality: ClassVar[Modality] = MODALITY
    smaller: ClassVar[str] = (
        "fewer points, --set sdf.points=100000, a coarser mesh, --mc-resolution 128"
    )
    files: ClassVar[Mapping[str, str]] = {
        **{f"reconstruction, {kind}": f"{RECONSTRUCTION}.{kind}" for kind in ENCODERS},
        "both shapes": PREVIEW,
        "selected coordinates": SELECTION,
        "training points": POOL,
    }

    @classmethod
    def read(
        cls,
        source: str,
        settings: SdfSettings,
        setup: Setup,
        like: SignalRecord | None = None,
        saved: ReadSaved = nothing_saved,
    ) -> Self:
        """Read a mesh, and draw the points to train on; see `Subject.read`.

        A pool that was kept is taken again where it is of the same mesh and plan.

        Raises:
            ConfigError: If points are to be held out.
        """
        if setup.holdout:
            raise ConfigError(
                f"holdout={setup.holdout:g}: a shape is measured on other points than those that "
                "train, so that nothing need be held out; leave it out"
            )
        shape = read_shape(
            source,
            max_faces=settings.max_faces,
            require_watertight=settings.require_watertight,
            weld=settings.weld,
        )
        if isinstance(like, SdfRecord):
            shape = shape.framed(np.array(like.centre), like.scale)
        plan = PoolPlan(
            settings.points,
            settings.fine_share,
            settings.coarse_share,
            settings.fine_scale,
            settings.coarse_scale,
            settings.noise,
            setup.seed,
        )
        distance = DistanceField(shape)
        data = saved(POOL)
        pool = decode_pool(data, plan, _box_sha256(shape)) if data is not None else None
        pool = pool or draw_pool(plan, distance)

        def draw(number: int) -> tuple[Tensor, Tensor]:
            return _tensors(pool if number == 0 else draw_pool(plan, distance, number))

        coords, values = _tensors(pool)
        signal = PointSignal(
            coords.to(setup.device),
            values.to(setup.device),
            half_range=settings.half_range,
            draw=draw if settings.resample is not None else None,  # or the trees would be kept
            redraw_every=settings.resample,
        )
        walls = share_within(distance)
        notes = _notes(source, distance, walls, settings)
        return cls(source, shape, pool, plan, signal, settings, walls, notes)

    @property
    def result(self) -> str:
        """Name of the file with the mesh."""
        return f"{RECONSTRUCTION}.{self.settings.format}"

    @property
    def sha256(self) -> str:
        """Hash of its triangles."""
        return self.shape.sha256

    @property
    def conversions(self) -> tuple[str, ...]:
        """What was done to the file's content."""
        return self.shape.conversions

    def mismatch(self, record: SignalRecord) -> str | None:
        """Give None: any shape can be compared with any other; see `Subject.mismatch`."""
        return None

    def describe(self) -> str:
        """Give the number of triangles and points; see `Subject.describe`."""
        return f"{len(self.shape.faces):,} triangles, {len(self.signal):,} points"

    def record(self) -> SdfRecord:
        """Give source, hash, frame and pool; see `Subject.record`."""
        a, b, c = self.signal.shape
        x, y, z = self.shape.centre.tolist()
        return SdfRecord(
            source=identity(self.source),
            sha256=self.sha256,
            channels=1,
            half_range=self.signal.half_range,
            points=len(self.signal),
            shape=(a, b, c),
            centre=(x, y, z),
            scale=self.shape.scale,
        )

    def input_record(self) -> SdfInput:
        """Give the mesh, its frame and its pool; see `Subject.input_record`."""
        shape = self.shape
        return SdfInput(
            source=identity(self.source),
            sha256=self.sha256,
            vertices=len(shape.vertices),
            faces=len(shape.faces),
            watertight=shape.watertight,
            holes=shape.holes,
            points=len(self.signal),
            pool_sha256=self.pool.sha256,
            pool_seed=self.plan.seed,
            centre=shape.centre.tolist(),
            scale=shape.scale,
            bounds=shape.bounds.tolist(),
            walls_removed=shape.walls_removed,
            walls_left=self.walls_left,
            conversions=list(self.conversions),
        )

    def field_record(self, name: str, field: Field) -> FieldRecord:
        """Give the field's size; see `Subject.field_record`."""
        return FieldRecord(name=name, parameters=field.parameter_count(), bytes=field.byte_count())

    def cache(self) -> dict[str, bytes]:
        """Give the pool, so that a run that goes on need not draw it; see `Subject.cache`."""
        return {POOL: encode_pool(self.pool, self.plan, _box_sha256(self.shape))}

    def evaluate(self, field: Field, units: int | None = None) -> SdfEvaluation:
        """Compare insides on a coarse grid, or at some cells of it, and some distances.

        See `Subject.evaluate`.
        """
        resolution = self.settings.watch_resolution
        points = _LOOKED_AT if units is None else units // (4 * POOL_POINT_COST)
        points = min(_LOOKED_AT, max(LEAST_CELLS // 2, rounded_down(points)))
        left = None if units is None else units - POOL_POINT_COST * points
        error, _ = self._distance_error(field, points)
        if left is not None and left < WATCH_COST * resolution**2:
            cells = min(resolution**3, rounded_down(max(LEAST_CELLS, left // CELL_COST)))
            found, _ = self._sampled_overlap(field, resolution, cells, unwatched)
            figures = {"iou": found, "sdf_error": error}
            return SdfEvaluation(figures, points=cells, sampled=True)
        predicted = surface.occupancy(self._distance_of(field), resolution)
        found, _ = _iou(predicted, self._watched)
        return SdfEvaluation({"iou": found, "sdf_error": error})

    def cost_within(self, units: int | None) -> int:
        """Units of measuring, marching and drawing; see `Subject.cost_within`."""
        return self._costs.within(units)

    @property
    def essential(self) -> int:
        """Units of the mesh and what is measured on it; see `Subject.essential`."""
        return self._costs.essential

    @property
    def _costs(self) -> Costs:
        return Costs(self.settings)

    def evaluate_fully(
        self,
        field: Field,
        save: SaveFile | None = None,
        *,
        units: int | None = None,
        piece: Piece = unwatched,
    ) -> SdfEvaluation:
        """Compare insides and distances, and choose what more there is time for.

        See `Subject.evaluate_fully`.
        """
        kept = self._costs.kept(units)
        if "overlap" in kept:
            found = self.evaluate(field)
        else:
            cells, resolution = self._costs.cells(units), self.settings.iou_resolution
            inside, reason = self._sampled_overlap(field, resolution, cells, piece)
            error, _ = self._distance_error(field)
            figures = {"iou": inside, "sdf_error": error}
            found = SdfEvaluation(figures, None, cells, sampled=True, iou_reason=reason)
        return dataclasses.replace(
            found,
            left_out=left_out(kept),
            surface="surface" in kept,
            drawn="drawing" in kept,
        )

    def _sampled_overlap(
        self, field: Field, resolution: int, count: int, piece: Piece
    ) -> tuple[float | None, str | None]:
        """Compare insides at some cells of a grid, evenly spread."""
        total = resolution**3
        count = min(count, total)
        if self._sample is None or self._sample[0] != (resolution, count):
            cells = spread_indices(total, count, self.plan.seed).numpy()
            coords = surface.cell_centres(cells, resolution)
            truth = true_distance(self._distance, piece)
            self._sample = (resolution, count), coords, surface.values_at(truth, coords) < 0
        _, coords, inside = self._sample
        found = surface.values_at(self._distance_of(field, piece), coords) < 0
        return _iou(found, inside)

    def confirmed(
        self, field: Field, evaluation: Evaluation, units: int | None = None
    ) -> dict[str, float | None]:
        """Give the IoU as the end will; see `Subject.confirmed`."""
        found = self._costs.parts["overlap"] if units is None else units
        if found >= self._costs.parts["overlap"]:
            return {"iou": self._overlap(field)[0]}
        return {"iou": self.evaluate_fully(field, units=units).figures["iou"]}

    @cached_property
    def _watched(self) -> NDArray[np.bool_]:
        """The true inside at `sdf.watch_resolution`."""
        return surface.occupancy(true_distance(self._distance), self.settings.watch_resolution)

    @cached_property
    def _distance(self) -> DistanceField:
        """The true distance; its trees are built when something is first looked at."""
        return DistanceField(self.shape)

    def quality(
        self, field: Field, evaluation: Evaluation, piece: Piece = unwatched
    ) -> SdfQuality:
        """Compare insides and surfaces, as far as there is time; see `Subject.quality`."""
        assert isinstance(evaluation, SdfEvaluation)
        error, error_reason = self._distance_error(field)
        overlap, reason = evaluation.figures["iou"], evaluation.iou_reason
        if not evaluation.sampled:
            overlap, reason = self._overlap(field, piece)
        found: dict[str, Any] = {"surface_reason": _LEFT_OUT}
        if evaluation.surface:
            found = self._surface_quality(self._extracted(field, evaluation, piece), piece)
        return SdfQuality(
            iou=overlap,
            iou_resolution=self.settings.iou_resolution,
            iou_reason=reason,
            sdf_error=error,
            sdf_error_reason=error_reason,
            **found,
        )

    def _overlap(self, field: Field, piece: Piece = unwatched) -> tuple[float | None, str | None]:
        """Compare insides at `sdf.iou_resolution`."""
        resolution = self.settings.iou_resolution
        truth = surface.occupancy(true_distance(self._distance, piece), resolution)
        return _iou(surface.occupancy(self._distance_of(field, piece), resolution), truth)

    def _surface_quality(
        self, mesh: surface.Mesh | None, piece: Piece = unwatched
    ) -> dict[str, Any]:
        if mesh is None:
            return {"surface_reason": _NO_SURFACE}
        rng = np.random.default_rng(self.plan.seed)
        count = self.settings.surface_samples
        try:
            if self.walls_left < WORTH_SAYING:
                true = sample_surface(self.shape.vertices, self.shape.faces, count, rng)
            else:
                true = sample_boundary(self._distance, count, rng)
        except ValueError as error:
            return {"surface_reason": str(error)}
        found = sample_surface(mesh.vertices, mesh.faces, count, rng)
        distances = surface_distances(found, true)
        piece(SURFACE_POINT_COST * count)
        return vars(distances)

    def _distance_error(
        self, field: Field, points: int = _LOOKED_AT
    ) -> tuple[float | None, str | None]:
        """Measure the distance at the first points of the pool that are near the surface."""
        true = self.pool.distances[:points]
        found = surface.values_at(self._distance_of(field), self.pool.coords[:points])
        try:
            return sdf_error(found, true, _BAND), None
        except ValueError as error:
            return None, str(error)

    def reconstruct(
        self, field: Field, evaluation: Evaluation, piece: Piece = unwatched
    ) -> dict[str, bytes]:
        """Give the mesh in the input's units, where there is one, and a picture of both.

        See `Subject.reconstruct`.
        """
        assert isinstance(evaluation, SdfEvaluation)
        files = {}
        # Rays end on the surface, where exact signs take long and show nothing.
        truth, size = true_distance(self._distance, piece, exact=False), self.settings.preview_size
        if evaluation.drawn:
            found = self._distance_of(field, piece)
            files[PREVIEW] = shape_picture(found, truth, size=size)
        mesh = self._extracted(field, evaluation, piece) if evaluation.surface else None
        if mesh is not None:
            kind, shape = self.settings.format, self.shape
            files[self.result] = encode_mesh(kind, mesh, shape.scale, shape.centre)
        return files

    def _extracted(
        self, field: Field, evaluation: Evaluation, piece: Piece
    ) -> surface.Mesh | None:
        """Give the field's surface; asked for twice with one evaluation, it is found once."""
        if self._found is None or self._found[0] is not evaluation:
            distance = self._distance_of(field, piece)
            mesh = surface.extract(distance, self.settings.mc_resolution)
            self._found = (evaluation, mesh)
        return self._found[1]

    def _distance_of(self, field: Field, piece: Piece = unwatched) -> surface.Distance:
        return field_distance(field, self.signal.half_range, piece)

    @classmethod
    def rebuild(
        cls, record: SignalRecord, settings: SdfSettings, field: Field
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]] | None:
        """Give vertices (V, 3) in the input's units and faces (F, 3); None without a surface.

        See `Subject.rebuild`.
        """
        assert isinstance(record, SdfRecord)
        distance = field_distance(field, record.half_range)
        mesh = surface.extract(distance, settings.mc_resolution)
        if mesh is None:
            return None
        return mesh.vertices * record.scale + np.array(record.centre), mesh.faces

    def illustrate(
        self, selections: Mapping[str, Selection], steps: Mapping[str, int]
    ) -> dict[str, bytes]:
        """Draw where the chosen points are; see `Subject.illustrate`."""
        pools, every = [self.pool], self.settings.resample
        if every is not None:  # each panel's points are those of its own draw
            distance = self._distance
            pools = [draw_pool(self.plan, distance, (steps[n] - 1) // every) for n in selections]
            selections = {
                name: dataclasses.replace(chosen, indices=chosen.indices + part * len(self.signal))
                for part, (name, chosen) in enumerate(selections.items())
            }
        near = np.concatenate([np.abs(pool.distances) < _BAND / 2 for pool in pools])
        picture = selection_picture(
            np.concatenate([pool.coords for pool in pools]),
            selections,
            steps,
            near_surface=near if near.any() else None,
            size=self.settings.preview_size,
        )
        return {SELECTION: picture}


def field_distance(field: Field, half_range: float, piece: Piece = unwatched) -> surface.Distance:
    """Give a field as a distance in the box.

    Args:
        field: Coords (B, 3) in [-half_range, half_range] to distances (B, 1) in the same units.
        half_range: What the field takes 1 for.
        piece: Told of the points that are evaluated.

    Returns:
        A function of coords (M, 3) in [-1, 1]; distances (M,).
    """
    device = next(field.parameters()).device
    size = EXACT.block_size(field)

    def distance(coords: Tensor) -> Tensor:
        piece(FIELD_COST * len(coords))
        parts = (coords * half_range).to(device).split(size)
        return torch.cat([field(part)[:, 0] for part in parts]) / half_range

    return distance


def true_distance(
    distance: DistanceField, piece: Piece = unwatched, *, exact: bool = True
) -> surface.Distance:
    """Give the true distance as a function of tensors; see `DistanceField.signed`."""

    def of(coords: Tensor) -> Tensor:
        piece(TRUE_COST * len(coords))
        found = distance.signed(coords.double().numpy(), exact=exact)
        return torch.from_numpy(found).float()

    return of


def _notes(
    source: str, distance: DistanceField, walls: float, settings: SdfSettings
) -> tuple[str, ...]:
    """Say what of a surface bounds nothing, and what is thinner than the grid."""
    notes = []
    if walls >= WORTH_SAYING:
        notes.append(
            f"{walls:.0%} of the surface has the inside on both sides or on neither; distances "
            "count it, chamfer, F-score and normals do not"
        )
    thin = thin_note(distance, settings.mc_resolution, FINEST_GRID)
    if thin is not None:
        notes.append(thin)
    return tuple(f"'{source}': {note}" for note in notes)


def _iou(found: NDArray[np.bool_], true: NDArray[np.bool_]) -> tuple[float | None, str | None]:
    try:
        return iou(found, true), None
    except ValueError as error:
        return None, str(error)


def _tensors(pool: Pool) -> tuple[Tensor, Tensor]:
    return torch.from_numpy(pool.coords), torch.from_numpy(pool.distances)[:, None]


def _box_sha256(shape: Shape) -> str:
    """Hash the triangles in the box, for which a pool is drawn."""
    return hashlib.sha256(shape.vertices.tobytes() + shape.faces.tobytes()).hexdigest()
