"""How kernels are compiled, and what they do with the bits of numbers."""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

SERIAL = {
    "cache": True,
    "nogil": True,
    "error_model": "numpy",
    # a * b + c in one rounding; not reordered, so that a kernel has the same bits everywhere
    # where the processor has that instruction.
    "fastmath": {"contract", "nsz"},
}
PARALLEL = {**SERIAL, "parallel": True}


@intrinsic
def bits_of(_typing, _number):
    """Return the bits of a float32 as an int32."""

    def code(_context, builder, _signature, arguments):
        return builder.bitcast(arguments[0], ir.IntType(32))

    return types.int32(types.float32), code


@intrinsic
def float_of(_typing, _bits):
    """Return the float32 that an int32 has the bits of."""

    def code(_context, builder, _signature, arguments):
        return builder.bitcast(arguments[0], ir.FloatType())

    return types.float32(types.int32), code
