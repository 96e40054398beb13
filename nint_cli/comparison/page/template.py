"""How the page's templates become text: whatever comes from outside is escaped."""

import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import jinja2

# Control, format (such as text direction), surrogate and line-separating characters.
_UNSAFE = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def visible(text: object) -> str:
    r"""Write the control characters of a text, and the like, by their codes.

    Args:
        text: Anything, such as a file's name.

    Returns:
        A text that a page shows as it is, in one line.

    Example:
        >>> visible("a\x1bb")
        'a\\x1bb'
    """
    written = str(text)
    if written.isprintable():  # as data URIs are, which are long
        return written
    return "".join(
        character.encode("unicode_escape").decode()
        if unicodedata.category(character) in _UNSAFE
        else character
        for character in written
    )


def environment() -> "jinja2.Environment":
    """Load the templates of this folder, for which a name without a value is an error."""
    import jinja2  # slow to load, and only reports need it
    from markupsafe import Markup

    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=lambda value: value if isinstance(value, Markup) else visible(value),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,  # the script's digest is of all its text
    )
