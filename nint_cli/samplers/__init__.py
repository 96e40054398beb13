"""Samplers: which points train next; one file per method."""

from nint_cli.samplers.base import BatchLoss, BatchPlan, Observation, Sampler, Selection
from nint_cli.samplers.egra import Egra
from nint_cli.samplers.evos import Evos
from nint_cli.samplers.expansive import Expansive
from nint_cli.samplers.full import Full
from nint_cli.samplers.int import Int
from nint_cli.samplers.mixture import Mixture
from nint_cli.samplers.nint import Nint
from nint_cli.samplers.nint_pool import NintPool
from nint_cli.samplers.nint_released import NintReleased
from nint_cli.samplers.soft_mining import SoftMining
from nint_cli.samplers.uniform import Uniform

__all__ = [
    "BatchLoss",
    "BatchPlan",
    "Egra",
    "Evos",
    "Expansive",
    "Full",
    "Int",
    "Mixture",
    "Nint",
    "NintPool",
    "NintReleased",
    "Observation",
    "Sampler",
    "Selection",
    "SoftMining",
    "Uniform",
]
