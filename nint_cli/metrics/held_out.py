"""What metrics.json says of points that a run measures and does not train on."""

import math
from collections.abc import Mapping
from typing import Any

from pydantic import Field

from nint_cli.metrics.schema import Part, Row, finite
from nint_cli.metrics.text import shown

NO_HOLDOUT = "holdout is 0: all points train"


class HeldOutQuality(Part):
    """How close a field is at points that were kept out of its training."""

    holdout_psnr_db: float | None = Field(
        None, description="psnr_db at the points that were held out; null where it is infinite"
    )
    holdout_psnr_infinite: bool = Field(False, description="whether they are exact")
    holdout_points: int | None = Field(None, description="how many were held out")
    holdout_reason: str | None = Field(None, description="why holdout_psnr_db is null")

    def held_out_rows(self, *, fine: bool = False) -> list[Row]:
        """Return the row of these points; none where none were held out."""
        value = math.inf if self.holdout_psnr_infinite else self.holdout_psnr_db
        if self.holdout_points is None:
            return []
        of = f"{self.holdout_points:,} points that did not train"
        if value is None:
            return [("PSNR held out", f"- ({self.holdout_reason}; {of})")]
        return [("PSNR held out", f"{shown('psnr_db', value, fine=fine)} ({of})")]


def apart(name: str, figures: Mapping[str, float | None], key: str, reason: str) -> dict[str, Any]:
    """Return what metrics.json says of the PSNR at points of their own.

    Args:
        name: What its keys begin with, such as ``holdout``.
        figures: What was measured.
        key: Of the PSNR among them.
        reason: Why it is not there, if it is not.

    Returns:
        Figure, whether it is infinite, and the reason, by key.
    """
    value = figures.get(key)
    return {
        f"{name}_psnr_db": finite(value),
        f"{name}_psnr_infinite": value == math.inf,
        f"{name}_reason": reason if value is None else None,
    }
