"""The settings of sounds."""

from typing import ClassVar, Literal

from pydantic import Field

from nint_cli.modalities.settings import ModalitySettings


class AudioSettings(ModalitySettings):
    """How a sound is read, and what a field of it sees."""

    extent: ClassVar[tuple[str, ...]] = ("start_s", "duration_s", "mono")
    limits: ClassVar[tuple[str, ...]] = ("max_samples",)

    start_s: float = Field(0.0, ge=0, description="where to begin, in seconds")
    duration_s: float | None = Field(
        None, gt=0, description="how much to take at most, in seconds; null: to the end"
    )
    mono: bool = Field(False, description="whether to mix all channels into one")
    max_samples: int = Field(
        100_000_000,
        ge=1,
        description="a sound with more numbers, samples times channels, is refused before it is "
        "decoded",
    )
    range: Literal["peak", "unit"] = Field(
        "peak",
        description="what the field is trained on: the waveform over its peak, or mapped from "
        "[-1, 1] to [0, 1]",
    )
    half_range: float = Field(
        1.0,
        gt=0,
        le=1e6,
        description="coords run from minus this to this",
    )
