"""Shapes: `nint fit sdf`."""
