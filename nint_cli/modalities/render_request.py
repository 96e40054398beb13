"""What a rendering of a fitted field is asked for, and what a modality answers with."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, BinaryIO

from nint_cli.modalities.base import Piece


@dataclass(frozen=True, kw_only=True)
class RenderRequest:
    """What `nint render` was given; None where it was not.

    Attributes:
        size: Width and height in pixels of the whole picture.
        scale: Factor on the input's width and height.
        crop: X, Y, width and height, in pixels of the input.
        supersample: K; each pixel is the mean of K x K points.
        bits: Of a sample of a picture: 8 or 16.
        rate: Samples per second.
        start: In seconds of the input.
        duration: In seconds of the input.
        speed: Factor; pitch changes with it.
        resolution: Points along each edge of a shape's box.
        view: Azimuth and elevation of a picture of a shape, in degrees.
    """

    size: tuple[int, int] | None = None
    scale: float | None = None
    crop: tuple[float, float, float, float] | None = None
    supersample: int | None = None
    bits: int | None = None
    rate: int | None = None
    start: float | None = None
    duration: float | None = None
    speed: float | None = None
    resolution: int | None = None
    view: tuple[float, float] | None = None

    def given(self) -> tuple[str, ...]:
        """Return the names of what was asked for."""
        return tuple(each.name for each in fields(self) if getattr(self, each.name) is not None)


@dataclass(frozen=True)
class Rendering:
    """A rendering that is planned, and computed as it is written.

    Attributes:
        points: At how many points the field will be evaluated, about.
        write: Writes the file into an open one, and tells the pieces that it evaluates.
        values: Gives the same without a file; see `Run.render`.
        notes: What the file leaves out, a line each.
    """

    points: int
    write: Callable[[BinaryIO, Piece], None]
    values: Callable[[Piece], Any]
    notes: tuple[str, ...] = ()
