"""What metrics.json says of a sound."""

from typing import Literal

from pydantic import Field

from nint_cli.metrics.held_out import HeldOutQuality
from nint_cli.metrics.schema import InputRecord, Quality, Row, RunMetrics
from nint_cli.metrics.text import shown_or_reason


class AudioQuality(HeldOutQuality, Quality):
    """How close a sound's reconstruction is; conventions in `metrics.audio`."""

    mse: float | None = Field(
        None, ge=0, description="mean squared error of both, clipped to [-1, 1]"
    )
    psnr_db: float | None = Field(None, description="10 log10(4/mse); null where it is infinite")
    psnr_infinite: bool = Field(False, description="whether the reconstruction is exact")
    snr_db: float | None = Field(None, description="power of the sound over power of the error")
    snr_infinite: bool = Field(False, description="whether the reconstruction is exact")
    snr_reason: str | None = Field(None, description="why snr_db is null")
    si_snr_db: float | None = Field(None, description="the same for the best scale, without means")
    si_snr_infinite: bool = Field(
        False, description="whether the reconstruction is exact up to scale and mean"
    )
    si_snr_reason: str | None = Field(None, description="why si_snr_db is null")
    lsd_db: float | None = Field(None, ge=0, description="log-spectral distance; 0 is equal")
    lsd_reason: str | None = Field(None, description="why lsd_db is null")
    stoi: float | None = Field(None, description="short-time objective intelligibility, up to 1")
    stoi_reason: str | None = Field(None, description="why stoi is null")
    pesq: float | None = Field(None, description="MOS-LQO; wideband at 16 kHz, narrowband at 8")
    pesq_reason: str | None = Field(None, description="why pesq is null")
    clipped_samples: int | None = Field(
        None, description="numbers beyond full scale, cut when reconstruction.wav was written"
    )

    def rows(self, *, fine: bool = False) -> list[Row]:
        """Return all measures, and what was clipped; see `Quality.rows`."""
        rows = [
            ("SI-SNR", "si_snr_db", self.si_snr_reason),
            ("SNR", "snr_db", self.snr_reason),
            ("PSNR", "psnr_db", self.quality_reason),
            ("LSD", "lsd_db", self.lsd_reason),
            ("STOI", "stoi", self.stoi_reason),
            ("PESQ", "pesq", self.pesq_reason),
        ]
        found = [
            (name, shown_or_reason(self, key, reason, fine=fine)) for name, key, reason in rows
        ]
        found += self.held_out_rows(fine=fine)
        if self.clipped_samples:
            cut = f"{self.clipped_samples} samples beyond full scale, in the file only"
            found.append(("clipped", cut))
        return found


class AudioInput(InputRecord):
    """A sound that was fitted."""

    kind: Literal["audio"] = "audio"
    samples: int = Field(description="samples per channel that were fitted")
    channels: int
    sample_rate_hz: int
    subtype: str = Field(description="encoding in the file, by libsndfile's name")
    start_s: float = Field(description="where the cut begins in the file")
    duration_s: float

    def extent(self) -> tuple[float, ...]:
        """Return where the cut begins, and its size; see `InputRecord.extent`."""
        return (self.start_s, self.samples, self.channels)

    def describe(self) -> str:
        """Return length and rate; see `InputRecord.describe`."""
        return f"{self.duration_s:.2f} s at {self.sample_rate_hz} Hz"


class AudioMetrics(RunMetrics, AudioQuality):
    """metrics.json of a sound."""

    input: AudioInput
    best_si_snr_db: float | None = Field(
        None, description="highest finite SI-SNR of any evaluation"
    )
