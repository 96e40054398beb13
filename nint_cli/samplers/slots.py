"""How NINT shares a batch out between points that it chooses and points that it draws."""

from dataclasses import dataclass

import torch
from torch import Tensor

from nint_cli.schedules import laws


@dataclass(frozen=True, kw_only=True)
class Mixture:
    """The slots of a batch over time, and what their points weigh.

    Of B points floor(B s(t)) are chosen by NTK score, s(t) = (1 - xi) exp(-lambda t / alpha),
    floor(B (1 - xi - s(t))) by residual, and the rest is drawn uniformly.

    Source: Zhang et al., "NTK-Guided Implicit Neural Teaching", CVPR 2026, arXiv 2511.15487; the
    last three attributes are ours, and by default change nothing.

    Attributes:
        xi: Share of the batch drawn uniformly, in [0, 1].
        alpha: Refresh interval of the NTK scores in steps, and time constant of their share.
        lambda_: Decay of the NTK share per alpha steps.
        share_law: See `schedules.ntk_share`.
        min_share: NTK share below which its slot is empty.
        start: Share of the run before guidance; t counts from its end, and earlier batches are
            uniform.
        weight: Of a chosen point in the loss, in units of a drawn one's, in (0, 1].
        max_chosen: How much of the signal a batch may choose at most, in (0, 1]. Where batches are
            large against the signal, uniform ones come to every point after a few steps, and what
            is chosen is taken from these visits; so xi rises to 1 - max_chosen N / B.
    """

    xi: float = 0.7
    alpha: int = 10
    lambda_: float = 1.0
    share_law: str = "exponential"
    min_share: float = 1e-3
    start: float = 0.0
    weight: float = 1.0
    max_chosen: float = 1.0

    def ntk_share(self, age: int, xi: float | None = None) -> float:
        """Return the share of a batch that is chosen by NTK score; 0 below `min_share`.

        Args:
            age: Steps t since guidance began.
            xi: Share that is drawn uniformly, where it is not `xi`.
        """
        share = laws.ntk_share(
            self.share_law,
            age,
            xi=self.xi if xi is None else xi,
            alpha=self.alpha,
            lambda_=self.lambda_,
        )
        return share if share >= self.min_share else 0.0

    def slots(self, age: int, count: int, population: int) -> tuple[int, int]:
        """Tell how many points each rule chooses.

        Args:
            age: Steps t since guidance began.
            count: B, the points of the batch.
            population: N, those of the signal.

        Returns:
            How many by NTK score, and how many by residual.
        """
        xi = max(self.xi, 1 - self.max_chosen * population / count)
        share = self.ntk_share(age, xi)
        return int(count * share), int(count * (1 - xi - share) + 1e-9)


def chosen_weights(weight: float, chosen: int, count: int, device: torch.device) -> Tensor | None:
    """Weigh the points that were chosen against those that were drawn uniformly.

    A batch in which hard points come more often than they are stands for another loss than that of
    the signal, and where the learning rate is high, training on it may be unstable. A weight below
    1 takes back a part of that: it is what importance weights would do in full.

    Args:
        weight: Of a chosen point in the loss, in units of a drawn one's, in (0, 1].
        chosen: How many points of the batch were chosen; they come first.
        count: B.
        device: Where the batch is.

    Returns:
        (B,) with a mean of 1, or None where all are equal.
    """
    if weight == 1 or chosen in {0, count}:
        return None
    mean = (chosen * weight + count - chosen) / count
    weights = torch.full((count,), 1 / mean, dtype=torch.get_default_dtype(), device=device)
    weights[:chosen] = weight / mean
    return weights


PAPER = Mixture()
"""With the paper's values."""
