"""What a field was fitted to, read again to be shown beside it."""

from collections.abc import Callable
from pathlib import Path

from nint_cli.errors import NintError
from nint_cli.fitted.fitted import Fitted
from nint_cli.modalities.audio.files import read_sound
from nint_cli.modalities.audio.record import AudioRecord
from nint_cli.modalities.audio.settings import AudioSettings
from nint_cli.modalities.audio.signal import Sound
from nint_cli.modalities.image.files import read_picture
from nint_cli.modalities.image.record import ImageRecord
from nint_cli.modalities.image.settings import ImageSettings
from nint_cli.modalities.image.signal import Picture
from nint_cli.signals.source import SAMPLE_PREFIX

Original = Picture | Sound


def original_of(fitted: Fitted, note: Callable[[str], None]) -> Original | None:
    """Read the input of a field again.

    Args:
        fitted: The field.
        note: Told why there is none, where it is gone or has changed.

    Returns:
        The input, decoded as the run had it; None of shapes, whose mesh is not shown.
    """
    source, signal = fitted.signal.source, fitted.signal
    if not isinstance(signal, ImageRecord | AudioRecord):
        return None
    if not source.startswith(SAMPLE_PREFIX) and not Path(source).is_file():
        note(f"the page is without the original, for '{source}' is no file here")
        return None
    try:
        found = _read(fitted)
    except NintError as error:
        note(f"the page is without the original: {error}")
        return None
    if found.sha256 != signal.sha256:
        note(f"the page is without the original, for '{source}' is another file than the run's")
        return None
    return found


def _read(fitted: Fitted) -> Original:
    source, settings = fitted.signal.source, fitted.config.section(fitted.signal.kind)
    if isinstance(settings, ImageSettings):
        return read_picture(source, settings, fitted.signal)
    assert isinstance(settings, AudioSettings)
    return read_sound(
        source,
        start_s=settings.start_s,
        duration_s=settings.duration_s,
        mono=settings.mono,
        max_samples=settings.max_samples,
    )
