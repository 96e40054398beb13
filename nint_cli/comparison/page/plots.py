"""Plots of quality against what it costs, as SVG that takes the page's own colours."""

import io
import re
import warnings
from collections.abc import Sequence
from textwrap import fill
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from nint_cli.comparison.page.template import visible
from nint_cli.comparison.record import Curve, RunEntry

# Okabe and Ito's palette, less its yellow and black, which are hard to see on white or on dark.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#7f7f7f")
_DASHES: tuple[tuple[float, ...], ...] = ((), (5, 2), (1, 1.5), (6, 2, 1, 2))
_LEGEND_WIDTH = 44  # letters of a line; longer ones would leave the curves no room
_INK = "#010203"  # replaced by the colour of the page's text

# Text stays text, and names are no formulas.
_SETTINGS: Any = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.family": "sans-serif",
    "font.size": 10.0,
}

AXES = {"train_s": "training time, s", "step": "steps", "passes": "full forward passes"}
"""What quality is drawn against, by key of `Curve`."""


def style(index: int) -> tuple[str, tuple[float, ...]]:
    """Give a variant's colour and dashes, which differ from those of any other.

    Args:
        index: The variant's number.
    """
    return COLOURS[index % len(COLOURS)], _DASHES[(index // len(COLOURS) + index) % len(_DASHES)]


def quality_plot(
    runs: Sequence[RunEntry], variants: Sequence[str], against: str, figure_label: str, name: str
) -> str:
    """Draw the quality of runs on one input: the mean over seeds, in the band of all of them.

    Args:
        runs: The runs.
        variants: Names, in order.
        against: A key of `AXES`.
        figure_label: Name and unit of the quality.
        name: Unique on the page, as are then the names of the plot's parts.

    Returns:
        An ``<svg>`` element, the same for the same runs. Empty where there is nothing to draw.
    """
    with mpl.rc_context(_SETTINGS | {"svg.hashsalt": name}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # a browser has others
        return _quality_plot(runs, variants, against, figure_label)


def _quality_plot(
    runs: Sequence[RunEntry], variants: Sequence[str], against: str, figure_label: str
) -> str:
    figure = Figure(figsize=(5.6, 3.4), layout="constrained")
    FigureCanvasSVG(figure)
    axes = figure.add_subplot()
    drawn = False
    for index, variant in enumerate(variants):
        curves = [run.curve for run in runs if run.variant == variant and run.curve.step]
        band = _band(curves, against)
        if band is None:
            continue
        drawn = True
        x, low, mean, high = band
        colour, dashes = style(index)
        axes.plot(
            x,
            mean,
            color=colour,
            dashes=dashes or (None, None),
            lw=1.8,
            label=f" {fill(visible(variant), _LEGEND_WIDTH)}",
        )
        if len(curves) > 1:
            axes.fill_between(x, low, high, color=colour, alpha=0.18, lw=0)
    if not drawn:
        return ""
    axes.set_xlabel(AXES[against])
    axes.set_ylabel(figure_label)
    axes.set_xlim(left=0)
    axes.grid(visible=True, color=_INK, alpha=0.12, lw=0.6)
    axes.legend(frameon=False, labelcolor=_INK)
    _ink(figure)
    return _svg(figure)


def _band(
    curves: Sequence[Curve], against: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray] | None:
    """Give places, and the least, mean and greatest value there.

    Curves that were evaluated after the same steps are taken evaluation by evaluation; others
    where all of them have a value, between evaluations by a straight line.
    """
    lines = []
    for curve in curves:
        xs = getattr(curve, against)
        pairs = [(x, y) for x, y in zip(xs, curve.value, strict=True) if y is not None]
        if pairs:
            lines.append(np.asarray(pairs, np.float64))
    if not lines:
        return None
    if len({tuple(curve.step) for curve in curves}) == 1 and len(set(map(len, lines))) == 1:
        x, values = np.stack(lines).transpose(2, 0, 1)
        return x.mean(axis=0), values.min(axis=0), values.mean(axis=0), values.max(axis=0)
    start, end = max(line[0, 0] for line in lines), min(line[-1, 0] for line in lines)
    x = np.unique(np.concatenate([line[:, 0] for line in lines]))
    x = x[(x >= start) & (x <= end)]
    if len(x) == 0:
        return None
    values = np.stack([np.interp(x, line[:, 0], line[:, 1]) for line in lines])
    return x, values.min(axis=0), values.mean(axis=0), values.max(axis=0)


def _ink(figure: Figure) -> None:
    figure.patch.set_alpha(0)
    for axes in figure.axes:
        axes.patch.set_alpha(0)
        axes.tick_params(colors=_INK)
        for part in (axes.xaxis.label, axes.yaxis.label):
            part.set_color(_INK)
        for spine in axes.spines.values():
            spine.set_edgecolor(_INK)
        axes.spines[["top", "right"]].set_visible(False)


def _svg(figure: Figure) -> str:
    """Write a figure as an element of a page."""
    file = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(file, format="svg", metadata=nothing)
    text = file.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'<g id="[^"]*"', "<g", text)  # nothing refers to these
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text)
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text)
    text = re.sub(r"font: ([^;\"]*?)'[^;\"]*", r"font: \1sans-serif", text)
    return text.replace(_INK, "currentColor")
