"""The page as a whole, from a comparison and the folders of its runs."""

import base64
import hashlib
from collections.abc import Iterable
from pathlib import Path

from nint_cli.comparison.page import figures, gallery, methods
from nint_cli.comparison.page.template import environment
from nint_cli.comparison.record import Comparison, RunEntry, Summary
from nint_cli.comparison.table import overall
from nint_cli.metrics.text import shown
from nint_cli.modalities.table import label

_VERSIONS = {
    "python": "Python",
    "torch": "PyTorch",
    "numpy": "NumPy",
    "platform": "platform",
    "device": "device",
    "device_name": "device name",
    "threads": "threads",
    "products": "matrix products of training",
}


def render(comparison: Comparison, root: Path) -> str:
    """Write report.html.

    Args:
        comparison: What compare.json says; every figure on the page is one of it.
        root: The folder of the report, which relative run folders are relative to.

    Returns:
        A page that needs no other file and no network, and of which only the sliders and tabs
        need its script. The same comparison and folders give the same page.
    """
    templates = environment()
    assert templates.loader is not None
    script, *_ = templates.loader.get_source(templates, "page.js")
    return templates.get_template("report.html.j2").render(
        title=_title(comparison),
        policy=_policy(script),
        verdict=verdict(comparison),
        compared=_compared(comparison),
        notes=comparison.notes,
        summaries=figures.summary_tables(comparison),
        plots=figures.plots(comparison),
        targets=figures.target_tables(comparison),
        gallery=gallery.gallery(comparison, root),
        tuning=methods.tuning(comparison),
        variants=methods.variant_table(comparison),
        runs=methods.run_table(comparison),
        incomplete=sum(run.status != "complete" for run in comparison.runs),
        versions=sorted({run.nint_version for run in comparison.runs if run.nint_version}),
        version=comparison.nint_version,
        commands=_commands(comparison),
        machines=_machines(comparison.runs),
    )


def _title(comparison: Comparison) -> str:
    names = ", ".join(entry.name for entry in comparison.inputs)
    return f"{', '.join(each.name for each in comparison.variants)} on {names}"


def _policy(script: str) -> str:
    """Allow what is on the page, and no script but its own."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )


def verdict(comparison: Comparison) -> str:
    """Say in a few sentences what came out, and what is out of the account.

    Args:
        comparison: The comparison.

    Returns:
        Plain text.
    """
    figure = comparison.headline
    found = [each for each in overall(comparison) if each.value.mean is not None]
    if not found:
        return f"No run has a result that can be compared.{_left_out(comparison)}"
    best = max(found, key=lambda each: (each.value.mean or 0.0, each.variant))
    reached = f"{label(figure)} {shown(figure, best.value.mean)}"
    rival = best
    if best.variant == comparison.baseline:
        others = [each for each in found if each is not best]
        if not others:
            return f"{best.variant} alone has a result: {reached}.{_left_out(comparison)}"
        rival = max(others, key=lambda each: each.value.mean or 0.0)
        first = f"{best.variant}, the baseline, ends highest: {reached}."
    else:
        first = f"{best.variant} ends highest: {reached}."
    return _margin(first, rival, figure, comparison.baseline) + _left_out(comparison)


def _left_out(comparison: Comparison) -> str:
    """Say how many runs no mean contains."""
    said = ""
    for variant in comparison.variants:
        runs = [run for run in comparison.runs if run.variant == variant.name]
        exact = sum(run.exact for run in runs)
        broken = sum(run.status in {"diverged", "interrupted"} for run in runs)
        lost = sum(run.status in {"failed", "missing"} for run in runs)
        if exact:
            said += (
                f" {variant.name} is exact in {exact} of {len(runs)} runs, which no mean holds."
            )
        if broken:
            said += (
                f" {variant.name} broke off in {broken} of {len(runs)} runs, which no mean has."
            )
        if lost:
            said += f" {variant.name} has no result in {lost} of {len(runs)} runs."
    return said


def _margin(text: str, summary: Summary, figure: str, baseline: str) -> str:
    gain = summary.gain
    if gain is None:
        return text
    form = ".2f" if figure.endswith("_db") else ".4f"
    unit = " dB" if figure.endswith("_db") else ""
    where = "above" if gain.value >= 0 else "below"
    apart = f"{summary.variant} is {abs(gain.value):{form}}{unit} {where} {baseline}"
    if gain.low is None or gain.high is None:
        return f"{text} {apart}, over {gain.over}, which leaves chance out of account."
    interval = f"95 % interval of the difference {gain.low:+{form}} to {gain.high:+{form}}{unit}"
    if gain.low <= 0 <= gain.high:
        return f"{text} But no clear difference: {apart}, {interval}, over {gain.over}."
    return f"{text} {apart}, {interval}, over {gain.over}."


def _compared(comparison: Comparison) -> str:
    """Say what was compared."""
    inputs = ", ".join(f"{entry.name} ({entry.described})" for entry in comparison.inputs)
    seeds = sorted({run.seed for run in comparison.runs})
    tuned = ", each at its own best learning rate" if comparison.tuned else ""
    return (
        f"{len(comparison.variants)} variants{tuned} on {inputs}, "
        f"{'seed' if len(seeds) == 1 else 'seeds'} {', '.join(map(str, seeds))}. "
        f"Baseline: {comparison.baseline}."
    )


def _commands(comparison: Comparison) -> list[str]:
    """List the lines of the commands that make all of this again; a name may have several."""
    commands = [comparison.command, *(run.command for run in comparison.runs)]
    return "\n".join(filter(None, commands)).split("\n") if any(commands) else []


def _machines(runs: Iterable[RunEntry]) -> list[tuple[tuple[str, str], ...]]:
    """Say what runs were made with, once where it is the same."""
    return list(
        dict.fromkeys(
            tuple(
                (_VERSIONS[key], "float32" if key == "products" and value is None else str(value))
                for key, value in run.environment.items()
                if key in _VERSIONS
            )
            for run in runs
            if run.environment
        )
    )
