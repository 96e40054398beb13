"""A page that shows a fitted field in a browser: one file, no network, every size."""

from collections.abc import Callable

from nint_cli.errors import ConfigError
from nint_cli.fitted.export.page import picture, shape, sound
from nint_cli.fitted.export.page.document import Content, document
from nint_cli.fitted.export.page.original import Original, original_of
from nint_cli.fitted.fitted import Fitted
from nint_cli.modalities.base import Piece, unwatched
from nint_cli.modalities.table import MODALITIES

__all__ = ["Original", "encode", "original_of", "page"]

_CONTENTS: dict[str, Callable[[Fitted, Original | None, Callable[[str], None], Piece], Content]]
_CONTENTS = {"picture": picture.content, "sound": sound.content, "shape": shape.content}


def encode(fitted: Fitted, note: Callable[[str], None] = lambda _: None) -> bytes:
    """Return the page of a field beside its input, where that is found; see `page`."""
    return page(fitted, original_of(fitted, note), note)


def page(
    fitted: Fitted,
    original: Original | None = None,
    note: Callable[[str], None] = lambda _: None,
    piece: Piece = unwatched,
) -> bytes:
    """Return the page of a field.

    Args:
        fitted: The field.
        original: What it was fitted to, as `original_of` reads it; None leaves it out.
        note: Told what is worth knowing of the page, such as what its numbers were rounded to.
        piece: Told after each piece of a long work; may raise to stop it.

    Returns:
        HTML in UTF-8. A picture or a sound is computed from its field in the browser, a shape is
        the mesh of its zero level.

    Raises:
        ConfigError: If no page is made of its modality.
    """
    shown = MODALITIES[fitted.signal.kind].page
    if shown is None:
        raise ConfigError(f"no page is made of the modality '{fitted.signal.kind}'")
    return document(fitted, _CONTENTS[shown](fitted, original, note, piece)).encode()


def cost(fitted: Fitted) -> int:
    """Return about how many units `page` tells its `piece` of; 0 where it takes a moment."""
    return shape.cost(fitted) if MODALITIES[fitted.signal.kind].page == "shape" else 0
