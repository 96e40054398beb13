"""Sounds at any rate, from their field: it is asked between the input's samples."""

import io
from pathlib import Path
from typing import BinaryIO

import soundfile
import torch

from nint_cli.derivatives.sweep import predicted_blocks
from nint_cli.errors import ConfigError
from nint_cli.fields.base import Field
from nint_cli.modalities.audio.record import AudioRecord
from nint_cli.modalities.audio.settings import AudioSettings
from nint_cli.modalities.audio.signal import Rows, Scaling, played
from nint_cli.modalities.audio.wav import encode_sound
from nint_cli.modalities.base import Piece
from nint_cli.modalities.render_request import Rendering, RenderRequest
from nint_cli.signals.base import MOST_IN_FLOAT32, CoordinateGrid

_SUFFIXES = {".wav", ".flac"}
_PART = 1 << 17  # samples between two looks at signals
_MOST_SAMPLES = 1 << 30
_FLAC_BITS = {"PCM_24": "PCM_24", "PCM_32": "PCM_24"}


def plan(
    record: AudioRecord,
    settings: AudioSettings,
    field: Field,
    request: RenderRequest,
    path: Path | None,
) -> Rendering:
    """Plan the rendering of a sound.

    Args:
        record: What the field was fitted to.
        settings: Of the run; unused.
        field: On the CPU.
        request: What is asked for.
        path: Its suffix decides the kind of file; None where only the values are wanted.

    Returns:
        What computes and writes it. Sample n is at the input's sample start + n * step, where
        step is 1 at the own rate and speed.

    Raises:
        ConfigError: If a time, the rate or the kind of file cannot be had.
    """
    suffix, own = ".wav" if path is None else path.suffix.lower(), record.sample_rate_hz
    if suffix not in _SUFFIXES:
        raise ConfigError(f"'{path}': a sound is written as {', '.join(sorted(_SUFFIXES))}")
    rate = request.rate or own
    grid = _times(record, request, rate)

    def values(piece: Piece) -> Rows:
        parts = []
        for _, prediction, _ in predicted_blocks(field, grid, _PART):
            parts.append(prediction)
            piece(len(prediction))
        return played(torch.cat(parts), Scaling(record.scale, record.offset))

    def write(file: BinaryIO, piece: Piece) -> None:
        wav, _ = encode_sound(values(piece), rate, record.subtype)
        if suffix == ".flac":
            integers, _ = soundfile.read(io.BytesIO(wav), dtype="int32", always_2d=True)
            kind = _FLAC_BITS.get(record.subtype, "PCM_16")
            soundfile.write(file, integers, rate, format="FLAC", subtype=kind)
        else:
            file.write(wav)

    return Rendering(len(grid), write, values)


def _times(record: AudioRecord, request: RenderRequest, rate: int) -> CoordinateGrid:
    """Return the coords of the samples that are asked for."""
    own, last = record.sample_rate_hz, record.samples - 1
    first = (request.start or 0.0) * own
    step = (request.speed or 1.0) * own / rate
    wanted = record.samples - first if request.duration is None else request.duration * own
    if first > last or first + wanted > record.samples + 1e-6:
        length = record.samples / own
        raise ConfigError(f"--start and --duration leave the sound, which has {length:g} s")
    # Between the last sample and the end nothing was fitted.
    count = min(max(1, round(wanted / step)), int((last - first) / step + 1e-9) + 1)
    if count > _MOST_SAMPLES:
        raise ConfigError(f"{count} samples are too many; at most {_MOST_SAMPLES}")
    half, precise = record.half_range, record.samples > MOST_IN_FLOAT32
    if step == 1 and first == int(first) and not precise:
        axis = torch.linspace(-half, half, record.samples)
        return CoordinateGrid(axis[int(first) : int(first) + count].clone())
    places = first + step * torch.arange(count, dtype=torch.float64)
    coords = (2 * places - last) * (half / max(1, last))
    return CoordinateGrid(
        coords.clamp(-half, half) if precise else coords.clamp(-half, half).float()
    )
