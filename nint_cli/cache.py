"""Where nint keeps what it found out about a machine."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """Give the folder: ``nint`` in XDG_CACHE_HOME, or in ~/.cache.

    Returns:
        The folder, which need not be there. A user without a home is pathlib's RuntimeError.
    """
    given = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (given if given.is_absolute() else Path.home() / ".cache") / "nint"
