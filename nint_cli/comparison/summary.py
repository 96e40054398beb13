"""From runs to a comparison: figures over seeds and inputs, and what they say of the baseline."""

import math
from collections.abc import Callable, Iterable, Sequence

from nint_cli.comparison.reading import target_key, with_targets
from nint_cli.comparison.record import (
    Comparison,
    InputEntry,
    RunEntry,
    Summary,
    TargetSummary,
    VariantEntry,
)
from nint_cli.comparison.statistics import Pairs, at_time, mean_difference, speed_up, spread
from nint_cli.modalities.table import all_targets

_MOST_TARGETS = 4


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
    wanted = sorted(set(default_targets(headline, runs) if targets is None else targets))
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


class _Summariser:
    """Sums up a variant, beside the baseline."""

    def __init__(self, runs: Sequence[RunEntry], baseline: str, targets: Sequence[float]) -> None:
        self._runs = {(run.input, run.seed, run.variant): run for run in runs}
        self._baseline = baseline
        self._targets = targets
        times: dict[str, float] = {}
        for run in runs:
            if run.curve.train_s:
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
        return Summary(
            input=name,
            variant=variant,
            value=spread([run.value for run in mine]),
            best=spread([run.best for run in mine]),
            train_s=spread([run.train_s for run in mine]),
            passes=spread([run.passes for run in mine]),
            equal_time_s=None if name is None else self._equal_s.get(name),
            at_equal_time=spread([self._at_equal_time(run) for run in mine]),
            gain=None if own else mean_difference(self._pairs(name, mine, lambda run: run.value)),
            gain_at_equal_time=None
            if own
            else mean_difference(self._pairs(name, mine, self._at_equal_time)),
            to_target={
                target_key(t): self._to_target(name, mine, t, own=own) for t in self._targets
            },
        )

    def _at_equal_time(self, run: RunEntry) -> float | None:
        seconds = self._equal_s.get(run.input)
        return None if seconds is None else at_time(run.curve, seconds)

    def _pairs(
        self,
        name: str | None,
        mine: Iterable[RunEntry],
        figure: Callable[[RunEntry], float | None],
    ) -> list[Pairs]:
        """Pair each run with the baseline's on the same input with the same seed.

        Seeds of one input are groups of their own. Where all inputs are summed up, the seeds of
        each are one group: they say how sure its mean is, and nothing of other inputs.
        """
        found: dict[str | int, list[tuple[float, float]]] = {}
        for run in mine:
            other = self._runs.get((run.input, run.seed, self._baseline))
            ours, theirs = figure(run), None if other is None else figure(other)
            if ours is not None and theirs is not None:
                group = run.input if name is None else run.seed
                found.setdefault(group, []).append((ours, theirs))
        return list(found.values())

    def _to_target(
        self, name: str | None, mine: Sequence[RunEntry], target: float, *, own: bool
    ) -> TargetSummary:
        key = target_key(target)
        costs = [run.to_target[key] for run in mine]

        def seconds(run: RunEntry) -> float | None:
            cost = run.to_target[key]
            return None if cost is None else cost.train_s

        def passes(run: RunEntry) -> float | None:
            cost = run.to_target[key]
            return None if cost is None else cost.passes

        return TargetSummary(
            reached=sum(cost is not None for cost in costs),
            of=len(costs),
            train_s=spread([seconds(run) for run in mine]),
            passes=spread([passes(run) for run in mine]),
            speedup_train_s=None if own else speed_up(self._pairs(name, mine, seconds)),
            speedup_passes=None if own else speed_up(self._pairs(name, mine, passes)),
        )


def _notes(runs: Iterable[RunEntry]) -> list[str]:
    """Say what of the runs is out of the ordinary."""
    found = []
    for run in runs:
        what = f"{run.variant} on {run.input}, seed {run.seed}"
        if run.status in {"failed", "missing"}:
            found.append(f"{what}: no result ({run.error or 'it was not run'})")
        elif run.status != "complete":
            found.append(f"{what}: {run.status} after {run.steps} steps")
        if run.exact:
            found.append(f"{what}: exact, which no mean can hold")
    return found
