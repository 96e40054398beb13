"""Masks of pictures: where a field is fitted."""

import hashlib
import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nint_cli.errors import InputError
from nint_cli.modalities.image.files import read_picture
from nint_cli.modalities.image.png import read_png
from nint_cli.modalities.image.settings import ImageSettings

MASK = "mask.png"
"""Name of the file that keeps a run's mask in its folder."""


@dataclass(frozen=True)
class Mask:
    """Which pixels of a picture are fitted.

    Attributes:
        inside: (H, W).
        notes: What was done to the file's content, in plain words.
    """

    inside: NDArray[np.bool_]
    notes: tuple[str, ...] = ()

    @property
    def sha256(self) -> str:
        """Hash of its size and its pixels, whatever file they are from."""
        digest = hashlib.sha256(f"{self.inside.shape}".encode())
        digest.update(np.packbits(self.inside).data)
        return digest.hexdigest()

    @property
    def count(self) -> int:
        """Pixels that are fitted."""
        return int(self.inside.sum())


def read_mask(path: str, max_pixels: int) -> Mask:
    """Read a mask: white is fitted, and so is a grey above one half.

    Args:
        path: A picture in black, white and greys.
        max_pixels: What it may have.

    Returns:
        The mask.

    Raises:
        InputError: If it cannot be read, is in colour, is transparent anywhere, or has no white.
    """
    try:
        picture = read_picture(path, ImageSettings(max_pixels=max_pixels))
    except InputError as error:
        raise InputError(f"the mask: {error}") from error
    pixels, (low, high) = picture.pixels, picture.scale.ends
    if picture.alpha is not None:
        if bool((pixels[..., picture.alpha] < picture.maximum).any()):
            raise InputError(
                f"cannot use the mask '{path}': it is transparent in places, which says neither "
                "black nor white; save it without transparency"
            )
        pixels = np.delete(pixels, picture.alpha, axis=2)
    grey = pixels[..., :1]
    if pixels.shape[2] not in {1, 3} or bool((pixels != grey).any()):
        raise InputError(
            f"cannot use the mask '{path}': it is in colour; save it in black and white, white "
            "where the picture is to be fitted"
        )
    inside = grey[..., 0] > low + (high - low) / 2
    if not inside.any():
        raise InputError(
            f"cannot use the mask '{path}': it has no white pixel, so that nothing would be fitted"
        )
    notes = []
    if bool(((grey > low) & (grey < high)).any()):
        notes.append("greys above one half count as white, the others as black")
    if inside.all():
        notes.append("white everywhere, so that it leaves nothing out")
    return Mask(inside, tuple(notes))


def encode_mask(mask: Mask) -> bytes:
    """Return a PNG file of a mask, with one bit per pixel."""
    file = io.BytesIO()
    Image.fromarray(mask.inside).convert("1").save(file, "PNG", optimize=True)
    return file.getvalue()


def decode_mask(content: bytes, shape: tuple[int, int]) -> Mask | None:
    """Read what `encode_mask` wrote.

    Args:
        content: A file's content.
        shape: The height and width that it must have.

    Returns:
        The mask; None where the file is damaged or of another size.
    """
    height, width = shape
    try:
        samples = read_png(content, height * width).samples
    except Exception:  # whatever a decoder makes of a damaged file
        return None
    if samples.shape != (height, width, 1):
        return None
    return Mask(samples[..., 0] > 0)


def mask_of(
    settings: ImageSettings,
    shape: tuple[int, int],
    kept: bytes | None,
    sha256: str | None,
) -> Mask | None:
    """Return the mask of a picture: of a new run from its file, of an old one from its folder.

    Args:
        settings: Name the file.
        shape: Height and width of the picture as it is fitted.
        kept: The file `MASK` of the run's folder; None where there is none.
        sha256: What the mask must be; None for a new run.

    Returns:
        The mask; None where there is none.

    Raises:
        InputError: If it cannot be read, has another size than the picture, or is another one.
    """
    path = settings.mask
    if path is None:
        return None
    if sha256 is None:
        found = read_mask(path, settings.max_pixels)
    else:
        saved = None if kept is None else decode_mask(kept, shape)
        usable = saved is not None and saved.sha256 == sha256
        found = saved if saved is not None and usable else _read_again(settings, path, sha256)
    if found.inside.shape != shape:
        (height, width), (rows, columns) = found.inside.shape, shape
        raise InputError(
            f"cannot use the mask '{path}': it has {width}x{height} pixels, and the "
            f"picture as it is fitted has {columns}x{rows}; make them equal"
        )
    return found


def _read_again(settings: ImageSettings, path: str, sha256: str) -> Mask:
    """Read the file of an old run's mask, which must be as it was."""
    reason = "it has changed since the run"
    try:
        found = read_mask(path, settings.max_pixels)
        if found.sha256 == sha256:
            return found
    except InputError as error:
        reason = str(error)
    raise InputError(
        f"the run's '{MASK}' is gone or damaged, and '{path}', which it is of, does not do in its "
        f"place: {reason}; put one of them back"
    )
