"""The page as a whole: template, styles, scripts, and the data of one field."""

import base64
import hashlib
import json
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nint_cli.fitted.export.page.packing import Block
from nint_cli.fitted.fitted import Fitted
from nint_cli.signals.source import bare_name
from nint_cli.version import __version__

Fact = tuple[str, str]
"""A name and a text."""

_FOLDER = Path(__file__).parent
_WORKER = ("data.js", "network.js", "hashgrid.js", "gpu.js", "worker.js")
_COMMON = ("data.js", "help.js", "pointers.js")
_SCRIPTS = {
    "picture": (*_COMMON, "evaluator.js", "display.js", "tiles.js", "picture.js"),
    "sound": (*_COMMON, "evaluator.js", "spectrogram.js", "player.js", "sound.js"),
    "shape": (*_COMMON, "shape.js"),
}
_SHADERS = ("layer.vert", "layer.frag", "shape.vert", "shape.frag")

# Control, format (such as text direction), surrogate and line-separating characters.
_UNSAFE = {"Cc", "Cf", "Cs", "Zl", "Zp"}


@dataclass(frozen=True)
class Content:
    """What one modality puts on the page.

    Attributes:
        document: For its script; plain data.
        block: The arrays that the document names.
        facts: For people.
    """

    document: dict[str, Any]
    block: Block
    facts: Sequence[Fact]


def document(fitted: Fitted, content: Content) -> str:
    """Write the page.

    Args:
        fitted: The field.
        content: What is shown of it.

    Returns:
        HTML that needs no other file and no network; its policy allows neither.
    """
    import jinja2
    from markupsafe import Markup

    kind, name = str(content.document["kind"]), bare_name(fitted.signal.source)
    script = "\n".join(_text(each) for each in _SCRIPTS[kind])
    style = _text("style.css")
    field = fitted.field
    facts = [
        ("field", f"{fitted.config.field}, {field.parameter_count():,} parameters"),
        *([("step", f"{fitted.step:,}")] if fitted.step is not None else []),
        *content.facts,
    ]
    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return templates.get_template("page.html.j2").render(
        title=visible(name),
        kind=kind,
        policy=_policy(script, style),
        style=Markup(style),
        script=Markup(script),
        worker=Markup("" if kind == "shape" else "\n".join(_text(each) for each in _WORKER)),
        shaders={each: Markup(_text(each)) for each in _SHADERS},
        data=Markup(to_json(content.document)),
        block=Markup(content.block.base64()),
        facts=facts,
        original="original" in content.document,
        version=__version__,
    )


def visible(text: str) -> str:
    r"""Write the control characters of a text, and the like, by their codes.

    Args:
        text: Anything, such as a file's name.

    Returns:
        One line that a page shows as it is.

    Example:
        >>> visible("a\x1bb")
        'a\\x1bb'
    """
    return "".join(
        character.encode("unicode_escape").decode()
        if unicodedata.category(character) in _UNSAFE
        else character
        for character in text
    )


def _text(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")


def to_json(found: dict[str, Any]) -> str:
    """Write JSON that ends no element: what could is written by its code."""
    return json.dumps(found, allow_nan=False).replace("<", "\\u003c")


def _policy(script: str, style: str) -> str:
    """Allow the page's own script, styles and workers, and nothing from anywhere."""
    return (
        f"default-src 'none'; script-src '{_digest(script)}'; style-src '{_digest(style)}'; "
        "img-src blob:; worker-src blob:; base-uri 'none'; form-action 'none'"
    )


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
