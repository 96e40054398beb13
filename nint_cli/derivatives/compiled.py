"""The work of a chain's layers, compiled for the blocks that most of the time goes into.

A compiled pass takes activations, biases and roundings in one go over memory, where PyTorch's
operations go over it once each. Compiling takes seconds per pass, which only long runs earn back.
"""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import FunctionType
from typing import ParamSpec, TypeVar, cast

import torch

from nint_cli.errors import is_out_of_memory

P = ParamSpec("P")
R = TypeVar("R")
Pass = Callable[..., object]
Compiler = Callable[[Pass], Pass]

_ATTEMPTS = 2


class Compiled:
    """Passes by `torch.compile`, for blocks of some lengths; all other blocks go as they come.

    Whatever prevents compiling twice in turn ends the attempts, and the pass is done without: an
    interrupt may have hit the compiler, too, and the fit is not to depend on that.

    Args:
        wanted: Tells whether blocks of so many rows are worth it; always the same for a number.
        compiler: What compiles.
        on: Whether anything is compiled.

    Attributes:
        on: The same; not after a failure.
        failure: Why nothing more is compiled, or None.
    """

    def __init__(
        self,
        wanted: Callable[[int], bool],
        compiler: Compiler | None = None,
        *,
        on: bool = True,
    ) -> None:
        self.on = on
        self._wanted = wanted
        self._compiler = compiler or by_torch
        self._passes: dict[Pass, Pass] = {}
        self._proven: set[object] = set()
        self.failure: str | None = None

    @property
    def used(self) -> bool:
        """Whether passes are done by compiled ones."""
        return self.on and bool(self._proven)

    def takes(self, rows: int) -> bool:
        """Tell whether blocks of so many rows are compiled."""
        return self.on and self._wanted(rows)

    def __call__(
        self, work: Callable[P, R], kind: object, rows: int, *given: P.args, **named: P.kwargs
    ) -> R:
        """Do a pass.

        Args:
            work: A function of tensors, without side effects but on those that it is given.
            kind: What decides, beside the rows, what it is compiled for.
            rows: Length of the block.
            given: What it takes.
            named: What it takes by name.

        Returns:
            What it gives.
        """
        if not self.takes(rows):
            return work(*given, **named)
        if (work, kind, rows) in self._proven:
            return cast("Callable[P, R]", self._passes[work])(*given, **named)
        for attempt in range(_ATTEMPTS):
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # the compiler's, which are not for users
                    found = cast("Callable[P, R]", self._compiled(work))(*given, **named)
                self._proven.add((work, kind, rows))
                return found
            except Exception as error:  # of any of a compiler's parts
                if is_out_of_memory(error):
                    raise
                if attempt == _ATTEMPTS - 1:
                    self.on, self.failure = False, _reason(error)
        return work(*given, **named)

    def _compiled(self, work: Pass) -> Pass:
        if work not in self._passes:
            self._passes[work] = self._compiler(work)
        return self._passes[work]


def _reason(error: Exception) -> str:
    """Give the line that says what went wrong; PyTorch's first one may only say where."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    return next((line for line in lines if not line.endswith(":")), type(error).__name__)


def by_torch(work: Pass, backend: str = "inductor") -> Pass:
    """Compile a pass for every kind and length of its arguments that turns up.

    PyTorch counts what it has compiled of a function's code, and stops at eight. Other fits of
    this process are not to count, so that each compiles code of its own.

    Args:
        work: The pass, a plain function.
        backend: What makes the code.

    Returns:
        The same, compiled at its first call.
    """
    assert isinstance(work, FunctionType)
    own = FunctionType(work.__code__.replace(), work.__globals__, work.__name__, work.__defaults__)
    return torch.compile(own, fullgraph=True, dynamic=False, backend=backend)


_COMPILED: ContextVar[Compiled | None] = ContextVar("compiled", default=None)


@contextmanager
def compiled_by(compiled: Compiled | None) -> Iterator[None]:
    """Let derivatives that are made in a block do their passes by compiled ones.

    Args:
        compiled: What has them; None: by none.

    Yields:
        Nothing.
    """
    token = _COMPILED.set(compiled)
    try:
        yield
    finally:
        _COMPILED.reset(token)


def compiled_passes() -> Compiled | None:
    """Give what is asked for here."""
    return _COMPILED.get()
