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
