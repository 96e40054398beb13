"""Sounds: `nint fit audio`."""
