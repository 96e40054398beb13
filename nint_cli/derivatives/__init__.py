"""A field's prediction, and its Jacobian applied from either side, for one block of coordinates.

Two ways to the same numbers: a field that says which parts it is made of (`Field.chain`) is
differentiated by hand, any other by autograd. tests/test_field_contracts.py compares the two.
"""

from nint_cli.derivatives.base import Block, Derivatives
from nint_cli.derivatives.by_autograd import ByAutograd, jacobian_of_one, load_forward_mode
from nint_cli.derivatives.by_hand import ByHand, Prefix
from nint_cli.derivatives.precision import products_in
from nint_cli.fields import Chain, Field

__all__ = [
    "Block",
    "ByAutograd",
    "ByHand",
    "Derivatives",
    "derivatives_of",
    "jacobian_of_one",
    "last_layer_of",
    "load_forward_mode",
    "products_in",
]


def derivatives_of(field: Field) -> Derivatives:
    """Choose how to differentiate a field.

    Args:
        field: Any field.

    Returns:
        By hand where the field is a chain, else by autograd.
    """
    chain = field.chain()
    return ByAutograd(field) if chain is None else ByHand(chain, list(field.parameters()))


def last_layer_of(field: Field) -> Derivatives:
    """Differentiate a field with respect to its last layer alone.

    Args:
        field: Any field.

    Returns:
        Derivatives whose every pass costs about one forward.
    """
    chain, parameters = field.chain(), field.last_layer()
    if chain is None:
        return ByAutograd(field, parameters)
    return ByHand(Chain(chain.layers[-1:], Prefix(chain)), parameters)
