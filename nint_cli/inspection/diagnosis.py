"""Known ways in which a guided run falls short, each told by numbers."""

from collections.abc import Callable
from dataclasses import dataclass

from nint_cli.comparison.record import Curve, RunEntry
from nint_cli.comparison.statistics import at_time
from nint_cli.inspection.record import Diagnosis, Finding, Leverage, Staleness

_EVEN = 0.1  # coefficient of variation
_STALE = 0.8  # rank correlation
_EDGE = 10.0  # error on the steepest tenth over that in the middle
_COSTLY = 0.5  # share of the training time
_UNLEARNT = 0.9  # of the variance
_NEAR_DB = 10.0  # rounding then makes a tenth of the error
_UNGUIDED = frozenset({"full", "uniform"})
_SCORING = {
    "nint": "see that scores are computed: nint.start, nint.min_share, and the slots in "
    "selection.png",
    "nint_released": "see that scores are computed: nint.min_share, and the slots in "
    "selection.png",
}
_CHEAPER = {
    "nint": "score less often (nint.alpha, nint.residual_every), or without sweeps "
    "(sampler nint_diagonal)",
    "nint_released": "sampler nint, which need not sweep at every step (nint.residual_every), or "
    "nint_diagonal, which needs no sweep",
    "int": "refresh less often (int.interval=dense2 and int.every)",
}


@dataclass(frozen=True)
class Facts:
    """What rules look at.

    Attributes:
        run: The run.
        sampler: Of its batches.
        rate: The learning rate that it began with, after the warm-up.
        xi: Share of uniform points of nint and nint_released; None under another sampler.
        products: Type of the matrix products of the last steps; None is full precision.
        floor_db: Where these end if they are in bfloat16, as `Field.bf16_floor_db` has it.
        leverage: Of its points.
        staleness: Of its scores.
        errors: Mean squared error by decile of local gradient, the smoothest first.
        unexplained: Mean squared error over the variance of the values, 1 for the best constant.
        baseline: The run to hold it to.
    """

    run: RunEntry
    sampler: str
    rate: float
    xi: float | None = None
    products: str | None = None
    floor_db: float | None = None
    leverage: Leverage | None = None
    staleness: Staleness | None = None
    errors: list[float] | None = None
    unexplained: float | None = None
    baseline: RunEntry | None = None


def diagnose(facts: Facts) -> list[Diagnosis]:
    """Go through all rules.

    Args:
        facts: What is known of a run.

    Returns:
        What each says, those that do not apply included.
    """
    return [rule(facts) for rule in _RULES]


def _said(
    rule: str, finding: Finding, says: str, advice: str | None = None, /, **numbers: float
) -> Diagnosis:
    return Diagnosis(rule=rule, finding=finding, says=says, numbers=numbers, advice=advice)


def _learning(facts: Facts) -> Diagnosis:
    """A network that has collapsed, or not yet begun, predicts about the mean."""
    name, left = "learning", facts.unexplained
    if left is None:
        return _said(name, "unknown", "the error over the variance of the values is not known")
    if left < _UNLEARNT:
        return _said(name, "ok", "it is better than any constant", None, unexplained=left)
    return _said(
        name,
        "warning",
        "it is hardly better than the mean of its values, if at all",
        f"optimiser.lr={facts.rate / 4:g}, for at too high a rate a network becomes a constant; "
        "then more steps",
        unexplained=left,
    )


def _stagnation(facts: Facts) -> Diagnosis:
    """Early on a guided run should rise at least as fast as any other."""
    name, curve = "early progress", facts.run.curve
    values = [value for value in curve.value if value is not None]
    if facts.unexplained is not None and facts.unexplained >= _UNLEARNT:
        return _said(name, "unknown", "a fit that learns nothing has no progress to judge")
    if len(values) < 4:
        return _said(name, "unknown", "there are fewer than four evaluations to judge by")
    early = values[max(1, len(values) // 4)] - values[0]
    later = values[-1] - values[0]
    share = _sampler_share(facts.run)
    numbers = {"rise_in_the_first_quarter": early, "rise_in_all": later, "sampler_share": share}
    if later <= 0:
        return _said(
            name,
            "warning",
            "it ends no higher than it was at its first evaluation",
            "another optimiser.lr: a higher one where the loss stands still, a lower one where it "
            "jumps; or an earlier evaluation, where all was gained before the first",
            **numbers,
        )
    if early >= 0.25 * later:
        return _said(name, "ok", "the first quarter has its part of the rise", None, **numbers)
    if facts.sampler not in _UNGUIDED and share < 0.01:
        return _said(
            name,
            "warning",
            "hardly anything is gained in the first quarter, and the sampler took no time",
            _SCORING.get(facts.sampler, "see in selection.png where it trains"),
            **numbers,
        )
    return _said(
        name,
        "warning",
        "less than a quarter of the rise is in the first quarter",
        "a higher optimiser.lr or a shorter warm-up; a guided run may start guidance later",
        **numbers,
    )


def _edges(facts: Facts) -> Diagnosis:
    name = "edges"
    if facts.errors is None or facts.errors[4] <= 0:
        return _said(name, "unknown", "the error by local gradient is not known")
    ratio = facts.errors[9] / facts.errors[4]
    numbers = {"error_on_edges_over_the_middle": ratio}
    if ratio < _EDGE:
        return _said(
            name, "ok", "the steepest tenth is fitted about as well as others", None, **numbers
        )
    if facts.xi is not None and facts.xi > 0.5:
        return _said(
            name,
            "warning",
            f"the steepest tenth is fitted {ratio:.0f} times worse than the middle",
            f"a smaller nint.xi than {facts.xi:g} leaves more of each batch to what is hard",
            **numbers,
        )
    return _said(
        name,
        "warning",
        f"the steepest tenth is fitted {ratio:.0f} times worse than the middle",
        "more steps, a wider field, or higher frequencies in its first layer",
        **numbers,
    )


def _cost(facts: Facts) -> Diagnosis:
    name, share = "cost of scoring", _sampler_share(facts.run)
    numbers = {"sampler_share": share}
    ahead = None
    if facts.baseline is not None:
        ahead = _ahead_at_equal_time(facts.run.curve, facts.baseline.curve)
    if ahead is not None:
        numbers["ahead_of_baseline_at_equal_time"] = ahead
        if ahead < 0:
            return _said(
                name,
                "warning",
                f"at equal training time it is {-ahead:.2f} behind the baseline",
                _CHEAPER.get(facts.sampler, "sampler uniform, or another"),
                **numbers,
            )
        return _said(name, "ok", "at equal time it is not behind the baseline", None, **numbers)
    if share > _COSTLY:
        return _said(
            name,
            "warning",
            f"choosing takes {100 * share:.0f} % of the training time; --baseline RUN tells "
            "whether that pays",
            _CHEAPER.get(facts.sampler, "sampler uniform, or another"),
            **numbers,
        )
    return _said(
        name, "ok", "choosing takes the lesser part of the training time", None, **numbers
    )


def _diagonal(facts: Facts) -> Diagnosis:
    name = "self-leverage"
    if facts.leverage is None:
        return _said(name, "unknown", "the kernel's diagonal was not computed")
    spread = facts.leverage.variation
    if spread >= _EVEN:
        return _said(name, "ok", "self-leverage differs from point to point", variation=spread)
    return _said(
        name,
        "warning",
        "self-leverage is nearly the same at all points, so it can give no advantage",
        "rank by residual (sampler int, or nint.min_share=1); scores differ by coupling alone",
        variation=spread,
    )


def _staleness(facts: Facts) -> Diagnosis:
    name, found = "stale scores", facts.staleness
    if found is None or found.spearman[-1] is None:
        return _said(name, "unknown", "how scores change was not computed")
    rank = found.spearman[-1]
    numbers = {"rank_correlation": rank, "steps": float(found.lags[-1])}
    if rank >= _STALE:
        return _said(name, "ok", "scores last until they are computed again", None, **numbers)
    return _said(
        name,
        "warning",
        f"after {found.lags[-1]} steps the ranking by score is another one",
        "a smaller nint.alpha, if scores are to count at all",
        **numbers,
    )


def _divergence(facts: Facts) -> Diagnosis:
    name, rescues = "divergence", facts.run.rescues
    if facts.run.status == "diverged":
        return _said(
            name,
            "warning",
            "the fit diverged for good; what is left of it is the last good state",
            f"optimiser.lr={facts.rate / 2 ** (rescues + 1):g} from the start, with "
            "optimiser.rescue=true",
            rescues=rescues,
        )
    if rescues == 0:
        return _said(name, "ok", "the fit never diverged", rescues=0)
    return _said(
        name,
        "warning",
        f"the fit diverged and went back {rescues} time(s), each with half the learning rate",
        f"optimiser.lr={facts.rate / 2**rescues:g} from the start",
        rescues=rescues,
    )


def _precision(facts: Facts) -> Diagnosis:
    name, best = "precision", facts.run.best
    floor = facts.floor_db
    if facts.products is None or best is None or facts.run.figures.get("psnr_db") is None:
        return _said(name, "ok", "nothing is known to limit it")
    if facts.products != "bfloat16" or floor is None or best < floor - _NEAR_DB:
        return _said(name, "ok", "its products are exact enough for where it is", best=best)
    return _said(
        name,
        "warning",
        f"products in bfloat16 end near {floor:g} dB",
        "--precision auto or full, where higher is wanted",
        best=best,
        floor=floor,
    )


def _sampler_share(run: RunEntry) -> float:
    return (run.sampler_s or 0.0) / run.train_s if run.train_s else 0.0


def _ahead_at_equal_time(ours: Curve, theirs: Curve) -> float | None:
    if not ours.train_s or not theirs.train_s:
        return None
    seconds = min(ours.train_s[-1], theirs.train_s[-1])
    mine, other = at_time(ours, seconds), at_time(theirs, seconds)
    return None if mine is None or other is None else mine - other


_RULES: tuple[Callable[[Facts], Diagnosis], ...] = (
    _learning,
    _stagnation,
    _edges,
    _cost,
    _diagonal,
    _staleness,
    _divergence,
    _precision,
)
