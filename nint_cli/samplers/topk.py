"""The points with the largest scores, found block by block while the scores are made."""

import math

import torch
from torch import Tensor


class TopK:
    """Keeps the largest of many scores that are never together in memory.

    Equal scores are ranked by their index, the lowest first. NaN ranks as positive infinity, so
    that a field which has diverged is trained where it has, and noticed. The result is that of
    sorting all scores at once, whatever the blocks are and in whichever order they come.

    Memory is that of O(k + block) numbers, time O(1) per score on average: what cannot be among
    the k is dropped at once, and the rest is thinned out to k when there are twice as many.

    Args:
        count: How many to keep, k; 0 keeps none.
        device: Of the scores.

    Raises:
        ValueError: If the count is negative.
    """

    def __init__(self, count: int, device: torch.device | None = None) -> None:
        if count < 0:
            raise ValueError(f"cannot keep {count} scores")
        self._count = count
        self._scores: list[Tensor] = []
        self._indices = [torch.empty(0, dtype=torch.int64, device=device)]
        self._held = 0
        self._least: Tensor | None = None  # of k scores that were seen; less has no chance

    def add(self, start: int, scores: Tensor) -> None:
        """Take in the scores of a block.

        Args:
            start: Index of its first point.
            scores: (B,) of any floating-point type, the same for all blocks; not kept itself. No
                index may come twice.
        """
        scores = scores.nan_to_num(nan=math.inf, posinf=math.inf, neginf=-math.inf)
        if self._least is None:
            indices = torch.arange(start, start + len(scores), device=scores.device)
        else:
            within = torch.nonzero(scores >= self._least).squeeze(1)
            indices, scores = within + start, scores[within]
        self._scores.append(scores)
        self._indices.append(indices)
        self._held += len(scores)
        if self._held >= 2 * self._count and self._held > self._count:
            self._thin_out()

    def indices(self) -> Tensor:
        """Give the points with the largest scores.

        Returns:
            (k,) int64, the largest score first and the lowest index first among equals; fewer
            where fewer scores came. More blocks may follow.
        """
        if self._held > self._count:
            self._thin_out()
        if not self._scores:
            return self._indices[0]
        scores, indices = torch.cat(self._scores), torch.cat(self._indices)
        by_index = indices.argsort()
        ranks = scores[by_index].argsort(descending=True, stable=True)
        return indices[by_index][ranks]

    def _thin_out(self) -> None:
        """Keep the k best of what is held, which is more."""
        scores, indices = torch.cat(self._scores), torch.cat(self._indices)
        if self._count == 0:
            best = torch.zeros_like(scores, dtype=torch.bool)
        else:
            self._least = scores.topk(self._count, sorted=False).values.min()
            best, equal = scores > self._least, scores == self._least
            room = self._count - int(best.sum())
            lowest = indices[equal].sort().values[room - 1]
            best |= equal & (indices <= lowest)
        self._scores, self._indices = [scores[best]], [indices[best]]
        self._held = self._count
