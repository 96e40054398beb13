"""Points at random."""

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor

from nint_cli.derivatives.probe import Probe
from nint_cli.random import Draws
from nint_cli.samplers.base import UNIFORM, Sampler, Selection, Setup, Slot
from nint_cli.samplers.drawing import UniformDraws
from nint_cli.schedules.batch_size import BatchPlan
from nint_cli.settings import Section


class Uniform(Sampler):
    """Uniform sampling without replacement, fresh at every step or by epochs.

    The mean squared error of the batch is an unbiased estimate of the full one.

    Passes: none.

    Args:
        batch: How many points.
        reshuffle: Whether every point comes once before any comes again; see `UniformDraws`.
    """

    ranked_by = None
    slots: ClassVar[Mapping[str, Slot]] = {"uniform": UNIFORM}

    host_entries: ClassVar[frozenset[str]] = UniformDraws.host_entries
    lasting_entries: ClassVar[frozenset[str]] = UniformDraws.host_entries

    def __init__(self, batch: BatchPlan, *, reshuffle: bool = False) -> None:
        self.batch = batch
        self._draws = UniformDraws(reshuffle)

    def forget(self) -> None:
        """Begin a new epoch; see `Sampler.forget`."""
        self._draws.forget()

    @classmethod
    def from_settings(cls, settings: Section, setup: Setup) -> "Uniform":
        """Build it, by epochs where the batch says so; see `Sampler.from_settings`."""
        return cls(setup.batch, reshuffle=setup.batch.reshuffle)

    def select(self, step: int, probe: Probe, draws: Draws) -> Selection:
        """Choose points at random; see `Sampler.select`."""
        count = self.batch.count(step, len(probe))
        indices = self._draws.draw(len(probe), count, draws, probe.device)
        return Selection(indices, slots=(("uniform", count),))

    def state_dict(self) -> dict[str, Tensor]:
        """Give where its epoch is; see `Sampler.state_dict`."""
        return self._draws.state_dict()

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Go on within an epoch; see `Sampler.load_state_dict`."""
        self._draws.load_state_dict(state)
