"""What a checkpoint keeps of a picture."""

from typing import Annotated, Literal

from pydantic import Field

from nint_cli.signals.record import SignalRecord


class ImageRecord(SignalRecord):
    """A picture.

    Attributes:
        kind: The modality.
        shape: Height and width.
        dtype: Type of the stored values, which fixes their scale.
    """

    kind: Literal["image"] = "image"
    shape: tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]]
    dtype: str = Field(pattern="^uint(8|16)$")

    @property
    def grid(self) -> tuple[int, int]:
        """Height and width."""
        return self.shape
