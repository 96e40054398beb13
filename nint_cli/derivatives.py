"""A field's prediction, and its Jacobian applied from either side, for one block of coordinates.

Two ways to the same numbers. A field that says which layers it is made of (`Field.layers`) is
differentiated by hand, as below; any other by autograd. By hand a block takes no graph, scales no
parameter twice, and adds gradients up in place, which makes it up to a third faster on a CPU. The
two are compared in tests/test_contracts.py.

For layers z_l = W_l h_{l-1} + b_l, h_l = act(z_l), with h_0 the coords and h_L the prediction:

- forward: h_1, ..., h_L;
- J^T R, backwards from delta_L = R act'(z_L): W_l gets delta_l^T h_{l-1}, b_l the column sums of
  delta_l, and delta_{l-1} = (delta_l W_l) act'(z_{l-1});
- J v with v = (dW, db), forwards: dz_l = dW_l h_{l-1} + db_l + W_l dh_{l-1} and
  dh_l = act'(z_l) dz_l, from dh_0 = 0.

Per layer these are 1, 3 and 3 matrix products.

Legend: B coordinates of a block, D coordinate dimensions, C channels.
"""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import cache

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.func import functional_call
from torch.nn.functional import linear

from nint_cli.fields import Field, Layer

Cotangent = Callable[[Tensor], Tensor]
"""A block's prediction (B, C) -> what is pulled back through it (B, C)."""


class Derivatives(ABC):
    """A field at its current parameters; they must not change while this is in use."""

    @abstractmethod
    def predict(self, coords: Tensor) -> Tensor:
        """Predict the values of a block, (B, D) to (B, C), without a graph."""

    @abstractmethod
    def pull(self, coords: Tensor, cotangent: Cotangent) -> None:
        """Add a block's J^T R to `pulled`.

        Args:
            coords: (B, D).
            cotangent: Gives R from the prediction.
        """

    @abstractmethod
    def pulled(self) -> list[Tensor]:
        """Give the sum of all that was pulled, one tensor per parameter of the field."""

    @abstractmethod
    def pusher(self, direction: Sequence[Tensor]) -> Callable[[Tensor], Tensor]:
        """Prepare J v.

        Args:
            direction: v, one tensor per parameter of the field, in their order.

        Returns:
            A function from coords (B, D) to J v (B, C).
        """


def derivatives_of(field: Field) -> Derivatives:
    """Choose how to differentiate a field.

    Args:
        field: Any field.

    Returns:
        By hand where the field gives its layers, else by autograd.
    """
    layers = field.layers()
    return ByAutograd(field) if layers is None else ByHand(field, layers)


class ByHand(Derivatives):
    """Derivatives of a chain of layers.

    Args:
        field: The field.
        layers: What it is made of.
    """

    def __init__(self, field: Field, layers: Sequence[Layer]) -> None:
        self._parameters = list(field.parameters())
        self._layers = layers
        with torch.no_grad():
            self._weights = [layer.scale * layer.weight for layer in layers]
            self._biases = [layer.scale * layer.bias for layer in layers]
            self._pulled_weights: list[Tensor] = []
            self._pulled_biases: list[Tensor] = []

    @torch.no_grad()
    def predict(self, coords: Tensor) -> Tensor:
        """Predict the values of a block; see `Derivatives.predict`."""
        h = coords
        for layer, weight, bias in zip(self._layers, self._weights, self._biases, strict=True):
            z = linear(h, weight, bias)
            h = z if layer.activation is None else layer.activation.value(z)
        return h

    @torch.no_grad()
    def pull(self, coords: Tensor, cotangent: Cotangent) -> None:
        """Add a block's J^T R; see `Derivatives.pull`."""
        if not self._pulled_weights:
            self._pulled_weights = [torch.zeros_like(weight) for weight in self._weights]
            self._pulled_biases = [torch.zeros_like(bias) for bias in self._biases]
        inputs, slopes, h = [], [], coords
        for layer, weight, bias in zip(self._layers, self._weights, self._biases, strict=True):
            inputs.append(h)
            z = linear(h, weight, bias)
            if layer.activation is None:
                h, slope = z, None
            else:
                h, slope = layer.activation.value_and_slope(z)
            slopes.append(slope)
        delta = cotangent(h)
        for index in range(len(self._layers) - 1, -1, -1):
            slope = slopes[index]
            if slope is not None:
                delta = slope.mul_(delta)
            self._pulled_weights[index].addmm_(delta.T, inputs[index])
            self._pulled_biases[index].add_(delta.sum(0))
            if index:
                delta = delta @ self._weights[index]

    @torch.no_grad()
    def pulled(self) -> list[Tensor]:
        """Give the sum, by parameter; see `Derivatives.pulled`."""
        found: dict[int, Tensor] = {}
        for index, layer in enumerate(self._layers):
            found[id(layer.weight)] = layer.scale * self._pulled_weights[index]
            found[id(layer.bias)] = layer.scale * self._pulled_biases[index]
        return [found[id(parameter)] for parameter in self._parameters]

    @torch.no_grad()
    def pusher(self, direction: Sequence[Tensor]) -> Callable[[Tensor], Tensor]:
        """Prepare J v; see `Derivatives.pusher`."""
        part = {id(p): v for p, v in zip(self._parameters, direction, strict=True)}
        changes = [
            (layer.scale * part[id(layer.weight)].T, layer.scale * part[id(layer.bias)])
            for layer in self._layers
        ]

        @torch.no_grad()
        def push(coords: Tensor) -> Tensor:
            h, dh = coords, None
            for index, layer in enumerate(self._layers):
                weight_change, bias_change = changes[index]
                change = torch.addmm(bias_change, h, weight_change)
                if dh is not None:
                    change.addmm_(dh, self._weights[index].T)
                if layer.activation is None:
                    h, dh = linear(h, self._weights[index], self._biases[index]), change
                else:
                    z = linear(h, self._weights[index], self._biases[index])
                    h, slope = layer.activation.value_and_slope(z)
                    dh = slope.mul_(change)
            assert dh is not None
            return dh

        return push


class ByAutograd(Derivatives):
    """Derivatives of any field, in reverse and in forward mode.

    Args:
        field: The field.
    """

    def __init__(self, field: Field) -> None:
        self._field = field
        self._parameters = list(field.parameters())
        self._total = [torch.zeros_like(parameter) for parameter in self._parameters]

    @torch.no_grad()
    def predict(self, coords: Tensor) -> Tensor:
        """Predict the values of a block; see `Derivatives.predict`."""
        prediction: Tensor = self._field(coords)
        return prediction

    def pull(self, coords: Tensor, cotangent: Cotangent) -> None:
        """Add a block's J^T R; see `Derivatives.pull`."""
        with torch.enable_grad():
            prediction = self._field(coords)
        gradient = torch.autograd.grad(
            prediction, self._parameters, cotangent(prediction.detach())
        )
        torch._foreach_add_(self._total, gradient)

    def pulled(self) -> list[Tensor]:
        """Give the sum, by parameter; see `Derivatives.pulled`."""
        return self._total

    def pusher(self, direction: Sequence[Tensor]) -> Callable[[Tensor], Tensor]:
        """Prepare J v; see `Derivatives.pusher`."""
        load_forward_mode()
        names = [name for name, _ in self._field.named_parameters()]

        @torch.no_grad()
        def push(coords: Tensor) -> Tensor:
            with forward_ad.dual_level():
                duals = {
                    name: forward_ad.make_dual(parameter, part)
                    for name, parameter, part in zip(
                        names, self._parameters, direction, strict=True
                    )
                }
                output = functional_call(self._field, duals, (coords,))
                change: Tensor = forward_ad.unpack_dual(output).tangent
                return change

        return push


@cache
def load_forward_mode() -> None:
    """Load PyTorch's forward mode, once per process."""
    with warnings.catch_warnings(), forward_ad.dual_level():
        # PyTorch 2.13 scripts its forward-mode formulas with what it has deprecated itself.
        warnings.simplefilter("ignore", DeprecationWarning)
        forward_ad.make_dual(torch.zeros(1), torch.zeros(1))
