"""Derivatives of any field, by PyTorch's reverse and forward mode."""

import warnings
from collections.abc import Callable, Sequence
from functools import cache

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.func import functional_call, jacrev, vmap

from nint_cli.derivatives.base import Block, Derivatives
from nint_cli.derivatives.point_norms import PointNorms
from nint_cli.fields.base import Field, LinearMap

# Per-point Jacobians that the diagonal holds at once, in numbers.
_JACOBIAN_NUMBERS = 1 << 25


class ByAutograd(Derivatives):
    """Derivatives of any field, in reverse and in forward mode.

    Args:
        field: The field.
        parameters: Those of its parameters that count; None takes all.
    """

    def __init__(self, field: Field, parameters: Sequence[Tensor] | None = None) -> None:
        self._field = field
        self._parameters = list(field.parameters() if parameters is None else parameters)
        self._total = [torch.zeros_like(parameter) for parameter in self._parameters]

    @torch.no_grad()
    def predict(self, coords: Tensor) -> Tensor:
        """Predict the values of a block; see `Derivatives.predict`."""
        prediction: Tensor = self._field(coords)
        return prediction

    def linearise(self, coords: Tensor) -> "_BlockByAutograd":
        """Predict with a graph; see `Derivatives.linearise`."""
        with torch.enable_grad():
            leaf = coords.detach().requires_grad_()
            maps = self._field.linear_maps(leaf)
            output = self._field(leaf) if maps is None else maps[0]
            return _BlockByAutograd(
                output, leaf, self._parameters, self._total, None if maps is None else maps[1]
            )

    def pulled(self) -> list[Tensor]:
        """Give the sum, by parameter; see `Derivatives.pulled`."""
        return self._total

    def pusher(self, direction: Sequence[Tensor]) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
        """Prepare J v; see `Derivatives.pusher`."""
        load_forward_mode()
        names = {id(parameter): name for name, parameter in self._field.named_parameters()}
        pairs = [
            (names[id(parameter)], parameter, part)
            for parameter, part in zip(self._parameters, direction, strict=True)
        ]

        @torch.no_grad()
        def push(coords: Tensor) -> tuple[Tensor, Tensor]:
            with forward_ad.dual_level():
                duals = {
                    name: forward_ad.make_dual(parameter.detach(), part)
                    for name, parameter, part in pairs
                }
                output = functional_call(self._field, duals, (coords,))
                dual = forward_ad.unpack_dual(output)
                return dual.primal, dual.tangent

        return push

    def self_leverage(self, coords: Tensor) -> Tensor:
        """Give the kernel's diagonal; see `Derivatives.self_leverage`."""
        parameters: dict[str, Tensor] = dict(self._field.named_parameters())
        jacobian = jacobian_of_one(self._field)

        def squared_norms(point: Tensor) -> Tensor:
            rows = [part.flatten(1) for part in jacobian(parameters, point).values()]
            return sum((row.square().sum(1) for row in rows), start=torch.zeros(()))

        numbers = self._field.parameter_count() * self._field.value_dim
        with torch.no_grad():
            parts = coords.split(max(1, _JACOBIAN_NUMBERS // numbers))
            return torch.cat([vmap(squared_norms)(part) for part in parts])


class _BlockByAutograd(Block):
    """A block's graph."""

    def __init__(
        self,
        output: Tensor,
        coords: Tensor,
        parameters: list[Tensor],
        total: list[Tensor],
        maps: Sequence[LinearMap] | None,
    ) -> None:
        self._output = output
        self._coords = coords
        self._parameters = parameters
        self._total = total
        self._maps = maps
        self._by_coords: Tensor | None = None
        self.prediction = output.detach()

    def pull(self, cotangent: Tensor, norms: PointNorms | None = None) -> None:
        """Add J^T R; uses up the graph; see `Block.pull`."""
        if norms is not None and self._maps is None:
            raise NotImplementedError("the field does not name its linear maps")
        maps = [] if norms is None or self._maps is None else self._maps
        found = torch.autograd.grad(
            self._output,
            [*self._parameters, self._coords, *(each.output for each in maps)],
            cotangent,
        )
        count = len(self._parameters)
        self._by_coords = found[count]
        torch._foreach_add_(self._total, found[:count])
        for each, delta in zip(maps, found[count + 1 :], strict=True):
            assert norms is not None
            norms.add(each.input.detach(), delta, last=each is maps[-1])

    def coord_gradient(self) -> Tensor:
        """Give the gradient by the coords; see `Block.coord_gradient`."""
        assert self._by_coords is not None, "pull comes first"
        return self._by_coords


def jacobian_of_one(field: Field) -> Callable[[dict[str, Tensor], Tensor], dict[str, Tensor]]:
    """Differentiate the prediction of one point.

    Args:
        field: The network.

    Returns:
        A function from parameters by name and a point (D) to the Jacobian {name: (C, *shape)}.
    """

    def predict_one(parameters: dict[str, Tensor], point: Tensor) -> Tensor:
        prediction: Tensor = functional_call(field, parameters, (point[None],))
        return prediction[0]

    jacobian: Callable[[dict[str, Tensor], Tensor], dict[str, Tensor]] = jacrev(predict_one)
    return jacobian


@cache
def load_forward_mode() -> None:
    """Load PyTorch's forward mode, once per process."""
    with warnings.catch_warnings(), forward_ad.dual_level():
        # PyTorch 2.13 scripts its forward-mode formulas with what it has deprecated itself.
        warnings.simplefilter("ignore", DeprecationWarning)
        forward_ad.make_dual(torch.zeros(1), torch.zeros(1))
