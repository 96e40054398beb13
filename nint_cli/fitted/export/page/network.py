"""Fields as layers that a script computes.

Every field but the hash grid is a chain of affine layers with an activation each: Fourier features
and octaves are a layer of sines, for cos z = sin(z + pi / 2).
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from nint_cli.errors import ConfigError
from nint_cli.fields.base import Field, Layer
from nint_cli.fields.ffn import FourierFeatures
from nint_cli.fields.finer import VariablePeriodicSine
from nint_cli.fields.gauss import Gaussian
from nint_cli.fields.grid_encoding import GridEncoding
from nint_cli.fields.mlp import Relu
from nint_cli.fields.pemlp import PositionalEncoding
from nint_cli.fields.siren import Sine
from nint_cli.fields.wire import Wire

Floats = NDArray[np.float32]
Pack = Callable[[Floats, bool], Mapping[str, object]]
"""An array, and whether it may be rounded -> what JSON says of where it is."""

_UNKNOWN = "the page computes no {}; export the field as onnx or numpy"


def described(field: Field, pack: Pack) -> dict[str, Any]:
    """Describe a field for the page's network.js.

    Args:
        field: The field.
        pack: Stores a tensor. What multiplies the coords keeps its digits, for a phase of many
            radians needs them; so do biases, which are few.

    Returns:
        `layers`, from the coords to the prediction, each with `inputs`, `outputs`, `weight`,
        `bias` and `activation`, and `grid` where the first one reads a hash grid's features.

    Raises:
        ConfigError: If the field is of a kind that the page does not know.
    """
    if isinstance(field, Wire):
        return {"layers": _wavelets(field, pack), "grid": None}
    chain = field.chain()
    if chain is None:
        raise ConfigError(_UNKNOWN.format(type(field).__name__))
    found: dict[str, Any] = {"grid": None}
    layers = []
    if isinstance(chain.encoding, FourierFeatures):
        layers.append(_fourier(chain.encoding, pack))
    elif isinstance(chain.encoding, PositionalEncoding):
        layers.append(_octaves(chain.encoding, field.coord_dim, pack))
    elif isinstance(chain.encoding, GridEncoding):
        found["grid"] = _grid(chain.encoding, pack)
    elif chain.encoding is not None:
        raise ConfigError(_UNKNOWN.format(type(chain.encoding).__name__))
    for index, layer in enumerate(chain.layers):
        on_coords = index == 0 and chain.encoding is None
        layers.append({**_affine(layer.weight, layer.bias, pack, not on_coords), **_act(layer)})
    return {**found, "layers": layers}


def _array(tensor: Tensor) -> Floats:
    found: Floats = tensor.detach().cpu().float().numpy()
    return found


def _affine(weight: Tensor, bias: Tensor, pack: Pack, rounded: bool) -> dict[str, Any]:
    return {
        "inputs": weight.shape[1],
        "outputs": weight.shape[0],
        "weight": pack(_array(weight), rounded),
        "bias": pack(_array(bias), False),
    }


def _act(layer: Layer) -> dict[str, Any]:
    act = layer.activation
    if act is None:
        return {"activation": "linear", "scale": layer.scale}
    if isinstance(act, Sine):
        return {"activation": "sine", "scale": layer.scale, "plain": 0}
    if isinstance(act, VariablePeriodicSine):
        return {"activation": "finer", "scale": layer.scale, "omega": act.omega_0}
    if isinstance(act, Gaussian):
        return {"activation": "gauss", "scale": layer.scale}
    if isinstance(act, Relu):
        return {"activation": "relu", "scale": layer.scale}
    raise ConfigError(_UNKNOWN.format(type(act).__name__))


def _fourier(encoding: FourierFeatures, pack: Pack) -> dict[str, Any]:
    """Return sin(2 pi (F x + s)), s a quarter turn for the cosines."""
    matrix = _array(encoding.frequencies).T
    count = len(matrix)
    quarter = np.repeat(np.array([0, 0.25], np.float32), count)
    return {
        "inputs": matrix.shape[1],
        "outputs": 2 * count,
        "weight": pack(np.concatenate([matrix, matrix]), False),
        "bias": pack(quarter, False),
        "activation": "sine",
        "scale": 2 * math.pi,
        "plain": 0,
    }


def _octaves(encoding: PositionalEncoding, dims: int, pack: Pack) -> dict[str, Any]:
    """Return the coords as they are, and sin(2^k x + s); see `plain` in network.js."""
    octaves = 2.0 ** np.arange(encoding.frequencies, dtype=np.float32)
    sines = np.kron(octaves[:, None], np.eye(dims, dtype=np.float32))
    shift = np.repeat(np.array([0, math.pi / 2], np.float32), len(sines))
    weight = np.concatenate([np.eye(dims, dtype=np.float32), sines, sines])
    return {
        "inputs": dims,
        "outputs": len(weight),
        "weight": pack(weight, False),
        "bias": pack(np.concatenate([np.zeros(dims, np.float32), shift]), False),
        "activation": "sine",
        "scale": 1.0,
        "plain": dims,
    }


def _grid(encoding: GridEncoding, pack: Pack) -> dict[str, Any]:
    def levels(column: Tensor) -> list[Any]:
        found: list[Any] = column[..., 0].tolist()
        return found

    return {
        "cells": levels(encoding.cells),
        "factors": levels(encoding.factors),
        "starts": levels(encoding.starts),
        "dense": encoding.dense,
        "entries": encoding.entries,
        "features": encoding.table.shape[1],
        "half_range": encoding.half_range,
        "table": pack(_array(encoding.table), True),
    }


def _wavelets(field: Wire, pack: Pack) -> Sequence[dict[str, Any]]:
    """Describe complex layers: the first takes real numbers, the last returns the real part."""
    first = _affine(field.first_weight, field.first_bias, pack, False)
    layers = [{**first, "numbers": "real to complex"}]
    for weight, bias in zip(field.weights, field.biases, strict=True):
        layers.append({**_affine(weight, bias, pack, True), "numbers": "complex"})
    for index, layer in enumerate(layers):
        narrow = field.first_scale if index == 0 else field.scale
        layer |= {"activation": "gabor", "omega": field.omega_0, "narrow": narrow, "scale": 1.0}
    layers[-1] |= {"activation": "linear", "numbers": "complex to real"}
    return layers
