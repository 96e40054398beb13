"""A field as an ONNX graph, its operators put together by hand.

PyTorch's own exporter knows no complex numbers, which WIRE computes with, and makes of a hash
grid a graph that ONNX Runtime refuses; by hand every field is a few operators of the default
domain, and a file needs no more than the package onnx.

Legend: N points, D coordinate dimensions, C channels, L levels and F features of a hash grid.
"""

import math
from functools import reduce
from importlib import import_module
from itertools import product
from types import ModuleType
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
from nint_cli.fitted.fitted import Fitted

DESCRIPTION = "nint.field"
"""Key of the description in the file's metadata."""

_OPSET = 18  # the first with bitwise operators, which a hash takes
_IR = 9
_MOST_BYTES = (1 << 31) - (1 << 20)  # protobuf's limit, with room for nodes


def encode(fitted: Fitted, note: Note) -> bytes:
    """Return a model from ``coords`` (N, D) to ``values`` (N, C), N free, checked by ONNX Runtime.

    Args:
        fitted: The field.
        note: Told where coords are to be in float64.

    Returns:
        The content of the file; an OutputError is raised if its values are not the field's.

    Raises:
        ConfigError: If the packages are missing, the field's parts are not known, or it is larger
            than such a file can be.
    """
    size = fitted.field.byte_count()
    if size > _MOST_BYTES:
        raise ConfigError(
            f"an ONNX file holds at most 2 GiB and the field has {size:,} bytes; try torch"
        )
    onnx, runtime = _package("onnx"), _package("onnxruntime")
    dtype = coords_type(fitted.signal)
    if dtype == torch.float64:
        note("coords are float64 in this model: float32 does not tell the signal's points apart")
    graph = _Graph(onnx, dtype)
    _add_field(graph, fitted.field)
    about = describe(fitted.config, fitted.signal, fitted.step).model_dump_json()
    content = graph.model(fitted.field, {DESCRIPTION: about})
    session = runtime.InferenceSession(content, providers=["CPUExecutionProvider"])

    def found(coords: NDArray[Any]) -> NDArray[Any]:
        values: NDArray[Any] = session.run(["values"], {"coords": coords})[0]
        return values

    refuse_different("ONNX model", found, fitted)
    return content


def _package(name: str) -> ModuleType:
    try:
        return import_module(name)
    except ImportError as error:
        raise ConfigError(
            f"exporting as onnx needs a package ({error.name}): pip install 'nint[onnx]'"
        ) from error


class _Graph:
    """Nodes and constants that become a model.

    Args:
        onnx: The package.
        dtype: Type of the coords.

    Attributes:
        dtype: The same.
    """

    def __init__(self, onnx: Any, dtype: torch.dtype) -> None:  # noqa: ANN401 (a module)
        self._onnx = onnx
        self.dtype = dtype
        self._nodes: list[Any] = []
        self._constants: dict[int, tuple[Any, str]] = {}

    def add(self, operator: str, *inputs: Any, outputs: int = 1, **attributes: Any) -> Any:  # noqa: ANN401
        """Add a node.

        Args:
            operator: Its type.
            inputs: Names of values, or constants.
            outputs: How many it has.
            attributes: Its attributes.

        Returns:
            The name of its output, or a list of them.
        """
        names = [each if isinstance(each, str) else self._constant(each) for each in inputs]
        number = len(self._nodes)
        found = [f"{operator.lower()}_{number}_{index}" for index in range(outputs)]
        self._nodes.append(self._onnx.helper.make_node(operator, names, found, **attributes))
        return found[0] if outputs == 1 else found

    def number(self, value: float, dtype: torch.dtype | None = None) -> NDArray[Any]:
        """Return a number as a constant, of the coords' type unless another is named."""
        return np.array(value, str(dtype or self.dtype).removeprefix("torch."))

    def cast(self, name: str, kind: torch.dtype) -> str:
        """Change the type of a value."""
        kinds = self._onnx.TensorProto
        to = {torch.float32: kinds.FLOAT, torch.float64: kinds.DOUBLE, torch.int64: kinds.INT64}
        found: str = self.add("Cast", name, to=to[kind])
        return found

    def _constant(self, value: NDArray[Any] | Tensor) -> str:
        if id(value) not in self._constants:
            array = value.detach().cpu().numpy() if isinstance(value, Tensor) else value
            name = f"constant_{len(self._constants)}"
            tensor = self._onnx.numpy_helper.from_array(np.ascontiguousarray(array), name)
            self._constants[id(value)] = (value, name), tensor  # kept, or its id were free again
        (_, name), _ = self._constants[id(value)]
        return str(name)

    def model(self, field: Field, metadata: dict[str, str]) -> bytes:
        """Return the model, whose last node gives the values.

        Args:
            field: What it is of.
            metadata: What is told with it.

        Returns:
            Its bytes.
        """
        helper, kinds = self._onnx.helper, self._onnx.TensorProto
        self._nodes[-1].output[0] = "values"
        kind = kinds.DOUBLE if self.dtype == torch.float64 else kinds.FLOAT
        graph = helper.make_graph(
            self._nodes,
            type(field).__name__,
            [helper.make_tensor_value_info("coords", kind, ["N", field.coord_dim])],
            [helper.make_tensor_value_info("values", kinds.FLOAT, ["N", field.value_dim])],
            [tensor for _, tensor in self._constants.values()],
        )
        opset = [helper.make_opsetid("", _OPSET)]
        model = helper.make_model(graph, opset_imports=opset, ir_version=_IR, producer_name="nint")
        helper.set_model_props(model, metadata)
        self._onnx.checker.check_model(model, full_check=True)
        return bytes(model.SerializeToString(deterministic=True))


def _add_field(graph: _Graph, field: Field) -> None:
    if isinstance(field, ChainField):
        _add_chain(graph, field)
    elif isinstance(field, Wire):
        _add_wire(graph, field)
    else:
        raise ConfigError(f"a {type(field).__name__} cannot be exported as onnx; try torch")


def _add_chain(graph: _Graph, field: ChainField) -> None:
    """Add encoding and layers, in the types that `ChainField` computes them in."""
    chain = field.chain()
    h, dtype = "coords", graph.dtype
    if chain.encoding is not None:
        h, dtype = _add_encoding(graph, chain.encoding), torch.float32
    for layer in chain.layers:
        weight, bias = (
            layer.scale * each.detach().to(dtype) for each in (layer.weight, layer.bias)
        )
        h = graph.add("Gemm", h, weight, bias, transB=1)
        if layer.activation is not None:
            h = _add_activation(graph, layer.activation, h, dtype)
        if dtype != torch.float32:
            h, dtype = graph.cast(h, torch.float32), torch.float32


def _add_activation(graph: _Graph, activation: Activation, z: str, dtype: torch.dtype) -> str:
    found: str
    match activation:
        case Sine():
            found = graph.add("Sin", z)
        case Relu():
            found = graph.add("Relu", z)
        case Gaussian():
            found = graph.add("Exp", graph.add("Neg", graph.add("Mul", z, z)))
        case VariablePeriodicSine():
            one, omega_0 = (graph.number(each, dtype) for each in (1, activation.omega_0))
            factor = graph.add("Mul", graph.add("Add", graph.add("Abs", z), one), omega_0)
            found = graph.add("Sin", graph.add("Mul", z, factor))
        case _:
            raise ConfigError(
                f"the activation {type(activation).__name__} cannot be exported as onnx; try torch"
            )
    return found


def _add_encoding(graph: _Graph, encoding: Encoding) -> str:
    found: str
    match encoding:
        case PositionalEncoding():
            dim = encoding.feature_dim // (1 + 2 * encoding.frequencies)
            octaves = [2.0**octave * torch.eye(dim) for octave in range(encoding.frequencies)]
            angles = graph.add("MatMul", "coords", torch.cat(octaves, dim=1).to(graph.dtype))
            parts = ["coords", graph.add("Sin", angles), _cosine(graph, angles)]
            found = graph.add("Concat", *parts, axis=1)
        case FourierFeatures():
            turns = graph.add("MatMul", "coords", encoding.frequencies.to(graph.dtype))
            angles = graph.add("Mul", turns, graph.number(2 * math.pi))
            found = graph.add("Concat", graph.add("Sin", angles), _cosine(graph, angles), axis=1)
        case GridEncoding():
            return _add_grid(graph, encoding)
        case _:
            raise ConfigError(
                f"the encoding {type(encoding).__name__} cannot be exported as onnx; try torch"
            )
    return found if graph.dtype == torch.float32 else graph.cast(found, torch.float32)


def _cosine(graph: _Graph, angles: str) -> str:
    return str(graph.add("Cos", angles))


def _add_grid(graph: _Graph, encoding: GridEncoding) -> str:
    """Add the features (N, L F); see `GridEncoding.locate`."""
    reach = graph.number(encoding.half_range)
    coords = graph.add("Clip", "coords", -reach, reach)
    levels = len(encoding.starts)
    parts = [
        _add_levels(graph, encoding, coords, group, hashed=hashed)
        for hashed, group in (
            (False, slice(0, encoding.dense)),
            (True, slice(encoding.dense, levels)),
        )
        if len(range(levels)[group])
    ]
    return parts[0] if len(parts) == 1 else str(graph.add("Concat", *parts, axis=1))


def _add_levels(
    graph: _Graph, encoding: GridEncoding, coords: str, group: slice, *, hashed: bool
) -> str:
    """Add the features of the levels that have a row per vertex, or of those that are hashed.

    Rows are computed in 64 bits, of which those that count are the ones that 32 would have.
    """
    reach, rows, shares = encoding.half_range, [], []
    for axis in range(encoding.cells.shape[1]):
        cells = encoding.cells[group, axis, 0].to(graph.dtype)
        factors = encoding.factors[group, axis, 0].to(torch.int64)
        along = graph.add("Gather", coords, np.array([axis]), axis=1)
        shifted = graph.add("Add", along, graph.number(reach))
        position = graph.add("Mul", shifted, cells / (2 * reach))
        corner = graph.add("Min", graph.add("Floor", position), cells - 1)
        inside = graph.cast(graph.add("Sub", position, corner), torch.float32)
        low = graph.add("Mul", graph.cast(corner, torch.int64), factors)
        rows.append((low, graph.add("Add", low, factors)))
        shares.append((graph.add("Sub", graph.number(1, torch.float32), inside), inside))
    found, starts = [], encoding.starts[group, 0].to(torch.int64)
    for corner in product((0, 1), repeat=len(rows)):
        join = "BitwiseXor" if hashed else "Add"
        ends = [pair[bit] for pair, bit in zip(rows, corner, strict=True)]
        row = reduce(lambda one, other: graph.add(join, one, other), ends)
        if hashed:
            row = graph.add("BitwiseAnd", row, np.array(encoding.entries - 1))
        row = graph.add("Add", row, starts)
        parts = [pair[bit] for pair, bit in zip(shares, corner, strict=True)]
        share = reduce(lambda one, other: graph.add("Mul", one, other), parts)
        read = graph.add("Gather", encoding.table, row, axis=0)
        found.append(graph.add("Mul", read, graph.add("Unsqueeze", share, np.array([2]))))
    total = reduce(lambda one, other: graph.add("Add", one, other), found)
    width = len(starts) * encoding.table.shape[1]
    return str(graph.add("Reshape", total, np.array([-1, width])))


def _add_wire(graph: _Graph, field: Wire) -> None:
    """Add the layers, each complex number as its real and imaginary part."""
    weight, bias = (p.to(graph.dtype) for p in (field.first_weight, field.first_bias))
    z = graph.add("Gemm", "coords", weight, bias, transB=1)
    square = graph.add("Mul", graph.add("Mul", z, z), graph.number(-(field.first_scale**2)))
    phase = graph.add("Mul", z, graph.number(field.omega_0))
    h = [graph.cast(each, torch.float32) for each in _polar(graph, square, phase)]
    pairs = list(zip(field.weights, field.biases, strict=True))
    for index, (weight, bias) in enumerate(pairs):
        (real, imaginary), (c, d) = weight.unbind(-1), bias.unbind(-1)
        direct = graph.add("Gemm", h[0], real, c, transB=1)
        re = graph.add("Sub", direct, graph.add("Gemm", h[1], imaginary, transB=1))
        if index == len(pairs) - 1:
            return
        crossed = graph.add("Gemm", h[0], imaginary, d, transB=1)
        im = graph.add("Add", crossed, graph.add("Gemm", h[1], real, transB=1))
        h = list(_wavelet(graph, field, re, im))


def _wavelet(graph: _Graph, field: Wire, re: str, im: str) -> tuple[str, str]:
    squares = graph.add("Add", graph.add("Mul", re, re), graph.add("Mul", im, im))
    fall = graph.add("Mul", squares, graph.number(-(field.scale**2), torch.float32))
    rise = graph.add("Mul", im, graph.number(-field.omega_0, torch.float32))
    phase = graph.add("Mul", re, graph.number(field.omega_0, torch.float32))
    return _polar(graph, graph.add("Add", rise, fall), phase)


def _polar(graph: _Graph, exponent: str, phase: str) -> tuple[str, str]:
    """Add real and imaginary part of exp(exponent + i phase)."""
    radius = graph.add("Exp", exponent)
    return (
        graph.add("Mul", radius, graph.add("Cos", phase)),
        graph.add("Mul", radius, graph.add("Sin", phase)),
    )
