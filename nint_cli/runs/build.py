"""From a configuration to the objects it names: device, field, sampler, trainer."""

from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any

import torch

from nint_cli.training.average import Average
from nint_cli.schedules.batch_size import Brevity
from nint_cli.schedules.clock import Clock
from nint_cli.config.sampler_settings import NintConfig
from nint_cli.config.schema import RunConfig
from nint_cli.derivatives.engine import Engine
from nint_cli.device.settings import products
from nint_cli.errors import ConfigError
from nint_cli.fields.ffn import Ffn
from nint_cli.fields.base import Field
from nint_cli.fields.finer import Finer
from nint_cli.fields.gauss import Gauss
from nint_cli.fields.hashgrid import HashGrid
from nint_cli.fields.mlp import Mlp
from nint_cli.fields.pemlp import Pemlp
from nint_cli.fields.siren import Siren
from nint_cli.fields.wire import Wire
from nint_cli.fields.ffn import bandwidth_for
from nint_cli.fields.hashgrid import grid_for
from nint_cli.fields.pemlp import octaves_for
from nint_cli.fields.wire import first_scale_for
from nint_cli.training.divergence import Guard
from nint_cli.schedules.duration import Pace
from nint_cli.schedules.batch_size import BatchPlan
from nint_cli.samplers.egra import Egra
from nint_cli.samplers.evos import Evos
from nint_cli.samplers.expansive import Expansive
from nint_cli.samplers.full import Full
from nint_cli.samplers.int import Int
from nint_cli.samplers.slots import Mixture
from nint_cli.samplers.nint import Nint
from nint_cli.samplers.nint_pool import NintPool
from nint_cli.samplers.nint_released import NintReleased
from nint_cli.samplers.base import Sampler
from nint_cli.samplers.soft_mining import SoftMining
from nint_cli.samplers.uniform import Uniform
from nint_cli.samplers import priors
from nint_cli.signals.base import Signal
from nint_cli.training.trainer import Trainer
from nint_cli.training.learning_rate import LearningRate

from nint_cli.device.settings import resolve_device

UNSIZED = frozenset({"full", "soft_mining", "expansive"})
"""Samplers whose batches stay: all points; as many particles, or anchors, throughout."""

SAMPLERS: dict[str, type[Sampler]] = {
    "full": Full,
    "uniform": Uniform,
    "egra": Egra,
    "expansive": Expansive,
    "soft_mining": SoftMining,
    "int": Int,
    "evos": Evos,
    "nint": Nint,
    "nint_released": NintReleased,
}
FIELDS: dict[str, type[Field]] = {
    "mlp": Mlp,
    "pemlp": Pemlp,
    "ffn": Ffn,
    "siren": Siren,
    "finer": Finer,
    "gauss": Gauss,
    "wire": Wire,
    "hashgrid": HashGrid,
}

# Steps that a GPU may be ahead of its host, which then looks at all of their losses at once.
_LOOK_EVERY = 10

# What the size of the signal decides where the settings leave it open.
_FROM_SHAPE: dict[tuple[str, str], Callable[[Sequence[int]], float | None]] = {
    ("pemlp", "frequencies"): lambda shape: octaves_for(max(shape)),
    ("ffn", "sigma"): lambda shape: bandwidth_for(max(shape)),
    ("wire", "first_scale"): lambda shape: first_scale_for(shape[0]) if len(shape) == 1 else None,
    ("hashgrid", "finest"): lambda shape: grid_for(shape)[0],
    ("hashgrid", "log2_entries"): lambda shape: grid_for(shape)[1],
}




def build_field(
    config: RunConfig,
    shape: Sequence[int],
    value_dim: int,
    generator: torch.Generator | None = None,
    *,
    half_range: float = 1.0,
    bandwidth: float | None = None,
) -> Field:
    """Build the configured field on the CPU.

    Args:
        config: The configuration.
        shape: Points of the signal along each of its D axes.
        value_dim: C.
        generator: Source of its initial parameters; None leaves them to be loaded.
        half_range: The signal's coords lie in [-half_range, half_range].
        bandwidth: See `Signal.bandwidth`; of importance for initial parameters only.

    Returns:
        The field.
    """
    name = config.field
    settings: dict[str, Any] = getattr(config, name).model_dump()
    for key, value in settings.items():
        choose = _FROM_SHAPE.get((name, key))
        if value is None and choose is not None:
            settings[key] = choose(shape)
    if settings.get("first_frequency", 0) is None:
        settings["first_frequency"] = bandwidth
    if name == "hashgrid":
        return HashGrid(shape, value_dim, half_range=half_range, generator=generator, **settings)
    return FIELDS[name](len(shape), value_dim, generator=generator, **settings)


def build_sampler(
    config: RunConfig,
    signal: Signal,
    pace: Pace | None = None,
    brevity: Brevity | None = None,
) -> Sampler:
    """Build the configured sampler.

    What it must know of the signal beforehand is computed here, from the signal and the seed.

    Args:
        config: The configuration.
        signal: What is to be fitted.
        pace: How long the run is; None leaves that to the steps.
        brevity: Makes batches smaller where there is little time; or None.

    Returns:
        The sampler.

    Raises:
        ConfigError: If it holds on to points that the signal replaces.
    """
    batch = BatchPlan(
        config.batch.fraction,
        config.batch.schedule,
        config.batch.size,
        config.steps,
        pace,
        brevity,
    )
    sampler = _configured_sampler(config, signal, batch)
    if sampler.needs_fixed_points and signal.redraw_every is not None:
        raise ConfigError(
            f"sampler {config.sampler} holds on to points and sdf.resample draws others every "
            f"{signal.redraw_every} steps; leave it out, or use uniform, int or nint with their "
            "interval dense"
        )
    return sampler


def _configured_sampler(config: RunConfig, signal: Signal, batch: BatchPlan) -> Sampler:
    nint = config.nint
    match config.sampler:
        case "full":
            return Full()
        case "uniform":
            return Uniform(batch, reshuffle=config.batch.reshuffle)
        case "egra":
            return _build_egra(config, batch, signal)
        case "expansive":
            return _build_expansive(config, batch, signal)
        case "soft_mining":
            mining = config.soft_mining
            if not signal.on_grid:
                raise ConfigError(
                    "sampler soft_mining moves particles between the points of a grid, and a "
                    "shape's lie anywhere; choose another sampler"
                )
            density = priors.edge_density(_grey(signal), zero_padded=mining.released)
            return SoftMining(
                batch,
                density.to(signal.device),
                signal.shape,
                half_range=signal.half_range,
                **mining.model_dump(),
            )
        case "int":
            return Int(batch, **config.int_.model_dump())
        case "evos":
            picture = (signal.shape[0], signal.shape[1]) if len(signal.shape) == 2 else None
            return Evos(batch, shape=picture, **config.evos.model_dump())
        case "nint_released":
            return NintReleased(
                batch,
                xi=nint.xi,
                alpha=nint.alpha,
                lambda_=nint.lambda_,
                min_share=nint.min_share,
            )
        case "nint":
            return _build_nint(nint, batch, config.batch.reshuffle)


def _build_nint(nint: NintConfig, batch: BatchPlan, reshuffle: bool) -> Sampler:
    settings = nint.model_dump(by_alias=False, exclude={"scoring", "pool"})
    mixture = Mixture(**{each.name: settings.pop(each.name) for each in fields(Mixture)})
    if nint.scoring == "sweep":
        return Nint(batch, mixture, reshuffle=reshuffle, **settings)
    return NintPool(batch, mixture, pool=nint.pool, reshuffle=reshuffle)


def _build_egra(config: RunConfig, batch: BatchPlan, signal: Signal) -> Egra:
    settings = config.egra
    more = settings.model_dump(exclude={"low", "high"})
    if signal.on_grid:
        edges = priors.edges(_grey(signal), settings.low, settings.high)
    else:  # the neighbours of a point's index are anywhere, so nothing beside it
        edges = priors.nearest(signal.blocks(1 << 18), len(signal), priors.SURROGATE_SHARE)
        more |= {"radius_min": 0, "radius_max": 0}
    both_sides = len(signal.shape) == 1
    return Egra(batch, edges.to(signal.device), both_sides=both_sides, **more)


def _build_expansive(config: RunConfig, batch: BatchPlan, signal: Signal) -> Expansive:
    settings = config.expansive
    planned = settings.anchor_share * batch.share(0, len(signal))
    if signal.on_grid:
        anchors = priors.anchors(
            _grey(signal),
            planned,
            torch.Generator().manual_seed(config.seed),
            released=settings.released,
        )
    else:
        anchors = priors.nearest(signal.blocks(1 << 18), len(signal), planned)
    return Expansive(
        batch,
        anchors.to(signal.device),
        len(signal),
        planned=planned,
        loss=settings.loss,
        released=settings.released,
    )


def _grey(signal: Signal) -> priors.Grid:
    return priors.grey(signal.blocks(1 << 18), signal.shape)


def field_for(config: RunConfig, signal: Signal, generator: torch.Generator) -> Field:
    """Build a field for a signal.

    Args:
        config: The configuration.
        signal: What to fit.
        generator: Draws the parameters, on the CPU.

    Returns:
        The field, on the signal's device.
    """
    return build_field(
        config,
        signal.shape,
        signal.value_dim,
        generator,
        half_range=signal.half_range,
        bandwidth=signal.bandwidth,
    ).to(signal.device)


def build_trainer(config: RunConfig, signal: Signal, clock: Clock) -> Trainer:
    """Build field, sampler and trainer for a signal.

    Args:
        config: The configuration.
        signal: What to fit, on the device to train on.
        clock: Bills the time.

    Returns:
        A trainer at step 0.
    """
    device = signal.device
    # The field starts alike on every device; what training draws, it draws on its device.
    weights = torch.Generator().manual_seed(config.seed)
    field = field_for(config, signal, weights)
    draws = int(torch.randint(2**62, (), generator=weights))
    optimiser, stop = config.optimiser, config.stop
    pace = Pace(
        config.steps,
        stop.time_budget_s,
        lambda: clock.train_s,
        all_spent_s=lambda: clock.seconds()["train_s"],
        steps_end_it=stop.at_steps is not False,
    )

    brevity = _brevity(config, len(signal), clock)
    guard = Guard() if optimiser.guard else None
    rate = LearningRate(
        optimiser,
        signal.shape,
        pace,
        batch_factor=lambda _: 1.0 if brevity is None else brevity.rate_factor,
        rescue_factor=lambda step: 1.0 if guard is None else guard.rate_factor(step),
    )
    average = Average(field, share=optimiser.average, peak=rate.peak)
    return Trainer(
        field,
        signal,
        build_sampler(config, signal, pace, brevity),
        learning_rate=rate,
        pace=pace,
        brevity=brevity,
        generator=torch.Generator(device).manual_seed(draws),
        clock=clock,
        guard=guard,
        look_every=_LOOK_EVERY if device.type == "cuda" and optimiser.guard else 1,
        engine=Engine(products(config.engine, device)),
        average=average if optimiser.average else None,
    )


def _brevity(config: RunConfig, population: int, clock: Clock) -> Brevity | None:
    """Give what finds the size of batches; None where it is fixed."""
    batch, budget = config.batch, config.stop.time_budget_s
    if config.sampler in UNSIZED or batch.size is None or budget is None:
        return None
    if batch.least_steps is None and batch.full_steps is None:
        return None
    size = min(batch.size, population)
    most = None if config.stop.at_steps is False else config.steps
    return Brevity(size, budget, clock, batch.least_steps or 1, batch.full_steps, most)


