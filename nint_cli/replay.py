"""Work on a GPU that is recorded once and then launched as one: a CUDA graph.

A step of a small network is some hundred short kernels, and launching them one by one takes a host
longer than a GPU takes to run them. A graph is launched once for all; what it reads and writes
stays where it was when it was recorded.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor

Work = Callable[..., tuple[Tensor, ...]]


class Recorded(Protocol):
    """A recording."""

    def __call__(self) -> None:
        """Do the recorded work again, from the same memory into the same memory."""


class Recorder(Protocol):
    """What makes recordings."""

    def __call__(
        self, work: Work, inputs: Sequence[Tensor]
    ) -> tuple[Recorded, tuple[Tensor, ...]]:
        """Record a function of some tensors.

        Args:
            work: The function; it may wait for nothing.
            inputs: What it reads, beside what it holds itself.

        Returns:
            What does it again, and where its outputs will be, which hold nothing yet.
        """


class Replay:
    """Does a function of tensors by a recording of it, once it has been asked for twice alike.

    There is one recording at a time: of the inputs' shapes that came last. Whatever prevents a
    recording ends the attempts; the caller then does the work itself, as it does where the shapes
    have just changed. The function must be the same at every call.

    Args:
        recorder: What records.

    Attributes:
        failure: Why there are no recordings, or None.
    """

    def __init__(self, recorder: "Recorder | None" = None) -> None:
        self._recorder = recorder or record_on_cuda
        self._kind: object = None
        self._inputs: list[Tensor] = []
        self._recorded: Recorded | None = None
        self._outputs: tuple[Tensor, ...] = ()
        self.failure: str | None = None

    def __call__(
        self, work: Work, inputs: Sequence[Tensor], held: Sequence[Tensor] = ()
    ) -> tuple[Tensor, ...] | None:
        """Do the work.

        Args:
            work: The function. What it reads beside its inputs must stay where it is.
            inputs: Its arguments.
            held: Of what else it reads, all that might be moved; where one was, it is recorded
                anew.

        Returns:
            Its outputs, which the next call overwrites; None where the caller is to do it.
        """
        if self.failure is not None:
            return None
        kind = (
            [(each.shape, each.dtype, each.device) for each in inputs],
            [each.data_ptr() for each in held],
        )
        if kind != self._kind:  # other shapes may come next, so nothing is recorded yet
            self._kind, self._recorded = kind, None
            self._inputs, self._outputs = [], ()
            return None
        if self._recorded is None and not self._record(work, inputs):
            return None
        assert self._recorded is not None
        for own, given in zip(self._inputs, inputs, strict=True):
            own.copy_(given)
        self._recorded()
        return self._outputs

    def _record(self, work: Work, inputs: Sequence[Tensor]) -> bool:
        self._inputs = [each.clone() for each in inputs]
        try:
            self._recorded, self._outputs = self._recorder(work, self._inputs)
        except RuntimeError as error:  # PyTorch's, too little memory included
            self.failure = (str(error).strip() or type(error).__name__).splitlines()[0]
            self._inputs, self._recorded, self._outputs = [], None, ()
        return self.failure is None


def record_on_cuda(work: Work, inputs: Sequence[Tensor]) -> tuple[Recorded, tuple[Tensor, ...]]:
    """Record as a CUDA graph; see `Recorder`.

    The work is done once before, on a stream of its own, for libraries allocate and choose at
    their first call.
    """
    device = inputs[0].device
    with torch.cuda.device(device):
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            work(*inputs)
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        # A capture that fails may leave its own stream in use; the outer one brings ours back.
        # Another thread of this process, which reads a picture's tiles, may allocate meanwhile.
        with (
            torch.cuda.stream(torch.cuda.current_stream()),
            torch.cuda.graph(graph, capture_error_mode="thread_local"),
        ):
            outputs = work(*inputs)
    return graph.replay, outputs
