"""From a configuration to the objects it names: device, field, sampler, trainer."""

from collections.abc import Callable, Iterable, Sequence

import torch

from nint_cli.config.schema import RunConfig
from nint_cli.derivatives.engine import EXACT, Engine
from nint_cli.derivatives.point_norms import PointNorms
from nint_cli.device.settings import EngineSettings, products
from nint_cli.errors import ConfigError
from nint_cli.fields.base import Field
from nint_cli.fields.kernels import loading as kernels
from nint_cli.fields.table import field_class
from nint_cli.samplers.base import Sampler, Setup
from nint_cli.samplers.table import sampler_class
from nint_cli.schedules.batch_size import AdaptiveBatchSize, BatchPlan
from nint_cli.schedules.clock import Clock
from nint_cli.schedules.duration import Duration
from nint_cli.signals.base import Signal
from nint_cli.training.average import Average
from nint_cli.training.divergence import DivergenceDetector
from nint_cli.training.learning_rate import LearningRate
from nint_cli.training.precision import PrecisionSwitch, precision_switch
from nint_cli.training.trainer import Trainer

# Steps that a GPU may be ahead of its host, which then looks at all of their losses at once.
_CHECK_EVERY = 10


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
    return field_class(config.field).from_settings(
        config.field_settings,
        shape,
        value_dim,
        half_range=half_range,
        bandwidth=bandwidth,
        generator=generator,
    )


def build_sampler(
    config: RunConfig,
    signal: Signal,
    duration: Duration | None = None,
    adaptive_batch_size: AdaptiveBatchSize | None = None,
) -> Sampler:
    """Build the configured sampler.

    What it must know of the signal beforehand is computed here, from the signal and the seed.

    Args:
        config: The configuration.
        signal: What is to be fitted.
        duration: How long the run is; None leaves that to the steps.
        adaptive_batch_size: Makes batches smaller where there is little time; or None.

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
        config.batch.reshuffle,
        duration,
        adaptive_batch_size,
    )
    setup = Setup(batch, signal, config.seed)
    sampler = sampler_class(config.sampler).from_settings(config.sampler_settings, setup)
    if sampler.needs_fixed_points and signal.redraw_every is not None:
        raise ConfigError(
            f"sampler {config.sampler} holds on to points and sdf.resample draws others every "
            f"{signal.redraw_every} steps; leave it out, or use uniform, int or nint with their "
            "interval dense"
        )
    return sampler


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


def build_trainer(
    config: RunConfig,
    signal: Signal,
    clock: Clock,
    begin: Callable[[Field], None] = lambda _: None,
) -> Trainer:
    """Build field, sampler and trainer for a signal.

    Args:
        config: The configuration.
        signal: What to fit, on the device to train on.
        clock: Bills the time, that of what the sampler computes beforehand as training.
        begin: Gives the field other weights than random ones; by default it keeps these.

    Returns:
        A trainer at step 0.
    """
    device = signal.device
    # The field starts alike on every device.
    field = field_for(config, signal, torch.Generator().manual_seed(config.seed))
    begin(field)
    optimiser, stop = config.optimiser, config.stop
    duration = Duration(
        config.steps,
        stop.time_budget_s,
        lambda: clock.train_s,
        all_spent_s=lambda: clock.seconds()["train_s"],
        steps_end_it=stop.at_steps is not False,
    )

    adaptive_batch_size = _adaptive_batch_size(config, len(signal), clock)
    detector = DivergenceDetector() if optimiser.rescue else None
    rate = LearningRate(
        optimiser,
        signal.shape,
        duration,
        batch_factor=lambda _: (
            1.0 if adaptive_batch_size is None else adaptive_batch_size.rate_factor
        ),
        rescue_factor=lambda step: 1.0 if detector is None else detector.rate_factor(step),
    )
    average = Average(field, share=optimiser.average)
    with clock.measure("prepare_s"):
        sampler = build_sampler(config, signal, duration, adaptive_batch_size)
    _check_leverage(config, sampler, field)
    engine, precision = _computation(config.engine, field, signal)
    with clock.measure("load_s"):
        _load_kernels(field, signal, {engine, EXACT}, with_norms=sampler.wants_leveraged_errors)
    return Trainer(
        field,
        signal,
        sampler,
        learning_rate=rate,
        duration=duration,
        adaptive_batch_size=adaptive_batch_size,
        seed=config.seed,
        clock=clock,
        detector=detector,
        check_every=_CHECK_EVERY if device.type == "cuda" and optimiser.rescue else 1,
        engine=engine,
        precision=precision,
        average=average if optimiser.average else None,
    )


def _load_kernels(
    field: Field, signal: Signal, engines: Iterable[Engine], *, with_norms: bool
) -> None:
    """Compute one point by each engine, for kernels are compiled or loaded when they first run.

    That takes seconds the first time on a machine, and would be taken for training.
    """
    if signal.device.type != "cpu" or kernels.why_not() is not None:
        return
    coords, _ = signal.at(torch.zeros(1, dtype=torch.int64))
    for engine in engines:
        derivatives = engine.derivatives(field)
        derivatives.predict(coords)
        block = derivatives.linearise(coords)
        zeros = torch.zeros_like(block.prediction)
        block.pull(zeros, PointNorms.zeros(1, zeros) if with_norms else None)


def _check_leverage(config: RunConfig, sampler: Sampler, field: Field) -> None:
    """Refuse a sampler that needs the kernel's diagonal of a field that does not yield it."""
    made_of_maps = type(field).linear_maps is not Field.linear_maps
    if sampler.wants_leveraged_errors and field.chain() is None and not made_of_maps:
        raise ConfigError(
            f"sampler {config.sampler} needs the NTK's diagonal, and field {config.field} has "
            "neither chain() nor linear_maps() to take it from; use nint_diagonal.score=error"
        )


def _computation(
    settings: EngineSettings, field: Field, signal: Signal
) -> tuple[Engine, PrecisionSwitch | None]:
    """Return how a field is computed, and what changes that; see `PrecisionSwitch`."""
    rounded = products(settings, signal.device)
    if settings.precision != "auto" or rounded is None:
        return Engine(rounded), None
    switch = precision_switch(rounded, field, signal)
    return Engine(None if switch is None else rounded), switch


def _adaptive_batch_size(
    config: RunConfig, population: int, clock: Clock
) -> AdaptiveBatchSize | None:
    """Give what finds the size of batches; None where it is fixed."""
    batch, budget = config.batch, config.stop.time_budget_s
    if not sampler_class(config.sampler).sized or batch.size is None or budget is None:
        return None
    if batch.least_steps is None and batch.full_steps is None:
        return None
    size = min(batch.size, population)
    most = None if config.stop.at_steps is False else config.steps
    return AdaptiveBatchSize(size, budget, clock, batch.least_steps or 1, batch.full_steps, most)
