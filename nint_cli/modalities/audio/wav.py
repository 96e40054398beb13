"""Waveforms to WAV files."""

import io
import struct
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from nint_cli.modalities.audio.signal import Rows, Waveform

# What WAV keeps each in. Of 8 bits and of the coarser codes, 16 bits are the next that WAV has for
# both; what decodes to floating point stays there, so that nothing of it is clipped.
_WRITTEN = {
    "PCM_24": "PCM_24",
    "ALAC_20": "PCM_24",
    "ALAC_24": "PCM_24",
    "DWVW_24": "PCM_24",
    "PCM_32": "PCM_32",
    "ALAC_32": "PCM_32",
    "FLOAT": "FLOAT",
    "DOUBLE": "DOUBLE",
    "VORBIS": "FLOAT",
    "OPUS": "FLOAT",
    "MPEG_LAYER_I": "FLOAT",
    "MPEG_LAYER_II": "FLOAT",
    "MPEG_LAYER_III": "FLOAT",
}
_INTEGER_BITS = {"PCM_16": 16, "PCM_24": 24, "PCM_32": 32}

_ROWS_AT_ONCE = 1 << 18
_LARGEST_WAV = (1 << 32) - (1 << 16)  # bytes of samples; its header counts in 32 bits


def encode_sound(
    waveform: Rows, sample_rate_hz: int, subtype: str, speakers: int | None = None
) -> tuple[bytes, int]:
    """Write a waveform as WAV, with at least the precision of the file it stands for.

    Args:
        waveform: (T, C), full scale 1.
        sample_rate_hz: Samples per second and channel.
        subtype: The input's encoding, `Sound.subtype`.
        speakers: Which channel is for which speaker, `Sound.speakers`; None is not written.

    Returns:
        The file's content, and how many samples were beyond what its integers hold and were
        clipped; 0 for floating point, which keeps them.
    """
    written = kept_as(subtype)
    length, channels = waveform.shape
    size = length * channels * {"PCM_16": 2, "DOUBLE": 8}.get(written, 4)
    container = "WAV" if speakers is None else "WAVEX"
    container = "RF64" if size > _LARGEST_WAV else container
    buffer, clipped = io.BytesIO(), 0
    with soundfile.SoundFile(
        buffer, "w", sample_rate_hz, channels, format=container, subtype=written
    ) as file:
        for start in range(0, length, _ROWS_AT_ONCE):
            stored, cut = _stored(waveform[start : start + _ROWS_AT_ONCE], written)
            file.write(stored)
            clipped += cut
    wav = bytearray(buffer.getvalue())
    _set(wav, b"PEAK", 12, 0)  # the time of writing, which libsndfile keeps
    if container != "WAV":  # which is extensible, with a mask that libsndfile chose
        _set(wav, b"fmt ", 28, speakers or 0)
    return bytes(wav), clipped


def kept_as(subtype: str) -> str:
    """Return the encoding in which WAV keeps a sound, by libsndfile's name.

    Args:
        subtype: The input's encoding, `Sound.subtype`.

    Returns:
        One of PCM_16, PCM_24, PCM_32, FLOAT and DOUBLE.
    """
    return _WRITTEN.get(subtype, "PCM_16")


def _stored(waveform: Waveform, written: str) -> tuple[NDArray[Any], int]:
    """Give samples as a file holds them, and how many were clipped."""
    if written not in _INTEGER_BITS:
        return waveform.astype(np.float32 if written == "FLOAT" else np.float64), 0
    bits = _INTEGER_BITS[written]
    levels = np.round(waveform * 2 ** (bits - 1))
    lowest, highest = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    clipped = int(((levels < lowest) | (levels > highest)).sum())
    levels = levels.clip(lowest, highest)
    if bits == 16:
        return levels.astype(np.int16), clipped
    return levels.astype(np.int32) << (32 - bits), clipped


def _set(wav: bytearray, chunk: bytes, offset: int, value: int) -> None:
    """Set 32 bits of one of the first chunks, if it is there."""
    place = wav.find(chunk, 0, 256)
    if place >= 0:
        struct.pack_into("<I", wav, place + offset, value)
