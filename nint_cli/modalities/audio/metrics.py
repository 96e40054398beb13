"""How close a sound's reconstruction is, by its samples and by its spectrum.

All of them take waveforms (T, C) in float64 in which full scale is 1, and look at some samples at
a time. The energies of all channels are added; the spectral distance is the mean over channels.
"""

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from nint_cli.metrics.measured import Measured
from nint_cli.modalities.audio.signal import Rows, Waveform

SILENT = "the sound is silent"

WINDOW = 2048
HOP = 512
FLOOR_DB = 80.0
_FRAMES_AT_ONCE = 256
_ROWS_AT_ONCE = 1 << 18


def snr_db(prediction: Rows, values: Rows) -> Measured:
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
    signal = noise = 0.0
    for found, true in _pairs(prediction, values):
        signal, noise = signal + _energy(true), noise + _energy(found - true)
    return _ratio_db(signal, noise)


def si_snr_db(prediction: Rows, values: Rows) -> Measured:
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
    channels = values.shape[1]
    middles = _middle(prediction), _middle(values)
    energies, products = np.zeros(channels), np.zeros(channels)
    for pair in _pairs(prediction, values):
        found, true = (part - middle for part, middle in zip(pair, middles, strict=True))
        energies += np.einsum("tc,tc->c", true, true)
        products += np.einsum("tc,tc->c", found, true)
    if not energies.any():
        return Measured.undefined("the sound is silent or constant")
    gains = products / np.where(energies > 0, energies, 1)
    signal = noise = 0.0
    for pair in _pairs(prediction, values):
        found, true = (part - middle for part, middle in zip(pair, middles, strict=True))
        scaled = gains * true
        signal, noise = signal + _energy(scaled), noise + _energy(found - scaled)
    if not signal:
        return Measured.undefined("the reconstruction holds nothing of the sound")
    return _ratio_db(signal, noise)


def mean_squared_error(prediction: Rows, values: Rows) -> float:
    """Compute the mean squared error of what can be played.

    Args:
        prediction: (T, C); clipped to [-1, 1], as the released code of NINT does.
        values: (T, C), the sound; clipped to [-1, 1].

    Returns:
        Mean over samples and channels.
    """
    errors = (_energy(p.clip(-1, 1) - v.clip(-1, 1)) for p, v in _pairs(prediction, values))
    return sum(errors) / math.prod(values.shape)


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


def log_spectral_distance_db(prediction: Rows, values: Rows) -> Measured:
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
    top = max(float(power.max()) for c in channels for power in power_spectra(values, c))
    if top == 0:
        return Measured.undefined(SILENT)
    floor = top * 10 ** (-FLOOR_DB / 10)
    total, frames = 0.0, 0
    for channel in channels:
        pairs = zip(
            power_spectra(prediction, channel), power_spectra(values, channel), strict=True
        )
        for predicted, power in pairs:
            level = 10 * np.log10(np.maximum(predicted, floor) / np.maximum(power, floor))
            total += float(np.sqrt(np.square(level).mean(axis=1)).sum())
            frames += len(level)
    return Measured(total / frames)


def power_spectra(waveform: Rows, channel: int) -> Iterator[NDArray[np.float64]]:
    """Give the short-time power spectra of one channel, some frames at a time.

    Args:
        waveform: (T, C), T at least 1.
        channel: Its number.

    Yields:
        (F, WINDOW / 2 + 1); F adds up to 1 + floor(T / HOP).
    """
    window = np.hanning(WINDOW + 1)[:-1]
    frames = 1 + waveform.shape[0] // HOP
    for start in range(0, frames, _FRAMES_AT_ONCE):
        stop = min(start + _FRAMES_AT_ONCE, frames)
        first = start * HOP - WINDOW // 2
        part = padded_rows(waveform, first, (stop - 1) * HOP + WINDOW // 2)[:, channel]
        spectrum = np.fft.rfft(
            np.lib.stride_tricks.sliding_window_view(part, WINDOW)[::HOP] * window
        )
        yield np.square(spectrum.real) + np.square(spectrum.imag)


def padded_rows(waveform: Rows, start: int, stop: int) -> Waveform:
    """Give samples from one to before another, with zeros before and after the sound."""
    length = waveform.shape[0]
    inside = waveform[max(0, start) : max(0, min(stop, length))]
    before = min(stop - start, max(0, -start))
    padding = (before, stop - start - before - len(inside))
    return np.pad(inside, (padding, (0, 0)))


def _pairs(prediction: Rows, values: Rows) -> Iterator[tuple[Waveform, Waveform]]:
    """Go through both, some samples at a time."""
    for start in range(0, values.shape[0], _ROWS_AT_ONCE):
        part = slice(start, start + _ROWS_AT_ONCE)
        yield prediction[part], values[part]


def _middle(waveform: Rows) -> NDArray[np.float64]:
    """Give the mean of each channel (C,); of a constant one its value, without any rounding."""
    total = 0.0
    low, high = np.full(waveform.shape[1], np.inf), np.full(waveform.shape[1], -np.inf)
    for part, _ in _pairs(waveform, waveform):
        # Rows, which NumPy adds up in pairs.
        total = total + np.ascontiguousarray(part.T).sum(axis=1)
        low, high = np.minimum(low, part.min(axis=0)), np.maximum(high, part.max(axis=0))
    return np.where(low == high, low, total / waveform.shape[0])


def _energy(waveform: Waveform) -> float:
    return float(np.vdot(waveform, waveform))


def _ratio_db(signal: float, noise: float) -> Measured:
    if signal == 0:
        return Measured.undefined(SILENT)
    return Measured(math.inf if noise == 0 else 10 * math.log10(signal / noise))
