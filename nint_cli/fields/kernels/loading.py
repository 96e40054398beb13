"""Whether compiled kernels can be used, and for which tensors."""

from functools import cache

import torch
from torch import Tensor

_TYPES = {torch.float32, torch.bfloat16}


@cache
def why_not() -> str | None:
    """Return why no kernel can be used in this process; None if they can."""
    try:
        # They look for a folder to keep what is compiled, and there may be none.
        from nint_cli.fields.kernels import grid_loops, passes  # noqa: F401
    except Exception as error:  # SystemError beside a NumPy that Numba does not know, and others
        return f"Numba does not work here: {' '.join(str(error).split())}"
    return None


def version() -> str | None:
    """Return the version of Numba that compiles the kernels; None where PyTorch does the work."""
    if why_not() is not None:
        return None
    import numba

    return str(numba.__version__)


def usable(tensor: Tensor) -> bool:
    """Return whether kernels can compute with a tensor.

    Args:
        tensor: What they would read or write.

    Returns:
        True for float32 and bfloat16 on the CPU, in rows without gaps, outside of autograd and of
        PyTorch's transforms.
    """
    return (
        tensor.dtype in _TYPES
        and tensor.device.type == "cpu"
        and type(tensor) in {Tensor, torch.nn.Parameter}
        and tensor.is_contiguous()
        and not torch.is_grad_enabled()
        and why_not() is None
    )
