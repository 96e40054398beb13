"""A field as arrays and a script of a few dozen lines that evaluates them by NumPy alone.

The script is put together from pieces: how this field is computed, and what values of this
modality are. It computes in the types that nint computes in.
"""

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nint_cli.errors import ConfigError
from nint_cli.fields.base import Activation, ChainField, Encoding, Field
from nint_cli.fields.ffn import FourierFeatures
from nint_cli.fields.finer import VariablePeriodicSine
from nint_cli.fields.gauss import Gaussian
from nint_cli.fields.grid_encoding import GridEncoding
from nint_cli.fields.mlp import Relu
from nint_cli.fields.pemlp import PositionalEncoding
from nint_cli.fields.siren import Sine
from nint_cli.fields.wire import Wire
from nint_cli.fitted.description import describe
from nint_cli.fitted.export.agreement import coords_type, refuse_different
from nint_cli.fitted.export.format import Note
from nint_cli.fitted.export.numpy_outputs import output_of
from nint_cli.fitted.fitted import Fitted
from nint_cli.version import __version__

ARRAYS = "field.npz"
SCRIPT = "decode.py"

Arrays = dict[str, NDArray[Any]]


def encode(fitted: Fitted, note: Note) -> Mapping[str, bytes]:
    """Return the arrays and the script, after the script was compared with the field.

    Args:
        fitted: The field.
        note: Told nothing, for the script makes the coords itself.

    Returns:
        Contents by name; an OutputError is raised if values are not the field's, a ConfigError
        if the field's parts are not known.
    """
    arrays, computation = _computation(fitted.field)
    arrays["description"] = np.array(
        describe(fitted.config, fitted.signal, fitted.step).model_dump_json()
    )
    fine = coords_type(fitted.signal) == torch.float64
    outcome = output_of(fitted.signal)
    head = _HEAD.format(
        what=outcome.what,
        field=fitted.config.field,
        version=__version__,
        usage=outcome.usage,
        imports="".join(f"import {name}\n" for name in sorted({"sys", *outcome.imports})),
        half_range=float(fitted.signal.half_range),
        axis=_FINE_AXIS if fine else _FLOAT32_AXIS,
    )
    script = f"{head}\n\n{computation}\n\n{outcome.code}"
    refuse_different("NumPy script", _function(script, arrays), fitted)
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **arrays)
    return {ARRAYS: file.getvalue(), SCRIPT: script.encode()}


def _function(script: str, arrays: Arrays) -> Any:  # noqa: ANN401
    """Return the function ``field`` of a script, run with its arrays."""
    body = script.replace(_LOADED, "pass")
    names: dict[str, Any] = {"__name__": "decode", "F": arrays}
    exec(compile(body, SCRIPT, "exec"), names)
    return names["field"]


_LOADED = 'F = dict(np.load(Path(__file__).resolve().parent / "field.npz"))'
_HEAD = (
    '''"""Decode {what}, which nint {version} fitted by the network "{field}".

{usage}
Needs NumPy only; field(x) maps coordinates (N, D) to values (N, C)."""

{imports}from pathlib import Path

import numpy as np

'''
    + _LOADED
    + """
HALF_RANGE = {half_range!r}


{axis}"""
)

_AXIS = '''def axis(count):
    """Coordinates of `count` points from -HALF_RANGE to HALF_RANGE."""
'''
_FINE_AXIS = (
    _AXIS
    + """    return np.linspace(-HALF_RANGE, HALF_RANGE, count)
"""
)
_FLOAT32_AXIS = (
    _AXIS
    + """    steps, end = np.arange(count), np.float32(HALF_RANGE)
    step = np.float64(2 * end / np.float32(max(1, count - 1)))
    up, down = step * steps - end, end - step * (count - 1 - steps)
    return np.where((steps < count // 2) | (count == 1), up, down).astype(np.float32)
"""
)


def _computation(field: Field) -> tuple[Arrays, str]:
    """Return a field's arrays, and the function of them that gives its values."""
    if isinstance(field, ChainField):
        return _chain(field)
    if isinstance(field, Wire):
        return _wire(field)
    raise ConfigError(f"a {type(field).__name__} cannot be exported as numpy; try torch")


def _chain(field: ChainField) -> tuple[Arrays, str]:
    chain = field.chain()
    arrays: Arrays = {}
    for index, layer in enumerate(chain.layers):
        arrays[f"weight{index}"] = _array(layer.weight)
        arrays[f"bias{index}"] = _array(layer.bias)
    encoding, features = "", "x"
    if chain.encoding is not None:
        more, encoding = _encoding(chain.encoding)
        arrays.update(more)
        features = "encode(x).astype(np.float32)"
    activation = _activation(field.activation)
    last, scale = len(chain.layers) - 1, field.scale
    product = "h @ W.T + b" if scale == 1 else f"h @ ({scale!r} * W).T + {scale!r} * b"
    code = f'''def field(x):
    """Values of coordinates x."""
    h = {features}
    for i in range({last}):
        W, b = (F[f"{{name}}{{i}}"].astype(h.dtype) for name in ("weight", "bias"))
        z = {product}
        h = {activation}.astype(np.float32)
    return h @ F["weight{last}"].T + F["bias{last}"]
'''
    return arrays, (f"{encoding}\n\n" if encoding else "") + code


def _activation(activation: Activation) -> str:
    match activation:
        case Sine():
            return "np.sin(z)"
        case Relu():
            return "np.maximum(z, 0)"
        case Gaussian():
            return "np.exp(-z * z)"
        case VariablePeriodicSine():
            return f"np.sin(z * ({activation.omega_0!r} * (abs(z) + 1)))"
        case _:
            raise ConfigError(
                f"the activation {type(activation).__name__} cannot be exported as numpy; try "
                "torch"
            )


def _encoding(encoding: Encoding) -> tuple[Arrays, str]:
    match encoding:
        case PositionalEncoding():
            octaves = encoding.frequencies
            return {}, _POSITIONAL.format(octaves=octaves)
        case FourierFeatures():
            return {"frequencies": _array(encoding.frequencies)}, _FOURIER
        case GridEncoding():
            return _grid(encoding)
        case _:
            raise ConfigError(
                f"the encoding {type(encoding).__name__} cannot be exported as numpy; try torch"
            )


_POSITIONAL = '''def encode(x):
    """Coordinates, then their sines and cosines by octaves."""
    octaves = 2.0 ** np.arange({octaves}, dtype=x.dtype)[:, None]
    angles = (x[:, None, :] * octaves).reshape(len(x), -1)
    return np.concatenate([x, np.sin(angles), np.cos(angles)], axis=1)
'''

_FOURIER = '''def encode(x):
    """Sines and cosines of random frequencies, in cycles per unit."""
    angles = x.dtype.type(2 * np.pi) * (x @ F["frequencies"].astype(x.dtype))
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1)
'''

_GRID = '''def encode(x):
    """Features of the hash grid: linear interpolation in one table per level."""
    x, features = np.clip(x, -HALF_RANGE, HALF_RANGE), []
    for level, (cells, factors) in enumerate(zip(F["cells"], F["factors"])):
        position = (x + HALF_RANGE) * (cells.astype(x.dtype) / (2 * HALF_RANGE))
        corner = np.minimum(np.floor(position), cells - 1).astype(x.dtype)
        inside = (position - corner).astype(np.float32)
        found = 0
        for ends in np.ndindex(*[2] * x.shape[1]):  # the corners of the cell
            vertex = (corner.astype(np.int64) + ends) * factors
            hashed = np.bitwise_xor.reduce(vertex, axis=1) & {mask}
            row = F["starts"][level] + (vertex.sum(axis=1) if level < {dense} else hashed)
            share = np.where(ends, inside, 1 - inside).prod(axis=1)
            found = found + F["table"][row] * share[:, None]
        features.append(found)
    return np.concatenate(features, axis=1)
'''


def _grid(encoding: GridEncoding) -> tuple[Arrays, str]:
    arrays = {
        "table": _array(encoding.table),
        "cells": _array(encoding.cells[..., 0]),
        "factors": _array(encoding.factors[..., 0]).astype(np.int64),
        "starts": _array(encoding.starts[:, 0]).astype(np.int64),
    }
    return arrays, _GRID.format(dense=encoding.dense, mask=encoding.entries - 1)


def _wire(field: Wire) -> tuple[Arrays, str]:
    arrays = {"weight0": _array(field.first_weight), "bias0": _array(field.first_bias)}
    for index, (weight, bias) in enumerate(zip(field.weights, field.biases, strict=True), 1):
        arrays[f"weight{index}"] = _array(torch.view_as_complex(weight.detach()))
        arrays[f"bias{index}"] = _array(torch.view_as_complex(bias.detach()))
    last = len(field.weights)
    code = f'''def field(x):
    """Values of coordinates x, by complex wavelets."""
    z = x @ F["weight0"].T.astype(x.dtype) + F["bias0"].astype(x.dtype)
    h = np.exp({-(field.first_scale**2)!r} * z * z + {field.omega_0!r}j * z)
    for i in range(1, {last}):
        z = h.astype(np.complex64) @ F[f"weight{{i}}"].T + F[f"bias{{i}}"]
        h = np.exp({field.omega_0!r}j * z - {field.scale**2!r} * (z.real**2 + z.imag**2))
    return (h.astype(np.complex64) @ F["weight{last}"].T + F["bias{last}"]).real
'''
    return arrays, code


def _array(tensor: Tensor) -> NDArray[Any]:
    return tensor.detach().cpu().contiguous().numpy()
