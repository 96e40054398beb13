"""Pictures: `nint fit image`.

A picture is measured strip by strip, so that no prediction of all its pixels is ever held, and a
large one is written as it is measured.
"""

import dataclasses
import io
import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
import torch

from nint_cli.derivatives.sweep import predicted_blocks
from nint_cli.errors import InputError
from nint_cli.fields.base import Field
from nint_cli.metrics.held_out import NO_HOLDOUT, apart
from nint_cli.metrics.schema import FieldRecord, finite
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
from nint_cli.modalities.image import MODALITY
from nint_cli.modalities.image.figures import (
    error_at,
    figure_of_part,
    figures_of,
    parted_figures,
)
from nint_cli.modalities.image.files import read_picture
from nint_cli.modalities.image.mask import MASK, Mask, encode_mask, mask_of, read_mask
from nint_cli.modalities.image.metrics import (
    SSIM_WINDOW,
    PartedError,
    SquaredError,
    Ssim,
)
from nint_cli.modalities.image.perceptual_models import PerceptualModels, prepare
from nint_cli.modalities.image.pictures import selection_picture
from nint_cli.modalities.image.png import encode_picture
from nint_cli.modalities.image.reconstruction import (
    RECONSTRUCTED_VALUES,
    RECONSTRUCTION,
    reconstruction_files,
)
from nint_cli.modalities.image.record import ImageRecord
from nint_cli.modalities.image.schema import ImageInput, ImageQuality, range_shown
from nint_cli.modalities.image.settings import ImageSettings
from nint_cli.modalities.image.signal import Picture, Pixels, Scale, to_pixels
from nint_cli.modalities.image.strips import STRIP_PIXELS, Strips
from nint_cli.modalities.image.tiff import write_tiff
from nint_cli.modalities.modality import Modality
from nint_cli.samplers.base import Selection
from nint_cli.signals.base import GridSignal, Signal
from nint_cli.signals.parts import Parts, parted
from nint_cli.signals.points import PointSignal
from nint_cli.signals.record import SignalRecord
from nint_cli.signals.source import ARRAY_PREFIX, Held, identity
from nint_cli.signals.stratified import rounded_down, spread_indices

SELECTION = "selection.png"
_ARRAY = "input.npy"

LARGE_PIXELS = 1 << 26
"""Pixels beyond which the reconstruction is a TIFF file, written strip by strip."""

# What a first layer of sines starts with, in radians per unit of coords: SIREN's 30 are 5 waves
# over the unit, whatever the picture. Found at 128 to 512 pixels; docs/lab/recipe.md.
_FIRST_PER_ROOT = 10.0

# Units per pixel, as measured for SIREN on a CPU: an evaluation of some, with what a hash grid
# takes longer to look up than to train; all of them with SSIM; and what the others add.
_EVALUATION_COST = 2.0
_STRIP_COST = 1.0
_FLIP_COST = 0.2
_LPIPS_COST = 0.3
_LEAST_SAMPLE = 1 << 12  # pixels, which take no time worth saving
_SAMPLE = 1 << 20  # pixels, where no setting says how many

_SAMPLED = "only some pixels were measured; nint eval measures all"
_LEFT_OUT = "left out for the time it takes; nint eval has it"
_MASKED = "of the whole picture, of which image.mask leaves a part out"
_NO_MASK = "there is no image.mask"
_TOO_SMALL = f"a side is shorter than the {SSIM_WINDOW}x{SSIM_WINDOW} window"


@dataclass(frozen=True)
class ImageEvaluation(Evaluation):
    """A look at all pixels, or at the end at some.

    Attributes:
        ssim: The SSIM; None where it was not asked for, or the picture is too small.
        pixels: (H, W, C), the reconstruction, where it is wanted and not written yet.
        perceptual: The perceptual metrics that there is time for.
    """

    ssim: float | None = None
    pixels: Pixels | None = None
    perceptual: PerceptualModels = dataclasses.field(default_factory=PerceptualModels)


@dataclass(eq=False)
class ImageSubject(Subject):
    """A picture; see `Subject`.

    Attributes:
        source: A picture file, or ``sample:NAME``.
        picture: Its pixels.
        signal: The grid of them.
        parts: Which of them train; None: all.
        mask: Where the picture is fitted; None: everywhere.
        perceptual: The perceptual metrics to compute.
        log_ssim: Whether evaluations have the SSIM.
        points: Pixels of a larger picture that evaluations see; None for all.
        seed: Decides which.
        notes: Why there is no LPIPS, or no SSIM in the log, where it was asked for.
    """

    source: str
    picture: Picture
    signal: GridSignal
    perceptual: PerceptualModels
    parts: Parts | None = None
    mask: Mask | None = None
    log_ssim: bool = False
    points: int | None = None
    seed: int = 0
    notes: tuple[str, ...] = ()
    _samples: dict[str, PointSignal] = dataclasses.field(default_factory=dict, init=False)

    modality: ClassVar[Modality] = MODALITY
    result: ClassVar[str] = RECONSTRUCTION
    smaller: ClassVar[str] = "a smaller picture, --set image.size=512"
    files: ClassVar[Mapping[str, str]] = {
        "reconstruction": RECONSTRUCTION,
        "reconstructed values": RECONSTRUCTED_VALUES,
        "selected coordinates": SELECTION,
    }

    @classmethod
    def read(
        cls,
        source: str,
        settings: ImageSettings,
        setup: Setup,
        like: SignalRecord | None = None,
        saved: ReadSaved = nothing_saved,
    ) -> Self:
        """Read a picture; see `Subject.read`."""
        perceptual = prepare(setup.metrics)
        if source.startswith(ARRAY_PREFIX) and not isinstance(source, Held):
            source = _held(source, saved(_ARRAY))
        picture = read_picture(source, settings, like)
        signal, watched = picture.signal(setup.device), setup.evaluation
        if setup.tuned:
            signal.bandwidth = first_frequency(max(signal.shape))
        notes = []
        shape, was = picture.pixels.shape[:2], like if isinstance(like, ImageRecord) else None
        sha256 = None if was is None else was.mask_sha256
        mask = mask_of(settings, (shape[0], shape[1]), saved(MASK), sha256)
        inside = None
        if mask is not None:
            notes += [f"mask '{settings.mask}': {note}" for note in mask.notes]
            inside = torch.from_numpy(mask.inside.ravel())
        parts = parted(signal, inside=inside, holdout=setup.holdout, seed=setup.seed)
        log_ssim = watched.ssim
        if parts is not None and parts.outside is not None:
            perceptual = replace(perceptual, lpips_reason=_MASKED, flip_reason=_MASKED)
            log_ssim = False
            if watched.ssim:
                notes.append(f"no SSIM in the log: it is {_MASKED}")
        if setup.metrics.lpips_weights is not None and perceptual.lpips_reason is not None:
            notes.append(f"no LPIPS: {perceptual.lpips_reason}")
        if log_ssim and watched.points is not None and len(signal) > watched.points:
            notes.append(
                f"no SSIM in the log: the picture has more than evaluation.points = "
                f"{watched.points:,} pixels"
            )
        return cls(
            source,
            picture,
            signal,
            perceptual,
            parts,
            mask,
            log_ssim=log_ssim,
            points=watched.points,
            seed=setup.seed,
            notes=tuple(notes),
        )

    @property
    def sha256(self) -> str:
        """Hash of its pixels."""
        return self.picture.sha256

    @property
    def mask_sha256(self) -> str | None:
        """Hash of the mask; see `Subject.mask_sha256`."""
        return None if self.mask is None else self.mask.sha256

    @classmethod
    def wanted_mask(cls, settings: ImageSettings) -> str | None:
        """Read the mask for its hash; see `Subject.wanted_mask`."""
        if settings.mask is None:
            return None
        return read_mask(settings.mask, settings.max_pixels).sha256

    @property
    def conversions(self) -> tuple[str, ...]:
        """What was done to the file's content."""
        return self.picture.conversions

    def cache(self) -> dict[str, bytes]:
        """Return the mask, and an input that is no file, for a run that goes on.

        See `Subject.cache`.
        """
        files = {} if self.mask is None else {MASK: encode_mask(self.mask)}
        if isinstance(self.source, Held):
            file = io.BytesIO()
            np.save(file, np.asarray(self.source.content), allow_pickle=False)
            files[_ARRAY] = file.getvalue()
        return files

    def mismatch(self, record: SignalRecord) -> str | None:
        """Compare sizes; see `Subject.mismatch`."""
        assert isinstance(record, ImageRecord)
        wanted, scale = (*record.grid, record.channels), self.picture.scale
        if self.picture.pixels.shape == wanted:
            kind = self.picture.pixels.dtype
            by_type = {Scale.of_type(kind), Scale.of_type(np.dtype(record.dtype))}
            if record.dtype == str(kind) or by_type == {scale, record.scale}:
                return None
            return (
                f"'{self.source}' has values of {kind}{range_shown(scale.ends)} where the run has "
                f"{record.dtype}{range_shown(record.scale.ends)}"
            )
        return (
            f"'{self.source}' has height, width, channels {self.picture.pixels.shape} where the "
            f"run has {wanted}"
        )

    def describe(self) -> str:
        """Give the size in pixels."""
        height, width = self.signal.shape
        parts = "" if self.parts is None else self.parts.describe()
        return f"{width}x{height} pixels{range_shown(self.picture.scale.ends)}{parts}"

    def record(self) -> ImageRecord:
        """Give source, hash, size and type; see `Subject.record`."""
        height, width, channels = self.picture.pixels.shape
        return ImageRecord(
            source=identity(self.source),
            sha256=self.sha256,
            shape=(height, width),
            channels=channels,
            dtype=str(self.picture.pixels.dtype),
            low=self.picture.scale.low,
            high=self.picture.scale.high,
            maximum=self.picture.maximum,
            mask_sha256=self.mask_sha256,
        )

    def input_record(self) -> ImageInput:
        """Give size and depth; see `Subject.input_record`."""
        pixels = self.picture.pixels
        return ImageInput(
            source=identity(self.source),
            sha256=self.sha256,
            shape=list(pixels.shape[:2]),
            channels=pixels.shape[2],
            bits_per_channel=self.picture.bits,
            alpha=self.picture.alpha,
            range=list(self.picture.scale.ends),
            mask_sha256=self.mask_sha256,
            mask_pixels=None if self.mask is None else self.mask.count,
            conversions=list(self.conversions),
        )

    def field_record(self, name: str, field: Field) -> FieldRecord:
        """Give the field's size, per pixel too; see `Subject.field_record`."""
        return FieldRecord(
            name=name,
            parameters=field.parameter_count(),
            bytes=field.byte_count(),
            bits_per_pixel=8 * field.byte_count() / len(self.signal),
        )

    def evaluate(self, field: Field, units: int | None = None) -> Evaluation:
        """Predict all pixels that train, or some of many; see `Subject.evaluate`."""
        training = len(self.training)
        count = training if self.points is None else self.points
        if units is not None and not self.log_ssim:
            affordable = units / _EVALUATION_COST
            if self.parts is not None and self.parts.held_out is not None:
                affordable *= training / (training + len(self.parts.held_out))
            count = min(count, max(_LEAST_SAMPLE, rounded_down(int(affordable))))
        if count < training:
            return self._sampled(field, count)
        if self.parts is None:
            error, ssim = SquaredError(), self._ssim() if self.log_ssim else None
            self._strips.measure(field, *([error] if ssim is None else [error, ssim]))
            return self._evaluation(figures_of(error), ssim)
        if self.log_ssim:
            apart, ssim = PartedError(self.parts.roles()), self._ssim()
            self._strips.measure(field, apart, ssim)
            return self._evaluation(parted_figures(apart), ssim)
        figures = figures_of(error_at(field, self.parts.training))
        if self.parts.held_out is not None:
            figures |= figure_of_part("holdout", error_at(field, self.parts.held_out))
        return self._evaluation(figures, None)

    def _sampled(
        self, field: Field, count: int, piece: Piece = unwatched, *, outside: bool = False
    ) -> ImageEvaluation:
        """Measure some pixels, evenly spread, and of each other part as large a share."""
        error = error_at(field, self._sample("training", self.training, count), piece)
        figures = figures_of(error) | ({"ssim": None} if self.log_ssim else {})
        if self.parts is not None:
            for name, part in self._others(outside=outside).items():
                share = max(1, count * len(part) // len(self.training))
                sample = self._sample(name, part, min(len(part), share, _SAMPLE))
                figures |= figure_of_part(name, error_at(field, sample, piece))
        return ImageEvaluation(figures, points=count, sampled=True)

    def _others(self, *, outside: bool) -> dict[str, Signal]:
        """Return the parts that do not train, by what their figures are called."""
        assert self.parts is not None
        found: dict[str, Signal] = {}
        if self.parts.held_out is not None:
            found["holdout"] = self.parts.held_out
        if outside and self.parts.outside is not None:
            found["outside"] = self.parts.outside
        return found

    def _sample(self, name: str, part: Signal, count: int) -> PointSignal:
        """Return some points of a part, evenly spread; the same ones where it is asked again."""
        kept = self._samples.get(name)
        if kept is None or len(kept) != count:
            chosen = spread_indices(len(part), count, self.seed)
            kept = PointSignal(*part.at(chosen.to(part.device)))
            self._samples[name] = kept
        return kept

    def cost_within(self, units: int | None) -> int:
        """Units of a prediction of the pixels and of what is measured; see `Subject`."""
        if self._is_sampled(units):
            return self._sample_size(units)
        return self.essential + self._perceptual_cost(self._perceptual_within(units))

    @property
    def essential(self) -> int:
        """Units of a prediction of all pixels, with PSNR and SSIM; see `Subject.essential`."""
        return int(_STRIP_COST * len(self.signal))

    def _perceptual_cost(self, models: PerceptualModels) -> int:
        lpips, flip = models.reasons(*self.signal.shape)
        return int(
            (_LPIPS_COST * (lpips is None) + _FLIP_COST * (flip is None)) * len(self.signal)
        )

    def _perceptual_within(self, units: int | None) -> PerceptualModels:
        """Choose the perceptual metrics that there is time for, LPIPS rather than FLIP."""
        models, shape = self.perceptual, self.signal.shape
        left = math.inf if units is None else units - self.essential
        if self._perceptual_cost(models) > left and models.reasons(*shape)[1] is None:
            models = replace(models, flip_reason=_LEFT_OUT)
        if self._perceptual_cost(models) > left:
            models = replace(models, lpips_reason=_LEFT_OUT)
        return models

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
    ) -> ImageEvaluation:
        """Measure all pixels, and write a large result meanwhile; see `Subject.evaluate_fully`."""
        if self._is_sampled(units):
            sampled = self._sampled(field, self._sample_size(units), piece, outside=True)
            names = ("ssim", "lpips", "flip", "reconstruction")
            return replace(sampled, left_out=names)
        ssim = self._ssim()
        error = SquaredError() if self.parts is None else PartedError(self.parts.roles())
        prediction = pixels = None
        models = self._perceptual_within(units)
        if None in models.reasons(*self.signal.shape):
            prediction = self._strips.prediction(field, error, ssim, piece=piece)
            strips = iter(prediction.split(self._strips.size))
        else:
            strips = self._strips.predicted(field, error, ssim, piece=piece)
        if save is None:
            deque(strips, maxlen=0)
        elif len(self.signal) > LARGE_PIXELS:
            shape, dtype = self.picture.pixels.shape, self.picture.pixels.dtype
            parts = map(self._strips.pixels, strips)
            alpha, tags = self.picture.alpha, self.picture.tags
            save(
                RECONSTRUCTED_VALUES,
                lambda file: write_tiff(file, parts, shape, dtype, alpha=alpha, tags=tags),
            )
        else:
            pixels = np.concatenate([self._strips.pixels(strip) for strip in strips])
        if isinstance(error, SquaredError):
            figures = figures_of(error)
        else:
            figures = parted_figures(error)
        masked = self.parts is not None and self.parts.outside is not None
        reasons = {"lpips": models.lpips_reason, "flip": models.flip_reason}
        return replace(
            self._evaluation(figures, None if masked else ssim),
            prediction=prediction,
            pixels=pixels,
            perceptual=models,
            left_out=tuple(name for name, reason in reasons.items() if reason == _LEFT_OUT),
        )

    def confirmed(
        self, field: Field, evaluation: Evaluation, units: int | None = None
    ) -> Mapping[str, float | None]:
        """Measure as many pixels as the end will; see `Subject.confirmed`."""
        assert isinstance(evaluation, ImageEvaluation)
        if not evaluation.sampled:
            return evaluation.figures
        if self._is_sampled(units):
            return self.evaluate_fully(field, units=units).figures
        if self.parts is not None:
            return figures_of(error_at(field, self.parts.training))
        error = SquaredError()
        self._strips.measure(field, error)
        return figures_of(error)

    @cached_property
    def _strips(self) -> Strips:
        return Strips(self.picture, self.signal)

    def _ssim(self) -> Ssim:
        _, width, channels = self.picture.pixels.shape
        return Ssim(width, channels)

    def _evaluation(self, figures: dict[str, float | None], ssim: Ssim | None) -> ImageEvaluation:
        """Return what was measured at all pixels that train."""
        similarity = ssim.mean() if ssim is not None else None
        if self.log_ssim:
            figures["ssim"] = similarity
        every = len(self.training)
        points = every if self.points is not None and every > self.points else None
        return ImageEvaluation(figures, points=points, ssim=similarity)

    def quality(
        self, field: Field, evaluation: Evaluation, piece: Piece = unwatched
    ) -> ImageQuality:
        """Add SSIM and the perceptual metrics; see `Subject.quality`."""
        assert isinstance(evaluation, ImageEvaluation)
        psnr, mse = evaluation.figures["psnr_db"], evaluation.figures["mse"]
        if evaluation.sampled:
            lpips, flip = self.perceptual.reasons(*self.signal.shape)
            return ImageQuality(
                **self._apart(evaluation),
                mse=mse,
                psnr_db=finite(psnr),
                psnr_infinite=mse == 0,
                ssim_reason=_SAMPLED,
                lpips_reason=lpips or _SAMPLED,
                flip_reason=flip or _SAMPLED,
            )
        perceived = evaluation.perceptual.measure(evaluation.prediction, self.picture)
        piece(self._perceptual_cost(evaluation.perceptual))
        no_ssim = _TOO_SMALL
        if self.parts is not None and self.parts.outside is not None:
            no_ssim = _MASKED
        return ImageQuality(
            **perceived.model_dump(),
            **self._apart(evaluation),
            mse=mse,
            psnr_db=finite(psnr),
            psnr_range=list(self.picture.scale.ends),
            psnr_infinite=mse == 0,
            ssim=evaluation.ssim,
            ssim_reason=None if evaluation.ssim is not None else no_ssim,
        )

    def _apart(self, evaluation: Evaluation) -> dict[str, Any]:
        """Return what metrics.json says of the points that did not train."""
        why_not = {"holdout": NO_HOLDOUT, "outside": _NO_MASK}
        if self.mask is not None:
            why_not["outside"] = "the mask is white everywhere"
        found: dict[str, Any] = {}
        for name, reason in why_not.items():
            found |= apart(name, evaluation.figures, f"{name}_psnr_db", reason)
        if self.parts is not None:
            for name, part in self._others(outside=True).items():
                found[f"{name}_points"] = len(part)
        return found

    def reconstruct(
        self, field: Field, evaluation: Evaluation, piece: Piece = unwatched
    ) -> dict[str, bytes]:
        """Give the picture in the input's own channels and bits; see `Subject.reconstruct`.

        That of a large one was written when it was measured.
        """
        assert isinstance(evaluation, ImageEvaluation)
        if evaluation.pixels is None:
            return {}
        return reconstruction_files(self.picture, evaluation.pixels)

    @classmethod
    def rebuild(cls, record: SignalRecord, settings: ImageSettings, field: Field) -> Pixels:
        """Give (H, W, C) pixels in the input's own type; see `Subject.rebuild`."""
        assert isinstance(record, ImageRecord)
        grid = GridSignal(torch.empty(record.population, 0), record.grid)
        flat = np.empty((record.population, record.channels), record.dtype)
        for start, prediction, _ in predicted_blocks(field, grid, STRIP_PIXELS):
            part = to_pixels(prediction, (len(prediction),), flat.dtype, record.scale)
            flat[start : start + len(part)] = part
        return flat.reshape(*record.grid, record.channels)

    def illustrate(
        self, selections: Mapping[str, Selection], steps: Mapping[str, int]
    ) -> dict[str, bytes]:
        """Draw the batches over the dimmed picture; see `Subject.illustrate`."""
        chosen = selection_picture(self.picture, selections, steps)
        return {SELECTION: encode_picture(chosen)}


def _held(source: str, saved: bytes | None) -> Held:
    """Give the array that a run was of, from the run's own folder."""
    if saved is None:
        raise InputError(f"'{source}' was an array in Python, and the run has no {_ARRAY} of it")
    try:
        return Held(source, np.load(io.BytesIO(saved), allow_pickle=False))
    except (ValueError, OSError, EOFError) as error:
        raise InputError(f"the run's {_ARRAY} is damaged: {error}") from error


def first_frequency(side: int) -> float:
    """Choose the largest angular frequency that a picture's field of sines should start with.

    Args:
        side: The picture's longest side in pixels.

    Returns:
        Radians per unit of coords in [-1, 1]: in proportion to the root of the side, and at most
        half of what the pixels can hold.

    Example:
        >>> first_frequency(256)
        160.0
    """
    return min(_FIRST_PER_ROOT * math.sqrt(side), math.pi * max(1, side - 1) / 4)
