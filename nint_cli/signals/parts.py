"""Parts of a signal: the points that train, those that are held out, those that a mask leaves out.

Legend: N coordinates of the whole signal, M of a part, D coordinate dimensions, C channels.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from nint_cli.errors import ConfigError
from nint_cli.random import Draws
from nint_cli.signals.base import Signal


class Part(Signal):
    """Some points of a signal on a grid; shape, frame and units are those of the whole.

    So a field for a part is the one for the whole, and what a sampler knows of the grid still
    holds; `among` says where on it the points are.

    Args:
        whole: The signal.
        among: (M,) int64, ascending and distinct: which of its points.
    """

    def __init__(self, whole: Signal, among: Tensor) -> None:
        self._whole = whole
        self.among: Tensor = among.to(whole.device)
        self.shape = whole.shape
        self.value_dim = whole.value_dim
        self.half_range = whole.half_range
        self.bandwidth = whole.bandwidth
        self.on_grid = whole.on_grid

    def __len__(self) -> int:
        return len(self.among)

    @property
    def device(self) -> torch.device:
        """Where the whole signal is."""
        return self._whole.device

    def at(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Look up points by their number within the part; see `Signal.at`."""
        return self._whole.at(self.among[indices])

    def slice(self, start: int, stop: int) -> tuple[Tensor, Tensor]:
        """Look up neighbours by number; see `Signal.slice`."""
        return self._whole.at(self.among[start:stop])


@dataclass(frozen=True)
class Parts:
    """A signal in parts that have no point in common and together are all of it.

    Attributes:
        training: The points that train, and are measured as the run's own figures.
        held_out: Those that are kept out of training; None where there are none.
        outside: Those that a mask leaves out; None where there are none.
    """

    training: Part
    held_out: Part | None
    outside: Part | None

    def describe(self) -> str:
        """Return how many points are in which part, as the end of a sentence."""
        held = "" if self.held_out is None else f", {len(self.held_out):,} held out"
        if self.outside is None:
            return held
        inside = len(self.training) + (0 if self.held_out is None else len(self.held_out))
        return f", {inside:,} inside the mask{held}"

    def roles(self) -> Tensor:
        """Return what each point of the signal is: 0 trains, 1 is held out, 2 is outside.

        Returns:
            (N,) uint8, on the signal's device.
        """
        parts = [self.training, self.held_out, self.outside]
        count = sum(len(part) for part in parts if part is not None)
        roles = torch.zeros(count, dtype=torch.uint8, device=self.training.device)
        for role, part in enumerate(parts):
            if part is not None:
                roles[part.among] = role
        return roles


def parted(
    signal: Signal, *, inside: Tensor | None = None, holdout: float = 0.0, seed: int = 0
) -> Parts | None:
    """Part a signal.

    Args:
        signal: On a grid.
        inside: (N,) bool, on the CPU: the points that a mask leaves in; at least one. None for
            all of them.
        holdout: Share of these that is kept out of training, at random, in [0, 1).
        seed: Decides which.

    Returns:
        The parts; None where all points train, so that such a run has the bits of a plain one.

    Raises:
        ConfigError: If the share holds no point, or all of them.
    """
    everywhere = inside is None or bool(inside.all())
    if everywhere and not holdout:
        return None
    among = torch.arange(len(signal))
    outside = None
    if inside is not None and not everywhere:
        among, outside = inside.nonzero().flatten(), (~inside).nonzero().flatten()
    held = round(holdout * len(among))
    if holdout and not 0 < held < len(among):
        found = "none of them" if not held else "all of them"
        raise ConfigError(
            f"holdout={holdout} of {len(among):,} points keeps {found} out of training; "
            f"{'raise' if not held else 'lower'} it"
        )
    kept = torch.ones(len(among), dtype=torch.bool)
    if held:
        chosen = (
            Draws(seed).stream("holdout").choice(len(among), held, replace=False, shuffle=False)
        )
        kept[torch.from_numpy(chosen)] = False
    return Parts(
        Part(signal, among[kept]),
        Part(signal, among[~kept]) if held else None,
        None if outside is None else Part(signal, outside),
    )
