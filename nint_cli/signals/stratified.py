"""Some of many points, evenly spread, to see how a field is doing without asking for all."""

import torch
from torch import Tensor

from nint_cli.random import Draws


def rounded_down(count: int) -> int:
    """Round a number of points down to three binary digits behind its first one.

    What a sample's size is computed from changes a little from one look to the next, and a sample
    that stays the same tells more of the field and less of the sample.

    Args:
        count: At least 0.

    Example:
        >>> [rounded_down(count) for count in (7, 31, 1000, 1029)]
        [7, 30, 960, 1024]
    """
    step = 1 << max(0, count.bit_length() - 4)
    return count // step * step


def spread_indices(population: int, count: int, seed: int) -> Tensor:
    """Choose points, one at random from each of so many equal stretches.

    On a grid in row-major order every row gets its share, and no structure of the grid's can hide
    between the points.

    Args:
        population: N.
        count: How many; up to N.
        seed: Decides which.

    Returns:
        (count,) int64, ascending and distinct, on the CPU.
    """
    edges = torch.arange(count + 1) * population // count
    within = torch.from_numpy(Draws(seed).stream("spread").random(count))
    return edges[:-1] + (within * edges.diff()).long()
