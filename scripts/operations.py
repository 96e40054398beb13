"""How many operations a sweep and a training step take by their matrix products.

A layer of n inputs and m outputs takes, for B points and counting a multiply-add as two
operations, 2 B n m forwards (z = h W^T + b); a training step takes as many again for the gradient
by the weight (delta^T h) and as many for the gradient by the layer's input (delta W), which the
first layer does not need. Nothing else is counted, neither sines nor biases nor Adam nor the draw
of a batch, though all of it takes time. So SIREN 5x256 for colour pictures takes 526,848
operations per point of a sweep and 1,579,520 per point of a step.
"""

from collections.abc import Iterable, Sequence

from nint_cli.fields import Siren


def layer_sizes(field: Siren) -> list[tuple[int, int]]:
    """Give (inputs n, outputs m) of each layer."""
    return [(weight.shape[1], weight.shape[0]) for weight in field.weights]


def forward_operations(layers: Iterable[tuple[int, int]], rows: int) -> int:
    """Count the operations of a forward: 2 B n m per layer."""
    return sum(2 * rows * n * m for n, m in layers)


def step_operations(layers: Sequence[tuple[int, int]], rows: int) -> int:
    """Count those of a forward and a backward: 6 B n m per layer, 4 B n m for the first."""
    n, m = layers[0]
    return 3 * forward_operations(layers, rows) - 2 * rows * n * m
