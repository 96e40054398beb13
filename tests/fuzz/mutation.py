"""Small damage to bytes, to JSON and to safetensors files, chosen by a generator."""

import json
import random
import re
import struct
from collections.abc import Callable, Sequence
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save

from nint_cli.runs import checkpoint

# Odd values that JSON text can hold, as text: what `json.dumps` would not write is among them.
_ODD = (
    "null", "true", "0", "-1", "1", "2", "0.5", "-0.0", "1e308", "-1e308", "1e400", "NaN",
    "2147483648", "9223372036854775807", "9223372036854775808", "18446744073709551616",
    "1" * 400, "1" * 5000, '""', '"high"', '"a\\u0000b"', '"\\ud800"', '"../x"', '"/dev/zero"',
    '"' + "x" * 5000 + '"', "[]", "{}", "[[]]", "[0]", '{"a": 1}', '[1, "a", null]',
    "[" * 2000 + "]" * 2000, '{"a":' * 2000 + "1" + "}" * 2000, "[" * 100_000,
)  # fmt: skip
_NUMBERS = (b"0", b"-1", b"1", b"3", b"1e400", b"nan", b"inf", b"-1e38", b"1e-320", b"99999999",
            b"2147483648", b"9223372036854775808", b"9" * 400, b"0x10", b"1_0", b"")  # fmt: skip
_INTEGERS = (0, 1, 2, 3, 7, 8, 16, 127, 128, 255, 256, 1000, 32767, 32768, 65535, 65536, 1 << 24,
             (1 << 31) - 1, (1 << 32) - 1, 1 << 32, (1 << 63) - 1, (1 << 64) - 1)  # fmt: skip
_WIDTHS = {1: "B", 2: "H", 4: "I", 8: "Q"}
_HEAD = 200


def mutated(data: bytes, others: Sequence[bytes], generator: random.Random) -> bytes:
    """Damage bytes in one to four places, near the beginning more often than elsewhere.

    Args:
        data: What is sound.
        others: Files of the same kind, of which pieces may be mixed in.
        generator: Decides.

    Returns:
        The damaged bytes.
    """
    for _ in range(min(4, 1 + int(generator.expovariate(1.0)))):
        change = generator.choice(_CHANGES)
        data = change(data, generator) if data else data
    if others and generator.random() < 0.05:
        other = generator.choice(others)
        data = data[: _place(data, generator)] + other[_place(other, generator) :]
    return data


def _place(data: bytes, generator: random.Random) -> int:
    most = len(data) if generator.random() < 0.5 else min(len(data), _HEAD)
    return generator.randrange(most) if most else 0


def _flip(data: bytes, generator: random.Random) -> bytes:
    place = _place(data, generator)
    return data[:place] + bytes([data[place] ^ 1 << generator.randrange(8)]) + data[place + 1 :]


def _set_integer(data: bytes, generator: random.Random) -> bytes:
    place, width = _place(data, generator), generator.choice(list(_WIDTHS))
    value = generator.choice(_INTEGERS) & ((1 << 8 * width) - 1)
    return (
        data[:place]
        + struct.pack(generator.choice("<>") + _WIDTHS[width], value)
        + data[place + width :]
    )


def _set_number(data: bytes, generator: random.Random) -> bytes:
    """Replace a number of a text; of binary data there is none, and an integer is set."""
    found = list(re.finditer(rb"(?<![\w.])-?\d[\d.eE+-]*", data[: 1 << 16]))
    if not found or b"\0" in data[:_HEAD]:
        return _set_integer(data, generator)
    start, stop = generator.choice(found).span()
    return data[:start] + generator.choice(_NUMBERS) + data[stop:]


def _cut(data: bytes, generator: random.Random) -> bytes:
    return data[: generator.randrange(len(data))]


def _remove(data: bytes, generator: random.Random) -> bytes:
    place = _place(data, generator)
    return data[:place] + data[place + generator.choice((1, 2, 4, 16, 100)) :]


def _repeat(data: bytes, generator: random.Random) -> bytes:
    place = _place(data, generator)
    piece = data[place : place + generator.choice((1, 4, 16, 100))]
    return data[:place] + piece * generator.choice((2, 3, 50)) + data[place:]


def _insert(data: bytes, generator: random.Random) -> bytes:
    place = _place(data, generator)
    return data[:place] + generator.randbytes(generator.choice((1, 2, 4, 30))) + data[place:]


def _overwrite(data: bytes, generator: random.Random) -> bytes:
    place, size = _place(data, generator), generator.choice((1, 4, 16, 64))
    piece = generator.choice((b"\0", b"\xff", b"\n", b" "))
    return data[:place] + piece * size + data[place + size :]


def _move(data: bytes, generator: random.Random) -> bytes:
    start, place = _place(data, generator), _place(data, generator)
    piece = data[start : start + generator.choice((1, 4, 16, 100))]
    return data[:place] + piece + data[place + len(piece) :]


_CHANGES: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    _flip, _set_integer, _set_integer, _set_number, _set_number, _cut, _remove, _repeat, _insert,
    _overwrite, _move,
)  # fmt: skip


def mutated_json(data: bytes, generator: random.Random) -> bytes:
    """Damage a JSON document: mostly a value of it, at times its text.

    Args:
        data: The document.
        generator: Decides.

    Returns:
        Text that may be no JSON any more.
    """
    roll = generator.random()
    if roll < 0.1:
        return mutated(data, (), generator)
    if roll < 0.15:
        return generator.choice(_ODD).encode()
    document = json.loads(data)
    odd: list[str] = []
    for _ in range(generator.choice((1, 1, 1, 2, 3))):
        document = _with_odd_value(document, odd, generator)
    text = json.dumps(document)
    for number, value in enumerate(odd):
        text = text.replace(json.dumps(_token(number)), value)
    return text.encode("utf-8", "surrogatepass")


def _token(number: int) -> str:
    return f"@odd {number}@"


def _with_odd_value(document: Any, odd: list[str], generator: random.Random) -> Any:
    """Replace, remove or rename one value, anywhere in a document."""
    places = list(_places(document))
    if not places:
        return document
    holder, key = generator.choice(places)
    roll = generator.random()
    if roll < 0.15:
        del holder[key]
    elif roll < 0.25 and isinstance(holder, dict):
        holder[generator.choice(("", "unknown", "a\0b", f"{key}x"))] = holder.pop(key)
    elif roll < 0.35:
        _, other = generator.choice(places)
        holder[key] = other
    else:
        holder[key] = _token(len(odd))
        odd.append(generator.choice(_ODD))
    return document


def _places(document: Any) -> Any:
    """Name every value of a document by what holds it and its key."""
    keys: Any = ()
    if isinstance(document, dict):
        keys = list(document)
    elif isinstance(document, list):
        keys = range(len(document))
    for key in keys:
        yield document, key
        yield from _places(document[key])


def mutated_lines(data: bytes, generator: random.Random) -> bytes:
    """Damage one line of several JSON documents, or add one."""
    lines = data.splitlines()
    number = generator.randrange(len(lines))
    changed = mutated_json(lines[number], generator)
    keep = generator.random() < 0.3
    lines[number : number + 1] = [lines[number], changed] if keep else [changed]
    return b"\n".join(lines) + (b"\n" if generator.random() < 0.9 else b"")


def mutated_safetensors(data: bytes, key: str, generator: random.Random) -> bytes:
    """Damage a safetensors file: bytes, its header, the JSON in its metadata, or its tensors.

    Args:
        data: A sound file.
        key: Of the JSON in its metadata.
        generator: Decides.

    Returns:
        The file; a checkpoint whose document or tensors are changed has the hash of the new ones.
    """
    roll = generator.random()
    if roll < 0.2:
        return mutated(data, (), generator)
    length = int.from_bytes(data[:8], "little")
    header, body = data[8 : 8 + length], data[8 + length :]
    if roll < 0.4:
        return _joined(mutated_json(header, generator), body)
    tensors = load(data)
    document = json.loads(header)["__metadata__"][key]
    if roll < 0.75:
        text = mutated_json(document.encode(), generator).decode("utf-8", "replace")
    else:
        text = document
        _change_a_tensor(tensors, generator)
    try:
        about = json.loads(text)
        if "sha256" in json.loads(document):
            about["sha256"] = checkpoint.digest(about, tensors)
            text = json.dumps(about)
    except (ValueError, TypeError, AttributeError, RecursionError):
        pass  # what is no document has no hash
    try:
        return save(tensors, metadata={key: text})
    except (SafetensorError, ValueError, UnicodeError):
        return _joined(mutated_json(header, generator), body)


def _joined(header: bytes, body: bytes) -> bytes:
    return struct.pack("<Q", len(header)) + header + body


def _change_a_tensor(tensors: dict[str, Any], generator: random.Random) -> None:
    name = generator.choice(sorted(tensors))
    tensor = tensors.pop(name)
    change = generator.randrange(7)
    if change == 1:
        tensors[f"{name}x"] = tensor
    elif change == 2:
        tensors[name] = tensor.flatten()[: generator.randrange(tensor.numel() + 1)].clone()
    elif change == 3:
        tensors[name] = tensor.double() if tensor.is_floating_point() else tensor.float()
    elif change == 4:
        tensors[name] = (tensor + generator.choice((-1, 1, 7, 100))).to(tensor.dtype)
    elif change == 5:
        tensors[name] = tensor[None].clone()
    elif change == 6 and tensor.numel():
        tensor = tensor.clone()
        tensor.view(-1)[generator.randrange(tensor.numel())] = generator.choice((-1, 0, 1e9))
        tensors[name] = tensor
