"""What a step's passes cost by field, in float32 and in bfloat16.

All ways of one field take turns in one process. `rounded` is with bfloat16 products and their
activations, `widened` with the products alone. What rounding loses is the relative error of the
gradient of a fresh network, on average over its parameters.
"""

import statistics
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import grid
import torch
from timing import Job, interleaved, medians
from torch import Tensor

from nint_cli.derivatives import products_in
from nint_cli.fields import Ffn, Field, Finer, Gauss, HashGrid, Mlp, Pemlp, Siren
from nint_cli.signals import GridSignal
from nint_cli.sweep import pull_residual

POINTS = 8192
_WAYS: dict[str, torch.dtype | None] = {"full": None, "rounded": torch.bfloat16}
_MAKERS: dict[str, Callable[[torch.Generator], Field]] = {
    "siren": lambda generator: Siren(2, 3, generator=generator),
    "finer": lambda generator: Finer(2, 3, generator=generator),
    "gauss": lambda generator: Gauss(2, 3, generator=generator),
    "mlp": lambda generator: Mlp(2, 3, generator=generator),
    "ffn": lambda generator: Ffn(2, 3, generator=generator),
    "pemlp": lambda generator: Pemlp(2, 3, generator=generator),
    "hashgrid": lambda generator: HashGrid((256, 256), 3, generator=generator),
}


@contextmanager
def _widened(field: Field) -> Iterator[None]:
    """Let the activations of a chain be taken in the parameters' type."""
    chain = field.chain()
    assert chain is not None
    acts = {id(a): a for layer in chain.layers if (a := layer.activation) is not None}
    before = {key: each.takes_rounded for key, each in acts.items()}
    for each in acts.values():
        each.takes_rounded = False
    try:
        yield
    finally:
        for key, each in acts.items():
            each.takes_rounded = before[key]


def _error(found: list[Tensor], exact: list[Tensor]) -> float:
    pairs = zip(found, exact, strict=True)
    return statistics.mean(float((a - b).norm() / b.norm()) for a, b in pairs)


def bench_passes(points: int, repeats: int) -> dict[str, Any]:
    """Time forward and backward of a step of so many points, for every chain of layers."""
    generator = torch.Generator().manual_seed(0)
    stored = torch.randint(0, 256, (points, 3), generator=generator, dtype=torch.uint8)
    signal = GridSignal(stored, (1, points), scale=255.0)
    fields = {name: _field(make, signal, repeats) for name, make in _MAKERS.items()}
    return {"points": points, "fields": fields}


def _field(
    make: Callable[[torch.Generator], Field], signal: GridSignal, repeats: int
) -> dict[str, Any]:
    field = make(torch.Generator().manual_seed(0))

    def gradient(products: torch.dtype | None) -> list[Tensor]:
        with products_in(products):
            return pull_residual(field, signal)[0]

    def widened() -> list[Tensor]:
        with _widened(field):
            return gradient(torch.bfloat16)

    exact = gradient(None)
    jobs: dict[str, Job] = {"widened": widened}
    for way, products in _WAYS.items():
        jobs[way] = lambda p=products: gradient(p)  # type: ignore[misc]
    error = {
        "rounded": _error(gradient(torch.bfloat16), exact),
        "widened": _error(widened(), exact),
    }
    return {"s": medians(interleaved(jobs, repeats)), "error": error}


def passes_table(found: Mapping[str, Any]) -> str:
    """Write milliseconds, and what rounding loses."""
    header = ["field", "float32, ms", "bf16, ms", "bf16 products alone, ms"]
    header += ["error of bf16", "of its products alone"]
    rows = []
    for name, of_field in found["fields"].items():
        took, error = of_field["s"], of_field["error"]
        row = [name, *(f"{1000 * took[way]:.1f}" for way in (*_WAYS, "widened"))]
        row += [f"{100 * error[way]:.2f} %" for way in ("rounded", "widened")]
        rows.append(row)
    return f"A step's passes over {found['points']:,} points.\n\n{grid.markdown(header, rows)}"
