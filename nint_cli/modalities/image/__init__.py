"""Pictures: `nint fit image`."""
