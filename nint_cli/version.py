"""The version of nint."""

__version__ = "0.1.0"
