"""Built-in inputs, so that everything can be tried without a file: scikit-image's pictures."""

from pathlib import Path

from nint_cli.errors import InputError, did_you_mean

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
        hint = did_you_mean(name, _PICTURES)
        names = ", ".join(picture_names())
        raise InputError(f"no built-in picture '{PREFIX}{name}'{hint}; there are {names}")
    return Path(skimage.__file__).parent / "data" / _PICTURES[name]
