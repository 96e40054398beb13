"""Sounds: `nint fit audio`."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Self

import torch

from nint_cli.derivatives.sweep import predict
from nint_cli.fields.base import Field
from nint_cli.metrics.measured import Measured
from nint_cli.metrics.schema import FieldRecord, finite
from nint_cli.modalities.audio import MODALITY
from nint_cli.modalities.audio.files import read_sound
from nint_cli.modalities.audio.metrics import (
    log_spectral_distance_db,
    mean_squared_error,
    psnr_db,
    si_snr_db,
    snr_db,
)
from nint_cli.modalities.audio.pictures import selection_picture, sound_picture
from nint_cli.modalities.audio.record import AudioRecord
from nint_cli.modalities.audio.schema import AudioInput, AudioQuality
from nint_cli.modalities.audio.settings import AudioSettings
from nint_cli.modalities.audio.signal import Scaling, Sound, Waveform, to_waveform
from nint_cli.modalities.audio.speech import pesq, stoi
from nint_cli.modalities.audio.wav import encode_sound
from nint_cli.modalities.base import Evaluation, ReadSaved, Setup, Subject, nothing_saved
from nint_cli.modalities.modality import Modality
from nint_cli.samplers.base import Selection
from nint_cli.signals.base import GridSignal
from nint_cli.signals.record import SignalRecord
from nint_cli.signals.source import identity

RECONSTRUCTION = "reconstruction.wav"
PREVIEW = "preview.png"
SELECTION = "selection.png"

# What fields of sines start with at most: where speech and music have most of their energy. Found
# on speech at 16 kHz and music at 44.1 kHz; half or twice as much costs a decibel or two.
_FIRST_HZ = 1000.0
# Where the rate is low it is this share of it. A short sound is learnt nearly by heart and wants a
# larger one, up to twice as large from half as many samples as these down (docs/lab/recipe.md).
_LEAST_SHARE = 1 / 16
_SHORT = 100_000


@dataclass(eq=False)
class AudioSubject(Subject):
    """A sound; see `Subject`.

    Attributes:
        source: A sound file, or ``sample:NAME``.
        sound: Its samples.
        signal: The grid of them.
        scaling: What the field is trained on.
        start_s: Where the cut begins in the file.
    """

    source: str
    sound: Sound
    signal: GridSignal
    scaling: Scaling
    start_s: float

    modality: ClassVar[Modality] = MODALITY
    result: ClassVar[str] = RECONSTRUCTION
    smaller: ClassVar[str] = "a shorter clip, --duration 10s"
    files: ClassVar[Mapping[str, str]] = {
        "reconstruction": RECONSTRUCTION,
        "waveforms and spectra": PREVIEW,
        "selected coordinates": SELECTION,
    }

    @classmethod
    def read(
        cls,
        source: str,
        settings: AudioSettings,
        setup: Setup,
        like: SignalRecord | None = None,
        saved: ReadSaved = nothing_saved,
    ) -> Self:
        """Read a sound, or a cut of it; see `Subject.read`."""
        sound = read_sound(
            source,
            start_s=settings.start_s,
            duration_s=settings.duration_s,
            mono=settings.mono,
            max_samples=settings.max_samples,
        )
        scaling = sound.scaling(settings.range)
        if isinstance(like, AudioRecord):
            scaling = Scaling(like.scale, like.offset)
        signal = sound.signal(setup.device, scaling=scaling, half_range=settings.half_range)
        hertz = first_hertz(sound.sample_rate_hz, len(signal))
        signal.bandwidth = math.pi * hertz * sound.duration_s / settings.half_range
        return cls(source, sound, signal, scaling, settings.start_s)

    @property
    def sha256(self) -> str:
        """Hash of all that was decoded."""
        return self.sound.sha256

    @property
    def conversions(self) -> tuple[str, ...]:
        """What was done to the file's content."""
        return self.sound.conversions

    @cached_property
    def _waveform(self) -> Waveform:
        return self.sound.waveform()

    def mismatch(self, record: SignalRecord) -> str | None:
        """Compare length, channels and rate; see `Subject.mismatch`."""
        assert isinstance(record, AudioRecord)
        wanted = (record.population, record.channels)
        if self.sound.samples.shape != wanted:
            return (
                f"'{self.source}' has samples, channels {self.sound.samples.shape} where the run "
                f"has {wanted}"
            )
        if self.sound.sample_rate_hz != record.sample_rate_hz:
            return (
                f"'{self.source}' has {self.sound.sample_rate_hz} Hz where the run has "
                f"{record.sample_rate_hz} Hz"
            )
        return None

    def describe(self) -> str:
        """Give the length; see `Subject.describe`."""
        sound = self.sound
        channels = "mono" if sound.channels == 1 else f"{sound.channels} channels"
        return f"{len(sound.samples):,} samples at {sound.sample_rate_hz} Hz, {channels}"

    def record(self) -> AudioRecord:
        """Give source, hash, size and scale; see `Subject.record`."""
        return AudioRecord(
            source=identity(self.source),
            sha256=self.sha256,
            channels=self.sound.channels,
            half_range=self.signal.half_range,
            samples=len(self.sound.samples),
            sample_rate_hz=self.sound.sample_rate_hz,
            subtype=self.sound.subtype,
            scale=self.scaling.scale,
            offset=self.scaling.offset,
        )

    def input_record(self) -> AudioInput:
        """Give length, rate and depth; see `Subject.input_record`."""
        return AudioInput(
            source=identity(self.source),
            sha256=self.sha256,
            samples=len(self.sound.samples),
            channels=self.sound.channels,
            sample_rate_hz=self.sound.sample_rate_hz,
            subtype=self.sound.subtype,
            start_s=self.start_s,
            duration_s=self.sound.duration_s,
            conversions=list(self.conversions),
        )

    def field_record(self, name: str, field: Field) -> FieldRecord:
        """Give the field's size, per sample too; see `Subject.field_record`."""
        return FieldRecord(
            name=name,
            parameters=field.parameter_count(),
            bytes=field.byte_count(),
            bits_per_sample=8 * field.byte_count() / self.sound.samples.size,
        )

    def evaluate(self, field: Field) -> Evaluation:
        """Predict all samples; see `Subject.evaluate`."""
        prediction = predict(field, self.signal)
        waveform = to_waveform(prediction, self.scaling)
        mse = mean_squared_error(waveform, self._waveform)
        figures = {
            "si_snr_db": si_snr_db(waveform, self._waveform).value,
            "psnr_db": psnr_db(mse),
            "mse": mse,
        }
        return Evaluation(figures, prediction)

    def quality(self, field: Field, evaluation: Evaluation) -> AudioQuality:
        """Add the other measures; see `Subject.quality`."""
        waveform, rate = self._reconstruction(evaluation), self.sound.sample_rate_hz
        snr = snr_db(waveform, self._waveform)
        si_snr = si_snr_db(waveform, self._waveform)
        psnr = evaluation.figures["psnr_db"]
        distance = log_spectral_distance_db(waveform, self._waveform)
        heard = {
            "stoi": stoi(waveform, self._waveform, rate),
            "pesq": pesq(waveform, self._waveform, rate),
        }
        _, clipped = self._encoded(waveform)
        return AudioQuality(
            mse=evaluation.figures["mse"],
            psnr_db=finite(psnr),
            psnr_infinite=psnr == math.inf,
            snr_db=finite(snr.value),
            snr_infinite=_infinite(snr),
            snr_reason=snr.reason,
            si_snr_db=finite(si_snr.value),
            si_snr_infinite=_infinite(si_snr),
            si_snr_reason=si_snr.reason,
            lsd_db=distance.value,
            lsd_reason=distance.reason,
            stoi=heard["stoi"].value,
            stoi_reason=heard["stoi"].reason,
            pesq=heard["pesq"].value,
            pesq_reason=heard["pesq"].reason,
            clipped_samples=clipped,
        )

    def reconstruct(self, field: Field, evaluation: Evaluation) -> dict[str, bytes]:
        """Give the sound, and waveforms and spectra of both; see `Subject.reconstruct`."""
        waveform, rate = self._reconstruction(evaluation), self.sound.sample_rate_hz
        wav, _ = self._encoded(waveform)
        return {RECONSTRUCTION: wav, PREVIEW: sound_picture(self._waveform, waveform, rate)}

    def _encoded(self, waveform: Waveform) -> tuple[bytes, int]:
        sound = self.sound
        return encode_sound(waveform, sound.sample_rate_hz, sound.subtype, sound.speakers)

    def _reconstruction(self, evaluation: Evaluation) -> Waveform:
        assert evaluation.prediction is not None
        return to_waveform(evaluation.prediction, self.scaling)

    @classmethod
    def rebuild(cls, record: SignalRecord, settings: AudioSettings, field: Field) -> Waveform:
        """Give the waveform (T, C), full scale 1; see `Subject.rebuild`."""
        assert isinstance(record, AudioRecord)
        empty = torch.empty(record.samples, 0)
        grid = GridSignal(empty, record.grid, half_range=record.half_range)
        return to_waveform(predict(field, grid), Scaling(record.scale, record.offset))

    def illustrate(
        self, selections: Mapping[str, Selection], steps: Mapping[str, int]
    ) -> dict[str, bytes]:
        """Draw when the chosen samples are; see `Subject.illustrate`."""
        rate = self.sound.sample_rate_hz
        return {SELECTION: selection_picture(self._waveform, selections, steps, rate)}


def first_hertz(sample_rate_hz: float, samples: int) -> float:
    """Choose the largest frequency that a sound's field of sines should start with.

    Args:
        sample_rate_hz: Of the sound.
        samples: How many it has along time.

    Returns:
        Hertz: 1 kHz, or less where the rate is low: at most an eighth of half the rate from
        100,000 samples up, a quarter of half the rate up to 50,000, and in inverse proportion to
        the samples in between.

    Example:
        >>> [first_hertz(8000, samples) for samples in (40_000, 80_000, 160_000)]
        [1000.0, 625.0, 500.0]
        >>> first_hertz(16_000, 40_000)
        1000.0
    """
    share = _LEAST_SHARE * min(2.0, max(1.0, _SHORT / samples))
    return min(_FIRST_HZ, share * sample_rate_hz)


def _infinite(measured: Measured) -> bool:
    return measured.value is not None and measured.value == math.inf
