"""What differentiating a field means: a prediction, and its Jacobian applied from either side.

Legend: B coordinates of a block, D coordinate dimensions, C channels.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

from torch import Tensor

from nint_cli.derivatives.point_norms import PointNorms


class Block(ABC):
    """A block whose prediction is known and whose Jacobian can be applied once.

    Attributes:
        prediction: (B, C), without a graph.
    """

    prediction: Tensor

    @abstractmethod
    def pull(self, cotangent: Tensor, norms: PointNorms | None = None) -> None:
        """Add J^T R to what the `Derivatives` have pulled.

        Args:
            cotangent: R (B, C).
            norms: Of the B points, added to; None skips them.

        Raises:
            NotImplementedError: If norms are wanted and the field does not say which linear maps
                it is made of.
        """

    @abstractmethod
    def coord_gradient(self) -> Tensor:
        """Give the gradient with respect to the coords (B, D) that belongs to the last `pull`."""


class Derivatives(ABC):
    """A field at its current parameters; they must not change while this is in use."""

    @abstractmethod
    def predict(self, coords: Tensor) -> Tensor:
        """Predict the values of a block, (B, D) to (B, C), without a graph."""

    @abstractmethod
    def linearise(self, coords: Tensor) -> Block:
        """Predict the values of a block, (B, D), and keep what `Block.pull` needs."""

    @abstractmethod
    def pulled(self) -> list[Tensor]:
        """Give the sum of all that was pulled, one tensor per parameter of the field."""

    @abstractmethod
    def pusher(self, direction: Sequence[Tensor]) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
        """Prepare J v.

        Args:
            direction: v, one tensor per parameter of the field, in their order.

        Returns:
            A function from coords (B, D) to the prediction and J v, (B, C) each.
        """

    @abstractmethod
    def self_leverage(self, coords: Tensor) -> Tensor:
        """Give the kernel's diagonal, ||row (i, c) of J||^2, (B, D) to (B, C)."""
