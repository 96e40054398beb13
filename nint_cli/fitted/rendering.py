"""A fitted field to one file in its natural form: a picture, a sound, a mesh."""

from pathlib import Path

from nint_cli.errors import ConfigError
from nint_cli.fitted.fitted import Fitted
from nint_cli.fitted.output import write_output
from nint_cli.modalities.render_request import Rendering, RenderRequest
from nint_cli.modalities.table import MODALITIES
from nint_cli.runs.control import Control
from nint_cli.runs.ending import Meter


def render(
    fitted: Fitted, path: Path, request: RenderRequest, control: Control, *, overwrite: bool
) -> None:
    """Render a field into a file.

    Args:
        fitted: The field.
        path: The file; its suffix decides the kind.
        request: What is asked for.
        control: Shows how far it is, and may stop it.
        overwrite: Whether another file may be replaced.
    """
    rendering = planned(fitted, path, request)
    for line in rendering.notes:
        control.note(line)
    meter = Meter(control, rendering.points)
    try:
        write_output(path, lambda file: rendering.write(file, meter), overwrite=overwrite)
    finally:
        control.progress.finish_end()


def planned(fitted: Fitted, path: Path | None, request: RenderRequest) -> Rendering:
    """Plan the rendering of a field, of any modality.

    Args:
        fitted: The field.
        path: The file; None where only the values are wanted.
        request: What is asked for.

    Returns:
        What computes it.

    Raises:
        ConfigError: If something is asked for that its modality has not.
    """
    modality = MODALITIES[fitted.signal.kind]
    foreign = [each for each in request.given() if each not in modality.rendered_by]
    if foreign:
        flags = ", ".join(f"--{each}" for each in foreign)
        own = ", ".join(f"--{each}" for each in modality.rendered_by)
        raise ConfigError(f"{flags}: not for {modality.plural}; they have {own}")
    section = fitted.config.section(fitted.signal.kind)
    plan = modality.part(modality.rendering_part)
    rendering: Rendering = plan(fitted.signal, section, fitted.field, request, path)
    return rendering
