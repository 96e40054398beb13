"""What can be looked at and listened to: pictures, error maps, selections, sounds, renders."""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
import soundfile
import torch
from numpy.typing import NDArray
from PIL import Image

from nint_cli.comparison.reading import read_metrics
from nint_cli.comparison.record import RunEntry
from nint_cli.config.schema import RunConfig
from nint_cli.errors import NintError
from nint_cli.modalities.audio.subject import AudioSubject
from nint_cli.modalities.image.files import read_picture
from nint_cli.modalities.image.reconstruction import RECONSTRUCTION, as_seen
from nint_cli.modalities.image.settings import ImageSettings
from nint_cli.modalities.image.signal import Picture as FittedPicture
from nint_cli.modalities.image.subject import ImageSubject
from nint_cli.runs.folder import RunFolder
from nint_cli.runs.inputs import read_input
from nint_cli.runs.selections import read as read_selection
from nint_cli.samplers.table import all_slots

SIDE = 512
"""Longest side of a picture on the page; larger ones are shown smaller."""

SOUND_BYTES = 1 << 20
"""Most bytes of a player's sound; a longer one is cut."""

_PLAYED_CHANNELS = 2
_MOST_PIXELS = 1 << 26
_MAP_SIDE = 192
_MAPS = 4
_ERROR_SHARE = 99.5  # percentile of all errors at which the colour scale ends

Grey = NDArray[np.float32]
Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Pictures:
    """What a page shows of the runs on a picture.

    Attributes:
        original: A data URI; None where the input is gone or has changed.
        why_not: Why there is no original, and so no error maps.
        reconstructions: Data URIs by variant.
        errors: Data URIs of error maps, by variant.
        largest_error: Where their common scale ends, for values in [0, 1].
        size: Width and height as shown.
        shrunk: Whether the input is larger than that.
        selections: By variant, the steps and data URIs of what they trained on.
    """

    original: str | None
    why_not: str | None
    reconstructions: Mapping[str, str]
    errors: Mapping[str, str]
    largest_error: float
    size: tuple[int, int]
    shrunk: bool
    selections: Mapping[str, list[tuple[int, str]]]


def pictures(runs: Mapping[str, RunEntry], root: Path) -> Pictures | None:
    """Read what there is to see of runs on one picture.

    Args:
        runs: One run per variant, that has a result.
        root: The folder that theirs are relative to.

    Returns:
        The pictures; None where no run has one that fits on a page.
    """
    found = {
        name: pixels
        for name, run in runs.items()
        if (pixels := _reconstruction(root / run.folder)) is not None
    }
    if not found:
        return None
    first = next(iter(found))
    original, why_not = _original(root / runs[first].folder)
    if original is not None and original.shape != found[first].shape:
        original, why_not = None, "the input has another size now"
    errors = {} if original is None else {n: _error(original, p) for n, p in found.items()}
    scale = max((float(np.percentile(e, _ERROR_SHARE)) for e in errors.values()), default=0.0)
    height, width = found[first].shape[:2]
    ratio = min(1.0, SIDE / max(height, width))
    dim = original if original is not None else found[first]
    return Pictures(
        original=None if original is None else _shown(original),
        why_not=why_not,
        reconstructions={name: _shown(pixels) for name, pixels in found.items()},
        errors={name: _heat(error, scale) for name, error in errors.items()},
        largest_error=scale,
        size=(round(width * ratio), round(height * ratio)),
        shrunk=ratio < 1,
        selections={
            name: maps for name in found if (maps := _selections(root / runs[name].folder, dim))
        },
    )


def heat_bar() -> str:
    """Give the colours of error maps from none to the largest, as a data URI."""
    ramp = np.repeat(np.linspace(0, 1, 256, dtype=np.float32)[None], 12, axis=0)
    return _heat(ramp, 1.0)


@dataclass(frozen=True)
class Sounds:
    """What a page plays of the runs on a sound.

    Attributes:
        original: A data URI; None where the input is gone or has changed.
        why_not: Why there is none.
        reconstructions: Data URIs by variant.
        pictures: Data URIs of waveforms and spectrograms, by variant.
        changes: What a player holds of a sound, where that is not all of it.
    """

    original: str | None
    why_not: str | None
    reconstructions: Mapping[str, str]
    pictures: Mapping[str, str]
    changes: list[str]


def sounds(runs: Mapping[str, RunEntry], root: Path) -> Sounds | None:
    """Read what there is to hear of runs on one sound; see `pictures`."""
    waves, rate = {}, 0
    for name, run in runs.items():
        try:
            waves[name], rate = soundfile.read(
                root / run.folder / "reconstruction.wav", dtype="float32", always_2d=True
            )
        except (OSError, soundfile.LibsndfileError):
            continue
    if not waves:
        return None
    original, why_not = None, None
    try:
        subject = _subject(root / runs[next(iter(waves))].folder)
        assert isinstance(subject, AudioSubject)
        original = subject.sound.waveform().astype(np.float32)
    except NintError as error:
        why_not = str(error)
    first = next(iter(waves.values()))
    most = SOUND_BYTES // (2 * min(first.shape[1], _PLAYED_CHANNELS))
    return Sounds(
        original=None if original is None else _wav(original[:most], rate),
        why_not=why_not,
        reconstructions={name: _wav(wave[:most], rate) for name, wave in waves.items()},
        pictures=previews({name: runs[name] for name in waves}, root),
        changes=_changes([*waves.values(), *([] if original is None else [original])], most, rate),
    )


def _changes(waves: Sequence[NDArray[np.float32]], most: int, rate: int) -> list[str]:
    """Say what `_wav` leaves out of sounds of one length."""
    length, channels = waves[0].shape
    found = []
    if length > most:
        found.append(f"the first {most / rate:.1f} of {length / rate:.1f} s")
    if channels > _PLAYED_CHANNELS:
        found.append(f"the first {_PLAYED_CHANNELS} of {channels} channels")
    if any(np.abs(wave).max(initial=0) > 1 for wave in waves):
        found.append("values beyond full scale cut off")
    return found


def previews(
    runs: Mapping[str, RunEntry], root: Path, name_of_file: str = "preview.png"
) -> dict[str, str]:
    """Give pictures that runs on sounds and shapes leave, as data URIs by variant.

    Args:
        runs: The runs by variant.
        root: The folder that theirs are relative to.
        name_of_file: ``preview.png`` of both, or ``selection.png`` of the first and last batch.
    """
    found = {}
    for name, run in runs.items():
        try:
            with Image.open(root / run.folder / name_of_file) as image:
                found[name] = _encoded(np.asarray(image.convert("RGB")), 1024)
        except (OSError, ValueError):
            continue
    return found


def _subject(folder: Path) -> object:
    """Read the input of a run again, as the run did.

    Raises:
        NintError: If it cannot be read, or has changed.
    """
    metrics = read_metrics(folder)
    try:
        config = RunConfig.model_validate(metrics.config)
    except ValueError as error:
        raise NintError("the run has settings that this nint does not know") from error
    subject = read_input(
        metrics.input.kind,
        metrics.input.source,
        config,
        torch.device("cpu"),
        saved_files=RunFolder(folder).read_saved,
    )
    if subject.sha256 != metrics.input.sha256:
        raise NintError(f"'{metrics.input.source}' has changed since the runs")
    return subject


def _original(folder: Path) -> tuple[Picture | None, str | None]:
    try:
        subject = _subject(folder)
    except NintError as error:
        return None, str(error)
    assert isinstance(subject, ImageSubject)
    return _colours(subject.picture), None


def _reconstruction(folder: Path) -> Picture | None:
    """Read a run's picture; None where there is none, or it is too large for that."""
    try:
        limit = ImageSettings(max_pixels=_MOST_PIXELS)
        picture = read_picture(str(folder / RECONSTRUCTION), limit)
    except NintError:
        return None
    return _colours(picture)


def _colours(picture: FittedPicture) -> Picture:
    """Give (H, W, 3) of 8 bits; what is transparent shows its colour."""
    seen = as_seen(picture.pixels, picture.scale)
    return seen if seen.shape[2] == 3 else seen.repeat(3, axis=2)


def _error(original: Picture, reconstruction: Picture) -> Grey:
    """Give the mean absolute error of each pixel, for values in [0, 1]."""
    apart = np.abs(original.astype(np.float32) - reconstruction.astype(np.float32))
    mean: Grey = apart.mean(axis=2) / 255
    return mean


def _heat(error: Grey, scale: float) -> str:
    share = np.clip(error / scale, 0, 1) if scale > 0 else np.zeros_like(error)
    colours = mpl.colormaps["magma"](share)[..., :3]
    return _encoded(np.round(255 * colours).astype(np.uint8), SIDE)


def _shown(pixels: Picture) -> str:
    return _encoded(pixels, SIDE)


def _encoded(pixels: Picture, side: int) -> str:
    """Write a picture, made smaller where a side is longer, as a data URI."""
    image = Image.fromarray(pixels)
    if max(image.size) > side:
        image.thumbnail((side, side), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    image.save(file, "WEBP", lossless=True, method=4)  # a third smaller than PNG
    return _data_uri(file.getvalue(), "image/webp")


def _selections(folder: Path, pixels: Picture) -> list[tuple[int, str]]:
    """Draw what a few steps trained on over the dimmed picture, from early to late."""
    paths = RunFolder(folder).selections()
    if not paths:
        return []
    chosen = np.unique(np.geomspace(1, len(paths), _MAPS).round().astype(int)) - 1
    height, width = pixels.shape[:2]
    every = -(-max(height, width) // _MAP_SIDE)
    grey = (pixels.mean(axis=2) * 0.43).astype(np.uint8)[::every, ::every]
    colours = {name: slot.colour for name, slot in all_slots().items()}
    found = []
    for index in chosen:
        try:
            step, selection = read_selection(paths[index])
        except NintError:
            continue
        panel, start = np.repeat(grey[..., None], 3, axis=2), 0
        for slot, count in selection.slots:
            part = selection.indices[start : start + count].numpy()
            start += count
            rows, columns = np.divmod(part[part < height * width], width)
            panel[rows // every, columns // every] = colours.get(slot, (255, 255, 255))
        found.append((step, _encoded(panel, _MAP_SIDE)))
    return found


def _wav(waveform: NDArray[np.float32], rate: int) -> str:
    """Write a sound for a player: 16 bits, the first channels."""
    file = io.BytesIO()
    clipped = np.clip(waveform[:, :_PLAYED_CHANNELS], -1, 1)
    soundfile.write(file, clipped, rate, format="WAV", subtype="PCM_16")
    return _data_uri(file.getvalue(), "audio/wav")


def _data_uri(content: bytes, media_type: str) -> str:
    """Write a file's content as an address that loads nothing."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"
