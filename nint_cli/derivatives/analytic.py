"""Derivatives of a chain of layers, by hand.

A block takes no graph, scales no parameter twice, and adds gradients up in place, which makes it
up to a third faster on a CPU than autograd.

For layers z_l = W_l h_{l-1} + b_l, h_l = act(z_l), with h_0 the features of the coords and h_L the
prediction:

- forward: h_1, ..., h_L;
- J^T R, backwards from delta_L = R act'(z_L): W_l gets delta_l^T h_{l-1}, b_l the column sums of
  delta_l, and delta_{l-1} = (delta_l W_l) act'(z_{l-1}); the encoding gets delta_1 W_1;
- J v with v = (dW, db), forwards: dz_l = dW_l h_{l-1} + db_l + W_l dh_{l-1} and
  dh_l = act'(z_l) dz_l, from dh_0 = 0, or the encoding's own change;
- the squared norm of each point's own gradient: the sum over the layers of
  ||delta_l||^2 (||h_{l-1}||^2 + 1), and the encoding's share, from what the backward pass holds
  anyway (Goodfellow, "Efficient per-example gradient computations", 2015, arXiv 1510.01799);
- the kernel's diagonal: that norm with R a unit vector, per channel.

Per layer these are 1, 3, 3, none and 1 + C matrix products.

Legend: B coordinates of a block, D coordinate dimensions, F features, C channels.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import linear

from nint_cli.derivatives.base import Block, Derivatives
from nint_cli.derivatives.point_norms import PointNorms
from nint_cli.fields.base import Activation, Chain, Encoding, Kernel, Layer, Place, is_finer
from nint_cli.fields.kernels.loading import usable

if TYPE_CHECKING:
    from nint_cli.fields.kernels.activations import Activate


class ByHand(Derivatives):
    """Derivatives of a chain of layers.

    Args:
        chain: The parts of a field.
        parameters: Their parameters, in the order in which gradients are wanted.
        products: See `Engine.products`.
    """

    def __init__(
        self,
        chain: Chain,
        parameters: Sequence[Tensor],
        *,
        products: torch.dtype | None = None,
    ) -> None:
        self._parameters = parameters
        self._layers = chain.layers
        self._encoding = chain.encoding
        with torch.no_grad():
            self._weights = [_scaled(layer.scale, layer.weight) for layer in chain.layers]
            self._biases = [_scaled(layer.scale, layer.bias) for layer in chain.layers]
            # The first layer reads coords, which need every digit, and the last is narrow.
            inner = range(1, len(chain.layers) - 1)
            self._dtypes = [
                (products if index in inner else None) or weight.dtype
                for index, weight in enumerate(self._weights)
            ]
            self._factors = [
                weight.to(dtype) for weight, dtype in zip(self._weights, self._dtypes, strict=True)
            ]
            # Biases in the type that a layer's z is kept in until its activation has been taken.
            offsets = [
                bias.to(dtype if _rounds(layer) else bias.dtype)
                for layer, bias, dtype in zip(
                    chain.layers, self._biases, self._dtypes, strict=True
                )
            ]
            self._activations = [
                _Activated(layer.activation, bias, offset)
                for layer, bias, offset in zip(chain.layers, self._biases, offsets, strict=True)
            ]
        self._totals: dict[str, list[Tensor]] = {}
        self._rooms: dict[tuple[int, torch.dtype], Tensor] = {}

    @torch.no_grad()
    def predict(self, coords: Tensor) -> Tensor:
        """Predict the values of a block; see `Derivatives.predict`."""
        _, h = self._encode(coords)
        rooms = [self._room(index, len(coords)) for index in range(len(self._layers))]
        rest = slice(0, None)
        if self._is_finer(h):
            z, activation = self._finer_z(h), self._layers[0].activation
            h = (z if activation is None else activation.value(z)).to(self._dtypes[0])
            rest = slice(1, None)
        return _predict(h, self._activations[rest], self._factors[rest], rooms[rest])

    def _room(self, index: int, rows: int) -> Tensor | None:
        """Give memory for a layer's output while predicting; None for what is handed out.

        Two pieces take turns, so that a sweep stays in the caches; what a layer reads is in the
        other one.
        """
        if index == len(self._layers) - 1:
            return None
        offset = self._activations[index].offset
        wanted, key = rows * len(offset), (index % 2, offset.dtype)
        room = self._rooms.get(key)
        if room is None or len(room) < wanted:
            room = self._rooms[key] = offset.new_empty(wanted)
        return room[:wanted].view(rows, len(offset))

    @torch.no_grad()
    def linearise(self, coords: Tensor) -> "_BlockByHand":
        """Predict and remember; see `Derivatives.linearise`."""
        place, h = self._encode(coords)
        inputs: list[Tensor] = []
        slopes: list[Tensor | None] = []
        if self._is_finer(h):
            inputs.append(h.to(self._dtypes[0]))
            h, slope = self._finer_layer(h)
            slopes.append(slope)
        rest = slice(len(inputs), None)
        more, slopes_of_more, prediction = _forward(
            h, self._activations[rest], self._factors[rest]
        )
        inputs, slopes = inputs + more, slopes + slopes_of_more
        return _BlockByHand(self, coords, place, inputs, slopes, prediction)

    def back(
        self,
        delta: Tensor,
        inputs: list[Tensor],
        slopes: list[Tensor | None],
        norms: PointNorms | None,
    ) -> Tensor:
        """Add the gradient by weights and biases; return that by the first layer's z."""
        totals = self.totals()
        scales = [layer.scale for layer in self._layers]
        return _backward(
            delta,
            inputs,
            slopes,
            self._factors,
            totals["weights"],
            totals["biases"],
            scales,
            norms,
        )

    def _encode(self, coords: Tensor) -> tuple[Place, Tensor]:
        if self._encoding is None:
            return None, coords
        place = self._encoding.locate(coords)
        return place, self._encoding.read(place).to(self._weights[0].dtype)

    def _is_finer(self, h: Tensor) -> bool:
        """Whether the first layer reads coords in a type finer than its parameters'."""
        return is_finer(h, self._weights[0].dtype)

    def _finer_z(self, coords: Tensor) -> Tensor:
        """Give z of the first layer in the type of the coords, as `ChainField` computes it."""
        first = self._layers[0]
        weight, bias = (
            _scaled(first.scale, each.detach().to(coords.dtype))
            for each in (first.weight, first.bias)
        )
        return linear(coords, weight, bias)

    def _finer_layer(self, coords: Tensor) -> tuple[Tensor, Tensor | None]:
        """Give act(z) and its slope of the first layer, in the type of the parameters."""
        z, activation = self._finer_z(coords), self._layers[0].activation
        value, slope = (z, None) if activation is None else activation.value_and_slope(z)
        own = self._weights[0].dtype
        return value.to(own), None if slope is None else slope.to(own)

    def totals(self) -> dict[str, list[Tensor]]:
        """Give where blocks add up: by weights, biases and the encoding's parameters."""
        if not self._totals:
            own = () if self._encoding is None else self._encoding.trained
            self._totals = {
                "weights": [torch.zeros_like(weight) for weight in self._weights],
                "biases": [torch.zeros_like(bias) for bias in self._biases],
                "encoding": [torch.zeros_like(parameter) for parameter in own],
            }
        return self._totals

    @torch.no_grad()
    def pulled(self) -> list[Tensor]:
        """Give the sum, by parameter; see `Derivatives.pulled`."""
        totals, found = self.totals(), {}
        for index, layer in enumerate(self._layers):
            found[id(layer.weight)] = _scaled(layer.scale, totals["weights"][index])
            found[id(layer.bias)] = _scaled(layer.scale, totals["biases"][index])
        if self._encoding is not None:
            for parameter, total in zip(self._encoding.trained, totals["encoding"], strict=True):
                found[id(parameter)] = total
        return [found[id(parameter)] for parameter in self._parameters]

    @torch.no_grad()
    def pusher(self, direction: Sequence[Tensor]) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
        """Prepare J v; see `Derivatives.pusher`."""
        part = {id(p): v for p, v in zip(self._parameters, direction, strict=True)}
        changes = [
            (layer.scale * part[id(layer.weight)].T.to(dtype), layer.scale * part[id(layer.bias)])
            for layer, dtype in zip(self._layers, self._dtypes, strict=True)
        ]
        own = () if self._encoding is None else self._encoding.trained
        in_encoding = [part[id(parameter)] for parameter in own]

        @torch.no_grad()
        def push(coords: Tensor) -> tuple[Tensor, Tensor]:
            place, h = self._encode(coords)
            dh = None if self._encoding is None else self._encoding.read_change(place, in_encoding)
            for index, (weight_change, bias_change) in enumerate(changes):
                finer = self._finer_layer(h) if index == 0 and self._is_finer(h) else None
                factor, h = self._factors[index], h.to(self._dtypes[index])
                if h.dtype == bias_change.dtype:
                    change = torch.addmm(bias_change, h, weight_change)
                    if dh is not None:
                        change.addmm_(dh, factor.T)
                else:
                    change = (h @ weight_change).to(bias_change.dtype).add_(bias_change)
                    if dh is not None:
                        change.add_(dh.to(h.dtype) @ factor.T)
                if finer is None:
                    finer = self._activations[index].value_and_slope(h, factor)
                h, slope = finer
                dh = change if slope is None else change.mul_(slope)
            assert dh is not None
            return h, dh

        return push

    @torch.no_grad()
    def self_leverage(self, coords: Tensor) -> Tensor:
        """Give the kernel's diagonal; see `Derivatives.self_leverage`."""
        block = self.linearise(coords)
        leverage = torch.zeros_like(block.prediction)
        for channel in range(leverage.shape[1]):
            delta = torch.zeros_like(block.prediction)
            delta[:, channel] = 1
            norms = PointNorms.zeros(len(coords), delta)
            final = len(self._layers) - 1
            for index in range(final, -1, -1):
                slope, layer = block.slopes[index], self._layers[index]
                if slope is not None:
                    delta *= slope
                norms.add(block.inputs[index], delta, last=index == final, scale=layer.scale)
                if index or self._encoding is not None:
                    delta = delta @ self._weights[index]
            if self._encoding is not None:
                norms.inner.add_(self._encoding.leverage(block.place, delta))
            leverage[:, channel] = norms.total()
        return leverage


class _BlockByHand(Block):
    """What `ByHand` keeps of a block: the layers' inputs and the activations' slopes."""

    def __init__(
        self,
        owner: ByHand,
        coords: Tensor,
        place: Place,
        inputs: list[Tensor],
        slopes: list[Tensor | None],
        prediction: Tensor,
    ) -> None:
        self._owner = owner
        self._coords = coords
        self.place = place
        self.inputs = inputs
        self.slopes = slopes
        self.prediction = prediction
        self._delta: Tensor | None = None

    @torch.no_grad()
    def pull(self, cotangent: Tensor, norms: PointNorms | None = None) -> None:
        """Add J^T R; uses up the slopes; see `Block.pull`."""
        owner = self._owner
        delta = owner.back(cotangent, self.inputs, self.slopes, norms)
        totals = owner.totals()
        self._delta = delta
        if totals["encoding"] and owner._encoding is not None:
            by_features = delta @ owner._weights[0]
            owner._encoding.add_gradient(self.place, by_features, totals["encoding"])
            if norms is not None:
                norms.inner.add_(owner._encoding.leverage(self.place, by_features))

    @torch.no_grad()
    def coord_gradient(self) -> Tensor:
        """Give the gradient by the coords; see `Block.coord_gradient`."""
        assert self._delta is not None, "pull comes first"
        gradient = self._delta @ self._owner._weights[0]
        if self._owner._encoding is None:
            return gradient
        with torch.enable_grad():
            coords = self._coords.detach().requires_grad_()
            features = self._owner._encoding.features(coords)
            return torch.autograd.grad(features, coords, gradient.to(features.dtype))[0]


def _predict(
    h: Tensor,
    activations: Sequence["_Activated"],
    factors: Sequence[Tensor],
    rooms: Sequence[Tensor | None],
) -> Tensor:
    """Give the prediction from the features; `rooms` is memory for the layers' outputs."""
    for activation, factor, room in zip(activations, factors, rooms, strict=True):
        h = activation.value(h.to(factor.dtype), factor, room)
    return h


def _forward(
    h: Tensor,
    activations: Sequence["_Activated"],
    factors: Sequence[Tensor],
) -> tuple[list[Tensor], list[Tensor | None], Tensor]:
    """Give the layers' inputs, the activations' slopes, and the prediction."""
    inputs, slopes = [], []
    for activation, factor in zip(activations, factors, strict=True):
        inputs.append(h.to(factor.dtype))
        h, slope = activation.value_and_slope(inputs[-1], factor)
        slopes.append(slope)
    return inputs, slopes, h


def _backward(
    delta: Tensor,
    inputs: Sequence[Tensor],
    slopes: Sequence[Tensor | None],
    factors: Sequence[Tensor],
    weights: Sequence[Tensor],
    biases: Sequence[Tensor],
    scales: Sequence[float],
    norms: PointNorms | None,
) -> Tensor:
    """Add the gradient to `weights` and `biases`, and return that by the first layer's z.

    It uses up the slopes.
    """
    for index in range(len(slopes) - 1, -1, -1):
        slope, h, factor, total = slopes[index], inputs[index], factors[index], weights[index]
        if slope is not None:
            delta = slope.mul_(delta)
        if norms is not None:
            norms.add(h, delta, last=index == len(slopes) - 1, scale=scales[index])
        biases[index].add_(delta.sum(0, dtype=total.dtype))
        if h.dtype == total.dtype:
            total.addmm_(delta.T, h)
            delta = delta @ factor if index else delta
        else:  # a layer between others, so there is always one before it
            rounded = delta.to(h.dtype)
            total.add_(rounded.T @ h)
            delta = rounded @ factor
    return delta


class _Activated:
    """What a layer does to its input: product, bias and activation.

    Args:
        activation: The activation; None in a linear layer.
        bias: (F,), scaled.
        offset: The same in the type that z is kept in.
    """

    def __init__(self, activation: Activation | None, bias: Tensor, offset: Tensor) -> None:
        self._activation = activation
        self._bias = bias
        self.offset = offset
        self._pass = _compiled_pass(activation, bias)

    def value(self, h: Tensor, factor: Tensor, out: Tensor | None) -> Tensor:
        """Return act(W h + b); `out` is memory for it."""
        if self._pass is not None:
            return self._pass.value(self._product(h, factor, out), self._bias)
        z = _affine(h, factor, self.offset, out)
        return z if self._activation is None else self._activation.value(z)

    def value_and_slope(self, h: Tensor, factor: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return act(W h + b) and act'(W h + b)."""
        if self._pass is not None:
            return self._pass.value_and_slope(self._product(h, factor, None), self._bias)
        z = _affine(h, factor, self.offset)
        return (z, None) if self._activation is None else self._activation.value_and_slope(z)

    def _product(self, h: Tensor, factor: Tensor, out: Tensor | None) -> Tensor:
        if h.dtype == self.offset.dtype:
            return torch.mm(h, factor.T, out=out)
        return torch.mm(h, factor.T).to(self.offset.dtype)


def _compiled_pass(activation: Activation | None, bias: Tensor) -> "Activate | None":
    """Return the compiled pass of an activation; None where PyTorch is to do it."""
    kernel: Kernel | None = getattr(activation, "kernel", None)
    if kernel is None or bias.dtype != torch.float32 or not usable(bias):
        return None
    from nint_cli.fields.kernels.activations import Activate

    return Activate(kernel.kind, kernel.constant)


def _affine(h: Tensor, factor: Tensor, offset: Tensor, out: Tensor | None = None) -> Tensor:
    """Give z of a layer from its input, which is of the type of its products."""
    if h.dtype == offset.dtype:
        if out is not None:
            return torch.addmm(offset, h, factor.T, out=out)
        return linear(h, factor, offset)
    return linear(h, factor).to(offset.dtype).add_(offset)


def _rounds(layer: Layer) -> bool:
    return layer.activation is not None and layer.activation.takes_rounded


def _scaled(factor: float, tensor: Tensor) -> Tensor:
    return tensor.detach() if factor == 1 else factor * tensor


class Prefix(Encoding):
    """All of a chain but its last layer, as fixed features."""

    def __init__(self, chain: Chain, *, products: torch.dtype | None = None) -> None:
        parameters = [part for layer in chain.layers[:-1] for part in (layer.weight, layer.bias)]
        rest = Chain(chain.layers[:-1], chain.encoding)
        self._inner = ByHand(rest, parameters, products=products)

    def features(self, coords: Tensor) -> Tensor:
        """Give what the last layer reads; see `Encoding.features`."""
        return self._inner.predict(coords)
