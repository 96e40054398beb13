"""Fit implicit neural representations to pictures, sounds and shapes."""

__version__ = "0.1.0"
