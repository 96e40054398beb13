"""Built-in pictures, which are scikit-image's."""

from pathlib import Path

from nint_cli.modalities.samples import Samples

SAMPLES = Samples(
    "picture",
    {
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
    },
    lambda file: f"{file} of scikit-image",
)
"""Files by name."""


def picture_path(name: str) -> Path:
    """Find a built-in picture, inside the installed scikit-image; nothing is downloaded.

    Args:
        name: One of those of `SAMPLES`; an InputError is raised for another.

    Returns:
        Its file.
    """
    import skimage

    return Path(skimage.__file__).parent / "data" / SAMPLES.find(name)
