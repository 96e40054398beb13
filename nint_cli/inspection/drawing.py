"""Pictures of what was found, as PNG files."""

import io
from collections.abc import Mapping

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from nint_cli.inspection.record import Density

_DPI = 110


def leverage_picture(
    figures: NDArray[np.floating], shape: tuple[int, ...] | None, name: str = "self-leverage"
) -> bytes:
    """Draw a figure of the points, as a map where they make a grid, and its histogram.

    Args:
        figures: (M,).
        shape: Of the grid; None where there is none.
        name: What it is.
    """
    figure = Figure(figsize=(9, 3.8), dpi=_DPI, layout="constrained")
    where, histogram = figure.subplots(1, 2, width_ratios=(3, 2))
    if shape is not None and len(shape) == 2:
        top = float(np.percentile(figures, 99.5))
        image = where.imshow(figures.reshape(shape), cmap="magma", vmin=0, vmax=top or 1)
        figure.colorbar(image, ax=where, shrink=0.85)
        where.set_xticks([])
        where.set_yticks([])
    else:
        where.plot(figures if shape is not None else np.sort(figures), lw=0.7)
        where.set_xlabel("point" if shape is not None else "points, by rank")
    where.set_title(name)
    histogram.hist(figures.astype(np.float64), bins=60, range=_range(figures), color="#0072b2")
    histogram.set_xlabel(name)
    histogram.set_ylabel("points")
    return _png(figure)


def blocks_picture(kernels: Mapping[str, NDArray[np.floating]]) -> bytes:
    """Draw kernels of patches beside each other, on one scale (the paper's Figure 2).

    Args:
        kernels: (M, M) each, by what they are of.
    """
    figure = Figure(figsize=(4.4 * len(kernels), 4), dpi=_DPI, layout="constrained")
    axes = figure.subplots(1, len(kernels), squeeze=False)[0]
    top = max(float(np.abs(matrix).max()) for matrix in kernels.values()) or 1.0
    for each, (name, matrix) in zip(axes, kernels.items(), strict=True):
        image = each.imshow(matrix, cmap="RdBu_r", vmin=-top, vmax=top)
        each.set_title(name, fontsize=10)
        each.set_xticks([])
        each.set_yticks([])
    figure.colorbar(image, ax=list(axes), shrink=0.85, label="K, traced over channels")
    return _png(figure)


def density_picture(density: Density) -> bytes:
    """Draw where steps trained, by decile of a measure.

    Args:
        density: A line for each of its steps, the early ones dark.
    """
    figure = Figure(figsize=(6.4, 3.8), dpi=_DPI, layout="constrained")
    axes = figure.subplots()
    colours = np.linspace(0.1, 0.85, max(2, len(density.steps)))
    for step, line, colour in zip(density.steps, density.deciles, colours, strict=False):
        axes.plot(range(1, 11), line, marker="o", ms=3, color=str(colour), label=f"step {step}")
    axes.axhline(1, color="#d55e00", lw=0.8)
    axes.set_xlabel(f"tenth of the points by {density.measure}")
    axes.set_ylabel("density of what was trained on")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False, fontsize=8)
    return _png(figure)


def _range(figures: NDArray[np.floating]) -> tuple[float, float]:
    """Give a histogram's ends, apart even where all figures are alike."""
    low, high = float(figures.min()), float(figures.max())
    least = 1e-6 * max(abs(low), abs(high)) or 1.0
    return (low, high) if high - low > least else (low - least, high + least)


def _png(figure: Figure) -> bytes:
    FigureCanvasAgg(figure)
    file = io.BytesIO()
    figure.savefig(file, format="png", metadata={"Software": None})
    return file.getvalue()
