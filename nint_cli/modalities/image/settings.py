"""The settings of pictures."""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, field_validator

from nint_cli.modalities.settings import ModalitySettings
from nint_cli.settings import Circumstances


class ImageSettings(ModalitySettings):
    """How a picture is read."""

    extent: ClassVar[tuple[str, ...]] = ("size", "alpha", "background", "mask")
    # The hash is of the whole file, so that what became of alpha is told by these alone.
    measures: ClassVar[tuple[str, ...]] = ("alpha", "background", "range")
    limits: ClassVar[tuple[str, ...]] = ("max_pixels",)

    size: int | None = Field(
        None,
        ge=1,
        le=1_000_000,
        description="longest side in pixels after shrinking; null: as it is in the file",
    )
    alpha: Literal["keep", "drop", "composite"] = Field(
        "keep",
        description="what becomes of transparency: a channel that is fitted, too; nothing; or the "
        "picture laid over the background",
    )
    background: str = Field(
        "white", description="the colour behind a composite: a name, or #rrggbb"
    )
    range: Literal["type", "data"] = Field(
        "type",
        description="what is fitted as 0 to 1 and judged by: all numbers of the type (of floating "
        "point 0 to 1, or up to the largest value beyond), or the picture's own",
    )
    mask: str | None = Field(
        None,
        min_length=1,
        description="picture in black and white, of the size of the picture as it is fitted: only "
        "where it is white, or of a grey above one half, is trained and measured; what is outside "
        "is measured apart in the end; null: everywhere",
    )
    max_pixels: int = Field(
        100_000_000,
        ge=1,
        description="a picture with more pixels is refused before it is decoded; one that is "
        "mapped, in an uncompressed TIFF file, takes no memory and is not",
    )

    @field_validator("mask")
    @classmethod
    def _keep_absolute(cls, path: str | None) -> str | None:
        """Let a path mean the same file wherever the run is resumed."""
        return None if path is None else str(Path(path).absolute())

    @field_validator("background")
    @classmethod
    def _is_a_colour(cls, colour: str) -> str:
        from PIL import ImageColor

        try:
            ImageColor.getrgb(colour)
        except ValueError:
            raise ValueError(f"'{colour}' is no colour; give a name or #rrggbb") from None
        return colour

    def unused(self, around: Circumstances) -> Mapping[str, str]:
        """Return the background where nothing is laid over it; see `Section.unused`."""
        if self.alpha == "composite":
            return {}
        return {"background": f"image.alpha is {self.alpha}; set it to composite"}
