"""What was found, as the rows of tables."""

from nint_cli.inspection.record import Inspection

Row = tuple[str, str]


def rows(found: Inspection) -> list[Row]:
    """Give the figures of the kernel, with the reason where there is none.

    Args:
        found: The evidence.
    """
    return [
        ("step", f"{found.step}, at {found.points:,} of {found.population:,} points"),
        ("self-leverage", _leverage(found)),
        ("with local gradient", _gradient(found)),
        *(
            (
                f"patch, {block.name}",
                f"off the diagonal {block.off_diagonal:.2f} of what is on it, effective rank "
                f"{block.effective_rank:.1f} of {block.side**2}",
            )
            for block in found.blocks
        ),
        ("coupling", _coupling(found)),
        ("stale scores", _staleness(found)),
        ("density", _density(found)),
    ]


def diagnosis_rows(found: Inspection) -> list[Row]:
    """Give what the rules say.

    Args:
        found: The evidence.
    """
    marks = {"ok": "ok", "warning": "look", "unknown": "-"}
    return [
        (
            f"{marks[each.finding]}: {each.rule}",
            each.says + (f"; try {each.advice}" if each.advice else ""),
        )
        for each in found.diagnoses
    ]


def _leverage(found: Inspection) -> str:
    if found.leverage is None:
        return f"- ({found.leverage_reason})"
    each = found.leverage
    return (
        f"mean {each.mean:.4g}, {each.least:.4g} to {each.greatest:.4g}, varies by "
        f"{100 * each.variation:.0f} %"
    )


def _gradient(found: Inspection) -> str:
    if found.gradient is None:
        return f"- ({found.gradient_reason})"
    return f"rank correlation {_number(found.gradient.spearman)}"


def _coupling(found: Inspection) -> str:
    if found.coupling is None:
        return f"- ({found.coupling_reason})"
    each = found.coupling
    return (
        f"{100 * each.share:.0f} % of a score is coupling; rank correlation with the own "
        f"part {_number(each.spearman)}, overlap of the top 20 % {each.overlap:.2f}"
    )


def _staleness(found: Inspection) -> str:
    if found.staleness is None:
        return f"- ({found.staleness_reason})"
    each = found.staleness
    pairs = zip(each.lags, each.spearman, strict=True)
    steps = ", ".join(f"{_number(rank)} after {lag}" for lag, rank in pairs)
    return f"rank correlation from step {each.from_step}: {steps}"


def _density(found: Inspection) -> str:
    if found.density is None:
        return f"- ({found.density_reason})"
    each = found.density
    return "; ".join(
        f"step {step}: {line[-1]:.2f} on the finest tenth, {line[0]:.2f} on the coarsest"
        for step, line in (
            (each.steps[0], each.deciles[0]),
            (each.steps[-1], each.deciles[-1]),
        )
    )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
