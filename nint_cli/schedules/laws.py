"""Schedules: pure functions of the step, counted from 0.

None of them holds state, so a resumed run reads the values that an uninterrupted one would.
"""

import math


def batch_fraction(kind: str, initial: float, step: int, total_steps: int) -> float:
    """Share of the coordinates that a step trains on.

    The kinds are those of the released code of INT (Zhang et al., 2024, arXiv 2405.10531) and
    of NINT (Zhang et al., 2026, arXiv 2511.15487), whose comparisons use ``constant``.

    Args:
        kind: ``constant``; ``linear`` from `initial` towards 1; ``step``, ten equal jumps;
            ``cosine``, a half wave from `initial` towards 1.
        initial: The fraction at step 0, in (0, 1].
        step: The step, from 0.
        total_steps: Number of steps of the run.

    Returns:
        A fraction in (0, 1].

    Raises:
        ValueError: If `kind` is none of the above.
    """
    progress = step / total_steps
    match kind:
        case "constant":
            return initial
        case "linear":
            return initial + progress * (1 - initial)
        case "step":
            return initial + math.floor(10 * progress) * (1 - initial) / 10
        case "cosine":
            return 1 - (1 - initial) * (1 + math.cos(math.pi * progress)) / 2
    raise ValueError(f"unknown batch schedule {kind!r}")


def learning_rate(
    kind: str,
    peak: float,
    step: int,
    total_steps: int,
    *,
    warmup: float = 0.0,
    final: float = 0.0,
) -> float:
    """Learning rate of a step.

    Args:
        kind: ``constant`` or ``cosine``.
        peak: The rate after the warm-up.
        step: The step, from 0.
        total_steps: Number of steps of the run.
        warmup: Share of the run in which the rate rises linearly from near 0 to `peak`.
        final: For ``cosine``, the rate at the end as a share of `peak`.

    Returns:
        A positive rate.

    Raises:
        ValueError: If `kind` is none of the above.
    """
    warmup_steps = round(warmup * total_steps)
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    match kind:
        case "constant":
            return peak
        case "cosine":
            progress = (step - warmup_steps) / max(1, total_steps - warmup_steps)
            return peak * (final + (1 - final) * (1 + math.cos(math.pi * progress)) / 2)
    raise ValueError(f"unknown learning-rate schedule {kind!r}")


def adam_decay(first: float, last: float, share: float) -> float:
    """Decay of a running mean whose memory shrinks with the learning rate.

    The memory 1 / (1 - decay) goes from that of `first` to that of `last` in proportion.

    Args:
        first: The decay at the highest rate, in [0, 1).
        last: The decay at rate 0, in [0, 1).
        share: The rate as a share of its highest, in [0, 1].

    Returns:
        The decay, in [0, 1).
    """
    if first == last or share >= 1:
        return first
    memory = share / (1 - first) + (1 - share) / (1 - last)
    return 1 - 1 / memory


def ntk_share(law: str, step: int, *, xi: float, alpha: int, lambda_: float) -> float:
    """Share of a batch that NINT fills by its NTK score (arXiv 2511.15487).

    Args:
        law: ``exponential``, the paper's (1 - xi) exp(-lambda t / alpha); or ``stepwise``, the
            law of the released code, which decays once per refresh and starts one decay late:
            (1 - xi) exp(-lambda ceil(u / alpha)) with u the count of calls, from 1, at the last
            call that refreshed (the first, and then every multiple of alpha).
        step: The step t, from 0, since guidance began.
        xi: Share of the batch drawn uniformly, in [0, 1].
        alpha: Refresh interval in steps, which is also the time constant of the decay.
        lambda_: Rate of the decay per refresh interval.

    Returns:
        A share in [0, 1 - xi].

    Raises:
        ValueError: If `law` is none of the above.
    """
    match law:
        case "exponential":
            age = step / alpha
        case "stepwise":
            age = float(max(1, (step + 1) // alpha))
        case _:
            raise ValueError(f"unknown NTK share law {law!r}")
    return (1 - xi) * math.exp(-lambda_ * age)


PHASED_INTERVALS = frozenset({"incremental", "reverse_incremental", "decremental"})
"""Intervals of `refreshes` whose phases are shares of the run."""


def refreshes(strategy: str, step: int, total_steps: int, *, every: int) -> bool:
    """Whether a step chooses its points anew, or trains on those of the step before.

    The strategies are those of the released code of INT (Zhang et al., 2024, arXiv 2405.10531)
    and of NINT (Zhang et al., 2026, arXiv 2511.15487). With T steps, an interval of I means that
    the steps t with t mod I = 0 refresh.

    Args:
        strategy: ``dense``, all steps; ``dense2``, an interval of `every`; ``incremental``, the
            first quarter dense, then five phases with intervals 10, 20, 30, 40, 50;
            ``reverse_incremental``, nine tenths with intervals 90, 80, ..., 10 and the last one
            dense; ``decremental``, five phases with intervals 40, 30, 20, 10, 1 and the last
            quarter dense.
        step: The step t, from 0.
        total_steps: T.
        every: The interval of ``dense2``.

    Returns:
        True at step 0, and where the strategy says so.

    Raises:
        ValueError: If `strategy` is none of the above.
    """
    match strategy:
        case "dense":
            interval = 1
        case "dense2":
            interval = every
        case "incremental":
            dense = total_steps // 4
            phase = max(1, (total_steps - dense) // 5)
            interval = 1 if step < dense else 10 * ((step - dense) // phase + 1)
        case "reverse_incremental":
            interval = 10 * (9 - step // max(1, total_steps // 10))
        case "decremental":
            sparse = 3 * total_steps // 4
            interval = 1 if step >= sparse else 10 * (4 - step // max(1, sparse // 5))
        case _:
            raise ValueError(f"unknown refresh strategy {strategy!r}")
    return step % max(1, interval) == 0


def evaluates_fitness(step: int, total_steps: int, *, first: int, last: int) -> bool:
    """Whether EVOS ranks all points at a step (Zhang et al., 2025, arXiv 2412.10153).

    With t = step + 1 it does where t mod int(first + (last - first) t / T) = 1. The modulus moves
    with t, so the gaps are irregular: from 4 to 158 steps at T = 5000.

    Args:
        step: The step, from 0.
        total_steps: T.
        first: Interval at the start, at least 2, for an interval of 1 would never be due.
        last: Interval at the end, at least 2.

    Returns:
        True at step 0, and where the law says so.
    """
    t = step + 1
    return t % int(first + (last - first) * t / total_steps) == 1


def mutation_share(kind: str, initial: float, final: float, step: int, total_steps: int) -> float:
    """Share of EVOS' batch that is drawn at random, relative to the first batch (2412.10153).

    Args:
        kind: ``constant``; ``linear`` or ``geometric`` from `initial` to `final` over the run.
        initial: The share at the start.
        final: The share at the end, which ``constant`` ignores.
        step: The step, from 0.
        total_steps: Number of steps of the run.

    Returns:
        A share between the two.

    Raises:
        ValueError: If `kind` is none of the above.
    """
    progress = step / total_steps
    match kind:
        case "constant":
            return initial
        case "linear":
            return initial + (final - initial) * progress
        case "geometric":
            return float(initial ** (1 - progress) * final**progress)
    raise ValueError(f"unknown mutation schedule {kind!r}")


def expansion(area: float, step: int, total_steps: int) -> float:
    """Factor of the errors away from the anchors in Expansive Supervision (arXiv 2409.08056).

    Args:
        area: Share a of all points that the anchors cover, in (0, 1].
        step: The step, from 0.
        total_steps: Number of steps of the run.

    Returns:
        c0 + (1 - c0) t / T with c0 = (1 - a) / a, the ratio of the areas.
    """
    start = (1 - area) / area
    return start + (1 - start) * step / total_steps
