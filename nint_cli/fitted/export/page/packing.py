"""Arrays as one block of bytes that a script can read, and where in it each of them is."""

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

_NAMES = {
    "float16": "half",
    "float32": "float",
    "uint16": "short",
    "uint32": "int",
    "uint8": "byte",
}
_ALIGNED = 4  # bytes; a script's views must start at a multiple of their item


class Block:
    """Arrays one behind the other, little-endian."""

    def __init__(self) -> None:
        self._content = bytearray()

    def add(self, array: NDArray[Any]) -> Mapping[str, object]:
        """Append an array.

        Args:
            array: Of float16, float32 or unsigned integers of up to 32 bits; any shape.

        Returns:
            Type, offset in bytes and number of items, for JSON.
        """
        found = np.ascontiguousarray(array)
        where = {
            "type": _NAMES[found.dtype.name],
            "offset": len(self._content),
            "count": found.size,
        }
        self._content += found.astype(found.dtype.newbyteorder("<")).tobytes()
        self._content += bytes(-len(self._content) % _ALIGNED)
        return where

    def base64(self) -> str:
        """Return the whole block as base64."""
        return base64.b64encode(self._content).decode()
