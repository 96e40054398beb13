"""Sounds: `nint fit audio`."""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from torch import Tensor

from nint_cli.derivatives.sweep import predict, predicted_blocks
from nint_cli.fields.base import Field
from nint_cli.metrics.held_out import NO_HOLDOUT, apart
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
from nint_cli.modalities.audio.signal import (
    Rows,
    Scaling,
    Sound,
    Waveform,
    played,
    to_waveform,
)
from nint_cli.modalities.audio.speech import pesq, stoi
from nint_cli.modalities.audio.wav import encode_sound
from nint_cli.modalities.base import (
    Evaluation,
    Piece,
    ReadSaved,
    SaveFile,
    Setup,
    Subject,
    nothing_saved,
    unwatched,
)
from nint_cli.modalities.modality import Modality
from nint_cli.samplers.base import Selection
from nint_cli.signals.base import GridSignal, Signal
from nint_cli.signals.parts import Parts, parted
from nint_cli.signals.points import PointSignal
from nint_cli.signals.record import SignalRecord
from nint_cli.signals.source import identity
from nint_cli.signals.stratified import rounded_down, spread_indices

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


# Units, as measured for SIREN on a CPU: of a sample in an evaluation, with what a hash grid takes
# longer to look up than to train, and in the end; of a number in the measures that take long; and
# of the picture.
_EVALUATION_COST = 2.0
_SAMPLE_COST = 1.0
_MEASURES_COST = 0.5
_DRAWING_COST = 150_000
_LEAST_SAMPLE = 1 << 12
_SAMPLE = 1 << 20  # where no setting says how many
_AT_ONCE = 1 << 17

_SAMPLED = "only some samples were measured; nint eval measures all"
_LEFT_OUT = "left out for the time it takes; nint eval has it"
_MEASURES = ("lsd_db", "stoi", "pesq")
_PICTURE = "waveforms and spectra"
_NOT_SAMPLED = (*_MEASURES, "clipped_samples", "reconstruction", _PICTURE)


@dataclass(eq=False)
class AudioSubject(Subject):
    """A sound; see `Subject`.

    Attributes:
        source: A sound file, or ``sample:NAME``.
        sound: Its samples.
        signal: The grid of them.
        scaling: What the field is trained on.
        start_s: Where the cut begins in the file.
        parts: Which samples train; None: all.
        points: Samples of a longer sound that evaluations see; None for all.
        seed: Decides which.
    """

    source: str
    sound: Sound
    signal: GridSignal
    scaling: Scaling
    start_s: float
    parts: Parts | None = None
    points: int | None = None
    seed: int = 0
    _samples: dict[str, tuple[PointSignal, Waveform]] = dataclasses.field(
        default_factory=dict, init=False
    )

    modality: ClassVar[Modality] = MODALITY
    result: ClassVar[str] = RECONSTRUCTION
    smaller: ClassVar[str] = "a shorter clip, --duration 10s"
    files: ClassVar[Mapping[str, str]] = {
        "reconstruction": RECONSTRUCTION,
        _PICTURE: PREVIEW,
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
        points, seed = setup.evaluation.points, setup.seed
        parts = parted(signal, holdout=setup.holdout, seed=seed)
        return cls(source, sound, signal, scaling, settings.start_s, parts, points, seed)

    @property
    def sha256(self) -> str:
        """Hash of all that was decoded."""
        return self.sound.sha256

    @property
    def conversions(self) -> tuple[str, ...]:
        """What was done to the file's content."""
        return self.sound.conversions

    @property
    def _waveform(self) -> Rows:
        return self.sound.rows()

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
        parts = "" if self.parts is None else self.parts.describe()
        return f"{len(sound.samples):,} samples at {sound.sample_rate_hz} Hz, {channels}{parts}"

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

    def evaluate(self, field: Field, units: int | None = None) -> Evaluation:
        """Predict all samples, or some of a long sound; see `Subject.evaluate`."""
        training = len(self.training)
        count = training if self.points is None else self.points
        if units is not None:
            affordable = units / _EVALUATION_COST * training / len(self.signal)
            count = min(count, max(_LEAST_SAMPLE, rounded_down(int(affordable))))
        if count < training:
            return self._sampled(field, count)
        return self._predicted(field, unwatched)

    def _sampled(self, field: Field, count: int, piece: Piece = unwatched) -> Evaluation:
        """Measure some samples, evenly spread, and as large a share of those held out."""
        points, true = self._sample("training", self.training, count)
        prediction = _prediction(field, points, piece)
        figures = _figures(played(prediction, self.scaling), true)
        if self.parts is not None and self.parts.held_out is not None:
            held = self.parts.held_out
            share = min(len(held), max(1, count * len(held) // len(self.training)))
            points, true = self._sample("holdout", held, share)
            found = played(_prediction(field, points, piece), self.scaling)
            figures |= _held_out_figures(found, true)
        return Evaluation(figures, prediction, count, sampled=True)

    def _sample(self, name: str, part: Signal, count: int) -> tuple[PointSignal, Waveform]:
        """Return some samples of a part, evenly spread; the same where it is asked again."""
        kept = self._samples.get(name)
        if kept is None or len(kept[0]) != count:
            chosen = spread_indices(len(part), count, self.seed).to(part.device)
            points = PointSignal(*part.at(chosen))
            where = chosen if part.among is None else part.among[chosen]
            kept = self._samples[name] = points, self.sound.waveform(where.cpu().numpy())
        return kept

    def _predicted(self, field: Field, piece: Piece) -> Evaluation:
        prediction = _prediction(field, self.signal, piece)
        figures = _figures(*self._pair(prediction, self.training))
        if self.parts is not None and self.parts.held_out is not None:
            figures |= _held_out_figures(*self._pair(prediction, self.parts.held_out))
        return Evaluation(figures, prediction)

    def _pair(self, prediction: Tensor, part: Signal) -> tuple[Rows, Rows]:
        """Return the waveforms that were predicted and should be, at the samples of a part.

        Args:
            prediction: (T, C), of all samples.
            part: The signal, or a part of it.
        """
        if part.among is None:
            return played(prediction, self.scaling), self._waveform
        return (
            played(prediction[part.among], self.scaling),
            self.sound.rows(part.among.cpu().numpy()),
        )

    def cost_within(self, units: int | None) -> int:
        """Units of a prediction, of measures and of the picture; see `Subject.cost_within`."""
        if self._is_sampled(units):
            return self._sample_size(units)
        lost = self._left_out(units)
        return (
            self.essential
            + (0 if _MEASURES[0] in lost else self._measures_cost)
            + (0 if _PICTURE in lost else _DRAWING_COST)
        )

    @property
    def essential(self) -> int:
        """Units of a prediction and the reconstruction of it; see `Subject.essential`."""
        return int(_SAMPLE_COST * len(self.signal))

    @property
    def _measures_cost(self) -> int:
        return int(_MEASURES_COST * self.sound.samples.size)

    def _left_out(self, units: int | None) -> tuple[str, ...]:
        """Name what there is no time for where all samples are predicted, the picture first."""
        if units is None or units >= self.essential + self._measures_cost + _DRAWING_COST:
            return ()
        enough = units >= self.essential + self._measures_cost
        return (_PICTURE,) if enough else (*_MEASURES, _PICTURE)

    def _is_sampled(self, units: int | None) -> bool:
        return units is not None and (units == 0 or units < self.essential)

    def _sample_size(self, units: int | None) -> int:
        count = min(len(self.training), self.points or _SAMPLE)
        return min(count, units // 2) if units else count

    def evaluate_fully(
        self,
        field: Field,
        save: SaveFile | None = None,
        *,
        units: int | None = None,
        piece: Piece = unwatched,
    ) -> Evaluation:
        """Predict all samples, or some; see `Subject.evaluate_fully`."""
        if self._is_sampled(units):
            sampled = self._sampled(field, self._sample_size(units), piece)
            return dataclasses.replace(sampled, left_out=_NOT_SAMPLED)
        found = self._predicted(field, piece)
        return dataclasses.replace(found, left_out=self._left_out(units))

    def confirmed(
        self, field: Field, evaluation: Evaluation, units: int | None = None
    ) -> Mapping[str, float | None]:
        """Measure as many samples as the end will; see `Subject.confirmed`."""
        if not evaluation.sampled:
            return evaluation.figures
        return self.evaluate_fully(field, units=units).figures

    def quality(
        self, field: Field, evaluation: Evaluation, piece: Piece = unwatched
    ) -> AudioQuality:
        """Add the other measures; see `Subject.quality`."""
        waveform, rate = self._reconstruction(evaluation), self.sound.sample_rate_hz
        true: Rows
        clipped = None
        if evaluation.sampled:
            _, true = self._samples["training"]
        else:
            true = self._waveform
            _, clipped = self._encoded(waveform)
        if _MEASURES[0] in evaluation.left_out:
            left_out = Measured.undefined(_SAMPLED if evaluation.sampled else _LEFT_OUT)
            distance, heard = left_out, dict.fromkeys(("stoi", "pesq"), left_out)
        else:
            distance = log_spectral_distance_db(waveform, true)
            piece(self._measures_cost // 2)
            heard = {"stoi": stoi(waveform, true, rate), "pesq": pesq(waveform, true, rate)}
            piece(self._measures_cost // 2)
        if not evaluation.sampled:
            assert evaluation.prediction is not None
            waveform, true = self._pair(evaluation.prediction, self.training)
        snr, si_snr = snr_db(waveform, true), si_snr_db(waveform, true)
        psnr = evaluation.figures["psnr_db"]
        held_out = self.parts.held_out if self.parts is not None else None
        return AudioQuality(
            **apart("holdout", evaluation.figures, "holdout_psnr_db", NO_HOLDOUT),
            holdout_points=None if held_out is None else len(held_out),
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

    def reconstruct(
        self, field: Field, evaluation: Evaluation, piece: Piece = unwatched
    ) -> dict[str, bytes]:
        """Give the sound, and waveforms and spectra of both; see `Subject.reconstruct`."""
        if evaluation.sampled:
            return {}
        waveform, rate = self._reconstruction(evaluation), self.sound.sample_rate_hz
        wav, _ = self._encoded(waveform)
        files = {RECONSTRUCTION: wav}
        if _PICTURE not in evaluation.left_out:
            files[PREVIEW] = sound_picture(self._waveform, waveform, rate)
            piece(_DRAWING_COST)
        return files

    def _encoded(self, waveform: Rows) -> tuple[bytes, int]:
        sound = self.sound
        return encode_sound(waveform, sound.sample_rate_hz, sound.subtype, sound.speakers)

    def _reconstruction(self, evaluation: Evaluation) -> Rows:
        assert evaluation.prediction is not None
        return played(evaluation.prediction, self.scaling)

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


def _prediction(field: Field, signal: Signal, piece: Piece) -> Tensor:
    """Predict all values (N, C) of a signal."""
    parts = []
    for _, part, _ in predicted_blocks(field, signal, _AT_ONCE):
        parts.append(part)
        piece(len(part))
    return torch.cat(parts)


def _figures(waveform: Rows, true: Rows) -> dict[str, float | None]:
    mse = mean_squared_error(waveform, true)
    si_snr = si_snr_db(waveform, true).value
    return {"si_snr_db": si_snr, "psnr_db": psnr_db(mse), "mse": mse}


def _held_out_figures(waveform: Rows, true: Rows) -> dict[str, float | None]:
    return {"holdout_psnr_db": psnr_db(mean_squared_error(waveform, true))}


def _infinite(measured: Measured) -> bool:
    return measured.value is not None and measured.value == math.inf
