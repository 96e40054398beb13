"""Signals: what is fitted, from file to tensors and back."""

from nint_cli.signals.base import GridSignal, Signal
from nint_cli.signals.image import Picture, Pixels, to_pixels
from nint_cli.signals.imagefile import encode_picture, read_picture

__all__ = [
    "GridSignal",
    "Picture",
    "Pixels",
    "Signal",
    "encode_picture",
    "read_picture",
    "to_pixels",
]
