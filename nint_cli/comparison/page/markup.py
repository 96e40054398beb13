"""HTML as text, in which whatever comes from outside is escaped."""

import base64
import html
import unicodedata
from collections.abc import Iterable, Sequence

# Control, format (such as text direction), surrogate and line-separating characters.
_UNSAFE = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def escape(text: object) -> str:
    r"""Write any text so that a page shows it and does nothing else with it.

    Args:
        text: Anything, such as a file's name.

    Returns:
        A text for an element or a quoted attribute.

    Example:
        >>> escape('<b title="x">')
        '&lt;b title=&quot;x&quot;&gt;'
    """
    visible = "".join(
        character.encode("unicode_escape").decode()
        if unicodedata.category(character) in _UNSAFE and character != "\n"
        else character
        for character in str(text)
    )
    return html.escape(visible, quote=True)


def data_uri(content: bytes, media_type: str) -> str:
    """Write a file's content as an address that loads nothing.

    Args:
        content: The bytes.
        media_type: Such as ``image/png``.
    """
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"


def table(
    header: Sequence[str], rows: Iterable[Sequence[str]], *, caption: str, first: str = "row"
) -> str:
    """Write a table in a box of its own that scrolls where it is too wide.

    Args:
        header: Cells, escaped.
        rows: Rows of whole cells, ``<td>...</td>``, whose first is a text, escaped.
        caption: What the table says, escaped.
        first: Scope of the first cells.
    """
    head = "".join(f'<th scope="col">{cell}</th>' for cell in header)
    body = "".join(
        f'<tr><th scope="{first}">{name}</th>{"".join(cells)}</tr>' for name, *cells in rows
    )
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{caption}"><table>'
        f"<caption>{caption}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        "</div>"
    )


def cell(text: str, value: float | None = None, path: str = "") -> str:
    """Write a cell of figures.

    Args:
        text: What is shown, escaped.
        value: The figure itself, as compare.json has it; None for a text.
        path: Where compare.json has it, a JSON pointer such as ``/summaries/0/value/mean``.
    """
    if value is None:
        return f"<td>{text}</td>"
    return f'<td data-path="{path}" data-value="{value!r}">{text}</td>'


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
