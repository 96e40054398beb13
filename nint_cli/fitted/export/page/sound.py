"""The page of a sound: its field, its rate, and the original to be heard beside it."""

import io
from collections.abc import Callable

import numpy as np
import soundfile

from nint_cli.fitted.export.page.document import Content, Fact
from nint_cli.fitted.export.page.original import Original
from nint_cli.fitted.export.page.packing import Block
from nint_cli.fitted.export.page.rounding import packed
from nint_cli.fitted.fitted import Fitted
from nint_cli.modalities.audio.record import AudioRecord
from nint_cli.modalities.audio.signal import Sound
from nint_cli.modalities.base import Piece

_TOLERANCE = 1e-3  # of the values that are trained, which are about 1 at the loudest
_MOST_ORIGINAL = 2 << 20  # bytes
_HIGHEST_HZ = 655_350  # of FLAC
_MOST_CHANNELS = 8


def content(
    fitted: Fitted, original: Original | None, note: Callable[[str], None], _piece: Piece
) -> Content:
    """Return what the page of a sound shows.

    Args:
        fitted: The field.
        original: The sound, or None.
        note: Told what rounding costs, and of an original that is too long.

    Returns:
        The content.
    """
    signal = fitted.signal
    assert isinstance(signal, AudioRecord)
    assert original is None or isinstance(original, Sound)
    block = Block()
    found = packed(fitted.field, signal, block, _TOLERANCE)
    share = f"{found.cost:.1g} of the loudest"
    if found.half:
        precision = f"16 bits; rounding moves a sample by at most {share}"
    else:
        precision = f"32 bits; 16 would move a sample by up to {share}"
    note(f"weights of {precision}")
    seconds = signal.samples / signal.sample_rate_hz
    document = {
        "kind": "sound",
        "samples": signal.samples,
        "channels": signal.channels,
        "rate": signal.sample_rate_hz,
        "half_range": signal.half_range,
        "scale": signal.scale,
        "offset": signal.offset,
        "network": found.network,
    }
    length = f"{seconds:.2f} s, {signal.samples:,} samples at {signal.sample_rate_hz:,} Hz"
    facts: list[Fact] = [("length", length), ("weights", precision)]
    encoded = None if original is None else _encoded(original, note)
    if encoded is not None:
        document["original"] = block.add(np.frombuffer(encoded, np.uint8))
    return Content(document, block, facts)


def _encoded(sound: Sound, note: Callable[[str], None]) -> bytes | None:
    """Return the sound as FLAC of 16 bits, or None where that is large or cannot be."""
    if sound.channels > _MOST_CHANNELS or sound.sample_rate_hz > _HIGHEST_HZ:
        note("the page is without the original, which FLAC cannot hold")
        return None
    file = io.BytesIO()
    clipped = sound.waveform().clip(-1, 1 - 2**-15)
    soundfile.write(file, clipped, sound.sample_rate_hz, format="FLAC", subtype="PCM_16")
    if file.tell() > _MOST_ORIGINAL:
        note(f"the page is without the original, which takes {file.tell() / 1e6:.1f} MB")
        return None
    return file.getvalue()
