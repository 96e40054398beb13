"""The type in which matrix products are taken."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch

_PRODUCTS: ContextVar[torch.dtype | None] = ContextVar("products", default=None)


@contextmanager
def products_in(dtype: torch.dtype | None) -> Iterator[None]:
    """Let derivatives that are made in a block take the products of wide layers in another type.

    Parameters and sums over points stay as they are; between two such layers all is rounded, but
    activations that would lose by it.

    Args:
        dtype: Such as bfloat16; None leaves them in the type of the parameters.

    Yields:
        Nothing.
    """
    token = _PRODUCTS.set(dtype)
    try:
        yield
    finally:
        _PRODUCTS.reset(token)


def product_dtype() -> torch.dtype | None:
    """Give the type that is asked for here."""
    return _PRODUCTS.get()
