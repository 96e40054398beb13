"""The file ``.nint``: a field as integers, with the description that rebuilds it.

Byte by byte in docs/compressing.md. Nothing is allocated that the file's own length and the
shapes of the described field do not account for, and nothing is unpickled.
"""

import hashlib
import struct
import zlib
from collections.abc import Iterable
from math import prod
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict
from pydantic import Field as Setting

from nint_cli.config.schema import RunConfig
from nint_cli.errors import InputError
from nint_cli.fields.base import Field, load_parameters
from nint_cli.fitted.compression.quantise import MOST_BITS, Quantised, scales_of
from nint_cli.fitted.description import (
    Description,
    describe,
    field_without_memory,
    refuse_other_shapes,
    settings_of,
)
from nint_cli.runs.build import build_field
from nint_cli.runs.checkpoint import first_fault
from nint_cli.signals.json_text import parsed
from nint_cli.signals.record import SignalRecord

MAGIC = b"NINT"
VERSION = 1
SUFFIX = ".nint"
_START = struct.Struct("<4sBII")
_DIGEST = 16  # bytes of the SHA-256: against damage, which they find as surely as all 32 would
_MOST_HEADER = 1 << 20  # bytes, inflated
_MOST_INFLATION = 1032  # DEFLATE's largest ratio

Count = Annotated[int, Setting(ge=1)]


class TensorHeader(BaseModel):
    """What a file says of a tensor; see `Quantised`."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: str
    shape: list[Count]
    bits: int = Setting(ge=2, le=MOST_BITS)
    run: Count

    @property
    def count(self) -> int:
        """How many numbers it has."""
        return prod(self.shape)

    @property
    def runs(self) -> int:
        """How many scales it has."""
        return -(-self.count // self.run)

    @property
    def width(self) -> int:
        """Bytes of an integer."""
        return 1 if self.bits <= 8 else 2


class Header(BaseModel):
    """The JSON of a file.

    Attributes:
        about: The field.
        tensors: In the order in which the payload has them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    about: Description
    tensors: list[TensorHeader]


def is_one(path: Path) -> bool:
    """Return whether a file begins as a compressed field does, even if it is damaged.

    Args:
        path: The file.
    """
    try:
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


def encode(
    config: RunConfig, signal: SignalRecord, tensors: Iterable[Quantised], step: int | None
) -> bytes:
    """Return the content of a file.

    Args:
        config: The settings of the field's run.
        signal: What it was fitted to.
        tensors: Its parameters.
        step: The step it is of.

    Returns:
        The content; the same for the same field, by one version of zlib.
    """
    tensors = tuple(tensors)
    header = Header(
        about=describe(config, signal, step),
        tensors=[
            TensorHeader(name=each.name, shape=list(each.shape), bits=each.bits, run=each.run)
            for each in tensors
        ],
    )
    scales = b"".join(each.scales.astype("<u2").tobytes() for each in tensors)
    payload = scales + b"".join(_integer_bytes(each) for each in tensors)
    return sealed(header.model_dump_json().encode(), payload)


def sealed(header: bytes, payload: bytes) -> bytes:
    """Return a file of a header and a payload.

    Args:
        header: JSON.
        payload: Scales and integers.
    """
    parts = _deflated(header), _deflated(payload)
    content = _START.pack(MAGIC, VERSION, *map(len, parts)) + b"".join(parts)
    return content + _digest(content)


def read(path: Path) -> tuple[RunConfig, SignalRecord, Field, int | None]:
    """Read a file that `encode` made.

    Args:
        path: The file.

    Returns:
        Settings, record, field and step.

    Raises:
        InputError: If it is damaged, foreign, or of a version to come.
    """
    try:
        return decode(path.read_bytes())
    except OSError as error:
        raise InputError(f"cannot read '{path}': {error.strerror or error}") from error
    except (
        KeyError, TypeError, ValueError, ArithmeticError, RecursionError, zlib.error,
    ) as error:  # fmt: skip
        raise InputError(f"'{path}' holds no sound field of nint: {first_fault(error)}") from error


def decode(content: bytes) -> tuple[RunConfig, SignalRecord, Field, int | None]:
    """Rebuild a field from the content of a file.

    Args:
        content: Of any length.

    Returns:
        Settings, record, field and step.

    Raises:
        ValueError: If it is unsound; or another of the errors that `read` turns into one.
    """
    text, packed = _parts(content)
    header = Header.model_validate(parsed(text))
    config, signal = settings_of(header.about)
    _refuse_other_tensors(field_without_memory(config, signal), header.tensors)
    size = sum(2 * each.runs + each.width * each.count for each in header.tensors)
    if size > _MOST_INFLATION * len(packed):
        raise ValueError(f"{len(packed)} bytes cannot hold the {size} of its tensors")
    payload = _inflated(packed, size, "payload")
    if len(payload) != size:
        raise ValueError(f"the payload has {len(payload)} bytes, its tensors {size}")
    found = {each.name: each.values() for each in _tensors(header.tensors, payload)}
    field = build_field(config, signal.grid, signal.channels, half_range=signal.half_range)
    load_parameters(field, found)
    return config, signal, field, header.about.step


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()[:_DIGEST]


def _parts(content: bytes) -> tuple[bytes, bytes]:
    """Return the JSON, and the payload as it is packed, of a file without damage."""
    if content[: len(MAGIC)] != MAGIC:
        raise ValueError("it does not begin with NINT")
    if len(content) < _START.size + _DIGEST:
        raise ValueError("it is cut off")
    _, version, header, payload = _START.unpack_from(content)
    if version != VERSION:
        raise ValueError(f"version {version} of the format, where this nint reads {VERSION}")
    size = _START.size + header + payload + _DIGEST
    if len(content) != size:
        raise ValueError(f"it has {len(content)} bytes where its lengths make {size}")
    if _digest(content[:-_DIGEST]) != content[-_DIGEST:]:
        raise ValueError("it is damaged: its hash is another")
    middle = _START.size + header
    text = _inflated(content[_START.size : middle], _MOST_HEADER, "header")
    return text, content[middle:-_DIGEST]


def _refuse_other_tensors(field: Field, tensors: list[TensorHeader]) -> None:
    """Compare the tensors of a file with those of its field, before memory is taken."""
    found = {each.name: each.shape for each in tensors}
    refuse_other_shapes(field, found)
    if len(found) != len(tensors):
        raise ValueError("a tensor is there twice")
    for each in tensors:
        if each.run > each.count:
            raise ValueError(f"{each.name}: runs of {each.run} in {each.count} numbers")


def _tensors(headers: list[TensorHeader], payload: bytes) -> Iterable[Quantised]:
    """Read the tensors of a payload whose length is right."""
    scales_at, at = 0, 2 * sum(each.runs for each in headers)
    for each in headers:
        scales = np.frombuffer(payload, "<u2", each.runs, scales_at).astype(np.uint16)
        integers = np.frombuffer(payload, np.int8, each.width * each.count, at).astype(np.int16)
        if each.width == 2:
            integers = (integers[each.count :] << 8) | (integers[: each.count] & 0xFF)
        most = 2 ** (each.bits - 1) - 1
        if int(np.abs(integers.astype(np.int32)).max()) > most:
            raise ValueError(f"{each.name}: an integer beyond {each.bits} bits")
        numbers = scales_of(scales).astype(np.float64) * most
        if not bool(np.all((numbers >= 0) & (numbers <= np.finfo(np.float32).max))):
            raise ValueError(f"{each.name}: a scale that is negative or not finite")
        scales_at += 2 * each.runs
        at += each.width * each.count
        yield Quantised(each.name, tuple(each.shape), each.bits, each.run, scales, integers)


def _integer_bytes(tensor: Quantised) -> bytes:
    """Return integers of up to 8 bits a byte each, of more as all lower and then all upper."""
    integers = tensor.integers
    if tensor.bits <= 8:
        return integers.astype(np.int8).tobytes()
    pairs = integers.astype("<i2").view(np.uint8).reshape(-1, 2)
    return np.ascontiguousarray(pairs.T).tobytes()


def _deflated(content: bytes) -> bytes:
    """Return the shorter of two raw DEFLATE streams: with matches, and with Huffman codes only."""
    streams = []
    for strategy in (zlib.Z_DEFAULT_STRATEGY, zlib.Z_HUFFMAN_ONLY):
        packer = zlib.compressobj(9, zlib.DEFLATED, -15, 9, strategy)
        streams.append(packer.compress(content) + packer.flush())
    return min(streams, key=len)


def _inflated(content: bytes, most: int, part: str) -> bytes:
    """Inflate one raw DEFLATE stream, up to a length."""
    unpacker = zlib.decompressobj(-15)
    found = unpacker.decompress(content, most + 1)
    if len(found) > most:
        raise ValueError(f"its {part} inflates beyond {most} bytes")
    if not unpacker.eof or unpacker.unused_data:
        raise ValueError(f"its {part} is no whole stream")
    return found
