"""How close a sound's reconstruction is, by its samples and by its spectrum.

All of them take waveforms (T, C) in float64 in which full scale is 1. The energies of all channels
are added; the spectral distance is the mean over channels.
"""

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from nint_cli.metrics.measured import Measured

Waveform = NDArray[np.float64]

SILENT = "the sound is silent"

WINDOW = 2048
HOP = 512
FLOOR_DB = 80.0
_FRAMES_AT_ONCE = 256


def snr_db(prediction: Waveform, values: Waveform) -> Measured:
    """Compute the signal-to-noise ratio.

    Args:
        prediction: (T, C); not clipped.
        values: (T, C), the sound.

    Returns:
        10 log10(sum values^2 / sum (prediction - values)^2), in dB; infinite for an exact match,
        undefined for silence.

    Example:
        >>> snr_db(np.array([[2.0], [-2.0]]), np.array([[1.0], [-1.0]])).value
        0.0
    """
    return _ratio_db(_energy(values), _energy(prediction - values))


def si_snr_db(prediction: Waveform, values: Waveform) -> Measured:
    """Compute the scale-invariant signal-to-noise ratio.

    Each channel of both loses its mean. With the gain a = <prediction, values> / <values, values>
    of each channel it is 10 log10(sum (a values)^2 / sum (prediction - a values)^2). Source: Luo,
    Mesgarani, "TasNet: Time-Domain Audio Separation Network for Real-Time, Single-Channel Speech
    Separation", ICASSP 2018, arXiv 1711.00541; Le Roux, Wisdom, Erdogan, Hershey, "SDR - Half-
    Baked or Well Done?", ICASSP 2019, arXiv 1811.02508, where it is SI-SDR.

    Differs: the released code of NINT adds 1e-8 to <values, values> and to both energies. That
    matters where they come near 1e-8: for very quiet clips, and for an exact match, which is
    infinite here.

    Args:
        prediction: (T, C); not clipped.
        values: (T, C), the sound.

    Returns:
        In dB; undefined where the sound is constant in all channels, or the prediction is, or
        holds nothing of the sound.
    """
    prediction, values = _centred(prediction), _centred(values)
    energies = np.einsum("tc,tc->c", values, values)
    if not energies.any():
        return Measured.undefined("the sound is silent or constant")
    gains = np.einsum("tc,tc->c", prediction, values) / np.where(energies > 0, energies, 1)
    scaled = gains * values
    if not scaled.any():
        return Measured.undefined("the reconstruction holds nothing of the sound")
    return _ratio_db(_energy(scaled), _energy(prediction - scaled))


def mean_squared_error(prediction: Waveform, values: Waveform) -> float:
    """Compute the mean squared error of what can be played.

    Args:
        prediction: (T, C); clipped to [-1, 1], as the released code of NINT does.
        values: (T, C), the sound; clipped to [-1, 1].

    Returns:
        Mean over samples and channels.
    """
    return _energy(prediction.clip(-1, 1) - values.clip(-1, 1)) / values.size


def psnr_db(mse: float) -> float:
    """Compute the peak signal-to-noise ratio for a data range of 2, from -1 to 1.

    Args:
        mse: Mean squared error.

    Returns:
        10 log10(4 / mse), in dB; infinity where the error is 0.

    Example:
        >>> psnr_db(0.04)
        20.0
    """
    return math.inf if mse == 0 else 10 * math.log10(4 / mse)


def log_spectral_distance_db(prediction: Waveform, values: Waveform) -> Measured:
    """Compute the log-spectral distance.

    Power spectra P of `WINDOW` samples under a periodic Hann window, every `HOP` samples, the
    first centred on the first sample, with zeros before and after the sound. What lies more than
    `FLOOR_DB` below the strongest bin of the sound is lifted to that floor, so that the noise in
    its pauses does not decide. The distance is the mean, over frames and channels, of

        sqrt(mean over bins of (10 log10(P_prediction / P_values))^2).

    Source: Gray, Markel, "Distance Measures for Speech Processing", IEEE TASSP 24(5), 1976; window
    and hop are those usual for it in the literature on bandwidth extension. Figures with another
    window or floor are not comparable.

    Args:
        prediction: (T, C); not clipped.
        values: (T, C), the sound.

    Returns:
        In dB, 0 for equal spectra and at most a little more than `FLOOR_DB` unless the prediction
        is louder; undefined for silence.
    """
    channels = range(values.shape[1])
    top = max(float(power.max()) for c in channels for power in power_spectra(values[:, c]))
    if top == 0:
        return Measured.undefined(SILENT)
    floor = top * 10 ** (-FLOOR_DB / 10)
    total, frames = 0.0, 0
    for channel in channels:
        pairs = zip(
            power_spectra(prediction[:, channel]), power_spectra(values[:, channel]), strict=True
        )
        for predicted, power in pairs:
            level = 10 * np.log10(np.maximum(predicted, floor) / np.maximum(power, floor))
            total += float(np.sqrt(np.square(level).mean(axis=1)).sum())
            frames += len(level)
    return Measured(total / frames)


def power_spectra(channel: NDArray[np.floating]) -> Iterator[NDArray[np.float64]]:
    """Give the short-time power spectra of one channel, some frames at a time.

    Args:
        channel: (T,), T at least 1.

    Yields:
        (F, WINDOW / 2 + 1); F adds up to 1 + floor(T / HOP).
    """
    window = np.hanning(WINDOW + 1)[:-1]
    padded = np.pad(channel, WINDOW // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP]
    for start in range(0, len(frames), _FRAMES_AT_ONCE):
        spectrum = np.fft.rfft(frames[start : start + _FRAMES_AT_ONCE] * window)
        yield np.square(spectrum.real) + np.square(spectrum.imag)


def _centred(waveform: Waveform) -> Waveform:
    """Take the mean of each channel away; nothing is left of a constant one, not even rounding."""
    mean = np.ascontiguousarray(waveform.T).mean(axis=1)  # rows, which NumPy adds up in pairs
    centred: Waveform = waveform - mean
    centred[:, np.ptp(waveform, axis=0) == 0] = 0
    return centred


def _energy(waveform: Waveform) -> float:
    return float(np.vdot(waveform, waveform))


def _ratio_db(signal: float, noise: float) -> Measured:
    if signal == 0:
        return Measured.undefined(SILENT)
    return Measured(math.inf if noise == 0 else 10 * math.log10(signal / noise))
