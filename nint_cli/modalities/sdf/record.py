"""What a checkpoint keeps of a shape."""

from typing import Literal

from pydantic import Field

from nint_cli.signals.record import SignalRecord


class SdfRecord(SignalRecord):
    """A shape, normalised into the box [-1, 1]^3; original = normalised * scale + centre.

    Attributes:
        kind: The modality.
        points: N, of the pool that is trained on.
        shape: Points along each axis of a grid as fine as the pool.
        centre: What lies at 0, in the input's units.
        scale: Half the edge of the box, in the input's units.
    """

    kind: Literal["sdf"] = "sdf"
    points: int = Field(ge=1)
    shape: tuple[int, int, int]
    centre: tuple[float, float, float]
    scale: float = Field(gt=0)

    @property
    def on_grid(self) -> bool:
        """False: the points of its pool lie anywhere."""
        return False

    @property
    def grid(self) -> tuple[int, int, int]:
        """Points along each axis, in effect."""
        return self.shape

    @property
    def population(self) -> int:
        """N."""
        return self.points
