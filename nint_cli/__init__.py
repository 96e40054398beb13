"""Fit implicit neural representations to pictures, sounds and shapes.

Example:
    Fit, look at the quality, and use the network:

        from nint_cli import fit, load_run

        run = fit("sample:astronaut", settings={"steps": 300}, output="runs/try")
        print(run.metrics.psnr_db)
        field = load_run("runs/try").field
"""

from typing import TYPE_CHECKING, Any

from nint_cli.version import __version__ as __version__

if TYPE_CHECKING:
    from nint_cli.api import Run as Run
    from nint_cli.api import fit as fit
    from nint_cli.api import load_run as load_run
    from nint_cli.api import resume as resume

__all__ = ["Run", "fit", "load_run", "resume"]


def __getattr__(name: str) -> Any:  # noqa: ANN401 (one of several types)
    """Import the library when it is first used, so that the command line's help is instant."""
    if name in __all__:
        from nint_cli import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
