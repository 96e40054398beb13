"""How a sound's reconstruction is heard, by published models of listeners to speech.

Both take waveforms (T, C) in float64 in which full scale is 1. They know one channel; of several,
each is measured by itself and the mean is given, or nothing where one has no figure.

They are made for utterances of seconds, and refuse much longer ones: cut them with --start and
--duration.
"""

import math
import warnings
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from nint_cli.metrics.measured import Measured
from nint_cli.modalities.audio.metrics import SILENT
from nint_cli.modalities.audio.signal import Rows

LOWEST_STOI_RATE_HZ = 8_000
HIGHEST_STOI_RATE_HZ = 192_000
LONGEST_STOI_S = 120
"""Of longer ones pystoi's table of segments takes gigabytes."""

LONGEST_PESQ_S = 20
"""The code counts utterances of 0.2 s that lie 0.2 s apart, and writes past its table of 50."""

_STOI_RATE_HZ = 10_000
_STOI_SHORTEST = 256 + 30 * 128
"""Samples at pystoi's own rate from which 30 frames, the shortest segment, can be had."""

_PESQ_BANDS = {8_000: "nb", 16_000: "wb"}

_Channel = NDArray[np.float64]


def stoi(prediction: Rows, values: Rows, sample_rate_hz: int) -> Measured:
    """Compute the short-time objective intelligibility, by pystoi.

    The correlation of one-third octave envelopes from 150 Hz to 4.3 kHz in segments of 0.4 s,
    without the silent frames of the sound; not the extended kind. pystoi brings the sound to 10
    kHz itself. Source: Taal, Hendriks, Heusdens, Jensen, "An Algorithm for Intelligibility
    Prediction of Time-Frequency Weighted Noisy Speech", IEEE TASLP 19(7), 2011.

    Args:
        prediction: (T, C); not clipped.
        values: (T, C), the sound.
        sample_rate_hz: Of both.

    Returns:
        Up to 1; undefined where a channel is silent, the rate is outside of
        [`LOWEST_STOI_RATE_HZ`, `HIGHEST_STOI_RATE_HZ`], it is longer than `LONGEST_STOI_S`, or
        there is no segment of 0.4 s that is not silent.
    """
    if not LOWEST_STOI_RATE_HZ <= sample_rate_hz <= HIGHEST_STOI_RATE_HZ:
        return Measured.undefined(
            f"STOI is for rates from {LOWEST_STOI_RATE_HZ} to {HIGHEST_STOI_RATE_HZ} Hz, and this "
            f"is {sample_rate_hz} Hz"
        )
    if values.shape[0] > LONGEST_STOI_S * sample_rate_hz:
        return Measured.undefined(_too_long("STOI", LONGEST_STOI_S))
    return _mean_over_channels(
        prediction, values, lambda p, v: _stoi_of_channel(p, v, sample_rate_hz)
    )


def pesq(prediction: Rows, values: Rows, sample_rate_hz: int) -> Measured:
    """Compute the perceptual evaluation of speech quality, by the `pesq` package.

    Wideband (ITU-T P.862.2) at 16 kHz and narrowband (P.862 with the mapping of P.862.1) at 8 kHz;
    the two are not comparable. Both waveforms are clipped to [-1, 1], as the released code of NINT
    does. Source: Rix, Beerends, Hollier, Hekstra, "Perceptual Evaluation of Speech Quality
    (PESQ)", ICASSP 2001.

    Args:
        prediction: (T, C); clipped to [-1, 1].
        values: (T, C), the sound; clipped to [-1, 1].
        sample_rate_hz: Of both.

    Returns:
        A mean opinion score from 1 to 4.64; undefined at other rates, without the package, where a
        channel is silent, shorter than 1/4 s or longer than `LONGEST_PESQ_S`, or the package finds
        no speech.
    """
    band = _PESQ_BANDS.get(sample_rate_hz)
    if band is None:
        return Measured.undefined(
            f"PESQ is for 8000 and 16000 Hz, and this is {sample_rate_hz} Hz"
        )
    if values.shape[0] > LONGEST_PESQ_S * sample_rate_hz:
        return Measured.undefined(_too_long("PESQ", LONGEST_PESQ_S))
    try:
        import pesq as package
    except ImportError:
        return Measured.undefined("needs the extra: pip install 'nint[pesq]'")

    def of_channel(prediction: _Channel, values: _Channel) -> Measured:
        try:
            score = package.pesq(sample_rate_hz, values.clip(-1, 1), prediction.clip(-1, 1), band)
        except package.PesqError as error:
            text = error.args[0] if error.args else "no figure"
            text = text.decode("ascii", "replace") if isinstance(text, bytes) else str(text)
            return Measured.undefined(f"PESQ: {text[:1].lower()}{text[1:]}")
        except ValueError:  # which it raises where it comes upon NaN
            score = math.nan
        if not math.isfinite(score):
            return Measured.undefined("PESQ has no figure for it")
        return Measured(float(score))

    return _mean_over_channels(prediction, values, of_channel)


def _stoi_of_channel(prediction: _Channel, values: _Channel, sample_rate_hz: int) -> Measured:
    from pystoi import stoi as pystoi

    too_short = Measured.undefined("STOI needs 0.4 s that are not silent")
    if len(values) * _STOI_RATE_HZ < _STOI_SHORTEST * sample_rate_hz:
        return too_short
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)  # pystoi's, beside a made-up 1e-5
        try:
            return Measured(float(pystoi(values, prediction, sample_rate_hz, extended=False)))
        except RuntimeWarning:
            return too_short


def _mean_over_channels(
    prediction: Rows, values: Rows, measure: Callable[[_Channel, _Channel], Measured]
) -> Measured:
    figures = []
    heard, true = prediction[:], values[:]
    for channel in range(values.shape[1]):
        one = np.ascontiguousarray(true[:, channel])
        figure = (
            measure(np.ascontiguousarray(heard[:, channel]), one)
            if one.any()
            else Measured.undefined(SILENT)
        )
        if figure.value is None:
            where = f"channel {channel + 1}: " if values.shape[1] > 1 else ""
            return Measured.undefined(f"{where}{figure.reason}")
        figures.append(figure.value)
    return Measured(sum(figures) / len(figures))


def _too_long(name: str, longest_s: int) -> str:
    return (
        f"{name} is for utterances, and this is longer than {longest_s} s; cut it with --duration"
    )
