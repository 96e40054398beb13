"""The settings of pictures."""

from typing import ClassVar

from pydantic import Field

from nint_cli.modalities.settings import ModalitySettings


class ImageSettings(ModalitySettings):
    """How a picture is read."""

    extent: ClassVar[tuple[str, ...]] = ("size",)
    limits: ClassVar[tuple[str, ...]] = ("max_pixels",)

    size: int | None = Field(
        None,
        ge=1,
        le=1_000_000,
        description="longest side in pixels after shrinking; null: as it is in the file",
    )
    max_pixels: int = Field(
        100_000_000,
        ge=1,
        description="a picture with more pixels is refused before it is decoded; one that is "
        "mapped, in an uncompressed TIFF file, takes no memory and is not",
    )
