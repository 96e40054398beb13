"""Sounds as signals.

Legend: T samples per channel, C channels. A waveform is (T, C) in float64, and full scale is 1.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nint_cli.signals.base import GridSignal

Waveform = NDArray[np.float64]
ValueRange = Literal["peak", "unit"]


class Rows(Protocol):
    """A waveform whose samples are asked for some at a time; an array is one, too."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(T, C)."""

    def __getitem__(self, rows: slice, /) -> Waveform:
        """Give samples from one to before another."""


@dataclass(frozen=True)
class Scaling:
    """How a waveform becomes what a field is trained on, and back: value = w / scale + offset.

    Attributes:
        scale: Above 0.
        offset: What silence is trained as.
    """

    scale: float
    offset: float = 0.0


@dataclass(frozen=True)
class Sound:
    """A decoded sound.

    Attributes:
        samples: (T, C) in the type that holds what the file holds: int16, int32, float32 or
            float64; finite, and within the range of float32.
        sample_rate_hz: Samples per second and channel.
        subtype: The file's encoding, by soundfile's name: ``PCM_16``, ``FLOAT``, ``VORBIS``, ...
        sha256: Hash of all that was decoded, before any cutting and mixing.
        conversions: What was done to the file's content, in plain words.
        speakers: Which channel is for which, as the mask of bits that WAV has; None if unknown.
    """

    samples: NDArray[Any]
    sample_rate_hz: int
    subtype: str
    sha256: str
    conversions: tuple[str, ...] = ()
    speakers: int | None = None

    @property
    def channels(self) -> int:
        """C."""
        return int(self.samples.shape[1])

    @property
    def duration_s(self) -> float:
        """How long it lasts."""
        return len(self.samples) / self.sample_rate_hz

    @property
    def peak(self) -> float:
        """The largest distance from 0 of the waveform; 0 for silence."""
        ends = (float(self.samples.min()), float(self.samples.max()))
        return max(map(abs, ends)) / self._full_scale

    def waveform(self, chosen: NDArray[np.int64] | None = None) -> Waveform:
        """Give the waveform (T, C); a file of floating-point numbers may exceed full scale.

        Args:
            chosen: (M,), which samples to give; None for all.
        """
        found = self.samples if chosen is None else self.samples[chosen]
        return found / np.float64(self._full_scale)

    def rows(self, chosen: NDArray[np.int64] | None = None) -> Rows:
        """Give the waveform some samples at a time; see `waveform`."""
        samples = self.samples if chosen is None else self.samples[chosen]
        return _Played(samples, lambda part: part / np.float64(self._full_scale))

    def scaling(self, value_range: ValueRange = "peak") -> Scaling:
        """Choose what the field is trained on.

        Args:
            value_range: ``peak`` divides by the peak, so that values fill [-1, 1] and silence is
                0, as SIREN does it; ``unit`` takes (w + 1) / 2, which is in [0, 1] for a sound
                within full scale, as INT does it, however quiet the sound is.

        Returns:
            The scaling; of silence with ``peak``, one that changes nothing.
        """
        return Scaling(2.0, 0.5) if value_range == "unit" else Scaling(self.peak or 1.0)

    def signal(
        self,
        device: torch.device | None = None,
        *,
        scaling: Scaling | None = None,
        half_range: float = 1.0,
    ) -> GridSignal:
        """Make the sound a signal.

        Args:
            device: Where the samples are kept; integers in their own type, others in float32.
            scaling: Of a run that this is to be compared with; None fills [-1, 1].
            half_range: Coords run from -half_range to half_range; INT takes 5, SIREN 100.

        Returns:
            A signal on the grid (T,).
        """
        scaling = scaling or self.scaling()
        if self.samples.dtype.kind == "i":
            stored, scale = self.samples, scaling.scale * self._full_scale
        else:  # divided here, in its own precision: float32 might not hold such a scale
            stored, scale = np.asarray(self.samples / scaling.scale, np.float32), 1.0
        return GridSignal(
            torch.from_numpy(stored).to(device),
            (len(stored),),
            scale=scale,
            offset=scaling.offset,
            half_range=half_range,
        )

    @property
    def _full_scale(self) -> float:
        kind = self.samples.dtype
        return float(2 ** (8 * kind.itemsize - 1)) if kind.kind == "i" else 1.0


@dataclass(frozen=True)
class _Played:
    """Rows of something that becomes a waveform part by part."""

    stored: Any
    play: Callable[[Any], Waveform]

    @property
    def shape(self) -> tuple[int, ...]:
        """(T, C)."""
        return tuple(self.stored.shape)

    def __getitem__(self, rows: slice) -> Waveform:
        return self.play(self.stored[rows])


def played(prediction: Tensor, scaling: Scaling) -> Rows:
    """Give what `to_waveform` gives some samples at a time, so that no more is in float64.

    Args:
        prediction: (T, C).
        scaling: What it was trained with.
    """
    return _Played(prediction, lambda part: to_waveform(part, scaling))


def difference(one: Rows, other: Rows) -> Rows:
    """Give one waveform less another, some samples at a time."""
    return _Difference(one, other)


@dataclass(frozen=True)
class _Difference:
    one: Rows
    other: Rows

    @property
    def shape(self) -> tuple[int, ...]:
        """(T, C)."""
        return self.one.shape

    def __getitem__(self, rows: slice) -> Waveform:
        return self.one[rows] - self.other[rows]


def to_waveform(prediction: Tensor, scaling: Scaling) -> Waveform:
    """Turn a field's prediction into a waveform.

    Args:
        prediction: (T, C).
        scaling: What it was trained with.

    Returns:
        (T, C), not clipped.
    """
    values: Waveform = prediction.detach().cpu().double().numpy()
    return (values - scaling.offset) * scaling.scale
