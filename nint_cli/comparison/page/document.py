"""The page as a whole, from a comparison and the folders of its runs."""

import base64
import hashlib
from importlib import resources
from pathlib import Path

from nint_cli.comparison.page import figures, gallery, methods
from nint_cli.comparison.page.markup import escape
from nint_cli.comparison.record import Comparison, Summary
from nint_cli.comparison.table import overall
from nint_cli.report import label, shown

_VERSIONS = {
    "python": "Python",
    "torch": "PyTorch",
    "numpy": "NumPy",
    "platform": "platform",
    "device": "device",
    "device_name": "device name",
    "threads": "threads",
    "products": "matrix products of training",
    "filled_batch": "batches that fill the device",
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
    style, script = _resource("page.css"), _resource("page.js")
    names = ", ".join(entry.name for entry in comparison.inputs)
    title = f"{', '.join(v.name for v in comparison.variants)} on {names}"
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = (
        "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
    parts = [
        f"<h1>{escape(title)}</h1>",
        _lead(comparison),
        _notes(comparison),
        "<h2>Result</h2>",
        figures.summary_tables(comparison),
        "<h2>Quality against cost</h2>",
        figures.plots(comparison),
        figures.target_tables(comparison),
        gallery.gallery(comparison, root),
        methods.tuning(comparison),
        "<h2>What was run</h2>",
        methods.variant_table(comparison),
        methods.run_table(comparison),
        _origin(comparison),
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(part for part in parts if part)
        + f"\n</main>\n<script>{script}</script>\n</body>\n</html>\n"
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
        lost = sum(run.value is None and not run.exact for run in runs)
        if exact:
            said += (
                f" {variant.name} is exact in {exact} of {len(runs)} runs, which no mean holds."
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
        one = "by one pair of runs" if gain.pairs == 1 else "on one input"
        return f"{text} {apart}, {one}, which leaves chance out of account."
    interval = f"95 % interval of the difference {gain.low:+{form}} to {gain.high:+{form}}{unit}"
    if gain.low <= 0 <= gain.high:
        return f"{text} But no clear difference: {apart}, {interval}."
    over = f" on {gain.groups} inputs" if summary.input is None else ""
    return f"{text} {apart}, {interval}, {gain.pairs} pairs of runs{over}."


def _lead(comparison: Comparison) -> str:
    inputs = ", ".join(f"{entry.name} ({entry.described})" for entry in comparison.inputs)
    seeds = sorted({run.seed for run in comparison.runs})
    tuned = ", each at its own best learning rate" if comparison.tuned else ""
    what = (
        f"{len(comparison.variants)} variants{tuned} on {inputs}, "
        f"{'seed' if len(seeds) == 1 else 'seeds'} {', '.join(map(str, seeds))}. "
        f"Baseline: {comparison.baseline}."
    )
    return (
        f'<p class="verdict">{escape(verdict(comparison))}</p><p class="soft">{escape(what)}</p>'
    )


def _notes(comparison: Comparison) -> str:
    if not comparison.notes:
        return ""
    items = "".join(f"<li>{escape(note)}</li>" for note in comparison.notes)
    return f'<ul class="notes">{items}</ul>'


def _origin(comparison: Comparison) -> str:
    """Say how to make all of this again, and what it was made with."""
    commands = [comparison.command] if comparison.command else []
    commands += [run.command for run in comparison.runs if run.command]
    ran = {
        tuple(
            (_VERSIONS[key], "float32" if key == "products" and value is None else str(value))
            for key, value in run.environment.items()
            if key in _VERSIONS and not (key == "filled_batch" and value is None)
        ): None
        for run in comparison.runs
        if run.environment
    }
    lists = "".join(
        "<dl>" + "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in each) + "</dl>"
        for each in ran
    )
    versions = sorted({run.nint_version for run in comparison.runs if run.nint_version})
    shell = escape("\n".join(commands), lines=True)
    block = (
        f'<div class="copy"><button type="button">Copy</button><pre tabindex="0"><code>{shell}'
        "</code></pre></div>"
        if commands
        else ""
    )
    return (
        "<h2>How it was made</h2>"
        f"<p>nint {escape(', '.join(versions) or '-')}; report by nint "
        f"{escape(comparison.nint_version)}.</p>{block}{lists}"
    )


def _resource(name: str) -> str:
    found = resources.files("nint_cli.comparison.page").joinpath(name)
    return found.read_text(encoding="utf-8")
