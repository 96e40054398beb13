"""Built-in inputs, by kind, so that everything can be tried without a file.

Pictures are scikit-image's; sounds are computed, in `tones`, and shapes, in `solids`.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nint_cli.errors import InputError, did_you_mean
from nint_cli.modalities.audio import sample_sounds

PREFIX = "sample:"

_PICTURES = {
    "astronaut": "astronaut.png",
    "brick": "brick.png",
    "camera": "camera.png",
    "cat": "chelsea.png",
    "cell": "cell.png",
    "coffee": "coffee.png",
    "coins": "coins.png",
    "grass": "grass.png",
    "gravel": "gravel.png",
    "hubble": "hubble_deep_field.jpg",
    "logo": "logo.png",
    "moon": "moon.png",
    "motorcycle": "motorcycle_left.png",
    "page": "page.png",
    "retina": "retina.jpg",
    "rocket": "rocket.jpg",
    "text": "text.png",
}
_SOUNDS = {"chirp": sample_sounds.chirp, "chord": sample_sounds.chord}


def picture_names() -> list[str]:
    """List the built-in pictures; each is an input as ``sample:NAME``."""
    return sorted(_PICTURES)


def picture_path(name: str) -> Path:
    """Find a built-in picture, inside the installed scikit-image; nothing is downloaded.

    Args:
        name: One of `picture_names`.

    Returns:
        Its file.

    Raises:
        InputError: If there is no such picture.
    """
    import skimage

    if name not in _PICTURES:
        raise InputError(_unknown("picture", name, _PICTURES))
    return Path(skimage.__file__).parent / "data" / _PICTURES[name]


def sound_names() -> list[str]:
    """List the built-in sounds; each is an input as ``sample:NAME``."""
    return sorted(_SOUNDS)


def sound(name: str) -> tuple[NDArray[np.int16], int]:
    """Compute a built-in sound.

    Args:
        name: One of `sound_names`.

    Returns:
        (T,) samples, and how many there are in a second.

    Raises:
        InputError: If there is no such sound.
    """
    if name not in _SOUNDS:
        raise InputError(_unknown("sound", name, _SOUNDS))
    return _SOUNDS[name](), sample_sounds.SAMPLE_RATE_HZ


def _unknown(kind: str, name: str, names: Iterable[str]) -> str:
    hint = did_you_mean(name, names)
    return f"no built-in {kind} '{PREFIX}{name}'{hint}; there are {', '.join(sorted(names))}"
