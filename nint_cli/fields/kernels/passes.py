"""One pass over what a matrix product left: bias, activation and slope of a layer."""

import numba
import numpy as np
from numba import njit, prange
from numba.extending import overload

from nint_cli.fields.kernels import rows
from nint_cli.fields.kernels.options import PARALLEL, SERIAL, bits_of, float_of

_i = np.int32
# Numbers that are worked on at once, and stay in the first cache.
_BLOCK = 2048


@njit(inline="always")
def _rounded(number):
    """Return the bits of the nearest bfloat16, the even one of two."""
    bits = bits_of(number)
    up = _i(_i(0x7FFF) + _i(_i(bits >> _i(16)) & _i(1)))
    # Rounding must not carry a NaN over to infinity, or to zero.
    found = _i(bits + up) if number == number else _i(0x7FC00000)
    return np.int16(_i(found >> _i(16)))


def _load(x, bias, out):
    """Write x + bias into `out` as float32; x may hold the bits of bfloat16."""


def _store(x, out):
    """Write float32 numbers, rounded to even where `out` is for the bits of bfloat16."""


@overload(_load)
def _load_of(x, bias, out):
    def load_bits(x, bias, out):
        width = x.shape[1]
        for b in range(len(x)):
            row = out[b * width : (b + 1) * width]
            for j in range(width):
                row[j] = float_of(_i(_i(x[b, j]) << _i(16))) + bias[j]

    def load_floats(x, bias, out):
        width = x.shape[1]
        for b in range(len(x)):
            row = out[b * width : (b + 1) * width]
            for j in range(width):
                row[j] = x[b, j] + bias[j]

    return load_bits if x.dtype == numba.int16 else load_floats


@overload(_store)
def _store_of(x, out):
    def store_bits(x, out):
        flat = out.reshape(-1)
        for j in range(x.size):
            flat[j] = _rounded(x[j])

    def store_floats(x, out):
        flat = out.reshape(-1)
        for j in range(x.size):
            flat[j] = x[j]

    return store_bits if out.dtype == numba.int16 else store_floats


@njit(**SERIAL)
def _activate(kind, constant, x, slope):
    if kind == 0:
        rows.sine(x, slope)
    elif kind == 1:
        rows.finer(x, slope, constant)
    else:
        rows.gaussian(x, slope)


@njit(**SERIAL)
def activate(part, parts, kind, constant, z, bias, slope):
    """Replace z by act(z + bias) and write act'(z + bias) into `slope`.

    Args:
        part: Which part of the rows.
        parts: Number of parts, one per thread.
        kind: Place of the activation in `activations.KINDS`.
        constant: What it depends on.
        z: (B, F), float32, or the bits of bfloat16 as int16.
        bias: (F,), float32.
        slope: Like z; (0, 0) where it is not wanted.
    """
    count, width = z.shape
    height = max(1, _BLOCK // max(1, width))
    x, dx = np.empty(height * width, np.float32), np.empty(height * width, np.float32)
    end = count * (part + 1) // parts
    for first in range(count * part // parts, end, height):
        last = min(first + height, end)
        size = (last - first) * width
        _load(z[first:last], bias, x)
        _activate(kind, constant, x[:size], dx[:size])
        _store(x[:size], z[first:last])
        if slope.size:
            _store(dx[:size], slope[first:last])


@njit(**PARALLEL)
def activate_all(parts, kind, constant, z, bias, slope):
    """Run every part of `activate`."""
    for part in prange(parts):
        activate(part, parts, kind, constant, z, bias, slope)
