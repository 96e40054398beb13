"""What there is to see and to hear: a part of the page for each of the first inputs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from nint_cli.comparison.page import media
from nint_cli.comparison.record import Comparison, RunEntry
from nint_cli.metrics.text import shown
from nint_cli.modalities.table import MODALITIES, label
from nint_cli.samplers.table import SAMPLERS, sampler_class

MOST_INPUTS = 6
"""How many inputs have pictures or sounds on the page."""

MOST_CHARACTERS = 24 << 20
"""An input is shown only while the data URIs of those before it take less than this."""

_SMALL = 256  # pixels of the longest side
_LEAST_WIDTH = 384


@dataclass(frozen=True)
class Entry:
    """What is shown of the runs on one input.

    Attributes:
        number: Of the input, from 0.
        name: Of the input.
        titles: By variant, its name with its result.
        pictures: What there is of a picture.
        sounds: What there is of a sound.
        views: Data URIs of pictures of a sound or a shape, by variant or title.
        view: What these are, before the name.
        batches: Data URIs of the first and last batch, in the same way.
        lack: What cannot be shown, and why.
    """

    number: int
    name: str
    titles: Mapping[str, str]
    pictures: media.Pictures | None = None
    sounds: media.Sounds | None = None
    views: Mapping[str, str] = field(default_factory=dict)
    view: str = ""
    batches: Mapping[str, str] = field(default_factory=dict)
    lack: str = ""

    @property
    def sharp(self) -> bool:
        """Whether its picture is so small that its pixels are to be seen."""
        return self.pictures is not None and max(self.pictures.size) < _SMALL

    @property
    def box(self) -> int:
        """Width of its sliders in pixels."""
        return _LEAST_WIDTH if self.pictures is None else max(self.pictures.size[0], _LEAST_WIDTH)

    @property
    def players(self) -> list[tuple[str, str]]:
        """Titles and data URIs of its sounds, the original first."""
        if self.sounds is None:
            return []
        first = [] if self.sounds.original is None else [("original", self.sounds.original)]
        found = self.sounds.reconstructions
        return [*first, *((self.titles[name], uri) for name, uri in found.items())]

    @property
    def characters(self) -> int:
        """How long its data URIs are together."""
        found = [*self.views.values(), *self.batches.values()]
        found += [uri for _, uri in self.players]
        if self.pictures is not None:
            found += [self.pictures.original or "", *self.pictures.reconstructions.values()]
            found += self.pictures.errors.values()
            found += [uri for maps in self.pictures.selections.values() for _, uri in maps]
        return sum(map(len, found))


@dataclass(frozen=True)
class Gallery:
    """All that is shown.

    Attributes:
        seed: Of the runs.
        left_out: How many inputs are not shown, to keep the page small.
        entries: What is shown of the others.
        colours: What the colours of selections mean.
        heat_bar: A data URI of the colours of error maps, from none to the largest.
    """

    seed: int
    left_out: int
    entries: Sequence[Entry]
    colours: Sequence[tuple[tuple[int, int, int], str]]
    heat_bar: str


def gallery(comparison: Comparison, root: Path) -> Gallery:
    """Collect the first seed's result of every variant, for the first few inputs.

    Args:
        comparison: The comparison.
        root: The folder that run folders are relative to.

    Returns:
        What there is.
    """
    found: list[Entry] = []
    for number, entry in enumerate(comparison.inputs[:MOST_INPUTS]):
        if sum(each.characters for each in found) > MOST_CHARACTERS:
            break
        found.append(_entry(comparison, root, number, entry.name))
    return Gallery(
        seed=min((run.seed for run in comparison.runs), default=0),
        left_out=len(comparison.inputs) - len(found),
        entries=found,
        colours=_colours(comparison),
        heat_bar=media.heat_bar(),
    )


def _entry(comparison: Comparison, root: Path, number: int, name: str) -> Entry:
    runs = _first_seed(comparison, name)
    titles = {variant: _title(comparison, run) for variant, run in runs.items()}
    exhibits = {"pictures": _pictures, "sounds": _sounds, "previews": _shapes}
    show = exhibits[MODALITIES[comparison.modality].exhibit]
    found = show(Entry(number, name, titles), runs, root)
    lost = ", ".join(each.name for each in comparison.variants if each.name not in runs)
    lack = ""
    if runs and found == Entry(number, name, titles):
        lack = "The run folders hold nothing that can be shown."
    elif lost:
        lack = f"Nothing of {lost}: that run has no result."
    return replace(found, lack=lack)


def _first_seed(comparison: Comparison, name: str) -> dict[str, RunEntry]:
    """Find a run with a result for each variant, of the first seed."""
    seed = min(run.seed for run in comparison.runs)
    return {
        run.variant: run
        for run in comparison.runs
        if run.input == name and run.seed == seed and run.status not in {"missing", "failed"}
    }


def _title(comparison: Comparison, run: RunEntry) -> str:
    value = "exact" if run.exact else shown(comparison.headline, run.value)
    return f"{run.variant}, {label(comparison.headline)} {value}"


def _pictures(entry: Entry, runs: Mapping[str, RunEntry], root: Path) -> Entry:
    return replace(entry, pictures=media.pictures(runs, root))


def _sounds(entry: Entry, runs: Mapping[str, RunEntry], root: Path) -> Entry:
    found = media.sounds(runs, root)
    if found is None:
        return entry
    played = {name: runs[name] for name in found.reconstructions}
    return replace(
        entry,
        sounds=found,
        views=found.pictures,
        view="Waveforms, error and spectrograms of",
        batches=media.previews(played, root, "selection.png"),
    )


def _shapes(entry: Entry, runs: Mapping[str, RunEntry], root: Path) -> Entry:
    titled = {entry.titles[name]: run for name, run in runs.items()}
    views = media.previews(titled, root)
    batches = media.previews(titled, root, "selection.png")
    if not views and not batches:
        return entry
    return replace(
        entry, views=views, view="The shape, and the reconstruction by", batches=batches
    )


def _colours(comparison: Comparison) -> list[tuple[tuple[int, int, int], str]]:
    """Return what the colours of selections mean, of the rules that chose any point."""
    names: dict[tuple[int, int, int], list[str]] = {}
    used = [each.points for each in comparison.runs if each.points is not None]
    samplers = [each.sampler for each in comparison.variants if each.sampler in SAMPLERS]
    for sampler in samplers:
        for rule, slot in sampler_class(sampler).slots.items():
            if not used or any(points.get(rule) for points in used):
                names.setdefault(slot.colour, []).append(slot.label)
    return [(colour, " or ".join(dict.fromkeys(each))) for colour, each in names.items()]
