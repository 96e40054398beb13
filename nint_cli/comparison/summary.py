"""From runs to a comparison: figures over seeds and inputs, and what they say of the baseline."""

import math
from collections.abc import Callable, Iterable, Sequence

from nint_cli.comparison.comparable import mixed_samples
from nint_cli.comparison.reading import target_key, with_targets
from nint_cli.comparison.record import (
    Comparison,
    Cost,
    InputEntry,
    Interval,
    RunEntry,
    Spread,
    Summary,
    TargetSummary,
    VariantEntry,
)
from nint_cli.comparison.statistics import (
    Independent,
    Pairs,
    at_time,
    mean_difference,
    speed_up,
    spread,
)
from nint_cli.modalities.table import all_targets

_MOST_TARGETS = 4

Figure = Callable[[RunEntry], float | None]


def default_baseline(variants: Sequence[str]) -> str:
    """Choose what others are compared with: full batches, else uniform ones, else the first.

    Args:
        variants: Names.
    """
    for wanted in ("full", "uniform"):
        if wanted in variants:
            return wanted
    return variants[0]


def default_targets(headline: str, runs: Iterable[RunEntry]) -> list[float]:
    """Choose targets that tell runs apart: round values that a run reached on its way.

    Args:
        headline: The figure.
        runs: All runs.

    Returns:
        The highest few that any run reached after its first evaluation, rising.
    """
    curves = [[v for v in run.curve.value if v is not None] for run in runs]
    first = min((curve[0] for curve in curves if curve), default=math.inf)
    most = max((max(curve) for curve in curves if curve), default=-math.inf)
    found = [float(value) for value in all_targets()[headline].marks if first < value <= most]
    return found[-_MOST_TARGETS:]


def compare(
    modality: str,
    headline: str,
    inputs: Sequence[InputEntry],
    variants: Sequence[VariantEntry],
    runs: Sequence[RunEntry],
    *,
    baseline: str,
    targets: Sequence[float] | None,
    nint_version: str,
    command: str | None = None,
    tuned: bool = False,
    notes: Sequence[str] = (),
) -> Comparison:
    """Sum up runs.

    Args:
        modality: Of all of them.
        headline: The figure to compare by.
        inputs: The signals.
        variants: The methods.
        runs: At most one for each input, variant and seed.
        baseline: Name of the variant that others are compared with.
        targets: Values of the headline; None chooses.
        nint_version: Of the report.
        command: What makes it again.
        tuned: Whether each variant has a learning rate of its own choice.
        notes: What a reader must know.

    Returns:
        What compare.json says.
    """
    runs = [run.model_copy(update={"left_out": left_out(run)}) for run in runs]
    counted = [run for run in runs if run.left_out is None]
    wanted = sorted(set(default_targets(headline, counted) if targets is None else targets))
    runs = [with_targets(run, wanted) for run in runs]
    summaries = [
        _Summariser(runs, baseline, wanted).summary(name, variant.name)
        for name in [*(entry.name for entry in inputs), *([None] if len(inputs) > 1 else [])]
        for variant in variants
    ]
    return Comparison(
        nint_version=nint_version,
        modality=modality,
        headline=headline,
        baseline=baseline,
        targets=wanted,
        command=command,
        tuned="lr" if tuned else None,
        notes=[*notes, *_notes(runs)],
        inputs=list(inputs),
        variants=list(variants),
        runs=runs,
        summaries=summaries,
    )


def left_out(run: RunEntry) -> str | None:
    """Return why a run is left out of means, pairs, equal times and targets.

    A run that diverged broke off early: its time would be the equal time of all others, and its
    figure is that of no whole run.

    Args:
        run: The run.

    Returns:
        The reason; None where the run counts.
    """
    if run.status == "complete":
        return None
    if run.status in {"failed", "missing"}:
        return f"no result ({run.error or 'it was not run'})"
    return f"{run.status} after {run.steps} step{'s' * (run.steps != 1)}"


class _Summariser:
    """Sums up a variant, beside the baseline."""

    def __init__(self, runs: Sequence[RunEntry], baseline: str, targets: Sequence[float]) -> None:
        self._runs = {(run.input, run.seed, run.variant): run for run in runs}
        self._baseline = baseline
        self._targets = targets
        times: dict[str, float] = {}
        for run in runs:
            if run.curve.train_s and run.left_out is None:
                times[run.input] = min(times.get(run.input, math.inf), run.curve.train_s[-1])
        self._equal_s = times

    def summary(self, name: str | None, variant: str) -> Summary:
        """Sum up a variant on an input, or on all."""
        mine = [
            run
            for (of, _, method), run in self._runs.items()
            if method == variant and name in {None, of}
        ]
        own = variant == self._baseline
        independent = _independent(name)

        def over(figure: Figure) -> Spread:
            return spread([figure(run) if run.left_out is None else None for run in mine])

        def ahead(figure: Figure) -> Interval | None:
            return None if own else mean_difference(self._pairs(name, mine, figure), independent)

        return Summary(
            input=name,
            variant=variant,
            value=over(lambda run: run.value),
            best=over(lambda run: run.best),
            train_s=over(lambda run: run.train_s),
            passes=over(lambda run: run.passes),
            equal_time_s=None if name is None else self._equal_s.get(name),
            at_equal_time=over(self._at_equal_time),
            gain=ahead(lambda run: run.value),
            gain_at_equal_time=ahead(self._at_equal_time),
            to_target={
                target_key(t): self._to_target(name, mine, t, own=own) for t in self._targets
            },
        )

    def _at_equal_time(self, run: RunEntry) -> float | None:
        seconds = self._equal_s.get(run.input)
        return None if seconds is None else at_time(run.curve, seconds)

    def _pairs(self, name: str | None, mine: Iterable[RunEntry], figure: Figure) -> list[Pairs]:
        """Pair each run with the baseline's on the same input with the same seed, if both count.

        Seeds of one input are groups of their own. Where all inputs are summed up, the seeds of
        each are one group: they say how sure its mean is, and nothing of other inputs.
        """
        found: dict[str | int, list[tuple[float, float]]] = {}
        for run in mine:
            other = self._runs.get((run.input, run.seed, self._baseline))
            if other is None or run.left_out is not None or other.left_out is not None:
                continue
            ours, theirs = figure(run), figure(other)
            if ours is not None and theirs is not None:
                group = run.input if name is None else run.seed
                found.setdefault(group, []).append((ours, theirs))
        return list(found.values())

    def _to_target(
        self, name: str | None, mine: Sequence[RunEntry], target: float, *, own: bool
    ) -> TargetSummary:
        key = target_key(target)
        counted = [run for run in mine if run.left_out is None]
        costs = [cost for run in counted if (cost := run.to_target[key]) is not None]

        def seconds(cost: Cost) -> float:
            return cost.train_s

        def passes(cost: Cost) -> float:
            return cost.passes

        def all_of(part: Callable[[Cost], float]) -> Spread:
            found = list(map(part, costs))
            return spread([*found, *[None] * (len(mine) - len(found))])

        def faster(part: Callable[[Cost], float]) -> Interval | None:
            def known(run: RunEntry) -> float | None:
                cost = run.to_target[key]
                return None if cost is None or cost.at_most else part(cost)

            return None if own else speed_up(self._pairs(name, mine, known), _independent(name))

        return TargetSummary(
            reached=len(costs),
            of=len(mine),
            at_most=sum(cost.at_most for cost in costs),
            train_s=all_of(seconds),
            passes=all_of(passes),
            speedup_train_s=faster(seconds),
            speedup_passes=faster(passes),
        )


def _independent(name: str | None) -> Independent:
    """Return what the independent values are: inputs, or the seeds of a single one."""
    return "input" if name is None else "seed"


def _notes(runs: Sequence[RunEntry]) -> list[str]:
    """Say what of the runs is out of the ordinary."""
    found = []
    for run in runs:
        what = f"{run.variant} on {run.input}, seed {run.seed}"
        if run.status in {"failed", "missing"}:
            found.append(f"{what}: {run.left_out}")
        elif run.left_out is not None:
            found.append(f"{what}: {run.left_out}; left out of means, equal time and targets")
        if run.exact:
            found.append(f"{what}: exact, which no mean can hold")
    mixed = mixed_samples(
        (f"{run.variant} on {run.input}, seed {run.seed},", run.input, run.measured_points)
        for run in runs
        if run.left_out is None
    )
    return [*found, mixed] if mixed else found
