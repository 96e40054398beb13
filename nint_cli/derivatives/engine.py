"""How a field is computed: in which type its products are taken, and how many coordinates at once.

A field that says which parts it is made of (`Field.chain`) is differentiated by hand, any other by
autograd. tests/fields/test_field_contracts.py compares the two.
"""

from dataclasses import dataclass

import torch

from nint_cli.derivatives.analytic import ByHand, Prefix
from nint_cli.derivatives.autograd import ByAutograd
from nint_cli.derivatives.base import Derivatives
from nint_cli.fields.base import Chain, Field

# A block's activations per layer, in numbers. On a CPU they should stay in the caches and below
# the size from which the allocator maps fresh pages for every tensor: 2^20 float32 (4 MiB) where
# one layer is held at a time, 2^18 where all are; larger blocks are up to 1.4 times slower. A GPU
# wants to be filled.
_BLOCK_NUMBERS = {"cpu": 1 << 18, "cuda": 1 << 26}
_FORWARD_NUMBERS = {"cpu": 1 << 19, "cuda": 1 << 26}


@dataclass(frozen=True)
class Engine:
    """How a field is computed: a value that is passed to whatever computes with one.

    Attributes:
        products: Type in which a chain takes the products of its wide layers, such as bfloat16;
            None: the type of the parameters. Parameters and sums over points keep their type.
            Between two such layers everything is rounded, except activations that would lose by
            it.
        block: Coordinates at once; None chooses by the field's width and device.

    Raises:
        ValueError: If a block has no coordinates.
    """

    products: torch.dtype | None = None
    block: int | None = None

    def __post_init__(self) -> None:
        if self.block is not None and self.block < 1:
            raise ValueError("a block has at least one coordinate")

    def block_size(self, field: Field, *, forward_only: bool = False) -> int:
        """Return how many coordinates to process at once.

        Args:
            field: The network.
            forward_only: Whether only predictions are wanted, and no derivatives.

        Returns:
            A number of coordinates.
        """
        if self.block is not None:
            return self.block
        numbers = _FORWARD_NUMBERS if forward_only else _BLOCK_NUMBERS
        device = next(field.parameters()).device.type
        return max(64, numbers.get(device, numbers["cuda"]) // field.width)

    def derivatives(self, field: Field) -> Derivatives:
        """Return what predicts and differentiates a field.

        Args:
            field: Any field.

        Returns:
            Derivatives by hand where the field is a chain, else by autograd.
        """
        chain = field.chain()
        if chain is None:
            return ByAutograd(field)
        return ByHand(chain, list(field.parameters()), products=self.products)

    def last_layer(self, field: Field) -> Derivatives:
        """Return what differentiates a field with respect to its last layer alone.

        Args:
            field: Any field.

        Returns:
            Derivatives whose every pass costs about one forward.
        """
        chain, parameters = field.chain(), field.last_layer()
        if chain is None:
            return ByAutograd(field, parameters)
        last = Chain(chain.layers[-1:], Prefix(chain, products=self.products))
        return ByHand(last, parameters, products=self.products)


EXACT = Engine()
"""Products in the parameters' own type, blocks by width and device."""
