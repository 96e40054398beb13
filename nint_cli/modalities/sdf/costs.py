"""What measuring and drawing a shape costs, and what of it there is time for."""

from collections.abc import Set
from dataclasses import dataclass, fields

from nint_cli.modalities.sdf.metrics import SurfaceDistances
from nint_cli.modalities.sdf.settings import SdfSettings
from nint_cli.signals.stratified import rounded_down

# Units, as measured for a hash grid on a CPU: of the mesh and both insides by the square of the
# grid points along an edge, for only what is near the surface is looked at; and of a pixel along
# two edges of the picture.
_MESH_COST = 95
_OVERLAP_COST = 180
_PIXEL_COST = 30
_LARGEST_SAMPLE = 1 << 16  # cells, where nothing says how many

FIELD_COST = 2
"""Units of a point at which the end asks the field."""

TRUE_COST = 5
"""Of a point at which it asks for the true distance."""

CELL_COST = 5
"""Of a cell of a sample, which the field sees."""

POOL_POINT_COST = 3
"""Of a point of the pool, whose distance is known."""

SURFACE_POINT_COST = 6
"""Of a point on each surface."""

WATCH_COST = 115
"""Of insides during a run, by the square of the cells along an edge."""

LEAST_CELLS = 1 << 12
"""Cells at which insides are compared at least."""

_LEAST_COST = LEAST_CELLS * (CELL_COST + TRUE_COST)  # what is always measured


@dataclass(frozen=True)
class Costs:
    """Units of the parts of a shape's end; see `Subject.cost_within`.

    Attributes:
        settings: Say how fine the grids and the picture are.
    """

    settings: SdfSettings

    @property
    def parts(self) -> dict[str, int]:
        """Units of the parts that may be left out, the most wanted first."""
        settings = self.settings
        return {
            "surface": _MESH_COST * settings.mc_resolution**2
            + SURFACE_POINT_COST * settings.surface_samples,
            "overlap": _OVERLAP_COST * settings.iou_resolution**2,
            "drawing": _PIXEL_COST * settings.preview_size**2,
        }

    @property
    def essential(self) -> int:
        """Units of the mesh and what is measured on it."""
        return self.parts["surface"] + _LEAST_COST

    def kept(self, units: int | None) -> Set[str]:
        """Name the parts that there is time for.

        Args:
            units: What may be spent; None for all.
        """
        left, kept = units or 0, set()
        for name, cost in self.parts.items():
            if units is None or cost <= left - _LEAST_COST:
                kept.add(name)
                left -= cost
        return kept

    def cells(self, units: int | None) -> int:
        """Choose at how many cells insides are compared where not all are."""
        left = (units or 0) - sum(self.parts[name] for name in self.kept(units))
        cells = min(_LARGEST_SAMPLE, left // (CELL_COST + TRUE_COST) if units else _LARGEST_SAMPLE)
        return rounded_down(max(LEAST_CELLS, cells))

    def within(self, units: int | None) -> int:
        """Tell what the parts come to that there is time for."""
        kept = self.kept(units)
        found = sum(self.parts[name] for name in kept) + _LEAST_COST
        if "overlap" not in kept:
            found += (CELL_COST + TRUE_COST) * (self.cells(units) - LEAST_CELLS)
        return found


def left_out(kept: Set[str]) -> tuple[str, ...]:
    """Name what an end measurement lacks without some of its parts.

    Args:
        kept: The parts that it has.
    """
    figures = tuple(each.name for each in fields(SurfaceDistances))
    lost = () if "surface" in kept else (*figures, "reconstruction")
    return lost if "drawing" in kept else (*lost, "both shapes")
