"""Adam, and what a fit has learnt by name: parameters and moments."""

import math
from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from pydantic import Field as Setting
from torch import Tensor

from nint_cli.fields.base import Field, load_parameters
from nint_cli.settings import Circumstances, Section, Share

_KINDS = ("step", "exp_avg", "exp_avg_sq")
_PICTURE_AXES = 2


class OptimiserSettings(Section):
    """Adam, and the learning rate over the run."""

    lr: float = Setting(1e-4, gt=0, le=10, description="learning rate after the warm-up")
    lr_side: int | None = Setting(
        None,
        ge=1,
        description="longest side of a picture, in pixels, up to which lr holds; on larger ones "
        "the rate falls with the root of the side; null: lr at any size; setting lr undoes it",
    )
    schedule: Literal["constant", "cosine"] = Setting(
        "constant", description="learning rate after the warm-up: constant, or half a cosine wave"
    )
    warmup: float = Setting(
        0.0, ge=0, lt=1, description="share of the steps in which the rate rises linearly"
    )
    beta1: float = Setting(
        0.9, ge=0, lt=1, description="decay per step of Adam's mean of gradients"
    )
    beta1_steps: int | None = Setting(
        None,
        ge=1,
        description="steps up to which beta1 holds; in longer runs 1 - beta1 falls with the root "
        "of their number, because many steps with little momentum end in divergence; null: beta1 "
        "at any number; setting beta1 undoes it",
    )
    beta2: float = Setting(
        0.999, ge=0, lt=1, description="decay per step of Adam's mean of squared gradients"
    )
    beta2_end: float | None = Setting(
        None,
        ge=0,
        lt=1,
        description="beta2 where the rate has fallen to 0; the memory, 1/(1 - beta2), shrinks "
        "with the rate after the warm-up, and the bias of the start is taken by the decay of each "
        "step, which makes early steps longer and fits better; null: beta2 stays",
    )
    final: Share = Setting(
        0.0, description="rate at the end of a cosine schedule, as a share of lr"
    )
    average: float = Setting(
        0.0,
        ge=0,
        lt=1,
        description="share of the steps so far over whose parameters the field is averaged when "
        "it is measured and kept, times lr's part of its highest; 0: the last parameters",
    )
    rescue: bool = Setting(
        True,
        description="whether a fit that diverges goes back to its last good state, and on with "
        "half the rate, ten times at most; otherwise it ends",
    )

    def unused(self, around: Circumstances) -> Mapping[str, str]:
        """Return what the schedule and the modality leave without effect; see `Section`."""
        found: dict[str, str] = {}
        if around.modality != "image":
            found["lr_side"] = "only a picture has a side; set optimiser.lr"
        if self.schedule == "constant":
            why = "optimiser.schedule is constant; cosine reads it"
            found |= {"final": why, "beta2_end": why}
        elif self.final == 1:
            found["beta2_end"] = "optimiser.final is 1, so that the rate never falls; lower it"
        return found

    def peak_rate(self, shape: Sequence[int]) -> float:
        """Return the learning rate after the warm-up.

        Args:
            shape: Points of the signal along each axis.

        Returns:
            lr; on a picture of S > lr_side pixels along its longest side times
            (lr_side / S)^(1/2).
        """
        if self.lr_side is None or len(shape) != _PICTURE_AXES:
            return self.lr
        return self.lr * math.sqrt(min(1.0, self.lr_side / max(shape)))

    def first_decay(self, steps: int) -> float:
        """Return beta1 for the length of a run.

        Args:
            steps: Steps of the run, T.

        Returns:
            beta1; in a run of T > beta1_steps steps 1 - (1 - beta1) (beta1_steps / T)^(1/2).
        """
        if self.beta1_steps is None or steps <= self.beta1_steps:
            return self.beta1
        return 1 - (1 - self.beta1) * math.sqrt(self.beta1_steps / steps)


class Adam:
    """Adam (Kingma and Ba, 2015, arXiv 1412.6980), in one fused pass.

    It has the bits of `torch.optim.Adam` with ``fused=True``, whose first use loads PyTorch's
    compiler, for seconds.

    The bias that the mean of squares v_t has from its start at 0 is taken for 1 - beta2_t^t, with
    the decay of this step, as PyTorch does where decays change. It is 1 - prod_s beta2_s. Where
    the decay falls, as by `OptimiserSettings.beta2_end`, the former is larger and steps are
    longer, by up to sqrt((1 - beta2_t^t) / (1 - prod_s beta2_s)): 1.74 by the tuned recipes in a
    run of 100 steps, 1.37 in one of 400 and 1.13 in one of 1500. Fits are better by it than by the
    product (docs/lab/recipe.md), so it stays.

    Args:
        field: Its parameters are followed.
    """

    def __init__(self, field: Field) -> None:
        self._field = field
        self._parameters: list[Tensor] = list(field.parameters())
        # By kind, in the order of the parameters; empty before the first step.
        self._moments: dict[str, list[Tensor]] = {}

    @torch.no_grad()
    def step(
        self, gradient: Sequence[Tensor], rate: float, betas: tuple[float, float] = (0.9, 0.999)
    ) -> None:
        """Do one step.

        Args:
            gradient: One tensor per parameter.
            rate: The learning rate.
            betas: Decays of the running means of gradient and squared gradient.
        """
        if not self._moments:
            device = self._parameters[0].device
            self._moments = {
                "step": [torch.zeros((), device=device) for _ in self._parameters],
                "exp_avg": [torch.zeros_like(each) for each in self._parameters],
                "exp_avg_sq": [torch.zeros_like(each) for each in self._parameters],
            }
        steps, averages, squares = (self._moments[kind] for kind in _KINDS)
        torch._foreach_add_(steps, 1)
        torch._fused_adam_(
            self._parameters,
            list(gradient),
            averages,
            squares,
            [],
            steps,
            lr=rate,
            beta1=betas[0],
            beta2=betas[1],
            weight_decay=0.0,
            eps=1e-8,
            amsgrad=False,
            maximize=False,
        )

    def first_moment(self) -> list[Tensor] | None:
        """Give the running mean of the gradients, one tensor per parameter; not copies.

        None before the first step. The mean is not corrected for its start at 0.
        """
        return self._moments.get("exp_avg")

    def steps(self) -> int:
        """Give how many steps the parameters have had; asks the device."""
        return int(self._moments["step"][0]) if self._moments else 0

    def state_dict(self) -> dict[str, Tensor]:
        """Return ``field.<parameter>`` and ``optimiser.<kind>.<parameter>``; not copies."""
        tensors = {f"field.{name}": tensor for name, tensor in self._field.state_dict().items()}
        names = [name for name, _ in self._field.named_parameters()]
        for kind, moments in self._moments.items():
            for name, tensor in zip(names, moments, strict=True):
                tensors[f"optimiser.{kind}.{name}"] = tensor
        return tensors

    def load_state_dict(self, tensors: Mapping[str, Tensor]) -> None:
        """Put tensors back that `state_dict` has named.

        Args:
            tensors: By name; others than the two kinds are passed over. They are copied.

        Raises:
            ValueError: If one is missing, or does not fit.
        """
        groups: dict[str, dict[str, Tensor]] = {"field": {}, "optimiser": {}}
        for key, tensor in tensors.items():
            head, _, tail = key.partition(".")
            if head in groups:
                groups[head][tail] = tensor
        load_parameters(self._field, groups["field"])
        names = [name for name, _ in self._field.named_parameters()]
        expected = {f"{kind}.{name}" for kind in _KINDS for name in names}
        given = groups["optimiser"]
        if given and given.keys() != expected:
            raise ValueError(f"{min(given.keys() ^ expected)}: unknown or missing moment")
        device = self._parameters[0].device
        self._moments = {
            kind: [given[f"{kind}.{name}"].to(device, copy=True) for name in names]
            for kind in _KINDS
            if given
        }
