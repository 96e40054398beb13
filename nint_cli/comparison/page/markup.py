"""HTML as text, in which whatever comes from outside is escaped."""

import base64
import html
import unicodedata
from collections.abc import Sequence

TEXT = '<td class="text'
"""How a cell of words begins, which with its header is set to the left."""

# Control, format (such as text direction), surrogate and line-separating characters.
_UNSAFE = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def escape(text: object, *, lines: bool = False) -> str:
    r"""Write any text so that a page shows it and does nothing else with it.

    Args:
        text: Anything, such as a file's name.
        lines: Whether it has lines of its own, whose ends stay.

    Returns:
        A text for an element or a quoted attribute.

    Example:
        >>> escape('<b title="x">')
        '&lt;b title=&quot;x&quot;&gt;'
    """
    return html.escape(visible(text, lines=lines), quote=True)


def visible(text: object, *, lines: bool = False) -> str:
    """Write what a text has of control characters and the like by their codes.

    Args:
        text: Anything.
        lines: Whether it has lines of its own, whose ends stay.
    """
    return "".join(
        character.encode("unicode_escape").decode()
        if unicodedata.category(character) in _UNSAFE and not (lines and character == "\n")
        else character
        for character in str(text)
    )


def data_uri(content: bytes, media_type: str) -> str:
    """Write a file's content as an address that loads nothing.

    Args:
        content: The bytes.
        media_type: Such as ``image/png``.
    """
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"


def table(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    caption: str,
    name: str | None = None,
    groups: int = 0,
) -> str:
    """Write a table in a box of its own that scrolls where it is too wide.

    Args:
        header: Cells, escaped.
        rows: Rows of whole cells, ``<td>...</td>``, whose first is a text, escaped.
        caption: What the table says, escaped; it may have elements.
        name: What the box is called, escaped; the caption where that is a mere text.
        groups: After how many rows a line is drawn; 0 for never.
    """
    texts = {i for row in rows for i, each in enumerate(row) if each.startswith(TEXT)}
    head = "".join(
        f'<th scope="col"{" class=text" * (i in texts)}>{each}</th>'
        for i, each in enumerate(header)
    )
    body = ""
    for number, (first, *cells) in enumerate(rows):
        kind = ' class="group"' if groups and number and number % groups == 0 else ""
        body += f'<tr{kind}><th scope="row">{first}</th>{"".join(cells)}</tr>'
    return (
        f'<p class="caption">{caption}</p>'
        f'<div class="scroll" role="region" tabindex="0" aria-label="{name or caption}"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def cell(content: str) -> str:
    """Write a cell.

    Args:
        content: What is in it, escaped; figures as `figure` writes them.
    """
    return f"<td>{content}</td>"


def figure(text: str, value: float, path: str) -> str:
    """Write a figure together with its full value, so that a test can hold one to the other.

    Args:
        text: What is shown, rounded.
        value: The figure itself, as compare.json has it.
        path: Where compare.json has it, a JSON pointer such as ``/summaries/0/value/mean``.
    """
    return f'<span data-path="{escape(path)}" data-value="{value!r}">{escape(text)}</span>'


def tabs(name: str, panels: Sequence[tuple[str, str]], label: str) -> str:
    """Write panels of which one is shown at a time; all of them where no script runs.

    Args:
        name: Unique on the page; letters, digits and dashes.
        panels: Titles, escaped, and contents.
        label: What is chosen, escaped.
    """
    if len(panels) == 1:
        return f'<div class="panel">{panels[0][1]}</div>'
    buttons = "".join(
        f'<button type="button" role="tab" id="{name}-t{i}" aria-controls="{name}-p{i}" '
        f'aria-selected="{"true" if i == 0 else "false"}">{title}</button>'
        for i, (title, _) in enumerate(panels)
    )
    bodies = "".join(
        f'<div class="panel" role="tabpanel" id="{name}-p{i}" aria-labelledby="{name}-t{i}" '
        f'tabindex="0"><h4 class="noscript">{title}</h4>{content}</div>'
        for i, (title, content) in enumerate(panels)
    )
    return (
        f'<div class="tabs"><div role="tablist" aria-label="{label}">{buttons}</div>{bodies}</div>'
    )
