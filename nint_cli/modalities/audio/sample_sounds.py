"""Sounds that are computed, so that everything can be tried without a file.

The same on every machine: sines in float64, rounded to 16 bits.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from nint_cli.modalities.samples import Samples

SAMPLE_RATE_HZ = 16_000

_PEAK = 0.8
_FADE_S = 0.02

# C major from the lowest note up, in equal temperament: C3, E3, G3, C4, E4.
_CHORD_HZ = tuple(440 * 2 ** (semitones / 12) for semitones in (-21, -17, -14, -9, -5))


def sound(name: str) -> NDArray[np.int16]:
    """Compute a built-in sound.

    Args:
        name: One of those of `SAMPLES`; an InputError is raised for another.

    Returns:
        (T,) samples, `SAMPLE_RATE_HZ` of them in a second.
    """
    return SAMPLES.find(name)()


def chirp() -> NDArray[np.int16]:
    """Sweep from 50 Hz to 6 kHz in 2 s, by equal ratios in equal times.

    Returns:
        (32000,) samples.
    """
    duration_s, low_hz, high_hz = 2.0, 50.0, 6000.0
    time = _times(duration_s)
    rate = np.log(high_hz / low_hz) / duration_s
    return _rounded(np.sin(2 * np.pi * low_hz / rate * np.expm1(rate * time)))


def chord() -> NDArray[np.int16]:
    """Pluck the notes of a C major chord one after the other, and let them ring for 3 s.

    Each note has eight harmonics, the higher the fainter and the sooner gone, as a string has.

    Returns:
        (48000,) samples.
    """
    time = _times(3.0)
    waveform = np.zeros_like(time)
    for index, pitch_hz in enumerate(_CHORD_HZ):
        since = time - 0.25 * index
        struck = since >= 0
        for harmonic in range(1, 9):
            ringing = np.exp(-since[struck] * (0.8 + 0.5 * harmonic)) / harmonic
            onset = -np.expm1(-since[struck] / 0.004)
            phase = 2 * np.pi * harmonic * pitch_hz * since[struck]
            waveform[struck] += onset * ringing * np.sin(phase)
    return _rounded(waveform)


def _times(duration_s: float) -> NDArray[np.float64]:
    return np.arange(round(duration_s * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ


def _rounded(waveform: NDArray[np.float64]) -> NDArray[np.int16]:
    """Fade in and out, and bring to 16 bits."""
    edge = np.arange(len(waveform)) / (_FADE_S * SAMPLE_RATE_HZ)
    waveform = waveform * np.minimum(1, np.minimum(edge, edge[::-1]))
    level = waveform * (_PEAK * 2**15 / np.abs(waveform).max())
    return np.asarray(level.round(), np.int16)


def _described(compute: Callable[[], NDArray[np.int16]]) -> str:
    return f"{len(compute()) / SAMPLE_RATE_HZ:g} s at {SAMPLE_RATE_HZ} Hz, computed"


SAMPLES = Samples("sound", {"chirp": chirp, "chord": chord}, _described)
"""What computes each of them, by name."""
