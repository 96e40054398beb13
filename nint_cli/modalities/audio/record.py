"""What a checkpoint keeps of a sound."""

from typing import Literal

from pydantic import Field

from nint_cli.signals.record import SignalRecord


class AudioRecord(SignalRecord):
    """A sound.

    Attributes:
        kind: The modality.
        samples: T, per channel.
        sample_rate_hz: Samples per second.
        subtype: Encoding of the samples, by libsndfile's name, such as ``PCM_16``.
        scale: What the waveform is divided by to give the field's value.
        offset: What is added to that.
    """

    kind: Literal["audio"] = "audio"
    samples: int = Field(ge=1)
    sample_rate_hz: int = Field(ge=1)
    subtype: str = Field(pattern=r"^[A-Z0-9_]{1,32}$")
    scale: float = Field(gt=0)
    offset: float = 0.0

    @property
    def grid(self) -> tuple[int]:
        """Samples."""
        return (self.samples,)
