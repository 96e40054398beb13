"""The neural tangent kernel of a field, K = J J^T, without forming it where it is large.

J is the Jacobian of all predictions with respect to all parameters, (N C) x P, and the kernel's
entry for points i, j and channels c, d is K[i, c, j, d] = <df_c(x_i)/dtheta, df_d(x_j)/dtheta>.
Source: Jacot, Gabriel, Hongler, "Neural Tangent Kernel", NeurIPS 2018, arXiv 1806.07572.

Legend: N coordinates, D coordinate dimensions, C channels, P parameters.
"""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.func import vmap

from nint_cli.derivatives.autograd import jacobian_of_one
from nint_cli.derivatives.engine import EXACT, Engine
from nint_cli.derivatives.sweep import pull_residual, pullback, pushforward
from nint_cli.errors import NintError
from nint_cli.fields.base import Field
from nint_cli.random import moved
from nint_cli.signals.base import Signal

# The largest kernel that `dense_ntk` builds, in numbers.
_DENSE_NUMBERS = 1 << 28


def ntk_product(field: Field, signal: Signal, vector: Tensor, *, engine: Engine = EXACT) -> Tensor:
    """Multiply the kernel by a vector: K r = J (J^T r).

    Args:
        field: The network.
        signal: The points.
        vector: r (N, C).
        engine: How the field is computed.

    Returns:
        K r (N, C). Row i is sum_j K[i, :, j, :] r_j.
    """
    size = engine.block_size(field)
    gradient = pullback(
        field, signal.blocks(size), lambda start, _, values: vector[start : start + len(values)]
    )
    return pushforward(field, signal, gradient, engine=engine)


def ntk_residual_product(
    field: Field, signal: Signal, *, engine: Engine = EXACT
) -> tuple[Tensor, Tensor]:
    """Compute K R for the residual R = prediction - values: NINT's scoring pass.

    One VJP sweep, which also yields the residual, and one JVP sweep: together the matrix products
    of 6 forward sweeps, one of which the residual would have cost anyway.

    Args:
        field: The network.
        signal: The targets.
        engine: How the field is computed.

    Returns:
        K R (N, C) and R (N, C).
    """
    gradient, residual = pull_residual(field, signal, engine=engine)
    return pushforward(field, signal, gradient, engine=engine), residual


def last_layer_residual_product(
    field: Field, signal: Signal, *, engine: Engine = EXACT
) -> tuple[Tensor, Tensor]:
    """Compute K_L R, with K_L the kernel of the last layer's parameters alone.

    K_L[i, c, j, d] = (h_i . h_j + 1) for c = d and 0 otherwise, h being what the last layer
    reads. Both sweeps cost a forward each, where those of K R cost 3.

    Args:
        field: The network.
        signal: The targets.
        engine: How the field is computed.

    Returns:
        K_L R (N, C) and R (N, C).
    """
    last = engine.last_layer(field)
    gradient, residual = pull_residual(field, signal, engine=engine, derivatives=last)
    return pushforward(field, signal, gradient, engine=engine, derivatives=last), residual


def sketched_products(
    field: Field,
    signal: Signal,
    residual: Tensor,
    stream: np.random.Generator,
    sketches: int,
    *,
    engine: Engine = EXACT,
) -> Iterator[Tensor]:
    """Estimate K R from random projections of the Jacobian's rows, one sweep after another.

    With w standard normal, E[(J w) (J w)^T R] = J E[w w^T] J^T R = K R (Johnson and Lindenstrauss,
    1984); the mean over several w is closer. Each takes one JVP sweep.

    Args:
        field: The network.
        signal: The points.
        residual: R (N, C).
        stream: Source of w.
        sketches: How many w.
        engine: How the field is computed.

    Yields:
        (J w) ((J w) . R) of one w, (N, C).
    """
    for _ in range(sketches):
        direction = [
            moved(stream.standard_normal(p.shape), p.device).to(p.dtype)
            for p in field.parameters()
        ]
        projection = pushforward(field, signal, direction, engine=engine)
        yield projection * (projection * residual).sum()


def ntk_diagonal(field: Field, coords: Tensor, *, engine: Engine = EXACT) -> Tensor:
    """Compute the kernel's exact diagonal.

    Its sum over the channels is a point's self-leverage ||J_i||_F^2: how much a step on this
    point alone moves the prediction there.

    Args:
        field: The network.
        coords: (N, D).
        engine: How the field is computed.

    Returns:
        K[i, c, i, c] as (N, C).
    """
    derivatives, size = engine.derivatives(field), engine.block_size(field)
    return torch.cat([derivatives.self_leverage(part) for part in coords.split(size)])


def dense_fits(field: Field, count: int) -> bool:
    """Tell whether `dense_ntk` builds the kernel of so many points."""
    rows = count * field.value_dim
    return rows * max(rows, field.parameter_count()) <= _DENSE_NUMBERS


def dense_ntk(field: Field, coords: Tensor) -> Tensor:
    """Build the whole kernel, for small inputs.

    Args:
        field: The network.
        coords: (N, D).

    Returns:
        K (N, C, N, C), symmetric under the exchange of (i, c) and (j, d).

    Raises:
        NintError: If the Jacobian or the kernel would have more than 2^28 numbers.
    """
    rows = len(coords) * field.value_dim
    if not dense_fits(field, len(coords)):
        raise NintError(
            f"a dense NTK of {len(coords)} points needs {rows * rows:,} numbers and a Jacobian of "
            f"{rows * field.parameter_count():,}; use ntk_product, or fewer points"
        )
    parameters: dict[str, Tensor] = dict(field.named_parameters())
    with torch.no_grad():
        jacobians = vmap(jacobian_of_one(field), in_dims=(None, 0))(parameters, coords)
        jacobian = torch.cat([part.flatten(2) for part in jacobians.values()], dim=2)
        return torch.einsum("icp,jdp->icjd", jacobian, jacobian)
