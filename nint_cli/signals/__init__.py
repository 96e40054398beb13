"""Signals: what is fitted, from file to tensors and back."""

from nint_cli.signals.audio import Scaling, Sound, ValueRange, Waveform, to_waveform
from nint_cli.signals.audiofile import read_sound
from nint_cli.signals.base import GridSignal, Signal
from nint_cli.signals.image import Picture, Pixels, to_pixels
from nint_cli.signals.imagefile import encode_picture, read_picture
from nint_cli.signals.points import PointSignal
from nint_cli.signals.shape import Shape
from nint_cli.signals.spread import spread_indices
from nint_cli.signals.tiff import write_tiff
from nint_cli.signals.wavfile import encode_sound

__all__ = [
    "GridSignal",
    "Picture",
    "Pixels",
    "PointSignal",
    "Scaling",
    "Shape",
    "Signal",
    "Sound",
    "ValueRange",
    "Waveform",
    "encode_picture",
    "encode_sound",
    "read_picture",
    "read_sound",
    "spread_indices",
    "to_pixels",
    "to_waveform",
    "write_tiff",
]
