"""Activations and their slopes over one row of float32 numbers, by polynomials.

Each replaces x by the activation and writes its derivative into `slope`. NaN stays NaN. There are
two arrays and not three, since loops over arrays that may overlap are not vectorised.
"""

import math

import numpy as np
from numba import njit

from nint_cli.fields.kernels.options import SERIAL, bits_of, float_of

_f, _i = np.float32, np.int32
_TWO_OVER_PI = _f(2 / math.pi)
# pi / 2 in three parts, of which the first two have few digits: their multiples are exact.
_PI_1, _PI_2, _PI_3 = _f(1.5703125), _f(4.837512969970703125e-4), _f(7.549789948768648e-8)
_TO_INTEGER = _f(
    1.5 * 2**23
)  # added to a number below 2^22, its last bits are the nearest integer
_LARGEST = _f(2.0**20)
# On [-pi/4, pi/4], to half a unit in the last place: Cephes' sinf and cosf (Moshier, 1992).
_S1, _S2, _S3 = _f(-1.6666654611e-1), _f(8.3321608736e-3), _f(-1.9515295891e-4)
_C1, _C2, _C3 = _f(4.166664568298827e-2), _f(-1.388731625493765e-3), _f(2.443315711809948e-5)
# Cephes' expf, on [-ln 2 / 2, ln 2 / 2].
_LOG2_E = _f(1.44269504088896341)
_LN2_1, _LN2_2 = _f(0.693359375), _f(-2.12194440e-4)
_E0, _E1, _E2 = _f(1.9875691500e-4), _f(1.3981999507e-3), _f(8.3334519073e-3)
_E3, _E4, _E5 = _f(4.1665795894e-2), _f(1.6666665459e-1), _f(5.0000001201e-1)
_LEAST_EXPONENT = _f(-87.0)  # below it e^x is no normal number, and 0 here


@njit(inline="always")
def _sine_and_cosine(x):
    shifted = x * _TWO_OVER_PI + _TO_INTEGER
    quarters = bits_of(shifted)
    n = shifted - _TO_INTEGER
    r = ((x - n * _PI_1) - n * _PI_2) - n * _PI_3
    square = r * r
    sine = r + r * square * (_S1 + square * (_S2 + square * _S3))
    cosine = _f(1) - _f(0.5) * square + square * square * (_C1 + square * (_C2 + square * _C3))
    odd = (quarters & _i(1)) != 0
    u = cosine if odd else sine
    v = sine if odd else cosine
    sign_u = _i(_i(quarters & _i(2)) << _i(30))
    sign_v = _i(_i(_i(quarters + _i(1)) & _i(2)) << _i(30))
    return float_of(_i(bits_of(u) ^ sign_u)), float_of(_i(bits_of(v) ^ sign_v))


@njit(**SERIAL)
def _reducible(x):
    """Return whether all are small enough for a reduction in float32."""
    largest = _f(0)
    for j in range(x.size):
        largest = max(largest, abs(x[j]))
    return largest < _LARGEST


@njit(**SERIAL)
def sine(x, slope):
    """Compute sin x and cos x, to 1e-7."""
    if _reducible(x):
        for j in range(x.size):
            x[j], slope[j] = _sine_and_cosine(x[j])
    else:
        for j in range(x.size):
            number = np.float64(x[j])
            x[j], slope[j] = math.sin(number), math.cos(number)


@njit(**SERIAL)
def finer(x, slope, omega):
    """Compute sin(omega (|x| + 1) x) and cos(omega (|x| + 1) x) omega (|x| + 1)."""
    for j in range(x.size):
        slope[j] = omega * (abs(x[j]) + _f(1))
        x[j] *= slope[j]
    if _reducible(x):
        for j in range(x.size):
            wave, other = _sine_and_cosine(x[j])
            x[j] = wave
            slope[j] *= other
    else:
        for j in range(x.size):
            phase = np.float64(x[j])
            x[j] = math.sin(phase)
            slope[j] *= _f(math.cos(phase))


@njit(**SERIAL)
def gaussian(x, slope):
    """Compute exp(-x^2) and -2 x exp(-x^2)."""
    for j in range(x.size):
        number = x[j]
        power = -number * number
        inside = max(power, _LEAST_EXPONENT)
        shifted = inside * _LOG2_E + _TO_INTEGER
        n = shifted - _TO_INTEGER
        r = (inside - n * _LN2_1) - n * _LN2_2
        p = ((((_E0 * r + _E1) * r + _E2) * r + _E3) * r + _E4) * r + _E5
        exponent = _i(_i(bits_of(shifted) - bits_of(_TO_INTEGER) + _i(127)) << _i(23))
        found = (p * r * r + r + _f(1)) * float_of(exponent)
        found = _f(0) if power <= _LEAST_EXPONENT else found
        x[j] = found
        slope[j] = _f(-2) * number * found
