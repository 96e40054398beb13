"""Pictures of sounds: how a reconstruction differs, and when the chosen coordinates are.

Legend: T samples per channel, C channels. Waveforms are (T, C), full scale is 1. Every picture is
drawn from so many columns as it has room for, however long the sound is; channels are drawn
together, as the range that they fill and the mean of their power.
"""

import io
import itertools
from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from numpy.typing import NDArray

from nint_cli.modalities.audio.metrics import padded_rows
from nint_cli.modalities.audio.signal import Rows, Waveform, difference
from nint_cli.samplers.base import Selection
from nint_cli.samplers.table import all_slots

_WIDTH, _DPI = 12, 100  # inches and pixels per inch
_COLUMNS = 1000
_BINS = 250
_ROWS = 256
_FLOOR_DB = 80
_WINDOW_S = 0.04
_NIGHT = "#141414"


def sound_picture(original: Rows, reconstruction: Rows, sample_rate_hz: int) -> bytes:
    """Draw a sound and its reconstruction above each other.

    Args:
        original: (T, C).
        reconstruction: (T, C).
        sample_rate_hz: Samples per second and channel.

    Returns:
        A PNG file: both waveforms on one scale, the error on its own, and both spectrograms on one
        scale of 80 dB below the loudest of the original.
    """
    figure = Figure(figsize=(_WIDTH, 10), dpi=_DPI, layout="constrained")
    axes = figure.subplots(5, 1, sharex=True, height_ratios=(1, 1, 0.8, 1.2, 1.2))
    error = difference(reconstruction, original)
    peak, error_peak = _peak(original, reconstruction), _peak(error)
    unit, factor = _time_unit(original.shape[0], sample_rate_hz)
    rate_hz = sample_rate_hz / factor
    _draw_waveform(axes[0], original, rate_hz, peak, "#0072b2")
    _draw_waveform(axes[1], reconstruction, rate_hz, peak, "#009e73")
    _draw_waveform(axes[2], error, rate_hz, error_peak, "#d55e00")
    axes[0].set_title(_title("original", original), loc="left")
    axes[1].set_title("reconstruction", loc="left")
    loudest = _peak(original)
    share = f", {100 * error_peak / loudest:.3g} % of the original's peak" if loudest else ""
    axes[2].set_title(
        f"error, up to {error_peak:.3g}{share}" if error_peak else "no error", loc="left"
    )
    for row in range(3):
        axes[row].set_ylabel("amplitude")
    spectra = [_spectrogram(waveform, sample_rate_hz) for waveform in (original, reconstruction)]
    top = float(spectra[0].max()) or 1.0
    for row, (name, power) in enumerate(
        zip(("original", "reconstruction"), spectra, strict=True), start=3
    ):
        image = _draw_spectrogram(
            axes[row], power / top, original.shape[0] / rate_hz, sample_rate_hz
        )
        axes[row].set_title(f"spectrogram of the {name}", loc="left")
    axes[4].set_xlabel(f"time / {unit}")
    figure.colorbar(
        image, ax=list(axes[3:]), label="power / dB of the loudest", pad=0.01, aspect=30
    )
    return _png(figure)


def selection_picture(
    waveform: Rows,
    selections: Mapping[str, Selection],
    steps: Mapping[str, int],
    sample_rate_hz: int,
) -> bytes:
    """Draw when the chosen coordinates are, one panel per selection.

    Args:
        waveform: (T, C), the sound that was fitted.
        selections: What was chosen, by panel; indices are samples.
        steps: The step of each panel, from 1.
        sample_rate_hz: Samples per second and channel.

    Returns:
        A PNG file: the waveform, and below it, per selection and on one scale, the share of its
        samples that was chosen, over time, by the slot that chose them.
    """
    figure = Figure(
        figsize=(_WIDTH, 2 + 2 * len(selections)), dpi=_DPI, layout="constrained", facecolor=_NIGHT
    )
    axes = figure.subplots(1 + len(selections), 1, sharex=True, squeeze=False)[:, 0]
    unit, factor = _time_unit(waveform.shape[0], sample_rate_hz)
    rate_hz = sample_rate_hz / factor
    _draw_waveform(axes[0], waveform, rate_hz, _peak(waveform), "#8a8a8a")
    axes[0].set_ylabel("amplitude")
    highest = 0.0
    for panel, (name, selection) in zip(axes[1:], selections.items(), strict=True):
        highest = max(highest, _draw_shares(panel, selection, waveform.shape[0], rate_hz))
        panel.set_title(f"step {steps[name]}", loc="left", color="white")
        panel.set_ylabel("share chosen")
    for panel in axes[1:]:
        panel.set_ylim(0, 1.05 * highest or 1)
    axes[-1].set_xlabel(f"time / {unit}")
    for one in axes:
        _darken(one)
    return _png(figure)


def _draw_waveform(axes: Axes, waveform: Rows, rate_hz: float, peak: float, colour: str) -> None:
    """Draw the range that all channels fill, by column."""
    edges, low, high = _ranges(waveform)
    axes.fill_between(
        edges / rate_hz,
        np.append(low, low[-1]),
        np.append(high, high[-1]),
        step="post",
        color=colour,
        linewidth=0.9,
    )
    axes.set_xlim(0, waveform.shape[0] / rate_hz)
    limit = 1.06 * peak or 1.0
    axes.set_ylim(-limit, limit)
    axes.set_axisbelow(True)
    axes.grid(visible=True, alpha=0.25)


def _ranges(waveform: Rows) -> tuple[NDArray[np.int64], Waveform, Waveform]:
    """Give the ends of the columns, and the range that all channels fill in each."""
    edges = _edges(waveform.shape[0], _COLUMNS)
    parts = (waveform[slice(*ends)] for ends in itertools.pairwise(edges.tolist()))
    ends = np.array([(part.min(), part.max()) for part in parts])
    return edges, ends[:, 0], ends[:, 1]


def _spectrogram(waveform: Rows, sample_rate_hz: int) -> NDArray[np.float64]:
    """Give the mean power of all channels (rows, columns), lowest frequency first."""
    length, channels = waveform.shape
    size = 1 << round(np.log2(np.clip(_WINDOW_S * sample_rate_hz, 64, 4096)))
    size = min(size, max(8, 1 << (length - 1).bit_length()))
    columns = max(1, min(_COLUMNS, length // (size // 4)))
    centres = ((np.arange(columns) + 0.5) * length / columns).astype(np.int64)
    window = np.hanning(size + 1)[:-1]
    frames = np.stack([padded_rows(waveform, at - size // 2, at + size // 2) for at in centres])
    total = np.zeros((columns, size // 2 + 1))
    for channel in range(channels):
        spectrum = np.fft.rfft(frames[..., channel] * window)
        total += np.square(spectrum.real) + np.square(spectrum.imag)
    rows = _edges(total.shape[1], _ROWS)
    return np.asarray(np.maximum.reduceat(total, rows[:-1], axis=1).T)


def _draw_spectrogram(
    axes: Axes, power: NDArray[np.float64], duration: float, sample_rate_hz: int
) -> AxesImage:
    highest_hz = sample_rate_hz / 2
    unit, factor = ("kHz", 1000) if highest_hz >= 2000 else ("Hz", 1)
    image = axes.imshow(
        10 * np.log10(np.maximum(power, 10 ** (-_FLOOR_DB / 10))),
        origin="lower",
        aspect="auto",
        extent=(0, duration, 0, highest_hz / factor),
        vmin=-_FLOOR_DB,
        vmax=0,
        cmap="magma",
    )
    axes.set_ylabel(f"frequency / {unit}")
    return image


def _draw_shares(axes: Axes, selection: Selection, count: int, rate_hz: float) -> float:
    """Stack the shares of the slots, by bin, and name them above; give the largest sum."""
    edges = _edges(count, _BINS)
    indices = selection.indices.cpu().numpy()
    base, start = np.zeros(len(edges) - 1), 0
    for slot, size in selection.slots:
        chosen = np.histogram(indices[start : start + size], bins=edges)[0]
        start += size
        top = base + chosen / np.diff(edges)
        colour = np.array(all_slots()[slot].colour) / 255
        label = f"{slot} {size:,}"
        axes.stairs(top, edges / rate_hz, baseline=base, fill=True, color=colour, label=label)
        base = top
    if selection.slots:
        axes.legend(
            loc="lower right",
            bbox_to_anchor=(1, 1),
            ncols=len(selection.slots),
            frameon=False,
            labelcolor="linecolor",
            borderaxespad=0.1,
        )
    return float(base.max())


def _darken(axes: Axes) -> None:
    axes.set_facecolor(_NIGHT)
    axes.tick_params(colors="white")
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set_color("white")
    for spine in axes.spines.values():
        spine.set_color("#606060")


def _edges(count: int, columns: int) -> NDArray[np.int64]:
    """Cut `count` points into at most `columns` runs of nearly equal length, by their ends."""
    columns = min(count, columns)
    return (np.arange(columns + 1) * count) // columns


def _time_unit(count: int, sample_rate_hz: int) -> tuple[str, float]:
    """Give the unit that suits a duration, and how many of it there are in a second."""
    return ("s", 1.0) if count >= 0.5 * sample_rate_hz else ("ms", 1000.0)


def _peak(*waveforms: Rows) -> float:
    return max(float(np.abs(ends).max()) for w in waveforms for ends in _ranges(w)[1:])


def _title(name: str, waveform: Rows) -> str:
    channels = waveform.shape[1]
    return name if channels == 1 else f"{name}, {channels} channels"


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
