"""NINT as its released code runs, for comparison."""

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from nint_cli.derivatives.probe import Probe
from nint_cli.random import Draws
from nint_cli.samplers.base import UNIFORM, Sampler, Selection, Setup, Slot, load_indices
from nint_cli.samplers.drawing import draw_distinct
from nint_cli.samplers.int import residual_score
from nint_cli.samplers.nint import NintSettings
from nint_cli.schedules import laws
from nint_cli.schedules.batch_size import BatchPlan

# There where the points have changed since they were ranked.
_VOID = "void"


class NintReleased(Sampler):
    """NINT as its released code computes it: the brightest points where NTK scores are meant.

    Source: github.com/chen2hang/NTK_Guided_Implicit_Neural_Teaching at 293bcd2 (2026-02-25), for
    Zhang et al., CVPR 2026, arXiv 2511.15487.

    Two differences from the paper, which `Nint` implements:

    1. **The score is not the NTK score.** `torch.func.jvp` returns (output, tangent) and the code
       keeps the first, so points are ranked by |f(x_i)|^2: in a picture, the brightest.
    2. **The share decays in steps and starts lower.** It is (1 - xi) exp(-lambda ceil(u / alpha))
       with u counting calls from 1: 0.110 and not 0.3 at first. Scores are refreshed at the first
       call and whenever u is a multiple of alpha, so after 9 steps and then every 10.

    Below a share of `min_share` no refresh happens and the cached points keep their dwindling
    slot. The wasted VJP and JVP sweeps of the original are not run.

    Passes: one forward per step.

    Args:
        batch: How many points.
        xi: Share of the batch drawn uniformly.
        alpha: Calls between refreshes.
        lambda_: Decay of the share per refresh.
        min_share: Share below which no refresh happens.
    """

    Settings = NintSettings
    section: ClassVar[str] = "nint"
    ranked_by = "|prediction|, which is brightness, and |error| of all points"
    reads: ClassVar[frozenset[str]] = frozenset({"xi", "alpha", "lambda", "min_share"})
    slots: ClassVar[Mapping[str, Slot]] = {
        "bright": Slot("by brightness", (213, 94, 0)),
        "residual": Slot("by residual", (86, 180, 233)),
        "uniform": UNIFORM,
    }

    index_entries: ClassVar[frozenset[str]] = frozenset({"ntk"})
    host_entries: ClassVar[frozenset[str]] = frozenset({_VOID})

    def __init__(
        self,
        batch: BatchPlan,
        *,
        xi: float = 0.7,
        alpha: int = 10,
        lambda_: float = 1.0,
        min_share: float = 1e-3,
    ) -> None:
        self.batch = batch
        self.xi = xi
        self.alpha = alpha
        self.lambda_ = lambda_
        self.min_share = min_share
        self._bright: dict[str, Tensor] = {}

    def unranked(self, population: int) -> str | None:
        """Return why no point is ranked; see `Sampler.unranked`."""
        return "nint.xi is 1" if self.xi == 1 else super().unranked(population)

    def forget(self) -> None:
        """Score anew at the next step; see `Sampler.forget`."""
        self._bright = {_VOID: torch.tensor([1])}

    @classmethod
    def from_settings(cls, settings: NintSettings, setup: Setup) -> "NintReleased":
        """Build it from what it shares with `Nint`; see `Sampler.from_settings`."""
        return cls(
            setup.batch,
            xi=settings.xi,
            alpha=settings.alpha,
            lambda_=settings.lambda_,
            min_share=settings.min_share,
        )

    def select(self, step: int, probe: Probe, draws: Draws) -> Selection:
        """Fill the slots as the released code does; see `Sampler.select`."""
        population = len(probe)
        count = self.batch.count(step, population)
        share = laws.ntk_share(
            "stepwise", step, xi=self.xi, alpha=self.alpha, lambda_=self.lambda_
        )
        bright_count = int(count * share)
        calls = step + 1
        void = self._bright.pop(_VOID, None) is not None
        due = void or calls == 1 or calls % self.alpha == 0
        prediction, residual = probe.prediction_and_residual()
        if due and share >= self.min_share:
            score = prediction.square().sum(dim=1)
            self._bright["ntk"] = score.topk(bright_count).indices
        bright = self._bright.get("ntk", torch.empty(0, dtype=torch.int64, device=probe.device))
        bright = bright[:bright_count]
        score = residual_score(residual).index_fill(0, bright, -1.0)
        residual_count = min(int(count * (1 - share - self.xi)), population - len(bright))
        hard = score.topk(residual_count, sorted=False).indices
        guided = torch.cat([bright, hard])
        rest = draw_distinct(
            population,
            count - len(guided),
            draws.stream("uniform"),
            probe.device,
            exclude=guided,
        )
        return Selection(
            torch.cat([guided, rest]),
            slots=(("bright", len(bright)), ("residual", len(hard)), ("uniform", len(rest))),
        )

    def state_dict(self) -> dict[str, Tensor]:
        """Give the cached points; see `Sampler.state_dict`."""
        return dict(self._bright)

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore the cached points; see `Sampler.load_state_dict`."""
        self._bright = load_indices(state, self.index_entries | self.host_entries)
