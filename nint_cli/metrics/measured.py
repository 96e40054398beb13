"""A figure, or why there is none."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Measured:
    """What a metric gives.

    Attributes:
        value: The figure, infinite where a reconstruction is exact and the metric has no bound;
            None where it is not defined.
        reason: Why it is not defined, as a clause; None where it is.
    """

    value: float | None
    reason: str | None = None

    @classmethod
    def undefined(cls, reason: str) -> "Measured":
        """Give no figure, with the reason."""
        return cls(None, reason)
