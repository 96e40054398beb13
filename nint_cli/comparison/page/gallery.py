"""What there is to see and to hear: a part of the page for each of the first inputs."""

from collections.abc import Mapping
from pathlib import Path

from nint_cli.comparison.page import media
from nint_cli.comparison.page.markup import escape, tabs
from nint_cli.comparison.record import Comparison, RunEntry
from nint_cli.pictures.palette import SLOT_COLOURS
from nint_cli.report import label, shown

MOST_INPUTS = 6
"""How many inputs have pictures or sounds on the page."""

MOST_CHARACTERS = 24 << 20
"""An input is shown only while those before it take less than this, data URIs included."""

_SLOT_NAMES = {
    "ntk": "chosen by NTK score",
    "residual": "by residual",
    "uniform": "at random",
    "full": "all points",
    "mutant": "at random",
    "edge": "edges",
    "anchor": "anchors",
    "survivor": "survivors of a ranking",
    "mined": "mined",
}
_SMALL = 256  # pixels of the longest side
_LEAST_WIDTH = 384


def gallery(comparison: Comparison, root: Path) -> str:
    """Show the first seed's result of every variant, for the first few inputs.

    Args:
        comparison: The comparison.
        root: The folder that run folders are relative to.

    Returns:
        A part of the page; empty where no run has a result.
    """
    parts = {"image": _pictures, "audio": _sounds, "sdf": _shapes}
    found: list[str] = []
    entries = comparison.inputs[:MOST_INPUTS]
    for number, entry in enumerate(entries):
        if sum(map(len, found)) > MOST_CHARACTERS:
            entries = entries[:number]
            break
        runs = _first_seed(comparison, entry.name)
        content = parts[comparison.modality](comparison, runs, root, number) if runs else ""
        found.append(f"<h3>{escape(entry.name)}</h3>{content}{_absent(comparison, runs, content)}")
    seed = min((run.seed for run in comparison.runs), default=0)
    left = len(comparison.inputs) - len(entries)
    more = f" {left} more input{'s' * (left > 1)} left out here, to keep the page small."
    lead = f'<p class="soft">Runs of seed {seed}.{more if left else ""}</p>'
    return "<h2>Results to look at</h2>" + lead + "".join(found)


def _absent(comparison: Comparison, runs: Mapping[str, RunEntry], content: str) -> str:
    """Say of which variants there is nothing to show."""
    if runs and not content:
        return '<p class="soft">The run folders hold nothing that can be shown.</p>'
    names = ", ".join(each.name for each in comparison.variants if each.name not in runs)
    if not names:
        return ""
    return f'<p class="soft">Nothing of {escape(names)}: that run has no result.</p>'


def _first_seed(comparison: Comparison, name: str) -> dict[str, RunEntry]:
    """Give a run with a result for each variant, of the first seed."""
    seed = min(run.seed for run in comparison.runs)
    return {
        run.variant: run
        for run in comparison.runs
        if run.input == name and run.seed == seed and run.status not in {"missing", "failed"}
    }


def _title(comparison: Comparison, run: RunEntry) -> str:
    value = "exact" if run.exact else shown(comparison.headline, run.value)
    return f"{run.variant}, {label(comparison.headline)} {value}"


def _pictures(
    comparison: Comparison, runs: Mapping[str, RunEntry], root: Path, number: int
) -> str:
    found = media.pictures(runs, root)
    if found is None:
        return ""
    width, height = found.size
    panels = [
        (escape(name), _slider(found, name, _title(comparison, runs[name])))
        for name in found.reconstructions
    ]
    text = tabs(f"fit{number}", panels, "Whose reconstruction is shown")
    if found.original is not None:  # once for all sliders
        text = f'<div style="--original:url({found.original})">{text}</div>'
    if found.why_not is not None:
        text += f'<p class="soft">No original and no error maps: {escape(found.why_not)}.</p>'
    if found.shrunk:
        text += f'<p class="soft">Shown at {width}x{height} pixels, smaller than they are.</p>'
    return text + _errors(found) + _selections(found.selections)


def _slider(found: media.Pictures, name: str, title: str) -> str:
    """Show the original over a reconstruction, as far as a slider says."""
    uri = found.reconstructions[name]
    fit = _image(found, uri, f"Reconstruction by {title}")
    if found.original is None:
        return f"<figure>{fit}</figure>"
    kind = " pixels" if max(found.size) < _SMALL else ""
    above = f'<div class="above{kind}" role="img" aria-label="Original"></div>'
    box = max(found.size[0], _LEAST_WIDTH)
    return (
        f'<div class="slider" style="width:{box}px"><div class="frame">{fit}{above}</div><label>'
        f'<span class="ends soft"><span>original</span><span>{escape(title)}</span></span>'
        '<input type="range" min="0" max="100" value="50" '
        f'aria-label="Share of the original that is shown over {escape(name)}"></label></div>'
    )


def _image(found: media.Pictures, uri: str, alt: str) -> str:
    """Write a picture; a small one keeps its pixels sharp."""
    width, height = found.size
    kind = ' class="pixels"' if max(found.size) < _SMALL else ""
    return f'<img{kind} src="{uri}" alt="{escape(alt)}" width="{width}" height="{height}">'


def _errors(found: media.Pictures) -> str:
    if not found.errors:
        return ""
    maps = "".join(
        f'<figure class="wide">{_image(found, uri, f"Error map of {name}")}'
        f"<figcaption>{escape(name)}</figcaption></figure>"
        for name, uri in found.errors.items()
    )
    scale = (
        f'<p class="soft">0 <img class="bar" src="{media.heat_bar()}" alt="from black to white"> '
        f"{found.largest_error:.4f} and more</p>"
    )
    title = "Mean absolute error of each pixel, values in [0, 1], all on one scale"
    return f'<h4>{title}</h4>{scale}<div class="side">{maps}</div>'


def _selections(selections: Mapping[str, list[tuple[int, str]]]) -> str:
    if not selections:
        return ""
    rows = []
    for name, maps in selections.items():
        figures = "".join(
            f'<figure class="wide"><img class="pixels" src="{uri}" '
            f'alt="{escape(f"What step {step} of {name} was trained on")}">'
            f"<figcaption>step {step}</figcaption></figure>"
            for step, uri in maps
        )
        rows.append(f'<h5>{escape(name)}</h5><div class="maps">{figures}</div>')
    return (
        "<h4>What single steps were trained on</h4>"
        f'<p class="soft keys">{_colour_keys()}</p>' + "".join(rows)
    )


def _colour_keys() -> str:
    """Say what the colours of selections mean."""
    names: dict[tuple[int, int, int], list[str]] = {}
    for slot, colour in SLOT_COLOURS.items():
        names.setdefault(colour, []).append(_SLOT_NAMES.get(slot, slot))
    return "".join(
        f'<span><i class="swatch" style="background:rgb{colour}"></i>'
        f"{escape(' or '.join(dict.fromkeys(each)))}</span> "
        for colour, each in names.items()
    )


def _sounds(comparison: Comparison, runs: Mapping[str, RunEntry], root: Path, number: int) -> str:
    found = media.sounds(runs, root)
    if found is None:
        return ""
    players = []
    if found.original is not None:
        players.append(("original", found.original))
    players += [(_title(comparison, runs[n]), uri) for n, uri in found.reconstructions.items()]
    text = "".join(
        f'<div><p>{escape(title)}</p><audio controls preload="none" src="{uri}" '
        f'aria-label="{escape(title)}"></audio></div>'
        for title, uri in players
    )
    text = f'<div class="sounds">{text}</div>'
    if found.why_not is not None:
        text += f'<p class="soft">No original: {escape(found.why_not)}.</p>'
    if found.changes:
        text += f'<p class="soft">Players hold {escape("; ".join(found.changes))}.</p>'
    text += _previews(found.pictures, f"view{number}", "Waveforms, error and spectrograms of")
    return text + _batches({name: runs[name] for name in found.reconstructions}, root, number)


def _shapes(comparison: Comparison, runs: Mapping[str, RunEntry], root: Path, number: int) -> str:
    titles = {_title(comparison, run): run for run in runs.values()}
    views = media.previews(titles, root)
    text = _previews(views, f"view{number}", "The shape, and the reconstruction by")
    return text + _batches(titles, root, number)


def _batches(runs: Mapping[str, RunEntry], root: Path, number: int) -> str:
    """Show the first and the last batch of runs on a sound or a shape."""
    found = media.previews(runs, root, "selection.png")
    if not found:
        return ""
    pictures = _previews(found, f"batch{number}", "First and last batch of")
    return f"<h4>What the first and the last step were trained on</h4>{pictures}"


def _previews(found: Mapping[str, str], name_of_tabs: str, what: str) -> str:
    panels = [
        (
            escape(name),
            f'<figure><img src="{uri}" alt="{escape(f"{what} {name}")}"></figure>',
        )
        for name, uri in found.items()
    ]
    return tabs(name_of_tabs, panels, "Whose result is shown") if panels else ""
